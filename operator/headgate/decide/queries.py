"""Renders the queries of checks from the admin's templates, and says what a QualityGate asks that cannot be asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from headgate.api.common import seconds
from headgate.api.config import OperatorConfig
from headgate.api.gate import Argument, Check, PrometheusCheck, QualityGateSpec, Query, Threshold
from headgate.api.rollout import GateStep
from headgate.api.values import dataclass
from headgate.decide.promql import MisplacedArgument, arguments_of, substitute
from headgate.decide.types import RenderedQuery

MIN_INTERVAL = 1.0
MAX_LENGTH = 8192
"""Characters of a rendered query: a URL has to carry it, and many arguments may be long."""
MAX_POINTS = 1000
"""Points of a range query; a longer window gets a longer step instead of a refusal by the server."""
BUILT_INS = frozenset(
    {"namespace", "rollout", "stableService", "canaryService", "stableRevision", "canaryRevision", "window"}
)

_RESERVED = "{name} is set by Headgate and cannot be replaced; remove it"


class QueryProblem(ValueError):  # noqa: N818 - it is a finding about a spec, shown to its author, not a fault of ours.
    """A query that cannot be asked; the message names the field and says what to do."""


@dataclass(frozen=True, slots=True)
class QueryContext:
    """The built-in arguments, which no tenant can replace; `window` joins them per question."""

    namespace: str
    rollout: str
    stable_service: str
    canary_service: str
    stable_revision: str
    """A pod hash, as in the label of the pods; so is the next."""
    canary_revision: str

    def arguments(self, window: float) -> dict[str, str]:
        """All built-in arguments for a window of so many seconds.

        The window is rounded down, because measurements look no further back than the weight; `0s` is no range.
        """
        return {
            "namespace": self.namespace,
            "rollout": self.rollout,
            "stableService": self.stable_service,
            "canaryService": self.canary_service,
            "stableRevision": self.stable_revision,
            "canaryRevision": self.canary_revision,
            "window": f"{max(1, int(window))}s",
        }


EXAMPLE = QueryContext("namespace", "rollout", "stable", "canary", "bcdfghjklm", "nbcdfghjkl")
"""For judging a spec before there is anything to measure."""


def render_check(
    check: PrometheusCheck, context: QueryContext, config: OperatorConfig, *, window: float, field: str
) -> RenderedQuery:
    """The check's query as it will be sent.

    Raises:
        QueryProblem: if it cannot be asked.
    """
    quotes = quoting(check, config)
    text = render(check.query, context, config, window=window, field=f"{field}.query", quotes=quotes)
    if check.range is None:
        return RenderedQuery(text)
    length = float(max(1, int(window)))
    step = max(seconds(check.range.step), 1.0, length / MAX_POINTS)
    return RenderedQuery(text, step=step, window=length, reduce=check.range.reduce)


def quoting(check: PrometheusCheck, config: OperatorConfig) -> bool:
    """Whether its provider speaks PromQL; of another's language it is not known how a text is quoted."""
    provider = config.metric_providers.get(check.provider)
    return provider is None or provider.quotes


def render(
    query: Query, context: QueryContext, config: OperatorConfig, *, window: float, field: str, quotes: bool = True
) -> str:
    """The text of a query with its arguments in place; `quotes` as for `substitute`.

    Raises:
        QueryProblem: if it cannot be asked; the message begins with `field`.
    """
    source, where = _source(query, config, field)
    given = _arguments(query, field)
    try:
        text = substitute(source, given | context.arguments(window), quotes=quotes)
    except MisplacedArgument as problem:
        if problem.missing:
            raise QueryProblem(f"{field}.arguments: {where} {problem}") from None
        if problem.name in given:
            raise QueryProblem(f"{field}.arguments[{problem.name}].value: {problem}") from None
        what = f" {{{{{problem.name}}}}}" if problem.name else ""
        raise QueryProblem(f"{field}: {where}{what} {problem}") from None
    unused = sorted(given.keys() - arguments_of(source))
    if unused:
        raise QueryProblem(f"{field}.arguments: {where} has no argument {', '.join(unused)}; remove it")
    if len(text) > MAX_LENGTH:
        raise QueryProblem(f"{field}: with its arguments it has {len(text)} characters, the most is {MAX_LENGTH}")
    return text


def looks_back(check: Check, config: OperatorConfig) -> bool:
    """Whether the check asks about the window, and so gets no answer while that has no length yet."""
    return check.prometheus.range is not None or any("window" in used for used in _used(check, config))


def for_step(spec: QualityGateSpec, step: GateStep | None, config: OperatorConfig) -> QualityGateSpec:
    """The gate as this step asks it: each query that uses an argument of the step has that, whatever its own says."""
    if step is None or not step.arguments:
        return spec
    return _for_step(_This(spec), _This(step), _This(config))


def with_values(step: GateStep, values: tuple[tuple[str, str], ...]) -> GateStep:
    """The step's gate with these arguments besides its own; the same object each time, as what follows from it is."""
    return _with_values(_This(step), values) if values else step


def misgiven(spec: QualityGateSpec, step: GateStep | None, config: OperatorConfig) -> tuple[str, ...]:
    """The arguments of a step that it cannot give to the gate, as sentences."""
    if step is None or not step.arguments:
        return ()
    used = frozenset[str]().union(*(names for check in spec.checks for names in _used(check, config)))
    names = [argument.name for argument in step.arguments]
    return tuple(
        f"arguments[{name}]: {_RESERVED.format(name=name)}"
        if name in BUILT_INS
        else f"arguments[{name}]: no query of the gate uses it; remove it"
        for name in names
        if name in BUILT_INS or name not in used
    )


def undivided(gate: QualityGateSpec, config: OperatorConfig) -> tuple[str, ...]:
    """Which checks would take the stable version's requests for the canary's, where one Service leads to both."""
    return tuple(
        f"checks[{check.name}] cannot tell the versions apart, because one Service leads to both: use a query with the "
        "argument {{canaryRevision}}"
        for check in gate.checks
        if not all("canaryRevision" in used for used in _used(check, config))
    )


def _used(check: Check, config: OperatorConfig) -> list[frozenset[str]]:
    """The arguments that each query of a check uses."""
    queries = [check.prometheus.query] + ([check.min_sample.query] if check.min_sample is not None else [])
    found = [_arguments_used(query, config) for query in queries]
    return [names for names in found if names is not None]


def _arguments_used(query: Query, config: OperatorConfig) -> frozenset[str] | None:
    """None of a query by a template that there is not."""
    templates = config.query_templates
    source = templates[query.template].query if query.template in templates else query.raw
    return None if source is None else arguments_of(source)


def _source(query: Query, config: OperatorConfig, field: str) -> tuple[str, str]:
    """The text with placeholders, and what to call it in a message."""
    if (query.template is None) == (query.raw is None):
        raise QueryProblem(f"{field}: set exactly one of template and raw")
    if query.raw is not None:
        if not config.allow_raw_queries:
            known = ", ".join(sorted(config.query_templates)) or "none"
            raise QueryProblem(
                f"{field}.raw: the admin does not allow raw queries; use a template, the admin configured: {known}"
            )
        return query.raw, "the raw query"
    name = query.template or ""
    template = config.query_templates.get(name)
    if template is None:
        known = ", ".join(sorted(config.query_templates)) or "none"
        raise QueryProblem(f'{field}.template: there is no template "{name}"; the admin configured: {known}')
    return template.query, f'the template "{name}"'


def _arguments(query: Query, field: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for argument in query.arguments:
        here = f"{field}.arguments[{argument.name}]"
        if argument.name in BUILT_INS:
            raise QueryProblem(f"{here}: {_RESERVED.format(name=argument.name)}")
        if argument.name in given:
            raise QueryProblem(f"{here}: is given twice")
        try:
            argument.value.encode()
        except UnicodeEncodeError:
            raise QueryProblem(f"{here}.value: is not valid Unicode text") from None
        given[argument.name] = argument.value
    return given


# --------------------------------------------------------------------------------------------------------------------
# Before anything is asked
# --------------------------------------------------------------------------------------------------------------------


def problems_of(
    gate_spec: QualityGateSpec, config: OperatorConfig, *, name: str = "", step: GateStep | None = None
) -> tuple[str, ...]:
    """Every problem as a sentence that names its field, with `QualityGate <name>: ` before it where a name is given."""
    found = tuple(_problems(gate_spec, config, step)) if step else _once(_This(gate_spec), _This(config))
    return tuple(f"QualityGate {name}: {problem}" for problem in found) if name else found


class _This:
    """One object, by identity: models are frozen and looked at again and again, but have no hash of their own."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _This) and other.value is self.value


@lru_cache(maxsize=1024)
def _for_step(spec: _This, step: _This, config: _This) -> QualityGateSpec:
    def given(query: Query) -> Query:
        used = _arguments_used(query, config.value) or frozenset()
        ours = {argument.name: argument for argument in step.value.arguments if argument.name in used}
        kept = [argument for argument in query.arguments if argument.name not in ours]
        return query.model_copy(update={"arguments": [*kept, *ours.values()]})

    def asked(check: Check) -> Check:
        prometheus = check.prometheus.model_copy(update={"query": given(check.prometheus.query)})
        sample = check.min_sample
        if sample is not None:
            sample = sample.model_copy(update={"query": given(sample.query)})
        return check.model_copy(update={"prometheus": prometheus, "min_sample": sample})

    changed: QualityGateSpec = spec.value.model_copy(update={"checks": [asked(check) for check in spec.value.checks]})
    return changed


@lru_cache(maxsize=1024)
def _with_values(step: _This, values: tuple[tuple[str, str], ...]) -> GateStep:
    given = [Argument(name=name, value=value) for name, value in values]
    changed: GateStep = step.value.model_copy(update={"arguments": [*(step.value.arguments or ()), *given]})
    return changed


@lru_cache(maxsize=1024)
def _once(spec: _This, config: _This) -> tuple[str, ...]:
    return tuple(_problems(spec.value, config.value, None))


def _problems(spec: QualityGateSpec, config: OperatorConfig, step: GateStep | None) -> Iterator[str]:
    if not spec.checks:
        yield "checks: give at least one; an empty gate could never pass"
    for name, times in Counter(check.name for check in spec.checks).items():
        if times > 1:
            yield f'checks: the name "{name}" is given {times} times; give each check its own'
    yield from _time_problems(spec, step)
    for index, check in enumerate(spec.checks):
        yield from _check_problems(check, config, f"checks[{index}]")


def _time_problems(spec: QualityGateSpec, step: GateStep | None) -> Iterator[str]:
    given = {"interval": spec.interval, "initialDelay": spec.initial_delay}
    duration = spec.duration
    if step is not None and (step.duration is not None or step.count is not None):
        duration = step.duration
    if duration is not None:
        given["duration"] = duration
    lengths: dict[str, float] = {}
    for field, text in given.items():
        try:
            lengths[field] = seconds(text)
        except ValueError as error:
            yield f"{field}: {error}"
    if lengths.get("interval", MIN_INTERVAL) < MIN_INTERVAL:
        yield f"interval: {spec.interval} is too short; the least is 1s"
    if lengths.get("initialDelay", -1.0) >= lengths.get("duration", math.inf):
        yield (
            f"initialDelay: {spec.initial_delay} is not shorter than the duration {duration}; "
            "the gate would end before it measures"
        )


def _check_problems(check: Check, config: OperatorConfig, field: str) -> Iterator[str]:
    here = f"{field}.prometheus"
    if check.prometheus.provider not in config.metric_providers:
        known = ", ".join(sorted(config.metric_providers)) or "none"
        yield f'{here}.provider: there is no provider "{check.prometheus.provider}"; the admin configured: {known}'
    quotes = quoting(check.prometheus, config)
    yield from _query_problems(check.prometheus.query, config, f"{here}.query", quotes=quotes)
    if check.prometheus.range is not None:
        try:
            if seconds(check.prometheus.range.step) < MIN_INTERVAL:
                yield f"{here}.range.step: {check.prometheus.range.step} is too short; the least is 1s"
        except ValueError as error:
            yield f"{here}.range.step: {error}"
    yield from _threshold_problems(check.passes, f"{field}.pass")
    if check.fails is not None:
        yield from _threshold_problems(check.fails, f"{field}.fail")
    if check.min_sample is not None:
        yield from _query_problems(check.min_sample.query, config, f"{field}.minSample.query", quotes=quotes)
        if not (math.isfinite(check.min_sample.min) and check.min_sample.min > 0):
            yield f"{field}.minSample.min: must be a number greater than 0"


def _query_problems(query: Query, config: OperatorConfig, field: str, *, quotes: bool) -> Iterator[str]:
    try:
        render(query, EXAMPLE, config, window=60.0, field=field, quotes=quotes)
    except QueryProblem as problem:
        yield str(problem)


def _threshold_problems(threshold: Threshold, field: str) -> Iterator[str]:
    bounds = {"min": threshold.min, "max": threshold.max, "equals": threshold.equals}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    if not given:
        yield f"{field}: give at least one of min, max, equals"
    for name, bound in given.items():
        if not math.isfinite(bound):
            yield f"{field}.{name}: must be a finite number"
    low, high = given.get("min", -math.inf), given.get("max", math.inf)
    if low > high:
        yield f"{field}: min is greater than max"
    elif not low <= given.get("equals", max(low, min(high, 0.0))) <= high and all(map(math.isfinite, given.values())):
        yield f"{field}: equals lies outside min and max, so that nothing could satisfy it"
