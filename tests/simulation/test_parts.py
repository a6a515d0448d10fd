"""Weights that are parts of another whole than 100: the same release, in smaller parts."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headgate.api.rollout import RolloutSpec
from tests.simulation.test_seeds import canary_rollout
from tests.simulation.test_stable_follows import FOLLOWS, Shared
from tests.simulation.world import Faults, World, comes_to_rest, spec, stays_at_rest

pytestmark = pytest.mark.simulation

WHOLE = 1000
FINE = {
    "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}, "maxTrafficWeight": WHOLE},
}
FAULTS = Faults(conflict=0.05, lost_applied=0.05, lost_unapplied=0.05, crash=0.05)


def in_parts(rollout: RolloutSpec, whole: int) -> RolloutSpec:
    """The same Rollout, its weights as parts of this."""
    said = rollout.model_dump(mode="json", by_alias=True, exclude_none=True)
    canary = said["strategy"]["canary"]
    canary["trafficRouting"]["maxTrafficWeight"] = whole
    for step in canary["steps"]:
        if "setWeight" in step:
            step["setWeight"] = step["setWeight"] * whole // 100
    return RolloutSpec.model_validate(said)


def history(rollout: RolloutSpec, seed: int) -> tuple[list[str], list[tuple[int, ...]], str]:
    """The writes of a release with faults, what there was after each minute of it, and where it came to rest."""
    world, seen = World(seed, rollout, FAULTS), list[tuple[int, ...]]()
    world.settle(200)
    world.release("v2")
    for _ in range(20):
        world.run_for(60)
        if world.status.paused or world.status.phase == "Paused":
            world.person("promote")
        seen.append((world.weight * 100 // rollout.total, *sorted(s.replicas for s in world.sets.values())))
    return world.writes, seen, world.status.phase


@pytest.mark.parametrize("seed", range(6))
def test_a_release_in_tenths_of_a_percent_is_the_same_release(seed: int) -> None:
    """Each write in its place, each pod, each share: the parts alone are smaller."""
    rollout = canary_rollout(random.Random(seed))
    assert history(in_parts(rollout, WHOLE), seed) == history(rollout, seed)


def test_one_request_in_a_thousand_takes_one_pod() -> None:
    """Less than a percent is more than nothing."""
    world = World(1, spec([{"setWeight": 1}, {"pause": {}}, {"setWeight": 999}, {"pause": {}}], canary=FINE))
    world.settle(120)
    old = world.status.stable.pod_hash if world.status.stable else ""
    new = world.release("v2")
    world.run_for(60)
    assert (world.weight, world.sets[f"shop-{new}"].replicas, world.sets[f"shop-{old}"].replicas) == (1, 1, 4)
    assert (world.status.weights.desired, world.status.weights.observed, world.status.weights.applied) == (1, 1, True)
    world.person("promote")
    world.run_for(60)
    assert (world.weight, world.sets[f"shop-{new}"].replicas) == (999, 4)
    world.person("promote")
    comes_to_rest(world)
    assert (world.weight, world.share(new)) == (0, WHOLE)
    stays_at_rest(world)


@pytest.mark.parametrize("weight", [1, 505, 999, 1000])
def test_the_way_back_waits_for_pods_in_parts_as_well(weight: int) -> None:
    """Where stable has given its pods away, no part goes back before the pods for it are there."""
    steps: list[dict[str, Any]] = [{"setWeight": weight}, {"pause": {}}]
    world = Shared(1, spec(steps, replicas=5, canary=FINE | FOLLOWS))
    world.settle(120)
    old = world.status.stable.pod_hash if world.status.stable else ""
    new = world.release("v2")
    world.run_for(120)
    assert world.weight == weight
    assert world.sets[f"shop-{old}"].replicas == -(-5 * (WHOLE - weight) // WHOLE)
    world.person("abort")
    comes_to_rest(world)
    assert (world.weight, world.share(new), world.sets[f"shop-{old}"].replicas) == (0, 0, 5)


def test_a_weight_beyond_the_whole_is_refused() -> None:
    """Here too: an object may be older than the schema's rule."""
    with pytest.raises(ValueError, match=r"steps\[0\].setWeight is more than 1000"):
        spec([{"setWeight": 1001}], canary=FINE)
    with pytest.raises(ValueError, match=r"steps\[0\].setWeight is more than 100"):
        spec([{"setWeight": 101}])
