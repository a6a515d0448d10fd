"""Counts what the operator does, for Prometheus.

The names `workqueue_*` and `controller_runtime_*` are those of operators written in Go, so that dashboards made for
those show this one. Labels are bounded: a rollout's name appears on its phase and weight only, and goes with the
rollout; no label holds a revision, a message or a user.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final, Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from headgate.api.gate import Verdict

__all__ = [
    "REGISTRY",
    "api_request",
    "evaluated",
    "lease",
    "measured",
    "queue_added",
    "queue_depth",
    "queue_retried",
    "reconciling",
    "rollout_completed",
    "rollout_gone",
    "rollout_is",
]

REGISTRY: Final = CollectorRegistry()
"""Everything that /metrics shows."""
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

Outcome = Literal["Promoted", "Rejected", "Superseded", "Reverted", "Adopted"]
Result = Literal["success", "error", "requeue"]

_QUEUE: Final = "rollout"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

_depth = Gauge("workqueue_depth", "Keys that wait to be looked at.", ["name"], registry=REGISTRY)
_adds = Counter("workqueue_adds_total", "Keys that were put into the queue.", ["name"], registry=REGISTRY)
_retries = Counter("workqueue_retries_total", "Keys that were put back after a fault.", ["name"], registry=REGISTRY)
_reconciles = Counter(
    "controller_runtime_reconcile_total", "Passes over one object.", ["controller", "result"], registry=REGISTRY
)
_reconcile_seconds = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "How long one pass took.",
    ["controller"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
_requests = Counter(
    "headgate_api_requests_total",
    "Requests to the Kubernetes API, by verb, kind and HTTP status.",
    ["verb", "kind", "code"],
    registry=REGISTRY,
)
_lease_held = Gauge(
    "headgate_lease_held", "1 on the replica that decides, 0 on those that stand by.", registry=REGISTRY
)
_phase = Gauge(
    "headgate_rollout_phase",
    "1 for the phase that a rollout is in.",
    ["namespace", "rollout", "phase"],
    registry=REGISTRY,
)
_weight = Gauge(
    "headgate_rollout_weight",
    "Percent of the requests that reach the new version, as the router was last seen to do.",
    ["namespace", "rollout"],
    registry=REGISTRY,
)
_completed = Counter(
    "headgate_rollouts_completed_total", "Attempts that ended, by how they did.", ["outcome"], registry=REGISTRY
)
_measurements = Counter(
    "headgate_gate_measurements_total",
    "Answers of checks, by what they were judged to be.",
    ["verdict"],
    registry=REGISTRY,
)
_broken = Counter(
    "headgate_invariants_broken_total",
    "Writes that were decided and not sent, because they would have broken an invariant, by its number.",
    ["invariant"],
    registry=REGISTRY,
)
_evaluated = Gauge(
    "headgate_last_evaluation_timestamp_seconds",
    "When a rollout was last looked at, in seconds since the epoch; one that stands still means that nobody decides.",
    registry=REGISTRY,
)

_phases: Final[dict[tuple[str, str], str]] = {}
"""The phase that each rollout shows, so that the next one replaces it."""

# A counter that appears with its first event hides that event from rate(); these are there from the start.
for _outcome in get_args(Outcome):
    _completed.labels(_outcome)
for _verdict in get_args(Verdict):
    _measurements.labels(_verdict)
_passes: Final = {result: _reconciles.labels(_QUEUE, result) for result in get_args(Result)}
_pass_seconds = _reconcile_seconds.labels(_QUEUE)
_queue_depth = _depth.labels(_QUEUE)
_queue_adds = _adds.labels(_QUEUE)
_queue_retries = _retries.labels(_QUEUE)


def queue_depth(length: int) -> None:
    """Say how many keys wait."""
    _queue_depth.set(length)


def queue_added() -> None:
    """Count a key that was put into the queue."""
    _queue_adds.inc()


def queue_retried() -> None:
    """Count a key that was put back after a fault."""
    _queue_retries.inc()


class Pass:
    """One pass over one object; its result is `success` unless it is said to be another, or an exception ends it."""

    def __init__(self) -> None:
        self.result: Result = "success"


@contextmanager
def reconciling() -> Iterator[Pass]:
    """Count and time the pass inside."""
    this = Pass()
    started = time.perf_counter()
    try:
        yield this
    except Exception:
        this.result = "error"
        raise
    finally:
        _passes[this.result].inc()
        _pass_seconds.observe(time.perf_counter() - started)


def api_request(verb: str, kind: str, code: int) -> None:
    """Count a request to the Kubernetes API; a `code` of 0 means that there was no answer."""
    _requests_of(verb, kind, code).inc()


@cache
def _requests_of(verb: str, kind: str, code: int) -> Counter:
    return _requests.labels(verb, kind, str(code))


def lease(*, held: bool) -> None:
    """Say whether this replica is the one that decides."""
    _lease_held.set(held)


def rollout_is(namespace: str, rollout: str, *, phase: str, weight: float) -> None:
    """Say where a rollout is; its weight in percent."""
    shown = _phases.get((namespace, rollout))
    if shown is not None and shown != phase:
        _phase.remove(namespace, rollout, shown)
    if shown != phase:
        _phase.labels(namespace, rollout, phase).set(1)
        _phases[namespace, rollout] = phase
    _weight.labels(namespace, rollout).set(weight)


def rollout_gone(namespace: str, rollout: str) -> None:
    """Forget a rollout; one that was never shown is no mistake."""
    shown = _phases.pop((namespace, rollout), None)
    if shown is not None:
        _phase.remove(namespace, rollout, shown)
        _weight.remove(namespace, rollout)


def rollout_completed(outcome: Outcome) -> None:
    """Count an attempt that ended."""
    _completed.labels(outcome).inc()


def measured(verdict: Verdict) -> None:
    """Count an answer of a check."""
    _measurements.labels(verdict).inc()


def invariant_broken(number: int) -> None:
    """Count a write that was not sent, because it would have broken an invariant."""
    _broken.labels(str(number)).inc()


def evaluated(at: float) -> None:
    """Say when a rollout was last looked at, in seconds since the epoch."""
    _evaluated.set(at)
