"""Tells whether the operator's own parts still move; never looks at an object or at the API server."""

from __future__ import annotations

import time
from collections.abc import Callable

STALE_SECONDS = 60.0


class Heartbeats:
    """Parts that beat, and work that was begun and must end."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._beats: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._watched: list[Callable[[], str]] = []

    def beat(self, part: str) -> None:
        """Say that a part is alive; it must say so again within a minute."""
        self._beats[part] = self._monotonic()

    def begin(self, work: str) -> None:
        """Say that work began; it must end within a minute. An idle worker is not a dead one."""
        self._begun[work] = self._monotonic()

    def end(self, work: str) -> None:
        """Say that work ended."""
        self._begun.pop(work, None)

    def begun(self) -> int:
        """How much work has begun and not ended."""
        return len(self._begun)

    def watch(self, problem: Callable[[], str]) -> None:
        """Ask this function, too; it gives a sentence if something stands still."""
        self._watched.append(problem)

    def problems(self) -> list[str]:
        """What stands still, one sentence each."""
        now = self._monotonic()
        found = [f"{p} gave no sign of life for {now - at:.0f} s" for p, at in self._beats.items() if _old(now, at)]
        found += [f"{w} has not ended for {now - at:.0f} s" for w, at in self._begun.items() if _old(now, at)]
        return found + [sentence for sentence in (ask() for ask in self._watched) if sentence]


def _old(now: float, at: float) -> bool:
    return now - at > STALE_SECONDS
