"""Queries: arguments stay values wherever they are placed, and every problem names its field."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.api.config import OperatorConfig
from headgate.api.gate import Argument, PrometheusCheck, QualityGateSpec, Query
from headgate.api.rollout import GateStep
from headgate.decide.queries import (
    MAX_POINTS,
    QueryContext,
    QueryProblem,
    for_step,
    misgiven,
    problems_of,
    render,
    render_check,
)

pytestmark = pytest.mark.unit

CONTEXT = QueryContext("shop-prod", "checkout", "checkout", "checkout-canary", "oldoldoldd", "newnewneww")


def config(template: str = "up", *, raw: bool = False) -> OperatorConfig:
    """One provider and one template, `t`."""
    return OperatorConfig.model_validate(
        {
            "metricProviders": {"default": {"address": "http://prometheus.test"}},
            "queryTemplates": {"t": {"query": template}},
            "allowRawQueries": raw,
        }
    )


def rendered(template: str, window: float = 42.9, **arguments: str) -> str:
    """The template with these arguments in place."""
    query = Query(template="t", arguments=[Argument(name=name, value=value) for name, value in arguments.items()])
    return render(query, CONTEXT, config(template), window=window, field="q")


def gate(**changes: object) -> QualityGateSpec:
    """A good gate with these changes."""
    check = {"name": "up", "prometheus": {"query": {"template": "t"}}, "pass": {"min": 1}}
    return QualityGateSpec.model_validate({"checks": [check], **changes})


def test_built_in_arguments_are_there() -> None:
    """Every built-in argument is replaced, the window in whole seconds, rounded down."""
    template = (
        'a{n="{{namespace}}", r="{{ rollout }}", s="{{stableService}}", c="{{canaryService}}",'
        ' o="{{stableRevision}}", w="{{canaryRevision}}"}[{{window}}]'
    )
    assert rendered(template) == (
        'a{n="shop-prod", r="checkout", s="checkout", c="checkout-canary", o="oldoldoldd", w="newnewneww"}[42s]'
    )


def test_window_is_never_zero() -> None:
    """`[0s]` is no range in PromQL, so the least window is a second."""
    assert rendered("a[{{window}}]", window=0.0) == "a[1s]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('x"} or vector(0) or a{b="', r"x\"} or vector(0) or a{b=\""),
        ("x' or vector(0)", "x' or vector(0)"),
        ("{0.__class__}", "{0.__class__}"),
        ("%s %(a)s ${a}", "%s %(a)s ${a}"),
        ("{% for x in y %}", "{% for x in y %}"),
        ("{{ namespace }}", "{{ namespace }}"),
        ("{{x}}", "{{x}}"),
        ("a\nb\rc\x00\x1b[31m", r"a\nb\x0dc\x00\x1b[31m"),
        ("back\\", r"back\\"),
        ('\\"', r"\\\""),
        ("ünïcödé 🚦", "ünïcödé 🚦"),
    ],
)
def test_hostile_argument_stays_a_label_value(value: str, expected: str) -> None:
    """Quotes, escapes and the syntax of other template languages are text like any other (abuse case 8)."""
    assert rendered('a{b="{{x}}"}', x=value) == f'a{{b="{expected}"}}'


def unquoted(text: str) -> str:
    """What a PromQL lexer reads between double quotes; fails if the literal ends early."""
    out, position = [], 0
    while position < len(text):
        character = text[position]
        assert character not in '"\n', "the literal ended inside the argument"
        if character == "\\":
            position += 1
            escape = text[position]
            if escape == "x":
                out.append(chr(int(text[position + 1 : position + 3], 16)))
                position += 2
            else:
                out.append({"n": "\n", '"': '"', "\\": "\\"}[escape])
        else:
            out.append(character)
        position += 1
    return "".join(out)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=253))
def test_any_argument_comes_back_out_of_the_literal(value: str) -> None:
    """Whatever a tenant writes, the server reads exactly that and the literal ends where its author ended it."""
    text = rendered('a{b="{{x}}"}', x=value)
    assert unquoted(text.removeprefix('a{b="').removesuffix('"}')) == value


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100))
def test_regex_argument_matches_itself_only(value: str) -> None:
    """With `:regex` the argument is a literal inside a pattern."""
    pattern = unquoted(rendered('a{b=~"{{x:regex}}"}', x=value).removeprefix('a{b=~"').removesuffix('"}'))
    assert re.fullmatch(pattern, value)
    assert not re.fullmatch(pattern, value + "x")


def test_each_kind_of_quote_has_its_own_escapes() -> None:
    """Single quotes escape themselves; backquotes cannot, so they refuse."""
    assert rendered("a{b='{{x}}'}", x="'\"") == "a{b='\\'\"'}"
    assert rendered("a{b=`{{x}}`}", x="\\d") == "a{b=`\\d`}"
    with pytest.raises(QueryProblem, match=r"q\.arguments\[x\]\.value: must not contain a backquote"):
        rendered("a{b=`{{x}}`}", x="`")


@pytest.mark.parametrize("value", ["5m", "1h30m", "99", "0.95"])
def test_number_or_length_may_stand_outside_quotes(value: str) -> None:
    """A quantile or a range may be an argument."""
    assert rendered("a[{{x}}]", x=value) == f"a[{value}]"


@pytest.mark.parametrize("value", ["x", "5m] or vector(0) or a[5m", "1 or 2", "", "-1", "5m\n", "٣"])
def test_nothing_else_may_stand_outside_quotes(value: str) -> None:
    """A template without quotes around an argument is no way in."""
    with pytest.raises(QueryProblem, match=r"q\.arguments\[x\]\.value: stands outside quotes"):
        rendered("a[{{x}}]", x=value)


def test_quotes_in_a_comment_are_none() -> None:
    """A comment with an apostrophe does not turn the rest of the query inside out."""
    assert rendered("# don't\na{b=\"{{x}}\"} # it's {{window}}", x='"') == '# don\'t\na{b="\\""} # it\'s 42s'


def test_escaped_quote_does_not_end_a_literal() -> None:
    """The template's own escapes are understood."""
    assert rendered(r'a{b="\"{{x}}\\", c="{{x}}"}', x='"') == r'a{b="\"\"\\", c="\""}'


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"template": "nope"}, 'q.template: there is no template "nope"; the admin configured: t'),
        ({"template": "t"}, 'q.arguments: the template "t" needs the argument "x"; add it'),
        (
            {"template": "t", "arguments": [{"name": "x", "value": "1"}, {"name": "y", "value": "1"}]},
            'q.arguments: the template "t" has no argument y; remove it',
        ),
        (
            {"template": "t", "arguments": [{"name": "namespace", "value": "other"}]},
            "q.arguments[namespace]: namespace is set by Headgate and cannot be replaced; remove it",
        ),
        (
            {"template": "t", "arguments": [{"name": "x", "value": "1"}, {"name": "x", "value": "2"}]},
            "q.arguments[x]: is given twice",
        ),
        (
            {"template": "t", "arguments": [{"name": "x", "value": "\ud800"}]},
            "q.arguments[x].value: is not valid Unicode text",
        ),
        (
            {"raw": "up"},
            "q.raw: the admin does not allow raw queries; use a template, the admin configured: t",
        ),
        ({}, "q: set exactly one of template and raw"),
        ({"template": "t", "raw": "up"}, "q: set exactly one of template and raw"),
    ],
)
def test_problem_names_the_field_and_the_way_out(query: dict[str, object], message: str) -> None:
    """Each way in which a query cannot be asked is a sentence about its field."""
    # Not validated: JSON can carry half a surrogate pair, which pydantic's own text check refuses.
    arguments = [Argument.model_construct(**each) for each in query.pop("arguments", [])]  # type: ignore[attr-defined]
    made = Query.model_validate(query).model_copy(update={"arguments": arguments})
    with pytest.raises(QueryProblem) as caught:
        render(made, CONTEXT, config('a{b="{{x}}"}'), window=60, field="q")
    assert str(caught.value) == message


def test_malformed_placeholder_is_a_problem() -> None:
    """`{{` that begins no argument is a mistake, not text."""
    with pytest.raises(QueryProblem, match="begins no argument"):
        rendered('a{b="{{ 0.__class__ }}"}')
    with pytest.raises(QueryProblem, match="begins no argument"):
        rendered('a{b="{{x:upper}}"}', x="1")


def test_built_in_name_outside_quotes_is_the_templates_fault() -> None:
    """A name could read as a subtraction; the message points at the template."""
    with pytest.raises(QueryProblem, match=r'q: the template "t" \{\{namespace\}\} stands outside quotes'):
        rendered("{{namespace}}")


def test_rendered_query_has_an_end() -> None:
    """Many long arguments do not become a URL of megabytes (abuse case 9)."""
    with pytest.raises(QueryProblem, match="the most is 8192"):
        rendered('a{b="' + "{{x}}" * 100 + '"}', x="y" * 253)


def test_raw_query_where_the_admin_allows_it() -> None:
    """Raw queries take arguments like templates."""
    query = Query(raw='a{n="{{namespace}}"}')
    assert render(query, CONTEXT, config(raw=True), window=60, field="q") == 'a{n="shop-prod"}'


def test_range_query_never_has_too_many_points() -> None:
    """A window of a month gets a longer step."""
    check = PrometheusCheck.model_validate({"query": {"template": "t"}, "range": {"step": "15s", "reduce": "Max"}})
    short = render_check(check, CONTEXT, config(), window=120.7, field="q")
    assert (short.step, short.window, short.reduce) == (15.0, 120.0, "Max")
    long = render_check(check, CONTEXT, config(), window=30 * 86400, field="q")
    assert long.step is not None
    assert long.window / long.step <= MAX_POINTS


def test_good_gate_has_no_problems() -> None:
    """The usual gate is accepted."""
    assert problems_of(gate(), config()) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interval": "500ms"}, "interval: 500ms is too short; the least is 1s"),
        (
            {"initialDelay": "60s", "duration": "1m"},
            "initialDelay: 60s is not shorter than the duration 1m; the gate would end before it measures",
        ),
    ],
)
def test_times_that_cannot_work(changes: dict[str, object], message: str) -> None:
    """Lengths that cannot work are found before anything is measured."""
    assert problems_of(gate(**changes), config(), name="g") == (f"QualityGate g: {message}",)


def test_step_may_repair_or_break_the_times() -> None:
    """The step's duration is the one that counts."""
    spec = gate(initialDelay="60s", duration="1m")
    assert problems_of(spec, config(), step=GateStep.model_validate({"ref": {"name": "g"}, "duration": "5m"})) == ()


def test_no_checks_is_a_problem() -> None:
    """An empty gate is impossible in the model, and a problem if it gets past it."""
    with pytest.raises(ValueError, match="at least 1"):
        QualityGateSpec(checks=[])
    empty = gate().model_copy(update={"checks": []})
    assert problems_of(empty, config()) == ("checks: give at least one; an empty gate could never pass",)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            {"prometheus": {"provider": "x", "query": {"template": "t"}}},
            'checks[0].prometheus.provider: there is no provider "x"; the admin configured: default',
        ),
        (
            {"prometheus": {"query": {"template": "u"}}},
            'checks[0].prometheus.query.template: there is no template "u"; the admin configured: t',
        ),
        (
            {"prometheus": {"query": {"template": "t"}, "range": {"step": "10ms"}}},
            "checks[0].prometheus.range.step: 10ms is too short; the least is 1s",
        ),
        ({"pass": {"min": math.nan}}, "checks[0].pass.min: must be a finite number"),
        ({"pass": {"max": math.inf}}, "checks[0].pass.max: must be a finite number"),
        ({"pass": {}}, "checks[0].pass: give at least one of min, max, equals"),
        ({"pass": {"min": 2, "max": 1}}, "checks[0].pass: min is greater than max"),
        (
            {"pass": {"min": 2, "equals": 1}},
            "checks[0].pass: equals lies outside min and max, so that nothing could satisfy it",
        ),
        ({"fail": {"equals": -math.inf}}, "checks[0].fail.equals: must be a finite number"),
        (
            {"minSample": {"query": {"raw": "x"}, "min": 5}},
            (
                "checks[0].minSample.query.raw: the admin does not allow raw queries; "
                "use a template, the admin configured: t"
            ),
        ),
        (
            {"minSample": {"query": {"template": "t"}, "min": math.inf}},
            "checks[0].minSample.min: must be a number greater than 0",
        ),
    ],
)
def test_check_that_cannot_be_asked_or_judged(check: dict[str, object], message: str) -> None:
    """Each problem of a check names its place in the gate."""
    whole = {"name": "up", "prometheus": {"query": {"template": "t"}}, "pass": {"min": 1}, **check}
    assert problems_of(gate(checks=[whole]), config()) == (message,)


def test_duplicate_names() -> None:
    """Two checks of one name would share their answers."""
    check = gate().checks[0]
    both = gate().model_copy(update={"checks": [check, check]})
    assert problems_of(both, config()) == ('checks: the name "up" is given 2 times; give each check its own',)


def test_admin_configured_nothing() -> None:
    """With an empty configuration the message says so."""
    first, second = problems_of(gate(), OperatorConfig())
    assert first.endswith('there is no provider "default"; the admin configured: none')
    assert second.endswith('there is no template "t"; the admin configured: none')


# --------------------------------------------------------------------------------------------------------------------
# What a step gives
# --------------------------------------------------------------------------------------------------------------------

BY_ROUTE = 'up{r="{{route}}"}'


def giving(**arguments: str) -> GateStep:
    """A step with these arguments for its gate."""
    given = [{"name": name, "value": value} for name, value in arguments.items()]
    return GateStep.model_validate({"ref": {"name": "g"}, "arguments": given})


def own(value: str) -> dict[str, object]:
    """A query with an argument of the gate's own."""
    return {"template": "t", "arguments": [{"name": "route", "value": value}]}


@pytest.mark.parametrize("query", [own("/cart"), {"template": "t"}])
def test_step_gives_arguments_to_each_query_that_uses_them(query: dict[str, object]) -> None:
    """The step's replaces the gate's own, or stands where the gate has none; the count of samples is asked likewise."""
    known = config(BY_ROUTE, raw=True)
    check = {"name": "up", "prometheus": {"query": query}, "pass": {"min": 1}, "minSample": {"query": query, "min": 5}}
    plain = {"name": "plain", "prometheus": {"query": {"raw": "up"}}, "pass": {"min": 1}}
    asked = for_step(gate(checks=[check, plain]), giving(route="/pay"), known)
    assert problems_of(asked, known) == ()
    sample = asked.checks[0].min_sample
    assert sample is not None
    queries = (asked.checks[0].prometheus.query, sample.query, asked.checks[1].prometheus.query)
    texts = [render(query, CONTEXT, known, window=1, field="q") for query in queries]
    assert texts == ['up{r="/pay"}', 'up{r="/pay"}', "up"]


def test_step_that_gives_nothing_leaves_the_gate_as_it_is() -> None:
    """Nothing is copied for it."""
    spec = gate()
    assert for_step(spec, None, config()) is spec
    assert for_step(spec, giving(), config()) is spec


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"route": "/pay"}, ()),
        ({"rout": "/pay"}, ("arguments[rout]: no query of the gate uses it; remove it",)),
        (
            {"namespace": "bank"},
            ("arguments[namespace]: namespace is set by Headgate and cannot be replaced; remove it",),
        ),
    ],
)
def test_step_is_told_of_an_argument_that_it_cannot_give(arguments: dict[str, str], told: tuple[str, ...]) -> None:
    """One that nothing uses is a slip of the pen, and what Headgate sets is no tenant's to replace."""
    assert misgiven(gate(), giving(**arguments), config(BY_ROUTE + ' + a{n="{{namespace}}"}')) == told


def test_recorded_step_reads_no_other_namespace() -> None:
    """Whatever a record holds: a built-in argument among those of a step is never asked (abuse case 8)."""
    known = config('up{n="{{namespace}}"}')
    asked = for_step(gate(), giving(namespace="bank"), known).checks[0].prometheus.query
    with pytest.raises(QueryProblem, match="namespace is set by Headgate"):
        render(asked, CONTEXT, known, window=1, field="q")
