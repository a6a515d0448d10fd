"""Hears what the event loop has to tell of errors that nobody waits for: one that is known is a line, not a traceback.

uvloop closes a connection that is given up in its TLS handshake (a time limit, a request that is cancelled) without
telling its TLS layer, which then sends the handshake's last message into the closed connection and reports a "Fatal
error on SSL protocol". Whoever wanted the connection was told before; nothing is lost by it, and nothing can be done.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from headgate.act.errors import one_line
from headgate.telemetry.logs import logger

MESSAGE: Final = "Fatal error on SSL protocol"
CLOSED: Final = re.compile(r"unable to perform operation on <TCPTransport closed=True [^>]*>; the handler is closed")

log = logger(__name__)


def hear(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Take what a loop tells, as its exception handler."""
    if _given_up(context):
        log.warning("a connection was given up in its TLS handshake", error=one_line(str(context["exception"])))
        return
    loop.default_exception_handler(context)


def _given_up(context: dict[str, Any]) -> bool:
    error = context.get("exception")
    return context.get("message") == MESSAGE and isinstance(error, RuntimeError) and bool(CLOSED.fullmatch(str(error)))
