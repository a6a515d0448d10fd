"""A reverse proxy between one operator and the API server: records all that passes, and injects what its rules say.

It speaks plain HTTP to the operator, on a port of this machine, and hands the operator's own token on. All of it runs
in one event loop; `serving` gives it a thread for callers that have none.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import orjson
from aiohttp import web

from hack.lib.hgbench.connections import Connector
from hack.lib.hgprove.faults.calls import WRITES, Call, Json, Line, call_of, line_of, version_of

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"})
LOOK_EVERY = 1.0
"""Seconds between two looks whether the operator is still at the other end of a silent stream."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered, or what is answered in its place."""

    code: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Json, **headers: str) -> Answer:
        """A Status as an answer."""
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(int(body["code"]), orjson.dumps(body), {"Content-Type": "application/json"} | shown)


class Cut(Exception):  # noqa: N818  it is an order, not a fault of the proxy
    """The connection to the operator is to be reset."""


class Exchange:
    """One request and the ways to treat it."""

    def __init__(self, proxy: FaultProxy, request: web.BaseRequest, call: Call) -> None:
        self.proxy = proxy
        self.call = call
        self.request = request

    async def forward(self) -> Answer:
        """Let the server do it."""
        return await self.proxy.upstream(self)

    async def respond(self, answer: Answer) -> web.StreamResponse:
        """Answer the operator."""
        self.call.code = answer.code
        return web.Response(status=answer.code, body=answer.body, headers=dict(answer.headers))

    async def respond_half(self, answer: Answer) -> web.StreamResponse:
        """Begin to answer the operator, and break off."""
        response = web.StreamResponse(status=answer.code, headers=dict(answer.headers))
        response.content_length = len(answer.body)
        await response.prepare(self.request)
        await response.write(answer.body[: len(answer.body) // 2])
        raise Cut

    async def hang(self) -> web.StreamResponse:
        """Say nothing, until the operator gives up."""
        # aiohttp tells nobody that the other end has gone, so it has to be looked for.
        while self.request.transport is not None and not self.request.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        raise Cut


class Rule(Protocol):
    """Decides about requests; the first rule that takes one has it."""

    def takes(self, call: Call) -> bool:
        """Whether this request is to be treated by this rule. Asked once for each request, in order."""
        ...

    async def treat(self, exchange: Exchange) -> web.StreamResponse:
        """Answer it, or raise `Cut`."""
        ...


class Shaper(Protocol):
    """Decides about the lines of watch streams that are under way."""

    def takes(self, stream: Stream) -> bool:
        """Whether this stream's lines are to be treated."""
        ...

    async def line(self, stream: Stream, line: Line) -> None:
        """Hand it on by `stream.send`, now or later, or do not."""
        ...


class Stream:
    """One watch stream of the operator."""

    def __init__(self, call: Call, response: web.StreamResponse, request: web.BaseRequest, recorded: Recorded) -> None:
        self.call = call
        self._response = response
        self._request = request
        self._recorded = recorded
        self._ended = asyncio.Event()
        self._reset = False
        self.last: list[Line] = []
        """The last lines that were delivered."""

    @property
    def resource(self) -> str:
        """What is watched."""
        return self.call.resource

    @property
    def ended(self) -> bool:
        """Whether nothing more can be sent."""
        return self._ended.is_set()

    async def send(self, line: Line) -> None:
        """Hand a line to the operator."""
        if self.ended:
            return
        line.delivered = time.monotonic()
        self.last = [*self.last[-9:], line]
        await self.send_raw(line.raw + b"\n")

    async def send_raw(self, data: bytes) -> None:
        """Hand bytes to the operator."""
        if self.ended:
            return
        try:
            await self._response.write(data)
        except (ConnectionError, RuntimeError):
            self._ended.set()

    def close(self) -> None:
        """End it as the server does at its time-out."""
        self._ended.set()

    def reset(self) -> None:
        """Break it."""
        self._reset = True
        self._ended.set()

    async def pump(self, lines: AsyncIterator[Line], shape: FaultProxy) -> None:
        """Hand on what comes, until one side ends.

        Raises:
            Cut: if the connection is to be broken.
        """
        over: asyncio.Future[Any] = asyncio.ensure_future(self._ended.wait())
        coming: asyncio.Future[Any] = asyncio.ensure_future(anext(lines, None))
        try:
            while True:
                while not coming.done() and not self.ended:
                    await asyncio.wait({coming, over}, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                    if self._request.transport is None or self._request.transport.is_closing():
                        self._ended.set()
                if self.ended or (line := coming.result()) is None:
                    break
                self._recorded.lines.append(line)
                await shape.shape(self, line)
                coming = asyncio.ensure_future(anext(lines, None))
        finally:
            self._ended.set()
            over.cancel()
            coming.cancel()
            await asyncio.gather(over, coming, return_exceptions=True)
        if self._reset:
            raise Cut


@dataclass(slots=True)
class Recorded:
    """All that passed, oldest first."""

    calls: list[Call] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def writes(self) -> list[Call]:
        """The requests that change something of a Rollout's."""
        return [call for call in self.calls if call.effective]

    def clear(self) -> None:
        """Forget all."""
        self.calls.clear()
        self.lines.clear()


class FaultProxy:
    """The proxy. `rules`, `shapers` and `recorded` may be read and changed at any time."""

    def __init__(self, upstream: str, ca: str | None, token: str, port: int = 0) -> None:
        self._server = upstream
        self._token = token
        self._trust = ssl.create_default_context(cadata=ca) if ca else None
        self.rules: list[Rule] = []
        self.shapers: list[Shaper] = []
        self.recorded = Recorded()
        self.streams: set[Stream] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open = asyncio.Event()
        self._web: web.Server | None = None
        self._listening: asyncio.Future[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        # Bound and never listening: it keeps the port, and while nobody else listens, connections are refused.
        self._placeholder = _bound(port)
        self.port: int = self._placeholder.getsockname()[1]
        self._number = 0
        self._tasks: set[asyncio.Future[web.StreamResponse]] = set()

    @classmethod
    def before(cls, kubeconfig: Path, port: int = 0) -> FaultProxy:
        """A proxy before the server of a kubeconfig, for its user; at a port that is free unless one is named."""
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], ca, config["users"][0]["user"]["token"], port)

    @property
    def address(self) -> str:
        """Where the operator finds it."""
        return f"http://127.0.0.1:{self.port}"

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig for the operator."""
        named = {
            "clusters": [{"name": "proxy", "cluster": {"server": self.address}}],
            "users": [{"name": "operator", "user": {"token": self._token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}],
        }
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "proxy"} | named))
        return path

    # ------------------------------------------------------------------------------------------------ life

    async def start(self) -> None:
        """Serve."""
        self._loop = asyncio.get_running_loop()
        self._open.set()
        self._session = aiohttp.ClientSession(
            self._server,
            connector=Connector(self._trust if self._trust is not None else True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
        )
        self._web = web.Server(self._take)
        self._listen()
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """End everything."""
        self._refuse()
        if self._web is not None:
            await self._web.shutdown(0.1)
        # The server forgets a request whose connection is broken, but its task is still there.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        self._placeholder.close()

    def pause(self) -> None:
        """Say nothing more: connections stay open and silent, new ones are taken and not answered."""
        self._in_loop(self._open.clear)

    def resume(self) -> None:
        """End a pause; what was asked meanwhile is carried out now, late."""
        self._in_loop(self._open.set)

    def partition(self) -> None:
        """Break all connections and refuse new ones."""
        self._in_loop(self._refuse)

    def heal(self) -> None:
        """End a partition."""
        self._in_loop(self._listen)

    def _in_loop(self, call: Callable[[], object]) -> None:
        if self._loop is None:
            raise RuntimeError("the proxy was not started")
        self._loop.call_soon_threadsafe(call)

    def _refuse(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
        for connection in list(self._web.connections) if self._web else ():
            if connection.transport is not None:
                connection.transport.abort()

    def _listen(self) -> None:
        if self._listening is None and self._web is not None:
            self._listening = asyncio.ensure_future(self._accept(self._web, _bound(self.port)))

    @staticmethod
    async def _accept(protocol: web.Server, bound: socket.socket) -> None:
        server = await asyncio.get_running_loop().create_server(protocol, sock=bound)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()

    # ------------------------------------------------------------------------------------------------ requests

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.ensure_future(self._serve(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await task

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._number += 1
        body = await request.read()
        call = call_of(self._number, time.monotonic(), request.method, request.path_qs, body)
        self.recorded.calls.append(call)
        exchange = Exchange(self, request, call)
        try:
            await self._open.wait()
            rule = next((rule for rule in list(self.rules) if rule.takes(call)), None)
            if rule is not None:
                return await rule.treat(exchange)
            if call.verb == "watch":
                return await self._watch(exchange)
            return await exchange.respond(await exchange.forward())
        except (Cut, aiohttp.ClientError):
            if request.transport is not None:
                request.transport.abort()
            # Nobody is there to read it.
            return web.Response()
        finally:
            call.ended = time.monotonic()

    async def upstream(self, exchange: Exchange) -> Answer:
        """Send a request to the server as the operator sent it."""
        call = exchange.call
        headers = _handed_on(exchange.request.headers)
        async with self._to_server().request(
            call.method, call.target, data=call.body or None, headers=headers, allow_redirects=False
        ) as answer:
            body = await answer.read()
            call.applied = answer.status < 400
            if call.applied and call.verb in WRITES:
                call.version = version_of(body)
            return Answer(answer.status, body, _handed_on(answer.headers))

    def _to_server(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the proxy was not started")
        return self._session

    async def _watch(self, exchange: Exchange) -> web.StreamResponse:
        call = exchange.call
        headers = _handed_on(exchange.request.headers)
        async with self._to_server().request("GET", call.target, headers=headers, allow_redirects=False) as answer:
            call.code = answer.status
            if answer.status != 200:
                return web.Response(status=answer.status, body=await answer.read(), headers=_handed_on(answer.headers))
            response = web.StreamResponse(headers=_handed_on(answer.headers))
            response.enable_chunked_encoding()
            await response.prepare(exchange.request)
            stream = Stream(call, response, exchange.request, self.recorded)
            self.streams.add(stream)
            try:
                await stream.pump(self._lines(call.resource, answer.content), self)
            finally:
                self.streams.discard(stream)
            return response

    async def _lines(self, resource: str, content: aiohttp.StreamReader) -> AsyncIterator[Line]:
        rest = b""
        async for chunk in content.iter_any():
            *whole, rest = (rest + chunk).split(b"\n")
            for raw in whole:
                if raw:
                    await self._open.wait()
                    yield line_of(time.monotonic(), resource, raw)

    async def shape(self, stream: Stream, line: Line) -> None:
        """Treat a line as the first shaper says that takes its stream; without one, hand it on."""
        shaper = next((shaper for shaper in list(self.shapers) if shaper.takes(stream)), None)
        if shaper is None:
            await stream.send(line)
        else:
            await shaper.line(stream, line)

    def streams_of(self, *resources: str) -> list[Stream]:
        """The streams that are open on these resources."""
        return [stream for stream in self.streams if stream.resource in resources and not stream.ended]


@contextlib.contextmanager
def serving(proxy: FaultProxy) -> Iterator[FaultProxy]:
    """Run a proxy in a thread of its own, for callers without an event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fault proxy", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(10)
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def free_port() -> int:
    """A port of this machine that is free at this moment."""
    with _bound(0) as found:
        port: int = found.getsockname()[1]
        return port


def _bound(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(("127.0.0.1", port))
    return found


def _handed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
