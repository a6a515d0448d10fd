"""Metrics: what is counted, under bounded labels."""

from collections.abc import Iterator

import pytest

from headgate.telemetry import metrics


def value(name: str, /, **labels: str) -> float | None:
    """What /metrics shows of one series; None if there is no such series."""
    return metrics.REGISTRY.get_sample_value(name, labels)


@pytest.fixture(autouse=True)
def _no_rollouts() -> Iterator[None]:
    """Begin and end with no rollout shown."""
    yield
    metrics.rollout_gone("prod", "shop")


@pytest.mark.parametrize("verdict", ["Pass", "Fail", "Unknown", "Error"])
def test_measurements_are_there_before_the_first_one(verdict: str) -> None:
    """A series that begins at 1 hides its first event from rate(): every verdict is there from the start."""
    assert value("headgate_gate_measurements_total", verdict=verdict) is not None


def test_measurement_is_counted_by_its_verdict() -> None:
    """One answer more of this verdict."""
    before = value("headgate_gate_measurements_total", verdict="Unknown") or 0

    metrics.measured("Unknown")

    assert value("headgate_gate_measurements_total", verdict="Unknown") == before + 1


def test_rollout_is_in_one_phase_at_a_time() -> None:
    """The next phase replaces the one before: an alert on a phase ends when the phase does."""
    metrics.rollout_is("prod", "shop", phase="Progressing", weight=5)
    metrics.rollout_is("prod", "shop", phase="Held", weight=25)

    assert value("headgate_rollout_phase", namespace="prod", rollout="shop", phase="Progressing") is None
    assert value("headgate_rollout_phase", namespace="prod", rollout="shop", phase="Held") == 1
    assert value("headgate_rollout_weight", namespace="prod", rollout="shop") == 25


def test_rollout_that_is_gone_leaves_no_series() -> None:
    """What was deleted is not reported for ever; forgetting it twice is no mistake."""
    metrics.rollout_is("prod", "shop", phase="Healthy", weight=0)

    metrics.rollout_gone("prod", "shop")
    metrics.rollout_gone("prod", "shop")

    assert value("headgate_rollout_phase", namespace="prod", rollout="shop", phase="Healthy") is None
    assert value("headgate_rollout_weight", namespace="prod", rollout="shop") is None


def reconciles(result: str) -> float:
    """How many passes ended so."""
    return value("controller_runtime_reconcile_total", controller="rollout", result=result) or 0


def test_pass_is_counted_and_timed() -> None:
    """A pass that ends is a success, and its length is observed."""
    before = reconciles("success")
    timed = value("controller_runtime_reconcile_time_seconds_count", controller="rollout") or 0

    with metrics.reconciling():
        pass

    assert reconciles("success") == before + 1
    assert value("controller_runtime_reconcile_time_seconds_count", controller="rollout") == timed + 1


def test_pass_that_raises_is_an_error() -> None:
    """An exception counts as an error and goes on."""
    before = reconciles("error")

    with pytest.raises(RuntimeError, match="boom"), metrics.reconciling():
        raise RuntimeError("boom")

    assert reconciles("error") == before + 1


def test_pass_may_say_another_result() -> None:
    """A pass that could not finish, without a fault, is neither success nor error."""
    before = reconciles("requeue")

    with metrics.reconciling() as this:
        this.result = "requeue"

    assert reconciles("requeue") == before + 1


def test_queue_is_named_as_in_operators_written_in_go() -> None:
    """Depth, adds and retries have the names that dashboards know."""
    added, retried = (value(f"workqueue_{what}_total", name="rollout") or 0 for what in ("adds", "retries"))

    metrics.queue_depth(3)
    metrics.queue_added()
    metrics.queue_retried()

    assert value("workqueue_depth", name="rollout") == 3
    assert value("workqueue_adds_total", name="rollout") == added + 1
    assert value("workqueue_retries_total", name="rollout") == retried + 1


def test_api_request_is_counted_by_verb_kind_and_code() -> None:
    """No label holds a name or a path: the number of series is bounded by the kinds that the operator touches."""
    metrics.api_request("apply", "Rollout", 409)

    assert value("headgate_api_requests_total", verb="apply", kind="Rollout", code="409") == 1


def test_lease_shows_who_decides() -> None:
    """The sum over all replicas is 1 when all is well."""
    metrics.lease(held=True)
    assert value("headgate_lease_held") == 1

    metrics.lease(held=False)
    assert value("headgate_lease_held") == 0


def test_last_evaluation_is_an_instant() -> None:
    """An alert compares it with now: a value that stands still means that nobody decides."""
    metrics.evaluated(1_800_000_000.5)

    assert value("headgate_last_evaluation_timestamp_seconds") == 1_800_000_000.5


def test_ended_attempt_is_counted_by_its_outcome() -> None:
    """One attempt more that ended so."""
    before = value("headgate_rollouts_completed_total", outcome="Rejected") or 0

    metrics.rollout_completed("Rejected")

    assert value("headgate_rollouts_completed_total", outcome="Rejected") == before + 1
