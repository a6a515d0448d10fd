"""The API server for the measuring side: server-side apply, patches and one watch, many at a time, little CPU."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from hack.lib.hgbench.cluster import Trouble
from hack.lib.hgbench.connections import Connector

Json = dict[str, Any]
ERRORS = 400
TOO_MANY_REQUESTS = 429
TRIES = 15
"""Of a request that the server is not ready for, a second apart."""


class Client:
    """The administrator's connection; use it as a context manager."""

    def __init__(self, kubeconfig: Path, connections: int = 32) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self._session = aiohttp.ClientSession(
            base_url=cluster["server"],
            headers={"Authorization": f"Bearer {config['users'][0]['user']['token']}"},
            connector=Connector(trust, connections),
            timeout=aiohttp.ClientTimeout(total=None, connect=60),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> Json:
        """Read an object or a list."""
        return await self._answer("GET", path, None, {})

    async def apply(self, path: str, obj: Mapping[str, Any]) -> Json:
        """Own all the fields of an object."""
        query = "?fieldManager=bench&force=true"
        return await self._answer("PATCH", path + query, obj, {"Content-Type": "application/apply-patch+yaml"})

    async def patch(self, path: str, patch: Mapping[str, Any]) -> Json:
        """Change an object by a merge patch."""
        return await self._answer("PATCH", path, patch, {"Content-Type": "application/merge-patch+json"})

    async def try_patch(self, path: str, patch: Mapping[str, Any]) -> None:
        """Change an object by a merge patch, if it is still there."""
        await self._send("PATCH", path, patch, {"Content-Type": "application/merge-patch+json"})

    async def delete(self, path: str) -> None:
        """Delete an object, if it is there."""
        await self._send("DELETE", path, None, {})

    async def watch(self, path: str, version: str) -> AsyncIterator[Json]:
        """The events of a list from a version on, until the stream ends: by the server's time, or because it broke.

        Nothing is missed by who begins anew from the version of the last event.
        """
        query = f"?watch=true&resourceVersion={version}&timeoutSeconds=3600"
        try:
            async with self._session.get(path + query) as answer:
                if answer.status == TOO_MANY_REQUESTS:
                    # As below; who watches begins anew.
                    await asyncio.sleep(1)
                    return
                if answer.status >= ERRORS:
                    text = await answer.text()
                    raise Trouble(f"the watch on {path} was answered with {answer.status}: {text[:500]}")
                rest = b""
                async for chunk, _ in answer.content.iter_chunks():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line:
                            yield orjson.loads(line)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            await asyncio.sleep(1)

    async def _answer(self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Json:
        status, found = await self._send(method, path, body, headers)
        if status == TOO_MANY_REQUESTS:
            raise Trouble(f"{method} {path} was answered with {status} for {TRIES} s; the API server is too busy")
        if status >= ERRORS:
            raise Trouble(f"{method} {path} was answered with {status}: {found.decode()[:500]}")
        loaded: Json = orjson.loads(found)
        return loaded

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        data = orjson.dumps(body) if body is not None else None
        for left in reversed(range(TRIES)):
            try:
                async with self._session.request(method, path, data=data, headers=dict(headers)) as answer:
                    status, found = answer.status, await answer.read()
            except aiohttp.ClientConnectionError:
                # A connection that the server had just closed. All that is sent here may be sent again.
                if not left:
                    raise
            else:
                # A server whose kinds are new answers "storage is (re)initializing" for a moment.
                if status != TOO_MANY_REQUESTS or not left:
                    return status, found
            await asyncio.sleep(1)
        raise AssertionError("the last try gives an answer or raises")
