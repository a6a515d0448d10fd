"""Watches the server in memory as kopf does: list, then watch from there on, again and again, kind by kind.

It stands where `headgate.handlers.shell.Shell` stands in production, behind the same protocol.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson

from headgate.act.errors import ApiError, NotServed
from headgate.act.kube import Kube
from headgate.act.resources import path
from headgate.engine.intake import Intake
from headgate.engine.sources import Source
from tests.simulation.shell.cluster import Change, Cluster
from tests.simulation.shell.faults import Faults
from tests.simulation.shell.kinds import Where, where
from tests.simulation.shell.streams import event_of, too_old

RECONNECT = 0.1
LONGEST_PAUSE = 15.0
AGAIN = 1.0


class _Restart(Exception):  # noqa: N818  as in kopf, it ends everything
    """The watches of all kinds begin anew."""


class Watches:
    """The watches of one operator."""

    def __init__(
        self,
        cluster: Cluster,
        faults: Faults,
        kube: Kube,
        intake: Intake,
        sources: tuple[Source, ...],
        on_ended: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._faults = faults
        self._kube = kube
        self._intake = intake
        self._sources = sources
        self._on_ended = on_ended
        self._stop = asyncio.Event()

    def restart(self) -> None:
        """End the present run, so that the next one watches what was not there before."""
        self._stop.set()

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            self._stop = asyncio.Event()
            tasks = [asyncio.create_task(self._watch(s), name=f"watch {s.kind}") for s in self._sources]
            tasks.append(asyncio.create_task(self._until_stopped(), name="until stopped"))
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
            for task in tasks:
                if task.done() and not task.cancelled() and not isinstance(task.exception(), (_Restart, type(None))):
                    task.result()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._on_ended()
            await asyncio.sleep(AGAIN)

    async def _until_stopped(self) -> None:
        await self._stop.wait()

    async def _watch(self, source: Source) -> None:
        """List and watch one kind, for ever."""
        place = where(path(source.resource))
        assert place is not None
        while True:
            version: int | None = await self._list(source)
            while version is not None:
                version = await _Stream(self, place, source, version).run()
                await asyncio.sleep(RECONNECT)
            await asyncio.sleep(RECONNECT)

    async def _list(self, source: Source) -> int:
        pause = 0.5
        while True:
            try:
                listing = await self._kube.list(source.resource, labels=source.labels)
            except NotServed as error:
                raise _Restart from error  # kopf knows no answer to it.
            except ApiError:
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            for obj in listing.items:
                # The server leaves it out in lists of its own kinds; kopf puts it in.
                obj.setdefault("kind", source.kind)
                self.hear(source.kind, None, obj)
            self._intake.listed(source.kind)
            return int(listing.resource_version)

    def hear(self, kind: str, type_: Any, obj: dict[str, Any]) -> None:
        """Hand an event on, as an object of its own."""
        self._intake.event(kind, type_, orjson.loads(orjson.dumps(obj)))

    @property
    def cluster(self) -> Cluster:
        """The cluster."""
        return self._cluster

    @property
    def faults(self) -> Faults:
        """What goes wrong."""
        return self._faults


class _Stream:
    """One connection."""

    def __init__(self, watches: Watches, place: Where, source: Source, version: int) -> None:
        self._watches = watches
        self._cluster = watches.cluster
        self._faults = watches.faults
        self._place = place
        self._source = source
        self._version = version
        self._pending: deque[Change] = deque()
        self._wake: asyncio.Future[None] | None = None

    async def run(self) -> int | None:
        """Until the connection ends; gives the version to go on from, None if a list has to come first.

        Raises:
            _Restart: if the server reported another error.
        """
        store = self._cluster.store
        if self._version < store.compacted:
            too_old(self._version, store.compacted)
            return None
        self._pending.extend(c for c in store.since(self._version) if c.kind is self._place.kind)
        store.listen(self._heard, self._place.kind)
        try:
            while True:
                while not self._pending:
                    self._wake = self._cluster.loop.create_future()
                    await self._wake
                ended = await self._trouble()
                if ended is not None:
                    return ended or None
                await asyncio.sleep(0.002)
                while self._pending:
                    self._deliver(self._pending.popleft())
        finally:
            store.leave(self._heard, self._place.kind)

    def _heard(self, change: Change) -> None:
        self._pending.append(change)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _trouble(self) -> int | None:
        """What happens before the next events; the version to go on from (0: none) if the connection ended."""
        if self._faults.unserved(self._source.kind, self._cluster.loop.time()):
            raise _Restart
        fault = self._faults.watch()
        if fault == "watch: cut":
            await asyncio.sleep(self._faults.seconds("watch", 3.0))
            return self._version
        if fault == "watch: 410":
            return 0
        if fault == "watch: 500":
            raise _Restart
        if fault == "watch: stall":
            await asyncio.sleep(self._faults.seconds("watch", 45.0))
        elif fault == "watch: late":
            await asyncio.sleep(self._faults.seconds("watch", 6.0))
        elif fault == "watch: events repeated":
            again = max(self._cluster.store.compacted, self._version - 20)
            self._pending.clear()
            self._pending.extend(c for c in self._cluster.store.since(again) if c.kind is self._place.kind)
        elif fault == "watch: events coalesced":
            await asyncio.sleep(self._faults.seconds("watch", 3.0))
            last = {c.after["metadata"]["uid"]: c for c in self._pending}
            self._pending = deque(c for c in self._pending if last[c.after["metadata"]["uid"]] is c)
        return None

    def _deliver(self, change: Change) -> None:
        self._version = max(self._version, change.version)
        event = event_of(change, self._place, self._source.labels)
        if event is not None:
            self._watches.hear(self._source.kind, event["type"], event["object"])
