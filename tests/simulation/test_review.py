"""Stories of what goes wrong around a Rollout: other writers, refusals, odd moments. Each could page somebody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from headgate.api.common import LABEL_REVISION
from headgate.api.rollout import Canary, CanaryRouting, ConsumedAction, RejectedRevision
from headgate.decide import types as t
from headgate.decide.journal import SIZE_LIMIT, running
from headgate.decide.rollout import decide
from headgate.traffic.backends import Backends
from headgate.traffic.plugin import Absent, Guarded, targets_of
from headgate.traffic.protocol import Resource, Router, Target
from headgate.traffic.weighted import Place, WeightedRouter
from tests.simulation.world import GATE, World, spec

pytestmark = pytest.mark.simulation

PAUSED: list[dict[str, Any]] = [{"setWeight": 50}, {"pause": {}}]


class Stubborn(World):
    """A world in which some writes do not succeed, and in which what is seen can be changed."""

    def __init__(self, seed: int, rollout: Any) -> None:
        super().__init__(seed, rollout)
        self.refuses: dict[str, t.OutcomeKind] = {}
        """Beginning of an action's key to how it ends, without effect."""
        self.reason = "Forbidden"
        self.lens: Callable[[t.Snapshot], t.Snapshot] = lambda s: s
        self.rows: dict[str, t.Outcome] = {}
        self.held_since: dict[str, tuple[object, float]] = {}

    def snapshot(self) -> t.Snapshot:
        """What the operator sees, with the drain clock of each Service."""
        seen = super().snapshot()
        barred = frozenset(k for k, row in self.rows.items() if self.now < row.at + 1)
        seen = replace(seen, stable_service=self._timed(seen.stable_service))
        seen = replace(seen, canary_service=self._timed(seen.canary_service))
        return self.lens(replace(seen, barred=barred))

    def _timed(self, view: t.ServiceView) -> t.ServiceView:
        holds = frozenset(h for h, n in view.ready.items() if n)
        was, since = self.held_since.get(view.name, (None, self.now))
        self.held_since[view.name] = (holds, since if was == holds else self.now)
        return replace(view, since=self.held_since[view.name][1])

    def _act(self, action: t.Action, status: Any) -> None:
        kind = next((k for key, k in self.refuses.items() if action.key.startswith(key)), None)
        if kind is None:
            self.rows.pop(action.key, None)
            super()._act(action, status)
            return
        row = self.rows.get(action.key)
        if row is not None and self.now < row.at + 1:
            return
        first = row.first_at if row else self.now
        self.outcome = t.Outcome(action.key, kind, self.reason, "no", self.now, first, row.count + 1 if row else 1)
        self.rows[action.key] = self.outcome
        self.tell(f"{action.key}: {kind}")

    def run_for(self, length: float) -> None:
        """Let time pass in steps of a second, with few turns in each."""
        end = self.now + length
        while self.now < end and not self.gone:
            for _ in range(20):
                if not self.turn():
                    break
            self.advance(min(end, self.now + 1))


def settled(rollout: Any) -> Stubborn:
    """A world whose first revision is stable."""
    world = Stubborn(1, rollout)
    world.settle(120)
    return world


def stalled(world: World) -> tuple[str, str]:
    """Status and reason of the condition Stalled."""
    found = next(c for c in world.status.conditions if c.type == "Stalled")
    return found.status, found.reason


# --------------------------------------------------------------------------------------------------------------------
# A router of another package
# --------------------------------------------------------------------------------------------------------------------


class Failing(WeightedRouter):
    """A router that has a mistake in every answer."""

    key = "plugins.failing"
    resource = Resource("mesh.example.org", "v1", "trafficshares", "TrafficShare")
    field = "spec"

    def targets(self, canary: Canary) -> tuple[Target, ...]:
        """Its places."""
        return targets_of(canary, "failing")

    def backends(self, place: Place) -> Backends | str:
        """A mistake."""
        raise KeyError(place)


GUARDED = Guarded(Failing(), Failing.key)
ABSENT = Absent(())


def failing(seen: t.Snapshot, router: Router = GUARDED) -> t.Snapshot:
    """What is seen through that router from now on; what is in the mesh nobody knows."""
    routing = CanaryRouting.model_validate({"plugins": [{"name": "failing", "objects": [{"name": "shop"}]}]})
    assert seen.spec.strategy.canary is not None
    canary = seen.spec.strategy.canary.model_copy(update={"traffic_routing": routing})
    (target,) = router.targets(canary)
    (route,) = seen.routes
    view = router.read(canary, {"metadata": {"resourceVersion": route.resource_version}}, target)
    return replace(seen, routes=(replace(view, router=route.router, kind=route.kind),))


def test_an_extension_that_fails_holds_the_release_and_says_so() -> None:
    """It cannot be seen what the canary gets: nothing is raised, nothing loses its pods, and Ready names the field."""
    world = settled(spec([{"setWeight": 50}, {"pause": {"duration": "30s"}}, {"setWeight": 80}]))
    second = world.release("v2")
    world.settle(120, until=("Paused",))
    world.refuses["SetWeight"] = t.OutcomeKind.REFUSED
    world.lens = failing
    pods = {name: found.replicas for name, found in world.sets.items()}
    world.run_for(600)
    assert world.share(second) <= 50
    assert {name: found.replicas for name, found in world.sets.items()} == pods
    ready = next(c for c in world.status.conditions if c.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "InvalidSpec")
    assert ready.message.startswith(
        "spec.strategy.canary.trafficRouting.plugins[failing]: the extension failed in read"
    )


@pytest.mark.parametrize("router", [GUARDED, ABSENT], ids=["fails", "is not there"])
@pytest.mark.parametrize("how", ["abort", "delete"])
def test_the_way_back_does_not_need_an_extension_that_fails(how: str, router: Router) -> None:
    """The weight cannot be lowered, so the canary Service is pointed at stable; mended, all is as after any abort."""
    world = settled(spec(PAUSED))
    second = world.release("v2")
    world.settle(120, until=("Paused",))
    assert world.share(second) == 50
    world.refuses["SetWeight"] = t.OutcomeKind.REFUSED
    world.lens = lambda seen: failing(seen, router)
    if how == "abort":
        world.person("abort")
    else:
        world.deleting = True
    world.run_for(20)
    assert world.share(second) == 0
    world.refuses.clear()
    world.lens = lambda s: s
    world.run_for(300)
    assert world.gone if how == "delete" else world.status.phase == "Degraded"
    assert world.weight == 0


# --------------------------------------------------------------------------------------------------------------------
# A template that changes in mid-run
# --------------------------------------------------------------------------------------------------------------------


def test_reject_leaves_the_release_under_way_alone() -> None:
    """onNewRevision Reject refuses the new revision and goes on with the old one, to its end."""
    world = settled(spec(PAUSED, on_new_revision="Reject"))
    second = world.release("v2")
    world.settle(120, until=("Paused",))
    third = world.release("v3")
    world.run_for(60)
    assert world.share(second) == 50
    assert [r.pod_hash for r in world.status.rejected] == [third]
    world.person("promote")
    world.settle(120)
    assert world.status.stable
    assert world.status.stable.pod_hash == second
    world.person("retry", pod_hash=third, attempt=world.status.rejected[-1].attempt)
    world.run_for(30)
    world.person("promote")
    world.settle(120)
    assert world.status.stable.pod_hash == third


def test_queue_waits_also_for_a_revision_that_was_taken_back() -> None:
    """The release under way ends before the wish for something that stays rejected counts."""
    world = settled(spec(PAUSED, on_new_revision="Queue"))
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.person("abort")
    world.settle(120)
    third = world.release("v3")
    world.settle(120, until=("Paused",))
    world.release("v2")
    world.run_for(30)
    assert world.share(third) == 50


@pytest.mark.parametrize("policy", ["Queue", "Reject"])
def test_a_template_that_changes_before_its_record_exists_does_not_get_stuck(policy: str) -> None:
    """The template of a run that was never recorded is lost, so the next one takes its place at once."""
    world = settled(spec(PAUSED, on_new_revision=policy))
    world.refuses["CreatePlan"] = t.OutcomeKind.REFUSED
    world.release("v2")
    world.run_for(5)
    assert running(world.status)
    world.refuses.clear()
    third = world.release("v3")
    world.run_for(60)
    assert world.share(third) == 50


def test_no_attempt_is_numbered_twice() -> None:
    """A retry of a revision that was refused while another was released gets a number and a record of its own."""
    world = settled(spec(PAUSED, on_new_revision="Reject"))
    first = world.status.stable
    for version in ("v2", "v3"):
        world.release(version)
        world.settle(120, until=("Paused",))
        if version == "v3":
            world.release("v1")
            world.run_for(30)
        world.person("promote")
        world.settle(120)
    record = world.status.rejected[-1]
    assert first
    assert record.revision == first.revision
    world.person("retry", pod_hash=record.pod_hash, attempt=record.attempt)
    world.run_for(30)
    run = running(world.status)
    assert run
    assert run.revision == first.revision
    tries = [(h.revision, h.attempt) for h in world.status.history] + [(run.revision, run.attempt)]
    assert len(tries) == len(set(tries))


# --------------------------------------------------------------------------------------------------------------------
# Other writers
# --------------------------------------------------------------------------------------------------------------------


def rewrite(world: World, service: str, pod_hash: str) -> None:
    """Somebody sets a Service's selector."""
    world.selectors[service] = pod_hash
    world.service_versions[service] += 1
    world.selector_changed[service] = world.now


def named_otherwise(seen: t.Snapshot, selector: Mapping[str, str], weight: int) -> t.Snapshot:
    """Another stable Service or route is named, which another Rollout works with."""
    return replace(
        seen,
        stable_service=replace(seen.stable_service, name="other", selector=selector),
        routes=tuple(replace(route, name="other", weight=weight) for route in seen.routes),
        contenders=('what is named "other" is claimed by Rollout "old"',),
    )


def test_a_stable_selector_that_is_dropped_in_mid_run_is_put_back_even_while_paused() -> None:
    """A Service that selects every pod gives the canary more than its step allows; taking that back needs no resume."""
    world = settled(spec(PAUSED))
    stable = world.status.stable
    assert stable
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.person("pause")
    world.run_for(5)
    rewrite(world, "shop", "")
    assert world.share(version) == 100
    world.run_for(10)
    assert world.selectors["shop"] == stable.pod_hash
    assert world.share(version) == 50


def test_a_stable_selector_that_is_dropped_before_the_new_pods_are_ready_is_put_back() -> None:
    """The moment they are they would have users, whatever the steps say."""
    world = settled(spec(PAUSED))
    stable = world.status.stable
    assert stable
    version = world.release("v2", broken=True)
    world.run_for(20)
    assert world.sets[f"shop-{version}"].pods
    assert not world.ready(world.sets[f"shop-{version}"])
    world.person("pause")
    world.run_for(5)
    rewrite(world, "shop", "")
    world.selector_changed["shop"] -= 5  # The slices have told already.
    world.run_for(10)
    assert world.selectors["shop"] == stable.pod_hash, "the stable Service selects the pods of both versions"


def test_a_selector_that_is_rewritten_again_and_again_is_told() -> None:
    """Also in mid-run: after three times it is a matter for a person."""
    world = settled(spec(PAUSED))
    world.release("v2")
    world.settle(120, until=("Paused",))
    for _ in range(6):
        world.run_for(60)
        rewrite(world, "shop", "")
    world.run_for(10)
    assert stalled(world) == ("True", "TrafficContested")


@pytest.mark.parametrize(
    "named",
    [
        pytest.param(lambda seen: named_otherwise(seen, {LABEL_REVISION: "old"}, weight=0), id="Service"),
        pytest.param(lambda seen: named_otherwise(seen, seen.stable_service.selector, weight=30), id="route"),
    ],
)
def test_a_spec_that_names_something_else_again_and_again_is_no_rewrite(
    named: Callable[[t.Snapshot], t.Snapshot],
) -> None:
    """What another Service selects and another route gives was never ours; the journal speaks of those before."""
    world = settled(spec(PAUSED))
    for _ in range(6):
        for world.lens in (named, lambda seen: seen):
            world.change_spec()
            world.run_for(30)
    assert stalled(world) == ("False", "NotStalled")
    assert world.status.weights.reasserted == 0
    world.check_rest()


def test_what_was_contested_goes_on_when_a_person_resumes() -> None:
    """A hold has a way out that needs no new release."""
    world = settled(spec(PAUSED))
    world.run_for(60)
    for _ in range(6):
        world.weight = 30
        world.route_version += 1
        world.route_written = world.now
        world.run_for(60)
    assert stalled(world) == ("True", "TrafficContested")
    name = world.person("resume")
    world.run_for(60)
    assert world.answered[name][0]
    assert stalled(world)[0] == "False"
    world.check_rest()


def test_a_younger_rollout_writes_nothing_to_what_an_older_one_claims() -> None:
    """Two that put the same Service right would flap production."""
    world = settled(spec(PAUSED))
    world.run_for(60)
    world.lens = lambda s: replace(s, contenders=('Service "shop" is claimed by Rollout "old"',))
    rewrite(world, "shop", "another")
    before = len([w for w in world.writes if w != "status"])
    world.run_for(60)
    assert len([w for w in world.writes if w != "status"]) == before
    world.deleting = True
    world.run_for(30)
    assert world.gone
    assert world.selectors["shop"] == "another"


def test_a_gate_begins_again_only_when_its_weight_is_served_again() -> None:
    """What is measured at another weight than the step's proves nothing."""
    steps: list[dict[str, Any]] = [{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}, "duration": "120s"}}]
    world = settled(spec(steps))
    world.gateway_delay = 20.0
    world.release("v2")
    for _ in range(200):
        world.run_for(1)
        if world.status.gates and world.status.gates[0].checks[0].asked:
            break
    world.weight = 5
    world.route_version += 1
    world.route_written = world.now
    world.run_for(2)
    wrong = [a for a in world.memory.values() if "/2/" in a.question]
    world.run_for(15)
    assert not wrong
    assert not [k for k in [*world.memory, *world.pending] if k[0].split("/")[-2] == "2"], "asked before it was served"
    world.settle(400)
    assert world.status.stable
    assert world.status.stable.revision != world.status.history[0].revision


def test_a_gate_proves_nothing_by_a_weight_that_was_lowered_under_a_pause() -> None:
    """A hold leaves a lower weight as it is; the gate waits until its own weight is served."""
    steps: list[dict[str, Any]] = [{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}, "duration": "120s"}}]
    world = settled(spec(steps))
    world.release("v2")
    for _ in range(200):
        world.run_for(1)
        if world.status.gates and world.status.gates[0].checks[0].asked:
            break
    world.person("pause")
    world.run_for(60)
    world.weight = 5
    world.route_version += 1
    world.route_written = world.now
    world.run_for(300)
    assert world.weight == 5
    assert world.status.gates[0].verdict == "Running"
    world.person("resume")
    world.settle(400)
    assert world.status.stable
    assert world.status.stable.revision != world.status.history[0].revision


def test_a_record_that_was_deleted_in_mid_run_promotes_nobody() -> None:
    """A plan that is made anew may be shorter than the old one; its steps were not taken, so it begins at the first."""
    world = settled(spec([{"setWeight": 20}, {"pause": {}}, {"setWeight": 80}]))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    for name in [n for n, p in world.plans.items() if p.pod_hash == version]:
        del world.plans[name]
    world.change_spec(strategy=spec([{"pause": {}}]).strategy)
    world.run_for(60)
    assert world.status.stable
    assert world.status.stable.pod_hash != version
    assert world.share(version) == 0
    assert world.status.phase == "Paused"


def test_writes_of_our_own_that_fail_are_nobodys_scaling() -> None:
    """A Deployment whose scaling is refused is not contested, and the journal is not written for each try."""
    world = Stubborn(1, spec(PAUSED, template=None, workload_ref={"name": "shop"}))
    world.deployment = 4
    world.refuses["ScaleWorkload"] = t.OutcomeKind.CONFLICT
    world.run_for(120)
    world.refuses.clear()
    world.run_for(30)
    assert world.deployment == 0
    assert world.status.workload
    assert world.status.workload.reasserted == 0


def test_a_weight_that_somebody_else_wrote_takes_no_step_before_its_pods() -> None:
    """The weight of the step is there, and not by us: what is missing is waited for, and in the end taken back."""
    world = settled(spec(PAUSED, progress_deadline_seconds=60))
    second = world.release("v2", broken=True)
    world.run_for(10)
    world.weight, world.route_version, world.route_written = 50, world.route_version + 1, world.now
    world.run_for(30)
    assert (world.status.current_step_index, world.status.phase) == (0, "Progressing")
    assert f"waiting for the pods of {second}: 0 of 2 available" in world.status.message
    assert world.status.weights.applied, "it is served, and nobody rewrote what we wrote"
    world.run_for(60)
    assert world.status.rejected[-1].reason == "ProgressDeadlineExceeded"
    assert world.share(second) == 0


# --------------------------------------------------------------------------------------------------------------------
# Writes that do not succeed
# --------------------------------------------------------------------------------------------------------------------


def test_an_answer_that_cannot_be_written_keeps_no_abort_waiting() -> None:
    """One RolloutAction that a policy bars from its answer must not make the Rollout deaf."""
    world = settled(spec(PAUSED))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.refuses["AnswerAction/"] = t.OutcomeKind.REFUSED
    world.person("resume")
    world.run_for(10)
    world.person("abort", created_at=world.now)
    world.run_for(10)
    assert world.share(version) == 0
    world.run_for(60)
    world.check_rest()


def test_an_answer_that_cannot_be_written_holds_no_release_up() -> None:
    """What a release has to write goes before an answer that was refused."""
    world = settled(spec([{"setWeight": 50}, {"pause": {"duration": "30s"}}]))
    world.refuses["AnswerAction/"] = t.OutcomeKind.REFUSED
    world.person("resume")
    version = world.release("v2")
    world.run_for(240)
    assert world.status.stable
    assert world.status.stable.pod_hash == version, "an answer that is refused holds the release up"


@pytest.mark.parametrize("kind", [t.OutcomeKind.REFUSED, t.OutcomeKind.UNKNOWN])
def test_a_weight_that_cannot_be_lowered_leads_to_the_selector(kind: t.OutcomeKind) -> None:
    """Refused by a policy or failed by a webhook that is down: the bad version loses its traffic all the same."""
    world = settled(spec(PAUSED))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.refuses["SetWeight/"] = kind
    world.person("abort")
    world.run_for(20)
    assert world.share(version) == 0
    assert stalled(world)[0] == "True"


def test_a_route_that_became_unusable_does_not_keep_a_bad_version_exposed() -> None:
    """Its weight cannot be written, so the canary Service is pointed at stable."""
    world = settled(spec(PAUSED))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.lens = lambda s: replace(s, routes=tuple(replace(r, problem="HTTPRoute shop: a third one") for r in s.routes))
    world.person("abort")
    world.run_for(10)
    assert world.share(version) == 0


def test_deleting_with_an_unusable_route_leaves_no_share_without_pods() -> None:
    """The Service behind the canary's share goes to stable before the canary's pods go."""
    world = settled(spec(PAUSED))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.lens = lambda s: replace(s, routes=tuple(replace(r, problem="HTTPRoute shop: a third one") for r in s.routes))
    world.deleting = True
    while world.share(version):
        assert world.turn()
        assert all(s.replicas for s in world.sets.values() if s.pod_hash == version)
    world.run_for(300)
    assert world.gone


def test_a_refusal_that_is_over_is_not_told_any_more() -> None:
    """Nobody is called for a write that is not wanted now."""
    world = settled(spec(PAUSED))
    world.refuses["CreateReplicaSet/"] = t.OutcomeKind.REFUSED
    world.release("v2")
    world.run_for(30)
    assert stalled(world) == ("True", "Forbidden")
    world.release("v1")
    world.run_for(60)
    assert world.status.phase == "Healthy"
    assert stalled(world) == ("False", "NotStalled")


def test_a_claim_that_is_refused_is_told() -> None:
    """A Rollout that cannot get its finalizer says so instead of saying nothing."""
    world = Stubborn(1, spec(PAUSED))
    world.refuses["SetFinalizer/"] = t.OutcomeKind.REFUSED
    world.run_for(30)
    assert stalled(world) == ("True", "Forbidden")
    world.refuses.clear()
    world.settle(120)
    assert world.status.phase == "Healthy"


def test_a_finalizer_that_was_taken_away_keeps_no_abort_waiting() -> None:
    """Lowering goes before claiming."""
    world = settled(spec(PAUSED))
    version = world.release("v2")
    world.settle(120, until=("Paused",))
    world.finalizers = ()
    world.refuses["SetFinalizer/"] = t.OutcomeKind.REFUSED
    world.person("abort")
    world.run_for(10)
    assert world.share(version) == 0


def test_a_deletion_that_is_refused_is_told() -> None:
    """A Rollout that cannot go says which write is refused."""
    world = settled(spec(PAUSED))
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.refuses["SetWeight/"] = t.OutcomeKind.REFUSED
    world.deleting = True
    world.run_for(30)
    assert "SetWeight" in world.status.message
    assert stalled(world)[0] == "True"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(t.OutcomeKind.REFUSED, "Forbidden"), (t.OutcomeKind.UNKNOWN, "NotServed")],
)
def test_a_namespace_goes_although_the_rights_in_it_went_first(kind: t.OutcomeKind, reason: str) -> None:
    """In a namespace that is deleted a refusal, or a kind that is gone, counts as done; nothing keeps it for ever."""
    world = settled(spec(PAUSED))
    world.reason = reason
    world.release("v2")
    world.settle(120, until=("Paused",))
    # Looked at when the time has come to try it again, as it is when nothing else happens.
    world.lens = lambda s: replace(s, namespace_terminating=True, barred=frozenset())
    world.refuses["SetWeight/"] = kind
    world.deleting = True
    world.run_for(30)
    assert world.gone


def test_a_promotion_that_stands_still_after_the_switch_is_told() -> None:
    """From the switch of the stable Service on the deadline takes nothing back, but a person hears of it."""
    world = settled(spec([{"setWeight": 50}], progress_deadline_seconds=60))
    version = world.release("v2")
    for _ in range(600):
        world.run_for(0.2)
        if world.selectors["shop"] == version:
            break
    world.lens = lambda s: replace(s, stable_service=replace(s.stable_service, ready={version: 1}))
    world.run_for(120)
    assert world.status.phase == "Promoting"
    assert stalled(world) == ("True", "ProgressDeadlineExceeded")


def test_looking_for_autoscalers_is_tried_again() -> None:
    """A read that failed is heard of by nobody, so the core comes back to it."""
    world = Stubborn(1, spec(PAUSED, template=None, workload_ref={"name": "shop"}))
    world.deployment = 4
    world.lens = lambda s: replace(s, autoscalers=None)
    world.turn()
    world.turn()
    assert world.wake_at is not None


def test_scaling_at_rest_is_no_outage() -> None:
    """Until the ReplicaSet's controller has seen a new number its counts are old, not zero."""
    world = settled(spec(PAUSED))
    world.run_for(60)
    world.lens = lambda s: replace(s, replica_sets=tuple(replace(r, settled=False) for r in s.replica_sets))
    world.run_for(60)
    assert next(c for c in world.status.conditions if c.type == "Available").status == "True"


def test_the_cause_of_missing_pods_goes_with_it() -> None:
    """What kept the pods from coming up is not told any more when they are up."""
    world = settled(spec(PAUSED))
    world.run_for(60)
    stable = world.status.stable
    assert stable
    world.lens = lambda s: replace(
        s,
        replica_sets=tuple(replace(r, available=0, ready=0) for r in s.replica_sets),
        stable_service=replace(s.stable_service, ready={}),
        pod_causes={stable.pod_hash: "4 of 4 pods: ImagePullBackOff"},
    )
    world.run_for(60)
    assert "ImagePullBackOff" in world.status.hold_message
    world.lens = lambda s: s
    world.run_for(60)
    assert not world.status.hold_message


def without_pods(seen: t.Snapshot, pod_hash: str, cause: str | None = None, failure: str = "") -> t.Snapshot:
    """What is seen while no pod of a revision is ready, by a process that has read why (or has not yet)."""
    bare = [replace(r, available=0, ready=0, failure=failure) for r in seen.replica_sets if r.pod_hash == pod_hash]
    return replace(
        seen,
        replica_sets=tuple(r for r in seen.replica_sets if r.pod_hash != pod_hash) + tuple(bare),
        canary_service=replace(seen.canary_service, ready={}),
        pod_causes={} if cause is None else {pod_hash: cause},
    )


def pulled_in_vain() -> tuple[Stubborn, str]:
    """A release whose image cannot be pulled, shortly before its deadline, and its pod hash."""
    world = settled(spec(PAUSED, progress_deadline_seconds=60))
    version = world.release("v2")
    world.lens = lambda s: without_pods(s, version, f"4 of 4 pods of {version}: ImagePullBackOff")
    world.run_for(50)
    assert "ImagePullBackOff" in world.status.message
    assert not world.status.rejected
    return world, version


def reason_at_the_deadline(world: Stubborn) -> str:
    """Why the version is taken back in the end."""
    world.run_for(60)
    assert world.status.rejected[-1].reason == "ProgressDeadlineExceeded"
    return world.status.rejected[-1].message


def test_a_cause_that_is_over_is_not_told_at_the_deadline() -> None:
    """Pods that could not be pulled, and now are merely not ready yet: the image is not blamed any more."""
    world, version = pulled_in_vain()
    world.lens = lambda s: without_pods(s, version, "")
    assert "ImagePullBackOff" not in reason_at_the_deadline(world)


def test_a_cause_of_missing_pods_is_not_told_where_none_are_missing() -> None:
    """The pods came up at last, and it is the gateway that does not serve the weight."""
    world, _ = pulled_in_vain()
    world.lens = lambda s: replace(s, routes=tuple(replace(r, settled=False) for r in s.routes))
    told = reason_at_the_deadline(world)
    assert "gateway" in told
    assert "ImagePullBackOff" not in told


def test_a_cause_of_other_pods_is_not_told() -> None:
    """What an earlier process wrote about another revision says nothing about this one."""
    world, version = pulled_in_vain()
    about_another = world.status.hold_message.replace(version, "another")
    world.status = world.status.model_copy(update={"hold_message": about_another})
    world.lens = lambda s: without_pods(s, version)
    assert "ImagePullBackOff" not in reason_at_the_deadline(world)


def test_a_cause_outlives_the_process_that_read_it() -> None:
    """What the process before read about these pods stands until this one has read it, too."""
    world, version = pulled_in_vain()
    world.lens = lambda s: without_pods(s, version)
    assert "ImagePullBackOff" in reason_at_the_deadline(world)


def test_a_refused_pod_is_told_rather_than_that_there_is_none() -> None:
    """An exceeded quota is what keeps the pods away; that they are away is known."""
    world, version = pulled_in_vain()
    world.lens = lambda s: without_pods(s, version, f"no pods of {version} were created yet", "FailedCreate: quota")
    assert "FailedCreate: quota" in reason_at_the_deadline(world)


def test_a_gate_that_cannot_begin_again_has_the_progress_deadline() -> None:
    """Judging takes its time; waiting for pods, to serve the weight that somebody lowered, does not."""
    gate = {"gate": {"ref": {"name": "golden"}, "count": 100}}
    world = settled(spec([{"setWeight": 50}, gate], progress_deadline_seconds=120))
    version = world.release("v2")
    world.run_for(300)
    assert world.status.step == "2/2", "it is judged for longer than the deadline"
    world.lens = lambda s: without_pods(s, version)
    world.weight, world.route_version, world.route_written = 10, world.route_version + 1, world.now
    world.run_for(110)
    assert world.status.current
    assert world.status.current.pod_hash == version, "the deadline runs from the moment at which it was stopped"
    assert "waiting for the pods" in world.status.message
    world.run_for(30)
    assert world.status.rejected[-1].reason == "ProgressDeadlineExceeded"
    assert world.share(version) == 0


# --------------------------------------------------------------------------------------------------------------------
# The way back
# --------------------------------------------------------------------------------------------------------------------


def test_undo_needs_no_gate() -> None:
    """A QualityGate that somebody deleted does not bar the way back."""
    world = settled(spec([{"setWeight": 50}], gates=True))
    first = world.status.stable
    assert first
    world.release("v2")
    world.settle(300)
    world.gates = {}
    name = world.person("undo")
    world.run_for(120)
    assert world.answered[name][0], world.answered[name]
    assert world.status.stable
    assert world.status.stable.pod_hash == first.pod_hash


@pytest.mark.parametrize("verb", ["resume", "promote"])
def test_a_gate_that_is_missing_bars_no_hand_on_the_attempt_that_has_its_own(verb: str) -> None:
    """The attempt under way has pinned its gates; only the next one needs them."""
    world = settled(spec([*PAUSED, {"setWeight": 60}, {"gate": {"ref": {"name": "golden"}}}]))
    world.release("v2")
    world.settle(120, until=("Paused",))
    if verb == "resume":
        world.person("pause")
        world.run_for(5)
    world.gates = {}
    name = world.person(verb)
    world.run_for(5)
    assert world.answered[name][0], world.answered[name]


def test_a_template_that_goes_back_needs_no_gate_either() -> None:
    """A revert in Git, while the old pods are still there, is a way back like an undo."""
    world = settled(spec([{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}, "count": 1}}]))
    first = world.status.stable
    assert first
    world.release("v2")
    world.settle(300)
    world.gates = {}
    world.release("v1")
    world.run_for(20)
    assert world.status.stable
    assert world.status.stable.pod_hash == first.pod_hash


def test_a_second_undo_does_not_bring_back_what_the_first_one_undid() -> None:
    """Pressed twice in the night, it goes further back or says that there is nothing."""
    world = settled(spec([{"setWeight": 50}]))
    world.release("v2")
    world.settle(200)
    world.person("undo")
    world.settle(200)
    back = world.status.stable
    name = world.person("undo")
    world.run_for(60)
    assert not world.answered[name][0]
    assert world.status.stable == back


def test_ten_failures_do_not_push_the_way_back_out_of_the_history() -> None:
    """The version before the present one is what an undo wants most after a bad night."""
    world = settled(spec([{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}, "count": 1}}]))
    first = world.status.stable
    assert first
    world.release("v2")
    world.settle(300)
    for number in range(3, 15):
        world.release(f"v{number}", quality=50.0)
        world.settle(300)
    assert len(world.status.history) == 10
    name = world.person("undo")
    world.run_for(120)
    assert world.answered[name][0], world.answered[name]
    assert world.status.stable
    assert world.status.stable.pod_hash == first.pod_hash


def test_an_undo_that_is_aborted_leaves_the_stable_revision_healthy() -> None:
    """What serves was not taken back, and says nothing of the kind."""
    world = settled(spec([{"setWeight": 50}]))
    world.release("v2")
    world.settle(200)
    world.run_for(120)
    stable = world.status.stable
    world.person("undo")
    world.turn()
    world.person("abort")
    world.settle(200)
    assert world.status.stable == stable
    assert world.status.target is None
    assert world.status.phase == "Healthy"


def test_after_a_switch_of_the_selector_the_old_pods_drain() -> None:
    """A way back moves no weight, so the route says nothing of when the requests left."""
    rollout = spec([{"setWeight": 50}])
    assert rollout.strategy.canary is not None
    canary = rollout.strategy.canary.model_copy(
        update={"scale_down_delay_seconds": 60, "abort_scale_down_delay_seconds": 0}
    )
    rollout = rollout.model_copy(update={"strategy": rollout.strategy.model_copy(update={"canary": canary})})
    world = settled(rollout)
    second = world.release("v2")
    world.settle(200)
    world.run_for(20)
    now = canary.model_copy(update={"scale_down_delay_seconds": 0})
    world.change_spec(strategy=rollout.strategy.model_copy(update={"canary": now}))
    world.release("v1")
    left = None
    for _ in range(600):
        world.run_for(0.1)
        left = left if left is not None or world.share(second) or second in world.endpoints("shop") else world.now
        if not any(s.replicas for s in world.sets.values() if s.pod_hash == second):
            break
    assert left is not None
    assert world.now - left >= 5


def test_while_paused_the_deployment_is_left_alone() -> None:
    """A pause removes no capacity, whoever scaled what up meanwhile."""
    world = Stubborn(1, spec(PAUSED, template=None, workload_ref={"name": "shop"}))
    world.deployment = 4
    world.settle(120)
    world.run_for(60)
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.person("pause")
    world.run_for(5)
    world.deployment = 4
    world.run_for(60)
    assert world.deployment == 4


def test_deleting_the_whole_application_leaves_nothing_behind() -> None:
    """Where the Deployment and the Service are gone too, no ReplicaSet is kept for anybody."""
    world = Stubborn(1, spec(PAUSED, template=None, workload_ref={"name": "shop"}))
    world.deployment = 4
    world.settle(120)
    world.run_for(60)
    world.lens = lambda s: replace(
        s,
        workload=t.WorkloadView("shop", found=False),
        template=None,
        revision="",
        stable_service=t.ServiceView("shop", found=False),
        canary_service=t.ServiceView("shop-canary", found=False),
    )
    world.deleting = True
    world.run_for(120)
    assert world.gone
    assert world.plans == {}


# --------------------------------------------------------------------------------------------------------------------
# Bounds
# --------------------------------------------------------------------------------------------------------------------


def test_many_gates_push_no_background_gate_out() -> None:
    """What judges from the first weight to the end keeps its failures, however many steps have gates of their own."""
    steps: list[dict[str, Any]] = [{"setWeight": 50}]
    steps += [{"gate": {"ref": {"name": "golden"}, "count": 1}} for _ in range(30)]
    world = settled(spec(steps))
    world.gates = {"golden": GATE, "slow": GATE.model_copy(update={"interval": "1h"})}
    world.change_spec(gates=spec(PAUSED, gates=True).gates)
    slow = world.spec.gates[0].model_copy(update={"ref": world.spec.gates[0].ref.model_copy(update={"name": "slow"})})
    world.change_spec(gates=[slow])
    world.release("v2")
    world.settle(900)
    began = {g.name: g.started_at for g in world.status.gates if g.step == -1}
    assert began["slow"] < min(g.started_at for g in world.status.gates if g.step > 10)


def test_a_status_that_was_cut_is_not_written_for_ever() -> None:
    """At rest a status at its limit is compared as it would be written."""
    world = settled(spec(PAUSED))
    world.run_for(60)
    first = world.status.history[0]
    record = RejectedRevision(
        revision="v1-other", pod_hash="other", attempt=1, reason="Aborted", message="m" * 1024, at=first.finished_at
    )
    action = ConsumedAction(
        uid="u", name="n" * 253, verb="abort", author="a" * 253, accepted=True, message="m" * 512, at=first.finished_at
    )
    full = world.status.model_copy(
        update={
            "history": [first.model_copy(update={"message": "m" * 512})] * 10,
            "rejected": [record] * 10,
            "actions": [action] * 10,
            "conditions": [c.model_copy(update={"message": "m" * 1024}) for c in world.status.conditions],
        }
    )
    once = decide(replace(world.snapshot(), status=full), world.now + 60).status
    again = decide(replace(world.snapshot(), status=once), world.now + 200)
    assert len(again.status.model_dump_json(by_alias=True, exclude_none=True)) <= SIZE_LIMIT
    assert not again.write


@pytest.mark.parametrize("way", ["abort", "template"])
def test_what_turns_away_from_a_verdict_looks_before(way: str) -> None:
    """Nothing is seen to lead there, and a watch that hangs would not tell: routes and Services are read first.

    Where nothing was taken back, nothing has to come before it.
    """
    world = settled(spec([{"setCanaryScale": {"replicas": 1}}, {"pause": {}}]))
    canary = world.release("v2")
    world.settle(60, until=("Paused",))
    assert world.selectors["shop-canary"] == canary
    if way == "abort":
        world.person("abort")
    else:
        world.release("v1")
    turns: list[t.SetSelector] = []
    while world.selectors["shop-canary"] == canary:
        action = decide(world.snapshot(), world.now).action
        turns += [action] if isinstance(action, t.SetSelector) else []
        if not world.turn():
            world.advance()
    assert [turn.looks for turn in turns] == [way == "abort"]
