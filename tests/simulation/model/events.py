"""What happens around the operator: pods, endpoints and the gateway follow, checks answer, time passes, people act."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headgate.api.rollout import RolloutStatus
from headgate.decide.journal import is_rejected, running
from headgate.decide.types import ReadKind
from tests.simulation.model import nodes, trials
from tests.simulation.model.journals import OLD, Journals
from tests.simulation.model.objects import Objects
from tests.simulation.model.state import (
    CLAIMED,
    DELETING,
    GONE,
    NEW,
    Act,
    Seen,
    Sets,
    State,
    Wanted,
    ends_of,
)
from tests.simulation.model.turns import Event, Operator
from tests.simulation.model.views import Views, sight, uid_of
from tests.simulation.model.worlds import COST, World

REWRITTEN = 50
"""The weight that somebody else writes."""


class Surroundings:
    """The events of one world."""

    def __init__(self, world: World, views: Views, journals: Journals, objects: Objects, operator: Operator) -> None:
        self._world = world
        self._operator = operator
        self._views = views
        self._journals = journals
        self._objects = objects

    def events(self, state: State) -> Iterator[Event]:
        """Everything but the operator's turn."""
        limits = self._world.budget
        yield from self._pods(state)
        yield from self._adopted(state)
        for label, trial, kind in trials.following(state.trial, lossy="loss" in limits):
            yield from self._changed(label, state, state._replace(trial=trial), "trial", cost=COST[kind])
        if self._world.nodes:
            yield from self._on_nodes(state)
        else:
            yield from self._traffic(state)
        yield from self._checks(state)
        yield from self._memory(state)
        yield from self._time(state)
        yield from self._spec(state)
        if "person" in limits and state.wanted.life == CLAIMED and not state.acts:
            yield from self._people(state)
        if "crash" in limits:
            killed = self._objects.killed(state)
            if killed != state:
                yield "the operator is killed and starts again", killed, COST["crash"]

    def _changed(self, label: str, before: State, after: State, *groups: str, cost: int = 0) -> Iterator[Event]:
        """An event, and the same without that the operator sees it yet."""
        yield label, after, cost
        if "stale" not in self._world.budget or cost:
            return
        old: Mapping[str, Any] = {
            "sets": before.sets,
            "ends": ends_of(before),
            "route": before.route,
            "daemon": before.daemon,
            "trial": before.trial,
        }
        for group in groups:
            if getattr(after.seen, group) is None:
                unseen = after.seen._replace(**{group: old[group]})
                yield f"{label} (the operator does not see the {group} yet)", after._replace(seen=unseen), COST["stale"]

    # ------------------------------------------------------------------------------------------------ pods

    def _pods(self, state: State) -> Iterator[Event]:
        for s in state.sets:
            if not s.settled:
                ready = min(s.ready, s.replicas)
                yield from self._set(state, s, s._replace(ready=ready, settled=True), f"{s.version}: {s.replicas} pods")
            elif s.ready < s.replicas:
                more = s._replace(ready=s.ready + 1)
                yield from self._set(state, s, more, f"{s.version}: {more.ready} of {s.replicas} pods ready")
            if "deleted" in self._world.budget:
                rest = state._replace(sets=tuple(other for other in state.sets if other is not s))
                label = f"somebody deletes the ReplicaSet of {s.version}"
                yield from self._changed(label, state, rest, "sets", "ends", cost=COST["deleted"])
            if "loss" in self._world.budget and s.settled and s.ready:
                fewer = s._replace(ready=s.ready - 1)
                label = f"{s.version}: a pod is not ready any more, {fewer.ready} of {s.replicas} are"
                yield from self._set(state, s, fewer, label, cost=COST["loss"])

    def _adopted(self, state: State) -> Iterator[Event]:
        adopted = state.deployment
        if adopted is None:
            return
        if not adopted.settled:
            now = adopted._replace(ready=min(adopted.ready, adopted.replicas), settled=True)
            yield f"the Deployment: {now.replicas} pods", state._replace(deployment=now), 0
        elif adopted.ready < adopted.replicas:
            now = adopted._replace(ready=adopted.ready + 1)
            yield f"the Deployment: {now.ready} of {now.replicas} pods ready", state._replace(deployment=now), 0
        if "rewrite" in self._world.budget and not adopted.replicas and state.wanted.life == CLAIMED:
            more = adopted._replace(replicas=self._world.specs[0].replicas, settled=False)
            yield "somebody scales the Deployment up", state._replace(deployment=more), COST["rewrite"]

    def _on_nodes(self, state: State) -> Iterator[Event]:
        """The DaemonSet's controller and its pods; what others write into it; what the operator reads of the pods."""
        limits, found = self._world.budget, state.daemon
        if found is None:
            return
        for label, after, kind in nodes.following(found, state.nodes, late="stale" in limits, lossy="loss" in limits):
            yield label, state._replace(nodes=after), COST[kind]
        report = nodes.looked(found, state.nodes)
        if report != found or state.nodes.behind is not None:
            label = f"the controller counts {report.ready} of {report.pods} ready, {report.updated} of its template"
            looked = state._replace(daemon=report, nodes=state.nodes._replace(behind=None))
            yield from self._changed(label, state, looked, "daemon")
        asks = any(r.kind is ReadKind.WORKLOAD_PODS for r in self._operator.choice(sight(state)).decision.reads)
        fresh = nodes.read(state.nodes)
        if asks and fresh != state.nodes:
            yield "the pods are read", state._replace(nodes=fresh), 0
        if "rewrite" in limits and state.wanted.life == CLAIMED:
            for version in self._world.versions:
                if version != found.template.version:
                    daemon, pods = nodes.rewritten(found, state.nodes, version)
                    label = f"somebody writes {version} into the DaemonSet"
                    yield label, state._replace(daemon=daemon, nodes=pods), COST["rewrite"]
            if found.on_delete:
                daemon, pods = nodes.let_loose(found, state.nodes)
                label = "somebody lets the DaemonSet update its pods by itself"
                yield label, state._replace(daemon=daemon, nodes=pods), COST["rewrite"]

    def _set(self, state: State, old: Sets, new: Sets, label: str, *, cost: int = 0) -> Iterator[Event]:
        after = state._replace(sets=tuple(new if s is old else s for s in state.sets))
        yield from self._changed(label, state, after, "sets", "ends", cost=cost)

    # ------------------------------------------------------------------------------------------------ traffic

    def _traffic(self, state: State) -> Iterator[Event]:
        for which, name in enumerate(("stable", "canary")):
            service = state.services[which]
            if service.held != service.selected:
                services = list(state.services)
                services[which] = service._replace(held=service.selected)
                after = state._replace(services=(services[0], services[1]))
                yield from self._changed(f"the endpoints of the {name} Service follow", state, after, "ends")
        route, limits = state.route, self._world.budget
        if "missing" in limits and state.wanted.life == CLAIMED:
            yield from self._missing(state)
        if not route.settled:
            served = route._replace(least=route.weight, most=route.weight, serves=route.led, age=self._objects.young)
            label = " ".join((f"the gateway serves weight {route.weight}", *route.led))
            label = "the gateway serves the route no more" if route.gone else label
            yield from self._changed(label, state, state._replace(route=served), "route")
        if (
            "rewrite" in limits
            and not self._world.adopts
            and self._world.routed
            and route.weight != REWRITTEN
            and state.wanted.life in (CLAIMED, DELETING)
        ):
            label = f"somebody else writes weight {REWRITTEN}"
            yield label, self._objects.weighted(state, REWRITTEN), COST["rewrite"]
        if "rewrite" in limits and not self._world.routed and state.wanted.life == CLAIMED:
            yield from self._selector_rewritten(state)
        if "outage" in limits and state.wanted.life != GONE:
            if route.refuses:
                yield "the route can be written again", state._replace(route=route._replace(refuses=False)), 0
            else:
                refused = state._replace(route=route._replace(refuses=True))
                yield "writes of the route are refused from now on", refused, COST["outage"]

    def _missing(self, state: State) -> Iterator[Event]:
        """It goes with all that it says, and comes back as the file has it."""
        after, route = self._objects.weighted(state, 0), state.route
        if route.gone:
            back = after._replace(route=after.route._replace(gone=False))
            yield from self._changed("the route is there again", state, back, "route")
        else:
            gone = after._replace(route=after.route._replace(gone=True))
            yield from self._changed("somebody deletes the route", state, gone, "route", cost=COST["missing"])

    def _selector_rewritten(self, state: State) -> Iterator[Event]:
        """Where a selector is the weight, that is what others rewrite."""
        chosen = state.services[0].selected
        if not chosen:
            return
        for version in ("", self._world.versions[0]):
            if version != chosen:
                after = self._objects.selects(state, 0, version)
                yield f"somebody else lets the active Service select {version or 'all'}", after, COST["rewrite"]

    # ------------------------------------------------------------------------------------------------ checks

    def _checks(self, state: State) -> Iterator[Event]:
        for question in state.asked:
            rest = tuple(q for q in state.asked if q != question)
            for verdict in ("Pass", "Fail", "Unknown", "Error"):
                cost = 0 if verdict == "Pass" else COST["bad"]
                if cost and "bad" not in self._world.budget:
                    continue
                answers = tuple(sorted((*state.answers, (*question, verdict))))
                proof = tuple(sorted({*state.proof, question[0]})) if verdict == "Pass" else state.proof
                yield f"the answer is {verdict}", state._replace(asked=rest, answers=answers, proof=proof), cost

    # ------------------------------------------------------------------------------------------------ memory

    def _memory(self, state: State) -> Iterator[Event]:
        for group, old in zip(Seen._fields, state.seen, strict=True):
            if old is not None:
                yield f"the operator sees the {group}", state._replace(seen=state.seen._replace(**{group: None})), 0
        row = state.row
        if row is not None and row.barred:
            # How the last write ended is remembered for longer than it is not tried again.
            kept = row._replace(barred=False) if state.route.refuses or row.last else None
            yield "the back-off is over", state._replace(row=kept), 0

    def _time(self, state: State) -> Iterator[Event]:
        wanted, seen, row = state.wanted, state.seen, state.row
        if wanted.life == GONE:
            return
        if seen.wanted is not None:
            seen = seen._replace(wanted=seen.wanted._replace(journal=self._journals.aged(seen.wanted.journal)))
        if seen.route is not None:
            seen = seen._replace(route=seen.route._replace(age=min(OLD, seen.route.age + 1)))
        stable, canary = state.services
        later = state._replace(
            wanted=wanted._replace(journal=self._journals.aged(wanted.journal)),
            seen=seen,
            row=row and row._replace(age=min(OLD, row.age + 1)),
            route=state.route._replace(age=min(OLD, state.route.age + 1)),
            services=(
                stable._replace(age=min(OLD, stable.age + 1)),
                canary._replace(age=min(OLD, canary.age + 1)),
            ),
        )
        if later != state:
            yield "time passes", later, 0

    # ------------------------------------------------------------------------------------------------ people

    def _spec(self, state: State) -> Iterator[Event]:
        wanted, limits = state.wanted, self._world.budget
        if wanted.life not in (NEW, CLAIMED):
            return
        outdated = self._journals.outdated(wanted.journal)
        if "release" in limits and wanted.life == CLAIMED:
            for version in self._world.versions:
                if version != wanted.template:
                    # A Deployment's template is no part of the Rollout.
                    journal = wanted.journal if self._world.adopts else outdated
                    new = Wanted(journal, version, wanted.variant, wanted.life)
                    yield from self._edited(state, new, f"the template becomes {version}", "release")
        if "change" in limits and wanted.life == CLAIMED:
            for variant in range(len(self._world.specs)):
                if variant != wanted.variant:
                    new = Wanted(outdated, wanted.template, variant, wanted.life)
                    yield from self._edited(state, new, f"the spec becomes variant {variant}", "change")
        if "delete" in limits:
            if wanted.life == NEW:
                yield "the Rollout is deleted", self._objects.gone(state), COST["delete"]
            else:
                new = Wanted(outdated, wanted.template, wanted.variant, DELETING)
                after = state._replace(wanted=new, asked=(), answers=(), proof=(), acts=())
                yield "the Rollout is deleted", after, COST["delete"]

    def _edited(self, state: State, new: Wanted, label: str, cost: str) -> Iterator[Event]:
        after = state._replace(wanted=new)
        yield label, after, COST[cost]
        if "stale" in self._world.budget and state.seen.wanted is None:
            # Not seen at once is what a watch does, so this costs no more than the edit.
            unseen = state.seen._replace(wanted=state.wanted)
            yield f"{label} (the operator does not see it yet)", after._replace(seen=unseen), COST[cost]

    def _people(self, state: State) -> Iterator[Event]:
        status = self._journals.status(state.wanted.journal)
        current, run = status.current, running(status)
        if current is None:
            return
        record = is_rejected(status, self._views.revisions[state.wanted.template])
        sensible = {
            "abort": run is not None,
            "pause": run is not None and status.paused is None,
            "resume": status.paused is not None or status.weights.reasserted > 0 or _timed_out(status),
            "promote": run is not None,
            "override": any(g.held for g in status.gates),
            "hotfix": run is not None and status.hotfix is None,
            "retry": record is not None,
            "undo": run is None,
        }
        for verb in self._world.verbs:
            if not sensible[verb]:
                continue
            about = record if verb == "retry" and record is not None else current
            act = Act(verb, self._views.version_of[about.pod_hash], about.attempt, self._number(state, verb))
            yield f"somebody asks for {verb}", state._replace(acts=(act,)), COST["person"]

    def _number(self, state: State, verb: str) -> int:
        """An identity that nothing knows yet."""
        known = {uid_of(a) for a in (*state.acts, *(state.seen.acts or ()))}
        for wanted in (state.wanted, state.seen.wanted):
            if wanted is not None:
                known |= {a.uid for a in self._journals.status(wanted.journal).actions}
        return next(n for n in range(100) if f"{verb}-{n}" not in known)


def _timed_out(status: RolloutStatus) -> bool:
    return status.step_timer is not None and status.step_timer.ran_out == "Hold"
