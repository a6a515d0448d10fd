"""Leader election by a Lease: one replica acts, the others keep warm caches.

Expiry is judged by how long this process has seen no change of the Lease, on its own monotonic clock; wall clocks are
never compared. The leader stops writing a margin before anybody else may take over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from headgate.act.errors import ApiError, NotFound
from headgate.act.kube import Kube, Object
from headgate.act.resources import LEASES, api_version
from headgate.api.values import dataclass
from headgate.telemetry.logs import logger

DURATION = 6.0
RENEW_EVERY = 2.0
REQUEST_SECONDS = 3.0
MARGIN = 1.0
"""Seconds before the end of the Lease from which the leader writes no more."""
RELEASE_SECONDS = 2.0

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """The Lease as last read, and when (monotonic) it was first seen so."""

    holder: str
    resource_version: str
    renewed: str
    duration: float
    transitions: int
    since: float


class Elector:
    """Keeps or seeks the Lease until it is cancelled."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        identity: str,
        now: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._seen: Seen | None = None
        self._deadline = float("-inf")
        self._leading = False
        self._releasing = False
        self._failure = ""
        self.on_started: list[Callable[[], None]] = []
        self.on_stopped: list[Callable[[], None]] = []
        self.on_turn: list[Callable[[], None]] = []

    @property
    def leading(self) -> bool:
        """Whether this process holds the Lease, as far as it knows."""
        return self._leading

    @property
    def holder(self) -> str:
        """Who holds the Lease, as last seen."""
        return self._seen.holder if self._seen else ""

    def may_write(self) -> bool:
        """Whether a write may begin now: the Lease is ours and surely not yet anybody else's."""
        return self._leading and not self._releasing and self._monotonic() < self._deadline

    async def run(self) -> None:
        """Keep or seek the Lease for ever; an outage of the API server only costs the leadership."""
        while not self._releasing:
            began = self._monotonic()
            try:
                await self._turn()
            except ApiError as error:
                self._failed(error.reason)
            else:
                self._failure = ""
            if self._leading and self._monotonic() >= self._deadline:
                self._stop("the Lease could not be renewed in time")
            for callback in self.on_turn:
                callback()
            await self._sleep(self._pause(began))

    def _pause(self, began: float) -> float:
        """Until the next turn. Who waits for another's Lease to end looks when it does, not up to a turn later."""
        now, seen = self._monotonic(), self._seen
        pause = RENEW_EVERY - (now - began)
        if seen is not None and seen.holder not in ("", self.identity):
            left = seen.since + seen.duration - now
            # One that ended already, and could not be taken, is tried again with the next turn.
            pause = min(pause, left) if left > 0 else pause
        return max(0.1, pause)

    async def release(self) -> None:
        """Give the Lease back, so that another replica takes over at once."""
        self._releasing = True
        if not self._leading:
            return
        self._stop("released")
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._micro_time()}
        try:
            # Read anew: a renewal may have been cut off half-way.
            found = await self._kube.get(LEASES, self._namespace, self._name, seconds=RELEASE_SECONDS)
            self._look(found)
            if self._seen is not None and self._seen.holder == self.identity:
                await self._write(self._seen, spec, seconds=RELEASE_SECONDS)
        except ApiError as error:
            log.warning("the lease was not released", reason=error.reason)

    def _failed(self, reason: str) -> None:
        # Once for an outage, not once for a turn.
        if reason != self._failure:
            log.warning("lease request failed", reason=reason, leading=self._leading)
        self._failure = reason

    async def _turn(self) -> None:
        if self._seen is None or not self._leading:
            try:
                found = await self._kube.get(LEASES, self._namespace, self._name, seconds=REQUEST_SECONDS)
            except NotFound:
                await self._create()
                return
            self._look(found)
        seen = self._seen
        if seen is None or (seen.holder not in ("", self.identity) and not self._expired(seen)):
            if self._leading:
                self._stop("another replica holds the Lease")
            return
        began = self._monotonic()
        spec: dict[str, Any] = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(DURATION),
            "renewTime": self._micro_time(),
        }
        if seen.holder != self.identity:
            spec |= {"acquireTime": spec["renewTime"], "leaseTransitions": seen.transitions + 1}
        try:
            found = await self._write(seen, spec)
        except ApiError:
            # Whatever it was: read anew before the next try. The deadline still guards our writes.
            self._reread()
            raise
        self._look(found)
        self._lead(began)

    def _reread(self) -> None:
        if not self._leading:
            return
        # A conflict or an unknown outcome: the version that we know may be stale. `_leading` stays until the deadline.
        self._seen = None

    async def _create(self) -> None:
        began = self._monotonic()
        body = {
            "apiVersion": api_version(LEASES),
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(DURATION),
                "acquireTime": self._micro_time(),
                "renewTime": self._micro_time(),
                "leaseTransitions": 0,
            },
        }
        self._look(await self._kube.create(LEASES, self._namespace, body, seconds=REQUEST_SECONDS))
        self._lead(began)

    async def _write(self, seen: Seen, spec: dict[str, Any], seconds: float = REQUEST_SECONDS) -> Object:
        patch = [{"op": "add", "path": f"/spec/{field}", "value": value} for field, value in spec.items()]
        return await self._kube.json_patch(
            LEASES, self._namespace, self._name, patch, resource_version=seen.resource_version, seconds=seconds
        )

    def _look(self, lease: Object) -> None:
        spec = lease.get("spec") or {}
        version = str((lease.get("metadata") or {}).get("resourceVersion") or "")
        fresh = Seen(
            holder=str(spec.get("holderIdentity") or ""),
            resource_version=version,
            renewed=str(spec.get("renewTime") or ""),
            duration=max(DURATION, float(spec.get("leaseDurationSeconds") or DURATION)),
            transitions=int(spec.get("leaseTransitions") or 0),
            since=self._monotonic(),
        )
        before = self._seen
        if before and (before.holder, before.resource_version) == (fresh.holder, fresh.resource_version):
            return
        self._seen = fresh

    def _expired(self, seen: Seen) -> bool:
        return self._monotonic() - seen.since >= seen.duration

    def _lead(self, began: float) -> None:
        # From when the request was *sent*: the others count from when they see its effect, which is later.
        lapsed = self._leading and self._monotonic() >= self._deadline
        if lapsed:
            # What was looked at meanwhile was not written; beginning anew marks everything dirty.
            self._stop("the Lease was renewed late")
        self._deadline = began + DURATION - MARGIN
        if not self._leading:
            self._leading = True
            log.info("leading", identity=self.identity)
            for callback in self.on_started:
                callback()

    def _stop(self, why: str) -> None:
        self._leading = False
        self._deadline = float("-inf")
        log.info("not leading any more", why=why)
        for callback in self.on_stopped:
            callback()

    def _micro_time(self) -> str:
        return f"{datetime.fromtimestamp(self._now(), UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
