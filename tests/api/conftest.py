"""What the tests of this folder share: the cluster, the operator as a process, and namespaces of their own."""

import itertools
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api import operator_process
from tests.api.cluster import LightCluster
from tests.api.kube import Kube, proxied
from tests.api.operator_process import OperatorProcess
from tests.api.prometheus import Prometheus, serving
from tests.names import own_name


@pytest.fixture(scope="package")
def light_cluster() -> Iterator[LightCluster]:
    """Yield a real API server; HEADGATE_KEEP=1 leaves it running after the tests."""
    with own_name("test-api") as name:
        cluster = LightCluster.start(name)
        try:
            yield cluster
        finally:
            cluster.stop()


TEMPLATES = {
    "errors": {"query": 'sum(errors{namespace="{{namespace}}",service="{{canaryService}}"})'},
    "slow": {"query": 'histogram_quantile({{quantile}}, sum(latency{namespace="{{namespace}}"}))'},
    "broken": {"query": 'sum(errors{namespace="{{namespace}}"}'},
}
_spaces = itertools.count(1)
_run = secrets.token_hex(2)
"""On a cluster that was kept, the namespaces of the run before may still be going."""


@pytest.fixture(scope="package")
def kube(light_cluster: LightCluster) -> Iterator[Kube]:
    """Yield the API server for tests that look often."""
    with proxied(light_cluster) as found:
        yield found


@pytest.fixture(scope="package")
def prometheus() -> Iterator[Prometheus]:
    """Yield a Prometheus that answers what a test wants."""
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def operator(
    request: pytest.FixtureRequest,
    light_cluster: LightCluster,
    prometheus: Prometheus,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OperatorProcess]:
    """Yield a running operator that manages all namespaces, with the chart's rights and no others.

    A module says in ROLLING_KINDS and SNAPSHOT_KINDS what it may release in place and what it may copy.
    """
    rolling_kinds: Sequence[str] = getattr(request.module, "ROLLING_KINDS", ())
    snapshot_kinds: Sequence[str] = getattr(request.module, "SNAPSHOT_KINDS", ())
    folder = tmp_path_factory.mktemp("operator")
    with operating(
        light_cluster, prometheus, folder, rolling_kinds=rolling_kinds, snapshot_kinds=snapshot_kinds
    ) as process:
        yield process


@contextmanager
def operating(
    light_cluster: LightCluster,
    prometheus: Prometheus,
    folder: Path,
    routers: Sequence[str] = ("gatewayAPI",),
    rolling_kinds: Sequence[str] = (),
    snapshot_kinds: Sequence[str] = (),
) -> Iterator[OperatorProcess]:
    """Run an operator that is set up for these routers, and to release or to copy these kinds."""
    if light_cluster.name is None:
        pytest.skip("the operator's user is known by a token, which an existing cluster does not have")
    given = {"routers": list(routers), "rollingKinds": list(rolling_kinds), "snapshotKinds": list(snapshot_kinds)}
    operator_process.install(light_cluster, *(f"config.{k}={{{','.join(v)}}}" for k, v in given.items() if v))
    config = given | {
        "routeSettleSeconds": 0.1,
        "drainSeconds": 0.2,
        "metricProviders": {
            "up": {"address": prometheus.address, "timeoutSeconds": 5},
            # Nobody listens there.
            "down": {"address": "http://127.0.0.1:9", "timeoutSeconds": 1},
        },
        "queryTemplates": TEMPLATES,
    }
    process = OperatorProcess(light_cluster, folder, config)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def namespace(kube: Kube, operator: OperatorProcess) -> Iterator[str]:  # noqa: ARG001  it hands back what is deleted
    """Yield a namespace of the test's own, which is deleted afterwards."""
    name = f"operator-{_run}-{next(_spaces)}"
    kube.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kube.delete(f"/api/v1/namespaces/{name}")
