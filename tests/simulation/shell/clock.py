"""An event loop whose time jumps to the next moment at which something happens: hours take milliseconds, exactly."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

Args = TypeVarTuple("Args")

BEGIN = 1000.0
"""What the loop's clock shows at the start, as a machine that has been up for a while."""
EPOCH = 1_800_000_000.0
"""The server's wall clock when the loop's shows 0."""

TOGETHER = 1e-9
"""Seconds within which what is to happen happens at the same time."""


class Stalled(RuntimeError):  # noqa: N818  it is a finding about who waits, not a fault of the loop
    """Everybody waits and nothing will ever happen."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. Neither sockets nor signals nor threads: whatever happens is in the program, in one order.

    Its inner part takes the place of asyncio's, which does much for a real clock: a history is mostly waiting.
    """

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN
        self._timers: list[tuple[float, asyncio.TimerHandle]] = []

    def time(self) -> float:
        """Seconds on the virtual clock."""
        return self.now

    def wall(self) -> float:
        """Seconds since the epoch on the virtual clock."""
        return EPOCH + self.now

    def call_soon(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        """Call it next."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it at this time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, timer))
        return timer

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        while timers and timers[0][1].cancelled():
            heapq.heappop(timers)
        if not ready and not self._stopping:
            if not timers:
                raise Stalled("every task waits, and no timer runs")
            # Instead of waiting, the time is put forward.
            self.now += max(0.0, timers[0][0] - self.now)
        due = self.now + TOGETHER
        while timers and timers[0][0] < due:
            ready.append(heapq.heappop(timers)[1])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _write_to_self(self) -> None:
        """Nobody waits in another thread."""
