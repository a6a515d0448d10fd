"""`decide`: from a snapshot and the time to the journal as it should be and at most one write; the whole judgement.

The stage follows from the journal alone: no stable revision yet (the first one comes up), a current revision that is
not the stable one (it is released, step by step, then promoted), or both the same (at rest, on the way back too).
"""

from __future__ import annotations

from headgate.api.common import FINALIZER, to_epoch, to_time
from headgate.api.rollout import RejectedRevision, RevisionRef, RolloutStatus, Weights, WorkloadStatus
from headgate.decide import (
    copying,
    experiment,
    group,
    hand_back,
    journal,
    mover,
    people,
    ping_pong,
    problems,
    releasing,
    resting,
    retention,
    roles,
    shortage,
    strategies,
)
from headgate.decide.conditions import describe_world
from headgate.decide.cycle import Cycle
from headgate.decide.mover import available, replica_set
from headgate.decide.planning import next_attempt
from headgate.decide.revision import pod_hash_of
from headgate.decide.types import (
    Action,
    Decision,
    ReadKind,
    ReadQuestion,
    SetFinalizer,
    Snapshot,
    WorkloadView,
)

SOON = 0.01
"""Seconds until the next decision where this one could not decide everything."""
PATIENCE = 10.0
"""Seconds after which the causes of missing pods are looked up."""


def decide(snapshot: Snapshot, now: float) -> Decision:
    """What to write, do, ask and say about one Rollout at `now` (seconds, API-server time).

    Pure: the same snapshot and time give the same decision.
    """
    if snapshot.meta.deleting:
        return hand_back.decide(snapshot, now)
    cycle = Cycle(snapshot, now, snapshot.status, problems=problems.find(snapshot))
    claim = None
    if not cycle.problems and FINALIZER not in snapshot.meta.finalizers:
        claim = SetFinalizer(snapshot.meta.name, snapshot.meta.resource_version, present=True)
        if snapshot.status.current is None:
            if _explain_refusal(cycle, claim):
                return finish(cycle, claim)
            return Decision(status=snapshot.status, write=False, action=claim, waiting="claiming the Rollout")
    group.enter(cycle)
    copying.look(cycle)
    answer = people.consume(cycle)
    _choose_revision(cycle)
    ping_pong.enter(cycle)
    wanted = releasing.look_first(cycle, releasing.tell_verdict(cycle, _stage(cycle)))
    wanted = roles.dressed(cycle, wanted)
    leaving = retention.leaving(cycle)
    if any(p.reason == problems.CONFLICT for p in cycle.problems):
        # It is another's: putting anything right here would be a fight over somebody's traffic.
        wanted = leaving = None
    _explain_missing_pods(cycle)
    if wanted is None:
        wanted = copying.repair(cycle)
    if ping_pong.has_turned(cycle):
        wanted = leaving = None
        cycle.wake(cycle.now + SOON)
    _explain_refusal(cycle, wanted, claim, leaving, answer)
    return finish(cycle, _first(snapshot, wanted, claim, leaving, answer))


def _first(
    snapshot: Snapshot, wanted: Action | None, claim: Action | None, leaving: Action | None, answer: Action | None
) -> Action | None:
    """Lowering goes before everything, then a claim that was lost; a person's answer waits until nothing else is due.

    The journal knows already what a person asked for: an answer that can never be written holds nothing up. What
    failed lately and is not tried again yet keeps nothing else waiting, but for variants: none goes before that.
    """
    lowering = wanted if wanted is not None and wanted.exposure == "lower" else None
    found = [a for a in (lowering, claim, wanted, leaving if lowering is None else None, answer) if a is not None]
    return next((a for a in found if a.key not in snapshot.barred), found[0] if found else None)


def _stage(cycle: Cycle) -> Action | None:
    status = cycle.status
    if status.current is None:
        return None
    if journal.running(status) is not None:
        return releasing.release(cycle)
    if status.stable is None:
        return resting.initialize(cycle)
    return resting.rest(cycle)


# --------------------------------------------------------------------------------------------------------------------
# Which revision
# --------------------------------------------------------------------------------------------------------------------


def _choose_revision(cycle: Cycle) -> None:
    snapshot, status = cycle.snapshot, cycle.status
    wanted = snapshot.revision
    if not wanted or any(p.blocks_running for p in cycle.problems):
        return
    if status.stable is None:
        if (status.current is None or status.current.revision != wanted) and _may_begin_first(cycle):
            _begin(cycle, wanted)
        return
    run = journal.running(status)
    if status.target is not None:
        if journal.is_rejected(status, wanted):
            return
        cycle.change(target=None)
    _towards(cycle, wanted, status.stable.revision, run)


def _towards(cycle: Cycle, wanted: str, stable: str, run: RevisionRef | None) -> None:
    status = cycle.status
    if wanted == stable:
        if run is not None:
            _leave(cycle, "Reverted", "the template is that of the stable revision again")
    elif journal.is_rejected(status, wanted):
        if run is None or run.revision == wanted:
            return
        if cycle.snapshot.spec.on_new_revision == "Supersede" or _is_lost(cycle, run):
            _leave(cycle, "Superseded", "the template is that of a revision that was taken back earlier")
    elif not _may_begin(cycle, wanted):
        return
    elif run is None:
        _begin(cycle, wanted)
    elif run.revision != wanted:
        _another_revision(cycle, wanted)


def _may_begin(cycle: Cycle, wanted: str) -> bool:
    """Whether an attempt may begin; a gate that is missing bars it, but not the way back, which needs none."""
    if any(p.blocks_running for p in cycle.problems):
        return False
    return not cycle.problems or _is_way_back(cycle, wanted, _free_hash(cycle.snapshot, wanted)[0])


def _is_way_back(cycle: Cycle, wanted: str, pod_hash: str) -> bool:
    """The revision was promoted before and is within the rollback window; without one: still has all its pods."""
    snapshot = cycle.snapshot
    window = snapshot.spec.rollback_window
    if window is not None:
        return wanted in journal.promoted_lately(cycle.status)[: window.revisions]
    promoted = any(h.revision == wanted and h.outcome in ("Promoted", "Adopted") for h in cycle.status.history)
    there = replica_set(snapshot, pod_hash)
    return bool(promoted and there and 0 < snapshot.spec.replicas <= min(there.replicas, available(snapshot, pod_hash)))


def _another_revision(cycle: Cycle, wanted: str) -> None:
    """The template changed in mid-run."""
    policy = cycle.snapshot.spec.on_new_revision
    run = cycle.status.current
    if run is None:
        return
    if _is_lost(cycle, run):
        policy = "Supersede"
    if policy == "Queue":
        return
    pod_hash = pod_hash_of(wanted)
    if policy == "Reject":
        record = RejectedRevision(
            revision=wanted,
            pod_hash=pod_hash,
            attempt=next_attempt(cycle.snapshot, cycle.status, wanted),
            reason=journal.UNDER_WAY,
            message=f"onNewRevision is Reject, and {run.pod_hash} was being released; retry it when that is over",
            at=to_time(cycle.now),
        )
        cycle.change(rejected=[*cycle.status.rejected, record][-journal.HISTORY_LIMIT :])
        cycle.note("Warning", "Rejected", f"revision {pod_hash} is not released: {record.message}")
        return
    cycle.status = journal.end_run(
        cycle.status, "Superseded", f"revision {pod_hash} took its place", cycle.now, ways_back=cycle.ways_back
    )
    _begin(cycle, wanted)


def _is_lost(cycle: Cycle, run: RevisionRef) -> bool:
    """Nothing of an attempt is recorded (yet, or any more), and its template is not to be had: it cannot go on."""
    return not any(p.revision == run.revision for p in cycle.snapshot.plans)


def _leave(cycle: Cycle, outcome: journal.Ending, message: str) -> None:
    run = cycle.status.current
    ended = journal.end_run(cycle.status, outcome, message, cycle.now, ways_back=cycle.ways_back)
    cycle.status = journal.back_to_stable(ended, cycle.now)
    cycle.note("Normal", outcome, f"revision {run.pod_hash if run else '?'} is left: {message}")


def _begin(cycle: Cycle, wanted: str) -> None:
    snapshot, status = cycle.snapshot, cycle.status
    pod_hash, collision = _free_hash(snapshot, wanted)
    fast = _is_way_back(cycle, wanted, pod_hash)
    cycle.status = journal.begin_run(
        journal.change(
            status,
            collision_count=collision,
            workload=(status.workload or WorkloadStatus()).model_copy(update={"reasserted": 0})
            if snapshot.spec.workload_ref
            else None,
        ),
        revision=wanted,
        pod_hash=pod_hash,
        attempt=next_attempt(snapshot, status, wanted),
        fast=fast,
        now=cycle.now,
    )
    if status.stable is not None:
        why = "it is still scaled up" if snapshot.spec.rollback_window is None else "it is within the rollback window"
        how = f"{why}, so the steps are skipped" if fast else "step 1 begins"
        cycle.note("Normal", "NewRevision", f"releasing {pod_hash} over {status.stable.pod_hash}: {how}")


def _free_hash(snapshot: Snapshot, revision: str) -> tuple[str, int]:
    """The pod hash of a revision that no other revision and no foreign ReplicaSet uses, and its collision count."""
    for collision in range(100):
        pod_hash = pod_hash_of(revision, collision)
        name = f"{snapshot.meta.name}-{pod_hash}"
        taken = [
            r
            for r in snapshot.replica_sets
            if (r.pod_hash == pod_hash and r.revision != revision)
            or (r.name == name and not r.owned and not r.deleting)
        ]
        # An earlier Rollout of the same DaemonSet may have called other pods so.
        noted, stable = snapshot.status.workload, snapshot.status.stable
        called = noted is not None and noted.revision == pod_hash
        if not taken and not (called and (stable is None or stable.revision != revision)):
            return pod_hash, collision
    return pod_hash_of(revision), 0


def _may_begin_first(cycle: Cycle) -> bool:
    """Whether the first revision may begin; for an adopted Deployment only if it is complete and nobody scales it."""
    snapshot = cycle.snapshot
    if cycle.problems:
        return False
    workload = snapshot.workload
    if snapshot.spec.workload_ref is None or workload is None:
        return True
    if workload.in_place is not None:
        return _is_complete(cycle, workload)
    if snapshot.autoscalers is None:
        cycle.reads.append(ReadQuestion(ReadKind.AUTOSCALERS, workload.name))
        cycle.adoption_wait = f"looking for autoscalers of Deployment {workload.name}"
        cycle.wake(cycle.now + 30)  # The read may fail, and nothing would tell.
        return False
    if snapshot.autoscalers:
        name = snapshot.autoscalers[0].name
        cycle.adoption_wait = (
            f'HorizontalPodAutoscaler "{name}" scales Deployment {workload.name}; point it at this Rollout instead '
            "(scaleTargetRef: headgate.dev/v1alpha1 Rollout), the adoption goes on by itself"
        )
        cycle.stall("WorkloadAutoscaled", cycle.adoption_wait)
        cycle.reads.append(ReadQuestion(ReadKind.AUTOSCALERS, workload.name))
        cycle.wake(cycle.now + 30)
        return False
    return _is_complete(cycle, workload)


def _is_complete(cycle: Cycle, workload: WorkloadView) -> bool:
    complete = (
        workload.observed_generation >= workload.generation
        and workload.updated == workload.replicas == workload.available == workload.pods
    )
    if not complete:
        cycle.adoption_wait = (
            f"waiting for {workload.kind} {workload.name} to complete its own rollout "
            f"({workload.updated} updated and {workload.available} available of {workload.replicas})"
        )
    return complete


# --------------------------------------------------------------------------------------------------------------------
# Why it does not go on
# --------------------------------------------------------------------------------------------------------------------


def _explain_missing_pods(cycle: Cycle) -> None:
    cycle.left_out = shortage.left_out(cycle)
    pod_hash = cycle.short_of
    cycle.change(hold_message=cycle.missing_pods()[:1024])
    if not pod_hash:
        return
    began = to_epoch(cycle.status.step_started_at) if cycle.status.step_started_at else cycle.now
    if cycle.now < began + PATIENCE:
        cycle.wake(began + PATIENCE)
    else:
        workload = cycle.snapshot.workload
        place = workload.in_place if workload is not None else None
        labels = place.labels if place is not None else experiment.labels_of(cycle.snapshot, pod_hash)
        cycle.reads.append(ReadQuestion(ReadKind.PODS, pod_hash, labels))
        cycle.wake(cycle.now + journal.EVIDENCE_INTERVAL)


def _explain_refusal(cycle: Cycle, *wanted: Action | None) -> bool:
    """Tell a person about a write that is still wanted and does not succeed."""
    outcome = cycle.snapshot.outcome
    if outcome is None or outcome.action not in [a.key for a in wanted if a is not None]:
        return False
    text = problems.refusal(outcome)
    if text:
        cycle.stall(outcome.reason or "WriteRefused", text)
    return bool(text)


# --------------------------------------------------------------------------------------------------------------------
# The end of a decision
# --------------------------------------------------------------------------------------------------------------------


def finish(cycle: Cycle, action: Action | None) -> Decision:
    """Describe the world in the status, and say whether it must be written now."""
    before = cycle.snapshot.status
    _count(cycle)
    describe_world(cycle)
    after = cycle.status
    if cycle.snapshot.unread and not cycle.problems and journal.running(after) is None:
        # A process that has just begun does not know yet whether what is wanted was taken back.
        kept = {name: getattr(before, name) for name in ("phase", "message", "conditions")}
        after = journal.change(after, **kept) if before.current is not None else after
    if after != before:
        after = journal.bounded(after)
    urgent = journal.journal_key(after) != journal.journal_key(before)
    stale = after != before
    write = urgent
    if stale and not urgent:
        due = (to_epoch(before.written_at) if before.written_at else 0.0) + journal.EVIDENCE_INTERVAL
        write = cycle.now >= due
        if not write:
            cycle.wake(due)
    if urgent:
        after = journal.change(after, decision=journal.number_after(before.decision))
    if write:
        after = journal.change(after, written_at=to_time(cycle.now))
    wakes = [w for w in cycle.wakes if w > cycle.now]
    if cycle.move.settle_at is not None:
        wakes.append(cycle.move.settle_at)
    return Decision(
        status=after,
        write=write,
        action=action,
        questions=tuple(cycle.questions),
        reads=(*cycle.reads, *cycle.move.reads),
        wake_at=min(wakes) if wakes else None,
        events=tuple(cycle.events) if urgent else (),
        waiting=cycle.move.waiting,
    )


def _count(cycle: Cycle) -> None:
    snapshot, status = cycle.snapshot, cycle.status
    hashes = {r.pod_hash for r in (status.stable, status.current) if r is not None}
    sets = [r for r in snapshot.replica_sets if r.owned and not r.deleting and r.pod_hash in hashes]
    current = status.current.pod_hash if status.current else ""
    workload = snapshot.workload
    place = workload.in_place if workload is not None else None
    if workload is not None and place is not None:
        counts = (workload.pods, place.ready, workload.available, workload.updated)
    else:
        updated = sum(r.pods for r in sets if r.pod_hash == current)
        counts = (sum(r.pods for r in sets), sum(r.ready for r in sets), sum(r.available for r in sets), updated)
    cycle.change(
        observed_generation=snapshot.meta.generation,
        replicas=counts[0],
        ready_replicas=counts[1],
        available_replicas=counts[2],
        updated_replicas=counts[3],
        selector=place.labels if place is not None else f"headgate.dev/rollout={snapshot.meta.name}",
        weights=_weights(cycle, status),
        workload=(status.workload or WorkloadStatus()).model_copy(update={"observed_generation": workload.generation})
        if workload is not None and workload.found
        else status.workload,
    )


def _weights(cycle: Cycle, status: RolloutStatus) -> Weights:
    observed = strategies.of(cycle.snapshot.spec).observed(cycle.snapshot, status)
    in_step = mover.in_step(cycle.snapshot, tuple(status.weights.routes or ()))
    applied = cycle.move.served and observed == status.weights.desired and in_step
    return status.weights.model_copy(update={"observed": observed, "applied": applied})
