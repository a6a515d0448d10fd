"""An experiment runs variants beside both versions while its gate compares them, and nothing of it stays."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import RevisionRef, RolloutSpec, Step
from headgate.decide import experiment, problems
from headgate.decide.canary import may_be_passed
from headgate.decide.managed import is_share, service_of
from headgate.decide.rollout import decide
from headgate.decide.types import DeleteReplicaSet, SetWeight
from tests.simulation.examples import routed
from tests.simulation.world import GATE, Faults, World, blue_green, comes_to_rest, spec, stays_at_rest

pytestmark = pytest.mark.simulation

COMPARED = QualityGateSpec.model_validate(
    {
        "interval": "5s",
        "checks": [{"name": "compared", "prometheus": {"query": {"template": "compared"}}, "pass": {"min": 99}}],
    }
)


def variant(name: str, of: str, **more: Any) -> dict[str, Any]:
    """A variant of one pod, of which the gate is told by its name."""
    return {"name": name, "specRef": of, "gateArguments": [{"name": name, "value": "Revision"}], **more}


def trial(
    *, baseline: dict[str, Any] | None = None, canary: dict[str, Any] | None = None, **gate: Any
) -> dict[str, Any]:
    """A step that compares the two versions."""
    variants = [variant("baseline", "Stable", **(baseline or {})), variant("canary", "Canary", **(canary or {}))]
    return {"experiment": {"variants": variants, "gate": {"ref": {"name": "compared"}, "count": 2, **gate}}}


BY_ROUTE = {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}}
Said = dict[str, Any]
STEPS = [{"setWeight": 20}, trial(), {"setWeight": 60}]


def world_of(rollout: RolloutSpec, seed: int = 1, faults: Faults | None = None) -> World:
    """A world whose first version serves."""
    world = World(seed, rollout, faults)
    world.gates = {"golden": GATE, "compared": COMPARED}
    return world


def at_experiment(rollout: RolloutSpec, **release: Any) -> tuple[World, str]:
    """A world in the middle of its experiment, and the pod hash of what is released."""
    world = world_of(rollout)
    world.settle(120)
    new = world.release("v2", **release)
    for _ in range(600):
        world.run_for(0.5)
        if any(g.name == "compared" and g.checks for g in world.status.gates):
            return world, new
    world.fail("the experiment does not begin")
    raise AssertionError


def stable(world: World) -> str:
    """The pod hash of what is stable."""
    return world.status.stable.pod_hash if world.status.stable is not None else ""


def variants_of(world: World) -> dict[str, int]:
    """Ready pods by variant."""
    return {s.variant: world.ready(s) for s in world.sets.values() if s.variant}


def test_the_gate_begins_when_all_variants_serve_and_they_go_when_it_has_passed() -> None:
    """Each variant has the template that it was to have."""
    world, new = at_experiment(spec(STEPS))
    assert variants_of(world) == {"baseline": 1, "canary": 1}
    made = {s.variant: s.pod_spec["containers"][0]["image"] for s in world.sets.values() if s.variant}
    assert made == {"baseline": "v1", "canary": "v2"}
    world.settle(300)
    assert stable(world) == new
    assert not variants_of(world)
    world.check_rest()
    stays_at_rest(world)


def test_what_does_worse_in_the_experiment_is_taken_back_and_its_variants_go() -> None:
    """The verdict is the gate's."""
    world = world_of(spec([trial()]))
    world.settle(120)
    new = world.release("v2", quality=50.0)
    world.settle(300)
    assert [(r.pod_hash, r.reason) for r in world.status.rejected] == [(new, "GateFailed")]
    assert not variants_of(world)
    stays_at_rest(world)


def shared(weight: int = 10) -> Said:
    """A step whose baseline has a Service and a part of the requests."""
    said = {"service": "shop-baseline", "weight": weight, "replicas": 2}
    return trial(baseline={**said, "gateArguments": [{"name": "baseline", "value": "Service"}]})


def during(world: World) -> list[str]:
    """The routes of ours that lead to variants."""
    return [key for key in world.routes if is_share(key)]


def test_a_release_with_an_experiment_takes_so_many_writes_and_rests_with_none() -> None:
    """Each variant takes two, and a share two more with the selector; while the gate judges there is none."""
    world, _ = at_experiment(spec([{"setWeight": 20}, shared()]))
    before, names = len(world.writes), [s.name for s in world.sets.values() if s.variant]
    made = {f"{kind}/{name}" for kind in ("CreateReplicaSet", "DeleteReplicaSet") for name in names}
    world.run_for(4)
    assert world.writes[before:] == []
    world.settle(300)
    assert len([w for w in world.writes if w in made]) == 4
    assert world.writes.count("SetSelector/shop-baseline") == 1
    assert sum(w.startswith("SetWeight") for w in world.writes) == 4, "20, the share, without it, and 0 at the end"
    stays_at_rest(world)


def test_a_share_comes_after_all_pods_and_goes_before_them() -> None:
    """The Service leads to the variant first; the rules of the world look at each write."""
    world, _ = at_experiment(spec([{"setWeight": 20}, shared()]))
    story = "\n".join(world.story)
    assert story.index("SetSelector/shop-baseline") < story.rindex("SetWeight/HTTPRoute/shop/ 20")
    assert during(world)
    assert variants_of(world) == {"baseline": 2, "canary": 1}
    world.settle(300)
    assert not during(world)
    assert not variants_of(world)


def test_the_gate_is_told_what_its_variants_are_called_in_this_attempt() -> None:
    """By the label of their pods, or by the Service."""
    world, _ = at_experiment(spec([{"setWeight": 20}, shared()]))
    trialled = next(s.pod_hash for s in world.sets.values() if s.variant == "canary")
    world.settle(300)
    check = next(g for g in world.status.gates if g.name == "compared").checks[0]
    assert check.query == f'compared{{one="shop-baseline",other="{trialled}"}}'


def test_two_experiments_in_a_row_by_one_service_change_variants_without_a_share() -> None:
    """The second's pods get requests when the Service leads to them, and the first's none any more."""
    world = world_of(spec([shared(), shared()]))
    world.settle(120)
    new = world.release("v2")
    world.settle(400)
    assert stable(world) == new
    assert world.writes.count("SetSelector/shop-baseline") == 2
    assert sum(w.startswith("SetWeight") for w in world.writes) == 4


def test_a_hotfix_waits_for_an_experiment() -> None:
    """Only Pass passes."""
    steps = tuple(Step.model_validate(step) for step in ({"setWeight": 5}, trial(), {"setWeight": 50}))
    assert not may_be_passed(steps, 1)
    assert not may_be_passed(steps, 0), "the weight before it is one at which something is judged"


@pytest.mark.parametrize("share", [False, True])
def test_an_abort_in_the_middle_leaves_nothing_of_it(*, share: bool) -> None:
    """The share goes with the weight."""
    world, new = at_experiment(spec([{"setWeight": 20}, shared() if share else trial()]))
    world.person("abort")
    world.settle(300)
    assert [r.pod_hash for r in world.status.rejected] == [new]
    assert not variants_of(world)
    stays_at_rest(world)


def test_a_paused_rollout_keeps_its_variants_and_makes_none() -> None:
    """Whoever paused looks at what is there; what goes on is what was there, too."""
    world, new = at_experiment(spec([{"setWeight": 20}, shared()]))
    world.person("pause")
    world.run_for(60)
    assert variants_of(world) == {"baseline": 2, "canary": 1}
    gone = next(name for name, s in world.sets.items() if s.variant == "canary")
    del world.sets[gone]
    world.run_for(60)
    assert variants_of(world) == {"baseline": 2}
    world.person("resume")
    world.settle(300)
    assert stable(world) == new


def test_an_abort_under_spec_paused_takes_the_share_and_leaves_the_pods_until_it_is_over() -> None:
    """Lowering is always allowed, and taking pods away is not."""
    world, _ = at_experiment(spec([{"setWeight": 20}, shared()]))
    world.change_spec(paused=True)
    world.run_for(5)
    world.person("abort")
    world.run_for(60)
    assert not during(world)
    assert variants_of(world) == {"baseline": 2, "canary": 1}
    world.change_spec(paused=False)
    world.settle(300)
    assert not variants_of(world)


def test_no_variant_goes_before_a_weight_that_could_not_be_lowered_just_now() -> None:
    """What was taken back loses its requests first, also where that has to be tried once more."""
    world, _ = at_experiment(spec([{"setWeight": 20}, {"pause": {"duration": "2m"}}, trial()]))
    world.person("abort")
    seen = world.snapshot()
    seen = replace(seen, status=decide(seen, world.now).status)  # It is accepted before it is acted upon.
    lowering = decide(seen, world.now).action
    assert isinstance(lowering, SetWeight)
    assert lowering.weight == 0
    tried = decide(replace(seen, barred=frozenset({lowering.key})), world.now)
    assert not isinstance(tried.action, DeleteReplicaSet)


def test_a_newer_version_has_variants_of_its_own() -> None:
    """Those of the one before it go, whatever they have seen."""
    world, _ = at_experiment(spec([shared()]))
    before = {s.pod_hash for s in world.sets.values() if s.variant}
    newest = world.release("v3")
    since = len(world.writes)
    world.settle(300)
    made = [w.rpartition("-")[2] for w in world.writes[since:] if w.startswith("CreateReplicaSet/")]
    assert len(made) == 3, "the version itself and two variants"
    assert not before & {*made}
    assert stable(world) == newest
    assert not variants_of(world)


@pytest.mark.parametrize("other", [{"steps": [{"setWeight": 50}]}, {}])
def test_variants_go_with_their_step_whatever_the_spec_says_by_then(other: Said) -> None:
    """Its steps are pinned, and another strategy knows no variants."""
    world, _ = at_experiment(spec([{"setWeight": 20}, trial()]))
    if other:
        world.change_spec(strategy=spec(other["steps"]).strategy)
        world.run_for(2)
        assert variants_of(world)
    else:
        world.change_spec(strategy=blue_green(strategy={"trafficRouting": BY_ROUTE}).strategy)
    world.settle(400)
    assert not variants_of(world)


def test_a_service_that_the_spec_names_no_more_is_looked_at_again_and_again() -> None:
    """Nobody tells of its endpoints then, and its record is what the attempt goes by."""
    world = world_of(spec([shared()]))
    world.settle(120)
    world.release("v2")
    world.run_for(0.2)
    world.change_spec(strategy=spec([{"setWeight": 50}]).strategy)
    world.turn()
    assert world.status.current_step_index == 0
    decision = decide(world.snapshot(), world.now)
    assert decision.wake_at is not None
    assert decision.wake_at <= world.now + 5


@pytest.mark.parametrize("keeps", ["Revert", "Keep"])
@pytest.mark.parametrize("orphaning", [False, True])
def test_a_deletion_in_the_middle_leaves_no_variant_and_hands_the_service_back(*, keeps: str, orphaning: bool) -> None:
    """Before the Services lead to all pods again none of a variant is left."""
    world, _ = at_experiment(spec([{"setWeight": 20}, shared()], onDelete=keeps))
    world.deleting, world.orphaning = True, orphaning
    world.run_for(200)
    assert world.gone
    assert not variants_of(world)
    assert world.selectors["shop-baseline"] == "", "the Service still leads to nobody"
    assert not during(world)


def test_a_variant_that_loses_its_pods_stops_the_gate_until_it_is_there_again() -> None:
    """What was measured meanwhile compares nothing."""
    world, new = at_experiment(spec([{"setWeight": 20}, trial(count=3)]))
    gone = next(name for name, s in world.sets.items() if s.variant == "baseline")
    del world.sets[gone]
    world.run_for(0.5)
    stopped = next(g for g in world.status.gates if g.name == "compared")
    assert (stopped.window, stopped.checks) == (2, []), "the gate goes on"
    assert "variant baseline does not serve any more" in stopped.message
    world.settle(300)
    passed = next(g for g in world.status.gates if g.name == "compared")
    assert (passed.window, passed.verdict) == (2, "Pass")
    assert stable(world) == new


def test_a_variant_that_never_comes_up_has_the_progress_deadline() -> None:
    """The time until the gate begins is not its own."""
    world = world_of(spec([trial()], progressDeadlineSeconds=60))
    world.settle(120)
    new = world.release("v2", broken=True)
    world.settle(300)
    record = world.status.rejected[0]
    assert (record.pod_hash, record.reason) == (new, "ProgressDeadlineExceeded")
    assert "waiting for the pods of variant canary" in record.message
    assert not variants_of(world)


def test_a_service_that_is_gone_is_told_and_waited_for() -> None:
    """It bars the next attempt, and is what this one waits for."""
    world = world_of(spec([{"setWeight": 20}, shared()]))
    world.settle(120)
    del world.selectors["shop-baseline"]
    world.release("v2")
    world.run_for(30)
    field = "spec.strategy.canary.steps[1].experiment.variants[baseline].service"
    assert f'{field}: there is no Service "shop-baseline"' in world.status.message
    assert not variants_of(world)


def test_somebody_who_leads_the_service_elsewhere_is_put_right_and_then_waited_for() -> None:
    """The share goes at once; after three times the Rollout is held and says so."""
    world, _ = at_experiment(spec([{"setWeight": 20}, {**shared(), "timeout": "1h"}]))
    for _ in range(6):
        world.selectors["shop-baseline"] = ""
        world.service_versions["shop-baseline"] += 1
        world.run_for(6)
    assert any(c.reason == "TrafficContested" for c in world.status.conditions)
    assert not during(world)


def test_a_service_that_the_spec_names_no_more_is_handed_back_when_its_variant_is_gone() -> None:
    """It led to nobody, and nothing but a record would tell of it at a deletion."""
    world, new = at_experiment(spec([{"setWeight": 20}, shared()], revisionHistoryLimit=0))
    world.settle(300)
    assert stable(world) == new
    assert world.selectors["shop-baseline"]
    world.change_spec(strategy=spec([{"setWeight": 50}]).strategy)
    world.run_for(5)
    assert world.selectors["shop-baseline"] == ""
    stays_at_rest(world)


def test_a_service_of_the_present_step_is_not_handed_back_though_nothing_else_is_left_of_its_variant() -> None:
    """The variant is made again, and the Service leads to it as before."""
    world, _ = at_experiment(spec([{"setWeight": 20}, shared()]))
    world.change_spec(strategy=spec([{"setWeight": 50}]).strategy)
    gone = next(name for name, s in world.sets.items() if s.variant == "baseline")
    chosen = world.selectors["shop-baseline"]
    del world.sets[gone]
    world.run_for(1)
    assert world.selectors["shop-baseline"] == chosen
    world.settle(300)
    assert world.selectors["shop-baseline"] == ""


def test_canary_counts_leave_variants_out() -> None:
    """An autoscaler that reads the status, or selects pods by it, is to see the two versions only."""
    world, _ = at_experiment(spec([{"setWeight": 20}, trial()]))
    assert (world.status.replicas, world.status.updated_replicas) == (5, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], 'the template "compared" needs the argument "baseline"'),
        ([{"name": "namespace", "value": "Revision"}], "namespace is set by Headgate"),
        (
            [{"name": "baseline", "value": "Revision"}, {"name": "other", "value": "Revision"}],
            "steps[0].experiment.variants[baseline].gateArguments[other]: no query of the gate uses it; remove it",
        ),
    ],
)
def test_what_a_variant_gives_to_the_gate_is_judged_before_anything_runs(arguments: list[Said], said: str) -> None:
    """With examples in the place of what nobody knows yet."""
    world = world_of(spec([trial(baseline={"gateArguments": arguments})]))
    found = [p.message for p in problems.find(world.snapshot())]
    assert any(said in message for message in found), found


def test_the_gate_of_a_step_is_one_object_in_all_decisions() -> None:
    """What is worked out of it is worked out once."""
    step = Step.model_validate(trial())
    run = RevisionRef(revision="v1-a", pod_hash="a", attempt=1, since="2026-01-01T00:00:00Z")
    first = experiment.gate_of(step, "uid", run, 0)
    assert first is experiment.gate_of(step, "uid", run, 0)
    assert first is not experiment.gate_of(step, "uid", run.model_copy(update={"attempt": 2}), 0)


@pytest.mark.parametrize("seed", range(60))
def test_experiments_come_to_their_end_whatever_goes_wrong(seed: int) -> None:
    """Conflicts, lost answers, crashes, and people who act in the middle of it."""
    chance = random.Random(seed)
    steps: list[Said] = [{"setWeight": 20}, shared(), {"setWeight": 60}, trial()]
    rollout = spec(steps[chance.randint(0, 1) :], replicas=chance.randint(1, 4))
    faults = Faults(conflict=0.05, lost_applied=0.05, lost_unapplied=0.05, crash=0.03, status_fails=0.05)
    world = world_of(rollout, seed, faults)
    world.settle(300)
    for version in ("v2", "v3"):
        world.release(version, quality=chance.choice([100.0, 100.0, 50.0]), broken=chance.random() < 0.1)
        world.run_for(chance.uniform(1, 60))
        if chance.random() < 0.4:
            world.person(chance.choice(["abort", "pause", "retry"]))
        world.run_for(chance.uniform(1, 30))
    world.faults = Faults()
    comes_to_rest(world)
    assert not variants_of(world)
    stays_at_rest(world)


def test_the_example_does_what_it_says() -> None:
    """examples/experiment: both variants have a share and all their pods before the canary gets anything."""
    _, rollout, *_ = routed("experiment")
    steps = json.dumps(rollout["spec"]["strategy"]["canary"]["steps"]).replace("no-worse", "compared")
    # The gate of this world asks for the other one by another name.
    steps = steps.replace('"name": "trial", "value"', '"name": "canary", "value"')
    world, _ = at_experiment(spec(json.loads(steps), replicas=10))
    assert variants_of(world) == {"baseline": 2, "trial": 2}
    assert [service_of(key) for key in during(world)] == ["checkout-baseline", "checkout-trial"]
    assert world.weight == 0
    assert world.endpoints("checkout-trial") == {world.selectors["checkout-trial"]: 2}
