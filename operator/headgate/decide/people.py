"""What RolloutActions do: each is taken or refused once, by uid, for the revision and attempt that its author saw."""

from __future__ import annotations

from collections.abc import Callable

from headgate.api.common import to_time
from headgate.api.rollout import ConsumedAction, Hotfix, PersonPause, RejectedRevision, Restart, RevisionRef, Step
from headgate.decide import contest, group, journal, strategies, timeouts
from headgate.decide.cycle import Cycle
from headgate.decide.planning import find_plan, next_attempt
from headgate.decide.types import ActionView, AnswerAction

REMEMBERED = 10
Answered = tuple[bool, str]


def consume(cycle: Cycle) -> AnswerAction | None:
    """Take or refuse the oldest action that is new, and give back the oldest answer that can be written.

    An abort goes before all others: one that waited its turn could find the version promoted by then.
    An action that the journal knows already is answered again and has no second effect. An answer that cannot be
    written keeps nobody from being heard: the next abort is taken all the same.
    """
    # Whether there is something to retry is not known before it is known what is wanted.
    heard = [a for a in cycle.snapshot.actions if not (cycle.snapshot.unread and a.verb == "retry")]
    pending = sorted(heard, key=lambda a: (a.verb != "abort", a.created_at, a.uid))
    taken = {a.uid for a in cycle.status.actions}
    fresh = next((a for a in pending if a.uid not in taken), None)
    # The journal remembers only so many; what is still without an answer must not be forgotten, or it counts twice.
    if fresh is not None and sum(a.uid in taken for a in pending) < REMEMBERED:
        _record(cycle, fresh)
    known = {a.uid: a for a in cycle.status.actions}
    answers = [
        AnswerAction(a.name, a.resource_version, known[a.uid].accepted, known[a.uid].message)
        for a in pending
        if a.uid in known
    ]
    return min(answers, key=lambda a: a.key in cycle.snapshot.barred, default=None)


def _record(cycle: Cycle, action: ActionView) -> None:
    accepted, message = _take(cycle, action)
    known = ConsumedAction(
        uid=action.uid,
        name=action.name[:253],
        verb=action.verb,
        author=action.author[:253],
        accepted=accepted,
        message=message[:512],
        at=to_time(cycle.now),
    )
    unanswered = {a.uid for a in cycle.snapshot.actions}
    actions = [*cycle.status.actions, known]
    while len(actions) > REMEMBERED:
        del actions[next((i for i, a in enumerate(actions) if a.uid not in unanswered), 0)]
    cycle.change(actions=actions)
    word = "accepted" if accepted else "refused"
    cycle.note(
        "Normal" if accepted else "Warning",
        "ActionAccepted" if accepted else "ActionRefused",
        f"{action.verb} by {action.author} {word}: {message}",
    )


def _take(cycle: Cycle, action: ActionView) -> Answered:
    # What concerns the next attempt only, such as a gate that is missing, bars nothing but a retry.
    problems = [p for p in cycle.problems if p.blocks_running or action.verb == "retry"]
    if problems and action.verb not in ("abort", "pause"):
        return False, f"the Rollout cannot be worked with now: {problems[0].message}"
    handler = _VERBS.get(action.verb)
    if handler is None:
        return False, f"{action.verb} is not known to this version of the operator"
    return handler(cycle, action)


def _stale(cycle: Cycle, action: ActionView) -> str:
    current = cycle.status.current
    if current is None:
        return "no revision has begun yet"
    if (current.pod_hash, current.attempt) == (action.pod_hash, action.attempt):
        return ""
    return (
        f"you saw revision {action.pod_hash} attempt {action.attempt}, now it is {current.pod_hash} attempt "
        f"{current.attempt}; look again and repeat it if you still want it"
    )


def _promote(cycle: Cycle, action: ActionView) -> Answered:
    stale = _stale(cycle, action)
    if stale:
        return False, stale
    run, plan = journal.running(cycle.status), _plan_steps(cycle)
    index = cycle.status.current_step_index
    if run is None or index >= len(plan):
        return False, "no release is at a step"
    if plan[index].pause is None:
        return False, f"step {index + 1} is not a pause; promote ends a pause, override passes a held gate"
    if cycle.status.paused or cycle.snapshot.spec.paused:
        return False, "the Rollout is paused as a whole; resume it first"
    if group.finish(cycle, index + 1):
        return True, f"the pause at step {index + 1} is over; the next step begins when the group is there"
    cycle.status = journal.advance_step(cycle.status, cycle.now)
    return True, f"the pause at step {index + 1} is over"


def _plan_steps(cycle: Cycle) -> tuple[Step, ...]:
    run = journal.running(cycle.status)
    plan = find_plan(cycle.snapshot, run) if run is not None else None
    return plan.plan.steps if plan else ()


def _pause(cycle: Cycle, action: ActionView) -> Answered:
    stale = _stale(cycle, action)
    if stale:
        return False, stale
    if journal.running(cycle.status) is None:
        return False, "no release is under way"
    if cycle.status.paused:
        return False, f"it is paused already, by {cycle.status.paused.by}"
    cycle.change(paused=PersonPause(by=action.author[:253], reason=action.reason[:512], since=to_time(cycle.now)))
    return True, "paused; failing gates still take the version back"


def _resume(cycle: Cycle, action: ActionView) -> Answered:
    stale = _stale(cycle, action)
    if stale:
        return False, stale
    late = timeouts.forgive(cycle)
    if contest.forgive(cycle):
        return True, "going on; what somebody else rewrote is written again"
    if cycle.status.paused is None:
        if late:
            return True, "going on; the step has the time of its timeout again"
        if cycle.snapshot.spec.paused:
            return False, "spec.paused is true; set it to false where the Rollout is kept, e.g. in Git"
        return False, "it is not paused"
    cycle.change(paused=None, progress_since=to_time(cycle.now))
    return True, "resumed"


def _abort(cycle: Cycle, action: ActionView) -> Answered:
    stale = _stale(cycle, action)
    if stale:
        return False, stale
    run = journal.running(cycle.status)
    if run is None:
        return False, "no release is under way; undo goes back to an older revision"
    strategy = strategies.of(cycle.snapshot.spec)
    over = cycle.status.current_step_index >= len(_plan_steps(cycle))
    if over and strategy.in_place and strategy.switched(cycle.snapshot, run.pod_hash):
        return False, "all pods are of it, so nothing leads back; put the older template back where it is kept"
    if group.voted(cycle):
        return False, (
            "it is ready to be promoted with its group, and others may be already; abort the member that it waits for, "
            "which takes all back, or undo it afterwards"
        )
    why = f"aborted by {action.author}" + (f": {action.reason}" if action.reason else "")
    told = group.verdict(cycle, "Aborted")
    cycle.status = journal.reject(cycle.status, "Aborted", why, cycle.now, ways_back=cycle.ways_back, verdict=told)
    cycle.note("Warning", "Rejected", f"revision {run.pod_hash} is taken back: {why}")
    return True, f"revision {run.pod_hash} is taken back"


def _retry(cycle: Cycle, action: ActionView) -> Answered:
    record = journal.is_rejected(cycle.status, cycle.snapshot.revision)
    if journal.running(cycle.status) is not None:
        return False, "a release is under way"
    if record is None:
        return False, "the wanted revision was not taken back; there is nothing to retry"
    if (record.pod_hash, record.attempt) != (action.pod_hash, action.attempt):
        return False, (
            f"you saw revision {action.pod_hash} attempt {action.attempt}, the one that was taken back is "
            f"{record.pod_hash} attempt {record.attempt}; look again"
        )
    attempt = next_attempt(cycle.snapshot, cycle.status, record.revision)
    cycle.status = journal.begin_run(
        cycle.status,
        revision=record.revision,
        pod_hash=record.pod_hash,
        attempt=attempt,
        fast=False,
        now=cycle.now,
    )
    cycle.change(rejected=[r for r in cycle.status.rejected if r.revision != record.revision], target=None)
    return True, f"attempt {attempt} of revision {record.pod_hash} begins"


def _undo(cycle: Cycle, action: ActionView) -> Answered:
    status = cycle.status
    stale = _stale(cycle, action)
    if stale:
        return False, stale
    stable = status.stable
    if stable is None or journal.running(status) is not None:
        return False, "a release is under way; abort takes it back"
    if strategies.of(cycle.snapshot.spec).in_place:
        return False, "the workload has one template only; put the older one back where it is kept, e.g. in Git"
    older = [
        h for h in reversed(status.history) if h.outcome in ("Promoted", "Adopted") and h.revision != stable.revision
    ]
    if action.to_revision:
        older = [h for h in older if h.pod_hash == action.to_revision]
    else:
        # What was taken back is gone back to only by name: a second undo must not bring the first one's cause again.
        older = [h for h in older if journal.is_rejected(status, h.revision) is None]
    goal = next((h for h in older if any(p.revision == h.revision for p in cycle.snapshot.plans)), None)
    if goal is None:
        wanted = action.to_revision or "an older promoted revision"
        return False, f"{wanted} is not in the history any more, so there is nothing to go back to"
    why = f"undone by {action.author}" + (f": {action.reason}" if action.reason else "")
    target = RevisionRef(
        revision=goal.revision,
        pod_hash=goal.pod_hash,
        attempt=next_attempt(cycle.snapshot, status, goal.revision),
        since=to_time(cycle.now),
        fast=True,
    )
    undone = RejectedRevision(
        revision=stable.revision,
        pod_hash=stable.pod_hash,
        attempt=stable.attempt,
        reason="Undone",
        message=why,
        at=to_time(cycle.now),
    )
    others = [r for r in status.rejected if r.revision not in (stable.revision, goal.revision)]
    cycle.status = journal.begin_run(
        journal.change(status, target=target, rejected=[*others, undone][-REMEMBERED:]),
        revision=target.revision,
        pod_hash=target.pod_hash,
        attempt=target.attempt,
        fast=True,
        now=cycle.now,
    )
    cycle.note("Warning", "Undone", f"going back from {stable.pod_hash} to {goal.pod_hash}: {why}")
    still = "; the template still wants what was undone, revert it where it is kept, too"
    return True, f"going back to revision {goal.pod_hash}" + (
        still if cycle.snapshot.revision == stable.revision else ""
    )


def _override(cycle: Cycle, action: ActionView) -> Answered:
    stale = _stale(cycle, action)
    if stale:
        return False, stale
    held = [g for g in cycle.status.gates if g.held and g.step in (-1, cycle.status.current_step_index)]
    if not held:
        return False, "no gate is held"
    for run in held:
        cycle.status = journal.put_gate(cycle.status, run.model_copy(update={"overridden": action.author[:253]}))
    timeouts.forgive(cycle)
    names = ", ".join(sorted(g.name for g in held))
    return True, f"going on without an answer of {names}: {action.reason}"


def _hotfix(cycle: Cycle, action: ActionView) -> Answered:
    stale = _stale(cycle, action)
    if stale:
        return False, stale
    run = journal.running(cycle.status)
    if run is None:
        return False, "no release is under way"
    if run.fast:
        return False, "it is a way back, which waits at no step; override passes a held gate"
    if not action.reason.strip():
        return False, "a hotfix needs a reason, which is kept with your name"
    if cycle.status.hotfix is not None:
        return False, f"it is one already, by {cycle.status.hotfix.by}"
    if cycle.status.paused or cycle.snapshot.spec.paused:
        return False, "the Rollout is paused as a whole; resume it first"
    cycle.change(hotfix=Hotfix(by=action.author[:253], reason=action.reason[:512], since=to_time(cycle.now)))
    timeouts.forgive(cycle)
    return True, f"no pause is waited for, and every gate still must pass: {action.reason}"


def _restart(cycle: Cycle, action: ActionView) -> Answered:
    stale = _stale(cycle, action)
    if stale:
        return False, stale
    snapshot, stable = cycle.snapshot, cycle.status.stable
    if strategies.of(snapshot.spec).in_place:
        return (
            False,
            "it has no pods of its own; kubectl rollout restart of the workload is a release of a new template",
        )
    if not snapshot.config.restarts:
        return False, "this operator is not set up to evict pods; let an admin set restarts in its configuration"
    if stable is None or journal.running(cycle.status) is not None:
        return False, "a release is under way; repeat it when that is over, if pods are too old then"
    at = to_time(action.created_at)
    cycle.change(restart=Restart(by=action.author[:253], reason=action.reason[:512], at=at))
    return True, f"the pods of {stable.pod_hash} from before {at} are replaced, a batch at a time"


def _approve(_cycle: Cycle, _action: ActionView) -> Answered:
    return False, "the present step does not wait for an approval"


_VERBS: dict[str, Callable[[Cycle, ActionView], Answered]] = {
    "promote": _promote,
    "pause": _pause,
    "resume": _resume,
    "abort": _abort,
    "retry": _retry,
    "undo": _undo,
    "override": _override,
    "approve": _approve,
    "hotfix": _hotfix,
    "restart": _restart,
}
