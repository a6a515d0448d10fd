"""The API's side of a write: whether the object is still as the operator saw it, what a write does, what is learned."""

from __future__ import annotations

from headgate.decide import types as t
from headgate.decide.managed import keys_of
from tests.simulation.model import nodes, trials
from tests.simulation.model.journals import OLD, Journals
from tests.simulation.model.state import (
    CLAIMED,
    FRESH,
    GONE,
    Ends,
    Seen,
    Service,
    Sets,
    State,
    Wanted,
    ends_of,
    initial,
    selected_of,
    set_of,
)
from tests.simulation.model.views import NAMES, Views, uid_of
from tests.simulation.model.worlds import World


class Objects:
    """The objects of one world."""

    def __init__(self, world: World, views: Views, journals: Journals) -> None:
        self._views = views
        self._journals = journals
        self._delays = world.delay > 0
        self.young = 0 if world.delay else OLD
        """The age of what has just begun; where nothing is waited for, nothing is young."""

    def version(self, name: str) -> str:
        """The version of a ReplicaSet's name."""
        return self._views.version_of[name.removeprefix("shop-")]

    def of_trial(self, action: t.Action) -> bool:
        """A variant is written, or the Service that leads to one."""
        if isinstance(action, t.SetSelector):
            return action.name == trials.SERVICE
        sets = (t.CreateReplicaSet, t.ScaleReplicaSet, t.DeleteReplicaSet)
        return isinstance(action, sets) and action.name.removeprefix("shop-") not in self._views.version_of

    def told(self, action: t.Action) -> str:
        """An action for people."""
        if self.of_trial(action):
            named = getattr(action, "variant", "") or getattr(action, "pod_hash", "") or getattr(action, "name", "")
            return f"{type(action).__name__} of the trial: {named}"
        match action:
            case t.SetWeight():
                return f"weight {action.weight}" + "".join(f", {key}" for key in keys_of(action.routes))
            case t.SetSelector():
                return f"{action.name} selects {self._views.version_of[action.pod_hash] or 'all'}"
            case t.CreateReplicaSet() | t.ScaleReplicaSet():
                return f"{type(action).__name__} {self.version(action.name)} to {action.replicas}"
            case t.ScaleWorkload():
                return f"Deployment to {action.replicas}"
            case t.DeleteReplicaSet():
                return f"DeleteReplicaSet {self.version(action.name)}"
            case t.SetFinalizer():
                return "claim" if action.present else "let go"
            case t.HoldTemplate():
                wanted = self._views.templated(action)
                return f"template {'as it is' if wanted is None else wanted.version}"
            case _:
                return action.key

    # ------------------------------------------------------------------------------------------------ versions

    def current(self, state: State, action: t.Action) -> bool:
        """Whether the target is still as the operator saw it: otherwise its version is another one, or it is there."""
        seen = state.seen
        if self.of_trial(action):
            made = isinstance(action, t.CreateReplicaSet) and state.trial.find(action.name)
            return seen.trial is None and not made
        match action:
            case t.SetFinalizer():
                return seen.wanted is None
            case t.CreatePlan() | t.DeletePlan():
                there = any(self._record(p) == action.name for p in state.plans)
                return there is isinstance(action, t.DeletePlan)
            case t.CreateReplicaSet():
                return set_of(state.sets, self._views.version_of[action.pod_hash]) is None
            case t.ScaleReplicaSet() | t.DeleteReplicaSet():
                version = self.version(action.name)
                return seen.sets is None or set_of(seen.sets, version) == set_of(state.sets, version)
            case t.SetSelector():
                which = NAMES.index(action.name)
                return seen.selected is None or seen.selected[which] == selected_of(state)[which]
            case t.SetWeight():
                return seen.route is None and not state.route.gone
            case t.ScaleWorkload():
                return seen.deployment is None
            case t.AnswerAction():
                return any(uid_of(a) == action.name for a in state.acts)
            case t.HoldTemplate() | t.ReleaseTemplate():
                return seen.daemon is None
            case t.EvictPod():
                return nodes.node_of(action, state.nodes) is not None
        raise TypeError(action)

    def learned(self, state: State, action: t.Action) -> State:
        """The operator has the target as it is: from the answer, or from the read after a conflict."""
        if self.of_trial(action):
            return tidied(state._replace(seen=state.seen._replace(trial=None)))
        return self._learned(state, action)

    def _learned(self, state: State, action: t.Action) -> State:
        if isinstance(action, nodes.WRITES):
            forgotten = _unread(state)
            seen = state.seen if isinstance(action, t.EvictPod) else state.seen._replace(daemon=None)
            return tidied(forgotten._replace(seen=seen))
        seen = state.seen
        if seen is FRESH:
            return state
        match action:
            case t.SetFinalizer():
                seen = seen._replace(wanted=None)
            case t.CreatePlan() | t.DeletePlan():
                seen = seen._replace(plans=None)
            case t.CreateReplicaSet() | t.ScaleReplicaSet() | t.DeleteReplicaSet():
                if seen.sets is not None:
                    version = self.version(action.name)
                    others = [s for s in seen.sets if s.version != version]
                    truth = [s for s in state.sets if s.version == version]
                    seen = seen._replace(sets=tuple(sorted(others + truth)))
            case t.SetSelector():
                if seen.selected is not None:
                    which = NAMES.index(action.name)
                    pair = list(seen.selected)
                    pair[which] = selected_of(state)[which]
                    seen = seen._replace(selected=(pair[0], pair[1]))
            case t.SetWeight():
                seen = seen._replace(route=None)
            case t.ScaleWorkload():
                seen = seen._replace(deployment=None)
            case t.AnswerAction():
                seen = seen._replace(acts=None)
        return tidied(state._replace(seen=seen))

    def unlearned(self, before: State, after: State, action: t.Action) -> State:
        """The write was carried out, and the operator does not know: it sees what it saw before."""
        seen = after.seen
        if self.of_trial(action):
            return self._doubted(before, after, seen._replace(trial=before.trial if seen.trial is None else seen.trial))
        match action:
            case t.HoldTemplate() | t.ReleaseTemplate():
                seen = seen._replace(daemon=before.daemon)
            case t.EvictPod():
                return _unread(after)
            case t.SetFinalizer():
                seen = seen._replace(wanted=before.wanted)
            case t.CreatePlan() | t.DeletePlan():
                seen = seen._replace(plans=before.plans if seen.plans is None else seen.plans)
            case t.CreateReplicaSet() | t.ScaleReplicaSet() | t.DeleteReplicaSet():
                seen = seen._replace(sets=before.sets if seen.sets is None else seen.sets)
            case t.SetSelector():
                seen = seen._replace(selected=seen.selected or selected_of(before))
            case t.SetWeight():
                seen = seen._replace(route=before.route)
            case t.ScaleWorkload():
                seen = seen._replace(deployment=before.deployment)
            case t.AnswerAction():
                seen = seen._replace(acts=before.acts if seen.acts is None else seen.acts)
        return self._doubted(before, after, seen)

    @staticmethod
    def _doubted(before: State, after: State, seen: Seen) -> State:
        if after.wanted.life == GONE:
            return after
        unseen = tidied(after._replace(seen=seen))
        doubts = [group for group in Seen._fields if getattr(unseen.seen, group) != getattr(before.seen, group)]
        return unseen._replace(doubt=tuple(sorted({*unseen.doubt, *doubts})))

    @staticmethod
    def read_again(state: State) -> State:
        """The operator has read what was in doubt."""
        return tidied(state._replace(seen=state.seen._replace(**dict.fromkeys(state.doubt)), doubt=()))

    # ------------------------------------------------------------------------------------------------ effects

    def applied(self, state: State, action: t.Action) -> State:
        """The world after a write."""
        if isinstance(action, nodes.WRITES) and state.daemon is not None:
            daemon, pods = nodes.after(state.daemon, state.nodes, action, self._views.templated(action))
            return state._replace(daemon=daemon, nodes=pods)
        if self.of_trial(action):
            revision = getattr(action, "revision", "")
            version = next((v for v, r in self._views.revisions.items() if r == revision), "")
            return state._replace(trial=trials.after(state.trial, action, version))
        return self._applied(state, action)

    def _applied(self, state: State, action: t.Action) -> State:
        match action:
            case t.SetFinalizer():
                if not action.present:
                    return self.gone(state)
                return state._replace(wanted=state.wanted._replace(life=CLAIMED))
            case t.CreatePlan():
                variant = self._views.plans.index(action.plan)
                plan = (self._views.version_of[action.pod_hash], action.attempt, variant)
                return state._replace(plans=tuple(sorted((*state.plans, plan))))
            case t.DeletePlan():
                return state._replace(plans=tuple(p for p in state.plans if self._record(p) != action.name))
            case t.CreateReplicaSet():
                fresh = Sets(self._views.version_of[action.pod_hash], action.replicas, 0, settled=False)
                return state._replace(sets=tuple(sorted((*state.sets, fresh))))
            case t.ScaleReplicaSet():
                version = self.version(action.name)
                return state._replace(
                    sets=tuple(
                        s._replace(replicas=action.replicas, settled=False) if s.version == version else s
                        for s in state.sets
                    )
                )
            case t.DeleteReplicaSet():
                version = self.version(action.name)
                return state._replace(sets=tuple(s for s in state.sets if s.version != version))
            case t.SetSelector():
                return self.selects(state, NAMES.index(action.name), self._views.version_of[action.pod_hash])
            case t.SetWeight():
                return self.weighted(state, action.weight, keys_of(action.routes))
            case t.ScaleWorkload() if state.deployment is not None:
                return state._replace(deployment=state.deployment._replace(replicas=action.replicas, settled=False))
            case t.AnswerAction():
                return state._replace(acts=tuple(a for a in state.acts if uid_of(a) != action.name))
        raise TypeError(action)

    def weighted(self, state: State, weight: int, led: tuple[str, ...] = ()) -> State:
        """The route with another weight and other routes of ours, which the gateway does not serve yet."""
        route = state.route
        least, most, serves = min(route.least, weight), max(route.most, weight), {*route.serves, *led}
        after = route._replace(weight=weight, least=least, most=most, age=self.young, led=led)
        return state._replace(route=after._replace(serves=led if serves == set(led) else tuple(sorted(serves))))

    @staticmethod
    def selects(state: State, which: int, version: str) -> State:
        """A Service that selects another version, which its endpoints do not follow yet."""
        services = list(state.services)
        services[which] = services[which]._replace(selected=version)
        return state._replace(services=(services[0], services[1]))

    def _record(self, plan: tuple[str, int, int]) -> str:
        return f"shop-{self._views.hashes[plan[0]]}-{plan[1]}"

    # ------------------------------------------------------------------------------------------------ life

    def gone(self, state: State) -> State:
        """The Rollout is gone, and what it owned with it."""
        blank = initial(state.wanted.template, 0)
        nobody = Service("", "", OLD)
        return blank._replace(wanted=Wanted(0, state.wanted.template, 0, GONE), services=(nobody, nobody))

    def killed(self, state: State) -> State:
        """The operator is killed and another one begins: it knows what it lists, and nothing else."""
        stable, canary = state.services
        young = self.young
        route = state.route._replace(age=young)
        return state._replace(
            services=(stable._replace(age=young), canary._replace(age=young)),
            route=route,
            asked=(),
            answers=(),
            row=None,
            doubt=(),
            seen=FRESH,
            nodes=state.nodes._replace(known=None),
        )

    def timed(self, before: State, after: State) -> State:
        """Services whose endpoints have become those of other versions are young again.

        And pods that were read for another state of the DaemonSet count no more.
        """
        if after.nodes.known is not None and after.nodes.known is before.nodes.known:
            saw, sees = before.seen.daemon or before.daemon, after.seen.daemon or after.daemon
            after = _unread(after) if saw != sees else after
        if not self._delays:
            return after
        was, now = ends_of(before), ends_of(after)
        services = tuple(
            s._replace(age=0) if [v for v, _ in was[i]] != [v for v, _ in now[i]] else s
            for i, s in enumerate(after.services)
        )
        return after._replace(services=(services[0], services[1]))

    def forgetting(self, state: State) -> State:
        """The journal without acts that are answered and that the operator sees no more: it needs them no longer."""
        wanted, seen = state.wanted, state.seen
        journal = wanted.journal
        noted = self._journals.status(journal).actions
        visible = {uid_of(a) for a in (*state.acts, *(seen.acts or ()))} if noted else ()
        for act in noted:
            if act.uid not in visible:
                journal = self._journals.forgotten(journal, act.uid)
        return state if journal == wanted.journal else state._replace(wanted=wanted._replace(journal=journal))


def _unread(state: State) -> State:
    """What was read of the pods is of the time before."""
    return state if state.nodes.known is None else state._replace(nodes=state.nodes._replace(known=None))


def tidied(state: State) -> State:
    """The state in which what is seen as it is, is not remembered as something else."""
    seen = state.seen
    if seen is FRESH or seen == FRESH:
        return state if seen is FRESH else state._replace(seen=FRESH)
    ends: Ends | None = seen.ends
    now = Seen(
        wanted=None if seen.wanted == state.wanted else seen.wanted,
        sets=None if seen.sets == state.sets else seen.sets,
        ends=None if ends is None or ends == ends_of(state) else ends,
        route=None if seen.route == state.route else seen.route,
        plans=None if seen.plans == state.plans else seen.plans,
        selected=None if seen.selected == selected_of(state) else seen.selected,
        acts=None if seen.acts == state.acts else seen.acts,
        deployment=None if seen.deployment == state.deployment else seen.deployment,
        daemon=None if seen.daemon == state.daemon else seen.daemon,
        trial=None if seen.trial == state.trial else seen.trial,
    )
    return state._replace(seen=FRESH if now == FRESH else now)
