"""Canaries without a router, by the operator on a real API server: the pods are the weight, forwards and back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.kube import Kube
from tests.api.shop import CANARY, STABLE, Shop

ALONE: dict[str, Any] = {"canaryService": None, "trafficRouting": None, "maxSurge": 1, "maxUnavailable": 0}


def deployed(kube: Kube, namespace: str) -> tuple[Shop, str]:
    """Four pods of the first version, and its pod hash."""
    shop = Shop(kube, namespace, replicas=4, steps=[{"setWeight": 25}, {"pause": {}}], canary=ALONE)
    shop.deploy()
    first = shop.pod_hash(1)
    shop.expect("version 1 is stable", lambda: shop.status().get("phase") == "Healthy")
    assert shop.pods_of(first) == 4
    return shop, first


@pytest.mark.parametrize(("verb", "phase", "wins"), [("promote", "Healthy", 2), ("abort", "Degraded", 1)])
def test_version_gets_its_share_by_pods(kube: Kube, namespace: str, verb: str, phase: str, wins: int) -> None:
    """One of four pods at 25%; then a person promotes it or takes it back. No selector is ever written."""
    shop, first = deployed(kube, namespace)
    second = shop.change(2)
    shop.expect_phase("Paused")
    shop.expect("a quarter of the pods is new", lambda: (shop.pods_of(first), shop.pods_of(second)) == (3, 1))
    shop.expect("that is observed", lambda: shop.status()["weights"].get("observed") == 25)
    assert shop.act(verb)[0] == "Accepted"
    shop.expect_phase(phase)
    left = (4, 0) if wins == 1 else (0, 4)
    shop.expect("all pods are of one version", lambda: (shop.pods_of(first), shop.pods_of(second)) == left)
    assert shop.status()["stable"]["podHash"] == shop.pod_hash(wins)
    assert shop.selected(STABLE) == shop.selected(CANARY) == ""
