"""The cluster that all tests of this folder share."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cluster import LightCluster

MOST_RUNS = 4
"""Test runs that one machine can do at the same time."""


@pytest.fixture(scope="session")
def light_cluster() -> Iterator[LightCluster]:
    """Yield a real API server; HEADGATE_KEEP=1 leaves it running after the tests."""
    # Each run holds the lock of its cluster's name: a second run on this machine takes the next name.
    for number in range(1, MOST_RUNS + 1):
        name = "test-api" if number == 1 else f"test-api-{number}"
        with (Path(tempfile.gettempdir()) / f"headgate-{os.getuid()}-{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            cluster = LightCluster.start(name)
            try:
                yield cluster
            finally:
                cluster.stop()
            return
    pytest.fail(f"{MOST_RUNS} test runs are under way on this machine; wait for one of them to end.")
