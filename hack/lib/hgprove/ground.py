"""What the campaigns against a real API server stand on: a light cluster, the operator beside it, and a Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.api import operator_process
from tests.api.cluster import LightCluster
from tests.api.kube import Kube, proxied
from tests.api.operator_process import OperatorProcess
from tests.api.prometheus import Prometheus, serving

TEMPLATES: Mapping[str, Any] = {
    "errors": {"query": 'sum(errors{namespace="{{namespace}}",service="{{canaryService}}"})'},
    "slow": {"query": 'histogram_quantile({{quantile}}, sum(latency{namespace="{{namespace}}"}))'},
}


def config(prometheus: Prometheus, **more: Any) -> dict[str, Any]:
    """A configuration that waits for nothing that is only pretended here."""
    return {
        "routeSettleSeconds": 0.1,
        "drainSeconds": 0.2,
        "metricProviders": {"up": {"address": prometheus.address, "timeoutSeconds": 5}},
        "queryTemplates": dict(TEMPLATES),
    } | more


@dataclass(slots=True)
class Ground:
    """What there is."""

    cluster: LightCluster
    kube: Kube
    prometheus: Prometheus
    operator: OperatorProcess


@contextmanager
def ground(name: str, folder: Path) -> Iterator[Ground]:
    """Start it all, and take it down in the end; HEADGATE_KEEP=1 leaves the cluster."""
    cluster = LightCluster.start(name)
    try:
        operator_process.install(cluster)
        with serving() as prometheus, proxied(cluster) as kube:
            operator = OperatorProcess(cluster, folder, config(prometheus))
            try:
                operator.start()
                yield Ground(cluster, kube, prometheus, operator)
            finally:
                operator.kill()
    finally:
        cluster.stop()
