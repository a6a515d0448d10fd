"""An event loop whose time jumps to the next moment at which something happens: hours take milliseconds, exactly."""

from __future__ import annotations

import asyncio
from typing import Any

BEGIN = 1000.0
"""What the loop's clock shows at the start, as a machine that has been up for a while."""
EPOCH = 1_800_000_000.0
"""The server's wall clock when the loop's shows 0."""


class Stalled(RuntimeError):  # noqa: N818  it is a finding about who waits, not a fault of the loop
    """Everybody waits and nothing will ever happen."""


class _Jump:
    """In the place of a selector: instead of waiting, the time is put forward."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Let `timeout` seconds pass."""
        if timeout is None:
            raise Stalled("every task waits, and no timer runs")
        self._loop.now += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. Neither sockets nor signals nor threads: whatever happens is in the program, in one order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN
        self._clock_resolution = 1e-9
        self._selector = _Jump(self)

    def time(self) -> float:
        """Seconds on the virtual clock."""
        return self.now

    def wall(self) -> float:
        """Seconds since the epoch on the virtual clock."""
        return EPOCH + self.now

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody waits in another thread."""
