"""Bugs that other operators had and that only a real API server can show, each as one test that would find it.

The ids are those of the reliability contract; see tests/simulation/test_field_bugs.py and tests/unit for the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.api.cluster import LightCluster, until
from tests.api.kube import Kube
from tests.api.operator_process import OperatorProcess
from tests.api.shop import Shop, rollouts

LEVELS = (300, 1500, 5000)
"""How deep the odd objects are nested: beyond what each of the operator's JSON libraries takes by itself."""


def _records(namespace: str, name: str = "") -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions" + (f"/{name}" if name else "")


def _deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def _odd(shop: Shop, levels: int) -> Iterator[tuple[str, str, str]]:
    """Path, name and text of each odd object."""
    name = f"odd-{levels}"
    body = shop.rollout(1) | {"metadata": {"name": name}}
    body["spec"] |= {"template": {"metadata": {"labels": {"app": "odd"}}, "spec": "HERE"}}
    yield rollouts(shop.namespace), name, json.dumps(body).replace('"HERE"', _deep(levels))
    labels = '{"headgate.dev/rollout": "shop", "headgate.dev/revision": "odd"}'
    record = f'{{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{{"name":"{name}","labels":{labels}}},'
    yield _records(shop.namespace), name, f'{record}"revision":1,"data":{{"plan":{_deep(levels)}}}}}'


@pytest.fixture
def shop(light_cluster: LightCluster, kube: Kube, namespace: str) -> Iterator[Shop]:
    """A shop; the odd objects that were put beside it go before its namespace."""
    made = Shop(kube, namespace)
    yield made
    for levels in LEVELS:
        for path, name, _ in _odd(made, levels):
            light_cluster.kubectl("delete", "--raw", f"{path}/{name}", check=False)


def test_b33_an_object_that_is_nested_deep_stops_nobody(
    light_cluster: LightCluster, shop: Shop, operator: OperatorProcess
) -> None:
    """Argo Workflows CVE-2026-40886: what the server stores and no parser expects is there at the start, and comes."""
    operator.kill()
    for levels in LEVELS[:-1]:
        for path, _, text in _odd(shop, levels):
            light_cluster.kubectl("create", "--raw", path, "--filename", "-", stdin=text)
    operator.restart()
    shop.deploy_healthy()
    for path, _, text in _odd(shop, LEVELS[-1]):
        light_cluster.kubectl("create", "--raw", path, "--filename", "-", stdin=text)
    second = shop.change(2)
    shop.expect("the next release is promoted", lambda: shop.status()["stable"]["podHash"] == second)
    for levels in LEVELS:
        said = f"the odd Rollout of {levels} levels says what is wrong with it"
        path = f"{rollouts(shop.namespace)}/odd-{levels}"
        until(
            lambda where=path: "spec.template: is nested" in light_cluster.kubectl("get", "--raw", where).stdout,  # type: ignore[misc]
            seconds=60,
            what=said,
        )
