"""What one answer means for one check: the verdict table, and its rules in words."""

from __future__ import annotations

import math

from headgate.api.gate import Check, Threshold, Verdict
from headgate.decide.types import Answer


def judge(answer: Answer, check: Check) -> tuple[Verdict, str]:
    """The verdict on one answer, and a CamelCase reason where it is not a plain Pass or Fail.

    Only a finite value on enough observations inside the `pass` threshold and outside the `fail` threshold is a Pass.
    """
    if answer.error:
        return "Error", answer.error[:64]
    # A share of nothing is no number either: what lacks is the sample, and that is what a person can see to.
    sample = answer.sample
    if check.min_sample is not None and sample is not None and sample < check.min_sample.min:
        return "Unknown", "NotEnoughData"
    if answer.no_data:
        return "Unknown", answer.no_data[:64]
    if answer.value is None:
        return "Unknown", "NoData"
    if not math.isfinite(answer.value):
        return "Unknown", "NaN" if math.isnan(answer.value) else "Infinite"
    if check.min_sample is not None and not _enough(answer.sample, check.min_sample.min):
        return "Unknown", "NotEnoughData"
    return _compare(answer.value, check)


def _enough(sample: float | None, least: float) -> bool:
    return sample is not None and math.isfinite(sample) and sample >= least


def _compare(value: float, check: Check) -> tuple[Verdict, str]:
    # The fail threshold is asked first: where the two overlap, doubt is not a pass.
    if check.fails is not None and satisfies(value, check.fails):
        return "Fail", ""
    if satisfies(value, check.passes):
        return "Pass", ""
    return ("Fail", "") if check.fails is None else ("Unknown", "BetweenThresholds")


def satisfies(value: float, threshold: Threshold) -> bool:
    """Whether the value keeps every given bound; a threshold without bounds is satisfied by nothing."""
    bounds = (
        threshold.min is None or value >= threshold.min,
        threshold.max is None or value <= threshold.max,
        threshold.equals is None or value == threshold.equals,
    )
    return all(bounds) and not (threshold.min is threshold.max is threshold.equals is None)


def number_text(value: float) -> str:
    """A number for people, with as many digits as tell it from its neighbours."""
    return f"{value:.10g}"


def threshold_text(threshold: Threshold) -> str:
    """A threshold for people, e.g. `>= 99` or `>= 1 and <= 5`."""
    signs = ((">=", threshold.min), ("<=", threshold.max), ("=", threshold.equals))
    return " and ".join(f"{sign} {number_text(bound)}" for sign, bound in signs if bound is not None)


def rule_text(check: Check) -> str:
    """What the value is compared with, e.g. `>= 99`, or `pass >= 99, fail <= 95`."""
    if check.fails is None:
        return threshold_text(check.passes)[:128]
    return f"pass {threshold_text(check.passes)}, fail {threshold_text(check.fails)}"[:128]


def comparison_text(value: float, check: Check, verdict: Verdict) -> str:
    """Why a plain verdict is what it is, e.g. `81.2 is not >= 99`."""
    if verdict == "Pass":
        return f"{number_text(value)} is {threshold_text(check.passes)}"
    if check.fails is not None:
        return f"{number_text(value)} is {threshold_text(check.fails)}"
    return f"{number_text(value)} is not {threshold_text(check.passes)}"
