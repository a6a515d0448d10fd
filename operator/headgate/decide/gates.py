"""One run of a quality gate: folds answers into counters and decides by the gate's rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from headgate.api.common import round_seconds, to_epoch, to_time
from headgate.api.config import OperatorConfig
from headgate.api.gate import CheckRun, GateRun, Measurement, QualityGateSpec
from headgate.api.rollout import GateStep
from headgate.api.values import dataclass
from headgate.decide.asking import (
    BACKGROUND,
    Terms,
    due_at,
    ends_at,
    is_complete,
    is_wanted,
    next_question,
    query_text,
    question_key,
    terms_of,
)
from headgate.decide.queries import QueryContext, QueryProblem
from headgate.decide.types import Answer, Question
from headgate.decide.verdicts import comparison_text, judge, rule_text

CannotKnow = Literal["Unknown", "Error"]


@dataclass(frozen=True, slots=True)
class GateProgress:
    """A gate run after the answers, and what to ask next."""

    run: GateRun
    questions: tuple[Question, ...]
    """Everything that is due and has no answer yet; the same question again until it has one."""
    wake_at: float | None
    recorded: int
    """Answers that were folded in."""


def begin(
    name: str, spec: QualityGateSpec, *, step: int, pod_hash: str, attempt: int, now: float, window: int = 1
) -> GateRun:
    """A gate run that has asked nothing yet. A later `window` keeps answers to an earlier one out."""
    return GateRun(
        name=name,
        step=step,
        pod_hash=pod_hash,
        attempt=attempt,
        window=window,
        started_at=to_time(now),
        checks=[CheckRun(name=check.name, rule=rule_text(check)) for check in spec.checks],
    )


def advance(
    run: GateRun,
    spec: QualityGateSpec,
    *,
    now: float,
    answers: Sequence[Answer],
    context: QueryContext,
    config: OperatorConfig,
    key_prefix: str,
    step: GateStep | None = None,
) -> GateProgress:
    """Fold in the answers that are this window's next ones, decide, and ask what is due.

    A question is a function of the run alone, not of `now`: asking it twice asks the same.
    """
    if is_final(run):
        return GateProgress(run, (), None, 0)
    terms = terms_of(spec, step, now, context, config, key_prefix, run.step)
    if not spec.checks:
        run = run if run.held else _cannot_know(run, terms, "Unknown", "the gate has no checks")
        return GateProgress(run, (), None, 0)
    run, recorded = _fold_all(_aligned(run, spec), terms, answers)
    run = _end(run, terms)
    questions: list[Question] = []
    wakes: list[float] = []
    for index, check in enumerate(spec.checks):
        if is_final(run):
            return GateProgress(run, (), None, recorded)
        if not is_wanted(run, index, terms):
            continue
        due = due_at(run, index, terms)
        if due > now:
            wakes.append(due)
            continue
        try:
            questions.append(next_question(run, index, terms))
        except QueryProblem as problem:
            # Only a change of the admin's configuration leads here: a spec with such a query is not admitted.
            run = run if run.held else _cannot_know(run, terms, "Error", f"{check.name} cannot be asked: {problem}")
            wakes.append(now + terms.interval)
    if is_final(run):
        return GateProgress(run, (), None, recorded)
    end = ends_at(run, terms)
    if end is not None and end > now and not run.held:
        wakes.append(end)
    return GateProgress(run, tuple(questions), min(wakes, default=None), recorded)


def _aligned(run: GateRun, spec: QualityGateSpec) -> GateRun:
    """The run with exactly the checks of the spec; they differ only if someone else wrote the status."""
    if [check.name for check in run.checks] == [check.name for check in spec.checks]:
        return run
    known = {check.name: check for check in run.checks}
    fresh = (CheckRun(name=check.name, rule=rule_text(check)) for check in spec.checks)
    return run.model_copy(update={"checks": [known.get(check.name, check) for check in fresh]})


def is_final(run: GateRun) -> bool:
    """Whether nothing can change this run any more."""
    return run.verdict == "Fail" or (run.verdict == "Pass" and run.step != BACKGROUND)


# --------------------------------------------------------------------------------------------------------------------
# Folding
# --------------------------------------------------------------------------------------------------------------------


def _fold_all(run: GateRun, terms: Terms, answers: Sequence[Answer]) -> tuple[GateRun, int]:
    """Fold in each check's next answers, the checks merged by time; whatever is not a next answer is not looked at."""
    pending: dict[tuple[str, int], Answer] = {}
    for answer in answers:
        pending.setdefault((answer.question, answer.number), answer)
    recorded = 0
    while not is_final(run):
        candidates: list[tuple[float, int, Answer]] = []
        for index, check in enumerate(run.checks):
            found = pending.get((question_key(run, check.name, terms.key_prefix), check.asked + 1))
            if found is not None:
                candidates.append((found.at, index, found))
        if not candidates:
            break
        _, index, answer = min(candidates, key=lambda candidate: candidate[:2])
        run = _fold(run, index, terms, answer)
        recorded += 1
    return run, recorded


def _fold(run: GateRun, index: int, terms: Terms, answer: Answer) -> GateRun:
    check, before = terms.spec.checks[index], run.checks[index]
    verdict, reason = judge(answer, check)
    measurement = Measurement(
        at=to_time(answer.at),
        value=_finite(answer.value),
        sample=_finite(answer.sample),
        verdict=verdict,
        reason=reason,
    )
    after = before.model_copy(
        update={
            "asked": answer.number,
            "asked_at": measurement.at,
            "passes": before.passes + (verdict == "Pass"),
            "failures": before.failures + (verdict == "Fail"),
            "unknowns": before.unknowns + (verdict == "Unknown"),
            "errors": before.errors + (verdict == "Error"),
            "consecutive_errors": before.consecutive_errors + 1 if verdict == "Error" else 0,
            "query": query_text(run, index, terms) or before.query,
            "measurements": [*before.measurements, measurement][-terms.kept :],
        }
    )
    run = run.model_copy(update={"checks": [*run.checks[:index], after, *run.checks[index + 1 :]]})
    return _judge_check(run, index, terms)


def _judge_check(run: GateRun, index: int, terms: Terms) -> GateRun:
    """What the newest measurement of one check means for the gate. Failing comes first, also while held."""
    check, state, spec = terms.spec.checks[index], run.checks[index], terms.spec
    last = state.measurements[-1]
    if state.failures > spec.failure_limit:
        why = (
            comparison_text(last.value, check, "Fail")
            if last.verdict == "Fail" and last.value is not None
            else "failing"
        )
        tally = f"({_plural(state.failures, 'failure')}, {spec.failure_limit} tolerated)"
        return _decided(run, terms, "Fail", f"{check.name} failed: {why} {tally}")
    if run.held:
        # A failure counts on and does not end a hold: beginning again would forget it.
        known = all(each.measurements and each.measurements[-1].verdict == "Pass" for each in run.checks)
        return _begin_again(run, terms, to_epoch(last.at)) if known else run
    if state.consecutive_errors > spec.consecutive_error_limit:
        tally = f"({_plural(state.consecutive_errors, 'error')} in a row, {spec.consecutive_error_limit} tolerated)"
        return _cannot_know(run, terms, "Error", f"{check.name} could not be asked: {last.reason} {tally}")
    if state.unknowns > spec.inconclusive_limit:
        tally = f"({_plural(state.unknowns, 'unknown measurement')}, {spec.inconclusive_limit} tolerated)"
        return _cannot_know(run, terms, "Unknown", f"{check.name} says nothing: {last.reason} {tally}")
    if run.step == BACKGROUND and run.verdict == "Running" and all(each.passes for each in run.checks):
        return _decided(run, terms, "Pass", f"passing so far: {_evidence(run, terms)}")
    return run


def _begin_again(run: GateRun, terms: Terms, at: float) -> GateRun:
    """The next window, from the measurement that ended the hold: its time, not `now`, so that a replay agrees."""
    return begin(
        run.name,
        terms.spec,
        step=run.step,
        pod_hash=run.pod_hash,
        attempt=run.attempt,
        now=at,
        window=run.window + 1,
    ).model_copy(update={"message": f"can be judged again; window {run.window + 1} began"})


# --------------------------------------------------------------------------------------------------------------------
# Deciding
# --------------------------------------------------------------------------------------------------------------------


def _end(run: GateRun, terms: Terms) -> GateRun:
    """Decide a step's gate that has come to its end; extending may move the end, once."""
    while not is_final(run) and not run.held and run.step != BACKGROUND and _ended(run, terms):
        silent = [index for index, check in enumerate(run.checks) if not check.passes]
        if not silent:
            return _decided(run, terms, "Pass", f"passed: {_evidence(run, terms)}")
        state = run.checks[silent[0]]
        kind: CannotKnow = "Error" if state.errors and not state.unknowns and not state.failures else "Unknown"
        tally = f"{state.failures} failures, {state.unknowns} unknown, {state.errors} errors"
        run = _cannot_know(run, terms, kind, f"{state.name} never passed until the end ({tally})")
    return run


def _ended(run: GateRun, terms: Terms) -> bool:
    """Every check has its count, or the time is over and whatever fell due within it is answered.

    Without the second half, a gate whose operator was away would pass on what it measured before.
    """
    checks = range(len(run.checks))
    if all(is_complete(run.checks[index], run, terms) for index in checks):
        return True
    end = ends_at(run, terms)
    return end is not None and terms.now >= end and all(due_at(run, index, terms) >= end for index in checks)


def _cannot_know(run: GateRun, terms: Terms, verdict: CannotKnow, why: str) -> GateRun:
    policy = terms.spec.on_unknown
    if policy == "Fail":
        return _decided(run, terms, "Fail", f"{why}; onUnknown is Fail")
    if policy == "Extend" and not run.extended:
        length = _plural(terms.count or 1, "measurement") if terms.length is None else round_seconds(terms.length)
        how = "tolerated once more" if run.step == BACKGROUND else f"extended once by {length}"
        forgiven = [check.model_copy(update={"unknowns": 0, "consecutive_errors": 0}) for check in run.checks]
        return run.model_copy(update={"extended": True, "checks": forgiven, "message": f"{why}; {how}"[:512]})
    message = f"{why}; holding until every check passes or one fails"
    return _decided(run, terms, verdict, message).model_copy(update={"held": True})


def _decided(run: GateRun, terms: Terms, verdict: Literal["Pass", "Fail", "Unknown", "Error"], why: str) -> GateRun:
    return run.model_copy(
        update={"verdict": verdict, "held": False, "decided_at": to_time(terms.now), "message": why[:512]}
    )


def _evidence(run: GateRun, terms: Terms) -> str:
    """For each check the newest value that passed, and how many did not."""
    parts = []
    for check, state in zip(terms.spec.checks, run.checks, strict=True):
        passed = [each.value for each in state.measurements if each.verdict == "Pass" and each.value is not None]
        value = f" {comparison_text(passed[-1], check, 'Pass')}" if passed else ""
        parts.append(f"{check.name}{value} ({state.passes} of {state.asked} measurements passed)")
    return "; ".join(parts)


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _finite(value: float | None) -> float | None:
    """JSON knows neither NaN nor infinity; the reason of the measurement tells."""
    return value if value is not None and math.isfinite(value) else None
