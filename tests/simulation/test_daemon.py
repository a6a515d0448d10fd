"""Stories of a DaemonSet that is released in batches: its template is held, pods are evicted, nodes come and go."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hack.lib.hgprove.campaign import half
from headgate.decide import daemon
from headgate.decide import types as t
from headgate.decide.rollout import decide
from tests.simulation.daemon_world import DaemonWorld, daemon_spec
from tests.simulation.test_rolling import JUDGED, STEPS, comes_to_its_end, some_faults, stable_of, until
from tests.simulation.world import Faults

pytestmark = pytest.mark.simulation

HOLD, RELEASE = "HoldTemplate/db", "ReleaseTemplate/db"


def settled(steps: list[dict[str, Any]], seed: int = 1, *, pods: int = 4, gates: bool = False) -> DaemonWorld:
    """A world whose DaemonSet was adopted."""
    world = DaemonWorld(seed, daemon_spec(steps, gates=gates, progressDeadlineSeconds=120), pods=pods)
    world.settle(120)
    world.check_rest()
    assert world.writes.count(HOLD) == 1, "its template is held, and that is all that is written"
    world.writes.clear()
    return world


def moves(world: DaemonWorld) -> list[str]:
    """The writes to the DaemonSet and its pods."""
    return [w for w in world.writes if w.startswith(("HoldTemplate", "ReleaseTemplate", "EvictPod"))]


def opened(world: DaemonWorld, limit: float = 300) -> None:
    """Run until pods become new."""
    end = world.now + limit
    while world.content() == world.stable_content():
        assert world.now < end, f"the template is never in: {world.story[-10:]}"
        world.run_for(0.25)


def paused(world: DaemonWorld) -> None:
    """Run until it waits for a person."""
    world.settle(300, until=("Paused",))


def test_adoption_keeps_the_template_and_disturbs_no_pod() -> None:
    """What it runs is what is stable, and from then on pods are ended by evictions alone."""
    world = settled([{"setBatch": 1}, JUDGED])
    assert world.on_delete
    assert world.made == 4, "no pod was replaced"
    assert world.status.history[-1].outcome == "Adopted"
    assert not [line for line in world.story if "RollingBack" in line], "nothing is to be gone back from"
    assert world.status.workload is not None
    assert world.status.workload.revision == daemon.UNMARKED


@pytest.mark.parametrize("seed", range(6))
def test_good_version_goes_out_in_batches_and_is_promoted(seed: int) -> None:
    """Node by node in the order of their names; while a batch is judged, what is made is of the stable version."""
    world = settled([{"setBatch": 1}, JUDGED, {"setBatch": "50%"}, JUDGED], seed)
    old = stable_of(world)
    good = world.release("v2")
    until(world, "step 2 of 4: gate golden")
    assert (world.revisions(), world.content()) == ([good, old, old, old], old)
    assert (world.status.weights.desired, world.status.weights.observed) == (25, 25)
    until(world, "step 4 of 4: gate golden")
    assert (world.revisions(), world.content()) == ([good, good, old, old], old)
    world.settle(300)
    world.check_rest()
    assert (world.revisions(), world.content(), stable_of(world)) == ([good] * 4, good, good)
    assert [w for w in moves(world) if w != HOLD] == [f"EvictPod/db-{n}" for n in range(4)]
    assert not [line for line in world.story if "RollingBack" in line], "nothing is to be gone back from"


@pytest.mark.parametrize("batches", range(2, 5))
def test_release_costs_three_writes_for_each_batch_and_three(batches: int) -> None:
    """Besides one eviction for each pod: there is no other way to replace one."""
    world = settled([{"setBatch": n} for n in range(1, batches)], pods=max(2, batches))
    world.release("v2")
    world.settle(300)
    evictions = [w for w in world.writes if w.startswith("EvictPod")]
    assert len(evictions) == max(2, batches)
    assert len(world.writes) - len(evictions) <= 3 * batches + 3, world.writes


@pytest.mark.parametrize("seed", range(6))
def test_failed_gate_takes_the_pods_back_one_by_one(seed: int) -> None:
    """The last replaced goes first; the template is stable already, so nothing has to be written before."""
    world = settled([{"setBatch": 1}, {"setBatch": 3}, JUDGED], seed)
    old = stable_of(world)
    bad = world.release("v2", quality=60.0)
    world.settle(300)
    world.check_rest()
    assert (stable_of(world), world.status.rejected[-1].pod_hash) == (old, bad)
    assert moves(world)[-4:] == [HOLD, "EvictPod/db-2", "EvictPod/db-1", "EvictPod/db-0"]
    assert world.revisions() == [old] * 4
    assert world.status.phase == "Degraded"


def test_version_that_does_not_come_up_stops_at_its_first_pod() -> None:
    """No other pod is touched; after the progress deadline the template and that pod go back."""
    world = settled([{"setBatch": 2}, JUDGED])
    old = stable_of(world)
    broken = world.release("v2", broken=True)
    world.run_for(60)
    assert world.revisions() == [broken, old, old, old]
    world.writes.clear()
    world.settle(400)
    world.check_rest()
    assert moves(world) == [HOLD, "EvictPod/db-0"]
    assert world.status.rejected[-1].reason == "ProgressDeadlineExceeded"


def test_abort_in_the_middle_of_a_batch_closes_it_with_the_next_write() -> None:
    """A pod that dies in that moment comes back stable."""
    world = settled([{"setBatch": 3}, JUDGED])
    old = stable_of(world)
    world.release("v2")
    opened(world)
    world.person("abort")
    world.writes.clear()
    world.turn()
    assert world.writes[0] == HOLD
    assert world.content() == old
    world.settle(300)
    world.check_rest()
    assert world.revisions() == [old] * 4


def test_pod_that_dies_while_a_batch_is_judged_comes_back_stable() -> None:
    """Whichever it was; the part that is new only shrinks, and the next batch fills it up."""
    world = settled([{"setBatch": 2}, {"pause": {}}])
    old = stable_of(world)
    good = world.release("v2")
    paused(world)
    assert world.revisions() == [good, good, old, old]
    world.lose(0)
    world.lose(3)
    world.run_for(30)
    assert world.revisions() == [old, good, old, old]
    world.person("promote")
    world.settle(300)
    assert world.revisions() == [good] * 4


def test_node_that_joins_is_stable_whatever_is_wanted() -> None:
    """In the middle of a release, and after a version was taken back."""
    world = settled([{"setBatch": 1}, {"pause": {}}])
    old = stable_of(world)
    good = world.release("v2")
    paused(world)
    world.scale(6)
    world.run_for(30)
    assert world.revisions() == [good, *[old] * 5]
    world.person("abort")
    world.settle(300)
    world.scale(8)
    world.run_for(30)
    world.check_rest()
    assert world.revisions() == [old] * 8


def test_pod_that_became_new_out_of_turn_goes_back() -> None:
    """While a batch is replaced whatever dies becomes new: what is more than the step allows is evicted again."""
    world = settled([{"setBatch": 1}, {"pause": {}}])
    old = stable_of(world)
    good = world.release("v2")
    while "EvictPod/db-0" not in world.writes:
        world.advance(world.now + 0.1)
        world.turn()
    world.pods[3].gone_at = world.pods[0].gone_at
    while good not in world.revisions():
        world.advance(world.now + 0.1)
    assert world.revisions() == [good, old, old, good]
    paused(world)
    assert sorted(world.revisions()) == sorted([good, old, old, old])


def test_pause_in_the_middle_of_a_batch_takes_the_template_out() -> None:
    """A hold may last: what dies meanwhile is to come back stable."""
    world = settled([{"setBatch": 3}, JUDGED])
    good = world.release("v2")
    opened(world)
    world.change_spec(paused=True)
    world.run_for(60)
    assert world.content() == world.stable_content()
    world.change_spec(paused=False)
    world.settle(300)
    assert world.revisions() == [good] * 4


def test_newer_version_replaces_the_one_under_release() -> None:
    """What the older one has reached goes back before the newer one begins."""
    world = settled([{"setBatch": 2}, {"pause": {}}])
    old = stable_of(world)
    world.release("v2")
    paused(world)
    third = world.release("v3")
    paused(world)
    assert world.revisions() == [third, third, old, old]
    assert [h.outcome for h in world.status.history][-1] == "Superseded"
    world.person("promote")
    world.settle(300)
    assert world.revisions() == [third] * 4


def test_last_pod_that_does_not_come_up_is_still_taken_back() -> None:
    """The record of what is stable stays until the promotion."""
    world = settled([{"setBatch": 3}])
    old = stable_of(world)
    bad = world.release("v2")
    until(world, "promoting")
    world.broken_revisions = frozenset({bad})
    world.settle(400)
    world.check_rest()
    assert world.revisions() == [old] * 4


def test_second_release_goes_back_to_the_first() -> None:
    """What was promoted is what is gone back to, and its pods know it by their label."""
    world = settled([{"setBatch": 2}, JUDGED])
    good = world.release("v2")
    world.settle(300)
    world.release("v3", quality=60.0)
    world.settle(300)
    world.check_rest()
    assert (world.revisions(), world.content(), world.mark) == ([good] * 4, good, good)


def test_batch_waits_for_a_disruption_budget() -> None:
    """While a PodDisruptionBudget allows nothing the template stays as it is, and the message names the budget."""
    world = settled([{"setBatch": 1}])
    world.budget_open = False
    good = world.release("v2")
    world.run_for(60)
    assert "PodDisruptionBudget budget" in world.status.message
    assert not moves(world)
    world.budget_open = True
    world.run_for(31)
    world.settle(300)
    assert stable_of(world) == good


def test_one_node_is_too_few() -> None:
    """There would be no way back; the condition says what to do."""
    world = settled([{"setBatch": 1}], pods=2)
    world.scale(1)
    world.run_for(10)
    world.release("v2")
    world.run_for(60)
    said = next(c for c in world.status.conditions if c.type == "Ready")
    assert said.message.endswith("let it run on 2 nodes at least")
    assert not moves(world)


def test_somebody_who_writes_the_template_is_undone_three_times_and_then_told() -> None:
    """No pod has become of it; the label of the operator, which stays in the template, deceives nobody."""
    world = settled([{"setBatch": 1}, JUDGED])
    old = stable_of(world)
    for number in range(3):
        world.write_template(f"stray-{number}")
        world.run_for(30)
        assert (world.content(), world.revisions()) == (old, [old] * 4)
    world.write_template("stray")
    world.run_for(60)
    stalled = next(c for c in world.status.conditions if c.type == "Stalled")
    assert stalled.reason == "TrafficContested"
    assert "the template or the updateStrategy of db" in stalled.message


def test_somebody_who_puts_the_same_template_back_is_not_fought() -> None:
    """The server counts a change and its undoing as two; to write what is there is counted as none."""
    world = settled([{"setBatch": 1}, JUDGED])
    good = world.release("v2")
    world.settle(300)
    world.writes.clear()
    world.write_template("stray")
    world.write_template("v2")
    world.run_for(60)
    assert (world.content(), world.noted, world.on_delete) == (good, world.counted, True)
    assert len(moves(world)) <= 2, moves(world)


def test_somebody_who_lets_it_update_by_itself_is_undone() -> None:
    """At rest that changes no pod, and in mid-release only towards what is stable."""
    world = settled([{"setBatch": 2}, {"pause": {}}])
    world.release("v2")
    paused(world)
    world.write_strategy(on_delete=False)
    world.run_for(60)
    assert world.on_delete
    assert world.content() == world.stable_content()


def test_template_that_was_put_back_in_mid_batch_waits_for_the_pod_that_was_evicted() -> None:
    """Its controller counts that pod as ready until it is gone; nothing more may be disturbed meanwhile."""
    world = settled([{"setBatch": 2}, JUDGED])
    good = world.release("v2")
    while "EvictPod/db-0" not in world.writes:
        world.advance(world.now + 0.1)
        world.turn()
    world.write_strategy(on_delete=False)
    world.settle(300)
    assert world.revisions() == [good] * 4


def test_pod_of_a_node_that_is_gone_does_not_hold_the_release() -> None:
    """Its controller counts it no more, so nothing tells when it ends; the pods are read again by themselves."""
    world = settled([{"setBatch": 1}], pods=6)
    world.scale(4)
    while len(world.pods) == 6 and not world.pods[5].going:
        world.advance(world.now + 0.05)
    for node in (4, 5):
        world.pods[node].gone_at = world.now + 20
    good = world.release("v2")
    world.settle(200)
    assert (stable_of(world), world.revisions()) == (good, [good] * 4)


def decided(world: DaemonWorld, what: Callable[[t.Snapshot, t.Decision], bool]) -> t.Snapshot:
    """Run until the next decision is of this kind, and give what it is taken on."""
    end = world.now + 300
    while True:
        seen = world.snapshot()
        if what(seen, decide(seen, world.now)):
            return seen
        assert world.now < end, f"that is never decided: {world.story[-10:]}"
        if not world.turn():
            world.advance()


def read_as(seen: t.Snapshot, *pods: dict[str, Any]) -> t.Snapshot:
    """The same counts, and the pods as they are by the time at which they are read; those of whom nothing is said."""
    assert seen.pods is not None
    assert seen.workload is not None
    known = sorted(seen.pods.pods, key=lambda p: p.node)
    changed = [replace(p, **more) for p, more in zip(known, [*pods, *[{}] * len(known)], strict=False)]
    return replace(seen, pods=t.PodsView(seen.workload.resource_version, tuple(changed)))


def evicts_more(_: t.Snapshot, decision: t.Decision) -> bool:
    """A pod is to become new."""
    return isinstance(decision.action, t.EvictPod) and decision.action.exposure == "raise"


def goes_on(seen: t.Snapshot, decision: t.Decision) -> bool:
    """A batch is over."""
    return decision.status.current_step_index > seen.status.current_step_index


def test_counts_that_are_older_than_the_pods_make_no_batch_greater() -> None:
    """One pod is new and serves, and its controller has not counted it yet: no other is evicted for this batch."""
    world = settled([{"setBatch": 1}, JUDGED])
    world.release("v2")
    seen = decided(world, evicts_more)
    assert world.status.current
    done = decide(read_as(seen, {"mark": world.status.current.pod_hash}), world.now).action
    assert isinstance(done, t.HoldTemplate), "the stable template is put back, because the batch is there"
    assert done.exposure == "lower"


@pytest.mark.parametrize(
    "pod", [{"mark": daemon.UNMARKED}, {"going": True, "ready": False}, {"ready": False}], ids=["old", "going", "dead"]
)
def test_batch_is_not_there_before_its_pods_are_whatever_was_counted(pod: dict[str, Any]) -> None:
    """Pods of a version that was left are counted for a while, and so are those that have just died."""
    world = settled([{"setBatch": 1}, JUDGED])
    world.release("v2")
    seen = decided(world, goes_on)
    assert goes_on(seen, decide(read_as(seen), world.now))
    assert not goes_on(seen, decide(read_as(seen, pod), world.now))


def test_nothing_is_asked_while_the_daemon_set_may_end_pods_by_itself() -> None:
    """What a batch is judged by must be that batch."""
    world = settled([{"setBatch": 1}, JUDGED])
    world.release("v2")
    seen = decided(world, lambda _, decision: bool(decision.questions))
    workload = seen.workload
    assert workload is not None
    assert workload.in_place is not None
    assert workload.in_place.held is not None
    loose = replace(workload.in_place.held, on_delete=False)
    freed = daemon.placed(replace(workload, in_place=replace(workload.in_place, held=loose)), seen.status)
    decision = decide(replace(seen, workload=freed), world.now)
    assert decision.questions == ()
    assert isinstance(decision.action, t.HoldTemplate)


@pytest.mark.parametrize("back", [False, True], ids=["written", "written and put back"])
def test_template_that_changes_in_mid_adoption_is_adopted_when_it_is_complete(back: bool) -> None:  # noqa: FBT001
    """It was held for another one: held any longer it would never be complete, and the Rollout wait for ever."""
    world = DaemonWorld(1, daemon_spec([{"setBatch": 1}], progressDeadlineSeconds=120), pods=3)
    while not any(w.startswith("CreatePlan") for w in world.writes):
        world.turn()
    if not back:
        world.turn()
        assert (world.on_delete, world.status.stable) == (True, None)
    world.write_template("v2")
    if back:
        world.pods[0] = world._pod(world.content(), ready_at=world.now)
        world.write_template("v1")
    world.settle(300)
    assert world.status.stable
    assert (world.status.phase, len(set(world.revisions()))) == ("Healthy", 1)
    assert world.content() == stable_of(world)


@pytest.mark.parametrize("moment", ["rest", "paused"])
def test_keeping_a_daemon_set_is_giving_it_back(moment: str) -> None:
    """All its pods are of the stable template by then, so that its own update replaces none of them."""
    ends = []
    for way in ("Revert", "Keep"):
        world = DaemonWorld(1, daemon_spec([{"setBatch": 2}, {"pause": {}}], onDelete=way), pods=4)
        world.settle(120)
        old = stable_of(world)
        if moment == "paused":
            world.release("v2")
            paused(world)
        world.deleting = True
        world.run_for(200)
        assert world.gone
        assert (world.on_delete, world.noted, world.plans) == (False, None, {})
        assert (world.content(), world.revisions()) == (old, [old] * 4)
        ends.append(moves(world))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("moment", ["rest", "open", "paused", "rejected"])
def test_deletion_at_any_moment_gives_a_stable_daemon_set_back(moment: str) -> None:
    """What is not promoted goes first, then it updates its pods as it did before, and finds nothing to do."""
    world = settled([{"setBatch": 2}, {"pause": {}}])
    old = stable_of(world)
    if moment != "rest":
        world.release("v2")
        opened(world)
    if moment in ("paused", "rejected"):
        paused(world)
    if moment == "rejected":
        world.person("abort")
        world.settle(300)
    world.deleting = True
    world.run_for(200)
    assert world.gone
    assert (world.on_delete, world.noted) == (False, None)
    assert (world.content(), world.revisions()) == (old, [old] * 4)
    assert not world.plans, "records are left"


def test_new_rollout_of_the_same_daemon_set_does_not_trust_an_old_label() -> None:
    """The template says that it is what is wanted, and is not any more."""
    world = settled([{"setBatch": 1}])
    good = world.release("v2")
    world.settle(300)
    world.deleting = True
    world.run_for(200)
    world.live = dict(daemon.marked({**world.template, "spec": {"containers": [{"image": "by hand"}]}}, good))
    second = DaemonWorld(2, daemon_spec([{"setBatch": 1}, {"pause": {}}]))
    second.live, second.template = world.live, world.template
    for pod in second.pods.values():
        pod.revision, pod.mark = second.content(), good  # type: ignore[attr-defined]
    second.dirty()
    second.quality[good] = 100.0
    paused(second)
    assert second.revisions().count(good) == 1, "it takes the steps"
    second.person("promote")
    second.settle(300)
    assert second.revisions() == [good] * 3


@pytest.mark.parametrize("seed", half(range(60)))
def test_whatever_people_and_nodes_do_the_rules_hold_and_it_ends(seed: int) -> None:
    """Nodes, pods that die, versions, somebody at the DaemonSet, acts of all kinds, in any order, beside faults."""
    chance = random.Random(f"daemon/{seed}")
    faults = Faults(conflict=0.05, lost_applied=0.05, crash=0.02, status_fails=0.05) if seed % 2 else Faults()
    spec = daemon_spec(STEPS, gates=chance.random() < 0.3, progressDeadlineSeconds=60)
    world = DaemonWorld(seed, spec, faults, pods=4)
    world.run_for(20)
    for number in range(2, 10):
        kind = chance.choice(["good", "bad", "broken", "back", "act", "act", "nodes", "lose", "pause", "write"])
        if kind in ("good", "bad", "broken"):
            world.release(f"v{number}", quality=60.0 if kind == "bad" else 100.0, broken=kind == "broken")
        elif kind == "back":
            world.release("v1")
        elif kind == "act":
            verb = chance.choice(["pause", "resume", "abort", "promote", "retry", "undo", "override"])
            record = world.status.rejected[-1] if verb == "retry" and world.status.rejected else None
            seen = {"pod_hash": record.pod_hash, "attempt": record.attempt} if record else {}
            world.person(verb, **seen)
        elif kind == "nodes":
            world.scale(chance.choice([1, 2, 3, 4, 6]))
        elif kind == "lose":
            world.lose(chance.randrange(4))
        elif kind == "pause":
            world.change_spec(paused=chance.random() < 0.5)
        elif world.status.stable is not None and chance.random() < 0.5:
            world.write_template("stray")
        elif world.status.stable is not None:
            world.write_strategy(on_delete=False)
        world.run_for(chance.uniform(0.0, 25.0))
    world.faults = Faults()
    world.change_spec(paused=False)
    world.scale(4)
    world.run_for(60)
    world.person("resume")
    world.run_for(300)
    good = world.release("v99")
    world.settle(1800)
    assert world.revisions() == [good] * 4
    world.run_for(90)
    world.writes.clear()
    world.run_for(600)
    assert not world.writes, "nothing changes and it writes"


@pytest.mark.parametrize("seed", half(range(80)))
def test_any_faults_end_where_a_clean_run_ends(seed: int) -> None:
    """Conflicts, lost answers, crashes, providers that fail: the rules hold at each write, and the end is right."""
    chance = random.Random(f"daemon faults/{seed}")
    faults = some_faults(chance)
    spec = daemon_spec(STEPS, gates=chance.random() < 0.5, progressDeadlineSeconds=60)
    comes_to_its_end(DaemonWorld(seed, spec, faults, pods=5), chance)
