"""Reads the one number out of a Prometheus result; the result is data from elsewhere, taken strictly or not at all."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from headgate.api.values import dataclass

STALE_AFTER = 300.0
"""Seconds; a series whose newest point is older says nothing about now. Prometheus' own lookback is as long."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,4})?|Inf|NaN)", re.ASCII)


class MalformedResult(ValueError):  # noqa: N818 - a finding about an answer, which becomes the code `Malformed`.
    """The result has not the shape that Prometheus documents. The message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A number, or a CamelCase code that says why there is none."""

    value: float | None = None
    no_data: str = ""


def read_instant(result: Any) -> Reading:
    """The number of an instant query: of a scalar, or of a vector that has exactly one series.

    Raises:
        MalformedResult: if it is neither.
    """
    if not isinstance(result, list):
        raise MalformedResult("not a list")
    if not result:
        return Reading(no_data="NoData")
    if not isinstance(result[0], dict):
        return _plain(_point(result)[1])
    if len(result) > 1:
        return Reading(no_data="ManySeries")
    if "value" not in result[0] and "histogram" in result[0]:
        return Reading(no_data="Histogram")
    return _plain(_point(result[0].get("value"))[1])


def read_range(result: Any, *, reduce: Literal["Last", "Mean", "Min", "Max"], end: float, step: float = 0.0) -> Reading:
    """The one number that is kept of a series up to `end`; points that are NaN say nothing and are left out.

    With a long `step` even the newest point may be as old as that.

    Raises:
        MalformedResult: if it is no matrix.
    """
    if not isinstance(result, list) or not all(isinstance(series, dict) for series in result):
        raise MalformedResult("not a matrix")
    if not result:
        return Reading(no_data="NoData")
    if len(result) > 1:
        return Reading(no_data="ManySeries")
    if "values" not in result[0] and "histograms" in result[0]:
        return Reading(no_data="Histogram")
    values = result[0].get("values")
    if not isinstance(values, list):
        raise MalformedResult("a series without values")
    points = [_point(value) for value in values]
    if not points:
        return Reading(no_data="NoData")
    if end - max(at for at, _ in points) > max(STALE_AFTER, step):
        return Reading(no_data="Stale")
    numbers = [value for _, value in points if not math.isnan(value)]
    return _plain(_reduced(numbers, reduce)) if numbers else Reading(no_data="NaN")


def _reduced(numbers: Sequence[float], reduce: Literal["Last", "Mean", "Min", "Max"]) -> float:
    if reduce == "Mean":
        return sum(numbers) / len(numbers)
    if reduce == "Last":
        return numbers[-1]
    return min(numbers) if reduce == "Min" else max(numbers)


def _plain(value: float) -> Reading:
    if math.isfinite(value):
        return Reading(value)
    return Reading(no_data="NaN" if math.isnan(value) else "Infinite")


def _point(raw: Any) -> tuple[float, float]:
    """`[time, "number"]`."""
    if not isinstance(raw, list) or len(raw) != 2:  # noqa: PLR2004 - a pair.
        raise MalformedResult("not a pair of time and value")
    at, text = raw
    if isinstance(at, bool) or not isinstance(at, int | float) or not isinstance(text, str):
        raise MalformedResult("not a time and a text")
    if _NUMBER.fullmatch(text) is None:
        raise MalformedResult("not a number")
    return float(at), float(text)
