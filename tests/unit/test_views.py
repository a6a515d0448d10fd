"""Objects as views, and back: what is written is what is read."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.act import records, replica_sets
from headgate.act.context import Context
from headgate.act.kube import Kube
from headgate.api.gate import Argument, Check, QualityGateSpec
from headgate.api.rollout import Canary, GateRef, GateStep, Pause, RolloutSpec, Step
from headgate.api.routes import SessionAffinity
from headgate.decide.types import CreatePlan, CreateReplicaSet, Plan, RolloutMeta
from headgate.engine.trim import trim
from headgate.observe import views
from headgate.traffic.registry import ROUTERS
from tests.unit.engine_world import SETS, rollout
from tests.unit.fake_api import FakeAPI

META = RolloutMeta("shop", "checkout", "rollout-uid", "7", 1, 0.0)


def canary() -> Canary:
    """The strategy of the Rollout."""
    found = RolloutSpec.model_validate(rollout()["spec"]).strategy.canary
    assert found is not None
    return found


def context(api: FakeAPI) -> Context:
    """For actions on an empty server."""

    class Nothing:
        def get(self, _kind: str, _namespace: str, _name: str) -> None:
            return None

    return Context(Kube(api), Nothing(), ROUTERS, META, canary(), 0.0)


@pytest.mark.parametrize("session", [None, SessionAffinity(cookie_name="stay", secure=True, same_site="Lax")])
async def test_a_plan_is_read_as_it_was_written(session: SessionAffinity | None) -> None:
    """Steps, gates and how users stay come back equal, through JSON and the cache."""
    check = Check.model_validate({"name": "c", "prometheus": {"query": {"raw": "up"}}, "pass": {"min": 1}})
    gate = QualityGateSpec(checks=[check], duration="5m")
    plan = Plan(
        steps=(
            Step(set_weight=5),
            Step(pause=Pause()),
            Step(gate=GateStep(ref=GateRef(name="golden"), duration="1m")),
            Step(gate=GateStep(ref=GateRef(name="golden"), arguments=[Argument(name="route", value="/cart")])),
        ),
        step_gates={"golden": gate},
        background_gates={"golden": gate},
        session=session,
    )
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c"}]}}
    action = CreatePlan("checkout-abc-1", "v1-full", "abc", 1, template, plan)
    effect = await records.create(context(FakeAPI()), action)
    assert effect.obj is not None
    view = views.plan(trim("ControllerRevision", effect.obj))
    assert view is not None
    assert (view.revision, view.pod_hash, view.attempt) == ("v1-full", "abc", 1)
    assert view.template == template
    assert view.plan == plan


async def test_a_replica_set_carries_no_label_of_the_template() -> None:
    """No Deployment can adopt it, its pods carry both sets of labels, and it has two owners of which one controls."""
    template = {"metadata": {"labels": {"app": "x"}, "creationTimestamp": None}, "spec": {}}
    action = CreateReplicaSet("checkout-abc", "v1-full", "abc", 0, 3, 5, template, "checkout-abc-1", "plan-uid")
    api = FakeAPI()
    await replica_sets.create(context(api), action)
    obj = api.objects[f"{SETS}/checkout-abc"]
    ours = {"headgate.dev/rollout": "checkout", "headgate.dev/revision": "abc"}
    assert obj["metadata"]["labels"] == ours
    assert obj["spec"]["selector"]["matchLabels"] == ours
    assert obj["spec"]["template"]["metadata"] == {"labels": {"app": "x"} | ours}
    assert [(o["kind"], bool(o.get("controller"))) for o in obj["metadata"]["ownerReferences"]] == [
        ("Rollout", True),
        ("ControllerRevision", False),
    ]
    view = views.replica_set(trim("ReplicaSet", obj), "rollout-uid")
    assert (view.owned, view.revision, view.pod_hash, view.replicas) == (True, "v1-full", "abc", 3)
    assert not views.replica_set(trim("ReplicaSet", obj), "another-uid").owned


async def test_pods_of_a_variant_are_not_counted_as_the_rollouts() -> None:
    """The ReplicaSet is found by the Rollout's label; an autoscaler that asks for pods by it finds none of these."""
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {}}
    owners = ("checkout-abc-1", "plan-uid")
    action = CreateReplicaSet("checkout-xyz", "v1-full", "xyz", 0, 1, 5, template, *owners, variant="baseline")
    api = FakeAPI()
    await replica_sets.create(context(api), action)
    obj = api.objects[f"{SETS}/checkout-xyz"]
    of_pods = {"headgate.dev/revision": "xyz", "headgate.dev/variant": "baseline"}
    assert obj["metadata"]["labels"] == {"headgate.dev/rollout": "checkout", **of_pods}
    labels = obj["spec"]["template"]["metadata"]["labels"]
    assert "headgate.dev/rollout" not in labels, "its pods have the Rollout's label"
    assert obj["spec"]["selector"]["matchLabels"] == of_pods
    assert labels == {"app": "x"} | of_pods
    assert views.replica_set(trim("ReplicaSet", obj), "rollout-uid").variant == "baseline"


def test_endpoints_are_counted_by_revision_and_pods_once() -> None:
    """Ready pods count under their ReplicaSet's hash, once for both address families; strangers under nothing."""

    def endpoints(*pods: tuple[str, bool | None]) -> dict[str, Any]:
        return trim(
            "EndpointSlice",
            {
                "metadata": {"labels": {"kubernetes.io/service-name": "s"}},
                "endpoints": [{"targetRef": {"name": n}, "conditions": {"ready": r}} for n, r in pods],
            },
        )

    slices = [
        endpoints(("checkout-abc-11111", True), ("checkout-abc-22222", False), ("checkout-def-33333", None)),
        endpoints(("checkout-abc-11111", True), ("stranger-44444", True)),
    ]
    service = {"metadata": {"resourceVersion": "1"}, "spec": {"selector": {"app": "x"}}}
    view = views.service("s", service, slices, {"checkout-abc": "abc", "checkout-def": "def"})
    assert view.ready == {"abc": 1, "def": 1, "": 1}


def test_a_controller_revision_of_somebody_else_is_no_plan() -> None:
    """Whatever it holds, it is not read as ours."""
    obj = {"metadata": {"name": "x", "uid": "u", "resourceVersion": "1"}, "data": {"spec": {}}}
    assert views.plan(trim("ControllerRevision", obj)) is None
