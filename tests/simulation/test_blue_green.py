"""Stories of a blue-green Rollout in the simulated world: preview, gates, switch, gates, promotion, ways back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headgate.decide.mover import selected
from headgate.decide.rollout import decide
from tests.simulation.shell.history import run
from tests.simulation.shell.scenario import BLUE_GREEN, Event, scenario
from tests.simulation.world import Faults, World, blue_green, spec

pytestmark = pytest.mark.simulation

JUDGED: list[dict[str, Any]] = [{"ref": {"name": "golden"}, "count": 2}]
SWITCH = "SetSelector/shop"
DATA_PLANE = ("SetSelector", "SetWeight", "ScaleReplicaSet", "CreateReplicaSet")
MOST = 11
"""Writes to objects and to the status of a release with a gate before and one after the switch."""


def settled(seed: int = 1, *, replicas: int = 4, gates: bool = False, **strategy: Any) -> World:
    """A world whose first revision is stable."""
    world = World(seed, blue_green(replicas=replicas, gates=gates, strategy=strategy, progress_deadline_seconds=120))
    world.settle(120)
    world.check_rest()
    world.writes.clear()
    return world


def stable_of(world: World) -> str:
    """The pod hash of what is stable."""
    assert world.status.stable
    return world.status.stable.pod_hash


def until(world: World, what: str, limit: float = 300) -> None:
    """Run until the message says so."""
    end = world.now + limit
    while what not in world.status.message:
        assert world.now < end, f"{what} was never said: {world.story[-10:]}"
        world.run_for(0.25)


def pods(world: World, pod_hash: str) -> int:
    """How many pods a revision is to have."""
    return next((s.replicas for s in world.sets.values() if s.pod_hash == pod_hash), 0)


def test_a_good_version_is_previewed_judged_switched_judged_and_promoted() -> None:
    """One selector is switched, after the first gate and at full capacity; the old pods go after the delay."""
    world = settled(prePromotionGates=JUDGED, postPromotionGates=JUDGED)
    old = stable_of(world)
    good = world.release("v2")
    until(world, "step 2 of 4: gate golden")
    assert (world.selectors["shop"], world.selectors["shop-canary"]) == (old, good)
    assert world.status.weights.observed == world.status.weights.desired == 0
    until(world, "step 4 of 4: gate golden")
    assert world.selectors["shop"] == good
    assert world.status.stable is not None
    assert world.status.stable.pod_hash == old, "it is not final yet"
    assert pods(world, old) == pods(world, good) == 4
    assert (world.status.weights.desired, world.status.weights.observed) == (100, 100)
    world.settle(300)
    assert stable_of(world) == good
    assert world.status.weights.observed == 0
    world.run_for(120)
    assert {s.pod_hash for s in world.sets.values() if s.replicas} == {good}
    assert len(world.writes) <= MOST, world.writes
    assert world.writes.count(SWITCH) == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_failed_gate_after_the_switch_switches_back_with_the_next_write(seed: int) -> None:
    """The verdict and the way back are one decision; the old version never lost a pod, and the new one is rejected."""
    world = settled(seed, postPromotionGates=JUDGED)
    old = stable_of(world)
    bad = world.release("v2", quality=60.0)
    world.settle(300)
    assert world.status.phase == "Degraded"
    assert (stable_of(world), world.status.rejected[-1].pod_hash) == (old, bad)
    assert world.selectors == {"shop": old, "shop-canary": old}
    moves = [w for w in world.writes if w.startswith(DATA_PLANE)]
    assert moves.count(SWITCH) == 2, "there and back"
    assert moves.index(SWITCH) + 1 == len(moves) - 1 - moves[::-1].index(SWITCH), "with nothing in between"
    assert not [w for w in moves if w == f"ScaleReplicaSet/shop-{old}"]
    world.run_for(120)
    assert pods(world, bad) == 0


def test_the_way_back_waits_for_no_journal() -> None:
    """While the status cannot be written, a verdict still switches back."""
    world = settled(postPromotionGates=[{"ref": {"name": "golden"}, "duration": "60s"}])
    old = stable_of(world)
    bad = world.release("v2")
    until(world, "step 3 of 3: gate golden")
    world.quality[bad] = 60.0
    world.faults = Faults(status_fails=1.0)
    for _ in range(60):
        world.turn()
        world.advance(world.now + 0.5)
    assert world.selectors["shop"] == old
    assert not world.status.rejected, "the journal does not know yet"
    world.faults = Faults()
    world.settle(300)
    assert world.status.rejected[-1].pod_hash == bad
    assert world.writes.count(SWITCH) == 2, "it is not switched again meanwhile"


def test_a_failed_gate_before_the_switch_leaves_the_users_alone() -> None:
    """What fails behind the preview Service never gets a request of a user."""
    world = settled(prePromotionGates=JUDGED, postPromotionGates=JUDGED)
    bad = world.release("v2", quality=60.0)
    world.settle(300)
    assert world.status.rejected[-1].pod_hash == bad
    assert SWITCH not in world.writes
    world.check_rest()


@pytest.mark.parametrize("moment", ["beginning", "step 2 of 4", "step 3 of 4", "step 4 of 4"])
def test_an_abort_at_any_step_ends_on_stable(moment: str) -> None:
    """Before the switch nothing was moved; after it the next write of the data plane moves it back."""
    world = settled(prePromotionGates=JUDGED, postPromotionGates=[{"ref": {"name": "golden"}, "duration": "60s"}])
    old = stable_of(world)
    new = world.release("v2")
    until(world, moment)
    world.person("abort")
    before = len(world.writes)
    switched = world.selectors["shop"] == new
    world.settle(300)
    assert world.status.phase == "Degraded"
    assert world.status.rejected[-1].reason == "Aborted"
    moves = [w for w in world.writes[before:] if w.startswith(DATA_PLANE)]
    assert (SWITCH in moves) == switched
    assert not switched or moves[0] == SWITCH
    assert world.selectors == {"shop": old, "shop-canary": old}
    assert world.status.weights.observed == 0


def test_a_manual_promotion_waits_for_a_person() -> None:
    """With autoPromotionEnabled: false the preview waits, for as long as it takes, until somebody promotes."""
    world = settled(prePromotionGates=JUDGED, autoPromotionEnabled=False)
    new = world.release("v2")
    world.settle(300, until=("Paused",))
    world.run_for(3600)
    assert (world.status.phase, SWITCH in world.writes) == ("Paused", False)
    assert "until someone promotes" in world.status.message
    world.person("promote")
    world.settle(300)
    assert stable_of(world) == new


@pytest.mark.parametrize(
    ("then", "phase"), [(None, "Held"), ("Notify", "Paused"), ("Abort", "Degraded"), ("Promote", "Healthy")]
)
def test_a_wait_for_a_person_has_an_end(then: str | None, phase: str) -> None:
    """What happens when nobody promotes in time is the Rollout's choice, and what it says names the time."""
    more: dict[str, Any] = {"onPromotionTimeout": then} if then else {}
    world = settled(autoPromotionEnabled=False, promotionTimeout="300s", **more)
    old, new = stable_of(world), world.release("v2")
    world.settle(300, until=("Paused",))
    world.run_for(290)
    assert (world.status.phase, SWITCH in world.writes) == ("Paused", False)
    world.run_for(60)
    assert world.status.phase == phase
    assert (SWITCH in world.writes) == (then == "Promote")
    assert stable_of(world) == (new if then == "Promote" else old)
    if then == "Abort":
        assert (world.status.rejected[-1].reason, "timeout of 5m00s" in world.status.rejected[-1].message) == (
            "StepTimedOut",
            True,
        )
    elif then != "Promote":
        assert "took longer than its timeout of 5m00s" in world.status.message
        world.person("promote")
        world.settle(300)
        assert stable_of(world) == new


def test_a_gate_after_the_switch_that_takes_too_long_brings_the_users_back() -> None:
    """Nobody can say how the version does, so after its time the old one serves again, with the next write."""
    world = settled(postPromotionGates=[JUDGED[0] | {"timeout": "60s", "onTimeout": "Abort"}])
    old = stable_of(world)
    silent = world.release("v2", quality=None)
    until(world, "step 3 of 3: gate golden")
    assert world.selectors["shop"] == silent
    world.run_for(50)
    asking, late = decide(world.snapshot(), world.now + 5), decide(world.snapshot(), world.now + 20)
    assert (bool(asking.questions), bool(asking.status.rejected)) == (True, False)
    assert (bool(late.questions), bool(late.status.rejected)) == (False, True), "no more evidence is of use"
    world.run_for(20)
    assert world.selectors["shop"] == old
    assert (world.status.rejected[-1].pod_hash, world.status.rejected[-1].reason) == (silent, "StepTimedOut")
    world.settle(300)
    assert [w for w in world.writes if w.startswith(DATA_PLANE)].count(SWITCH) == 2


def test_a_timed_promotion_waits_its_seconds() -> None:
    """autoPromotionSeconds run from the end of the gates before the switch."""
    world = settled(prePromotionGates=JUDGED, autoPromotionSeconds=45)
    new = world.release("v2")
    world.settle(300, until=("Paused",))
    began = world.now
    world.run_for(44)
    assert SWITCH not in world.writes
    world.settle(300)
    assert stable_of(world) == new
    assert world.now >= began + 45


def test_a_small_preview_grows_to_full_capacity_before_the_switch() -> None:
    """previewReplicaCount is for the preview only: the switch is a write that the capacity goes before."""
    world = settled(previewReplicaCount=1, autoPromotionSeconds=30)
    new = world.release("v2")
    world.settle(300, until=("Paused",))
    assert pods(world, new) == 1
    world.settle(300)
    assert pods(world, new) == 4
    grown = world.writes.index(f"ScaleReplicaSet/shop-{new}")
    assert grown < world.writes.index(SWITCH), "the switch went before the capacity"


def test_gates_before_the_switch_wait_for_the_endpoints() -> None:
    """Pods that are ready and not yet behind the preview Service have nothing that could be judged."""
    world = settled(prePromotionGates=JUDGED)
    world.start_delay, world.slice_delay = 0.1, 20.0
    began = world.now
    world.release("v2")
    until(world, "step 2 of 3: gate golden")
    assert world.now >= began + 20.0, "the gate began before the endpoints of the preview were there"


def test_a_version_that_does_not_come_up_is_taken_back_before_the_switch() -> None:
    """The progress deadline runs while the preview comes up, and no user notices."""
    world = settled()
    broken = world.release("v2", broken=True)
    world.settle(400)
    assert world.status.rejected[-1].pod_hash == broken
    assert world.status.rejected[-1].reason == "ProgressDeadlineExceeded"
    assert SWITCH not in world.writes


def test_the_way_back_is_instant_until_the_old_pods_go() -> None:
    """A template that is the old one again switches at once, past all gates, while its pods are there."""
    world = settled(prePromotionGates=JUDGED, postPromotionGates=JUDGED, scaleDownDelaySeconds=300)
    old = stable_of(world)
    world.release("v2")
    world.settle(300)
    assert world.release("v1") == old
    began = world.now
    world.settle(60)
    assert stable_of(world) == old
    assert world.now - began < 10
    assert world.selectors == {"shop": old, "shop-canary": old}


def test_a_background_gate_judges_from_the_switch_on() -> None:
    """It measures the users' requests, so it begins with the switch; until it passes the promotion is not final."""
    world = settled(gates=True)
    world.release("v2", quality=60.0)
    world.settle(300)
    assert world.status.phase == "Degraded"
    good = world.release("v3")
    world.settle(300)
    assert stable_of(world) == good
    assert [g.verdict for g in world.status.gates if g.step == -1] == ["Pass"]


def test_another_version_after_the_switch_brings_the_users_back_first() -> None:
    """A revision that arrives while another is judged on the users finds them with the stable one."""
    world = settled(postPromotionGates=[{"ref": {"name": "golden"}, "duration": "60s"}])
    old = stable_of(world)
    world.release("v2")
    until(world, "step 3 of 3: gate golden")
    before = len(world.writes)
    third = world.release("v3")
    world.run_for(0.1)
    assert world.selectors["shop"] == old
    assert next(w for w in world.writes[before:] if w != "status") == SWITCH
    world.settle(600)
    assert stable_of(world) == third


def test_a_lost_record_after_the_switch_begins_anew_from_stable() -> None:
    """Without its plan nobody knows what was judged: the users go back, and the steps begin anew."""
    world = settled(postPromotionGates=[{"ref": {"name": "golden"}, "duration": "60s"}])
    old = stable_of(world)
    new = world.release("v2")
    until(world, "step 3 of 3: gate golden")
    before = len(world.writes)
    del world.plans[f"shop-{new}-1"]
    while world.writes[before:] == []:
        world.turn()
        world.advance()
    assert (world.writes[before:][0], world.selectors["shop"]) == (SWITCH, old)
    world.settle(600)
    assert stable_of(world) == new
    assert world.status.history[-1].attempt == 2


def test_a_pause_after_the_switch_stays_there_and_a_failure_still_goes_back() -> None:
    """Paused means that nothing is raised: the users stay where they are, and a Fail takes the version back."""
    world = settled(postPromotionGates=[{"ref": {"name": "golden"}, "duration": "60s"}])
    old = stable_of(world)
    new = world.release("v2")
    until(world, "step 3 of 3: gate golden")
    world.change_spec(paused=True)
    world.run_for(30)
    assert world.selectors["shop"] == new
    assert world.status.phase == "Paused"
    world.quality[new] = 60.0
    world.run_for(10)
    assert world.selectors["shop"] == old
    assert world.status.rejected[-1].pod_hash == new


def test_a_pause_before_the_switch_forbids_it() -> None:
    """Nothing is raised while paused."""
    world = settled(autoPromotionSeconds=10)
    world.release("v2")
    until(world, "step 2 of 3: pause")
    world.change_spec(paused=True)
    world.run_for(200)
    assert SWITCH not in world.writes
    world.change_spec(paused=False)
    world.settle(300)
    assert SWITCH in world.writes


@pytest.mark.parametrize("becomes", ["stable", "all"])
def test_a_foreign_selector_is_put_back_three_times_and_then_held_on_stable(becomes: str) -> None:
    """Somebody else changes the active Service again and again: that is not fought for ever."""
    world = settled(postPromotionGates=[{"ref": {"name": "golden"}, "duration": "600s"}])
    old = stable_of(world)
    new = world.release("v2")
    until(world, "step 3 of 3: gate golden")
    for number in range(1, 5):
        world.run_for(20)
        assert world.selectors["shop"] == new
        world.selectors["shop"] = old if becomes == "stable" else ""
        world.selector_changed["shop"] = world.now
        world.service_versions["shop"] += 1
        world.run_for(20)
        assert world.status.weights.reasserted == number
    world.run_for(300)
    assert world.selectors["shop"] == old
    stalled = next(c for c in world.status.conditions if c.type == "Stalled")
    assert (stalled.reason, "a Service's selector 4 times" in stalled.message) == ("TrafficContested", True)
    world.person("resume")
    world.run_for(30)
    assert world.selectors["shop"] == new


def test_what_is_served_is_said() -> None:
    """The condition of the traffic names the revision that the users reach."""
    world = settled(postPromotionGates=[{"ref": {"name": "golden"}, "duration": "60s"}])
    new = world.release("v2")
    until(world, "step 3 of 3: gate golden")
    world.run_for(35)
    said = next(c for c in world.status.conditions if c.type == "TrafficInSync")
    assert (said.status, said.message) == ("True", f"Service shop leads to {new}")
    assert selected(world.snapshot().stable_service) == new
    assert decide(world.snapshot(), world.now).status.weights.applied


@pytest.mark.parametrize("replicas", [0, 1])
def test_any_number_of_pods_can_be_released(replicas: int) -> None:
    """Also none: then there is nobody to serve, and nothing to wait for."""
    world = settled(replicas=replicas)
    new = world.release("v2")
    world.settle(300)
    assert stable_of(world) == new


def test_a_change_of_the_strategy_gives_the_users_back_first() -> None:
    """What the active Service selects is no weight of a canary: the next write points it at the stable revision."""
    world = settled(postPromotionGates=[{"ref": {"name": "golden"}, "duration": "600s"}])
    old = stable_of(world)
    world.release("v2")
    until(world, "step 3 of 3: gate golden")
    before = len(world.writes)
    world.change_spec(strategy=spec([{"setWeight": 50}]).strategy)
    world.run_for(0.1)
    assert world.selectors["shop"] == old
    assert next(w for w in world.writes[before:] if w != "status") == SWITCH
    world.settle(1200)
    world.check_rest()


def test_the_whole_operator_takes_few_writes_for_a_release() -> None:
    """With its shell around it, too: from the new template to the end of the old pods, evidence included."""
    strategy = {"activeService": "shop", "previewService": "shop-canary", "scaleDownDelaySeconds": 10}
    strategy |= {"prePromotionGates": JUDGED, "postPromotionGates": JUDGED}
    calm = replace(scenario(BLUE_GREEN), blue_green=strategy, background=False, workload=False, strength=0.0, events=())
    before, after = run(calm), run(replace(calm, events=(Event(30.0, "release", "v2-good"),), calm_at=40.0))
    assert (before.problem, after.problem, after.phase) == ("", "", "Healthy")
    assert 8 < after.writes - before.writes <= MOST
