"""`now` in API-server time, from the `Date` of its answers: never backwards, whatever any clock does.

`Date` has whole seconds, rounded down, so one answer only says between which bounds the offset to the monotonic clock
lies; the bounds of many answers together narrow it to a few milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

DRIFT = 0.0005
"""How fast two clocks may drift apart; the bounds widen by it."""
JUMP = 5.0
"""A step forward of more than this is believed only when it is seen several times."""
CONFIRMATIONS = 3
AGREEMENT = 2.0
"""Seconds by which dates in whole seconds of one clock may differ, the time that an answer takes included."""
CATCH_UP = 0.5
"""While this clock is ahead of the server's, it runs at this speed."""


class ServerClock:
    """The API server's time as well as it can be known."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        # Until the first answer, which comes before anything is decided.
        self._offset = wall() - monotonic()
        self._low = float("-inf")
        self._high = float("inf")
        self._at = 0.0
        self._strange = 0
        self._claimed = float("inf")
        self._shown = float("-inf")
        self._shown_at = monotonic()
        self.synced = False

    def now(self) -> float:
        """Seconds since the epoch; never less than before, never at a stand."""
        at = self._monotonic()
        estimate = at + self._offset
        least = self._shown + (at - self._shown_at) * CATCH_UP if self.synced else float("-inf")
        self._shown, self._shown_at = max(estimate, least), at
        return self._shown

    def observe(self, date: float, began: float, ended: float) -> None:
        """Take the `Date` of an answer to a request that began and ended at these monotonic times."""
        low, high = date - ended, date + 1.0 - began
        if not self.synced:
            self._take(low, high, ended)
            self.synced = True
            return
        widen = DRIFT * max(0.0, ended - self._at)
        merged_low, merged_high = max(low, self._low - widen), min(high, self._high + widen)
        if merged_low <= merged_high:
            self._low, self._high, self._at, self._strange = merged_low, merged_high, ended, 0
            self._offset = min(max(self._offset, merged_low), merged_high)
            return
        # The server's clock was set, or another server answered. Several strange dates confirm a step only if they
        # agree with each other: the third of three different ones is as strange as the first.
        offset = (low + high) / 2
        self._strange = self._strange + 1 if abs(offset - self._claimed) <= AGREEMENT else 1
        self._claimed = offset
        if abs(offset - self._offset) <= JUMP or self._strange >= CONFIRMATIONS:
            self._take(low, high, ended)

    def _take(self, low: float, high: float, at: float) -> None:
        self._low, self._high, self._at, self._strange = low, high, at, 0
        self._offset = (low + high) / 2
