"""Says what a step of a release does, and how far gates and their checks have come."""

from __future__ import annotations

from rich.text import Text

from headgate.api.common import PERCENT, portion
from headgate.api.experiment import Variant
from headgate.api.gate import CheckRun, GateRun, QualityGateSpec
from headgate.api.rollout import GateStep, Step
from headgate.api.routes import RouteMatch
from headgate.cli.text import Marks, age, clean, number, plural
from headgate.decide.strategies import Strategy

VERDICT_STYLES = {"Pass": "green", "Fail": "bold red", "Error": "red", "Unknown": "yellow", "Running": "cyan"}


AT_ITS_END = {"Abort": "taken back", "Promote": "over", "Notify": "told of"}


def describe(step: Step, strategy: Strategy | None = None, total: int = PERCENT) -> str:
    """What a step does, as a person would say it, and how long it may take."""
    limit = f", after {step.timeout} {AT_ITS_END.get(step.on_timeout or '', 'held')}" if step.timeout else ""
    return _what(step, strategy, total) + limit


def _what(step: Step, strategy: Strategy | None, total: int) -> str:
    if strategy is not None and (step.set_weight, step.set_canary_scale, step.set_mirror_route) != (None, None, None):
        return strategy.describe(step)
    if step.set_weight is not None:
        return f"weight {portion(step.set_weight, total)}"
    if step.pause is not None:
        return f"pause {step.pause.duration}" if step.pause.duration else "pause until someone promotes"
    if step.gate is not None:
        return _judged(step.gate)
    if step.experiment is not None:
        variants = ", ".join(_variant(one, total) for one in step.experiment.variants)
        return f"experiment with {variants}, {_judged(step.experiment.gate)}"
    if (scale := step.set_canary_scale) is not None:
        if scale.replicas is not None:
            return f"scale the canary to {plural(scale.replicas, 'pod')}"
        if scale.weight is not None:
            return f"scale the canary for {scale.weight}% of the requests"
        return "scale the canary as its weight asks"
    if (header := step.set_header_route) is not None:
        return f"lead {_asked(header.match)} to the canary ({header.name})" if header.match else f"end {header.name}"
    if (mirror := step.set_mirror_route) is not None:
        part = f"{mirror.percentage or 100}% of {_asked(mirror.match)}"
        return f"copy {part} to the canary ({mirror.name})" if mirror.match else f"end {mirror.name}"
    return "a step that this version of the command does not know"


def _judged(gate: GateStep) -> str:
    limits = [f"for {gate.duration}"] if gate.duration else []
    limits += [plural(gate.count, "measurement")] if gate.count else []
    return f"gate {gate.ref.name}" + (f" ({', '.join(limits)})" if limits else "")


def _variant(one: Variant, total: int) -> str:
    """A variant with its pods, and its part of the requests."""
    of = "the canary" if one.spec_ref == "Canary" else "stable"
    share = "" if one.weight is None else f" for {portion(one.weight, total)}"
    return f"{one.name} ({plural(one.replicas, 'pod')} of {of}{share})"


def _asked(matches: list[RouteMatch] | None) -> str:
    """What a request must have, as far as it is said in few words; the values are in the spec."""
    named = [
        [
            *(f"{what} {clean(name)}" for what, name in _names(one) if name is not None),
            *(["path"] if one.path is not None else []),
            *([f"method {one.method}"] if one.method is not None else []),
        ]
        for one in matches or ()
    ]
    return "requests by " + " or ".join(" and ".join(parts) for parts in named)


def _names(one: RouteMatch) -> tuple[tuple[str, str | None], ...]:
    return ("header", one.header_name), ("cookie", one.cookie_name), ("query", one.query_name)


def time_left(step: Step, started_at: str | None, now: float) -> str:
    """How long a step has lasted, and of how long if it says so."""
    lasted = age(started_at, now)
    if not lasted:
        return ""
    gate = step.judged_by
    limit = (step.pause.duration if step.pause else gate.duration if gate else None) or step.timeout
    return f"{lasted} of {limit}" if limit else f"for {lasted}"


def gate_line(run: GateRun, marks: Marks, now: float, *, heading: bool) -> Text:
    """One run of a gate: verdict, since when, and what it is held by."""
    sign, style = _sign(run, marks)
    line = Text.assemble((f"{sign} ", style))
    if heading:
        line.append(f"gate {clean(run.name)}  ", "bold")
    word = "held" if run.held and not run.overridden else run.verdict
    line.append(clean(word), style)
    line.append(f"  since {age(run.started_at, now)}", "dim")
    if run.window > 1:
        line.append(f"  begun {run.window} times", "dim")
    if run.extended:
        line.append("  extended once", "dim")
    if run.overridden:
        line.append(f"  passed over by {clean(run.overridden)}", "yellow")
    if run.message:
        line.append(f"  {clean(run.message)}")
    return line


def _sign(run: GateRun, marks: Marks) -> tuple[str, str]:
    if run.held and not run.overridden:
        return marks.held, "bold yellow"
    sign = {"Pass": marks.done, "Fail": marks.failed, "Running": marks.now}.get(run.verdict, marks.unknown)
    return sign, VERDICT_STYLES.get(run.verdict, "")


def check_line(check: CheckRun, gate: QualityGateSpec | None, marks: Marks, now: float) -> Text:
    """One check: last value against its rule, verdict, and how many failures there were of how many that may be."""
    line = Text()
    last = check.measurements[-1] if check.measurements else None
    if last is None:
        line.append(f"{marks.to_come} ", "dim")
        line.append(clean(check.name))
        line.append("  not measured yet", "dim")
    else:
        style = VERDICT_STYLES.get(last.verdict, "")
        sign = {"Pass": marks.done, "Fail": marks.failed}.get(last.verdict, marks.unknown)
        line.append(f"{sign} ", style)
        line.append(clean(check.name))
        line.append(f"  {number(last.value)}", "bold")
        if check.rule:
            line.append(f" ({clean(check.rule)})")
        line.append(f"  {last.verdict}", style)
        if last.reason:
            line.append(f": {clean(last.reason)}", style)
        if last.sample is not None:
            line.append(f"  of {number(last.sample)} samples", "dim")
        line.append(f"  {age(last.at, now)} ago", "dim")
    if check.passes:
        line.append(f"  {check.passes} passed", "dim")
    _count(line, check.failures, gate.failure_limit if gate else None, "failed")
    _count(line, check.unknowns, gate.inconclusive_limit if gate else None, "unknown")
    _count(line, check.consecutive_errors, gate.consecutive_error_limit if gate else None, "errors in a row")
    return line


def _count(line: Text, count: int, limit: int | None, what: str) -> None:
    if not count:
        return
    beyond = limit is not None and count > limit
    line.append(f"  {count} {what}", "red" if beyond else "yellow")
    if limit is not None:
        line.append(f" ({limit} tolerated)", "dim")
