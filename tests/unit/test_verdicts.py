"""The verdict table: only a finite value on enough observations inside the threshold passes."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.api.gate import Check, Threshold
from headgate.decide.types import Answer
from headgate.decide.verdicts import comparison_text, judge, rule_text, satisfies

pytestmark = pytest.mark.unit

SAMPLE = {"query": {"template": "t"}, "min": 20}


def check(**changes: object) -> Check:
    """A check that passes from 99 on, with these changes."""
    base = {"name": "up", "prometheus": {"query": {"template": "t"}}, "pass": {"min": 99}}
    return Check.model_validate(base | changes)


def answer(value: float | None = None, *, sample: float | None = None, error: str = "", no_data: str = "") -> Answer:
    """An answer with these contents."""
    return Answer("k", 1, 0.0, value=value, sample=sample, error=error, no_data=no_data)


VALUES = [None, math.nan, math.inf, -math.inf, 98.9, 99.0, 1e300]
SAMPLES = [None, math.nan, math.inf, 0.0, 19.9, 20.0]


@pytest.mark.parametrize(
    ("error", "no_data", "value", "sample", "wants_sample"),
    list(itertools.product(["", "Timeout"], ["", "NoData"], VALUES, SAMPLES, [False, True])),
)
def test_verdict_table(
    error: str, no_data: str, value: float | None, sample: float | None, *, wants_sample: bool
) -> None:
    """Every combination of what an answer can carry has its verdict (invariant 8)."""
    subject = check(minSample=SAMPLE) if wants_sample else check()
    got = judge(answer(value, sample=sample, error=error, no_data=no_data), subject)
    if error:
        expected = ("Error", "Timeout")
    elif wants_sample and sample in (0.0, 19.9):
        # Too few says more than that nothing can be divided by nothing.
        expected = ("Unknown", "NotEnoughData")
    elif no_data or value is None:
        expected = ("Unknown", "NoData")
    elif math.isnan(value):
        expected = ("Unknown", "NaN")
    elif math.isinf(value):
        expected = ("Unknown", "Infinite")
    elif wants_sample and sample != 20.0:
        expected = ("Unknown", "NotEnoughData")
    else:
        expected = ("Pass", "") if value >= 99 else ("Fail", "")
    assert got == expected


@pytest.mark.parametrize(
    ("passes", "fails", "value", "verdict"),
    [
        ({"max": 5}, None, 5, "Pass"),
        ({"max": 5}, None, 5.01, "Fail"),
        ({"equals": 0}, None, 0, "Pass"),
        ({"equals": 0}, None, 0.1, "Fail"),
        ({"min": 1, "max": 5}, None, 3, "Pass"),
        ({"min": 1, "max": 5}, None, 0, "Fail"),
        ({"min": 1, "max": 5}, None, 6, "Fail"),
        ({"min": 99}, {"max": 95}, 99, "Pass"),
        ({"min": 99}, {"max": 95}, 97, "Unknown"),
        ({"min": 99}, {"max": 95}, 95, "Fail"),
        ({"max": 5}, {"min": 5}, 5, "Fail"),
    ],
)
def test_thresholds(passes: dict[str, float], fails: dict[str, float] | None, value: float, verdict: str) -> None:
    """Bounds are inclusive; between pass and fail nothing is known; where they overlap it fails."""
    got, reason = judge(answer(value), check(**{"pass": passes, "fail": fails}))
    assert got == verdict
    assert reason == ("BetweenThresholds" if verdict == "Unknown" else "")


@given(st.floats(), st.sampled_from(["min", "max", "equals"]))
def test_nothing_satisfies_a_threshold_that_is_no_number(value: float, bound: str) -> None:
    """NaN compares as false, so it never passes; no bounds at all are satisfied by nothing."""
    assert not satisfies(value, Threshold.model_validate({bound: math.nan}))
    assert not satisfies(value, Threshold())


def test_rules_in_words() -> None:
    """The rule that is stored beside the evidence reads like the spec."""
    assert rule_text(check()) == ">= 99"
    assert rule_text(check(**{"pass": {"min": 0.5, "max": 2}})) == ">= 0.5 and <= 2"
    assert rule_text(check(fail={"max": 95})) == "pass >= 99, fail <= 95"
    assert comparison_text(81.2, check(), "Fail") == "81.2 is not >= 99"
    assert comparison_text(99.5, check(), "Pass") == "99.5 is >= 99"
    assert comparison_text(94, check(fail={"max": 95}), "Fail") == "94 is <= 95"


def test_codes_are_bounded() -> None:
    """A provider's code cannot outgrow the status field."""
    assert len(judge(answer(error="E" * 100), check())[1]) == 64
