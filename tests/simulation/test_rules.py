"""Rules of one release that no report of another project led to, each shown where it could break."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headgate.api.common import to_epoch
from headgate.decide import types as t
from headgate.decide.journal import SIZE_LIMIT, journal_key, running
from tests.simulation.recorded import Recorded, at_every_moment, settled
from tests.simulation.world import CONFIG, Faults

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


def going_back() -> Recorded:
    """A world in which v1 is about to be released again, whose pods are still there."""
    world = released(WEIGHTS, scale_down_delay_seconds=600)
    world.settle(200)
    world.acts.clear()
    world.release("v1")
    return world


@pytest.mark.parametrize("who", ["a person", "the spec"])
@pytest.mark.parametrize("make", [lambda: released(WEIGHTS), going_back], ids=["a release", "a way back"])
def test_while_paused_nothing_is_raised_whoever_paused(who: str, make: Callable[[], Recorded]) -> None:
    """A pause at any moment of a release raises no share of the requests and takes no capacity."""
    for world in at_every_moment(make):
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


@pytest.mark.parametrize("every", [0.1, 1, 6, 20, 60])
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


@pytest.mark.parametrize("ending", ["promoted", "aborted", "superseded"])
def test_own_changes_of_the_weight_are_nobody_elses_rewrites(ending: str) -> None:
    """Neither steps, nor a way back before its weight was served, nor writes that end nobody knows how, count."""
    for world in at_every_moment(lambda: released(WEIGHTS)):
        world.faults = Faults(lost_applied=0.1, lost_unapplied=0.1, conflict=0.2)
        where = world.status.message
        if ending == "aborted":
            world.person("abort")
        elif ending == "superseded":
            world.release("v3")
        counted = 0
        while not counted and not world.released():
            world.moment()
            counted = world.status.weights.reasserted
        assert not counted, f"{counted} own writes count as somebody else's, {ending} at: {where}"


def test_a_way_back_that_somebody_fights_ends_with_the_canary_service_on_stable() -> None:
    """However quickly the weight of a version that was taken back is written again, it gets no requests in the end."""
    world = released([{"setWeight": 50}, {"pause": {}}])
    world.settle(120, until=("Paused",))
    bad = world.status.current
    assert bad
    world.person("abort")
    for _ in range(40):
        world.run_for(0.1)
        world.weight, world.route_version, world.route_written = 50, world.route_version + 1, world.now
    world.run_for(10)
    assert world.share(bad.pod_hash) == 0, "somebody keeps a version that was taken back exposed"
    assert world.condition("Stalled")[:2] == ("True", "TrafficContested")
    began = len(world.acts)
    world.weight, world.route_version, world.route_written = 50, world.route_version + 1, world.now
    world.run_for(60)
    assert not [w for w in world.acts[began:] if isinstance(w.action, t.SetWeight)], "it is fought without an end"


def test_the_canary_service_is_switched_only_after_its_traffic_is_gone() -> None:
    """A revision that takes the place of another gets none of its requests: the gateway has to serve weight 0 first."""
    for world in at_every_moment(lambda: released(WEIGHTS, scale_down_delay_seconds=0)):
        where = world.status.message
        world.gateway_delay = 4.0
        world.release("v3")
        for _ in range(60):
            served = not world.weight and world.now >= world.route_written + world.gateway_delay
            began = len(world.acts)
            world.moment()
            switched = [w.action for w in world.acts[began:] if w.action.key == "SetSelector/shop-canary"]
            assert served or not switched, f"{switched} before its traffic was gone, v3 came at: {where}"


def test_a_gate_asks_nothing_while_another_weight_is_served() -> None:
    """Also when the weight is somebody else's for good: what is measured at it proves nothing of the step's."""
    world = released([{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}, "count": 100}}])
    while not world.memory:
        world.moment()
    for _ in range(6):
        world.weight, world.route_version, world.route_written = 5, world.route_version + 1, world.now
        world.run_for(40)
    assert world.condition("Stalled")[1] == "TrafficContested"
    asked = [c.asked for g in world.status.gates for c in g.checks]
    world.run_for(60)
    assert world.weight == 5
    assert [c.asked for g in world.status.gates for c in g.checks] == asked, "a gate goes on asking at another weight"
    assert not world.pending, "a gate goes on asking at another weight"


@pytest.mark.parametrize("ending", ["promoted", "aborted"])
def test_the_pods_of_the_other_version_stay_for_their_delay(ending: str) -> None:
    """The quick way back needs the pods of the version before, and connections end in those of one taken back."""
    world = released([{"setWeight": 50}, {"pause": {}}], scale_down_delay_seconds=60, abort_scale_down_delay_seconds=60)
    world.settle(120, until=("Paused",))
    world.person("promote" if ending == "promoted" else "abort")
    while not world.released():
        world.moment()
    ended = to_epoch(world.status.history[-1].finished_at)
    stable = world.status.stable
    assert stable
    other = next(s for s in world.sets.values() if s.pod_hash != stable.pod_hash)
    while world.now < ended + 59:
        world.moment()
        stayed = world.now - ended
        assert other.replicas or stayed >= 60, f"the other version's pods went {stayed:.0f} s after it was {ending}"
    world.run_for(60)
    assert not other.replicas, "the other version's pods stay for ever"


def test_no_status_is_larger_than_what_the_server_takes() -> None:
    """Of a status that would be larger the oldest evidence goes first, and the verdicts stay."""
    world = released(JUDGED)
    world.settle(120, until=("Paused",))
    gate = next(g for g in world.status.gates if g.step == 1)
    checks = [c.model_copy(update={"query": "q" * 1024, "measurements": c.measurements * 10}) for c in gate.checks * 5]
    many = [gate.model_copy(update={"step": n, "checks": checks, "message": "m" * 512}) for n in range(15)]
    world.status = world.status.model_copy(update={"gates": [*many, gate.model_copy(update={"step": -1})]})
    world.change_spec(min_ready_seconds=1)
    world.run_for(60)
    size = len(world.status.model_dump_json(by_alias=True, exclude_none=True))
    assert size <= SIZE_LIMIT, f"a status of {size} bytes was written"
    assert {g.verdict for g in world.status.gates} == {"Pass"}


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
    answer = f"AnswerAction/{world.person('promote')}"
    world.fails = lambda key: key == answer
    world.lens = lambda seen: replace(seen, barred=frozenset({answer}))
    world.run_slowly(60)
    index = world.status.current_step_index
    assert index == 3, f"one promote counts more than once: it led to step {index + 1}"
    assert weights_of(world) == [10, 20]


def test_an_action_that_can_never_be_answered_holds_nothing_up() -> None:
    """Somebody fights over its status: it is done once, and the release goes on to its end all the same."""
    world = released([{"setWeight": 10}, {"pause": {"duration": "5s"}}, {"setWeight": 50}])
    world.fails = lambda key: key.startswith("AnswerAction/")
    world.person("pause")
    world.run_slowly(10)
    world.person("resume")
    world.run_slowly(90, until_released=True)
    assert world.status.phase == "Healthy", f"an answer that conflicts for ever holds it up: {world.status.message}"
    assert weights_of(world) == [10, 50, 0]
    assert [a.verb for a in world.status.actions] == ["pause", "resume"]


def test_no_verdict_of_another_revision_or_attempt_counts() -> None:
    """Neither the gate that another revision passed nor an answer that was asked for it promotes the next one."""
    world = released(JUDGED)
    world.settle(120, until=("Paused",))
    bad = world.release("v3", quality=50.0)
    world.run_for(120)
    assert [r.pod_hash for r in world.status.rejected] == [bad], "v3 lives on the verdict of v2"
    world = released(JUDGED)
    while not world.memory:
        world.moment()
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


def test_an_answer_of_an_earlier_window_does_not_count() -> None:
    """What was measured before somebody took the weight away is no evidence for the window after that."""
    world = released(JUDGED)
    while not world.memory:
        world.moment()
    version = running(world.status)
    assert version is not None
    world.weight, world.route_version, world.route_written = 5, world.route_version + 1, world.now
    world.quality[version.pod_hash] = 50.0
    world.run_for(120)
    rejected = [r.pod_hash for r in world.status.rejected]
    assert rejected == [version.pod_hash], "the gate passed on an answer of an earlier window"


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
