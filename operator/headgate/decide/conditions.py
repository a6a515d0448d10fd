"""The conditions: each aspect of the state with a stable reason and a sentence, in the forms that kstatus reads."""

from __future__ import annotations

from headgate.api.rollout import RevisionRef
from headgate.decide import journal, shortage, strategies
from headgate.decide.canary import held_gate
from headgate.decide.cycle import Cycle
from headgate.decide.mover import replica_set
from headgate.decide.planning import find_plan
from headgate.decide.revision import pod_hash_of

Row = tuple[str, str, str, str]


def describe_world(cycle: Cycle) -> None:
    """Phase, message, step column and all conditions of the journal as it has become."""
    _headline(cycle)
    rows = [_ready(cycle), _progressing(cycle), _reconciling(cycle), _available(cycle), _paused(cycle), _stalled(cycle)]
    rows += [_gates(cycle), _traffic(cycle), _rejected(cycle)]
    cycle.change(
        conditions=journal.merge_conditions(
            cycle.snapshot.status.conditions, rows, cycle.snapshot.meta.generation, cycle.now
        )
    )


def _headline(cycle: Cycle) -> None:
    status = cycle.status
    run = journal.running(status)
    if status.current is None:
        why = cycle.problems[0].message if cycle.problems else cycle.adoption_wait or "about to begin"
        cycle.change(phase="Pending", message=why[:1024])
    elif cycle.problems and run is None:
        cycle.change(message=f"{cycle.problems[0].message}; {status.message}"[:1024])
    elif run is not None:
        without = shortage.told(cycle)
        if without and without not in status.message:
            cycle.change(message=f"{status.message[: 1022 - len(without)]}; {without}")
        _say_who_waits(cycle, run)
    plan = find_plan(cycle.snapshot, run) if run is not None else None
    if run is None or run.fast:
        cycle.change(step="", step_count=0)
    elif plan is not None:
        count = len(plan.plan.steps)
        cycle.change(step=f"{min(status.current_step_index + 1, count)}/{count}", step_count=count)
    else:
        count = len(strategies.of(cycle.snapshot.spec).steps)
        cycle.change(step=f"1/{count}", step_count=count)


def _say_who_waits(cycle: Cycle, run: RevisionRef) -> None:
    """Under onNewRevision Queue the wanted revision waits, and nothing else would tell of it."""
    snapshot, status = cycle.snapshot, cycle.status
    wanted = snapshot.revision
    queued = snapshot.spec.on_new_revision == "Queue" and status.target is None and wanted not in ("", run.revision)
    if queued and journal.is_rejected(status, wanted) is None:
        waits = f"revision {pod_hash_of(wanted)} waits for the end of this release (onNewRevision: Queue)"
        cycle.change(message=f"{status.message[: 1022 - len(waits)]}; {waits}")


def _ready(cycle: Cycle) -> Row:
    if cycle.problems:
        first = cycle.problems[0]
        more = f" (and {len(cycle.problems) - 1} more)" if len(cycle.problems) > 1 else ""
        return ("Ready", "False", first.reason, first.message + more)
    if cycle.adoption_wait:
        return ("Ready", "False", "WorkloadNotReady", cycle.adoption_wait)
    return ("Ready", "True", "Accepted", "the spec can be worked with")


def _busy(cycle: Cycle) -> bool:
    return cycle.status.phase not in journal.AT_REST


def _progressing(cycle: Cycle) -> Row:
    phase = cycle.status.phase
    if _busy(cycle):
        return ("Progressing", "True", phase, cycle.status.message)
    return ("Progressing", "False", "Complete" if phase == "Healthy" else "TakenBack", cycle.status.message)


def _reconciling(cycle: Cycle) -> Row:
    # kstatus looks for this name; while it is True a new release is not taken for a finished one.
    if _busy(cycle) and cycle.stalled is None and not cycle.problems:
        return ("Reconciling", "True", cycle.status.phase, "a release is under way")
    return ("Reconciling", "False", cycle.status.phase, "nothing is under way")


def _available(cycle: Cycle) -> Row:
    stable, wanted = cycle.status.stable, cycle.snapshot.spec.replicas
    if stable is None:
        return ("Available", "False", "NoStableRevision", "no revision is stable yet")
    # Also while its controller has not seen the last change: that is no outage.
    found = replica_set(cycle.snapshot, stable.pod_hash)
    there, whose = found.available if found else 0, f"the stable revision {stable.pod_hash}"
    workload = cycle.snapshot.workload
    if strategies.of(cycle.snapshot.spec).pooled or cycle.status.weights.stable_follows:
        there, whose = sum(r.available for r in cycle.snapshot.replica_sets if r.owned), "all revisions"
    elif workload is not None and workload.in_place is not None:
        there, whose = workload.available, f"{workload.kind} {workload.name}"
    text = f"{there} of {wanted} pods of {whose} are available"
    return ("Available", "True" if there >= wanted else "False", "Enough" if there >= wanted else "TooFewPods", text)


def _paused(cycle: Cycle) -> Row:
    status = cycle.status
    if cycle.snapshot.spec.paused:
        return ("Paused", "True", "PausedBySpec", "spec.paused is true; set it to false where the Rollout is kept")
    if status.paused is not None:
        why = f": {status.paused.reason}" if status.paused.reason else ""
        return ("Paused", "True", "PausedByPerson", f"paused by {status.paused.by}{why}; resume it to go on")
    if status.phase == "Paused":
        return ("Paused", "True", "PauseStep", status.message)
    return ("Paused", "False", "NotPaused", "nothing is paused")


def _stalled(cycle: Cycle) -> Row:
    if cycle.problems:
        return ("Stalled", "True", cycle.problems[0].reason, cycle.problems[0].message)
    if cycle.stalled is not None:
        return ("Stalled", "True", *cycle.stalled)
    held = held_gate(cycle)
    if held and cycle.status.phase == "Held":
        text = f"{held}; see to it that it can answer, or override or abort"
        return ("Stalled", "True", "GateHeld", text)
    if cycle.status.phase == "Degraded":
        return ("Stalled", "True", "RevisionRejected", cycle.status.message)
    return ("Stalled", "False", "NotStalled", "nobody needs to do anything")


def _gates(cycle: Cycle) -> Row:
    run = journal.running(cycle.status)
    gates = [g for g in cycle.status.gates if g.step in (-1, cycle.status.current_step_index)]
    if run is None or not gates:
        return ("GatesPassing", "Unknown", "NothingJudged", "no gate is judging now")
    for gate in gates:
        if gate.held and not gate.overridden:
            return ("GatesPassing", "Unknown", "GateHeld", f"{gate.name}: {gate.message}")
    text = "; ".join(f"{g.name}: {g.message or g.verdict}" for g in gates)
    if all(g.verdict == "Pass" for g in gates):
        return ("GatesPassing", "True", "Passing", text)
    return ("GatesPassing", "Unknown", "Judging", text)


def _traffic(cycle: Cycle) -> Row:
    weights = cycle.status.weights
    if cycle.stalled and cycle.stalled[0] == "TrafficContested":
        return ("TrafficInSync", "False", *cycle.stalled)
    if cycle.move.served:
        blind = [f"{r.kind} {r.name}" for r in cycle.snapshot.routes if r.blind]
        if blind:
            return ("TrafficInSync", "Unknown", "NoReadBack", _taken_as_served(cycle, blind))
        return ("TrafficInSync", "True", "Served", strategies.of(cycle.snapshot.spec).traffic(cycle.snapshot, weights))
    return ("TrafficInSync", "False", "Waiting", cycle.move.waiting or "a change is under way")


def _taken_as_served(cycle: Cycle, blind: list[str]) -> str:
    settle = cycle.snapshot.config.route_settle_seconds
    return (
        f"weight {cycle.status.weights.observed} is taken as served {settle:g} s after it was stored, because nothing "
        f"is read back of it: make sure that routeSettleSeconds is enough for the router of {', '.join(blind)}"
    )


def _rejected(cycle: Cycle) -> Row:
    record = journal.is_rejected(cycle.status, cycle.snapshot.revision) if cycle.snapshot.revision else None
    if record is None:
        return ("Rejected", "False", "NotRejected", "the wanted revision was not taken back")
    return ("Rejected", "True", record.reason, f"{record.pod_hash}, attempt {record.attempt}: {record.message}")
