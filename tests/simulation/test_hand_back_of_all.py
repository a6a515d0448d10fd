"""A Rollout goes while somebody has just let its stable Service select every pod: the canary's traffic leaves first."""

from __future__ import annotations

from headgate.decide.invariants import guard
from headgate.decide.rollout import decide
from tests.simulation.world import World, spec


def test_no_pods_are_taken_from_a_canary_that_the_stable_service_selects_too() -> None:
    """The Service is pointed at stable, then the canary goes, then both Services are handed back."""
    world = World(1, spec([{"setWeight": 20}, {"pause": {}}]))
    world.settle(120)
    canary = world.release("v2")
    world.settle(120, until=("Paused",))
    world.selectors["shop"] = ""
    world.service_versions["shop"] += 1
    world.deleting = True
    while not world.gone:
        decision = decide(world.snapshot(), world.now)
        if decision.action is not None:
            assert guard(world.snapshot(), decision.action, decision.status) == []
        before = world.now
        world.run_for(1)
        assert before < 1_800_000_000 + 900, decision.waiting
    assert world.sets[f"shop-{canary}"].replicas == 0
    assert set(world.selectors.values()) == {""}


def test_an_orphaned_rollout_keeps_its_pods_over_a_restart() -> None:
    """The server says it for a moment; a process that begins in mid hand-back reads it in the journal."""
    world = World(1, spec([{"setWeight": 20}, {"pause": {}}]))
    world.settle(120)
    assert world.status.stable
    stable = f"shop-{world.status.stable.pod_hash}"
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.deleting = world.orphaning = True
    world.turn()
    world.orphaning = False
    world.run_for(300)
    assert world.gone
    assert world.sets[stable].replicas == 4, "the pods that were to stay are gone"
    assert [p.name.rpartition("-")[0] for p in world.plans.values()] == [stable], "the record is what owns the pods"


def test_an_orphaned_rollout_that_was_never_stable_hands_the_canary_service_back() -> None:
    """Its pods are to stay, and nothing of what leads to them but what may serve already."""
    world = World(1, spec([{"setWeight": 20}]))
    while not world.selectors["shop-canary"]:
        world.run_for(0.5)
    assert world.status.stable is None
    world.deleting = world.orphaning = True
    world.run_for(120)
    assert world.gone
    assert world.selectors["shop-canary"] == ""
    assert world.plans, "the record is what owns the pods from now on"
