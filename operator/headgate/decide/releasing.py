"""A release under way: steps in order, gates, pauses, the progress deadline, and the promotion at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from headgate.api.common import to_epoch, to_time
from headgate.api.gate import GateRun, QualityGateSpec
from headgate.api.group import GroupVerdict
from headgate.api.rollout import RevisionRef, Step
from headgate.decide import (
    canary,
    contest,
    copying,
    experiment,
    group,
    journal,
    ping_pong,
    resting,
    strategies,
    timeouts,
)
from headgate.decide.asking import BACKGROUND
from headgate.decide.canary import Allowance, StepState
from headgate.decide.cycle import Cycle
from headgate.decide.gates import GateProgress, advance, begin
from headgate.decide.managed import ManagedRoute, is_share, keys_of, leading, names_of, shares, to_canary
from headgate.decide.mover import (
    Goal,
    WantedVariant,
    goes_forward,
    in_step,
    led,
    needs,
    not_serving,
    observed_weight,
    selected,
)
from headgate.decide.planning import find_plan, next_attempt, plan_of_spec
from headgate.decide.queries import QueryContext
from headgate.decide.retention import keep_until
from headgate.decide.strategies import Strategy
from headgate.decide.types import Action, HoldTemplate, Plan, ScaleReplicaSet, SetPartition, SetSelector, SetWeight


def release(cycle: Cycle) -> Action | None:
    """One decision about the release under way."""
    run = journal.running(cycle.status)
    if run is None:
        return None
    cycle.waits = group.fault(cycle)
    view = find_plan(cycle.snapshot, run)
    if view is None:
        return resting.rest(cycle) if _goes_with(cycle) else _pin(cycle, run)
    plan = view.plan
    again = copying.anew(cycle, view)
    if again is not None:
        return again
    if not _is_irrevocable(cycle, plan, run) and _taken_back(cycle, plan, run):
        return resting.rest(cycle)
    promoting = run.fast or cycle.status.current_step_index >= len(plan.steps)
    _find_move(cycle, plan, run, promoting=promoting)
    if promoting:
        _promotion(cycle, plan, run)
    else:
        _step(cycle, plan, run)
    if journal.running(cycle.status) is None:
        return resting.rest(cycle)
    if cycle.move.action is not None or hold_reason(cycle):
        return cycle.move.action
    return resting.shrink_workload(cycle)


def _is_irrevocable(cycle: Cycle, plan: Plan, run: RevisionRef) -> bool:
    """Everything has passed and a workload has been replaced in place: only the journal is behind the world."""
    over = cycle.status.current_step_index >= len(plan.steps)
    there = _strategy(cycle).in_place and _strategy(cycle).switched(cycle.snapshot, run.pod_hash)
    return over and there and not canary.unproven_background(cycle, plan)


def _taken_back(cycle: Cycle, plan: Plan, run: RevisionRef) -> bool:
    """Whether a verdict takes the attempt back: its own, unless others are promoted because of it, or another's."""
    own = not group.voted(cycle)
    return (own and _judge(cycle, plan, run)) or _goes_with(cycle) or (own and _was_taken_back(cycle, run))


def _goes_with(cycle: Cycle) -> bool:
    """Whether another member of its group was taken back."""
    cause = group.taken_back(cycle)
    if cause is None:
        return False
    told = group.verdict(cycle, group.TAKEN_BACK, cause)
    _reject(cycle, group.TAKEN_BACK, group.why_taken_back(cycle, cause), told)
    return True


def _pin(cycle: Cycle, run: RevisionRef) -> Action | None:
    if cycle.status.current_step_index or cycle.status.gates:
        # The record was there and is gone. What the spec says now is another plan, and its steps were not taken.
        cycle.status = journal.begin_run(
            cycle.status,
            revision=run.revision,
            pod_hash=run.pod_hash,
            attempt=next_attempt(cycle.snapshot, cycle.status, run.revision),
            fast=run.fast,
            now=cycle.now,
        )
        cycle.note("Warning", "RecordLost", f"the record of revision {run.pod_hash} is gone, so its steps begin anew")
        run = cycle.status.current or run
    plan = plan_of_spec(cycle.snapshot)
    first = _allowance(cycle, plan, 0)
    desired = 0 if run.fast else first.weight
    routes = None if run.fast else list(keys_of(leading(plan, run, first.weight, first.routes))) or None
    cycle.change(
        phase="Promoting" if run.fast else "Progressing",
        message=f"beginning attempt {run.attempt} of revision {run.pod_hash}",
        weights=cycle.status.weights.model_copy(update={"desired": desired, "routes": routes}),
    )
    # Traffic of an earlier revision under way leaves at once, whatever the new one still needs.
    goal = _goal(cycle, run, weight=0, replicas=0, hold=True, reason="recording the new attempt")
    cycle.move = _strategy(cycle).next_move(cycle.snapshot, goal, cycle.now)
    if cycle.move.action is not None and cycle.move.action.exposure == "lower":
        return cycle.move.action
    waits = cycle.waits or group.waits_to_begin(cycle)
    if waits:
        _hold(cycle, waits, f"beginning attempt {run.attempt} of revision {run.pod_hash}")
        return cycle.move.action
    if cycle.status.group is not None and cycle.status.progress_since is None:
        # Its group held it until now; no time of its first step has passed.
        time = to_time(cycle.now)
        cycle.change(step_started_at=time, step_timer=None, progress_since=time)
    # Gates that are missing bar an attempt that would need them, not the way back.
    if any(p.blocks_running or not run.fast for p in cycle.problems):
        return cycle.move.action  # What is stable may need pods meanwhile.
    return copying.pin(cycle, run)


# --------------------------------------------------------------------------------------------------------------------
# Where to be
# --------------------------------------------------------------------------------------------------------------------


def _strategy(cycle: Cycle) -> Strategy:
    return strategies.of(cycle.snapshot.spec)


def _observed(cycle: Cycle) -> int:
    """The weight of the revision under way, as the traffic is led now."""
    return _strategy(cycle).observed(cycle.snapshot, cycle.status)


def _exposed(cycle: Cycle) -> bool:
    """Some requests can reach the revision under way."""
    return _observed(cycle) > 0 or bool(to_canary(led(cycle.snapshot)))


def _as_desired(cycle: Cycle) -> bool:
    """It is exposed just as the journal wants it."""
    weights = cycle.status.weights
    return _observed(cycle) == weights.desired and in_step(cycle.snapshot, tuple(weights.routes or ()))


def _variants(cycle: Cycle, plan: Plan) -> tuple[WantedVariant, ...]:
    """Those of the present step."""
    return experiment.wanted(cycle.snapshot.meta.uid, cycle.status, plan)


def _variants_serve(cycle: Cycle, plan: Plan) -> bool:
    """All of the present step, each with all its pods, and their shares are among what is wanted by now."""
    step, variants = plan.steps[cycle.status.current_step_index], _variants(cycle, plan)
    asked = set(keys_of(shares(step))) <= set(cycle.status.weights.routes or ())
    if experiment.unnamed(cycle.snapshot.spec, variants):
        cycle.wake(cycle.now + AGAIN)
    return asked and experiment.serving(cycle.snapshot, variants)


def _sees_another(cycle: Cycle, plan: Plan) -> str:
    """Why a gate that has begun sees something else than what its step wants; empty if it does not."""
    if not _as_desired(cycle):
        return contest.ANOTHER
    gone = experiment.lost(cycle.snapshot, _variants(cycle, plan))
    return f"variant {gone} does not serve any more; the gate begins again once all do" if gone else ""


def _allowance(cycle: Cycle, plan: Plan, index: int) -> Allowance:
    """What the steps allow, and the pods for those who stay."""
    full = cycle.snapshot.spec.replicas
    allowed = _strategy(cycle).allowance(plan.steps, index, full)
    stay = canary.staying(plan, index, full, cycle.snapshot.spec.total)
    return replace(allowed, replicas=stay) if stay > allowed.replicas else allowed


def _as_needed(cycle: Cycle, plan: Plan, run: RevisionRef, allowed: Allowance, *, promoting: bool) -> Allowance:
    """The same with no more pods than what the revision may get needs.

    While something is missing pods can be of no other use, and those that stable needs may find no place beside them.
    """
    spec, index = cycle.snapshot.spec, cycle.status.current_step_index
    least = needs(spec, _strategy(cycle).ends_at) if promoting else 0
    if run.fast:
        return replace(allowed, replicas=least)
    # How many requests routes lead nobody knows: there the steps say it.
    by_routes = allowed.replicas if allowed.routes else canary.staying(plan, index, spec.replicas, spec.total)
    return replace(allowed, replicas=max(least, needs(spec, allowed.weight), by_routes))


def _with_shares(cycle: Cycle, plan: Plan, allowed: Allowance, variants: tuple[WantedVariant, ...]) -> Allowance:
    """The same with the parts of the requests that the variants of the present step have."""
    if not variants:
        return allowed
    shared = experiment.shares(cycle.snapshot, plan.steps[cycle.status.current_step_index], variants)
    return replace(allowed, routes=(*allowed.routes, *shared))


def _weight_for(cycle: Cycle, allowed: Allowance, *, hold: bool) -> int:
    """The weight to aim at: what is allowed, or under a hold no more than what is there."""
    return min(allowed.weight, _observed(cycle)) if hold else allowed.weight


def _goal(
    cycle: Cycle,
    run: RevisionRef,
    *,
    weight: int,
    replicas: int,
    hold: bool,
    reason: str,
    routes: tuple[ManagedRoute, ...] = (),
    variants: tuple[WantedVariant, ...] = (),
) -> Goal:
    stable = cycle.status.stable.pod_hash if cycle.status.stable else ""
    full = cycle.snapshot.spec.replicas
    goal = Goal(
        stable=stable,
        canary=run.pod_hash,
        weight=0,
        replicas={stable: full, run.pod_hash: replicas},
        routes=routes,
        variants=variants,
        proven=True,
        hold=hold,
        hold_reason=reason,
        frozen=any(p.blocks_pods for p in cycle.problems),
        keep=keep_until(cycle),
        careful=bool(cycle.status.weights.stable_follows),
    )
    return _strategy(cycle).aim(goal, weight)


def _promotion_goal(
    cycle: Cycle,
    run: RevisionRef,
    reason: str,
    replicas: int,
    routes_at: Callable[[int], tuple[ManagedRoute, ...]],
) -> Goal:
    """The same for the revision under way to become what is stable; a reason holds it."""
    strategy = _strategy(cycle)
    # A hold leaves the canary Service its traffic: by that a gate that could not know can know again.
    weight = observed_weight(cycle.snapshot) if reason else 0
    routes = routes_at(weight) if reason else ()
    goal = _goal(cycle, run, weight=weight, replicas=replicas, hold=bool(reason), reason=reason, routes=routes)
    led = () if run.fast else routes_at(strategy.ends_at)
    return strategy.promotion(cycle.snapshot, goal, led, cycle.now)


def _blocked(cycle: Cycle) -> bool:
    """Something is missing or wrong without which no release can go on."""
    return any(p.blocks_running for p in cycle.problems)


def hold_reason(cycle: Cycle) -> str:
    """Why nothing may be raised now; empty if nothing forbids it."""
    if _blocked(cycle):
        return cycle.problems[0].message
    if cycle.snapshot.spec.paused:
        return "paused by spec.paused"
    if cycle.status.paused:
        why = f": {cycle.status.paused.reason}" if cycle.status.paused.reason else ""
        return f"paused by {cycle.status.paused.by}{why}"
    return canary.held_gate(cycle) or contest.contested(cycle) or timeouts.held(cycle) or cycle.waits


def _find_move(cycle: Cycle, plan: Plan, run: RevisionRef, *, promoting: bool, again: bool = False) -> None:
    """The next move; `again`: the same step was looked at in this decision, so no rewrite counts twice."""
    # What is released in place has no pods besides: there they are those that have been replaced.
    bounded = _blocked(cycle) and not _strategy(cycle).in_place
    allowed = _allowance(cycle, plan, cycle.status.current_step_index)
    if bounded:
        allowed = _as_needed(cycle, plan, run, allowed, promoting=promoting)
    variants = _variants(cycle, plan)
    allowed = _with_shares(cycle, plan, allowed, variants)

    def routes_at(weight: int) -> tuple[ManagedRoute, ...]:
        return leading(plan, run, weight, allowed.routes)

    # First, because what is found may hold the release.
    counted = False
    if promoting:
        contest.watch_promotion(cycle, _strategy(cycle).ends_at)
    elif not again:
        counted = contest.watch(cycle, allowed.weight, keys_of(routes_at(allowed.weight)))
    reason = hold_reason(cycle)
    if promoting:
        flipped = _strategy(cycle).switched(cycle.snapshot, run.pod_hash)
        why = reason or _unproven(cycle, plan, run) or _waits_to_switch(cycle) or _shares_led(cycle)
        if why and not flipped and not run.fast:
            weight = _weight_for(cycle, allowed, hold=True)
            goal = _goal(
                cycle, run, weight=weight, replicas=allowed.replicas, hold=True, reason=why, routes=routes_at(weight)
            )
        else:
            pods = allowed.replicas if bounded and not flipped else cycle.snapshot.spec.replicas
            goal = _promotion_goal(cycle, run, why, pods, routes_at)
        desired = _strategy(cycle).weight_of(goal)
    else:
        # A weight at which nothing is judged is not even written.
        passing = _passes_over(cycle, plan)
        weight = _weight_for(cycle, allowed, hold=bool(reason) or passing)
        goal = _goal(
            cycle,
            run,
            weight=weight,
            replicas=allowed.replicas,
            hold=bool(reason),
            reason=reason,
            routes=routes_at(weight),
            variants=variants,
        )
        desired = _strategy(cycle).weight_of(goal) if passing and not reason else allowed.weight
    if plan.session is not None and plan.session.stay_on_stable:
        goal = replace(goal, follows="")  # Whatever the spec says by now: who stays on stable needs its pods.
    weights, routes = cycle.status.weights, list(keys_of(goal.routes)) or None
    follows = weights.stable_follows or bool(goal.follows) or None
    if (weights.desired, weights.routes, weights.stable_follows) != (desired, routes, follows):
        update = {"desired": desired, "routes": routes, "stable_follows": follows}
        cycle.change(weights=weights.model_copy(update=update))
    cycle.move = _strategy(cycle).next_move(cycle.snapshot, goal, cycle.now)
    action = cycle.move.action
    # Where the selector is the weight, its rewrite was counted by that.
    by_weight = counted and not cycle.snapshot.routes
    if promoting or again or by_weight or not isinstance(action, SetSelector):
        return
    if action.name in cycle.snapshot.variant_services:
        contest.watch_selectors(cycle, served=False)
    elif action.name == cycle.snapshot.stable_service.name:
        # Any but the stable revision is a switch that the steps ask for.
        back = cycle.status.stable is not None and action.pod_hash == cycle.status.stable.pod_hash
        contest.watch_selectors(cycle, served=back and cycle.snapshot.status.weights.applied)


# --------------------------------------------------------------------------------------------------------------------
# Steps
# --------------------------------------------------------------------------------------------------------------------


def _step(cycle: Cycle, plan: Plan, run: RevisionRef) -> None:
    index = cycle.status.current_step_index
    reason = hold_reason(cycle)
    step = plan.steps[index]
    state = _state(cycle, plan, step)
    what = _named(cycle, plan)
    # What is done at the moment at which its time is found to be over was done in time: an operator that was away finds
    # it settled only when it has looked at it for the settle time.
    settling = cycle.move.settle_at is not None and not (reason or cycle.move.reached)
    if (reason or not state.done) and timeouts.over(cycle, step) and not settling:
        then = timeouts.outcome(step)
        if then == "Abort":
            _reject(cycle, timeouts.REASON, f"{what} {timeouts.took(step)}: {reason or state.waiting}"[:1024])
            return
        if then != "Promote":
            timeouts.tell(cycle, step, what)
            _find_move(cycle, plan, run, promoting=False, again=True)
            reason = hold_reason(cycle)
        elif not reason:
            state = StepState(done=True)
            cycle.note("Normal", timeouts.REASON, f"{what} {timeouts.took(step)}, so it is over")
    what += timeouts.late(cycle, step)
    if reason:
        _hold(cycle, reason, what)
        return
    if state.done and index != cycle.snapshot.status.current_step_index and run == cycle.snapshot.status.current:
        # A person ended the step before in this very decision; the journal shows every step by itself.
        cycle.wake(cycle.now + 0.01)
        _say(cycle, plan)
        return
    if state.done:
        _end_step(cycle, plan, run, step, what)
        return
    if cycle.status.progress_since is None:
        cycle.change(progress_since=to_time(cycle.now))
    _renew(cycle)
    cycle.change(phase="Paused" if state.paused else "Progressing")
    if state.clock and canary.deadline_passed(cycle, state.clock_since):
        _too_slow(cycle, what, state.waiting)
        return
    cycle.change(message=_with_cause(cycle, f"{what}: {state.waiting}" if state.waiting else what))


def _state(cycle: Cycle, plan: Plan, step: Step) -> StepState:
    """How the present step stands."""
    state = StepState(done=True) if _passes_over(cycle, plan) else _strategy(cycle).step_state(cycle, plan)
    if step.pause is not None and group.finished(cycle) > cycle.status.current_step_index:
        return StepState(done=True)  # A person ended it, and the others of its group are not there yet.
    return state


def _end_step(cycle: Cycle, plan: Plan, run: RevisionRef, step: Step, what: str) -> None:
    """The present step is done, and the next one begins, unless others of its group are to come there first."""
    waits = group.waits_for_step(cycle, cycle.status.current_step_index + 1)
    if waits:
        _hold(cycle, waits, what)
        return
    _tell_forward(cycle, step)
    cycle.status = journal.advance_step(cycle.status, cycle.now)
    _begin_gates(cycle, plan, run)
    over = cycle.status.current_step_index >= len(plan.steps)
    if not over:
        timeouts.over(cycle, plan.steps[cycle.status.current_step_index])
    _find_move(cycle, plan, run, promoting=over)
    if over and cycle.move.reached and _observed(cycle):
        # The steps have moved the traffic to where a promotion wants it: nothing is left to be said in between.
        _promotion(cycle, plan, run)
    else:
        _say(cycle, plan)


def _passes_over(cycle: Cycle, plan: Plan) -> bool:
    """The present step is one that a hotfix does not wait for."""
    return cycle.status.hotfix is not None and canary.may_be_passed(plan.steps, cycle.status.current_step_index)


def _tell_forward(cycle: Cycle, step: Step) -> None:
    """Say that a weight was reached without the pods that the stable revision should have for the rest."""
    snapshot, weight = cycle.snapshot, step.set_weight
    if not goes_forward(snapshot) or cycle.status.stable is None or weight is None or weight != _observed(cycle):
        return
    short = not_serving(
        snapshot.stable_service,
        cycle.status.stable.pod_hash,
        needs(snapshot.spec, snapshot.spec.total - weight),
        "stable Service",
    )
    if short:
        why = "spec.unhealthyStable is FixForward, so that is not waited for"
        cycle.note(
            "Warning", "FixForward", f"weight {weight} is served while {short.removeprefix('waiting for ')}: {why}"
        )


def _renew(cycle: Cycle) -> None:
    """A batch of many pods takes its time: the deadline runs from the last pod, as far as evidence is written."""
    workload, status = cycle.snapshot.workload, cycle.snapshot.status
    since = cycle.status.progress_since
    if workload is None or workload.in_place is None or since is None:
        return
    if workload.updated > status.updated_replicas and cycle.now >= to_epoch(since) + journal.EVIDENCE_INTERVAL:
        cycle.change(progress_since=to_time(cycle.now))


def _say(cycle: Cycle, plan: Plan) -> None:
    index = cycle.status.current_step_index
    if index >= len(plan.steps):
        cycle.change(phase="Promoting", message="all steps are done, promoting")
        return
    step = plan.steps[index]
    cycle.change(phase="Paused" if step.pause is not None else "Progressing", message=_named(cycle, plan))
    if step.pause is not None:
        _strategy(cycle).step_state(cycle, plan)


def _named(cycle: Cycle, plan: Plan) -> str:
    """The present step for people, and who has it hurried."""
    index, hotfix = cycle.status.current_step_index, cycle.status.hotfix
    what = f"step {index + 1} of {len(plan.steps)}: {_strategy(cycle).describe(plan.steps[index])}"
    return what if hotfix is None else f"{what} (hotfix by {hotfix.by})"


def _with_cause(cycle: Cycle, text: str) -> str:
    cause = cycle.missing_pods()
    return f"{text} ({cause})"[:1024] if cause else text[:1024]


def _hold(cycle: Cycle, reason: str, what: str) -> None:
    person = cycle.snapshot.spec.paused or cycle.status.paused is not None
    cycle.change(phase="Paused" if person else "Held", message=f"{what}: {reason}"[:1024], progress_since=None)


def _too_slow(cycle: Cycle, what: str, waiting: str) -> None:
    limit = cycle.snapshot.spec.progress_deadline_seconds
    text = f"{what} made no progress within {limit}s: {waiting}"
    _reject(cycle, "ProgressDeadlineExceeded", _with_cause(cycle, text))


def _reject(cycle: Cycle, reason: str, message: str, verdict: GroupVerdict | None = None) -> None:
    run = journal.running(cycle.status)
    if run is None:
        return
    told = verdict or group.verdict(cycle, reason)
    cycle.status = journal.reject(cycle.status, reason, message, cycle.now, ways_back=cycle.ways_back, verdict=told)
    cycle.change(phase="RollingBack")
    cycle.questions.clear()  # What gates would ask is of no use any more.
    cycle.note("Warning", "Rejected", f"revision {run.pod_hash} is taken back: {message}")


# --------------------------------------------------------------------------------------------------------------------
# Promotion
# --------------------------------------------------------------------------------------------------------------------


def _unproven(cycle: Cycle, plan: Plan, run: RevisionRef) -> str:
    """Which background gate has not passed yet; empty for a way back."""
    return "" if run.fast or group.voted(cycle) else canary.unproven_background(cycle, plan)


def _waits_to_switch(cycle: Cycle) -> str:
    """What of its group the promotion waits for."""
    return group.waits_to_switch(cycle, irrevocable=_strategy(cycle).in_place)


def _shares_led(cycle: Cycle) -> str:
    """Variants of the last step get requests, which go back before the others move; empty if none does."""
    found = names_of(filter(is_share, led(cycle.snapshot)))
    return f"waiting for the shares of {found} to be taken back" if found else ""


def _promotion(cycle: Cycle, plan: Plan, run: RevisionRef) -> None:
    reason = hold_reason(cycle)
    if reason:
        _hold(cycle, reason, "promoting")
        return
    if cycle.status.progress_since is None:
        cycle.change(progress_since=to_time(cycle.now))
    unproven = _unproven(cycle, plan, run)
    if unproven:
        _begin_gates(cycle, plan, run)
        cycle.change(phase="Held", message=unproven[:1024])
        return
    waits = _waits_to_switch(cycle)
    if waits:
        _hold(cycle, waits, "promoting")
        return
    flipped = _strategy(cycle).switched(cycle.snapshot, run.pod_hash)
    if cycle.move.reached and flipped:
        waits = group.waits_to_promote(cycle)
        if waits:
            _hold(cycle, waits, "promoting")
            return
        cycle.status = journal.promote(
            cycle.status,
            _passed(cycle, run),
            cycle.now,
            ways_back=cycle.ways_back,
        )
        cycle.change(workload=_strategy(cycle).remembered(cycle.snapshot, cycle.status.workload))
        ping_pong.turn(cycle)
        cycle.questions.clear()  # A gate that has passed would ask on until now.
        cycle.note("Normal", "Promoted", f"revision {run.pod_hash} is stable")
        return
    _renew(cycle)
    cycle.change(phase="Promoting", message=_with_cause(cycle, f"promoting: {cycle.move.waiting or 'switching'}"))
    if canary.deadline_passed(cycle):
        if run.fast or flipped or group.voted(cycle):
            what = "the way back" if run.fast else "the promotion"
            text = f"{what} takes long: {cycle.move.waiting}; see to it, or abort to go back to the stable revision"
            cycle.stall("ProgressDeadlineExceeded", text)
        else:
            _too_slow(cycle, "the promotion", cycle.move.waiting)


def _passed(cycle: Cycle, run: RevisionRef) -> str:
    """Why it may be what is stable, for the history."""
    if run.fast:
        return "way back"
    return "all steps and gates passed" if cycle.status.hotfix is None else "all gates passed"


# --------------------------------------------------------------------------------------------------------------------
# Gates
# --------------------------------------------------------------------------------------------------------------------

AGAIN = 5.0
"""Seconds after which a Service is looked at again of which nobody tells."""
UNSERVED = "its window begins when all variants serve"


def _begin_gates(cycle: Cycle, plan: Plan, run: RevisionRef) -> None:
    """The gate of the step that begins, and the background gates once traffic is there (or the steps are over)."""
    index = cycle.status.current_step_index
    over = index >= len(plan.steps)
    step = plan.steps[index] if not over else None
    gate = step.judged_by if step is not None else None
    if step is not None and gate is not None and not _has(cycle, gate.ref.name, index):
        fresh = _new(cycle, gate.ref.name, plan.step_gates[gate.ref.name], index, run)
        # Without checks it has not begun.
        waits = {"checks": [], "message": UNSERVED} if step.experiment is not None else {}
        cycle.status = journal.put_gate(cycle.status, fresh.model_copy(update=waits))
    if over or _exposed(cycle):
        for name in sorted(plan.background_gates):
            if not _has(cycle, name, -1):
                fresh = _new(cycle, name, plan.background_gates[name], -1, run)
                cycle.status = journal.put_gate(cycle.status, fresh)


def _has(cycle: Cycle, name: str, step: int) -> bool:
    return any((g.name, g.step) == (name, step) for g in cycle.status.gates)


def _new(cycle: Cycle, name: str, spec: QualityGateSpec, step: int, run: RevisionRef) -> GateRun:
    return begin(name, spec, step=step, pod_hash=run.pod_hash, attempt=run.attempt, now=cycle.now)


def _judge(cycle: Cycle, plan: Plan, run: RevisionRef) -> bool:
    """Fold in what was answered and ask on. True if a gate failed and the revision was taken back."""
    index = cycle.status.current_step_index
    over = index >= len(plan.steps)
    _begin_gates_in_place(cycle, plan, run, index)
    for gate in tuple(cycle.status.gates):
        if gate.step not in (-1, index) or gate.verdict == "Fail" or (gate.step >= 0 and gate.verdict == "Pass"):
            continue
        if over and _strategy(cycle).switched(cycle.snapshot, run.pod_hash) and not _exposed(cycle):
            continue  # It passed, and the promotion has moved the traffic that it measures to the stable Service.
        spec = plan.background_gates.get(gate.name) if gate.step == -1 else plan.step_gates.get(gate.name)
        if spec is None:
            continue
        another = _sees_another(cycle, plan) if gate.step >= 0 and gate.checks else ""
        if another:
            # The weight may be lower because this very verdict lowered it, and the journal could not be written then:
            # what was answered before still takes the version back, and must not raise it to be judged once more.
            told = _advanced(cycle, plan, run, gate, spec)
            if told.run.verdict == "Fail":
                cycle.status = journal.put_gate(cycle.status, told.run)
                _fail(cycle, told.run)
                return True
            # Also where nobody is blamed for it, as under a hold, which leaves a lower weight as it is.
            contest.stop(cycle, gate, another)
            continue
        if not gate.checks:
            # It was stopped; its window begins when the step's weight is served, and its variants serve.
            if not _serves_desired(cycle, run) or (gate.step >= 0 and not _variants_serve(cycle, plan)):
                continue
            begun = begin(
                gate.name,
                spec,
                step=gate.step,
                pod_hash=gate.pod_hash,
                attempt=gate.attempt,
                now=cycle.now,
                window=gate.window,
            )
            cycle.status = journal.put_gate(cycle.status, begun)
            # It asks when the journal says so: otherwise an answer could be older than the window that it counts in.
            cycle.wake(cycle.now + 0.01)
            continue
        progress = _advanced(cycle, plan, run, gate, spec)
        if progress.run != gate:
            cycle.status = journal.put_gate(cycle.status, progress.run)
            if progress.run.held and not gate.held:
                cycle.note("Warning", "GateHeld", f"{gate.name}: {progress.run.message}")
        cycle.questions.extend(progress.questions)
        cycle.wake(progress.wake_at)
        if progress.run.verdict == "Fail":
            _fail(cycle, progress.run)
            return True
    return False


def _fail(cycle: Cycle, gate: GateRun) -> None:
    _reject(cycle, "GateFailed", f"{gate.name}: {gate.message}")


def tell_verdict(cycle: Cycle, action: Action | None) -> Action | None:
    """Let a write that takes an attempt back say so itself: it waits for no journal, and that may never be written."""
    run = journal.running(cycle.snapshot.status)
    telling = (SetWeight, SetSelector, ScaleReplicaSet, SetPartition, HoldTemplate)
    if run is None or not isinstance(action, telling) or action.exposure != "lower":
        return action
    record = journal.is_rejected(cycle.status, run.revision)
    if record is None or record.attempt != run.attempt:
        return action
    return replace(action, takes_back=_attempt(cycle, run))


def look_first(cycle: Cycle, action: Action | None) -> Action | None:
    """Let what turns the canary Service away from a version that was taken back look first whether others lead to it.

    It lowers nothing, because nothing is seen to be led there. A watch that hangs tells nothing of what others did, and
    then what goes before this write is what takes the requests away.
    """
    service = cycle.snapshot.canary_service
    if not isinstance(action, SetSelector) or action.name != service.name or action.exposure == "lower":
        return action
    taken_back = any(record.pod_hash == selected(service) for record in cycle.status.rejected)
    return replace(action, looks=True) if taken_back else action


def _was_taken_back(cycle: Cycle, run: RevisionRef) -> bool:
    """Whether a verdict took this attempt back whose journal was lost; then the attempt ends here, too."""
    snapshot = cycle.snapshot
    told = {s.taken_back for s in (snapshot.stable_service, snapshot.canary_service)}
    told |= {route.taken_back for route in snapshot.routes} | {found.taken_back for found in snapshot.replica_sets}
    if snapshot.workload is not None and snapshot.workload.in_place is not None:
        told.add(snapshot.workload.in_place.taken_back)
    if _attempt(cycle, run) not in told:
        return False
    why = (
        "its traffic was taken back already, by a verdict that could not be written down; the operator's log may say "
        "which; look at the gates, then retry it or change the template"
    )
    _reject(cycle, "VerdictLost", why)
    return True


def _attempt(cycle: Cycle, run: RevisionRef) -> str:
    return f"{cycle.snapshot.meta.uid}:{run.pod_hash}:{run.attempt}"


def _advanced(cycle: Cycle, plan: Plan, run: RevisionRef, gate: GateRun, spec: QualityGateSpec) -> GateProgress:
    """A gate with all that was answered folded in."""
    index = cycle.status.current_step_index
    step: Step | None = plan.steps[index] if gate.step >= 0 and index < len(plan.steps) else None
    return advance(
        gate,
        spec,
        now=cycle.now,
        answers=cycle.snapshot.answers,
        context=_context(cycle, plan, run, gate),
        config=cycle.snapshot.config,
        key_prefix=cycle.snapshot.meta.uid,
        step=experiment.gate_of(step, cycle.snapshot.meta.uid, run, index) if step else None,
    )


def _serves_desired(cycle: Cycle, run: RevisionRef) -> bool:
    """The weight that the step allows is served."""
    return _strategy(cycle).serves(cycle.snapshot, run.pod_hash, cycle.status.weights, cycle.now)


def _begin_gates_in_place(cycle: Cycle, plan: Plan, run: RevisionRef, index: int) -> None:
    """A gate of the very first step has no step before it that could begin it."""
    if index < len(plan.steps) and plan.steps[index].judged_by is not None and not run.fast:
        _begin_gates(cycle, plan, run)


def _context(cycle: Cycle, plan: Plan, run: RevisionRef, gate: GateRun) -> QueryContext:
    # A question is the same whenever it is asked, so this is the weight of the gate's step, not the present one.
    weight = 100 if gate.step == BACKGROUND else _strategy(cycle).allowance(plan.steps, gate.step, 1).weight
    stable_service, canary_service = _strategy(cycle).judged(weight, cycle.snapshot)
    stable = cycle.status.stable.pod_hash if cycle.status.stable else ""
    stable_revision, canary_revision = _strategy(cycle).revisions(cycle.snapshot, stable, run.pod_hash)
    return QueryContext(
        namespace=cycle.snapshot.meta.namespace,
        rollout=cycle.snapshot.meta.name,
        stable_service=stable_service,
        canary_service=canary_service,
        stable_revision=stable_revision,
        canary_revision=canary_revision,
    )
