"""Runs of quality gates: what is asked when, what is folded in once, and what decides."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.api.common import to_epoch
from headgate.api.config import OperatorConfig
from headgate.api.gate import GateRun, QualityGateSpec
from headgate.api.rollout import GateStep
from headgate.decide.gates import GateProgress, advance, begin, is_final
from headgate.decide.queries import QueryContext
from headgate.decide.types import Answer, Question

pytestmark = pytest.mark.unit

CONTEXT = QueryContext("shop", "checkout", "checkout", "checkout-canary", "oldoldoldd", "newnewneww")


def config(query: str) -> OperatorConfig:
    """One provider, and one template with this query."""
    return OperatorConfig.model_validate(
        {
            "metricProviders": {"default": {"address": "http://prometheus.test", "timeoutSeconds": 7}},
            "queryTemplates": {"t": {"query": query}},
        }
    )


CONFIG = config('up{n="{{namespace}}"}')
WINDOW = config('sum(rate(x{n="{{namespace}}"}[{{window}}]))')
T0 = 1_800_000_000.0
ANSWERS: dict[str, dict[str, Any]] = {
    "P": {"value": 99.5, "sample": 50.0},
    "F": {"value": 81.2, "sample": 50.0},
    "U": {"no_data": "NoData"},
    "S": {"value": 99.5, "sample": 3.0},
    "N": {"value": math.nan},
    "E": {"error": "Timeout"},
}


def spec(*names: str, **changes: Any) -> QualityGateSpec:
    """A gate with checks of these names, every 10 s."""
    checks = [
        {"name": name, "prometheus": {"query": {"template": "t"}}, "pass": {"min": 99}} for name in names or ("rate",)
    ]
    return QualityGateSpec.model_validate({"checks": checks, "interval": "10s", **changes})


class World:
    """A gate with a clock and a metric source that answers from a script, at once."""

    def __init__(
        self, gate: QualityGateSpec, *, step: int = 1, gate_step: GateStep | None = None, window: bool = False
    ) -> None:
        self.spec = gate
        self.now = T0
        self.gate_step = gate_step
        self.config = WINDOW if window else CONFIG
        self.run = begin("golden", gate, step=step, pod_hash="newnewneww", attempt=1, now=T0)
        self.asked: list[Question] = []
        self.history: list[GateRun] = [self.run]

    def look(self, *answers: Answer) -> GateProgress:
        """Decide once."""
        progress = advance(
            self.run,
            self.spec,
            now=self.now,
            answers=answers,
            context=CONTEXT,
            config=self.config,
            key_prefix="uid",
            step=self.gate_step,
        )
        self.run = progress.run
        self.history.append(self.run)
        return progress

    def verdict(self) -> str:
        """The verdict now; a call, because the next look may change it."""
        return self.run.verdict

    def feed(self, **scripts: str) -> World:
        """Answer each check's questions by its letters, until they are used up or the run is final."""
        left = {name: list(letters) for name, letters in scripts.items()}
        progress = self.look()
        while any(left.values()) and not is_final(self.run):
            answers = []
            for question in progress.questions:
                letters = left.get(question.key.rsplit("/", 1)[1])
                if letters:
                    self.asked.append(question)
                    answers.append(answered(question, self.now, letters.pop(0)))
            if not answers:
                if progress.wake_at is None:
                    return self  # What is left waits for answers that the script does not have.
                assert progress.wake_at > self.now, "a wake-up that does not move"
                self.now = progress.wake_at
            progress = self.look(*answers)
        return self


def answered(question: Question, at: float, letter: str) -> Answer:
    """One answer by its letter: Pass, Fail, Unknown, too few Samples, NaN, Error."""
    return Answer(question.key, question.number, at, **ANSWERS[letter])


# --------------------------------------------------------------------------------------------------------------------
# Asking
# --------------------------------------------------------------------------------------------------------------------


def test_first_question_waits_for_the_initial_delay() -> None:
    """Nothing is asked before the initial delay, and the wake-up is its end."""
    world = World(spec(initialDelay="15s", duration="60s"), window=True)
    progress = world.look()
    assert progress.questions == ()
    assert progress.wake_at == T0 + 15
    world.now = T0 + 15
    (question,) = world.look().questions
    assert (question.number, question.provider, question.timeout) == (1, "default", 7.0)
    assert question.key == "uid/golden/1/newnewneww/1/1/rate"
    assert question.query.text == 'sum(rate(x{n="shop"}[15s]))'


def test_window_has_a_length_before_it_is_asked_about() -> None:
    """A check that looks back over the window is not asked at its very beginning; half a duration is enough."""
    assert World(spec(count=1), window=True).look().wake_at == T0 + 10
    assert World(spec(duration="8s"), window=True).look().wake_at == T0 + 4
    assert World(spec(initialDelay="60s", duration="8s")).look().wake_at == T0 + 4
    assert World(spec(count=1)).look().questions


def test_same_question_until_it_is_answered() -> None:
    """A question under way is the same value however late it is looked at, so that asking it twice asks once."""
    world = World(spec(duration="60s"))
    first = world.look().questions
    world.now += 7
    assert world.look().questions == first


def test_next_question_after_the_interval() -> None:
    """The interval runs from the answer."""
    world = World(spec(count=5))
    (question,) = world.look().questions
    progress = world.look(answered(question, T0 + 0.5, "P"))
    assert progress.questions == ()
    assert progress.wake_at == T0 + 10.5
    world.now = T0 + 10.5
    assert world.look().questions[0].number == 2


def test_query_is_kept_as_it_was_sent() -> None:
    """The stored evidence is the text of the question that was answered."""
    world = World(spec(count=3), window=True).feed(rate="PP")
    assert world.run.checks[0].query == world.asked[-1].query.text == 'sum(rate(x{n="shop"}[20s]))'


def test_sample_query_is_asked_along() -> None:
    """minSample asks a second query with the same question."""
    gate = spec()
    sample = {"query": {"template": "t"}, "min": 20}
    check = gate.checks[0].model_dump(by_alias=True) | {"minSample": sample}
    world = World(QualityGateSpec.model_validate({"checks": [check]}))
    (question,) = world.look().questions
    assert question.sample_query == question.query
    world.feed(rate="S")
    assert world.run.checks[0].measurements[-1].reason == "NotEnoughData"


# --------------------------------------------------------------------------------------------------------------------
# Folding
# --------------------------------------------------------------------------------------------------------------------


def test_answer_counts_once() -> None:
    """The same answer, seen again, changes nothing."""
    world = World(spec(count=5))
    (question,) = world.look().questions
    answer = answered(question, T0, "P")
    assert world.look(answer, answer).recorded == 1
    assert world.look(answer).recorded == 0
    assert world.run.checks[0].passes == 1


@pytest.mark.parametrize(
    "change",
    ["uid2/golden/1/newnewneww/1/1/rate", "uid/golden/2/newnewneww/1/1/rate", "uid/golden/1/oldoldoldd/1/1/rate",
     "uid/golden/1/newnewneww/2/1/rate", "uid/golden/1/newnewneww/1/2/rate", "uid/other/1/newnewneww/1/1/rate"],
)  # fmt: skip
def test_answer_to_another_question_is_not_looked_at(change: str) -> None:
    """Another Rollout, step, revision, attempt, window or gate: not this run's evidence (invariant 9)."""
    world = World(spec())
    assert world.look(Answer(change, 1, T0, value=100.0)).recorded == 0
    assert world.run.checks[0].asked == 0


def test_answer_with_a_gap_waits() -> None:
    """Number 2 before number 1 is not folded; both together are, in order."""
    world = World(spec(count=5, failureLimit=1))
    (question,) = world.look().questions
    first, second = answered(question, T0, "F"), Answer(question.key, 2, T0 + 10, value=100.0)
    assert world.look(second).recorded == 0
    assert world.look(second, first).recorded == 2
    assert [each.verdict for each in world.run.checks[0].measurements] == ["Fail", "Pass"]


def test_order_of_the_answers_does_not_matter() -> None:
    """Any order of the same answers gives the same run (invariant 31)."""
    gate = spec("a", "b", "c", count=6, failureLimit=2, inconclusiveLimit=2)
    world = World(gate)
    world.now = T0 + 100
    keys = {name: f"uid/golden/1/newnewneww/1/1/{name}" for name in "abc"}
    answers = [
        Answer(keys[name], number, T0 + number * 10 + "abc".index(name), **ANSWERS[letter])
        for name, letters in (("a", "PFPUP"), ("b", "UEPPF"), ("c", "PPPFP"))
        for number, letter in enumerate(letters, 1)
    ]
    start, outcomes = world.run, []
    for seed in range(20):
        random.Random(seed).shuffle(answers)
        world.run = start
        outcomes.append(world.look(*answers))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0].recorded == 15


@pytest.mark.parametrize(("names", "kept"), [("a", 10), ("ab", 5), ("abc", 3), ("abcd", 2), ("abcde", 2)])
def test_measurements_are_bounded(names: str, kept: int) -> None:
    """All checks of a run together keep about ten measurements, each at least two."""
    world = World(spec(*names, count=15)).feed(**dict.fromkeys(names, "P" * 12))
    assert {len(check.measurements) for check in world.run.checks} == {kept}


def test_no_number_that_json_does_not_know() -> None:
    """NaN is kept as a reason, never as a value."""
    world = World(spec(count=3, inconclusiveLimit=5)).feed(rate="N")
    (measurement,) = world.run.checks[0].measurements
    assert (measurement.value, measurement.verdict, measurement.reason) == (None, "Unknown", "NaN")


# --------------------------------------------------------------------------------------------------------------------
# Deciding
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_failure_after_the_limit_fails_at_once(limit: int) -> None:
    """failureLimit N: N failures are tolerated, the (N+1)th fails."""
    world = World(spec(duration="10m", failureLimit=limit)).feed(rate="P" + "F" * limit)
    assert world.verdict() == "Running"
    world.feed(rate="F")
    assert world.verdict() == "Fail"
    count = "1 failure" if limit == 0 else f"{limit + 1} failures"
    assert world.run.message == f"rate failed: 81.2 is not >= 99 ({count}, {limit} tolerated)"
    assert world.run.decided_at is not None


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_unknown_after_the_limit_is_held(limit: int) -> None:
    """inconclusiveLimit N: the (N+1)th Unknown means that nothing can be known."""
    world = World(spec(duration="10m", inconclusiveLimit=limit)).feed(rate="P" + "U" * limit)
    assert world.verdict() == "Running"
    world.feed(rate="U")
    assert (world.verdict(), world.run.held) == ("Unknown", True)
    assert "rate says nothing: NoData" in world.run.message
    assert f"{limit} tolerated" in world.run.message


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_errors_in_a_row_after_the_limit_are_held(limit: int) -> None:
    """consecutiveErrorLimit counts errors in a row only."""
    world = World(spec(duration="10m", consecutiveErrorLimit=limit)).feed(rate=("E" * limit + "P") * 3 + "E" * limit)
    assert world.verdict() == "Running"
    world.feed(rate="E")
    assert (world.verdict(), world.run.held) == ("Error", True), f"{limit + 1} errors in a row are tolerated"
    assert "rate could not be asked: Timeout" in world.run.message


def test_on_unknown_fail() -> None:
    """A gate may say that not knowing is failing."""
    world = World(spec(duration="10m", onUnknown="Fail")).feed(rate="U")
    assert world.verdict() == "Fail"
    assert world.run.message.endswith("onUnknown is Fail")


def test_on_unknown_extend_goes_on_once() -> None:
    """Extending forgives once, moves the end by the duration, and then holds."""
    world = World(spec(duration="60s", onUnknown="Extend", inconclusiveLimit=1)).feed(rate="UU")
    run = world.run
    assert (run.verdict, run.extended, run.held, run.window) == ("Running", True, False, 1)
    assert run.checks[0].unknowns == 0
    assert run.message.endswith("extended once by 1m00s")
    world.feed(rate="UU")
    assert (world.verdict(), world.run.held) == ("Unknown", True)


def test_extended_gate_ends_at_twice_its_duration() -> None:
    """The extension is as long as the gate."""
    world = World(spec(duration="30s", onUnknown="Extend")).feed(rate="PU" + "P" * 10)
    assert world.verdict() == "Pass"
    assert to_epoch(str(world.run.decided_at)) == T0 + 60


def test_extended_gate_takes_its_count_again() -> None:
    """With a count, the extension is as many measurements again."""
    world = World(spec(count=3, onUnknown="Extend")).feed(rate="PPU" + "P" * 10)
    assert world.verdict() == "Pass"
    assert world.run.checks[0].asked == 6


def test_held_gate_begins_again_when_it_can_be_judged() -> None:
    """The first Pass after a hold opens a new window with nothing in it; what was before does not count."""
    world = World(spec(duration="30s")).feed(rate="PU")
    assert world.run.held
    world.feed(rate="UEUP")
    run = world.run
    assert (run.verdict, run.held, run.window) == ("Running", False, 2)
    assert to_epoch(run.started_at) == world.now
    assert run.checks[0].passes == run.checks[0].unknowns == run.checks[0].asked == 0
    world.feed(rate="PPPP")
    assert world.verdict() == "Pass"
    assert "/2/rate" in world.asked[-1].key


def test_new_window_is_not_asked_at_once() -> None:
    """A window of no length says nothing: asked at once, it would be held again, for ever."""
    world = World(spec(duration="30s")).feed(rate="UP")
    assert world.run.window == 2
    assert world.look().wake_at == world.now + 10


def test_failure_counts_while_held() -> None:
    """A hold never hides a failure."""
    world = World(spec(duration="60s", failureLimit=1)).feed(rate="FU")
    assert world.run.held
    world.feed(rate="F")
    assert world.verdict() == "Fail"


def test_flapping_check_does_not_save_a_failing_one() -> None:
    """One check that comes and goes cannot begin the window again while the other one fails."""
    world = World(spec("flaps", "fails", duration="60s", failureLimit=2)).feed(flaps="U" + "PU" * 10, fails="F" * 20)
    assert world.verdict() == "Fail"
    assert world.run.window == 1


def test_all_checks_must_pass_to_begin_again() -> None:
    """A hold ends when each check's newest measurement is a Pass."""
    world = World(spec("a", "b", duration="60s")).feed(a="U", b="U")
    world.feed(a="P")
    assert world.run.held
    world.feed(a="P", b="P")
    assert world.run.window == 2


def test_count_ends_the_gate() -> None:
    """Errors do not raise the count."""
    world = World(spec(count=3)).feed(rate="PEPEP")
    assert world.verdict() == "Pass"
    assert world.run.message == "passed: rate 99.5 is >= 99 (3 of 5 measurements passed)"


def test_check_that_has_its_count_is_not_asked_on() -> None:
    """A fast check waits for the slow one."""
    world = World(spec("a", "b", count=2)).feed(a="PP", b="EP")
    world.now += 10
    assert [question.key.rsplit("/", 1)[1] for question in world.look().questions] == ["b"]


def test_without_duration_and_count_one_measurement_decides() -> None:
    """A gate that says nothing about its end takes one measurement of each check."""
    world = World(spec("a", "b")).feed(a="P", b="P")
    assert world.verdict() == "Pass"


def test_duration_ends_the_gate() -> None:
    """It passes at the end of its time, not before."""
    world = World(spec(duration="30s")).feed(rate="PPP")
    assert world.verdict() == "Running"
    progress = world.look()
    assert progress.wake_at == T0 + 30
    world.now = T0 + 30
    world.look()
    assert world.verdict() == "Pass"


def test_gate_whose_operator_was_away_asks_before_it_passes() -> None:
    """What fell due within the window is asked also after its end: an old pass is no evidence for the rest."""
    world = World(spec(duration="60s")).feed(rate="P")
    world.now = T0 + 300
    progress = world.look()
    assert world.verdict() == "Running"
    world.look(answered(progress.questions[0], world.now, "F"))
    assert world.verdict() == "Fail"


def test_gate_without_a_pass_at_its_end_knows_nothing() -> None:
    """Tolerated failures alone are no success (traps 1, 4 and 11 of the field)."""
    world = World(spec(duration="20s", failureLimit=5)).feed(rate="FF")
    world.now = T0 + 20
    world.look()
    assert (world.verdict(), world.run.held) == ("Unknown", True)
    assert "rate never passed until the end (2 failures, 0 unknown, 0 errors)" in world.run.message


def test_gate_that_only_met_errors_holds_as_error() -> None:
    """The verdict tells "could not be asked" from "says nothing"."""
    world = World(spec(duration="20s")).feed(rate="EE")
    world.now = T0 + 20
    world.look()
    assert (world.verdict(), world.run.held) == ("Error", True)


@pytest.mark.parametrize(("step", "asked"), [({"duration": "30s"}, 3), ({"count": 5}, 5), ({}, 2)])
def test_step_overrides_the_end_of_the_gate(step: dict[str, Any], asked: int) -> None:
    """What a step says about the end replaces both duration and count of the gate."""
    gate_step = GateStep.model_validate({"ref": {"name": "golden"}, **step})
    world = World(spec(duration="600s", count=2), gate_step=gate_step).feed(rate="P" * asked)
    world.now = max(world.now, T0 + 30)
    world.look()
    assert world.verdict() == "Pass"
    assert world.run.checks[0].asked == asked


def test_step_asks_the_gate_with_its_own_arguments() -> None:
    """In the question, and in the query that is kept as evidence."""
    own, given = ([{"name": "route", "value": value}] for value in ("/cart", "/pay"))
    query = {"template": "t", "arguments": own}
    check = {"name": "rate", "prometheus": {"query": query}, "pass": {"min": 99}}
    gate_step = GateStep.model_validate({"ref": {"name": "golden"}, "arguments": given})
    world = World(QualityGateSpec.model_validate({"checks": [check]}), gate_step=gate_step)
    world.config = config('up{n="{{namespace}}",r="{{route}}"}')
    world.feed(rate="P")
    assert world.verdict() == "Pass"
    assert [q.query.text for q in world.asked] == ['up{n="shop",r="/pay"}']
    assert world.run.checks[0].query == 'up{n="shop",r="/pay"}'


def test_background_gate_never_ends() -> None:
    """It runs until each check has passed once, passes so far, and can fail at any time."""
    world = World(spec("a", "b", duration="10s", count=1), step=-1).feed(a="P")
    assert world.verdict() == "Running"
    world.feed(b="P")
    assert world.verdict() == "Pass"
    assert world.run.message.startswith("passing so far: a 99.5 is >= 99")
    world.feed(a="PPPP", b="PPPP")
    assert world.verdict() == "Pass"
    assert world.look().wake_at is not None
    world.feed(b="F")
    assert world.verdict() == "Fail"


def test_background_gate_is_held_and_begins_again() -> None:
    """Passing so far is no right to pass on."""
    world = World(spec(), step=-1).feed(rate="PPU")
    assert (world.verdict(), world.run.held) == ("Unknown", True)
    world.feed(rate="P")
    assert (world.verdict(), world.run.window) == ("Running", 2)
    world.feed(rate="P")
    assert world.verdict() == "Pass"


def test_failed_run_stays_failed() -> None:
    """Nothing that is answered later changes a Fail (invariant 6)."""
    world = World(spec(duration="60s")).feed(rate="F")
    failed = world.run
    progress = world.look(*(Answer(failed.name, number, T0, value=100.0) for number in range(5)))
    assert progress == GateProgress(failed, (), None, 0)


def test_query_that_cannot_be_rendered_any_more_is_held() -> None:
    """The admin took the template or the provider away in mid-run: nothing can be known, and it says why."""
    world = World(spec(duration="60s"))
    world.config = OperatorConfig.model_validate({"metricProviders": {"default": {"address": "http://x"}}})
    assert world.look().wake_at == T0 + 10
    assert (world.verdict(), world.run.held) == ("Error", True)
    assert 'there is no template "t"' in world.run.message
    world.config = OperatorConfig()
    assert world.look().questions == ()
    world.config = CONFIG
    world.feed(rate="P")
    assert world.run.window == 2


def test_empty_gate_never_passes() -> None:
    """The model refuses an empty gate; past the model it is held."""
    with pytest.raises(ValueError, match="at least 1"):
        QualityGateSpec(checks=[])
    world = World(spec().model_copy(update={"checks": []}))
    world.look()
    assert (world.verdict(), world.run.held) == ("Unknown", True), f"a gate without checks says {world.verdict()}"


def test_status_that_lost_its_checks_is_put_right() -> None:
    """A run whose checks are not the spec's is aligned by name, not trusted by position."""
    world = World(spec("a", "b", count=2)).feed(a="P", b="F" * 0)
    world.run = world.run.model_copy(update={"checks": [world.run.checks[0]]})
    world.look()
    assert [(check.name, check.passes) for check in world.run.checks] == [("a", 1), ("b", 0)]


LETTERS = st.text("PFUSNE", max_size=25)


@settings(max_examples=200, deadline=None)
@given(
    a=LETTERS,
    b=LETTERS,
    failures=st.integers(0, 3),
    unknowns=st.integers(0, 3),
    errors=st.integers(0, 3),
    policy=st.sampled_from(["Hold", "Extend", "Fail"]),
    end=st.sampled_from([{}, {"count": 3}, {"duration": "45s"}, {"count": 2, "duration": "45s"}]),
    step=st.sampled_from([-1, 0, 3]),
)
def test_no_pass_without_evidence(
    a: str, b: str, failures: int, unknowns: int, errors: int, policy: str, end: dict[str, Any], step: int
) -> None:
    """Whatever is answered: a Pass has a passing measurement of each check and no limit exceeded; a Fail stays."""
    limits = {"failureLimit": failures, "inconclusiveLimit": unknowns, "consecutiveErrorLimit": errors}
    world = World(spec("a", "b", onUnknown=policy, **limits, **end), step=step).feed(a=a, b=b)
    failed = False
    for run in world.history:
        assert not failed or run.verdict == "Fail"
        failed = run.verdict == "Fail"
        assert not (run.held and run.verdict in {"Pass", "Fail", "Running"})
        if run.verdict != "Running":
            assert run.message
            assert run.decided_at
        if run.verdict == "Pass":
            for check in run.checks:
                assert check.passes > 0
                assert check.failures <= failures
                assert check.unknowns <= unknowns
        GateRun.model_validate(run.model_dump())


@settings(max_examples=200, deadline=None)
@given(
    odd=st.text("PUSNE", max_size=12),
    policy=st.sampled_from(["Hold", "Extend"]),
    end=st.sampled_from([{}, {"count": 3}, {"duration": "45s"}, {"duration": "3s"}, {"count": 2, "duration": "10s"}]),
    delay=st.sampled_from(["0s", "7s", "50s"]),
    looks_back=st.booleans(),
)
def test_gate_that_passes_from_now_on_comes_to_its_end(
    *, odd: str, policy: str, end: dict[str, Any], delay: str, looks_back: bool
) -> None:
    """Whatever was before, a metric that is well again brings the gate to a Pass: it is never stuck (invariant 22)."""
    gate = spec(onUnknown=policy, initialDelay=delay, inconclusiveLimit=1, **end)
    world = World(gate, window=looks_back).feed(rate=odd)
    before = len(world.asked)
    for _ in range(20):
        world.feed(rate="P")
        progress = world.look()
        if not is_final(world.run) and not progress.questions and progress.wake_at is not None:
            world.now = progress.wake_at
            world.look()
    assert world.verdict() == "Pass"
    assert len(world.asked) - before <= 16
