"""Faults of single requests: what one write of the operator meets, by name, as plans say it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from hack.lib.hgprove.faults.calls import Call, error_body
from hack.lib.hgprove.faults.proxy import Answer, Cut, Exchange, FaultProxy

SLOW_SECONDS = 5.0
THROTTLE_SECONDS = 5
Treatment = Callable[[Exchange], Awaitable[web.StreamResponse]]
Kill = Callable[[], None]


def answered(code: int, reason: str, message: str, *, retry_after: str = "", **details: object) -> Treatment:
    """Answer in the server's place; it hears nothing of it."""

    async def treat(exchange: Exchange) -> web.StreamResponse:
        headers = {"Retry_After": retry_after} if retry_after else {}
        return await exchange.respond(Answer.of(error_body(code, reason, message, **details), **headers))

    return treat


async def refused(_exchange: Exchange) -> web.StreamResponse:
    """Break the connection before the server hears anything."""
    raise Cut


async def failed_applied(exchange: Exchange) -> web.StreamResponse:
    """Let the server do it, and say that it failed."""
    await exchange.forward()
    return await exchange.respond(Answer.of(error_body(500, "InternalError", "etcdserver: request timed out")))


async def timeout(exchange: Exchange) -> web.StreamResponse:
    """Say nothing, and do not let the server know."""
    return await exchange.hang()


async def timeout_applied(exchange: Exchange) -> web.StreamResponse:
    """Let the server do it, and say nothing."""
    await exchange.forward()
    return await exchange.hang()


async def slow(exchange: Exchange) -> web.StreamResponse:
    """Let the server do it late."""
    await asyncio.sleep(SLOW_SECONDS)
    return await exchange.respond(await exchange.forward())


async def body_cut(exchange: Exchange) -> web.StreamResponse:
    """Let the server do it, and break off in the middle of its answer."""
    return await exchange.respond_half(await exchange.forward())


def crash_before(kill: Kill) -> Treatment:
    """End the operator before the server hears of the write."""

    async def treat(_exchange: Exchange) -> web.StreamResponse:
        kill()
        raise Cut

    return treat


def crash_unanswered(kill: Kill) -> Treatment:
    """Let the server do it, and end the operator before it hears of that."""

    async def treat(exchange: Exchange) -> web.StreamResponse:
        await exchange.forward()
        kill()
        raise Cut

    return treat


def crash_answered(kill: Kill) -> Treatment:
    """Let the server do it, answer, and end the operator at its next step: its next write, or a moment later."""

    async def treat(exchange: Exchange) -> web.StreamResponse:
        rule = _KillAtNext(exchange.proxy, kill)
        exchange.proxy.rules.insert(0, rule)
        asyncio.get_running_loop().call_later(0.3, rule.now)
        return await exchange.respond(await exchange.forward())

    return treat


@dataclass(eq=False)
class _KillAtNext:
    proxy: FaultProxy
    kill: Kill | None

    def takes(self, call: Call) -> bool:
        return call.effective

    async def treat(self, _exchange: Exchange) -> web.StreamResponse:
        self.now()
        raise Cut

    def now(self) -> None:
        if self.kill is not None:
            self.proxy.rules.remove(self)
            self.kill()
            self.kill = None


CONFLICT = answered(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
UNREADY = answered(503, "ServiceUnavailable", "the server is currently unable to handle the request")
TREATMENTS: dict[str, Treatment] = {
    "conflict": CONFLICT,
    "invalid": answered(
        422, "Invalid", "admission webhook denied the request", name="it", kind="it", causes=[{"reason": "Denied"}]
    ),
    "throttled-1": answered(429, "TooManyRequests", "too many requests", retry_after="1"),
    "throttled-long": answered(429, "TooManyRequests", "too many requests", retry_after=str(THROTTLE_SECONDS)),
    "failed": answered(500, "InternalError", "etcdserver: leader changed"),
    "failed-applied": failed_applied,
    "unavailable": UNREADY,
    "gateway-timeout": answered(504, "Timeout", "request did not complete within the allotted timeout"),
    "refused": refused,
    "timeout": timeout,
    "timeout-applied": timeout_applied,
    "slow": slow,
    "body-cut": body_cut,
    "forbidden": answered(403, "Forbidden", "the operator may not do this"),
    "not-found": answered(404, "NotFound", "the server could not find the requested resource"),
    "gone": answered(410, "Expired", "too old resource version"),
}
"""What one request may meet; those of the second half are for reads as well."""
CRASHES: dict[str, Callable[[Kill], Treatment]] = {
    "crash-before": crash_before,
    "crash-unanswered": crash_unanswered,
    "crash-answered": crash_answered,
}


@dataclass(eq=False)
class RequestRule:
    """Treats the requests that match: the nth of them and, for some seconds from then on, those that follow."""

    matches: Callable[[Call], bool]
    treatment: Treatment
    fault: str
    occurrence: int = 1
    """Which of the matching requests is the first to be treated, from 1."""
    seconds: float = 0.0
    """For how long the following ones are treated, too; 0 treats one."""
    seen: int = 0
    hits: int = 0
    first_at: float = 0.0
    fired: asyncio.Event = field(default_factory=asyncio.Event)

    def takes(self, call: Call) -> bool:
        """Count, and take what is due."""
        if not self.matches(call):
            return False
        self.seen += 1
        if self.seen < self.occurrence:
            return False
        if self.hits and time.monotonic() - self.first_at >= self.seconds:
            return False
        self.first_at = self.first_at or time.monotonic()
        self.hits += 1
        self.fired.set()
        return True

    async def treat(self, exchange: Exchange) -> web.StreamResponse:
        """Let it meet its fault."""
        exchange.call.fault = self.fault
        return await self.treatment(exchange)
