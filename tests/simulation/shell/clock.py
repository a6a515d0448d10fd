"""An event loop whose time jumps to the next moment at which something happens: hours take milliseconds, exactly."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from heapq import heappop, heappush
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


class _Call(asyncio.TimerHandle):
    """What is called once, next or at a time: a handle without what is only for debugging."""

    __slots__ = ()
    _callback: Callable[..., object]
    _args: tuple[object, ...]
    _context: Context

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[object, ...], context: Context | None
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        """Let it not be called."""
        self._cancelled = True

    def __lt__(self, other: object) -> bool:
        """Of two at one time neither comes first."""
        return False

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. Neither sockets nor signals nor threads: whatever happens is in the program, in one order.

    Its inner part takes the place of asyncio's, which does much for a real clock: a history is mostly waiting.
    """

    _ready: deque[_Call]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN
        self._timers: list[tuple[float, _Call]] = []

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
        call = _Call(self.now, callback, args, context)
        self._ready.append(call)
        return call

    def call_at(
        self, when: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it at this time."""
        call = _Call(when, callback, args, context)
        heappush(self._timers, (when, call))
        return call

    def call_later(
        self, delay: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it after so many seconds."""
        call = _Call(self.now + delay, callback, args, context)
        heappush(self._timers, (call._when, call))
        return call

    def _run_once(self) -> None:
        """Call what is ready, round by round, until somebody says stop."""
        ready, timers = self._ready, self._timers
        while True:
            while timers and timers[0][1]._cancelled:
                heappop(timers)
            if not ready and not self._stopping:
                if not timers:
                    raise Stalled("every task waits, and no timer runs")
                # Instead of waiting, the time is put forward.
                self.now += max(0.0, timers[0][0] - self.now)
            due = self.now + TOGETHER
            while timers and timers[0][0] < due:
                ready.append(heappop(timers)[1])
            for _ in range(len(ready)):
                call = ready.popleft()
                if call._cancelled:
                    continue
                try:
                    call._context.run(call._callback, *call._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001  as in every loop
                    self.call_exception_handler({"message": f"{call._callback} failed", "exception": error})
            if self._stopping:
                return

    def _write_to_self(self) -> None:
        """Nobody waits in another thread."""
