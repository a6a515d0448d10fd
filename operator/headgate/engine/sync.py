"""Fills the cache before anything is decided, and sweeps it: what watching missed is found by listing names.

A watch that had to start over never reports what was deleted meanwhile, and a watch that hangs reports nothing at all.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from headgate.act.errors import ApiError, NotServed
from headgate.act.kube import Kube
from headgate.engine.cache import Cache, version_of
from headgate.engine.intake import Intake
from headgate.engine.sources import Source
from headgate.telemetry.logs import logger

TICK = 1.0
DEBOUNCE = 1.0
SWEEP_EVERY = 600.0
SWEEP_AGAIN = 15.0
"""Seconds after which a sweep that failed is tried again: what vanished in an outage is told by nobody else."""
PROBE_EVERY = 30.0
PROBE_FIRST = 2.0
"""Seconds until a kind that is suddenly not served is looked for; then twice as long each time, up to PROBE_EVERY."""
KEPT_SECONDS = 60.0
"""For how long the objects of a kind that is not served any more stay known: a definition that is made again, or a
server that starts, knows them again in a moment, and pods that are not known to be reached would be taken away."""
GRACE = 10.0
"""Seconds that a watch may be behind a list before single objects are read."""
READ_AT_MOST = 50

log = logger(__name__)


class Sync:
    """Keeps the cache true to the API server."""

    def __init__(  # noqa: PLR0913  the seams that tests put their own parts into
        self,
        kube: Kube,
        cache: Cache,
        intake: Intake,
        sources: Sequence[Source],
        *,
        namespaces: Sequence[str] = (),
        on_found: Callable[[str], None] = lambda _kind: None,
        on_fresh: Callable[[], None] = lambda: None,
        beat: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._intake = intake
        self._sources = {s.kind: s for s in sources}
        self._namespaces = namespaces
        self._on_found = on_found
        self._on_fresh = on_fresh
        self._beat = beat
        self._monotonic = monotonic
        self._rand = rand
        self._due: dict[str, float] = {}
        self._probed = self._monotonic()
        self._probe_pause = PROBE_EVERY
        self._lost_at: dict[str, float] = {}
        """Optional kinds that were served and are not, and since when; their objects are known still."""
        self._behind: dict[tuple[str, str, str], tuple[int, float]] = {}
        self.waiting: dict[str, str] = {}
        """Kinds whose first list is not in, and why; for readiness."""
        self.fresh = True
        """The cache has what was stored when `look_anew` was called last."""
        self._looks = 0
        self._asked = asyncio.Event()

    def look_anew(self) -> None:
        """List every kind before the cache is relied on: this replica did not write what was written until now.

        Its watches may be late, and the journal, which it reads, tells of weights and selectors that they do not show.
        """
        self.fresh = False
        self._looks += 1
        self._asked.set()

    async def first_lists(self) -> None:
        """List every kind, again and again until all are in."""
        self.waiting = dict.fromkeys(self._sources, "not listed yet")
        delay = 0.5
        while self.waiting:
            for kind in list(self.waiting):
                await self._first(self._sources[kind])
                self._beat()
            if self.waiting:
                log.warning("waiting for the first lists", kinds=self.waiting)
                await self._pause(delay)
                delay = min(10.0, delay * 2)

    async def run(self) -> None:
        """Sweep for ever."""
        for kind in self._sources:
            self._plan(kind)
        while True:
            self._beat()
            if not self.fresh:
                await self._freshen()
            now = self._monotonic()
            for kind, noticed in list(self._intake.relisted.items()):
                if now - noticed >= DEBOUNCE:
                    del self._intake.relisted[kind]
                    self._due[kind] = now
            for kind in [k for k, at in self._due.items() if at <= now]:
                self._plan(kind)
                await self.sweep(kind)
            await self._catch_up()
            self._give_up(now)
            if now - self._probed >= self._probe_pause:
                self._probed = now
                self._probe_pause = min(PROBE_EVERY, 2 * self._probe_pause)
                await self._probe()
            # A tick asks, too: giving up the waiting instead would cost several times as much, each second.
            tick = asyncio.get_running_loop().call_later(TICK, self._asked.set)
            try:
                await self._asked.wait()
            finally:
                tick.cancel()
            self._asked.clear()

    async def _freshen(self) -> None:
        """Look at every kind, and read those whose watch is behind; what fails is tried again at the next tick."""
        looks = self._looks
        for kind, source in self._sources.items():
            if not await self.sweep(kind):
                return
            if any(where[0] == kind for where in self._behind):
                try:
                    await self._read_all(source)
                except ApiError as error:
                    log.warning("the cache is not fresh", kind=kind, reason=error.reason)
                    return
        if looks == self._looks:
            self.fresh = True
            self._on_fresh()

    async def sweep(self, kind: str) -> bool:
        """Drop what is gone, and note what the watch has not told yet; False if the kind could not be listed."""
        source = self._sources.get(kind)
        if source is None or kind in self._cache.missing:
            return True
        for scope in self._scopes(source):
            try:
                listing = await self._kube.list(
                    source.resource, scope or None, labels=source.labels, metadata_only=True
                )
            except NotServed:
                self._lost(kind)
                return True
            except ApiError as error:
                log.warning("sweep failed", kind=kind, reason=error.reason)
                self._due[kind] = self._monotonic() + SWEEP_AGAIN
                return False
            finally:
                self._beat()
            listed = {}
            for item in listing.items:
                meta = item["metadata"]
                where = (str(meta.get("namespace") or ""), str(meta["name"]))
                listed[where] = str(meta["uid"])
                self._compare(kind, where, version_of(item))
            version = int(listing.resource_version or 0)
            for obj in self._cache.missing_from(kind, listed, version, scope):
                meta = obj["metadata"]
                log.info("an object is gone that no watch reported", kind=kind, name=meta["name"])
                self._intake.gone(kind, str(meta.get("namespace") or ""), meta["name"], meta["uid"])
        return True

    async def _first(self, source: Source) -> None:
        kind = source.kind
        try:
            await self._read_all(source)
        except NotServed:
            if not source.optional:
                self.waiting[kind] = "the cluster does not serve it; install the CRDs"
                return
            self._cache.missing.add(kind)
        except ApiError as error:
            self.waiting[kind] = error.reason
            return
        self.waiting.pop(kind, None)
        self._cache.mark_synced(kind)

    async def _read_all(self, source: Source) -> None:
        for scope in self._scopes(source):
            listing = await self._kube.list(source.resource, scope or None, labels=source.labels)
            for item in listing.items:
                self._intake.take(source.kind, item)

    async def _probe(self) -> None:
        """Look whether a kind that the cluster did not serve is there by now."""
        for kind in sorted(self._cache.missing):
            source = self._sources[kind]
            try:
                await self._kube.list(source.resource, self._scopes(source)[0] or None, limit=1)
            except ApiError:
                continue
            self._cache.missing.discard(kind)
            self._lost_at.pop(kind, None)
            log.info("a kind is served now", kind=kind)
            await self._first(source)
            self._due[kind] = self._monotonic()  # What was known all the while may be gone.
            self._on_found(kind)
            self._intake.all_dirty()

    def _lost(self, kind: str) -> None:
        log.warning("a kind is not served any more", kind=kind)
        self._cache.missing.add(kind)
        if self._sources[kind].optional:
            self._lost_at[kind] = self._monotonic()
        # A definition that is made again, or a server that has just started, serves it in a moment.
        self._probed, self._probe_pause = self._monotonic(), PROBE_FIRST
        self._intake.all_dirty()

    def _give_up(self, now: float) -> None:
        """Forget the objects of a kind that was not served for too long; what cannot be done without stays known."""
        for kind in [k for k, since in self._lost_at.items() if now - since >= KEPT_SECONDS]:
            del self._lost_at[kind]
            self._intake.lost(kind)
            self._intake.all_dirty()

    def _compare(self, kind: str, where: tuple[str, str], version: int) -> None:
        known = self._cache.get(kind, *where)
        if known is None or version_of(known) < version:
            self._behind.setdefault((kind, *where), (version, self._monotonic()))

    async def _catch_up(self) -> None:
        """Read what the watch has not told for too long."""
        now = self._monotonic()
        late = [w for w, (_, since) in self._behind.items() if now - since >= GRACE]
        read = 0
        for kind, namespace, name in late[:READ_AT_MOST]:
            version, _ = self._behind.pop((kind, namespace, name))
            known = self._cache.get(kind, namespace, name)
            if known is not None and version_of(known) >= version:
                continue
            read += 1
            self._beat()
            try:
                self._intake.take(kind, await self._kube.get(self._sources[kind].resource, namespace or None, name))
            except ApiError:
                continue  # Gone again, or the next sweep finds it again.
        if read:
            log.warning("objects were read because the watch is behind", count=read)

    def _plan(self, kind: str) -> None:
        self._due[kind] = self._monotonic() + SWEEP_EVERY * (0.8 + 0.4 * self._rand())

    def _scopes(self, source: Source) -> Sequence[str]:
        return self._namespaces if self._namespaces and not source.cluster_scoped else ("",)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
