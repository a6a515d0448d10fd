"""A router that reports nothing back: what is stored counts as served after the settle time, and it is said so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headgate.api.common import to_epoch
from headgate.decide import types as t
from headgate.decide.rollout import decide
from tests.simulation.recorded import Recorded, settled
from tests.simulation.world import CONFIG

pytestmark = pytest.mark.simulation

JUDGED: list[dict[str, Any]] = [{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}, "count": 1}}, {"pause": {}}]
PAUSED: list[dict[str, Any]] = [{"setWeight": 50}, {"pause": {}}]
SETTLE, DRAIN = CONFIG.route_settle_seconds, CONFIG.drain_seconds


def blinded(steps: list[dict[str, Any]], **more: Any) -> Recorded:
    """A world with such a router, in which the release of v2 is about to begin."""
    world = settled(steps, **more)

    def without_read_back(seen: t.Snapshot) -> t.Snapshot:
        routes = (replace(r, blind=True, settled=True, settled_since=world.route_written) for r in seen.routes)
        return replace(seen, routes=tuple(routes))

    world.lens = without_read_back
    world.acts.clear()
    world.release("v2")
    return world


def test_the_condition_says_that_nothing_is_read_back() -> None:
    """Nobody is told that the router serves what it was never heard to serve."""
    world = blinded(PAUSED)
    world.settle(120, until=("Paused",))
    status, reason, message = world.condition("TrafficInSync")
    assert (status, reason) == ("Unknown", "NoReadBack")
    assert message == (
        "weight 50 is taken as served 2 s after it was stored, because nothing is read back of it: make sure that "
        "routeSettleSeconds is enough for the router of HTTPRoute shop"
    )
    assert world.status.weights.applied


def test_while_the_settle_time_runs_it_is_waited_for() -> None:
    """Before it is over the weight is not taken as served."""
    world = blinded(PAUSED)
    while world.weight != 50:
        world.moment()
    decided = decide(world.snapshot(), world.route_written + SETTLE / 2)
    condition = next(c for c in decided.status.conditions if c.type == "TrafficInSync")
    assert (condition.status, condition.reason) == ("False", "Waiting")
    assert condition.message == "letting the change of HTTPRoute shop settle"
    assert decided.wake_at == world.route_written + SETTLE


def test_a_router_that_reports_is_not_called_blind() -> None:
    """The sentence about a router with a read-back stays as it was."""
    world = settled(PAUSED)
    world.release("v2")
    world.settle(120, until=("Paused",))
    assert world.condition("TrafficInSync") == ("True", "Served", "the router serves weight 50")


def test_a_gate_begins_after_the_settle_time() -> None:
    """Nothing is measured before the weight can be expected to be served."""
    world = blinded(JUDGED)
    while not any(g.step == 1 for g in world.status.gates):
        world.moment()
    began = next(to_epoch(g.started_at) for g in world.status.gates if g.step == 1)
    assert began >= world.route_written + SETTLE


def test_pods_stay_until_the_settle_time_and_the_drain_time_are_over() -> None:
    """Requests may go on reaching the canary of a Rollout that goes, for as long as nobody can know better."""
    world = blinded(PAUSED)
    world.settle(120, until=("Paused",))
    canary = world.status.current.pod_hash if world.status.current else ""
    world.deleting = True
    world.run_for(200)
    assert world.gone
    lowered = next(w.at for w in world.acts if isinstance(w.action, t.SetWeight) and w.action.weight == 0)
    scaled = next(w for w in world.acts if isinstance(w.action, t.ScaleReplicaSet) and w.action.replicas == 0)
    assert canary in scaled.action.key
    stayed = scaled.at - lowered
    assert stayed >= SETTLE + DRAIN, f"the canary's pods went {stayed:.1f} s after its weight"
