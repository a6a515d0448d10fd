"""Tells a waiting person which step of the set-up is under way, and how long it usually takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Numbered steps on standard output, each with its usual and its real length."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._number = 0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    @contextmanager
    def step(self, text: str, usual: str) -> Iterator[None]:
        """Announce a step, and say how long it took."""
        self._number += 1
        self.say(f"[{self._number}/{self._steps}] {text} (usually {usual})")
        began = time.monotonic()
        yield
        self.say(f"[{self._number}/{self._steps}] done in {time.monotonic() - began:.0f} s")

    @staticmethod
    def say(text: str) -> None:
        """Print one line at once, also into a pipe."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
