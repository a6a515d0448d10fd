"""Faults of watch streams: what the operator's streams on some resources meet for a while, by name, as plans say it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from hack.lib.hgprove.faults.calls import Call, Line, error_body
from hack.lib.hgprove.faults.proxy import FaultProxy, Rule, Shaper, Stream
from hack.lib.hgprove.faults.writes import TREATMENTS, RequestRule

BOOKMARK_SECONDS = 1.0
StreamFault = Callable[[FaultProxy, Sequence[str], float], Awaitable[None]]
"""Proxy, resources and seconds: begins at once, is over when it returns."""


@dataclass(eq=False)
class Held:
    """Keeps the lines of some resources back; `release` decides what becomes of them."""

    resources: Sequence[str]
    streams: Sequence[Stream] = ()
    """Only these; without any, all that there are and will be."""
    kept: list[tuple[Stream, Line]] = field(default_factory=list)

    def takes(self, stream: Stream) -> bool:
        """Streams on these resources."""
        return stream.resource in self.resources and (not self.streams or stream in self.streams)

    async def line(self, stream: Stream, line: Line) -> None:
        """Keep it."""
        self.kept.append((stream, line))

    async def release(self) -> None:
        """Hand everything on, in order."""
        while self.kept:
            stream, line = self.kept.pop(0)
            await stream.send(line)

    async def release_last(self) -> None:
        """Of each object hand on what came last, as a watch does that fell behind."""
        first: dict[tuple[str, str], str] = {}
        last: dict[tuple[str, str], tuple[Stream, Line]] = {}
        for stream, line in self.kept:
            first.setdefault((line.namespace, line.name), line.type)
            last[line.namespace, line.name] = (stream, line)
        self.kept.clear()
        for where, (stream, line) in sorted(last.items(), key=lambda item: item[1][1].version):
            if first[where] == "ADDED" and line.type == "MODIFIED":
                line.raw = line.raw.replace(b'"MODIFIED"', b'"ADDED"', 1)
            await stream.send(line)


@dataclass(eq=False)
class Delayed:
    """Hands the lines of some resources on later, in order."""

    resources: Sequence[str]
    seconds: float
    _kept: list[tuple[Stream, Line]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def takes(self, stream: Stream) -> bool:
        """All streams on these resources."""
        return stream.resource in self.resources

    async def line(self, stream: Stream, line: Line) -> None:
        """Hand it on later; the oldest is always what is due."""
        self._kept.append((stream, line))
        task = asyncio.create_task(self._next())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _next(self) -> None:
        await asyncio.sleep(self.seconds)
        stream, line = self._kept.pop(0)
        await stream.send(line)


@contextlib.asynccontextmanager
async def shaped(proxy: FaultProxy, shaper: Shaper) -> AsyncIterator[None]:
    """Have a shaper for a while."""
    proxy.shapers.insert(0, shaper)
    try:
        yield
    finally:
        proxy.shapers.remove(shaper)


@contextlib.asynccontextmanager
async def ruled(proxy: FaultProxy, *rules: Rule) -> AsyncIterator[None]:
    """Have rules for a while."""
    proxy.rules[:0] = rules
    try:
        yield
    finally:
        for rule in rules:
            proxy.rules.remove(rule)


def _error(code: int, reason: str, message: str) -> bytes:
    return orjson.dumps({"type": "ERROR", "object": error_body(code, reason, message)}) + b"\n"


EXPIRED = _error(410, "Expired", "too old resource version")
LEADER_CHANGED = _error(500, "InternalError", "etcdserver: leader changed")


def error_line(data: bytes) -> StreamFault:
    """Say an error in the stream and end it."""

    async def fault(proxy: FaultProxy, resources: Sequence[str], _seconds: float) -> None:
        for stream in proxy.streams_of(*resources):
            await stream.send_raw(data)
            stream.close()

    return fault


async def closed(proxy: FaultProxy, resources: Sequence[str], _seconds: float) -> None:
    """End the streams as the server does at its time-out."""
    for stream in proxy.streams_of(*resources):
        stream.close()


async def reset(proxy: FaultProxy, resources: Sequence[str], _seconds: float) -> None:
    """Break the streams."""
    for stream in proxy.streams_of(*resources):
        stream.reset()


async def stalled(proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
    """Keep the streams open and silent, as a half-open connection is, and break them in the end."""
    streams = proxy.streams_of(*resources)
    async with shaped(proxy, Held(resources, streams)):
        await asyncio.sleep(seconds)
        for stream in streams:
            stream.reset()


async def silenced(proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
    """Keep the streams open and silent until the operator opens others by itself."""
    streams = proxy.streams_of(*resources)
    async with shaped(proxy, Held(resources, streams)), asyncio.timeout(seconds):
        # Streams come and go without anybody being told.
        while not all(stream.ended for stream in streams):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def delayed(proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
    """Hand each line on so many seconds late; for three times as long."""
    async with shaped(proxy, Delayed(resources, seconds)):
        await asyncio.sleep(3 * seconds)
    # What is still on its way must not be overtaken by what comes later.
    after = Held(resources)
    async with shaped(proxy, after):
        await asyncio.sleep(seconds)
        await after.release()


async def coalesced(proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
    """Keep all lines back, and hand on the last of each object."""
    held = Held(resources)
    async with shaped(proxy, held):
        await asyncio.sleep(seconds)
        await held.release_last()


async def suffix_lost(proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
    """Keep lines back, then break the streams: the operator resumes from the last one that it has."""
    held = Held(resources)
    async with shaped(proxy, held):
        await asyncio.sleep(seconds)
        for stream in proxy.streams_of(*resources):
            stream.reset()


async def duplicated(proxy: FaultProxy, resources: Sequence[str], _seconds: float) -> None:
    """End the streams, and hand the last lines on again when they resume."""
    lasts = {stream.resource: stream.last for stream in proxy.streams_of(*resources)}
    ended = proxy.streams_of(*resources)
    for stream in ended:
        stream.close()
    async with asyncio.timeout(20):
        # Streams come and go without anybody being told.
        while {stream.resource for stream in proxy.streams_of(*resources) if stream not in ended} != set(lasts):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for stream in proxy.streams_of(*resources):
        for line in lasts.get(stream.resource, []):
            await stream.send(line)


async def truncated(proxy: FaultProxy, resources: Sequence[str], _seconds: float) -> None:
    """Break off in the middle of a line that nobody can read the rest of."""
    for stream in proxy.streams_of(*resources):
        await stream.send_raw(b'{"type":"MODIFIED","object":{"metadata":{"name":"half-a-li')
        stream.close()


async def bookmarks_only(proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
    """Keep all lines back while bookmarks say that the streams are alive, then hand them on."""
    held = Held(resources)
    versions = {
        stream: max((line.version for line in stream.last), default=0) for stream in proxy.streams_of(*resources)
    }
    async with shaped(proxy, held):
        for _ in range(round(seconds / BOOKMARK_SECONDS)):
            for stream, version in versions.items():
                if version:
                    meta = {"resourceVersion": str(version)}
                    said = {"type": "BOOKMARK", "object": {"kind": "", "apiVersion": "", "metadata": meta}}
                    await stream.send_raw(orjson.dumps(said) + b"\n")
            await asyncio.sleep(BOOKMARK_SECONDS)
        await held.release()


async def forbidden(proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
    """Take all rights on these resources away for a while."""
    await _unusable("forbidden", proxy, resources, seconds)


async def unserved(proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
    """Take the kinds away, as when their definition is deleted and made again."""
    await _unusable("not-found", proxy, resources, seconds)


async def _unusable(fault: str, proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
    rule = RequestRule(lambda call: call.resource in resources, TREATMENTS[fault], fault, seconds=float("inf"))
    async with ruled(proxy, rule):
        for stream in proxy.streams_of(*resources):
            stream.close()
        await asyncio.sleep(seconds)


def relisted(treatment: str, *, once: bool) -> StreamFault:
    """Make the operator list anew, and let its lists meet a fault: the first one, or all for a while."""

    async def fault(proxy: FaultProxy, resources: Sequence[str], seconds: float) -> None:
        rules = [_list_rule(resource, treatment, 0.0 if once else seconds) for resource in resources]
        async with ruled(proxy, *rules):
            for stream in proxy.streams_of(*resources):
                await stream.send_raw(EXPIRED)
                stream.close()
            if not once:
                await asyncio.sleep(seconds)
                return
            async with asyncio.timeout(30):
                for rule in rules:
                    await rule.fired.wait()

    return fault


def _list_rule(resource: str, treatment: str, seconds: float) -> RequestRule:
    def matches(call: Call) -> bool:
        return call.verb == "list" and call.resource == resource

    return RequestRule(matches, TREATMENTS[treatment], f"list {treatment}", seconds=seconds)


async def silent(proxy: FaultProxy, _resources: Sequence[str], seconds: float) -> None:
    """Stop the whole server for a while: everything stays open and silent."""
    proxy.pause()
    await asyncio.sleep(seconds)
    proxy.resume()


async def partitioned(proxy: FaultProxy, _resources: Sequence[str], seconds: float) -> None:
    """Take the whole server away for a while."""
    proxy.partition()
    await asyncio.sleep(seconds)
    proxy.heal()


LISTS = {
    f"list-{treatment}-{'once' if once else 'while'}": relisted(treatment, once=once)
    for treatment in ("failed", "unavailable", "throttled-1", "forbidden", "gone", "not-found", "timeout")
    for once in (True, False)
}
STREAMS: Mapping[str, StreamFault] = {
    "watch-expired": error_line(EXPIRED),
    "watch-error": error_line(LEADER_CHANGED),
    "watch-closed": closed,
    "watch-reset": reset,
    "watch-stalled": stalled,
    "watch-delayed": delayed,
    "watch-coalesced": coalesced,
    "watch-suffix-lost": suffix_lost,
    "watch-duplicated": duplicated,
    "watch-truncated": truncated,
    "watch-bookmarks-only": bookmarks_only,
    "forbidden": forbidden,
    "unserved": unserved,
    **LISTS,
}
"""What the streams of one resource may meet."""
SILENCE = "watch-silenced"
LONG: Mapping[str, StreamFault] = {SILENCE: silenced}
"""What takes too long to be planned at every stream."""
WHOLE: Mapping[str, StreamFault] = {"server-silent": silent, "server-gone": partitioned}
"""What all requests meet."""
