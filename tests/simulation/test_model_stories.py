"""Stories that the model check has told: each began as the shortest way to a broken invariant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headgate.decide.rollout import decide
from tests.simulation.test_review import Stubborn
from tests.simulation.world import CONFIG, GATE, spec

pytestmark = pytest.mark.simulation

PAUSED: list[dict[str, Any]] = [{"setWeight": 50}, {"pause": {}}]


def settled(rollout: Any) -> Stubborn:
    """A world whose first revision is stable."""
    world = Stubborn(1, rollout)
    world.settle(120)
    return world


def test_the_order_of_what_has_none_decides_nothing() -> None:
    """After a restart the cache may list ReplicaSets in another order; the next write is the same."""
    world = Stubborn(1, spec(PAUSED, replicas=4))
    world.run_for(1)
    world.release("v2")
    world.run_for(1)
    world.change_spec(replicas=2)
    several = False
    while world.status.stable is None or several:
        seen = world.snapshot()
        turned = replace(seen, replica_sets=seen.replica_sets[::-1], plans=seen.plans[::-1])
        assert decide(turned, world.now) == decide(seen, world.now)
        several = sum(r.replicas > 0 for r in seen.replica_sets) > 1
        if not world.turn():
            world.advance()
    assert len(world.sets) == 2


def test_the_order_of_pods_that_end_decides_nothing() -> None:
    """A deletion that waits for those of two versions names the same one, however the cache lists them."""
    world = settled(spec(PAUSED))
    for version in ("v2", "v3"):
        world.release(version)
        world.settle(120, until=("Paused",))
    world.deleting = True
    assert world.status.stable
    seen, stable, two = world.snapshot(), world.status.stable.pod_hash, 2
    sets = tuple(s if s.pod_hash == stable else replace(s, replicas=0, pods=1) for s in seen.replica_sets)
    routes = tuple(replace(r, weight=0, settled_since=0.0) for r in seen.routes)
    seen = replace(seen, replica_sets=sets, routes=routes)
    said = decide(seen, world.now).waiting
    assert len([s for s in sets if not s.replicas]) == two
    assert "to end" in said
    assert decide(replace(seen, replica_sets=sets[::-1]), world.now).waiting == said


def test_what_is_taken_back_is_asked_about_no_more() -> None:
    """Where one gate fails, the questions of the others in the same decision are not sent."""
    steps: list[dict[str, Any]] = [{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}, "count": 3}}]
    world = settled(spec(steps, gates=True))
    world.gates = {"golden": GATE.model_copy(update={"failure_limit": 0})}
    world.release("v2", quality=50.0)
    world.settle(120, until=("Progressing",))
    while not world.status.rejected:
        decision = decide(world.snapshot(), world.now)
        assert not decision.questions or not decision.status.rejected
        if not world.turn():
            world.advance()


def test_a_deletion_lets_connections_drain_before_pods_go() -> None:
    """The canary's pods stay for the drain delay after the weight is 0, as they do at every other end of a release."""
    world = settled(spec(PAUSED))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.deleting = True
    served, gone = None, None
    while not world.gone:
        if served is None and world.weight == 0 and world.snapshot().routes[0].settled:
            served = world.now
        if gone is None and not next(s for s in world.sets.values() if s.pod_hash == version).replicas:
            gone = world.now
        if not world.turn():
            world.advance(world.now + 1)
    assert served is not None
    assert gone is not None
    assert gone - served >= CONFIG.drain_seconds
