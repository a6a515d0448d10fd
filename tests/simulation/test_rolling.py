"""Stories of a StatefulSet that is released in batches: gates between them, the way back pod by pod, people, faults."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hack.lib.hgprove.campaign import half
from headgate.decide.in_place import CLOSED
from tests.simulation.rolling_world import RollingWorld, rolling
from tests.simulation.world import Faults

pytestmark = pytest.mark.simulation

JUDGED: dict[str, Any] = {"gate": {"ref": {"name": "golden"}, "count": 2}}
OPEN = "SetPartition/db"


def settled(steps: list[dict[str, Any]], seed: int = 1, *, pods: int = 4, gates: bool = False) -> RollingWorld:
    """A world whose StatefulSet was adopted."""
    world = RollingWorld(seed, rolling(steps, gates=gates, progressDeadlineSeconds=120), pods=pods)
    world.settle(120)
    world.check_rest()
    assert world.writes.count(OPEN) == 1, "the update is closed, and that is all that is written"
    world.writes.clear()
    return world


def stable_of(world: RollingWorld) -> str:
    """The pod hash of what is stable."""
    assert world.status.stable
    return world.status.stable.pod_hash


def until(world: RollingWorld, what: str, limit: float = 300) -> None:
    """Run until the message says so."""
    end = world.now + limit
    while what not in world.status.message:
        assert world.now < end, f"{what} was never said: {world.story[-10:]}"
        world.run_for(0.25)


def open_at(world: RollingWorld, step: str) -> None:
    """Run until the update is open at this step, such as `1/4`."""
    end = world.now + 300
    while world.status.step != step or world.partition == CLOSED:
        assert world.now < end, f"{step} was never reached: {world.story[-10:]}"
        world.run_for(0.25)


def test_adoption_closes_the_update_and_disturbs_no_pod() -> None:
    """From then on a change of the template changes nothing by itself."""
    world = settled([{"setBatch": 1}, JUDGED])
    assert world.partition == CLOSED
    assert world.status.history[-1].outcome == "Adopted"
    assert world.made == 4, "no pod was replaced"
    assert world.status.workload is not None
    assert world.status.workload.revision == world.current


@pytest.mark.parametrize("seed", range(8))
def test_good_version_goes_out_in_batches_and_is_promoted(seed: int) -> None:
    """The highest ordinals first; each batch is judged before the next; at the end the update is closed again."""
    world = settled([{"setBatch": 1}, JUDGED, {"setBatch": "50%"}, JUDGED], seed)
    old = stable_of(world)
    good = world.release("v2")
    until(world, "step 2 of 4: gate golden")
    assert world.revisions() == [old, old, old, good]
    assert (world.status.weights.desired, world.status.weights.observed) == (25, 25)
    until(world, "step 4 of 4: gate golden")
    assert world.revisions() == [old, old, good, good]
    world.settle(300)
    world.check_rest()
    assert world.revisions() == [good] * 4
    assert (stable_of(world), world.partition) == (good, CLOSED)
    assert world.status.history[-1].outcome == "Promoted"


@pytest.mark.parametrize("batches", range(1, 5))
def test_release_costs_two_writes_for_each_batch_and_four(batches: int) -> None:
    """Of the journal and of objects together; each gate or pause between the batches costs one more."""
    world = settled([{"setBatch": n} for n in range(1, batches)] or [{"setBatch": 1}], pods=max(2, batches))
    world.release("v2")
    world.settle(300)
    assert len(world.writes) <= 2 * max(2, batches) + 4, world.writes
    world.writes.clear()
    judged = settled([step for n in range(1, 4) for step in ({"setBatch": n}, JUDGED)])
    judged.release("v2")
    judged.settle(300)
    assert len(judged.writes) <= 2 * 4 + 4 + 3, judged.writes


@pytest.mark.parametrize("seed", range(8))
def test_failed_gate_closes_the_update_with_the_next_write_and_takes_the_pods_back_in_order(seed: int) -> None:
    """The last replaced goes first, one at a time, each back and ready before the next."""
    world = settled([{"setBatch": 1}, {"setBatch": 3}, JUDGED], seed)
    old = stable_of(world)
    bad = world.release("v2", quality=60.0)
    until(world, "step 2 of 3")
    before = len(world.writes)
    world.settle(300)
    world.check_rest()
    assert (stable_of(world), world.status.rejected[-1].pod_hash) == (old, bad)
    moves = [w for w in world.writes[before:] if w.startswith(("SetPartition", "EvictPod"))]
    assert moves[0] == OPEN
    assert moves[1:] == ["EvictPod/db-1", "EvictPod/db-2", "EvictPod/db-3"]
    assert world.revisions() == [old] * 4
    assert world.status.phase == "Degraded"


@pytest.mark.parametrize("seed", range(4))
def test_version_that_does_not_come_up_stops_at_its_first_pod(seed: int) -> None:
    """No other pod is touched; after the progress deadline that one goes back."""
    world = settled([{"setBatch": 2}, JUDGED], seed)
    old = stable_of(world)
    broken = world.release("v2", broken=True)
    world.run_for(60)
    assert world.revisions() == [old, old, old, broken]
    world.settle(400)
    world.check_rest()
    assert world.status.rejected[-1].reason == "ProgressDeadlineExceeded"
    assert world.revisions() == [old] * 4


def test_batch_that_takes_longer_than_its_timeout_is_taken_back() -> None:
    """Long before the progress deadline, pod by pod, and with the batch and its time as the reason."""
    world = settled([{"setBatch": 2, "timeout": "30s", "onTimeout": "Abort"}, JUDGED])
    old = stable_of(world)
    world.release("v2", broken=True)
    world.run_for(25)
    assert world.status.phase == "Progressing"
    world.settle(100)
    world.check_rest()
    record = world.status.rejected[-1]
    assert record.reason == "StepTimedOut"
    assert record.message.startswith("step 1 of 2: setBatch 2 took longer than its timeout of 30s: ")
    assert world.revisions() == [old] * 4


def test_batch_that_is_held_by_its_timeout_touches_no_other_pod() -> None:
    """The pods of the batch that came up stay; the rest keep the old version until somebody decides."""
    world = settled([{"setBatch": 2, "timeout": "30s"}, JUDGED])
    old = stable_of(world)
    world.release("v2", broken=True)
    world.run_for(60)
    assert world.revisions()[:3] == [old] * 3
    assert "it took longer than its timeout of 30s" in world.status.message
    assert world.status.step == "1/2"


def test_pause_between_batches_ends_by_its_timeout() -> None:
    """As if somebody had promoted it."""
    world = settled([{"setBatch": 1}, {"pause": {}, "timeout": "40s", "onTimeout": "Promote"}])
    good = world.release("v2")
    world.run_for(30)
    assert world.revisions()[:3] != [good] * 3
    world.settle(300)
    world.check_rest()
    assert world.revisions() == [good] * 4


def test_last_pod_that_does_not_come_up_is_still_taken_back() -> None:
    """Until all pods are new and ready the StatefulSet knows the old revision; so a promotion can fail, too."""
    world = settled([{"setBatch": 3}])
    old = stable_of(world)
    world.release("v2")
    until(world, "promoting")
    world.broken_revisions = frozenset({world.revision()})
    world.settle(400)
    world.check_rest()
    assert world.revisions() == [old] * 4


def test_large_batch_may_take_longer_than_the_deadline() -> None:
    """The deadline is for one pod, not for all of them."""
    world = settled([{"setBatch": 5}], pods=6)
    world.start_delay = 50.0
    good = world.release("v2")
    world.settle(900)
    assert stable_of(world) == good


def test_batch_waits_for_a_disruption_budget() -> None:
    """While a PodDisruptionBudget allows nothing no batch begins, and the message names it."""
    world = settled([{"setBatch": 1}])
    world.budget_open = False
    good = world.release("v2")
    world.run_for(60)
    assert "PodDisruptionBudget budget" in world.status.message
    assert OPEN not in world.writes
    world.budget_open = True
    world.run_for(31)
    world.settle(300)
    assert stable_of(world) == good


def test_way_back_respects_a_disruption_budget() -> None:
    """A pod that serves is evicted only when its budget allows it; the update is closed at once."""
    world = settled([{"setBatch": 2}, JUDGED])
    old = stable_of(world)
    world.release("v2", quality=60.0)
    open_at(world, "1/2")
    world.budget_open = False
    world.run_for(60)
    assert world.partition == CLOSED
    assert not [w for w in world.writes if w.startswith("EvictPod")]
    assert world.status.phase == "RollingBack"
    world.budget_open = True
    world.settle(300)
    assert world.revisions() == [old] * 4


def test_newer_version_replaces_the_one_under_release() -> None:
    """What the older one has reached goes back before the newer one begins."""
    world = settled([{"setBatch": 2}, {"pause": {}}])
    old = stable_of(world)
    second = world.release("v2")
    world.settle(300, until=("Paused",))
    assert world.revisions() == [old, old, second, second]
    third = world.release("v3")
    world.settle(300, until=("Paused",))
    assert world.revisions() == [old, old, third, third]
    assert [h.outcome for h in world.status.history][-1] == "Superseded"
    world.person("promote")
    world.settle(300)
    assert world.revisions() == [third] * 4


def test_nothing_of_the_version_before_is_left_when_a_newer_begins() -> None:
    """What a gate of the newer one measures is not mixed with what came before."""
    steps: list[dict[str, Any]] = [{"setBatch": 1}, {"pause": {"duration": "60s"}}, {"setBatch": 3}, {"pause": {}}]
    world = settled(steps)
    old = stable_of(world)
    world.release("v2")
    until(world, "step 4 of 4")
    third = world.release("v3")
    until(world, "step 2 of 4")
    assert world.revisions() == [old, old, old, third]


def test_template_that_is_put_back_ends_the_release() -> None:
    """The pods that were new go back."""
    world = settled([{"setBatch": 2}, {"pause": {}}])
    old = stable_of(world)
    world.release("v2")
    world.settle(300, until=("Paused",))
    world.release("v1")
    world.settle(300)
    world.check_rest()
    assert world.revisions() == [old] * 4
    assert world.status.history[-1].outcome == "Reverted"


@pytest.mark.parametrize("moment", ["beginning", "1/4", "2/4", "4/4", "promoting"])
def test_abort_at_any_step_ends_on_stable(moment: str) -> None:
    """The next write to the StatefulSet closes the update."""
    world = settled(
        [{"setBatch": 1}, JUDGED, {"setBatch": 3}, {"gate": {"ref": {"name": "golden"}, "duration": "20s"}}]
    )
    old = stable_of(world)
    world.release("v2")
    (open_at if "/" in moment else until)(world, moment)
    world.person("abort")
    before, opened = len(world.writes), world.partition < CLOSED
    world.settle(300)
    world.check_rest()
    assert world.status.rejected[-1].reason == "Aborted"
    moves = [w for w in world.writes[before:] if w.startswith(("SetPartition", "EvictPod"))]
    assert moves[:1] == ([OPEN] if opened else [])
    assert world.revisions() == [old] * 4


def test_retry_begins_again_at_the_first_batch() -> None:
    """A version that was taken back is tried again when somebody asks for it."""
    world = settled([{"setBatch": 1}, JUDGED])
    bad = world.release("v2", quality=60.0)
    world.settle(300)
    record = world.status.rejected[-1]
    world.quality[bad] = 100.0
    world.person("retry", pod_hash=record.pod_hash, attempt=record.attempt)
    world.settle(300)
    assert (stable_of(world), world.revisions()) == (bad, [bad] * 4)


def test_undo_is_refused_with_what_to_do() -> None:
    """A workload has one template only."""
    world = settled([{"setBatch": 1}])
    world.release("v2")
    world.settle(300)
    name = world.person("undo")
    world.settle(60)
    accepted, message = world.answered[name]
    assert not accepted
    assert "put the older one back where it is kept" in message


def test_scale_up_at_rest_brings_stable_pods() -> None:
    """Although the template is that of a version which was taken back."""
    world = settled([{"setBatch": 1}, JUDGED])
    old = stable_of(world)
    world.release("v2", quality=60.0)
    world.settle(300)
    world.scale(6)
    world.run_for(60)
    assert world.revisions() == [old] * 6


def test_one_pod_is_too_few() -> None:
    """There would be no way back; the condition says what to do, and it goes on by itself."""
    world = settled([{"setBatch": 1}], pods=2)
    world.scale(1)
    world.run_for(10)
    good = world.release("v2")
    world.run_for(60)
    assert OPEN not in world.writes
    said = next(c for c in world.status.conditions if c.type == "Ready")
    assert said.message == (
        "spec.workloadRef.name: StatefulSet db has one pod, of which no batch could be tried with a way back; "
        "scale it to 2 at least"
    )
    world.scale(2)
    world.settle(300)
    assert stable_of(world) == good


def test_no_pods_need_no_batches() -> None:
    """A StatefulSet that is scaled to 0 takes its new version at once."""
    world = settled([{"setBatch": 1}], pods=0)
    good = world.release("v2")
    world.settle(300)
    assert stable_of(world) == good


def test_somebody_who_opens_the_update_is_undone_three_times_and_then_told() -> None:
    """It is closed again with the next write; what came out meanwhile goes back."""
    world = settled([{"setBatch": 1}, JUDGED])
    old = stable_of(world)
    world.release("v2", quality=60.0)
    world.settle(300)
    for _ in range(3):
        world.set_partition(3)
        world.settle(60)
        world.run_for(10)
        assert (world.partition, world.revisions()) == (CLOSED, [old] * 4)
    world.set_partition(3)
    world.run_for(60)
    stalled = next(c for c in world.status.conditions if c.type == "Stalled")
    assert stalled.reason == "TrafficContested"
    assert "the partition of db" in stalled.message


def test_version_that_somebody_released_past_the_gates_is_named() -> None:
    """All pods are new and ready before the operator came: nothing leads back, and a person is told."""
    world = settled([{"setBatch": 1}, JUDGED])
    world.release("v2", quality=60.0)
    world.settle(300)
    world.current = world.revision()
    for pod in world.pods.values():
        pod.revision = world.current
    world.dirty()
    world.run_for(60)
    stalled = next(c for c in world.status.conditions if c.type == "Stalled")
    assert stalled.reason == "NoWayBack"
    assert (world.status.phase, world.status.message) == ("Degraded", stalled.message)


def complete(world: RollingWorld) -> None:
    """Let the StatefulSet come to the end of its promotion while no operator looks."""
    until(world, "promoting")
    while {p.revision for p in world.pods.values()} != {world.revision()} or not all(
        map(world.is_ready, world.pods.values())
    ):
        world.advance(world.now + 0.5)


def test_abort_that_comes_too_late_is_refused() -> None:
    """All pods are new, and the StatefulSet has forgotten the old version; to accept it would be to lie."""
    world = settled([{"setBatch": 1}])
    good = world.release("v2")
    complete(world)
    for _ in range(5):
        world.advance(world.now + 0.5)
    name = world.person("abort")
    world.settle(60)
    accepted, message = world.answered[name]
    assert not accepted, "it was accepted"
    assert "put the older template back" in message
    assert (stable_of(world), world.status.history[-1].outcome) == (good, "Promoted")


def test_abort_in_the_very_moment_of_completion_says_that_nothing_leads_back() -> None:
    """The operator closed what it saw open; the status tells what is, not what was meant."""
    world = settled([{"setBatch": 1}])
    world.release("v2")
    complete(world)
    world.person("abort")
    world.sync_at = float("inf")
    world.turn()
    world.dirty()
    world.run_for(30)
    stalled = next(c for c in world.status.conditions if c.type == "Stalled")
    assert (world.status.phase, stalled.reason) == ("Degraded", "NoWayBack")
    assert "serves" not in world.status.message
    third = world.release("v3")
    world.settle(300)
    assert (stable_of(world), world.revisions()) == (third, [third] * 4)


def test_deletion_at_rest_opens_the_update_again() -> None:
    """Without a Rollout a StatefulSet does what its template says."""
    world = settled([{"setBatch": 1}])
    world.deleting = True
    world.run_for(30)
    assert (world.gone, world.partition) == (True, 0)


@pytest.mark.parametrize("moment", ["beginning", "1/2", "2/2"])
def test_deletion_in_mid_release_takes_the_pods_back_and_keeps_the_update_closed(moment: str) -> None:
    """What nobody has judged does not go out because its Rollout is deleted."""
    world = settled([{"setBatch": 2}, {"pause": {}}])
    old = stable_of(world)
    world.release("v2")
    (open_at if "/" in moment else until)(world, moment)
    world.deleting = True
    world.run_for(120)
    assert world.gone
    assert (world.partition, world.revisions()) == (CLOSED, [old] * 4)
    assert not world.plans, "a record is left that nothing needs"


@pytest.mark.parametrize("seed", half(range(100)))
def test_whatever_people_do_the_rules_hold_and_it_ends(seed: int) -> None:
    """Scaling, pausing, other versions, somebody at the partition, acts of all kinds, in any order, beside faults."""
    chance = random.Random(f"people/{seed}")
    faults = Faults(conflict=0.05, lost_applied=0.05, crash=0.02, status_fails=0.05) if seed % 2 else Faults()
    world = RollingWorld(seed, rolling(STEPS, gates=chance.random() < 0.3, progressDeadlineSeconds=60), faults, pods=4)
    world.run_for(20)
    for number in range(2, 10):
        kind = chance.choice(["good", "bad", "broken", "back", "act", "act", "scale", "pause", "partition"])
        if kind in ("good", "bad", "broken"):
            world.release(f"v{number}", quality=60.0 if kind == "bad" else 100.0, broken=kind == "broken")
        elif kind == "back":
            world.release("v1")
        elif kind == "act":
            verb = chance.choice(["pause", "resume", "abort", "promote", "retry", "undo", "override"])
            record = world.status.rejected[-1] if verb == "retry" and world.status.rejected else None
            seen = {"pod_hash": record.pod_hash, "attempt": record.attempt} if record else {}
            world.person(verb, **seen)
        elif kind == "scale":
            world.scale(chance.choice([1, 2, 3, 4, 6]))
        elif kind == "pause":
            world.change_spec(paused=chance.random() < 0.5)
        else:
            world.set_partition(chance.choice([0, 1, 3, 5]))
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


STEPS = [{"setBatch": 1}, JUDGED, {"setBatch": "50%"}, {"pause": {"duration": "3s"}}, {"setBatch": 4}, JUDGED]


def some_faults(chance: random.Random) -> Faults:
    """Conflicts, lost answers, crashes, providers that fail: none of some of them."""
    return Faults(
        conflict=chance.choice((0.0, 0.1)),
        lost_applied=chance.choice((0.0, 0.1)),
        lost_unapplied=chance.choice((0.0, 0.1)),
        crash=chance.choice((0.0, 0.05)),
        status_fails=chance.choice((0.0, 0.1)),
        provider_error=chance.choice((0.0, 0.05)),
    )


def comes_to_its_end(world: RollingWorld, chance: random.Random) -> None:
    """A release of some kind under the faults of the world, and what must hold when they are over."""
    world.kept = chance.choice((None, 4))
    world.run_for(20)
    kind = chance.choice(("good", "bad", "broken", "aborted", "newer"))
    first = stable_of(world) if world.status.stable else ""
    new = world.release("v2", quality=60.0 if kind == "bad" else 100.0, broken=kind == "broken")
    world.run_for(chance.uniform(0.0, 40.0))
    if kind == "aborted":
        world.person("abort")
    elif kind == "newer":
        new = world.release("v3")
    world.run_for(60)
    world.faults = Faults()
    world.settle(1800)
    world.check_rest()
    world.run_for(90)
    world.writes.clear()
    world.run_for(600)
    assert not world.writes, "nothing changes and it writes"
    assert len(set(world.revisions())) == 1
    if kind in ("good", "newer"):
        assert world.revisions()[0] == new or world.status.rejected, world.story[-20:]
    elif kind in ("bad", "broken") and first:
        assert world.revisions()[0] == first, world.story[-20:]


@pytest.mark.parametrize("seed", half(range(150)))
def test_any_faults_end_where_a_clean_run_ends(seed: int) -> None:
    """Conflicts, lost answers, crashes, providers that fail: the rules hold at each write, and the end is right."""
    chance = random.Random(seed)
    faults = some_faults(chance)
    world = RollingWorld(seed, rolling(STEPS, gates=chance.random() < 0.5, progressDeadlineSeconds=60), faults, pods=5)
    comes_to_its_end(world, chance)
