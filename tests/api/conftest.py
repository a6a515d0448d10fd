"""The cluster that all tests of this folder share."""

from collections.abc import Iterator

import pytest

from tests.api.cluster import LightCluster


@pytest.fixture(scope="session")
def light_cluster() -> Iterator[LightCluster]:
    """Yield a real API server; HEADGATE_KEEP=1 leaves it running after the tests."""
    cluster = LightCluster.start("test-api")
    try:
        yield cluster
    finally:
        cluster.stop()
