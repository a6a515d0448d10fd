"""How the journal in `status` changes: runs begin, steps advance, revisions are rejected or promoted, history grows."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from headgate.api.common import MOST, Condition, to_time
from headgate.api.gate import GateRun
from headgate.api.group import GroupProgress, GroupVerdict
from headgate.api.rollout import HistoryEntry, RejectedRevision, RevisionRef, RolloutStatus, Weights, WorkloadStatus

AT_REST = ("Healthy", "Degraded")
"""The phases in which nothing is under way."""
EVIDENCE_INTERVAL = 30.0
"""Seconds between two status writes that only evidence (counts, measurements, messages) causes."""
HISTORY_LIMIT = 10
WAYS_BACK = 3
"""Revisions that were promoted last and stay in the history, whatever failed since."""
SIZE_LIMIT = 32 * 1024
"""Bytes of JSON that a status may have."""
GATES_LIMIT = 16
UNDER_WAY = "ReleaseUnderWay"
"""Reason of a revision that was refused because another one was being released: it never had a share."""
REWRITES = 3
"""Foreign rewrites that are undone before the Rollout is held."""
JOURNAL_CONDITIONS = frozenset({"Ready", "Paused", "Stalled", "Rejected", "GatesPassing"})
"""Conditions whose change is a decision; the others describe the world and may wait for the next write."""

Ending = Literal["Promoted", "Rejected", "Superseded", "Reverted", "Adopted"]


def change(status: RolloutStatus, **updates: Any) -> RolloutStatus:
    """The status with these fields replaced."""
    return status.model_copy(update=updates)


def number_after(decision: int) -> int:
    """The number of the next decision. Only a forged one is ever the highest, and no reason to decide nothing more."""
    return decision + 1 if decision < MOST else 1


def running(status: RolloutStatus) -> RevisionRef | None:
    """The revision that is being released, if any; None while the first one comes up and at rest."""
    if status.stable is None or status.current is None or status.current.revision == status.stable.revision:
        return None
    return status.current


def is_rejected(status: RolloutStatus, revision: str) -> RejectedRevision | None:
    """The newest record that this revision was taken back."""
    return next((r for r in reversed(status.rejected) if r.revision == revision), None)


def begin_run(
    status: RolloutStatus, *, revision: str, pod_hash: str, attempt: int, fast: bool, now: float
) -> RolloutStatus:
    """A new attempt of a revision begins at step 0, with nothing of an earlier one: no verdict, no pause, no weight."""
    time = to_time(now)
    return change(
        status,
        current=RevisionRef(revision=revision, pod_hash=pod_hash, attempt=attempt, since=time, fast=fast),
        current_step_index=0,
        step_started_at=time,
        step_timer=None,
        progress_since=time,
        gates=[],
        paused=None,
        hotfix=None,
        hold_message="",
        weights=_anew(status.weights),
        group=_nothing_said(status.group),
    )


def _anew(weights: Weights) -> Weights:
    """What stays of them over the end of an attempt: what was seen, and that the stable version lacks pods."""
    return Weights(observed=weights.observed, stable_follows=weights.stable_follows)


def _nothing_said(group: GroupProgress | None) -> GroupProgress | None:
    """To the group, of an attempt that begins."""
    if group is None:
        return None
    return group.model_copy(update={"finished": 0, "through": None, "voted": False})


def advance_step(status: RolloutStatus, now: float) -> RolloutStatus:
    """The next step begins."""
    time = to_time(now)
    return change(
        status,
        current_step_index=status.current_step_index + 1,
        step_started_at=time,
        step_timer=None,
        progress_since=time,
        hold_message="",
    )


def end_run(
    status: RolloutStatus, outcome: Ending, message: str, now: float, *, ways_back: int = WAYS_BACK
) -> RolloutStatus:
    """The attempt under way is over and recorded; `current` is left as it is.

    Args:
        status: the journal.
        outcome: how it ended.
        message: why.
        now: seconds since the epoch.
        ways_back: how many of the revisions that were promoted last must stay in the history.
    """
    run = status.current
    if run is None:
        return status
    entry = HistoryEntry(
        pod_hash=run.pod_hash,
        revision=run.revision,
        attempt=run.attempt,
        outcome=outcome,
        started_at=run.since,
        finished_at=to_time(now),
        message=_urgent(status, message)[:512],
    )
    # What was judging still will never say anything; what was decided is evidence.
    decided = [g for g in status.gates if g.verdict != "Running"]
    return change(
        status,
        history=_remembered([*status.history, entry], ways_back),
        gates=decided,
        paused=None,
        hotfix=None,
        hold_message="",
    )


def _urgent(status: RolloutStatus, message: str) -> str:
    """With who had it hurried, and why, so that the history tells of what was not waited for."""
    hotfix = status.hotfix
    return f"hotfix by {hotfix.by[:100]} ({hotfix.reason[:200]}): {message}" if hotfix is not None else message


def _remembered(history: list[HistoryEntry], ways_back: int) -> list[HistoryEntry]:
    """The newest entries; ten failures in a row do not push out what can be gone back to."""
    while len(history) > HISTORY_LIMIT:
        kept = [i for i, entry in enumerate(history) if entry.outcome in ("Promoted", "Adopted")][-ways_back:]
        oldest = next(i for i in range(len(history)) if i not in kept)
        history = [*history[:oldest], *history[oldest + 1 :]]
    return history


def promoted_lately(status: RolloutStatus) -> list[str]:
    """The revisions that were stable before the present one, newest first, without those that failed since."""
    found, failed = list[str](), {status.stable.revision} if status.stable else set[str]()
    for entry in reversed(status.history):
        if entry.outcome == "Rejected":
            failed.add(entry.revision)
        elif entry.outcome in ("Promoted", "Adopted") and entry.revision not in (*found, *failed):
            found.append(entry.revision)
    return found


def back_to_stable(status: RolloutStatus, now: float) -> RolloutStatus:
    """Nothing is released any more; what is stable is what traffic wants, so it counts as taken back no more."""
    time = to_time(now)
    stable = status.stable.revision if status.stable else ""
    return change(
        status,
        current=status.stable,
        target=status.target if status.target and status.target.revision == stable else None,
        rejected=[r for r in status.rejected if r.revision != stable],
        current_step_index=0,
        step_started_at=time,
        step_timer=None,
        progress_since=time,
        weights=_anew(status.weights),
    )


def reject(
    status: RolloutStatus,
    reason: str,
    message: str,
    now: float,
    *,
    ways_back: int = WAYS_BACK,
    verdict: GroupVerdict | None = None,
) -> RolloutStatus:
    """The revision under way is taken back, remembered, and not tried again by itself.

    Args:
        status: the journal.
        reason: in one CamelCase word.
        message: why.
        now: seconds since the epoch.
        ways_back: how many of the revisions that were promoted last must stay in the history.
        verdict: what the other members of the group are told; of a Rollout that is in one.
    """
    run = running(status)
    if run is None:
        return status
    ended = end_run(status, "Rejected", message, now, ways_back=ways_back)
    if ended.group is not None and verdict is not None:
        ended = change(ended, group=ended.group.model_copy(update={"taken_back": verdict}))
    record = RejectedRevision(
        revision=run.revision,
        pod_hash=run.pod_hash,
        attempt=run.attempt,
        reason=reason,
        message=message[:1024],
        at=to_time(now),
    )
    others = [r for r in status.rejected if r.revision != run.revision]
    return back_to_stable(change(ended, rejected=[*others, record][-HISTORY_LIMIT:]), now)


def promote(
    status: RolloutStatus, message: str, now: float, outcome: Ending = "Promoted", *, ways_back: int = WAYS_BACK
) -> RolloutStatus:
    """The revision under way is the stable one from now on."""
    run = status.current
    if run is None:
        return status
    ended = end_run(status, outcome, message, now, ways_back=ways_back)
    stable = run.model_copy(update={"since": to_time(now), "fast": False})
    return back_to_stable(change(ended, stable=stable), now)


def put_gate(status: RolloutStatus, run: GateRun) -> RolloutStatus:
    """The status with this gate run in the place of its earlier state; runs of steps that are over make room first."""
    gates = [*(g for g in status.gates if (g.name, g.step) != (run.name, run.step)), run]
    while len(gates) > GATES_LIMIT:
        over = (i for i, g in enumerate(gates) if g.step not in (-1, status.current_step_index))
        del gates[next(over, 0)]
    return change(status, gates=gates)


def journal_key(status: RolloutStatus) -> tuple[Any, ...]:
    """What makes a status write urgent: equal keys differ in evidence only."""
    return (
        status.observed_generation,
        status.phase,
        status.stable,
        status.stable_ping_pong,
        status.current,
        status.target,
        status.current_step_index,
        status.step_started_at,
        status.step_timer,
        status.progress_since,
        status.weights.desired,
        status.weights.routes,
        status.weights.stable_follows,
        status.weights.reasserted,
        # Where somebody rewrites the weight, that it was served again is what lets the next rewrite count.
        bool(status.weights.reasserted) and status.weights.applied,
        status.paused,
        status.group,
        status.hotfix,
        status.collision_count,
        _noted(status.workload),
        status.orphaned,
        status.restart,
        status.restarted_at,
        status.rejected,
        status.actions,
        status.history,
        # When its window began must be known to the next decision, too.
        [(g.name, g.step, g.window, bool(g.checks), g.verdict, g.held, g.extended, g.overridden) for g in status.gates],
        [(c.type, c.status, c.reason) for c in status.conditions if c.type in JOURNAL_CONDITIONS],
    )


def _noted(workload: WorkloadStatus | None) -> WorkloadStatus | None:
    """What is decided about the workload: where it is released in place, our own writes change its generation."""
    if workload is None or not workload.revision:
        return workload
    return workload.model_copy(update={"observed_generation": 0})


@lru_cache(maxsize=4096)
def _condition(kind: str, status: str, reason: str, message: str, since: str, generation: int) -> Condition:
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
            "observedGeneration": generation,
        }
    )


def merge_conditions(
    old: list[Condition], new: list[tuple[str, str, str, str]], generation: int, now: float
) -> list[Condition]:
    """Conditions from (type, status, reason, message), with the old transition time where the status is the same."""
    before = {c.type: c for c in old}
    merged = []
    for kind, status, reason, message in new:
        was = before.get(kind)
        since = was.last_transition_time if was and was.status == status else to_time(now)
        merged.append(_condition(kind, status, reason, message[:1024], since, generation))
    return merged


def bounded(status: RolloutStatus) -> RolloutStatus:
    """The status within `SIZE_LIMIT`: what is oldest and longest is cut first, never a verdict or who did what."""
    for shrink in (lambda s: s, _old_evidence, _all_evidence, _long_texts):
        status = shrink(status)
        if len(status.model_dump_json(by_alias=True, exclude_none=True)) <= SIZE_LIMIT:
            break
    return status


def _cut(run: GateRun, query: int, measurements: int) -> GateRun:
    checks = [
        c.model_copy(update={"query": c.query[:query], "measurements": c.measurements[-measurements:]})
        for c in run.checks
    ]
    return run.model_copy(update={"checks": checks, "message": run.message[:256]})


def _old_evidence(status: RolloutStatus) -> RolloutStatus:
    over = [g if g.step in (-1, status.current_step_index) else _cut(g, 128, 1) for g in status.gates]
    return change(status, gates=over)


def _all_evidence(status: RolloutStatus) -> RolloutStatus:
    return change(status, gates=[_cut(g, 200, 2) for g in status.gates])


def _long_texts(status: RolloutStatus) -> RolloutStatus:
    def short(record: Any) -> Any:
        return record.model_copy(update={"message": record.message[:160]})

    return change(
        status,
        gates=[
            _cut(g, 64, 1) if g.step in (-1, status.current_step_index) else g.model_copy(update={"checks": []})
            for g in status.gates
        ],
        history=[short(h) for h in status.history],
        rejected=[short(r) for r in status.rejected],
        actions=[short(a) for a in status.actions],
        conditions=[c.model_copy(update={"message": c.message[:512]}) for c in status.conditions],
    )
