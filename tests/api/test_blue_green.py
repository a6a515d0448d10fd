"""Blue-green releases by the operator on a real API server: promoted, taken back by a gate or by a person."""

from __future__ import annotations

import pytest

from tests.api.kube import Json, Kube, Refused
from tests.api.prometheus import Prometheus
from tests.api.shop import CANARY, STABLE, Shop, gate, gates

JUDGED: list[Json] = [{"ref": {"name": "golden"}, "count": 1}]
FOR_LONG: list[Json] = [{"ref": {"name": "golden"}, "duration": "10m"}]


def test_version_is_previewed_and_switched_by_hand(kube: Kube, namespace: str, prometheus: Prometheus) -> None:
    """It comes up behind the preview Service, waits for a person, then all requests go to it, and it is promoted."""
    prometheus.values[namespace] = 0.25
    kube.create(gates(namespace), gate("golden"))
    strategy = {
        "previewReplicaCount": 1,
        "prePromotionGates": JUDGED,
        "postPromotionGates": JUDGED,
        "autoPromotionEnabled": False,
    }
    shop = Shop(kube, namespace, blue_green=strategy)
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_phase("Paused")
    assert (shop.selected(STABLE), shop.selected(CANARY)) == (first, second)
    assert (shop.pods_of(first), shop.pods_of(second)) == (2, 1)
    assert shop.status()["weights"].get("observed", 0) == 0
    assert shop.act("promote") == ("Accepted", "the pause at step 3 is over")
    shop.expect_promoted(2)
    shop.expect("the old version is scaled to 0", lambda: shop.pods_of(first) == 0)
    assert shop.pods_of(second) == 2
    verdicts = [(run["step"], run["verdict"]) for run in shop.status()["gates"]]
    assert verdicts == [(1, "Pass"), (4, "Pass")]


def test_gate_that_fails_after_the_switch_switches_back(kube: Kube, namespace: str, prometheus: Prometheus) -> None:
    """The users get the old version again, which never lost a pod, and the new one stays rejected."""
    prometheus.values[namespace] = 0.25
    kube.create(gates(namespace), gate("golden"))
    shop = Shop(kube, namespace, blue_green={"prePromotionGates": JUDGED, "postPromotionGates": FOR_LONG})
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect("the users get the new version", lambda: shop.selected(STABLE) == second)
    shop.expect("that is observed", lambda: shop.status()["weights"].get("observed") == 100)
    assert shop.pods_of(first) == 2
    prometheus.values[namespace] = 7.0
    shop.expect_phase("Degraded")
    assert (shop.selected(STABLE), shop.selected(CANARY)) == (first, first)
    assert second in shop.expect_condition("Rejected", "True", "GateFailed")
    assert shop.status()["weights"].get("observed", 0) == 0
    shop.expect("the version that was taken back is scaled to 0", lambda: shop.pods_of(second) == 0)
    assert shop.pods_of(first) == 2


def test_abort_after_the_switch_goes_back(kube: Kube, namespace: str, prometheus: Prometheus) -> None:
    """Somebody who has seen enough takes it back; the strategy cannot be changed to another one meanwhile."""
    prometheus.values[namespace] = 0.25
    kube.create(gates(namespace), gate("golden"))
    shop = Shop(kube, namespace, blue_green={"postPromotionGates": FOR_LONG})
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect("the users get the new version", lambda: shop.selected(STABLE) == second)
    canary: Json = {"blueGreen": None} | Shop(kube, namespace).rollout()["spec"]["strategy"]
    with pytest.raises(Refused, match="only while nothing is being released"):
        kube.patch(shop.path, {"spec": {"strategy": canary}})
    assert shop.act("abort") == ("Accepted", f"revision {second} is taken back")
    shop.expect_phase("Degraded")
    assert (shop.selected(STABLE), shop.selected(CANARY)) == (first, first)
    shop.expect("the version that was taken back is scaled to 0", lambda: shop.pods_of(second) == 0)


def test_strategy_is_changed_between_two_releases(kube: Kube, namespace: str) -> None:
    """At rest a canary becomes a blue-green Rollout, without a release; the next version is switched."""
    shop = Shop(kube, namespace)
    shop.deploy_healthy()
    switched = Shop(kube, namespace, blue_green={})
    kube.patch(shop.path, {"spec": {"strategy": {"canary": None} | switched.rollout()["spec"]["strategy"]}})
    switched.change(2)
    switched.expect_promoted(2)
    assert len(switched.status()["history"]) == 2
    assert shop.weight() == 0
