"""Takes keys from the queue and evaluates them; one Rollout that cannot be evaluated disturbs no other."""

from __future__ import annotations

from collections.abc import Callable

from headgate.engine.cycle import Cycle
from headgate.engine.heartbeat import Heartbeats
from headgate.engine.ledger import Ledger
from headgate.engine.queue import Key, WorkQueue
from headgate.observe.reading import Unreadable
from headgate.telemetry import metrics
from headgate.telemetry.logs import logger

log = logger(__name__)


class Worker:
    """One of several."""

    def __init__(
        self,
        number: int,
        queue: WorkQueue,
        cycle: Cycle,
        ledger: Ledger,
        heartbeats: Heartbeats,
        *,
        now: Callable[[], float],
    ) -> None:
        self._name = f"worker {number}"
        self._queue = queue
        self._cycle = cycle
        self._ledger = ledger
        self._heartbeats = heartbeats
        self._now = now

    async def run(self) -> None:
        """Evaluate keys for ever."""
        while True:
            key = await self._queue.get()
            self._heartbeats.begin(self._name)
            try:
                with metrics.reconciling():
                    await self._cycle.evaluate(key)
            except Exception as error:  # noqa: BLE001  whatever one object does, the others go on
                self._poisoned(key, error)
            finally:
                self._heartbeats.end(self._name)
                self._queue.done(key)
                # A poison object counts as evaluated: the operator did its part.
                metrics.evaluated(self._now())

    def _poisoned(self, key: Key, error: Exception) -> None:
        delay = self._queue.add_rate_limited(key)
        entry = self._ledger.of(key)
        entry.active = False
        what = f"{type(error).__name__}: {error}"
        if entry.poison == what:
            return
        entry.poison = what
        if isinstance(error, Unreadable):
            log.warning("a status cannot be read", rollout=str(key), message=str(error), retry_in=delay)
        else:
            log.error("a Rollout cannot be evaluated", rollout=str(key), retry_in=delay, exc_info=error)
