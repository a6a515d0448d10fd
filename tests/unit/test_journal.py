"""The journal keeps within its size whatever happened, and tells what is urgent from what is evidence."""

from __future__ import annotations

from headgate.api.common import MOST, to_time
from headgate.api.gate import CheckRun, GateRun, Measurement
from headgate.api.rollout import ConsumedAction, HistoryEntry, RejectedRevision, RolloutStatus
from headgate.decide import journal

NOW = to_time(1_800_000_000.0)


def full_status() -> RolloutStatus:
    """Everything at its longest."""
    measurements = [Measurement(at=NOW, value=1 / 3, sample=1 / 7, verdict="Pass", reason="x" * 64)] * 10
    check = CheckRun(name="c" * 63, query="q" * 1024, rule="r" * 128, measurements=measurements)
    gates = [
        GateRun(
            name=f"g{i}" + "n" * 240,
            step=i - 1,
            pod_hash="p" * 10,
            attempt=1,
            started_at=NOW,
            message="m" * 512,
            checks=[check] * 5,
        )
        for i in range(16)
    ]
    rejected = RejectedRevision(
        revision="v1-" + "0" * 64, pod_hash="p" * 10, attempt=1, reason="R" * 64, message="m" * 1024, at=NOW
    )
    history = HistoryEntry(
        pod_hash="p" * 10,
        revision="v1-" + "0" * 64,
        attempt=1,
        outcome="Rejected",
        started_at=NOW,
        finished_at=NOW,
        message="m" * 512,
    )
    action = ConsumedAction(uid="u" * 36, name="n" * 253, verb="override", accepted=True, message="m" * 512, at=NOW)
    return RolloutStatus(gates=gates, rejected=[rejected] * 10, history=[history] * 10, actions=[action] * 10)


def test_the_longest_status_is_cut_to_its_limit_and_keeps_its_verdicts() -> None:
    """Evidence is cut, the records of who did what and how it ended are not lost."""
    before = full_status()
    after = journal.bounded(before)
    assert len(after.model_dump_json(by_alias=True, exclude_none=True)) <= journal.SIZE_LIMIT
    assert [g.verdict for g in after.gates] == [g.verdict for g in before.gates]
    assert len(after.history) == len(after.rejected) == len(after.actions) == 10


def test_a_status_of_usual_size_is_left_as_it_is() -> None:
    """Nothing is cut without need."""
    status = RolloutStatus(message="fine")
    assert journal.bounded(status) == status


def test_a_measurement_alone_is_evidence_and_a_verdict_is_a_decision() -> None:
    """Only what was decided makes a write urgent."""
    run = GateRun(name="g", step=0, pod_hash="p", attempt=1, started_at=NOW, checks=[CheckRun(name="c")])
    before = RolloutStatus(gates=[run])
    measured = run.model_copy(update={"checks": [CheckRun(name="c", asked=1, passes=1)]})
    decided = run.model_copy(update={"verdict": "Pass"})
    assert journal.journal_key(RolloutStatus(gates=[measured])) == journal.journal_key(before)
    assert journal.journal_key(RolloutStatus(gates=[decided])) != journal.journal_key(before)


def test_after_the_highest_decision_comes_another() -> None:
    """A forged number, the highest that the schema takes, does not keep the next decision from being written."""
    assert journal.number_after(7) == 8
    RolloutStatus.model_validate({"decision": journal.number_after(MOST)})
    assert journal.number_after(MOST) != MOST
