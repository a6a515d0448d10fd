"""The end of a Rollout: traffic and replicas go back to what was there before, then the finalizer goes.

Traffic first, always to what is stable. Where the Deployment's template is not the stable revision, its pods must not
get traffic that nobody has judged: then the stable ReplicaSet stays, and an Event says how to go on from there. So it
does wherever the spec says `onDelete: Keep`.
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.api.common import FINALIZER, LABEL_REVISION, to_epoch, to_time
from headgate.decide import (
    conditions,
    configuration,
    experiment,
    in_place,
    journal,
    ping_pong,
    problems,
    rolling,
    strategies,
)
from headgate.decide.cycle import Cycle
from headgate.decide.mover import (
    Goal,
    available,
    draining,
    least_bearable,
    led,
    lowering_fails,
    observed_weight,
    others_run,
    place_of,
    replica_set,
    selected,
    share_home,
)
from headgate.decide.types import (
    Action,
    Decision,
    DeletePlan,
    DeleteReplicaSet,
    Disown,
    EventNote,
    OutcomeKind,
    RouteView,
    ScaleReplicaSet,
    ScaleWorkload,
    SetFinalizer,
    SetSelector,
    SetWeight,
    Snapshot,
)

Part = Callable[[Cycle], tuple[Action | None, str] | None]
"""One thing to hand back: the next write of it, or what it waits for; None if it is done."""
PATIENCE = 60.0
"""Seconds after which a gateway that does not answer is not waited for any longer."""


def decide(snapshot: Snapshot, now: float) -> Decision:
    """The next write on the way out; nothing once the finalizer is gone."""
    if FINALIZER not in snapshot.meta.finalizers:
        return Decision(status=snapshot.status, write=False, waiting="deleted")
    cycle = Cycle(snapshot, now, snapshot.status)
    if not snapshot.namespace_terminating:
        ping_pong.enter(cycle)
    if snapshot.status.phase != "Terminating":
        cycle.change(
            phase="Terminating",
            step_started_at=to_time(now),
            message="handing traffic and replicas back",
            observed_generation=snapshot.meta.generation,
        )
    if snapshot.meta.orphaning and not snapshot.status.orphaned:
        cycle.change(orphaned=True)
    action, waiting = _next(cycle)
    if ping_pong.has_turned(cycle):
        action, waiting = None, "the Services have changed their roles"
    _tell(cycle, action, waiting)
    write = journal.journal_key(cycle.status) != journal.journal_key(snapshot.status)
    status = cycle.status
    if write and not snapshot.namespace_terminating:
        status = journal.change(
            status, decision=journal.number_after(snapshot.status.decision), written_at=to_time(now)
        )
    return Decision(
        status=status,
        write=write and not snapshot.namespace_terminating,
        action=action,
        reads=(*cycle.reads, *cycle.move.reads),
        wake_at=now + 5 if waiting else None,
        events=tuple(cycle.events),
        waiting=waiting,
    )


def _tell(cycle: Cycle, action: Action | None, waiting: str) -> None:
    """Say what keeps the Rollout from going, once it has lasted too long."""
    outcome = cycle.snapshot.outcome
    stuck = problems.refusal(outcome) if outcome and action and outcome.action == action.key else ""
    stuck = stuck or ("" if _patient(cycle) else waiting)
    if not stuck:
        return
    rows: list[conditions.Row] = [
        (c.type, c.status, c.reason, c.message) for c in cycle.status.conditions if c.type != "Stalled"
    ]
    rows.append(("Stalled", "True", "HandBackStuck", stuck))
    cycle.change(
        message=f"handing traffic and replicas back: {stuck}"[:1024],
        conditions=journal.merge_conditions(cycle.status.conditions, rows, cycle.snapshot.meta.generation, cycle.now),
    )


def _next(cycle: Cycle) -> tuple[Action | None, str]:
    snapshot = cycle.snapshot
    if snapshot.contenders:
        # Route and Services are an older Rollout's: only what is our own goes.
        return _records(cycle) or (_let_go(cycle), "")
    reading = _reading(cycle)
    lowered = _traffic_home(cycle)
    if lowered is not None and not (snapshot.namespace_terminating and _forbidden(snapshot, lowered[0])):
        return lowered
    if snapshot.namespace_terminating:
        return _let_go(cycle), ""
    if reading:
        return None, reading
    replaced = strategies.of(snapshot.spec).in_place
    # Variants may be left over of a strategy that the spec has no more.
    parts: tuple[Part, ...] = (_pods,) if replaced else (_ratio, _canaries, _workload, _selectors)
    for part in (_variants, *parts, _variant_services, _records):
        found = part(cycle)
        if found is not None:
            return found
    return _disown(cycle) or _let_go(cycle), ""


def _reading(cycle: Cycle) -> str:
    """What must be read before it is known whether the Deployment would run what is stable."""
    snapshot = cycle.snapshot
    if not snapshot.unread or not _patient(cycle):
        return ""
    cycle.reads += configuration.watched(snapshot, cycle.now)[0]
    return f"reading {snapshot.unread.replace('/', ' ')}"


def _pods(cycle: Cycle) -> tuple[Action | None, str] | None:
    """A workload that was released in place: what was not promoted goes, then it updates its pods itself again."""
    snapshot, stable, found = cycle.snapshot, cycle.status.stable, in_place.place_of(cycle.snapshot)
    if found is None:
        return None
    workload, lever = found[0], rolling.lever_of(snapshot.spec)
    # Where its own controller would go on, it stays held for the Rollout that may be made again.
    stays = _kept(snapshot) and lever.ends_by_itself
    action = None if stays else lever.give_back(workload, judged=_judged(snapshot))
    if action is None and not lever.ends_by_itself:
        return None  # It was given back.
    # Of pods that are not of a template which may go to all of them such a controller takes care, in order.
    if stable is not None and not (lever.ends_by_itself and _judged(snapshot)):
        rest = Goal(stable.pod_hash, stable.pod_hash, 0, {}, proven=True)
        cycle.move = strategies.of(snapshot.spec).next_move(snapshot, rest, cycle.now)
        if not cycle.move.reached and (cycle.move.action or _patient(cycle)):
            return cycle.move.action, cycle.move.waiting
        if not lever.closed(found[1]):
            return None
    return (action, "") if action is not None else None


def _judged(snapshot: Snapshot) -> bool:
    """The template that is wanted is what is stable, or nothing was ever released."""
    return snapshot.status.stable is None or snapshot.revision == snapshot.status.stable.revision


def _forbidden(snapshot: Snapshot, action: Action | None) -> bool:
    """It was refused: in a namespace that goes, the right to it, or its kind, may have gone first."""
    return action is not None and (_refused(snapshot, action) or action.key in snapshot.barred)


def _refused(snapshot: Snapshot, action: Action) -> bool:
    outcome = snapshot.outcome
    return (
        outcome is not None
        and (outcome.kind is OutcomeKind.REFUSED or outcome.reason == "NotServed")
        and outcome.action == action.key
    )


def _patient(cycle: Cycle) -> bool:
    began = cycle.status.step_started_at
    return began is None or cycle.now < to_epoch(began) + PATIENCE


def _astray(snapshot: Snapshot, stable: str) -> bool:
    """The stable Service sends requests elsewhere: it selects another revision, or all while another has pods."""
    service = snapshot.stable_service
    if not service.found or selected(service) == stable:
        return False
    return bool(selected(service)) or (others_run(snapshot, stable) and available(snapshot, stable) > 0)


def _traffic_home(cycle: Cycle) -> tuple[Action | None, str] | None:
    snapshot, stable = cycle.snapshot, cycle.status.stable
    service = snapshot.stable_service
    if strategies.of(snapshot.spec).pooled:
        return None
    grown, bearable = _pods_back(cycle)
    if grown is not None:
        return grown, ""
    short = f"waiting for the pods of {stable.pod_hash if stable else ''}, which are to take the requests back"
    if stable is not None and _astray(snapshot, stable.pod_hash):
        if bearable:
            return None, short
        return SetSelector(service.name, service.resource_version, stable.pod_hash, exposure="lower"), ""
    for route in snapshot.routes:
        # Who is led by a route of ours goes to stable, too, if that has the pods for all that the weight leaves it.
        leads = route.found and (route.weight > bearable or (bool(route.managed) and route.weight == bearable))
        behind = _behind(snapshot, route, stable.pod_hash) if stable is not None and leads and not bearable else None
        if behind is not None:
            return behind, ""
        if (
            leads
            and (not route.problem or route.managed)
            and not (route.problem and place_of(route) in snapshot.barred)
        ):
            # Where the weight cannot be written, routes of ours can be taken out all the same.
            weight = route.weight if route.problem else min(route.weight, bearable)
            lower = SetWeight(
                route.router, route.kind, route.name, route.rule, route.resource_version, weight, exposure="lower"
            )
            return lower, ""
    if snapshot.namespace_terminating or not _patient(cycle):
        return None
    if bearable and (observed_weight(snapshot) or led(snapshot)):
        return None, short
    for route in snapshot.routes:
        if route.found and not route.problem and not route.settled:
            return None, f"waiting for the gateway to serve {route.kind} {route.name}"
    return None


def _behind(snapshot: Snapshot, route: RouteView, stable: str) -> Action | None:
    """Where a weight or a share cannot be written, what is behind it changes, before its pods go."""
    canary, fails = snapshot.canary_service, lowering_fails(snapshot, route)
    if (route.problem or fails) and canary.found and selected(canary) not in ("", stable):
        return SetSelector(canary.name, canary.resource_version, stable, exposure="lower")
    # Of a place with a problem shares are taken out all the same, if that can be done.
    tried = fails or (route.problem and place_of(route) in snapshot.barred)
    home = share_home(snapshot, route, stable) if tried else None
    return home.action if home is not None else None


def _pods_back(cycle: Cycle) -> tuple[Action | None, int]:
    """Where the stable revision gave pods away: the write that brings them back, and the weight until they are there.

    A gateway or pods that do not come are waited for in patience, and then no longer.
    """
    snapshot, stable = cycle.snapshot, cycle.status.stable
    if stable is None or not cycle.status.weights.stable_follows or snapshot.namespace_terminating:
        return None, 0
    found, full = replica_set(snapshot, stable.pod_hash), snapshot.spec.replicas
    if found is not None and found.replicas < full:
        minimum = snapshot.spec.min_ready_seconds
        return ScaleReplicaSet(found.name, found.resource_version, full, minimum, exposure="lower"), 0
    canary = selected(snapshot.canary_service)
    if not _patient(cycle) or canary == stable.pod_hash:
        return None, 0
    return None, least_bearable(snapshot, stable.pod_hash, canary)


def _ratio(cycle: Cycle) -> tuple[Action | None, str] | None:
    """Where the pods are the weight they come back to what is stable first, and never too few are left."""
    stable, strategy = cycle.status.stable, strategies.of(cycle.snapshot.spec)
    if not strategy.pooled or stable is None or not cycle.snapshot.stable_service.found:
        return None
    full = cycle.snapshot.spec.replicas
    goal = Goal(stable.pod_hash, stable.pod_hash, weight=0, replicas={stable.pod_hash: full}, proven=True)
    move = strategy.next_move(cycle.snapshot, goal, cycle.now)
    if move.action is not None:
        return move.action, ""
    return (None, move.waiting) if _patient(cycle) and not move.reached else None


def _variants(cycle: Cycle) -> tuple[Action | None, str] | None:
    """Variants go first, with their pods before their ReplicaSets: a Service that is handed back selects those, too."""
    mine = [found for found in cycle.snapshot.variants if found.owned and not found.deleting]
    for found in sorted(mine, key=lambda found: found.name):
        if found.replicas:
            waits = experiment.still_reached(cycle.snapshot, found.pod_hash) if _patient(cycle) else None
            waiting = waits.waiting if waits is not None else _still_reached(cycle, found.pod_hash)
            if waiting:
                return None, waiting
            return ScaleReplicaSet(found.name, found.resource_version, 0, found.min_ready_seconds), ""
        if found.pods and _patient(cycle):
            return None, f"waiting for the pods of {found.name} to end"
        return DeleteReplicaSet(found.name, found.uid, found.resource_version), ""
    return None


def _variant_services(cycle: Cycle) -> tuple[Action | None, str] | None:
    """Nothing is left of what led nowhere between two experiments; the records may be all that tells of them."""
    services = [service for _, service in sorted(cycle.snapshot.variant_services.items()) if service.found]
    for service in services:
        if selected(service):
            return SetSelector(service.name, service.resource_version, ""), ""
    left = _willing(cycle, [Disown("Service", s.name, s.resource_version) for s in services if s.signed])
    return (left, "") if left is not None else None


def _canaries(cycle: Cycle) -> tuple[Action | None, str] | None:
    """Every revision but the stable one goes, before a Service could select it again."""
    stable = cycle.status.stable.pod_hash if cycle.status.stable else ""
    if not stable:
        return None
    for found in sorted(cycle.snapshot.replica_sets, key=lambda r: r.name):
        if found.owned and not found.deleting and found.pod_hash != stable and found.replicas:
            waiting = _still_reached(cycle, found.pod_hash)
            if waiting:
                return None, waiting
            return ScaleReplicaSet(found.name, found.resource_version, 0, found.min_ready_seconds), ""
    left = min((r.name for r in cycle.snapshot.replica_sets if r.owned and r.pod_hash != stable and r.pods), default="")
    if left and _patient(cycle):
        return None, f"waiting for the pods of {left} to end"
    return None


def _still_reached(cycle: Cycle, pod_hash: str) -> str:
    """Why a revision must keep its pods for a while: the stable Service still holds them, or connections drain."""
    if not _patient(cycle):
        return ""
    service = cycle.snapshot.stable_service
    if service.ready.get(pod_hash, 0):
        return f"waiting for the Service {service.name} to leave {pod_hash}"
    drains = draining(cycle.snapshot, pod_hash, cycle.now)
    return drains.waiting if drains is not None else ""


def _returns_to_workload(snapshot: Snapshot) -> bool:
    """The Deployment would run what is stable now."""
    stable = snapshot.status.stable
    if snapshot.spec.workload_ref is None or snapshot.workload is None or not snapshot.workload.found:
        return False
    return stable is None or snapshot.revision == stable.revision


def _stays(snapshot: Snapshot) -> bool:
    """The stable ReplicaSet goes on serving after the Rollout is gone."""
    adopted = snapshot.spec.workload_ref is not None and snapshot.status.stable is not None
    # Where Deployment and Service went, too, the whole application goes, and nobody is left to be served.
    whole = (snapshot.workload is None or not snapshot.workload.found) and not snapshot.stable_service.found
    kept = _orphaned(snapshot) or _kept(snapshot)
    return kept or (adopted and not whole and not _returns_to_workload(snapshot))


def _orphaned(snapshot: Snapshot) -> bool:
    """It was deleted with `--cascade=orphan`, as the server says now or the journal since."""
    return snapshot.meta.orphaning or snapshot.status.orphaned


def _kept(snapshot: Snapshot) -> bool:
    """The spec says that its pods are to stay, however it is deleted; until one is stable a workload has its own."""
    spec = snapshot.spec
    return spec.on_delete == "Keep" and (snapshot.status.stable is not None or spec.workload_ref is None)


def _workload(cycle: Cycle) -> tuple[Action | None, str] | None:
    snapshot = cycle.snapshot
    workload = snapshot.workload
    if not _returns_to_workload(snapshot) or workload is None or snapshot.status.stable is None or _kept(snapshot):
        return None
    wanted = snapshot.spec.replicas
    if workload.replicas < wanted:
        return ScaleWorkload(workload.name, workload.resource_version, wanted), ""
    if workload.observed_generation < workload.generation or workload.available < wanted:
        return None, f"waiting for Deployment {workload.name}: {workload.available} of {wanted} pods available"
    return None


def _selectors(cycle: Cycle) -> tuple[Action | None, str] | None:
    snapshot = cycle.snapshot
    if _stays(snapshot):
        return _canary_to_stable(cycle)
    for service in (snapshot.stable_service, snapshot.canary_service):
        if service.found and selected(service):
            return SetSelector(service.name, service.resource_version, ""), ""
    service = snapshot.stable_service
    if _returns_to_workload(snapshot) and snapshot.status.stable is not None and service.found and _patient(cycle):
        there = service.ready.get("", 0)
        if there < snapshot.spec.replicas:
            return None, f"waiting for the endpoints of {service.name} to hold the Deployment's pods ({there} ready)"
    return None


def _canary_to_stable(cycle: Cycle) -> tuple[Action | None, str] | None:
    """Nothing is to refer to a revision that goes; while nothing is stable the Service is handed back as it was."""
    service, stable = cycle.snapshot.canary_service, cycle.status.stable
    wanted = stable.pod_hash if stable is not None else ""
    if not service.found or selected(service) == wanted:
        return None
    return SetSelector(service.name, service.resource_version, wanted), ""


def _records(cycle: Cycle) -> tuple[Action | None, str] | None:
    """The ControllerRevisions go last: until then no deletion policy can collect serving pods."""
    snapshot, stable = cycle.snapshot, cycle.status.stable
    if stable is None and (_orphaned(snapshot) or _kept(snapshot)):
        return None  # The first revision may serve already, although the journal does not say so yet.
    replaced = strategies.of(snapshot.spec).in_place  # No ReplicaSet is left that would need a record.
    kept = stable.revision if stable is not None and not replaced and _stays(snapshot) else ""
    users = [user for user in configuration.users_of(snapshot) if user.revision == kept]
    for plan in sorted(snapshot.plans, key=lambda p: p.name):
        if plan in users or configuration.holds(plan, snapshot.plans, users):
            continue
        return DeletePlan(plan.name, plan.uid, plan.resource_version), ""
    return None


def _disown(cycle: Cycle) -> Action | None:
    """Nobody who goes by the owners of fields is to find the operator among those of what is as it was before."""
    snapshot, workload = cycle.snapshot, cycle.snapshot.workload
    if _stays(snapshot):
        return None  # What the operator wrote stands, and whoever compares it with Git is to know whose it is.
    found: list[Disown] = []
    if workload is not None and workload.signed:
        found.append(Disown(workload.kind, workload.name, workload.resource_version))
    found += [
        Disown("Service", service.name, service.resource_version)
        for service in (snapshot.stable_service, snapshot.canary_service)
        if service.signed and not selected(service)
    ]
    found += [
        Disown(route.kind, route.name, route.resource_version, route.router)
        for route in snapshot.routes
        if route.signed and not (route.weight or route.managed)
    ]
    return _willing(cycle, found)


def _willing(cycle: Cycle, found: list[Disown]) -> Disown | None:
    """The next of these; nobody's requests depend on it, so what is refused is left as it is."""
    barred = frozenset() if _patient(cycle) else cycle.snapshot.barred
    return next((a for a in found if not _refused(cycle.snapshot, a) and a.key not in barred), None)


def _let_go(cycle: Cycle) -> Action:
    snapshot, stable = cycle.snapshot, cycle.status.stable
    if strategies.of(snapshot.spec).in_place:
        _tell_closed(cycle)
    elif _stays(snapshot) and stable is not None and not snapshot.namespace_terminating:
        cycle.events.append(EventNote("Warning", "StableKept", _goes_on(snapshot, stable.pod_hash)))
    return SetFinalizer(snapshot.meta.name, snapshot.meta.resource_version, present=False, patient=_patient(cycle))


def _goes_on(snapshot: Snapshot, pod_hash: str) -> str:
    """Which pods stay, why, and how to be rid of them."""
    found = replica_set(snapshot, pod_hash)
    name = found.name if found else pod_hash
    free = f"remove the label key {LABEL_REVISION} from the Services' selectors"
    if _kept(snapshot):
        return (
            f"ReplicaSet {name} goes on serving, because spec.onDelete was Keep; create the Rollout again, which runs "
            f"pods of its own and leads the requests there, or {free}; then delete the ReplicaSet"
        )
    why = "it was deleted with --cascade=orphan" if _orphaned(snapshot) else "the Deployment's template is another one"
    then = f"when the Deployment runs what you want, {free} and delete the ReplicaSet"
    return f"ReplicaSet {name} goes on serving, because {why}; {then}"


def _tell_closed(cycle: Cycle) -> None:
    """Say that the template is held back still, where it was not promoted or all is to stay as it is."""
    found = in_place.place_of(cycle.snapshot)
    if found is None or cycle.snapshot.namespace_terminating:
        return
    why = rolling.lever_of(cycle.snapshot.spec).kept_back(
        found[0], judged=_judged(cycle.snapshot), kept=_kept(cycle.snapshot)
    )
    if why:
        cycle.events.append(EventNote("Warning", "UpdateClosed", why))
