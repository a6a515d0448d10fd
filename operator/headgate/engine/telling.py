"""Tells logs and metrics what a written journal says that the one before it did not."""

from __future__ import annotations

from collections.abc import Iterator

from headgate.api.common import PERCENT
from headgate.api.gate import Verdict
from headgate.api.rollout import RolloutStatus
from headgate.engine.queue import Key
from headgate.telemetry import metrics
from headgate.telemetry.logs import logger

log = logger(__name__)


def tell(key: Key, before: RolloutStatus, after: RolloutStatus, waiting: str, total: int) -> None:
    """One line for each decision; counts of outcomes and verdicts. Weights are parts of `total`."""
    metrics.rollout_is(*key, phase=after.phase, weight=PERCENT * after.weights.observed / total)
    for entry in after.history:
        if entry not in before.history:
            metrics.rollout_completed(entry.outcome)
    for verdict in new_verdicts(before, after):
        metrics.measured(verdict)
    if after.decision == before.decision:
        return
    log.info(
        "decided",
        rollout=str(key),
        decision=after.decision,
        phase=after.phase,
        step=after.step,
        stable=after.stable.pod_hash if after.stable else "",
        current=after.current.pod_hash if after.current else "",
        attempt=after.current.attempt if after.current else 0,
        weight=after.weights.desired,
        why=after.message,
        waiting=waiting,
    )


def new_verdicts(before: RolloutStatus, after: RolloutStatus) -> Iterator[Verdict]:
    """The verdicts of the measurements that the journal holds now and did not hold before."""
    asked = {
        (gate.name, gate.step, gate.pod_hash, gate.attempt, gate.window, check.name): check.asked
        for gate in before.gates
        for check in gate.checks
    }
    for gate in after.gates:
        for check in gate.checks:
            known = asked.get((gate.name, gate.step, gate.pod_hash, gate.attempt, gate.window, check.name), 0)
            fresh = max(0, check.asked - known)
            yield from (m.verdict for m in check.measurements[len(check.measurements) - fresh :] if fresh)
