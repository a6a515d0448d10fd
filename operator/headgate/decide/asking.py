"""When a gate asks what: its rules with the step's in place, its questions, and where its window ends."""

from __future__ import annotations

from headgate.api.common import seconds, to_epoch
from headgate.api.config import OperatorConfig
from headgate.api.gate import Check, CheckRun, GateRun, QualityGateSpec
from headgate.api.rollout import GateStep
from headgate.api.values import dataclass
from headgate.decide.queries import QueryContext, QueryProblem, for_step, looks_back, render_check
from headgate.decide.types import Question, RenderedQuery

BACKGROUND = -1
"""The `step` of a gate that judges from the first weight to the end."""
KEPT = 10
"""Measurements kept per gate run, shared by its checks; each check keeps at least two."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The gate's rules with the step's in place, and what questions are made of."""

    spec: QualityGateSpec
    interval: float
    initial_delay: float
    length: float | None
    count: int | None
    now: float
    context: QueryContext
    config: OperatorConfig
    key_prefix: str

    @property
    def kept(self) -> int:
        """Measurements that each check keeps."""
        return max(2, KEPT // max(1, len(self.spec.checks)))


def terms_of(
    spec: QualityGateSpec,
    step: GateStep | None,
    now: float,
    context: QueryContext,
    config: OperatorConfig,
    key_prefix: str,
    index: int,
) -> Terms:
    """The rules of a gate at a step (or in the background, where nothing ends it)."""
    duration, count = spec.duration, spec.count
    if step is not None and (step.duration is not None or step.count is not None):
        # As a pair: a gate's own count must not cut short the duration that a step asks for.
        duration, count = step.duration, step.count
    if index == BACKGROUND:
        duration = count = None
    elif duration is None and count is None:
        count = 1
    return Terms(
        spec=for_step(spec, step, config),
        interval=max(1.0, seconds(spec.interval)),
        initial_delay=seconds(spec.initial_delay),
        length=None if duration is None else seconds(duration),
        count=count,
        now=now,
        context=context,
        config=config,
        key_prefix=key_prefix,
    )


def question_key(run: GateRun, check: str, key_prefix: str) -> str:
    """Identity of a check's questions in this window; with a number, of one question."""
    return f"{key_prefix}/{run.name}/{run.step}/{run.pod_hash}/{run.attempt}/{run.window}/{check}"


def ends_at(run: GateRun, terms: Terms) -> float | None:
    """When the window ends, where a duration was given."""
    if terms.length is None:
        return None
    return to_epoch(run.started_at) + terms.length * (2 if run.extended else 1)


def is_complete(check: CheckRun, run: GateRun, terms: Terms) -> bool:
    """The check has its `count` of measurements; Errors are not counted, and an extension asks for as many again."""
    return terms.count is not None and check.asked - check.errors >= terms.count * (2 if run.extended else 1)


def is_wanted(run: GateRun, index: int, terms: Terms) -> bool:
    """Whether the check asks on; while held it does, so that the hold can end."""
    return run.held or not is_complete(run.checks[index], run, terms)


def due_at(run: GateRun, index: int, terms: Terms) -> float:
    """When the check's next question is to be asked."""
    asked_at = run.checks[index].asked_at
    if asked_at is not None:
        return to_epoch(asked_at) + terms.interval
    delay = terms.initial_delay
    if run.window > 1 or looks_back(terms.spec.checks[index], terms.config):
        # A window of no length says nothing. Asked at once, it would be held, begin again, and so for ever.
        delay = max(delay, terms.interval)
    if terms.length is not None:
        # Whatever the times are, a gate measures before it ends.
        delay = min(delay, terms.length / 2)
    return to_epoch(run.started_at) + delay


def next_question(run: GateRun, index: int, terms: Terms) -> Question:
    """The check's next question.

    Raises:
        QueryProblem: if it cannot be asked.
    """
    check, state = terms.spec.checks[index], run.checks[index]
    provider = terms.config.metric_providers.get(check.prometheus.provider)
    if provider is None:
        raise QueryProblem(f'there is no provider "{check.prometheus.provider}" any more')
    query, sample = _rendered(run, index, terms)
    return Question(
        key=question_key(run, check.name, terms.key_prefix),
        number=state.asked + 1,
        provider=check.prometheus.provider,
        query=query,
        sample_query=sample,
        timeout=provider.timeout_seconds,
    )


def _rendered(run: GateRun, index: int, terms: Terms) -> tuple[RenderedQuery, RenderedQuery | None]:
    check: Check = terms.spec.checks[index]
    window = due_at(run, index, terms) - to_epoch(run.started_at)
    field = f"checks[{index}]"
    query = render_check(check.prometheus, terms.context, terms.config, window=window, field=f"{field}.prometheus")
    if check.min_sample is None:
        return query, None
    plain = check.prometheus.model_copy(update={"query": check.min_sample.query, "range": None})
    return query, render_check(plain, terms.context, terms.config, window=window, field=f"{field}.minSample")


def query_text(run: GateRun, index: int, terms: Terms) -> str:
    """The query that the answer belongs to: of the run before the answer, whose question was made of the same."""
    try:
        return _rendered(run, index, terms)[0].text[:1024]
    except QueryProblem:
        return ""
