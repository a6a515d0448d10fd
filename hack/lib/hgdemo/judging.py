"""Judges one release by what its users met: who failed, how long a bad version was reached, which share it had."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from hack.lib.hgdemo.traffic import Request, describe
from hack.lib.hgdemo.watching import Seen, Watch
from headgate.api.common import to_epoch

TIME_TO_SAFE = 30.0
"""Seconds from the first failed measurement to the last request that reaches a bad version, at most."""


@dataclass
class Verdict:
    """One row of the summary."""

    release: str
    expected: str
    actual: str = "not reached"
    requests: int = 0
    reached: int = 0
    """Requests that this release answered."""
    own_failures: int = 0
    shifting_failures: int = 0
    time_to_safe: float | None = None
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """Sentences that say what differed from the expectation."""

    def blame(self, requests: Iterable[Request], *, bad: str = "") -> None:
        """Count requests and failures; only the version named `bad` is expected to fail, and then by its own answer."""
        of_others = []
        for each in requests:
            self.requests += 1
            self.reached += each.version == self.release
            if not each.failed:
                continue
            if bad and each.version == bad:
                self.own_failures += 1
            else:
                self.shifting_failures += 1
                of_others.append(each)
        if of_others:
            self.wrong.append(f"{self.release}: {len(of_others)} requests failed by shifting: {describe(of_others)}.")


def first_failure(watch: Watch, pod_hash: str) -> float | None:
    """When a gate first measured a failure of this revision."""
    times = [
        to_epoch(measurement.at)
        for run in watch.gates(pod_hash)
        for check in run.checks
        for measurement in check.measurements
        if measurement.verdict == "Fail"
    ]
    return min(times, default=None)


def last_request(requests: Iterable[Request], version: str) -> float | None:
    """When the last request that reached a version was answered."""
    return max((each.ended for each in requests if each.version == version), default=None)


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which one weight was served and nothing moved."""

    weight: int
    begin: float
    end: float


def spans(seen: list[Seen], *, margin: float = 1.0) -> list[Span]:
    """The times in which the router was known to serve one weight above 0, less a margin on both sides."""
    found: list[Span] = []
    for each, following in zip(seen, [*seen[1:], None], strict=True):
        weights = each.status.weights
        if not weights.applied or weights.observed != weights.desired or not weights.observed or following is None:
            continue
        if found and found[-1].weight == weights.observed and found[-1].end == each.at:
            found[-1] = Span(weights.observed, found[-1].begin, following.at)
        else:
            found.append(Span(weights.observed, each.at, following.at))
    trimmed = [Span(one.weight, one.begin + margin, one.end - margin) for one in found]
    return [one for one in trimmed if one.end > one.begin]


def odd_share(requests: list[Request], version: str, span: Span) -> str:
    """Why the share that a version had in a span cannot be chance; empty if it can.

    The bound is five standard deviations of a binomial distribution: chance exceeds it once in a million spans.
    """
    inside = [each for each in requests if span.begin <= each.at <= span.end and not each.failure]
    if not inside:
        return ""
    reached = sum(each.version == version for each in inside)
    expected = len(inside) * span.weight / 100
    bound = 5 * math.sqrt(expected * (1 - span.weight / 100)) + 1
    if abs(reached - expected) <= bound:
        return ""
    wanted = f"{expected:.0f} ± {bound:.0f}"
    return f"at weight {span.weight} {version} got {reached} of {len(inside)} requests, expected were {wanted}"
