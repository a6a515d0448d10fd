"""What the operator cannot work with: refused by a sentence that names the field, and nobody else is disturbed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from headgate.api.common import to_epoch
from tests.api.cluster import until
from tests.api.kube import Json, Kube, Refused
from tests.api.operator_process import OperatorProcess
from tests.api.shop import Shop, gate, gates, replica_sets, rollouts, routes, services

SPACE = "operator-refusals"
ROUTES = "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes"
STEP = "spec.strategy.canary.steps[1].gate.ref.name"


def gated(name: str) -> list[Json]:
    """Return steps with this gate in them."""
    return [{"setWeight": 50}, {"gate": {"ref": {"name": name}}}]


@dataclass(frozen=True)
class Row:
    """One thing that is wrong, and what is said about it."""

    name: str
    says: tuple[str, ...]
    change: Callable[[Shop], Shop] = field(default=lambda shop: shop)
    surroundings: Callable[[Kube, Shop], None] = field(default=lambda _kube, shop: shop.deploy_surroundings())


def without(kind: str) -> Callable[[Kube, Shop], None]:
    """Deploy what is around a Rollout, less one object."""

    def deploy(kube: Kube, shop: Shop) -> None:
        shop.deploy_surroundings()
        path = {"route": routes(SPACE, shop.name), "canary": services(SPACE, shop.canary_name)}[kind]
        kube.delete(path)

    return deploy


def foreign_service(kube: Kube, shop: Shop) -> None:
    """Deploy a canary Service that is somebody else's."""
    kube.create(services(SPACE), shop.service(shop.name))
    kube.create(services(SPACE), shop.service(shop.canary_name, app="somebody-else"))
    kube.create(routes(SPACE), shop.route())


def third_backend(kube: Kube, shop: Shop) -> None:
    """Deploy a route whose rule has a backend that is not the Rollout's."""
    shop.deploy_surroundings()
    route = shop.route()
    route["spec"]["rules"][0]["backendRefs"].append({"name": "somebody-else", "port": 80, "weight": 1})
    kube.patch(routes(SPACE, shop.name), {"spec": route["spec"]})


ROWS = (
    Row("no-gate", (STEP, '"no-such-gate"'), lambda s: replace(s, steps=gated("no-such-gate"))),
    Row("no-template", (STEP, "no-such-template"), lambda s: replace(s, steps=gated("no-template"))),
    Row("no-argument", (STEP, "quantile"), lambda s: replace(s, steps=gated("no-argument"))),
    Row("no-provider", (STEP, "no-such-provider"), lambda s: replace(s, steps=gated("no-provider"))),
    Row("raw-query", (STEP, "raw"), lambda s: replace(s, steps=gated("raw-query"))),
    Row("no-service", ("spec.strategy.canary.canaryService", '"no-service-canary"'), surroundings=without("canary")),
    Row("no-route", (ROUTES, '"no-route"'), surroundings=without("route")),
    Row("squatted", ("spec.strategy.canary.canaryService", "app=somebody-else"), surroundings=foreign_service),
    Row("third-backend", ("third-backend", "somebody-else"), surroundings=third_backend),
    Row(
        "no-workload",
        ("spec.workloadRef.name", '"no-such-deployment"'),
        lambda s: replace(s, spec={"workloadRef": {"name": "no-such-deployment"}, "template": None}),
    ),
)


@dataclass
class Spoiled:
    """All the rows, deployed together with a Rollout that is in order."""

    shops: dict[str, Shop]
    versions: dict[str, dict[str, str]]
    neighbour: Shop


@pytest.fixture(scope="module")
def spoiled(kube: Kube, operator: OperatorProcess) -> Iterator[Spoiled]:
    """Deploy all rows beside a healthy neighbour, and release the neighbour's second version."""
    assert operator.get("/healthz")
    kube.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    neighbour = Shop(kube, SPACE, "neighbour")
    neighbour.deploy_healthy()
    for one in (
        gate("no-template", template="no-such-template"),
        gate("no-argument", template="slow"),
        gate("no-provider", provider="no-such-provider"),
    ):
        kube.create(gates(SPACE), one)
    raw = gate("raw-query")
    raw["spec"]["checks"][0]["prometheus"]["query"] = {"raw": "up"}
    kube.create(gates(SPACE), raw)
    shops = {row.name: row.change(Shop(kube, SPACE, row.name)) for row in ROWS}
    for row in ROWS:
        row.surroundings(kube, shops[row.name])
    versions = {name: shop.versions() for name, shop in shops.items()}
    for shop in shops.values():
        kube.create(rollouts(SPACE), shop.rollout())
    neighbour.change(2)
    yield Spoiled(shops, versions, neighbour)
    kube.delete(f"/api/v1/namespaces/{SPACE}")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_unusable_spec_is_refused_and_touches_nothing(kube: Kube, spoiled: Spoiled, row: Row) -> None:
    """`Ready=False` names the field and what is wrong with it; no ReplicaSet, no selector and no weight is written."""
    shop = spoiled.shops[row.name]
    message = shop.expect_condition("Ready", "False", "InvalidSpec")
    for word in row.says:
        assert word in message
    assert shop.versions() == spoiled.versions[row.name]
    label = f"headgate.dev%2Frollout%3D{row.name}"
    assert kube.must_get(f"{replica_sets(SPACE)}?labelSelector={label}")["items"] == []


def test_neighbour_is_promoted_meanwhile(spoiled: Spoiled) -> None:
    """A Rollout in the same namespace goes on as if the broken ones were not there."""
    spoiled.neighbour.expect_promoted(2)


def test_correcting_the_spec_is_enough(kube: Kube, spoiled: Spoiled) -> None:
    """When what was missing is created, the Rollout goes on by itself."""
    shop = spoiled.shops["no-service"]
    shop.expect_condition("Ready", "False", "InvalidSpec")
    kube.create(services(SPACE), shop.service(shop.canary_name))
    shop.expect_promoted(1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": [{"setWeight": 101}]}, "setWeight"),
        ({"steps": []}, "steps"),
        ({"steps": [{"setWeight": 5, "pause": {}}]}, "exactly one of setWeight, pause, gate, setCanaryScale"),
        ({"canary": {"canaryService": "shop"}}, "stableService and canaryService must be two Services"),
        ({"replicas": -1}, "replicas"),
    ],
    ids=["weight-101", "no-steps", "two-in-one-step", "one-service-twice", "replicas"],
)
def test_schema_refuses_what_it_can(kube: Kube, namespace: str, change: Json, says: str) -> None:
    """What a schema can see never reaches the operator: the API server refuses it with a sentence."""
    shop = replace(Shop(kube, namespace), **change)
    with pytest.raises(Refused) as refused:
        kube.create(rollouts(namespace), shop.rollout())
    assert says in str(refused.value)


def test_schema_refuses_an_empty_gate(kube: Kube, namespace: str) -> None:
    """A gate without a check would pass everything."""
    empty = gate("empty", checks=[])
    with pytest.raises(Refused) as refused:
        kube.create(gates(namespace), empty)
    assert "spec.checks" in str(refused.value)


def test_gate_that_cannot_ask_holds(kube: Kube, namespace: str) -> None:
    """A provider that is down never passes a gate: the release is held at its weight, and says why."""
    kube.create(gates(namespace), gate("golden", provider="down", consecutiveErrorLimit=0))
    shop = Shop(kube, namespace, steps=[*gated("golden"), {"setWeight": 100}])
    first = shop.deploy_healthy()
    shop.change(2)
    shop.expect_phase("Held")
    assert "golden" in shop.status()["message"]
    assert shop.condition("GatesPassing")["reason"] == "GateHeld"
    assert shop.weight() == 50
    assert shop.selected() == first
    phase, message = shop.act("override")
    assert (phase, "golden" in message) == ("Accepted", True)
    shop.expect_promoted(2)


def test_query_that_does_not_parse_holds(kube: Kube, namespace: str) -> None:
    """A template that Prometheus refuses never passes a gate: the release is held, and says `QueryRefused`."""
    kube.create(gates(namespace), gate("golden", template="broken", provider="up", consecutiveErrorLimit=0))
    shop = Shop(kube, namespace, steps=gated("golden"))
    first = shop.deploy_healthy()
    shop.change(2)
    shop.expect_phase("Held")
    run = shop.status()["gates"][0]
    assert run["checks"][0]["measurements"][-1]["reason"] == "QueryRefused"
    assert (shop.weight(), shop.selected()) == (50, first)


def test_second_claim_is_refused_and_the_first_undisturbed(
    kube: Kube, namespace: str, operator: OperatorProcess
) -> None:
    """Of two Rollouts that claim one route the older keeps it; the other is told so, and neither writes in turns."""
    first = Shop(kube, namespace, "first")
    first.deploy_healthy()
    second = Shop(kube, namespace, "second")
    second.deploy_surroundings()
    # The API server counts ages in whole seconds.
    created = to_epoch(first.object()["metadata"]["creationTimestamp"])
    until(lambda: time.time() > created + 1.1, seconds=5, what="the first one is older")
    claim = second.rollout()
    canary = claim["spec"]["strategy"]["canary"]
    canary["trafficRouting"]["gatewayAPI"]["httpRoutes"] = [{"name": "first", "rule": "main"}]
    kube.create(rollouts(namespace), claim)
    message = second.expect_condition("Ready", "False", "Conflict")
    assert '"first"' in message
    written = second.object()["metadata"]["resourceVersion"]
    first.change(2)
    first.expect_promoted(2)
    assert second.object()["metadata"]["resourceVersion"] == written
    of_second = [o for o in operator.logged() if o.get("rollout") == f"{namespace}/second" and o["message"] == "write"]
    assert of_second == []


def test_squatted_name_is_left_alone(kube: Kube, namespace: str) -> None:
    """A foreign ReplicaSet of the name that a version would get is left alone and named; the release waits for it."""
    shop = Shop(kube, namespace)
    shop.deploy_healthy()
    name = f"shop-{shop.pod_hash(2)}"
    foreign = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "labels": {"mine": "yes"}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"mine": "yes"}},
            "template": {
                "metadata": {"labels": {"mine": "yes"}},
                "spec": {"containers": [{"name": "a", "image": "a"}]},
            },
        },
    }
    made = kube.create(replica_sets(namespace), foreign)
    shop.change(2)

    def stalled() -> bool:
        return shop.condition("Stalled").get("status") == "True" and name in shop.condition("Stalled")["message"]

    shop.expect("it says which object is in the way", stalled)
    found = kube.must_get(replica_sets(namespace, name))
    assert (found["metadata"]["uid"], found["spec"]) == (made["metadata"]["uid"], made["spec"])
    kube.delete(replica_sets(namespace, name))
    shop.expect_promoted(2)


def test_forged_kopf_metadata_is_ignored(kube: Kube, namespace: str, operator: OperatorProcess) -> None:
    """A tenant who knows what the operator is built on gains nothing: forged annotations and finalizers just stay."""
    shop = Shop(kube, namespace)
    shop.deploy_healthy()
    forged: dict[str, Any] = {
        "annotations": {
            "kopf.zalando.org/last-handled-configuration": '{"spec":{"replicas":99}}',
            "kopf.zalando.org/heard": '{"started":"2020-01-01T00:00:00","delayed":"2099-01-01T00:00:00"}',
            "kopf.zalando.org/touch-dummy": "2020-01-01T00:00:00",
        },
        "finalizers": ["kopf.zalando.org/KopfFinalizerMarker"],
    }
    path = services(namespace, "shop")
    kube.patch(path, {"metadata": forged})
    kube.patch(shop.path, {"metadata": {"annotations": forged["annotations"]}})
    try:
        shop.change(2)
        shop.expect_promoted(2)
        found = kube.must_get(path)["metadata"]
        assert found["finalizers"] == forged["finalizers"]
        assert found["annotations"] == forged["annotations"]
        assert shop.object()["metadata"]["annotations"].items() >= forged["annotations"].items()
        assert not [o for o in operator.logged() if o["level"] == "error"]
    finally:
        kube.patch(path, {"metadata": {"finalizers": None}})
