"""What pods carry as the canary's or as stable: the ReplicaSet tells those that start, with few writes and no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from headgate.api.rollout import PodMetadata
from headgate.decide import problems
from tests.simulation.shell.scenario import ROLES
from tests.simulation.world import World, comes_to_rest, ratio, spec, stays_at_rest

pytestmark = pytest.mark.simulation

STEPS: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {}}]
KINDS = [pytest.param(spec, id="router"), pytest.param(ratio, id="ratio")]


def settled(roles: Mapping[str, Any] = ROLES, *, made: Any = spec, **more: Any) -> tuple[World, str]:
    """A world whose first revision is stable, and that one."""
    world = World(1, made(STEPS, canary=dict(roles), **more))
    world.settle(120)
    assert world.status.stable
    return world, world.status.stable.pod_hash


def role(world: World, pod_hash: str) -> str | None:
    """The role that pods of this revision get when they start."""
    found: str | None = world.sets[f"shop-{pod_hash}"].metadata.get("labels", {}).get("role")
    return found


@pytest.mark.parametrize("made", KINDS)
def test_pods_carry_the_role_in_which_they_start(made: Any) -> None:
    """The first ones are stable's from the beginning; the promotion takes one write for it, and none follows."""
    world, old = settled(made=made)
    assert role(world, old) == "stable"
    assert "ScaleReplicaSet" not in " ".join(world.writes)
    new = world.release("v2")
    world.run_for(60)
    assert (role(world, old), role(world, new)) == ("stable", "canary")
    world.person("promote")
    comes_to_rest(world)
    assert role(world, new) == "stable"
    assert world.sets[f"shop-{new}"].metadata == {
        "labels": {"app": "shop", "role": "stable", "headgate.dev/rollout": "shop", "headgate.dev/revision": new},
        "annotations": {"example.com/role": "stable"},
    }
    stays_at_rest(world)


def test_a_version_that_was_taken_back_stays_a_canary() -> None:
    """And what is stable needs nothing."""
    world, old = settled()
    new = world.release("v2")
    world.run_for(60)
    world.person("abort")
    comes_to_rest(world)
    assert (role(world, old), role(world, new)) == ("stable", "canary")


def test_an_old_version_is_a_canary_again_with_the_write_that_scales_it_up() -> None:
    """It takes no write of its own; its promotion takes the one."""
    world, old = settled()
    world.release("v2")
    world.run_for(60)
    world.person("promote")
    comes_to_rest(world)
    assert (role(world, old), world.sets[f"shop-{old}"].replicas) == ("stable", 0)
    world.release("v1")
    before = len(world.writes)
    world.run_for(60)
    assert (role(world, old), world.weight) == ("canary", 20)
    assert world.writes[before:].count(f"ScaleReplicaSet/shop-{old}") == 1
    world.person("promote")
    comes_to_rest(world)
    assert role(world, old) == "stable"


def test_an_edit_at_rest_is_one_write_and_taking_it_out_leaves_what_the_template_says() -> None:
    """It is no release, and no pod is replaced."""
    world, old = settled({})
    assert world.sets[f"shop-{old}"].mark == ""
    for roles, wanted in ((ROLES, "stable"), ({"stableMetadata": {"labels": {"role": "old"}}}, "old"), ({}, None)):
        before = len(world.writes)
        world.change_spec(strategy=spec(STEPS, canary=dict(roles)).strategy)
        world.run_for(60)
        assert role(world, old) == wanted
        assert [w for w in world.writes[before:] if w != "status"] == [f"ScaleReplicaSet/shop-{old}"]
        assert world.status.phase == "Healthy"
    assert world.sets[f"shop-{old}"].mark == ""
    assert "annotations" not in world.sets[f"shop-{old}"].metadata


def test_an_edit_in_mid_release_waits_for_pods_that_are_to_start() -> None:
    """What runs keeps what it has."""
    world, _ = settled({})
    new = world.release("v2")
    world.run_for(60)
    before = len(world.writes)
    world.change_spec(strategy=spec(STEPS, canary=dict(ROLES)).strategy)
    world.run_for(60)
    assert [w for w in world.writes[before:] if w != "status"] == []
    world.person("promote")
    comes_to_rest(world)
    assert role(world, new) == "stable"


def test_a_label_by_which_pods_are_found_is_refused_and_its_neighbour_taken() -> None:
    """The template's own labels, and those that a Service selects by, are no place for a role."""
    world, _ = settled()
    assert problems.find(world.snapshot()) == []
    for field in ("canaryMetadata", "stableMetadata"):
        world.change_spec(strategy=spec(STEPS, canary={field: {"labels": {"app": "x"}}}).strategy)
        told = problems.find(world.snapshot())
        assert [p.message.partition(" is ")[0] for p in told] == [f"spec.strategy.canary.{field}.labels: app"]
        assert not told[0].blocks_running
    world.change_spec(strategy=spec(STEPS, canary={"canaryMetadata": {"annotations": {"app": "x"}}}).strategy)
    assert problems.find(world.snapshot()) == []


@pytest.mark.parametrize("key", ["", "a b", "-a", "a/b/c", "A.b/c", "headgate.dev/role", "x" * 64])
def test_a_key_that_kubernetes_does_not_know_is_refused(key: str) -> None:
    """The server would refuse the pods, and nobody would look for the reason in the Rollout."""
    with pytest.raises(ValidationError, match="no key for a label"):
        PodMetadata.model_validate({"labels": {key: "x"}})


@pytest.mark.parametrize("key", ["a", "a.b", "a-b_c", "example.com/role", "x" * 63])
def test_a_key_that_kubernetes_knows_is_taken(key: str) -> None:
    """Its neighbours."""
    assert PodMetadata.model_validate({"annotations": {key: "x"}}).annotations == {key: "x"}
