"""The cluster that all end-to-end tests share, with the operator installed from its image by its chart."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from hack.lib.hgdemo import chart, images
from hack.lib.hgdemo.cluster import Cluster, down
from hack.lib.hgdemo.waiting import Trouble
from tests.e2e import shared_service, trials
from tests.e2e.town import Lab
from tests.names import own_name

VALUES = {
    "config": {
        "routers": ["gatewayAPI", "contour"],
        "rollingKinds": ["StatefulSet"],
        "restarts": True,
        "snapshotKinds": ["ConfigMap"],
        # A Prometheus that nobody answers for, and a query that no Prometheus understands.
        "metricProviders": {"silent": {"address": "http://127.0.0.1:9", "timeoutSeconds": 2}},
        "queryTemplates": shared_service.TEMPLATES
        | trials.TEMPLATES
        | {"nonsense": {"query": 'sum(rate(nothing{namespace="{{namespace}}"}[{{window}}])'}},
    }
}


@pytest.fixture(scope="package")
def lab() -> Iterator[Lab]:
    """Yield the cluster; HEADGATE_KEEP=1 leaves it running for the next run."""
    keep = "1" in {os.environ.get("HEADGATE_KEEP"), os.environ.get("HEADGATE_KEEP_CLUSTER")}
    with own_name("test-e2e") as name:
        cluster = None
        try:
            cluster = Cluster.up(name)
            program = images.ensure_application(cluster)
            image = images.ensure_operator(cluster)
            chart.install(cluster, image, replicas=2, more=VALUES)
            yield Lab(cluster, program, image, keep)
            # The pods that are left have seen whole releases and outages; those that were killed cannot be asked.
            crashed = [line for line in chart.log(cluster).splitlines() if "Traceback" in line or '"exception"' in line]
            assert not crashed, f"the operator logged {len(crashed)} exceptions, the first: {crashed[0][:1000]}"
        finally:
            if cluster is not None:
                _keep_log(cluster)
            if not keep:
                down(name)


def install(lab: Lab) -> None:
    """Install the operator again, after a test that removed it."""
    chart.install(lab.cluster, lab.image, replicas=2, more=VALUES)


def _keep_log(cluster: Cluster) -> None:
    cluster.folder.mkdir(parents=True, exist_ok=True)
    try:
        (cluster.folder / "operator.log").write_text(chart.log(cluster))
    except Trouble as trouble:
        (cluster.folder / "operator.log").write_text(str(trouble))
