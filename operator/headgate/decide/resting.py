"""Nothing is being released: the first revision comes up, or the stable one serves; also the end of a way back."""

from __future__ import annotations

from headgate.api.common import to_epoch
from headgate.decide import contest, copying, journal, restarting, strategies
from headgate.decide.canary import deadline_passed
from headgate.decide.cycle import Cycle
from headgate.decide.mover import Goal, anchor, observed_weight, replica_set
from headgate.decide.planning import find_plan
from headgate.decide.retention import keep_until, sweep
from headgate.decide.types import Action, OutcomeKind, ScaleWorkload


def initialize(cycle: Cycle) -> Action | None:
    """The first revision comes up beside whatever serves now, then takes the Services over; nothing is judged."""
    run = cycle.status.current
    if run is None:
        return None
    cycle.change(phase="Initializing")
    view = find_plan(cycle.snapshot, run)
    if view is None:
        cycle.change(message=f"bringing up the first revision {run.pod_hash}")
        return copying.pin(cycle, run) if not cycle.problems else None
    again = copying.anew(cycle, view)
    if again is not None:
        return again
    blocked = bool(cycle.problems)
    frozen = any(p.blocks_pods for p in cycle.problems)
    paused = cycle.snapshot.spec.paused
    goal = Goal(
        stable=run.pod_hash,
        canary=run.pod_hash,
        weight=0,
        replicas={run.pod_hash: cycle.snapshot.spec.replicas},
        proven=False,
        hold=blocked or paused,
        hold_reason=cycle.problems[0].message if blocked else "paused by spec.paused",
        frozen=frozen,
        keep=keep_until(cycle),
    )
    cycle.move = strategies.of(cycle.snapshot.spec).next_move(cycle.snapshot, goal, cycle.now)
    if cycle.move.reached:
        adopted = cycle.snapshot.spec.workload_ref is not None
        cycle.status = journal.promote(
            cycle.status, "the first revision", cycle.now, outcome="Adopted" if adopted else "Promoted"
        )
        strategy = strategies.of(cycle.snapshot.spec)
        cycle.change(workload=strategy.remembered(cycle.snapshot, cycle.status.workload))
        what = (
            f"{cycle.snapshot.spec.workload_ref.kind} {cycle.snapshot.spec.workload_ref.name} is adopted: "
            if cycle.snapshot.spec.workload_ref
            else ""
        )
        cycle.note("Normal", "Adopted" if adopted else "Promoted", f"{what}revision {run.pod_hash} serves")
        return rest(cycle)
    cause = cycle.missing_pods()
    waiting = cycle.move.waiting or "switching"
    text = f"bringing up the first revision {run.pod_hash}: {waiting}" + (f" ({cause})" if cause else "")
    cycle.change(message=text[:1024])
    if not blocked and not paused and deadline_passed(cycle):
        cycle.stall("ProgressDeadlineExceeded", f"{text}; correct what is named, it goes on by itself")
    return cycle.move.action


def rest(cycle: Cycle) -> Action | None:
    """Keep traffic and capacity on the stable revision, and tidy up."""
    stable = cycle.status.stable
    if stable is None:
        return None
    snapshot = cycle.snapshot
    if cycle.status.weights.desired != 0 or cycle.status.weights.routes:
        cycle.change(weights=cycle.status.weights.model_copy(update={"desired": 0, "routes": None}))
    counted = contest.watch(cycle, 0)
    blocked = [p for p in cycle.problems if p.blocks_running]
    reason = blocked[0].message if blocked else ("paused by spec.paused" if snapshot.spec.paused else "")
    contested = contest.contested(cycle)
    goal = Goal(
        stable=stable.pod_hash,
        canary=stable.pod_hash,
        weight=observed_weight(snapshot) if contested else 0,
        replicas={stable.pod_hash: snapshot.spec.replicas},
        proven=True,
        hold=bool(reason or contested),
        hold_reason=reason or contested,
        frozen=any(p.blocks_pods for p in blocked),
        keep=keep_until(cycle),
        fought=bool(contested),
        careful=bool(cycle.status.weights.stable_follows),
    )
    cycle.move = strategies.of(snapshot.spec).next_move(snapshot, goal, cycle.now)
    if goal.careful and cycle.move.short_of and observed_weight(snapshot) and deadline_passed(cycle):
        cause = cycle.missing_pods()
        text = f"going back to {stable.pod_hash} takes long: {cycle.move.waiting}" + (f" ({cause})" if cause else "")
        cycle.stall("ProgressDeadlineExceeded", f"{text}; correct what is named, it goes on by itself")
    if cycle.move.reached and goal.careful:
        cycle.change(weights=cycle.status.weights.model_copy(update={"stable_follows": None}))
    if cycle.move.trouble:
        cycle.stall("NoWayBack", cycle.move.trouble)
    at_rest = snapshot.status.weights.applied and snapshot.status.phase in journal.AT_REST
    if snapshot.routes or not counted:
        # Where everything is as it should be, a Service that turns away does so in its own time.
        home = strategies.of(snapshot.spec).at_home(snapshot, stable.pod_hash)
        contest.watch_selectors(cycle, served=at_rest and not home)
    _phase(cycle)
    action = cycle.move.action
    if action is None and not goal.frozen and replica_set(snapshot, stable.pod_hash) is None:
        # Somebody deleted the ReplicaSet and its record: while the template is still this one, both can be made again.
        action = copying.pin(cycle, stable) if anchor(snapshot, stable.revision) is None else None
    if action is None and not goal.hold:
        action = shrink_workload(cycle)
    if action is None and cycle.status.phase in journal.AT_REST and not goal.hold:
        action = restarting.next_pod(cycle, stable)
    if action is None and cycle.move.reached and not cycle.problems:
        action = sweep(cycle)
    return action


def _phase(cycle: Cycle) -> None:
    snapshot, status = cycle.snapshot, cycle.status
    stable = status.stable.pod_hash if status.stable else ""
    if cycle.move.trouble:
        cycle.change(phase="Degraded", message=cycle.move.trouble[:1024])
        return
    home = strategies.of(snapshot.spec).at_home(snapshot, stable)
    record = journal.is_rejected(status, snapshot.revision)
    if record is not None:
        became = "is not released" if record.reason == journal.UNDER_WAY else "was taken back"
        text = (
            f"revision {record.pod_hash} {became}: {record.message}; {stable} serves. Change the template, or retry it"
        )
        cycle.change(phase="Degraded" if home else "RollingBack", message=text[:1024])
        return
    if not home and status.phase not in ("Healthy", "Pending"):
        cycle.change(phase="RollingBack", message=f"going back to {stable}: {cycle.move.waiting or 'switching'}"[:1024])
        return
    waiting = f": {cycle.move.waiting}" if cycle.move.short_of else ""
    cycle.change(phase="Healthy", message=f"revision {stable} is stable{waiting}"[:1024])


def shrink_workload(cycle: Cycle) -> Action | None:
    """Scale the adopted Deployment to 0: its pods serve nobody once the stable Service selects one revision."""
    workload, status = cycle.snapshot.workload, cycle.status
    if cycle.snapshot.spec.workload_ref is None or workload is None or not workload.found or not workload.replicas:
        return None
    if status.workload is None or status.stable is None or contest.workload_contested(cycle):
        return None
    if not strategies.of(cycle.snapshot.spec).relieves(cycle.snapshot, status.stable.pod_hash):
        return None
    drained = max((r.settled_since or cycle.now for r in cycle.snapshot.routes), default=0.0)
    drained = max(drained, to_epoch(status.stable.since)) + cycle.snapshot.config.drain_seconds
    if cycle.now < drained:
        cycle.wake(drained)
        return None
    outcome, action = cycle.snapshot.outcome, ScaleWorkload(workload.name, workload.resource_version, 0)
    # A write that failed was nobody else's scaling.
    failed = outcome is not None and outcome.action == action.key and outcome.kind is not OutcomeKind.DONE
    again = status.workload.adopted and not failed
    cycle.change(
        workload=status.workload.model_copy(
            update={"adopted": True, "reasserted": status.workload.reasserted + (1 if again else 0)}
        )
    )
    return action
