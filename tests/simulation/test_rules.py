"""Rules of one release that no report of another project led to, each shown where it could break."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headgate.api.common import to_epoch
from headgate.decide import types as t
from headgate.decide.journal import journal_key, running
from tests.simulation.recorded import Recorded, at_every_moment, settled
from tests.simulation.world import CONFIG

pytestmark = pytest.mark.simulation

JUDGED: list[dict[str, Any]] = [{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}, "count": 1}}, {"pause": {}}]
WEIGHTS: list[dict[str, Any]] = [{"setWeight": weight} for weight in (10, 30, 60, 100)]


def released(steps: list[dict[str, Any]], **more: Any) -> Recorded:
    """A world in which the release of v2 is about to begin."""
    world = settled(steps, **more)
    world.acts.clear()
    world.release("v2")
    return world


def weights_of(world: Recorded) -> list[int]:
    """The weights that were written, in order, repetitions left out."""
    return list(dict.fromkeys(w.action.weight for w in world.acts if isinstance(w.action, t.SetWeight)))


def test_a_gate_begins_after_the_settle_time_of_its_weight() -> None:
    """What the gateway reports as served its proxies may not have yet: nothing is measured before the settle time."""
    world = released(JUDGED)
    while not any(g.step == 1 for g in world.status.gates):
        world.moment()
    began = next(to_epoch(g.started_at) for g in world.status.gates if g.step == 1)
    waited = began - world.route_written - world.gateway_delay
    assert waited >= CONFIG.route_settle_seconds, f"the gate began {waited:.2f} s after its weight, before it settled"


def test_a_replica_set_of_somebody_else_is_neither_counted_nor_scaled() -> None:
    """One with our labels and another owner stands for no pod of ours."""
    world = settled(WEIGHTS)
    world.lens = with_theirs
    version = world.release("v2")
    world.run_for(30)
    assert f"shop-{version}" in world.sets, "a ReplicaSet of somebody else was taken for ours"
    world.run_for(120)
    assert world.status.stable
    assert world.status.stable.pod_hash == version, "a ReplicaSet of somebody else keeps the release from its end"


def with_theirs(seen: t.Snapshot) -> t.Snapshot:
    """A ReplicaSet of somebody else, with pods that are ready, for each revision."""
    sample = ours(seen)[0]
    found = tuple(
        replace(sample, name="theirs", uid="theirs", pod_hash=h, owned=False, replicas=9, ready=9, available=9)
        for h in sorted({p.pod_hash for p in seen.plans})
    )
    return replace(seen, replica_sets=(*found, *ours(seen)))


def ours(seen: t.Snapshot) -> tuple[t.ReplicaSetView, ...]:
    """The ReplicaSets of the Rollout."""
    return tuple(r for r in seen.replica_sets if r.owned)


@pytest.mark.parametrize("who", ["a person", "the spec"])
def test_while_paused_nothing_is_raised_whoever_paused(who: str) -> None:
    """A pause at any moment of a release raises no share of the requests and takes no capacity."""
    for world in at_every_moment(lambda: released(WEIGHTS)):
        where, run = world.status.message, running(world.status)
        assert run is not None
        if who == "a person":
            world.person("pause")
        else:
            world.change_spec(paused=True)
        began, flipped = len(world.acts), world.selectors["shop"] == run.pod_hash
        world.run_for(60)
        raised = [w.action for w in world.acts[began:] if w.after.get(run.pod_hash, 0) > w.before.get(run.pod_hash, 0)]
        assert not raised, f"raised while paused by {who}: {raised}, paused at: {where}"
        assert flipped or world.selectors["shop"] != run.pod_hash, f"promoted while paused by {who} at: {where}"


@pytest.mark.parametrize("every", [6, 20, 60])
def test_a_weight_that_somebody_keeps_rewriting_is_put_back_three_times(every: float) -> None:
    """After that it is a matter for a person, and not written again, however quick the other side is."""
    world = released([{"setWeight": 50}, {"pause": {}}])
    world.settle(120, until=("Paused",))
    world.run_for(60)
    began = len(world.acts)
    for _ in range(20):
        world.weight, world.route_version, world.route_written = 5, world.route_version + 1, world.now
        world.run_for(every)
    back = len([w for w in world.acts[began:] if isinstance(w.action, t.SetWeight)])
    assert back == 3, f"a weight that somebody rewrites was put back {back} times"
    assert world.condition("Stalled")[:2] == ("True", "TrafficContested")


def test_an_action_for_an_attempt_that_is_over_is_refused() -> None:
    """Somebody who saw the first attempt does not abort the second one."""
    world = released(JUDGED)
    world.settle(120, until=("Paused",))
    world.person("abort")
    world.settle(120)
    record = world.status.rejected[-1]
    world.person("retry", pod_hash=record.pod_hash, attempt=record.attempt)
    world.settle(120, until=("Paused",))
    name = world.person("abort", attempt=record.attempt)
    world.run_for(30)
    accepted, sentence = world.answered[name]
    assert not accepted, f"an abort of attempt {record.attempt} was taken for the next attempt"
    assert "attempt 2" in sentence
    assert world.status.phase == "Paused"


def test_an_action_whose_answer_is_refused_counts_once() -> None:
    """A promote that cannot be answered ends one pause, however often it is seen."""
    world = released([{"setWeight": 10}, {"pause": {}}, {"setWeight": 20}, {"pause": {}}, {"setWeight": 30}])
    world.settle(120, until=("Paused",))
    tries = world.attempts + 12
    world.fails = lambda key: key.startswith("AnswerAction") and world.attempts < tries
    world.person("promote")
    world.run_slowly(60)
    index = world.status.current_step_index
    assert index == 3, f"one promote counts more than once: it led to step {index + 1}"
    assert weights_of(world) == [10, 20]


def test_no_verdict_of_another_revision_or_attempt_counts() -> None:
    """Neither the gate that another revision passed nor an answer that was asked for it promotes the next one."""
    world = released(JUDGED)
    world.settle(120, until=("Paused",))
    bad = world.release("v3", quality=50.0)
    world.run_for(120)
    assert [r.pod_hash for r in world.status.rejected] == [bad], "v3 lives on the verdict of v2"
    world = released(JUDGED)
    while world.turn() or not world.pending:
        if not world.pending:
            world.advance()
    bad = world.release("v3", quality=50.0)
    world.run_for(120)
    assert [r.pod_hash for r in world.status.rejected] == [bad], "v3 lives on a verdict from an answer about v2"
    world = settled(JUDGED)
    version = world.release("v2", quality=50.0)
    world.settle(120)
    world.quality[version] = 100.0
    record = world.status.rejected[-1]
    world.person("retry", pod_hash=record.pod_hash, attempt=record.attempt)
    world.settle(120, until=("Paused",))
    verdicts = [(g.attempt, g.verdict) for g in world.status.gates]
    assert verdicts == [(2, "Pass")], f"attempt 2 has the verdicts {verdicts}"


def test_every_weight_is_served_in_its_order_whenever_the_operator_is_killed() -> None:
    """A kill before any write and between any two leaves no weight out and brings none back."""
    for world in at_every_moment(lambda: released(WEIGHTS)):
        where = world.status.message
        world._crash()
        world.run_for(200)
        assert weights_of(world) == [10, 30, 60, 100, 0], f"the weights were {weights_of(world)}, killed at: {where}"


def test_every_decision_has_the_next_number() -> None:
    """A change of the journal counts up by one, and evidence alone does not, so that a gap in the log shows."""
    world = released([*WEIGHTS, *JUDGED])
    before = world.status
    for _ in range(100):
        world.moment()
        if world.status is before:
            continue
        changed = journal_key(world.status) != journal_key(before)
        grown = world.status.decision - before.decision
        assert grown == changed, f"the number of the decision grew by {grown}; changed: {changed}"
        before = world.status
    assert before.decision > 8
