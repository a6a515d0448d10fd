"""What must hold: at every decision, at every write that the API accepts, and where nothing goes on any more.

The rules that the operator asks of itself are asked here of the truth; what only a model can know comes on top: what
the gateway may still be serving, what was truly answered, how long a pause was. Where pods are lost or somebody else
writes, no operator can know the truth, and a write is judged by what was seen.
"""

from __future__ import annotations

from headgate.api.gate import GateRun
from headgate.api.rollout import RevisionRef, RolloutStatus
from headgate.decide import experiment, invariants, ping_pong
from headgate.decide import types as t
from headgate.decide.invariants import Truth
from headgate.decide.journal import is_rejected, running
from headgate.decide.managed import is_share, keys_of, shares
from headgate.decide.mover import floor_of, need, selected
from tests.simulation.model.journals import AGES, OLD, Journals
from tests.simulation.model.node_rules import NodeRules
from tests.simulation.model.state import (
    CLAIMED,
    DELETING,
    GONE,
    Sets,
    State,
    ends_of,
    exchanged,
    selected_of,
    set_of,
    share,
)
from tests.simulation.model.trials import SERVICE, Trial
from tests.simulation.model.views import NAMES, Sight, Views, sight
from tests.simulation.model.violation import demand, none
from tests.simulation.model.worlds import World


def same(one: t.Decision, other: t.Decision) -> None:
    """The order of what has no order decides nothing."""
    if one != other:  # The message is long, and this is asked often.
        demand(False, 31, f"in another order the decision is {other} instead of {one}")


class Rules:
    """The rules of one world."""

    def __init__(self, world: World, views: Views, journals: Journals) -> None:
        self._world = world
        self._views = views
        self._journals = journals
        self._blind = bool({"loss", "rewrite", "deleted", "missing"} & set(world.budget))
        self._nodes = NodeRules(views, blind=self._blind) if world.nodes else None

    # ------------------------------------------------------------------------------------------------ decisions

    def decision(self, snapshot: t.Snapshot, decision: t.Decision) -> None:
        """What holds of a decision whatever becomes of it."""
        status, action = decision.status, decision.action
        counted = status.decision - snapshot.status.decision
        demand(counted in (0, 1), 26, f"decision {snapshot.status.decision} is followed by {status.decision}")
        if isinstance(action, t.SetWeight) and action.exposure == "lower":
            now, there = max(r.weight for r in snapshot.routes), {key for r in snapshot.routes for key in r.managed}
            left = set(keys_of(action.routes))
            less = action.weight <= now and left <= there and (action.weight < now or left < there)
            demand(less, 6, f"weight {action.weight} {left} after {now} {there} is called lowering")
        if isinstance(action, t.SetSelector) and action.exposure == "lower":
            stable = status.stable.pod_hash if status.stable else ""
            demand(action.pod_hash == stable, 6, "what is not stable gets a Service, and that is called lowering")
        self._taken_back(snapshot, decision)
        self._stray_shares(snapshot, decision)
        if self._nodes is not None:
            self._nodes.taken_back(snapshot, decision)
        if not snapshot.meta.deleting and status is not snapshot.status:
            _explained(status)
        for question in decision.questions:
            self._question(snapshot, status, question)

    @staticmethod
    def _taken_back(snapshot: t.Snapshot, decision: t.Decision) -> None:
        """After a failing verdict or an abort, the next write to the data plane lowers the weight."""
        status, action = decision.status, decision.action
        exposed = any(r.weight > 0 or r.managed for r in snapshot.routes) or not snapshot.routes
        if status.stable is None or running(status) is not None or not exposed or not status.rejected:
            return
        bad = {r.pod_hash for r in status.rejected} - {status.stable.pod_hash}
        leads = snapshot.canary_service if snapshot.routes else snapshot.stable_service
        if not bad & set(leads.selector.values()):
            return
        data_plane = isinstance(action, (t.SetWeight, t.SetSelector, t.DeleteReplicaSet)) or (
            isinstance(action, t.ScaleReplicaSet) and action.exposure != "lower" and not _grows(snapshot, action)
        )
        if status.weights.stable_follows and isinstance(action, t.ScaleReplicaSet):
            return  # It gives pods back with its share, never more than that: rule 4 counts them.
        if data_plane and action is not None:
            demand(action.exposure == "lower", 6, f"{action.key} comes before the weight of what was taken back is 0")

    @staticmethod
    def _stray_shares(snapshot: t.Snapshot, decision: t.Decision) -> None:
        """When its step is over, the next write to the data plane takes the share of a variant away."""
        status, action = decision.status, decision.action
        plan = invariants.plan_under_way(snapshot.plans, status)
        present, index = running(status) is not None and plan is not None, status.current_step_index
        own = keys_of(shares(plan.steps[index])) if present and plan is not None and index < len(plan.steps) else ()
        stray = {key for r in snapshot.routes for key in r.managed if is_share(key)} - set(own)
        data_plane = isinstance(action, (t.SetWeight, t.SetSelector, t.DeleteReplicaSet)) or (
            isinstance(action, t.ScaleReplicaSet) and not _grows(snapshot, action)
        )
        if stray and data_plane and action is not None:
            demand(action.exposure == "lower", 34, f"{action.key} comes before {sorted(stray)} of a step that is over")

    def _question(self, snapshot: t.Snapshot, status: RolloutStatus, question: t.Question) -> None:
        run = running(status)
        demand(run is not None, 9, f"{question.key} is asked while nothing is released")
        assert run is not None
        demand(f"/{run.pod_hash}/{run.attempt}/" in question.key, 9, f"{question.key} is asked of another attempt")
        step, before = int(question.key.split("/")[2]), snapshot.status.current_step_index
        if step < 0 or before == step < status.current_step_index:
            return  # Of a gate that was just overridden: nobody will look at the answer.
        demand(step == status.current_step_index, 9, f"{question.key} is asked at step {status.current_step_index}")
        for route in snapshot.routes:
            wanted = (status.weights.desired, tuple(status.weights.routes or ()))
            served = route.settled and (route.weight, route.managed) == wanted
            demand(served, 9, f"{question.key} is asked before the weight {status.weights.desired} is served")
        variants = experiment.wanted("uid", status, invariants.plan_under_way(snapshot.plans, status))
        serve = experiment.serving(snapshot, variants) or not experiment.lost(snapshot, variants)
        demand(serve, 9, f"{question.key} is asked while a variant does not serve")
        if self._nodes is not None:
            self._nodes.question(snapshot, question)
        elif not snapshot.routes:
            service = snapshot.stable_service if status.weights.desired else snapshot.canary_service
            there = set(service.ready) <= {run.pod_hash} and selected(service) == run.pod_hash
            demand(there, 9, f"{question.key} is asked while {service.name} does not lead to {run.pod_hash} alone")

    # ------------------------------------------------------------------------------------------------ journals

    def journal(self, state: State, seen: Sight, decision: t.Decision) -> None:
        """What holds of a status that is written."""
        before, after = self._journals.status(state.wanted.journal), decision.status
        plan = self._plan(seen, before)
        none(invariants.journal_step(before, after, plan))
        if seen.wanted.life == DELETING:
            return
        run = running(after)
        if run is not None:
            rejected = is_rejected(after, run.revision)
            demand(rejected is None, 6, f"{run.pod_hash} is released again though it was taken back")
        for gate in after.gates:
            self._verdict(state, before, gate)
        if after.hotfix is not None and before.hotfix is None:
            asked = any(a.verb == "hotfix" and a.accepted and a not in before.actions for a in after.actions)
            demand(asked, 12, f"{after.hotfix.by} is said to be in a hurry, and nobody has asked for a hotfix")
        old = before.current
        if old is not None and after.current is not None and _attempt(old) == _attempt(after.current):
            self._steps(plan, before, after)
        elif after.current is not None and after.current != after.stable:
            self._begins(before, after.current)
        if self._nodes is not None:
            self._nodes.journal(state, before, after, plan)
        if before.stable is not None and after.stable is not None and before.stable.revision != after.stable.revision:
            self._promotion(plan, before, after, after.stable)

    @classmethod
    def _steps(cls, plan: t.Plan | None, before: RolloutStatus, after: RolloutStatus) -> None:
        index = before.current_step_index
        if running(before) is None or running(after) is None or after.current_step_index == index or plan is None:
            return
        cls._ended(plan, index, before, after)

    @staticmethod
    def _ended(plan: t.Plan, index: int, before: RolloutStatus, after: RolloutStatus) -> None:
        demand(index < len(plan.steps), 10, "a step beyond the last one")
        step = plan.steps[index]
        if step.judged_by is not None:
            gate = next((g for g in after.gates if g.step == index), None)
            passed = gate is not None and (gate.verdict == "Pass" or bool(gate.overridden))
            demand(passed, 8, f"the gate of step {index + 1} is left without a Pass: {gate}")
        if step.pause is not None:
            promoted = {a.uid for a in after.actions if a.verb == "promote" and a.accepted}
            promoted -= {a.uid for a in before.actions}
            lasted = step.pause.duration is not None and AGES[before.step_started_at or ""] > 0
            late = step.on_timeout == "Promote" and before.step_timer is not None
            late = late and before.step_timer is not None and AGES[before.step_timer.since] > 0
            hurried = after.hotfix is not None
            demand(bool(promoted) or lasted or late or hurried, 12, f"the pause of step {index + 1} ends too early")

    @staticmethod
    def _begins(before: RolloutStatus, run: RevisionRef) -> None:
        known = [h.attempt for h in before.history if h.revision == run.revision]
        known += [r.attempt for r in before.rejected if r.revision == run.revision]
        demand(run.attempt > max(known, default=0), 9, f"attempt {run.attempt} of {run.pod_hash} has been before")

    @staticmethod
    def _verdict(state: State, before: RolloutStatus, gate: GateRun) -> None:
        if gate.verdict != "Pass":
            return
        key = f"uid/{gate.name}/{gate.step}/{gate.pod_hash}/{gate.attempt}/{gate.window}/"
        known = any(
            g.verdict == "Pass"
            and (g.name, g.step, g.pod_hash, g.attempt, g.window)
            == (gate.name, gate.step, gate.pod_hash, gate.attempt, gate.window)
            for g in before.gates
        )
        proven = known or any(p.startswith(key) for p in state.proof)
        demand(proven, 8, f"{gate.name} has passed in window {gate.window} though no answer was a Pass")

    def _promotion(self, plan: t.Plan | None, before: RolloutStatus, after: RolloutStatus, stable: RevisionRef) -> None:
        run = running(before)
        same_run = run is not None and _attempt(run) == _attempt(stable)
        demand(same_run, 19, f"{stable.pod_hash} is promoted and was not what was released")
        if run is not None and run.fast:
            promoted = any(h.revision == run.revision and h.outcome in ("Promoted", "Adopted") for h in before.history)
            demand(promoted, 8, f"{run.pod_hash} skips the steps and was never promoted")
            return
        over = plan is not None and before.current_step_index >= len(plan.steps)
        if plan is not None and before.current_step_index == len(plan.steps) - 1 and self._world.switches:
            # After the switch nothing is left to be done: the last step and the promotion are one decision.
            self._ended(plan, before.current_step_index, before, after)
            over = True
        demand(over, 10, f"{stable.pod_hash} is promoted before its last step")

    def _plan(self, seen: Sight, status: RolloutStatus) -> t.Plan | None:
        run = running(status)
        for version, attempt, variant in seen.plans:
            if run is not None and (self._views.hashes[version], attempt) == (run.pod_hash, run.attempt):
                return self._views.plans[variant]
        return None

    # ------------------------------------------------------------------------------------------------ actions

    def action(self, state: State, seen: Sight, decision: t.Decision, *, stands: bool) -> None:
        """What holds of a write that is accepted; `stands`: the journal of its decision is what the Rollout has."""
        status, action = decision.status, decision.action
        assert action is not None
        if self._views.turned(seen.wanted):
            # The rules speak of a stable and a canary Service, in the roles that were decided by.
            state, seen = exchanged(state), seen.exchanged()
        truth = self._truth(state, seen, self._known(state, seen))
        none(invariants.before_write(truth, action, status, self._plan(seen, status), stands=stands))
        if self._of_trial(state, action):
            self._on_trial(state, seen, status, action)
        else:
            self._of_version(state, seen, status, action, truth)

    def _of_version(self, state: State, seen: Sight, status: RolloutStatus, action: t.Action, truth: Truth) -> None:
        """The same of one that concerns no variant."""
        paused = truth.paused or status.paused is not None
        removes = isinstance(action, t.DeleteReplicaSet) or (
            isinstance(action, t.ScaleReplicaSet) and action.replicas < self._replicas(state, action.name)
        )
        if paused and seen.wanted.life == CLAIMED:
            demand(action.exposure != "raise" and not removes, 13, f"{action.key} while it is paused")
        if self._nodes is not None:
            self._nodes.action(state, status, action)
        match action:
            case t.SetWeight():
                self._weight(state, seen, status, action)
            case t.SetSelector():
                self._selector(state, seen, status, action)
            case t.ScaleReplicaSet() if removes:
                self._scale(state, seen, status, action)
            case t.DeleteReplicaSet():
                self._delete(state, status, action)
            case t.DeletePlan() if seen.wanted.life == CLAIMED:
                run = status.current
                mine = run is not None and action.name == f"shop-{run.pod_hash}-{run.attempt}"
                demand(not mine, 10, f"the record {action.name} of the present attempt is deleted")
            case t.SetFinalizer() if not action.present and self._nodes is not None:
                self._nodes.let_go(state, seen, status, patient=_patient(seen, status))
            case t.SetFinalizer() if not action.present:
                self._let_go(state, seen, status, truth)
            case t.ScaleWorkload() if not action.replicas:
                most = share(state.route, selected_of(state), ends_of(state), "")
                demand(not most, 4, f"the Deployment is scaled to 0 with {most}% of the requests")
            case _:
                pass

    def _trial(self, state: State, seen: Sight) -> Trial:
        return seen.trial if self._blind else state.trial

    @staticmethod
    def _of_trial(state: State, action: t.Action) -> bool:
        of_variant = isinstance(action, t.CreateReplicaSet) and bool(action.variant)
        name = str(getattr(action, "name", ""))
        return of_variant or name == SERVICE or state.trial.find(name) is not None

    def _on_trial(self, state: State, seen: Sight, status: RolloutStatus, action: t.Action) -> None:
        """No pods of a variant go while the gateway may still send requests to them."""
        if not isinstance(action, (t.ScaleReplicaSet, t.DeleteReplicaSet)) or self._blind or not _patient(seen, status):
            return
        found, leads = state.trial.find(action.name), any(map(is_share, state.route.serves))
        less = found is not None and getattr(action, "replicas", 0) < found.replicas
        if found is None or not less or not found.ready:
            return
        reached = leads and found.pod_hash in (state.trial.selected, state.trial.held)
        demand(not reached, 4, f"variant {found.name} loses its pods with a share of the requests")
        if self._world.delay:
            demand(state.route.age > 0, 4, f"variant {found.name} loses its pods before its connections have drained")

    def _known(self, state: State, seen: Sight) -> tuple[Sets, ...]:
        return seen.sets if self._blind else state.sets

    def _truth(self, state: State, seen: Sight, sets: tuple[Sets, ...]) -> Truth:
        if self._nodes is not None:
            return self._nodes.truth(state, seen)
        spec, hashes = self._world.specs[seen.wanted.variant], self._views.hashes
        stable, canary = (hashes.get(version, "") for version in selected_of(state))
        return Truth(
            replicas=spec.replicas,
            weight=seen.route.weight if self._blind else state.route.weight,
            routes=seen.route.led if self._blind else state.route.led,
            selects=(stable, canary),
            wanted={hashes[s.version]: s.replicas for s in sets},
            ready={hashes[s.version]: s.ready for s in sets},
            services=self._names(seen),
            uid="uid",
            variants={v.pod_hash: v.ready for v in self._trial(state, seen).variants},
            variant_services={SERVICE: self._trial(state, seen).selected} if self._world.tries else {},
            floor=floor_of(spec),
            paused=spec.paused,
            deleting=seen.wanted.life == DELETING,
        )

    def _names(self, seen: Sight) -> tuple[str, str]:
        """Of the stable and the canary Service."""
        return NAMES[::-1] if self._views.turned(seen.wanted) else NAMES

    def _replicas(self, state: State, name: str) -> int:
        found = set_of(state.sets, self._views.version_of[name.removeprefix("shop-")])
        return found.replicas if found else 0

    def _weight(self, state: State, seen: Sight, status: RolloutStatus, action: t.SetWeight) -> None:
        """Also the stable Service has the pods for its share."""
        wished, run = self._world.specs[seen.wanted.variant], running(status)
        replicas = wished.replicas
        stable, canary = selected_of(state)
        wanted = need(replicas, 100 - action.weight)
        if action.exposure == "raise":
            found = set_of(self._known(state, seen), stable)
            ready = found.ready if found else 0
            turns = ping_pong.pair(wished) is not None
            demand(run is not None and (turns or not run.fast), 2, "a way back needs no weight")
            short = ready < wanted and wished.unhealthy_stable != "FixForward"
            demand(not short, 3, f"{100 - action.weight}% for {stable} with {ready} of {wanted} pods")
            return
        left, there = len(action.routes), len(seen.route.led)
        less = action.weight <= seen.route.weight and left <= there
        less = less and (action.weight, left) != (seen.route.weight, there)
        demand(less, 6, f"weight {action.weight} after {seen.route.weight} is no lowering")
        promoting = run is not None and stable == canary == self._views.version_of[run.pod_hash]
        held = status.paused is not None or status.phase in ("Held", "Paused")
        if promoting and not held and seen.wanted.life == CLAIMED:
            ready = dict(seen.ends[0] if self._blind else ends_of(state)[0]).get(stable, 0)
            demand(ready >= wanted, 3, f"{100 - action.weight}% for {stable} with {ready} of {wanted} endpoints")

    def _selector(self, state: State, seen: Sight, status: RolloutStatus, action: t.SetSelector) -> None:
        version = self._views.version_of[action.pod_hash]
        if action.exposure == "lower":
            return
        if action.name == self._names(seen)[1]:
            served = 0 if self._blind or not _patient(seen, status) else state.route.reach
            demand(not served, 4, f"the canary Service turns to {version} with {served}% of the requests")
            return
        if not version:
            deleted = seen.wanted.life == DELETING
            demand(deleted, 29, "the stable Service is handed back though nobody deleted the Rollout")
            stable = self._views.version_of[status.stable.pod_hash] if status.stable else ""
            others = [s.version for s in state.sets if s.version != stable and s.ready] if stable else []
            demand(not others or not _patient(seen, status), 29, f"the stable Service is handed back to {others}, too")
        raises = action.exposure == "raise" or not version
        demand(raises, 6, f"the stable Service turns to {version}, and that raises nothing")

    def _scale(self, state: State, seen: Sight, status: RolloutStatus, action: t.ScaleReplicaSet) -> None:
        """No pods are taken that the gateway or the endpoints may still send requests to."""
        version = self._views.version_of[action.name.removeprefix("shop-")]
        found = set_of(state.sets, version)
        if self._blind or not _patient(seen, status) or found is None or not found.ready:
            return
        # What an old slice still shows is all that anybody can know of it.
        most = share(state.route, selected_of(state), seen.ends, version)
        wanted = need(self._world.specs[seen.wanted.variant].replicas, most)
        demand(action.replicas >= wanted, 4, f"{version} is scaled to {action.replicas} with {most}% of the requests")
        if self._world.delay:
            youngest = min(state.route.age, *(s.age for s in state.services))
            demand(youngest > 0, 4, f"{version} is scaled to {action.replicas} before its connections have drained")

    def _let_go(self, state: State, seen: Sight, status: RolloutStatus, truth: Truth) -> None:
        served = state.route.settled or not _patient(seen, status) or self._blind
        demand(served, 29, "the Rollout goes before weight 0 is served")
        stable = self._views.version_of[status.stable.pod_hash] if status.stable else ""
        records, ours = len(state.plans), any(selected_of(state))
        if state.deployment is not None and stable and seen.wanted.template != stable:
            # Nobody has judged what the Deployment would run: the stable ReplicaSet stays, with its records.
            demand(
                selected_of(state) == (stable, stable), 29, f"the Rollout goes while {stable} is not all that serves"
            )
            records, ours = sum(version != stable for version, _, _ in state.plans), False
        elif state.deployment is not None and stable:
            demand(state.deployment.ready >= truth.replicas, 29, "the Deployment gets the traffic without its pods")
        none(invariants.gone(truth, selectors_ours=ours, records=records, finalizers=()))

    def _delete(self, state: State, status: RolloutStatus, action: t.DeleteReplicaSet) -> None:
        version = self._views.version_of[action.name.removeprefix("shop-")]
        used = {r.pod_hash for r in (status.stable, status.current, status.target) if r is not None}
        demand(self._views.hashes[version] not in used, 5, f"{version} is in use and is deleted")
        found = set_of(state.sets, version)
        pods = max(found.replicas, found.ready) if found else 0
        demand(pods == 0 or self._blind, 4, f"{version} is deleted with {pods} pods")

    # ------------------------------------------------------------------------------------------------ ends

    def end(self, state: State) -> str:
        """Why this is not how it should end; empty if it is.

        Either one version serves with all its pods and nothing else is left, or a person is waited for, and a condition
        says so.
        """
        if state.wanted.life == GONE:
            return ""
        status = self._journals.status(state.wanted.journal)
        if self._views.turned(state.wanted):
            state = exchanged(state)
        if self._waits(state, status):
            return "" if status.observed_generation == 1 else "18: the newest spec was not looked at"
        breaches = invariants.at_rest(self._truth(state, sight(state), state.sets), status, 1, swept=True)
        if breaches:
            return str(breaches[0])
        stable = self._views.version_of[status.stable.pod_hash] if status.stable else ""
        if running(status) is not None or status.phase not in ("Healthy", "Degraded"):
            return "22: neither released nor taken back"
        rejected = is_rejected(status, self._views.revisions[state.wanted.template])
        if state.wanted.template != stable and rejected is None:
            return f"18: {state.wanted.template} is wanted and {stable} serves"
        if self._nodes is not None:
            return self._nodes.end(state, status)
        if state.route.reach or state.route.serves or any(s.held != stable for s in state.services):
            return f"7: requests may still reach something else than {stable}"
        if state.deployment is not None and state.deployment != (0, 0, True):
            return f"25: the Deployment has pods beside {stable}"
        if state.trial.variants:
            return f"25: variants are left: {state.trial.variants}"
        left = [s for s in state.sets if s.version != stable and s.ready]
        return f"25: pods are left: {left}" if left else ""

    def without_route(self, state: State) -> str:
        """Why this is not how it should be until somebody creates the route again; empty if it is.

        The version that the stable Service selects has all its pods, whatever was deleted or wanted meanwhile.
        """
        status, wanted = self._journals.status(state.wanted.journal), self._world.specs[state.wanted.variant].replicas
        version = selected_of(state)[0]
        if status.stable is None or not version:
            return ""
        found = set_of(state.sets, version)
        there = found.ready if found else 0
        return f"5: without its route {version} has {there} of {wanted} pods" if there < wanted else ""

    def _waits(self, state: State, status: RolloutStatus) -> bool:
        conditions = {c.type: c for c in status.conditions}
        paused, stalled = conditions.get("Paused"), conditions.get("Stalled")
        if (
            stalled is not None
            and stalled.status == "True"
            and stalled.reason in ("TrafficContested", "WorkloadContested", "StepTimedOut")
        ):
            return True
        if paused is None or paused.status != "True":
            return False
        if paused.reason == "PausedBySpec":
            return self._world.specs[state.wanted.variant].paused
        return running(status) is not None and status.phase == "Paused"


def _attempt(run: RevisionRef) -> tuple[str, int]:
    return run.revision, run.attempt


def _patient(seen: Sight, status: RolloutStatus) -> bool:
    """A hand-back waits for a gateway; not for ever."""
    return seen.wanted.life == CLAIMED or AGES[status.step_started_at or ""] < OLD


def _grows(snapshot: t.Snapshot, action: t.ScaleReplicaSet) -> bool:
    return any(r.name == action.name and r.replicas < action.replicas for r in snapshot.replica_sets)


SAYS = {
    # A gate that may still answer by itself needs nobody.
    "Held": ("Stalled True", "GatesPassing Unknown"),
    "Degraded": ("Stalled True",),
    "Paused": ("Paused True",),
}
"""Phases in which nothing goes on, and the conditions of which one says why."""


def _explained(status: RolloutStatus) -> None:
    said = {f"{c.type} {c.status}" for c in status.conditions}
    demand(bool(said) and bool(status.message), 33, f"{status.phase} without a word")
    wanted = SAYS.get(status.phase)
    demand(wanted is None or bool(said & set(wanted)), 33, f"{status.phase}, and no condition says so: {sorted(said)}")
