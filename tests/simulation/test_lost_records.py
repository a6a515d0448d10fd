"""Somebody deletes the records that a Rollout stands on: nothing is stuck, and what can be made again is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation.world import World, spec

PAUSED: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {}}]


def settled(**more: Any) -> World:
    """A world at rest on v1."""
    world = World(1, spec(PAUSED, **more))
    world.settle(120)
    return world


def lose_records(world: World, pod_hash: str) -> None:
    """Delete every record of a revision."""
    for name in [n for n, p in world.plans.items() if p.pod_hash == pod_hash]:
        del world.plans[name]


@pytest.mark.parametrize("policy", ["Supersede", "Queue", "Reject"])
def test_an_attempt_whose_record_and_template_are_gone_is_left(policy: str) -> None:
    """The template has moved on, so the lost attempt can never be recorded again: waiting for it would be for ever."""
    world = settled(on_new_revision=policy)
    lost = world.release("v2")
    world.settle(120, until=("Paused",))
    world.release("v3")
    world.run_for(5)
    if world.status.current and world.status.current.pod_hash == lost:
        lose_records(world, lost)
    world.run_for(120)
    assert world.share(lost) == 0
    assert world.status.phase in ("Paused", "Degraded")
    assert world.status.current
    assert world.status.current.pod_hash != lost


def test_stable_pods_come_back_although_their_record_is_gone_too() -> None:
    """What is stable is still what the template says, so the record is made again, and from it the ReplicaSet."""
    world = settled()
    assert world.status.stable
    stable = world.status.stable.pod_hash
    lose_records(world, stable)
    world.sets.clear()
    world.run_for(120)
    assert [s.pod_hash for s in world.sets.values()] == [stable]
    world.check_rest()
