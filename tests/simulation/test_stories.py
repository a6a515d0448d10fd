"""Stories of one Rollout each in the simulated world, without faults: what a user sees."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.api.gate import QualityGateSpec
from tests.simulation.world import World, spec

pytestmark = pytest.mark.simulation

STEPS: list[dict[str, Any]] = [{"setWeight": 20}, {"gate": {"ref": {"name": "golden"}, "count": 3}}, {"setWeight": 50}]


def settled(rollout: Any = None, seed: int = 1) -> World:
    """A world whose first revision is stable."""
    world = World(seed, rollout or spec(STEPS))
    world.settle(120)
    assert world.status.phase == "Healthy"
    world.check_rest()
    return world


def test_the_first_revision_serves_without_being_judged() -> None:
    """The first release has nothing to be compared with: it comes up, takes the Services over and is stable."""
    world = settled()
    assert world.status.history[-1].outcome == "Promoted"
    assert world.status.gates == []


def test_a_good_version_is_promoted() -> None:
    """Weights in order, the gate passes, the version is stable and the old pods go after the delay."""
    world = settled()
    good = world.release("v2")
    world.settle(300)
    assert world.status.phase == "Healthy"
    assert world.status.stable
    assert world.status.stable.pod_hash == good
    world.check_rest()
    world.run_for(120)
    assert {s.pod_hash for s in world.sets.values() if s.replicas} == {good}


def test_a_bad_version_is_taken_back_and_stays_rejected() -> None:
    """A failing gate rejects the revision; it is not tried again by itself and its pods go."""
    world = settled()
    stable = world.status.stable
    bad = world.release("v2", quality=80.0)
    world.settle(300)
    assert world.status.phase == "Degraded"
    assert world.status.stable == stable
    assert world.status.rejected[-1].pod_hash == bad
    assert "80" in world.status.rejected[-1].message
    world.check_rest()
    before = len(world.writes)
    world.run_for(3600)
    assert world.status.phase == "Degraded"
    assert {s.pod_hash for s in world.sets.values() if s.replicas} == {stable.pod_hash if stable else ""}
    assert len(world.writes) - before <= 3


def test_a_version_that_nobody_can_judge_is_held_not_promoted() -> None:
    """No data is no verdict: the release waits at its weight, and goes on when data comes."""
    world = settled()
    version = world.release("v2", quality=None)
    world.settle(300, until=("Held",))
    world.run_for(1800)
    assert world.status.phase == "Held"
    assert world.status.stable
    assert world.status.stable.pod_hash != version
    world.quality[version] = 100.0
    world.settle(300)
    assert world.status.stable.pod_hash == version


def test_a_held_gate_can_be_overridden_by_a_person() -> None:
    """An override lets the release go on past a gate that cannot know, and says who did it."""
    world = settled()
    version = world.release("v2", quality=None)
    world.settle(300, until=("Held",))
    name = world.person("override")
    world.settle(300)
    assert world.answered[name][0]
    assert world.status.stable
    assert world.status.stable.pod_hash == version


def test_nothing_is_written_when_nothing_changes() -> None:
    """At rest the operator writes nothing for an hour."""
    world = settled()
    world.run_for(120)
    before = len(world.writes)
    world.run_for(3600)
    assert world.writes[before:] == []


def test_five_weights_without_pauses_cost_at_most_nineteen_writes() -> None:
    """The write budget of the fleet benchmark: two replicas, five weights, finalizer and first release apart."""
    world = settled(spec([{"setWeight": w} for w in (20, 40, 60, 80, 100)], replicas=2))
    world.run_for(60)
    before = len(world.writes)
    world.release("v2")
    world.settle(300)
    world.run_for(300)
    assert len(world.writes) - before <= 19, world.writes[before:]


def test_a_person_aborts() -> None:
    """Abort takes the version back at once, from a pause too."""
    world = settled(spec([{"setWeight": 30}, {"pause": {}}]))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    assert world.share(version) == 30
    name = world.person("abort")
    world.turn()
    assert world.share(version) == 0
    world.settle(120)
    assert world.answered[name] == (True, f"revision {version} is taken back")
    assert world.status.phase == "Degraded"


def test_a_pause_without_duration_ends_when_somebody_promotes() -> None:
    """promote ends the pause and nothing else."""
    world = settled(spec([{"setWeight": 30}, {"pause": {}}, {"setWeight": 60}]))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.run_for(3600)
    assert world.status.phase == "Paused"
    world.person("promote")
    world.settle(120)
    assert world.status.stable
    assert world.status.stable.pod_hash == version


def test_a_stale_action_is_refused_with_a_sentence() -> None:
    """An action for another revision than the present one has no effect."""
    world = settled(spec([{"setWeight": 30}, {"pause": {}}]))
    world.release("v2")
    world.settle(120, until=("Paused",))
    name = world.person("promote", pod_hash="old")
    world.run_for(10)
    accepted, sentence = world.answered[name]
    assert not accepted
    assert "look again" in sentence
    assert world.status.phase == "Paused"


def test_pause_and_resume_by_a_person() -> None:
    """A paused release raises nothing; resumed it goes on."""
    world = settled(spec([{"setWeight": 10}, {"pause": {"duration": "20s"}}, {"setWeight": 60}]))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.person("pause")
    world.run_for(600)
    assert world.share(version) == 10
    assert next(c for c in world.status.conditions if c.type == "Paused").reason == "PausedByPerson"
    world.person("resume")
    world.settle(300)
    assert world.status.stable
    assert world.status.stable.pod_hash == version


def test_a_timed_pause_lasts_at_least_its_duration() -> None:
    """Also over a restart of the operator."""
    world = settled(spec([{"setWeight": 10}, {"pause": {"duration": "60s"}}, {"setWeight": 60}]))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    began = world.now
    while world.share(version) == 10:
        while world.turn():
            pass
        world._crash()
        world.advance()
    assert world.now - began >= 60 - 1e-6, f"a pause of 60 s lasted {world.now - began:.1f} s"


def test_a_new_revision_in_mid_run_starts_over_and_gets_no_traffic_of_the_old_one() -> None:
    """Supersede: the old canary loses its traffic before the Service points at the new one."""
    world = settled(spec([{"setWeight": 50}, {"pause": {}}]))
    second = world.release("v2")
    world.settle(120, until=("Paused",))
    third = world.release("v3")
    world.run_for(60)
    assert world.share(second) == 0
    assert world.share(third) == 50
    assert world.status.history[-1].outcome == "Superseded"
    world.person("promote")
    world.settle(120)
    assert world.status.stable
    assert world.status.stable.pod_hash == third


def test_a_revert_of_the_template_in_mid_run_goes_back_without_a_rejection() -> None:
    """Going back to stable is an intent, not a failure."""
    world = settled(spec([{"setWeight": 50}, {"pause": {}}]))
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.release("v1")
    world.settle(120)
    assert world.status.phase == "Healthy"
    assert world.status.rejected == []
    world.check_rest()


def test_going_back_to_a_revision_that_is_still_scaled_up_skips_the_steps() -> None:
    """Within the scale-down delay the way back is one selector switch."""
    world = settled(spec([{"setWeight": 50}, {"pause": {"duration": "30s"}}]))
    first = world.status.stable
    world.release("v2")
    world.settle(200)
    world.release("v1")
    began = world.now
    world.settle(60)
    assert world.status.stable
    assert first
    assert world.status.stable.pod_hash == first.pod_hash
    assert world.now - began < 15


def test_undo_goes_back_and_remembers_what_git_wants() -> None:
    """undo brings the older revision back, also when its pods are gone, and rejects the one that Git wants."""
    world = settled(spec([{"setWeight": 50}]))
    first = world.status.stable
    second = world.release("v2")
    world.settle(200)
    world.run_for(120)
    name = world.person("undo")
    world.settle(120)
    assert world.answered[name][0], world.answered[name]
    assert world.status.stable
    assert first
    assert world.status.stable.pod_hash == first.pod_hash
    assert world.status.phase == "Degraded"
    assert world.status.rejected[-1].pod_hash == second
    third = world.release("v3")
    world.settle(200)
    assert world.status.stable.pod_hash == third


def test_a_retry_begins_a_new_attempt_with_fresh_verdicts() -> None:
    """The old failure does not count for the new attempt."""
    world = settled()
    version = world.release("v2", quality=80.0)
    world.settle(300)
    world.quality[version] = 100.0
    rejected = world.status.rejected[-1]
    world.person("retry", pod_hash=rejected.pod_hash, attempt=rejected.attempt)
    world.settle(300)
    assert world.status.stable
    assert (world.status.stable.pod_hash, world.status.stable.attempt) == (version, 2)


def test_pods_that_never_come_up_are_taken_back_at_the_deadline() -> None:
    """No traffic ever reaches them."""
    world = settled(spec(STEPS, progress_deadline_seconds=120))
    broken = world.release("v2", broken=True)
    world.settle(400)
    assert world.status.rejected[-1].reason == "ProgressDeadlineExceeded"
    assert world.share(broken) == 0
    world.check_rest()


def test_deleting_in_mid_run_leaves_traffic_on_stable() -> None:
    """The finalizer goes only after the route and the Services are handed back."""
    world = settled(spec([{"setWeight": 50}, {"pause": {}}]))
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert world.weight == 0
    assert set(world.selectors.values()) == {""}


def test_a_foreign_rewrite_is_put_back_three_times_and_then_held() -> None:
    """The operator does not fight; it says TrafficContested."""
    world = settled(spec([{"setWeight": 50}, {"pause": {}}]))
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.run_for(60)
    for _ in range(6):
        world.weight = 5
        world.route_version += 1
        world.route_written = world.now
        world.run_for(60)
    assert world.weight == 5
    stalled = next(c for c in world.status.conditions if c.type == "Stalled")
    assert (stalled.status, stalled.reason) == ("True", "TrafficContested")


def test_a_background_gate_takes_the_version_back_at_any_step() -> None:
    """It judges from the first weight to the end."""
    world = settled(spec([{"setWeight": 50}, {"pause": {"duration": "10m"}}], gates=True))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.run_for(60)
    world.quality[version] = 50.0
    world.settle(120)
    assert world.status.phase == "Degraded"


def test_a_background_gate_must_have_passed_before_the_promotion() -> None:
    """Success needs positive evidence."""
    world = settled(spec([{"setWeight": 50}], gates=True))
    version = world.release("v2", quality=None)
    world.run_for(600)
    assert world.status.stable
    assert world.status.stable.pod_hash != version
    assert world.status.phase == "Held"


def adopted(steps: list[dict[str, Any]]) -> World:
    """A world whose Deployment was adopted."""
    world = World(1, spec(steps, template=None, workload_ref={"name": "shop"}))
    world.deployment = 4
    world.settle(120)
    world.run_for(60)
    return world


def test_a_deployment_is_adopted_and_shrinks_only_after_its_traffic_is_gone() -> None:
    """The operator's pods serve before the Deployment's go."""
    world = adopted([{"setWeight": 50}])
    assert world.deployment == 0
    assert world.status.history[-1].outcome == "Adopted"
    world.check_rest()
    order = [w for w in world.writes if w.startswith(("SetSelector/shop", "ScaleWorkload"))]
    assert order[-1] == "ScaleWorkload/shop"


def test_deleting_at_rest_gives_the_deployment_its_pods_and_services_back() -> None:
    """Everything is as it was before the adoption."""
    world = adopted([{"setWeight": 50}])
    world.deleting = True
    world.run_for(120)
    assert world.gone
    assert world.deployment == 4
    assert set(world.selectors.values()) == {""}
    assert world.plans == {}


def test_deleting_in_mid_run_gives_no_traffic_to_a_template_that_nobody_judged() -> None:
    """The Deployment would run the canary's template: the stable ReplicaSet stays, and nothing refers to the canary."""
    world = adopted([{"setWeight": 50}, {"pause": {}}])
    stable = world.status.stable
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert stable
    assert world.deployment == 0
    assert world.share(version) == 0
    assert set(world.selectors.values()) == {stable.pod_hash}
    assert {p.revision for p in world.plans.values()} == {stable.revision}
    assert {s.pod_hash for s in world.sets.values() if s.replicas} == {stable.pod_hash}


def test_a_deployment_that_is_scaled_up_again_and_again_is_not_fought() -> None:
    """Three times it is put back; then the Rollout says WorkloadContested and leaves it."""
    world = adopted([{"setWeight": 50}])
    for _ in range(6):
        world.deployment = 4
        world.run_for(60)
    assert world.deployment == 4
    stalled = next(c for c in world.status.conditions if c.type == "Stalled")
    assert (stalled.status, stalled.reason) == ("True", "WorkloadContested")


def judged_by_route(*routes: str) -> World:
    """A world at rest whose release is judged by one gate that leaves its argument to the steps."""
    gate = {"ref": {"name": "golden"}, "count": 1}
    given = [gate | ({"arguments": [{"name": "route", "value": route}]} if route else {}) for route in routes]
    world = World(1, spec([{"setWeight": 20}, *({"gate": g} for g in given)]))
    check = {"name": "success", "prometheus": {"query": {"template": "by-route"}}, "pass": {"min": 99}}
    world.gates = {"golden": QualityGateSpec.model_validate({"interval": "5s", "checks": [check]})}
    world.settle(120, ("Healthy", "Pending"))
    return world


def test_one_gate_is_asked_about_something_else_at_each_step() -> None:
    """Each step's run keeps its own query, and the record of the attempt keeps what each step gives."""
    world = judged_by_route("/cart", "/pay")
    world.release("v2")
    world.settle(300)
    assert world.status.phase == "Healthy"
    queries = [run.checks[0].query for run in world.status.gates]
    assert queries == [f'success{{service="shop-canary",route="{route}"}}' for route in ("/cart", "/pay")]


def test_gate_that_lacks_an_argument_at_one_step_bars_the_release() -> None:
    """That it has all that it needs at an earlier step helps nothing, and the sentence names the step that lacks it."""
    world = judged_by_route("/cart", "")
    assert world.status.stable is None, "a gate that cannot be asked bars the first revision, too"
    said = next(c for c in world.status.conditions if c.type == "Ready")
    assert said.message == (
        'spec.strategy.canary.steps[2].gate.ref.name: QualityGate "golden": checks[0].prometheus.query.arguments: '
        'the template "by-route" needs the argument "route"; add it'
    )
