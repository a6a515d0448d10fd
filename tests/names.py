"""Names of clusters for test runs on one machine: each run has its own, for as long as it goes."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MOST_RUNS = 4
"""Test runs with such a cluster that one machine can do at the same time."""


@contextmanager
def own_name(first: str) -> Iterator[str]:
    """Give this name, or the next one with a number while other runs have it; a run that dies gives its name back."""
    for number in range(1, MOST_RUNS + 1):
        name = first if number == 1 else f"{first}-{number}"
        with (Path(tempfile.gettempdir()) / f"headgate-{os.getuid()}-{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield name
            return
    pytest.fail(f"{MOST_RUNS} test runs with a cluster {first} are under way on this machine; wait for one of them.")
