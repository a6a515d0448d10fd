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
    """Somebody who has seen enough takes it back."""
    prometheus.values[namespace] = 0.25
    kube.create(gates(namespace), gate("golden"))
    shop = Shop(kube, namespace, blue_green={"postPromotionGates": FOR_LONG})
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect("the users get the new version", lambda: shop.selected(STABLE) == second)
    assert shop.act("abort") == ("Accepted", f"revision {second} is taken back")
    shop.expect_phase("Degraded")
    assert (shop.selected(STABLE), shop.selected(CANARY)) == (first, first)
    shop.expect("the version that was taken back is scaled to 0", lambda: shop.pods_of(second) == 0)


def test_strategy_is_changed_between_two_releases(kube: Kube, namespace: str) -> None:
    """At rest a canary becomes a blue-green Rollout, without a release; in mid-run its weight would be left behind."""
    shop = Shop(kube, namespace, steps=[{"setWeight": 50}, {"pause": {}}])
    shop.deploy_healthy()
    switched = Shop(kube, namespace, blue_green={})
    other: Json = {"spec": {"strategy": {"canary": None} | switched.rollout()["spec"]["strategy"]}}
    second = shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    with pytest.raises(Refused, match="only while nothing is being released"):
        kube.patch(shop.path, other)
    assert shop.act("abort") == ("Accepted", f"revision {second} is taken back")
    shop.expect_phase("Degraded")
    kube.patch(shop.path, other)
    switched.change(3)
    switched.expect_promoted(3)
    assert [h["outcome"] for h in switched.status()["history"]] == ["Promoted", "Rejected", "Promoted"]
    assert shop.weight() == 0


def test_strategy_goes_back_to_canary_in_mid_run(kube: Kube, namespace: str, prometheus: Prometheus) -> None:
    """Who reverts in Git what made a Rollout blue-green is not refused, and the users go back to the stable version."""
    prometheus.values[namespace] = 0.25
    kube.create(gates(namespace), gate("golden"))
    shop = Shop(kube, namespace)
    first = shop.deploy_healthy()
    switched = Shop(kube, namespace, blue_green={"postPromotionGates": FOR_LONG})
    strategy = {"canary": None} | switched.rollout()["spec"]["strategy"]
    kube.patch(shop.path, {"spec": {"strategy": strategy, "template": shop.template(2)}})
    second = shop.pod_hash(2)
    shop.expect("the users get the new version", lambda: shop.selected(STABLE) == second)
    back = {"blueGreen": None} | shop.rollout()["spec"]["strategy"]
    kube.patch(shop.path, {"spec": {"strategy": back, "template": shop.template(1)}})
    shop.expect_promoted(1)
    assert (shop.selected(STABLE), shop.weight()) == (first, 0)
    assert shop.status()["history"][-1]["outcome"] == "Reverted"


def test_a_router_switches_and_the_active_service_follows(kube: Kube, namespace: str, prometheus: Prometheus) -> None:
    """The route leads to the preview Service while the gate judges; in mid-run it must not be given up."""
    prometheus.values[namespace] = 0.25
    kube.create(gates(namespace), gate("golden"))
    routing = Shop(kube, namespace).rollout()["spec"]["strategy"]["canary"]["trafficRouting"]
    shop = Shop(kube, namespace, blue_green={"trafficRouting": routing, "postPromotionGates": FOR_LONG})
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect("the users get the new version", lambda: shop.weight() == 100)
    assert (shop.selected(STABLE), shop.selected(CANARY)) == (first, second)
    with pytest.raises(Refused, match="the old ones may lead to the new version"):
        kube.patch(shop.path, {"spec": {"strategy": {"blueGreen": {"trafficRouting": None}}}})
    assert shop.act("abort") == ("Accepted", f"revision {second} is taken back")
    shop.expect_phase("Degraded")
    assert (shop.weight(), shop.selected(STABLE), shop.selected(CANARY)) == (0, first, first)
