"""Connections that end with those who made them, however busy the server is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any
from weakref import WeakSet

import aiohttp

POLL = 0.005
"""Seconds between two looks whether the event loop has closed what was broken."""


class Connector(aiohttp.TCPConnector):
    """A connector whose end is the end of all its connections.

    A request that is given up takes leave of the server by TLS, in the background, where nobody waits for it. With a
    busy server such a connection outlives its session and its event loop.
    """

    def __init__(self, trust: ssl.SSLContext | bool, connections: int = 0) -> None:  # noqa: FBT001  as aiohttp has it
        self._sockets: WeakSet[socket.socket] = WeakSet()
        super().__init__(ssl=trust, limit=connections, socket_factory=self._made)

    def _made(self, address: tuple[Any, ...]) -> socket.socket:
        made = socket.socket(*address[:3])
        self._sockets.add(made)
        return made

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections, and break those that are not closed by it."""
        await super().close(abort_ssl=abort_ssl)
        for left in self._sockets:
            with contextlib.suppress(OSError):
                left.shutdown(socket.SHUT_RDWR)
        # Nothing tells of it: who used the connection has gone.
        while any(left.fileno() != -1 for left in self._sockets):  # noqa: ASYNC110
            await asyncio.sleep(POLL)
