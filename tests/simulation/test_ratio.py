"""The canary without a router: the pods are the weight, never too few and never too many, and the way back is open."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.api.rollout import RolloutSpec
from headgate.decide import invariants
from headgate.decide import types as t
from headgate.decide.pool import bounds, split
from tests.simulation.world import GATE, Faults, World, ratio

pytestmark = pytest.mark.simulation

STEPS: list[dict[str, Any]] = [
    {"setWeight": 20},
    {"gate": {"ref": {"name": "golden"}, "count": 2}},
    {"setWeight": 50},
    {"pause": {"duration": "30s"}},
]


class Pool(World):
    """A world that holds every write against the bounds, by what it really has."""

    least_seen = most_seen = -1

    def check_truth(self) -> None:
        """After each write: available and wanted pods, all revisions together."""
        super().check_truth()
        canary = self.spec.strategy.canary
        assert canary is not None
        limits = bounds(self.spec, canary)
        wanted = sum(s.replicas for s in self.sets.values())
        there = sum(self.ready(s) for s in self.sets.values())
        self.most_seen = max(self.most_seen, wanted - limits.most)
        if wanted > limits.most + (self.spec.replicas == 1):
            self.fail(f"3: {wanted} pods are wanted, {limits.most} are the most")
        if self.status.stable is not None and not self.deleting and there < limits.least and self.shrank:
            self.fail(f"5: {there} pods are left, {limits.least} are the least")

    shrank = False

    def _apply(self, action: t.Action) -> None:
        before = sum(self.ready(s) for s in self.sets.values())
        super()._apply(action)
        self.shrank = sum(self.ready(s) for s in self.sets.values()) < before


def settled(steps: list[dict[str, Any]] | None = None, *, replicas: int = 10, seed: int = 1, **more: Any) -> Pool:
    """A world whose first revision is stable."""
    world = Pool(seed, ratio(steps or STEPS, replicas=replicas, **more))
    world.settle(120)
    assert world.status.phase == "Healthy"
    world.check_rest()
    return world


def pods(world: World) -> dict[str, int]:
    """Ready endpoints of the Service by revision."""
    return {h: n for h, n in world.endpoints("shop").items() if n}


def test_good_version_is_promoted_pod_by_pod() -> None:
    """A fifth of the pods, the gate, half of them, then all; no Service and no route is written."""
    world = settled()
    assert world.status.stable is not None
    old, new = world.status.stable.pod_hash, world.release("v2")
    world.settle(120, until=("Paused",))
    assert pods(world) == {old: 5, new: 5}
    assert (world.status.weights.desired, world.status.weights.observed, world.status.weights.applied) == (50, 50, True)
    world.settle(300)
    world.check_rest()
    assert pods(world) == {new: 10}
    assert not [w for w in world.writes if w.startswith(("SetSelector", "SetWeight"))]


def test_bad_version_is_taken_back_pod_by_pod() -> None:
    """The first write after the verdict lowers its share, and it ends with none."""
    world = settled()
    assert world.status.stable is not None
    old, new = world.status.stable.pod_hash, world.release("v2", quality=60.0)
    world.settle(300)
    assert world.status.phase == "Degraded"
    assert world.status.rejected[-1].pod_hash == new
    assert pods(world) == {old: 10}
    world.check_rest()


def test_abort_at_half_keeps_the_pods_that_the_load_needs() -> None:
    """What goes back is bounded as what went forward."""
    world = settled()
    assert world.status.stable is not None
    old, new = world.status.stable.pod_hash, world.release("v2")
    world.settle(120, until=("Paused",))
    world.person("abort")
    world.turn()
    assert sum(s.replicas for s in world.sets.values() if s.pod_hash == new) <= 5
    world.settle(120)
    assert pods(world) == {old: 10}


def test_verdict_whose_journal_is_lost_does_not_expose_the_version_again() -> None:
    """The write that takes pods away tells of it, as one of a weight does."""
    world = settled([{"setWeight": 50}, {"pause": {}}])
    new = world.release("v2")
    world.settle(120, until=("Paused",))
    world.person("abort")
    world.faults = Faults(status_fails=1.0)
    world.turn()
    world.people.clear()
    world._crash()
    world.faults = Faults()
    world.settle(120)
    assert world.status.rejected[-1].reason == "VerdictLost"
    assert pods(world).get(new) is None


def test_version_that_does_not_come_up_takes_no_more_than_may_be_missing() -> None:
    """Pods that are not available count as missing, so the old ones stay."""
    world = settled(progressDeadlineSeconds=60)
    assert world.status.stable is not None
    old = world.status.stable.pod_hash
    world.release("v2", broken=True)
    world.run_for(50)
    assert pods(world)[old] >= 8
    world.settle(120)
    assert world.status.phase == "Degraded"
    assert pods(world) == {old: 10}


def test_paused_release_keeps_its_pods() -> None:
    """Nothing is added to the new one and nothing taken from either."""
    world = settled()
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.person("pause")
    world.run_for(10)
    before = pods(world)
    world.run_for(600)
    assert pods(world) == before
    world.person("resume")
    world.settle(300)
    assert world.status.history[-1].outcome == "Promoted"


def test_new_revision_in_mid_run_takes_the_share_of_the_one_before() -> None:
    """The superseded one goes, the newcomer begins at step 1, and a third never has pods beside them for long."""
    world = settled()
    old, between = world.status.stable, world.release("v2")
    world.settle(120, until=("Paused",))
    last = world.release("v3")
    world.settle(400)
    assert old is not None
    assert [h.outcome for h in world.status.history[-2:]] == ["Superseded", "Promoted"]
    assert pods(world) == {last: 10}
    assert between not in pods(world)


def test_at_rest_nothing_is_written() -> None:
    """Nothing changes, no writes."""
    world = settled()
    world.release("v2")
    world.settle(300)
    world.run_for(120)
    before = len(world.writes)
    world.run_for(3600)
    assert world.writes[before:] == []


def test_adopted_deployment_gives_its_pods_up_when_there_are_enough_others() -> None:
    """Its pods are behind the Service until those of the first revision are available; a deletion brings it back."""
    rollout = ratio(STEPS, replicas=4).model_dump(by_alias=True, exclude_none=True, exclude={"template"})
    world = Pool(1, RolloutSpec.model_validate(rollout | {"workloadRef": {"name": "shop"}}))
    world.deployment = 4
    world.settle(120)
    world.run_for(60)
    assert world.deployment == 0
    assert world.status.history[-1].outcome == "Adopted"
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert world.deployment == 4


@pytest.mark.parametrize("moment", [2, 8, 30])
def test_deletion_in_mid_run_goes_back_to_stable_first(moment: int) -> None:
    """What is stable has all its pods before the finalizer goes."""
    world = settled()
    assert world.status.stable is not None
    old = world.status.stable.pod_hash
    world.release("v2")
    world.run_for(moment)
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert {s.pod_hash: s.replicas for s in world.sets.values() if s.replicas} == {old: 10}


def test_gate_that_cannot_tell_the_versions_apart_is_refused() -> None:
    """One Service leads to both: the stable version's requests would hide the canary's failures."""
    world = settled()
    world.gates = {"golden": GATE}
    world.release("v2")
    world.run_for(60)
    ready = next(c for c in world.status.conditions if c.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "InvalidSpec")
    assert "cannot tell the versions apart" in ready.message
    assert "{{canaryRevision}}" in ready.message
    world.gates = Pool(1, ratio(STEPS)).gates
    world.settle(300)
    assert world.status.history[-1].outcome == "Promoted"


@given(replicas=st.integers(0, 10_000), weight=st.integers(0, 100))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_split_gives_no_more_than_the_weight_but_for_the_first_pod(replicas: int, weight: int) -> None:
    """Both sides have a pod between 0 and 100, and together they are what the spec says, or two."""
    old, new = split(replicas, weight)
    assert old >= 0 <= new
    assert old + new == replicas or (replicas == 1 and (old, new) == (1, 1))
    assert new <= max(1, replicas * weight / 100)
    if replicas and 0 < weight < 100:
        assert old >= 1 <= new
    assert split(replicas, 0) == (replicas, 0)
    assert split(replicas, 100) == (0, replicas)


AMOUNT = st.sampled_from([None, 0, 1, 3, "0%", "10%", "25%", "100%"])


@given(replicas=st.integers(1, 30), surge=AMOUNT, missing=AMOUNT, seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_write_leaves_too_few_pods_or_wants_too_many(
    replicas: int, surge: int | str | None, missing: int | str | None, seed: int
) -> None:
    """Whatever the bounds, the weights, the faults and what people do: every write is held against the truth."""
    chance = random.Random(seed)
    limits = {k: v for k, v in (("maxSurge", surge), ("maxUnavailable", missing)) if v is not None}
    if all(str(v) in ("0", "0%") for v in limits.values()):
        limits["maxSurge"] = 1
    steps = [{"setWeight": chance.choice([1, 10, 34, 50, 80, 100])} for _ in range(chance.randint(1, 4))]
    world = settled(steps, replicas=replicas, seed=seed, canary=limits, progressDeadlineSeconds=120)
    world.faults = Faults(conflict=0.1, lost_applied=0.1, lost_unapplied=0.1, crash=0.05, status_fails=0.1)
    for number in range(2, 4):
        world.release(f"v{number}", broken=chance.random() < 0.2)
        for _ in range(chance.randint(1, 4)):
            world.run_for(chance.uniform(0.5, 20))
            verb = chance.choice(["", "", "pause", "resume", "abort"])
            if verb:
                world.person(verb)
    world.faults = Faults()
    for _ in range(20):
        world.run_for(60)
        if world.status.paused:
            world.person("resume")
        elif world.status.phase in ("Healthy", "Degraded") and not world.people:
            break
    world.run_for(60)
    world.check_rest()
    assert sum(pods(world).values()) == replicas
    assert len(pods(world)) == 1


def test_rule_of_the_bounds_can_fail() -> None:
    """A scale-down that leaves too few, a surge and more new pods than the step allows are told."""
    world = settled()
    world.release("v2")
    world.settle(120, until=("Paused",))
    run, stable = world.status.current, world.status.stable
    assert run is not None
    assert stable is not None
    plan = invariants.plan_under_way(world.plans.values(), world.status)

    def told(pod_hash: str, count: int) -> list[int]:
        action = t.ScaleReplicaSet(f"shop-{pod_hash}", "1", count, 0, exposure="raise")
        return [b.rule.number for b in invariants.before_write(world.truth(), action, world.status, plan, stands=True)]

    assert told(stable.pod_hash, 3) == []
    assert told(stable.pod_hash, 2) == [5]
    assert told(run.pod_hash, 6) == [2]
    assert told(stable.pod_hash, 9) == [3]
