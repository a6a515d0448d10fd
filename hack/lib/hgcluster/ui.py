"""What a person sees: progress lines on standard error, and the one exception that ends a command with a sentence."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_started = time.monotonic()


class ClusterError(Exception):
    """Something a person has to know: what happened, why, and what to do now."""


def say(text: str) -> None:
    """Print one progress line; standard output is kept for answers that scripts read."""
    print(f"[{time.monotonic() - _started:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announce something that takes a while, and say how long it took."""
    say(f"{text} …")
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    if took >= 5:
        say(f"{text}: done in {took:.0f} s")
