"""The work queue: each key once, one worker per key at a time, delays, backoff, and fairness between namespaces.

The semantics are those of client-go's work queue: a key that is added while a worker has it is handed out again when
that worker is done. All time is the loop's, so that tests run in virtual time.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from headgate.api.values import dataclass

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 300.0
JITTER = 0.2
EARLY = 0.01
"""Seconds by which a loop may call before its time."""


class Key(NamedTuple):
    """A Rollout."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """What the queue holds, for metrics and health."""

    ready: int
    delayed: int
    processing: int
    adds: int
    retries: int
    oldest_seconds: float
    """How long the longest waiting ready key has waited."""


class WorkQueue:
    """Keys to evaluate."""

    def __init__(
        self, *, loop: asyncio.AbstractEventLoop | None = None, rand: Callable[[], float] = random.random
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._rand = rand
        self._ready: OrderedDict[str, deque[Key]] = OrderedDict()
        self._dirty: dict[Key, float] = {}
        """Key to when it became dirty; those that no worker has are in `_ready`."""
        self._processing: set[Key] = set()
        self._when: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._failures: dict[Key, tuple[int, float]] = {}
        """How often a key failed in a row, and until when its backoff lasts."""
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._adds = 0
        self._retries = 0
        self._closed = False

    def add(self, key: Key) -> None:
        """Mark the key dirty; at once if it is free, else as soon as its worker is done."""
        if self._closed or key in self._dirty:
            return
        self._adds += 1
        self._dirty[key] = self._loop.time()
        if key not in self._processing:
            self._offer(key)

    def add_after(self, key: Key, delay: float) -> None:
        """Add the key after a delay; of several delays the earliest counts."""
        if delay <= 0:
            self.add(key)
            return
        when = self._loop.time() + delay
        if self._closed or when >= self._when.get(key, float("inf")):
            return
        self._when[key] = when
        heapq.heappush(self._heap, (when, key))
        self._arm()

    def add_rate_limited(self, key: Key, at_least: float = 0.0) -> float:
        """Add the key after its backoff, which doubles each time that it is over; gives the delay.

        A key that something else brings before that, and that fails again, says nothing new: twenty such looks within a
        second would make it wait for minutes once all is well.
        """
        now = self._loop.time()
        failures, until = self._failures.get(key, (0, now))
        self._retries += 1
        if now >= until - EARLY:
            delay: float = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures, 30)) * (1 + JITTER * self._rand())
            failures, until = failures + 1, now + delay
        until = max(until, now + at_least)
        self._failures[key] = (failures, until)
        self.add_after(key, until - now)
        return until - now

    def forget(self, key: Key) -> None:
        """End the key's backoff."""
        self._failures.pop(key, None)

    def drop(self, key: Key) -> None:
        """Forget everything about a key that is gone."""
        self.forget(key)
        self._when.pop(key, None)

    async def get(self) -> Key:
        """The next key; the caller must call `done` with it.

        Raises:
            asyncio.CancelledError: also when the queue was closed.
        """
        while not self._ready:
            if self._closed:
                raise asyncio.CancelledError
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                elif self._ready:
                    self._wake()  # It was ours to hand on.
                raise
        namespace, keys = next(iter(self._ready.items()))
        key = keys.popleft()
        # The namespace goes to the end of the round, so that a flood in one delays no other.
        if keys:
            self._ready.move_to_end(namespace)
        else:
            del self._ready[namespace]
        del self._dirty[key]
        self._processing.add(key)
        return key

    def done(self, key: Key) -> None:
        """Give the key back; it is handed out again if it was added meanwhile."""
        self._processing.discard(key)
        if key in self._dirty and not self._closed:
            self._offer(key)

    def close(self) -> None:
        """Take nothing more and let the workers end."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiters:
            self._wake()

    def statistics(self) -> QueueStatistics:
        """What the queue holds."""
        ready = [k for keys in self._ready.values() for k in keys]
        now = self._loop.time()
        return QueueStatistics(
            ready=len(ready),
            delayed=len(self._when),
            processing=len(self._processing),
            adds=self._adds,
            retries=self._retries,
            oldest_seconds=max(now - self._dirty[k] for k in ready) if ready else 0.0,
        )

    def _offer(self, key: Key) -> None:
        self._ready.setdefault(key.namespace, deque()).append(key)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        """Set the timer to the earliest delayed key that still counts."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        earliest = self._heap[0][0] if self._heap else float("inf")
        if self._timer is not None:
            if self._timer_at == earliest:
                return
            self._timer.cancel()
            self._timer = None
        self._timer_at = earliest
        if self._heap:
            self._timer = self._loop.call_at(earliest, self._release)

    def _release(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            if self._when.get(key) == when:
                del self._when[key]
                self.add(key)
        self._arm()
