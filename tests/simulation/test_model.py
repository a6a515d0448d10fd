"""Every state of small worlds is looked at: no invariant breaks, and from each everything ends right by itself."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest

from hack.lib.hgprove.campaign import in_turn, rotation
from headgate.api.rollout import RolloutStatus
from headgate.decide import types as t
from headgate.decide.rollout import decide
from tests.simulation.model.journals import KEPT, LEFT_OUT
from tests.simulation.model.search import Report, Search, explore
from tests.simulation.model.turns import Decide
from tests.simulation.model.worlds import BY_NAME, WORLDS, World

pytestmark = pytest.mark.simulation

SECONDS = float(os.environ.get("HEADGATE_SLICE_SECONDS", "20"))


def looked_at(world: World) -> Report:
    """The small form of a world, all of it; what goes wrong is told as the shortest story that leads there."""
    report = explore(world, world.slice)
    again = f"repeat it: hack/model --small --world {world.name}"
    assert not report.problem, "\n".join([report.problem, *report.story, again])
    assert report.complete
    assert report.states > 500
    return report


@pytest.mark.timeout(300)
def test_no_state_breaks_an_invariant_or_never_ends() -> None:
    """The worlds take turns: another commit begins with another one. Each that is begun is looked at as a whole."""
    looked = [looked_at(world) for world in in_turn(WORLDS, start=rotation(len(WORLDS)), seconds=SECONDS)]
    sys.stdout.writelines(f"{report}\n" for report in looked)
    assert looked


def test_no_field_of_a_journal_is_overlooked() -> None:
    """A field that is new must be told to the model: what it leaves out it takes for equal."""
    assert set(RolloutStatus.model_fields) == KEPT | LEFT_OUT
    assert not KEPT & LEFT_OUT


def too_high(snapshot: t.Snapshot, now: float) -> t.Decision:
    """An operator that gives the canary one percent more than the step allows."""
    decision = decide(snapshot, now)
    action = decision.action
    if isinstance(action, t.SetWeight) and action.exposure == "raise":
        return replace(decision, action=replace(action, weight=action.weight + 1))
    return decision


def leaves_pods(snapshot: t.Snapshot, now: float) -> t.Decision:
    """An operator that never takes pods away."""
    decision = decide(snapshot, now)
    action = decision.action
    if isinstance(action, t.ScaleReplicaSet) and not action.replicas:
        return replace(decision, action=None)
    return decision


def forgets_to_wake(snapshot: t.Snapshot, now: float) -> t.Decision:
    """An operator that relies on being told when time has passed."""
    return replace(decide(snapshot, now), wake_at=None)


def looks_at_no_pod(snapshot: t.Snapshot, now: float) -> t.Decision:
    """An operator that takes every pod of a DaemonSet for ready once it has read them."""
    read = snapshot.pods
    ready = read and replace(read, pods=tuple(replace(p, ready=True) for p in read.pods))
    return decide(replace(snapshot, pods=ready), now)


@pytest.mark.parametrize(
    ("wrong", "world", "number"),
    [
        (too_high, "gate", 2),
        (leaves_pods, "gate", 25),
        (forgets_to_wake, "pause", 28),
        (looks_at_no_pod, "nodes", 3),
    ],
)
def test_an_operator_that_is_wrong_is_found(wrong: Decide, world: str, number: int) -> None:
    """A search that could not fail would prove nothing: the number of the rule and the way there are told."""
    report = Search(BY_NAME[world], BY_NAME[world].slice, wrong).explore()
    assert report.problem.startswith(f"{number}: "), report.problem
    assert "the template becomes v2" in report.story
    assert report.story[-1].startswith("    there: ")
