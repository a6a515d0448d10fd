"""Pods of two versions on different nodes: each ReplicaSet is made with a term for it, and nothing changes that."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from headgate.api.rollout import AntiAffinity
from headgate.decide import apart
from tests.simulation.world import World, blue_green, comes_to_rest, ratio, spec, stays_at_rest

pytestmark = pytest.mark.simulation

STEPS: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {}}]
REQUIRED: dict[str, Any] = {apart.REQUIRED: {}}
PREFERRED: dict[str, Any] = {apart.PREFERRED: {"weight": 50}}


def made(kind: str, wanted: dict[str, Any]) -> Any:
    """The spec of a Rollout of this strategy that asks for it, or not."""
    said = {"antiAffinity": wanted} if wanted else {}
    if kind == "blue-green":
        return blue_green(strategy={"autoPromotionEnabled": False, **said})
    return {"router": spec, "ratio": ratio}[kind](STEPS, canary=said)


def term(pod_hash: str) -> dict[str, Any]:
    """Against the pods of every other revision, and of no other Rollout."""
    others = {"key": "headgate.dev/revision", "operator": "NotIn", "values": [pod_hash]}
    return {
        "labelSelector": {"matchLabels": {"headgate.dev/rollout": "shop"}, "matchExpressions": [others]},
        "topologyKey": "kubernetes.io/hostname",
    }


def affinity(world: World, pod_hash: str) -> Any:
    """What the ReplicaSet of a revision says of nodes."""
    return world.sets[f"shop-{pod_hash}"].pod_spec.get("affinity")


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("router", REQUIRED), ("router", PREFERRED), ("ratio", PREFERRED), ("blue-green", REQUIRED)],
)
def test_both_versions_keep_apart_from_the_first_pod_on(kind: str, wanted: dict[str, Any]) -> None:
    """The first revision too, so that a pod of it that starts anew keeps away from the new version's."""
    world = World(1, made(kind, wanted))
    world.settle(120)
    old = world.status.stable.pod_hash if world.status.stable else ""
    new = world.release("v2")
    world.run_for(60)
    for pod_hash in (old, new):
        entry: Any = term(pod_hash)
        if wanted == PREFERRED:
            entry = {"weight": 50, "podAffinityTerm": entry}
        found = affinity(world, pod_hash)
        assert found == {"podAntiAffinity": {next(iter(wanted)): [entry]}}, f"the pods of {pod_hash} keep to {found}"


def test_a_promotion_and_an_edit_change_nothing_that_runs() -> None:
    """It is no part of the revision: the same writes are made with it as without, and none when it is edited."""
    world, plain = World(1, made("router", REQUIRED)), World(1, made("router", {}))
    for one in (world, plain):
        one.settle(120)
        one.release("v2")
        one.run_for(60)
        one.person("promote")
        comes_to_rest(one)
    assert world.writes == plain.writes
    new = world.status.stable.pod_hash if world.status.stable else ""
    before, kept = len(world.writes), affinity(world, new)
    for wanted in (PREFERRED, {}):
        world.change_spec(strategy=made("router", wanted).strategy)
        world.run_for(60)
        assert world.status.phase == "Healthy"
    assert [w for w in world.writes[before:] if w != "status"] == []
    assert kept == affinity(world, new)
    assert kept is not None
    stays_at_rest(world)


def test_terms_of_the_template_stay_and_the_template_is_not_touched() -> None:
    """Ours comes after them."""
    own = {"labelSelector": {"matchLabels": {"app": "noisy"}}, "topologyKey": "zone"}
    template: dict[str, Any] = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {"affinity": {"nodeAffinity": {"x": 1}, "podAntiAffinity": {apart.REQUIRED: [own]}}, "containers": []},
    }
    before = copy.deepcopy(template)
    made = apart.kept(template, AntiAffinity.model_validate(REQUIRED), "shop", "abc")
    assert template == before
    found = made["spec"]["affinity"]["podAntiAffinity"].pop(apart.REQUIRED)
    assert found == [own, term("abc")]
    before["spec"]["affinity"]["podAntiAffinity"].pop(apart.REQUIRED)
    assert made == before


@pytest.mark.parametrize(
    "odd",
    [
        {"spec": "junk"},
        {"spec": {"affinity": []}},
        {"spec": {"affinity": {"podAntiAffinity": 7}}},
        {"spec": {"affinity": {"podAntiAffinity": {apart.REQUIRED: "all"}}}},
    ],
)
def test_a_template_that_has_something_else_there_goes_to_the_server_as_it_is(odd: dict[str, Any]) -> None:
    """Which refuses it with the field; it is not put right in silence."""
    assert apart.kept(odd, AntiAffinity.model_validate(REQUIRED), "shop", "abc") == odd


def test_null_is_as_nothing() -> None:
    """A field that is there without a value."""
    made = apart.kept({"spec": {"affinity": None}}, AntiAffinity.model_validate(PREFERRED), "shop", "abc")
    assert made["spec"]["affinity"]["podAntiAffinity"] == {
        apart.PREFERRED: [{"weight": 50, "podAffinityTerm": term("abc")}]
    }
