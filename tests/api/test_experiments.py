"""A release with an experiment on a real API server: real ReplicaSets and pods, a Service, a share in the route."""

from __future__ import annotations

from typing import Any

from tests.api.kube import Json, Kube
from tests.api.prometheus import Prometheus
from tests.api.shop import Shop, gate, gates, replica_sets, routes, services

BASELINE = "shop-baseline"
VARIANTS: list[Json] = [
    {"name": "baseline", "specRef": "Stable", "replicas": 2, "service": BASELINE, "weight": 10},
    {"name": "trial", "specRef": "Canary"},
]
EXPERIMENT: Json = {"experiment": {"variants": VARIANTS, "gate": {"ref": {"name": "golden"}, "count": 2}}}
OF_VARIANTS = "?labelSelector=headgate.dev%2Fvariant"


def shop_of(kube: Kube, namespace: str, **more: Any) -> Shop:
    """A shop whose release has an experiment between two weights."""
    kube.create(gates(namespace), gate("golden"))
    shop = Shop(kube, namespace, steps=[{"setWeight": 20}, EXPERIMENT, {"setWeight": 60}], **more)
    kube.create(services(namespace), shop.service(BASELINE))
    shop.deploy_healthy()
    shop.change(2)
    return shop


def variants(shop: Shop) -> dict[str, Json]:
    """The ReplicaSets of variants, by their names in the step."""
    found = shop.kube.must_get(replica_sets(shop.namespace) + OF_VARIANTS)["items"]
    return {str(o["metadata"]["labels"]["headgate.dev/variant"]): o for o in found}


def pods(shop: Shop) -> list[Json]:
    """The pods of variants."""
    listed = shop.kube.must_get(f"/api/v1/namespaces/{shop.namespace}/pods{OF_VARIANTS}")
    return [dict(pod["metadata"]["labels"]) for pod in listed["items"]]


def backends(shop: Shop) -> dict[str, int]:
    """What the route gives to each Service."""
    rule = shop.kube.must_get(routes(shop.namespace, shop.name))["spec"]["rules"][0]
    return {str(b["name"]): int(b["weight"]) for b in rule["backendRefs"]}


def selector(shop: Shop) -> str:
    """The revision that the baseline's Service selects."""
    found = shop.kube.must_get(services(shop.namespace, BASELINE))["spec"]["selector"]
    return str(found.get("headgate.dev/revision", ""))


def test_variants_come_are_compared_and_go(kube: Kube, namespace: str, prometheus: Prometheus) -> None:
    """While nothing is known the gate is held, and the variants stay; then it passes, and nothing of them is left."""
    shop = shop_of(kube, namespace)
    shop.expect("the share is led", lambda: backends(shop) == {"shop": 70, "shop-canary": 20, BASELINE: 10})
    made = variants(shop)
    images = {name: o["spec"]["template"]["spec"]["containers"][0]["image"] for name, o in made.items()}
    assert images == {"baseline": "registry.example/shop:v1", "trial": "registry.example/shop:v2"}
    assert {name: o["spec"]["replicas"] for name, o in made.items()} == {"baseline": 2, "trial": 1}
    assert selector(shop) == made["baseline"]["metadata"]["labels"]["headgate.dev/revision"]
    labels = pods(shop)
    assert len(labels) == 3
    assert not any("headgate.dev/rollout" in found for found in labels), "an autoscaler would count them"
    shop.expect_phase("Held")
    assert shop.status()["replicas"] == 3, "two of the stable version and one of the canary"
    prometheus.values[namespace] = 0
    shop.expect_promoted(2)
    shop.expect("the variants are gone", lambda: not variants(shop) and not pods(shop))
    assert backends(shop) == {"shop": 100, "shop-canary": 0}
    assert selector(shop), "it leads to nobody, not to everybody"


def test_a_deletion_in_the_middle_hands_everything_back(kube: Kube, namespace: str) -> None:
    """The variants go before their Service leads to all pods again."""
    shop = shop_of(kube, namespace)
    shop.expect("the share is led", lambda: BASELINE in backends(shop))
    kube.delete(shop.path)
    shop.expect("it is gone", lambda: kube.get(shop.path) is None)
    assert backends(shop) == {"shop": 100, "shop-canary": 0}
    assert selector(shop) == ""
    shop.expect("no ReplicaSet is left", lambda: not kube.must_get(replica_sets(namespace))["items"])


def test_an_abort_in_the_middle_leaves_the_stable_version_alone(kube: Kube, namespace: str) -> None:
    """Share and weight go together, then the pods."""
    shop = shop_of(kube, namespace)
    shop.expect("the share is led", lambda: BASELINE in backends(shop))
    assert shop.act("abort")[0] == "Accepted"
    shop.expect_phase("Degraded")
    shop.expect("the variants are gone", lambda: not variants(shop))
    assert backends(shop) == {"shop": 100, "shop-canary": 0}
