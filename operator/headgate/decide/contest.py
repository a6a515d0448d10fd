"""When somebody else keeps rewriting what the operator wrote: put it back three times, then hold and say so."""

from __future__ import annotations

from headgate.api.common import to_epoch, to_time
from headgate.decide import journal
from headgate.decide.cycle import Cycle
from headgate.decide.mover import observed_weight

LIMIT = 3
"""Rewrites that are undone before the Rollout is held."""
MEMORY = 3600.0
"""Seconds for which a rewrite counts."""


def watch(cycle: Cycle, desired: int) -> None:
    """Count a rewrite of a weight that was served, and let running gates begin again: they saw another weight."""
    weights = cycle.snapshot.status.weights
    if not weights.applied or weights.desired != desired or observed_weight(cycle.snapshot) == desired:
        return
    if not count(cycle):
        return
    for run in cycle.status.gates:
        if run.verdict == "Fail" or (run.step >= 0 and run.step != cycle.status.current_step_index):
            continue
        fresh = run.model_copy(
            update={
                "window": run.window + 1,
                "started_at": to_time(cycle.now),
                "verdict": "Running",
                "held": False,
                "decided_at": None,
                "message": "the weight was rewritten by somebody else, so the gate begins again",
                "checks": [],
            }
        )
        cycle.status = journal.put_gate(cycle.status, fresh)


def count(cycle: Cycle) -> bool:
    """Count one rewrite; False if there were too many already. What was long ago does not count any more."""
    weights = cycle.status.weights
    last = to_epoch(weights.reasserted_at) if weights.reasserted_at else cycle.now
    before = weights.reasserted if cycle.now < last + MEMORY else 0
    if before > LIMIT:
        return False
    update = {"reasserted": before + 1, "reasserted_at": to_time(cycle.now), "applied": False}
    cycle.change(weights=weights.model_copy(update=update))
    return True


def contested(cycle: Cycle) -> str:
    """Why the Rollout is held: somebody else rewrites its traffic again and again. Empty if nobody does."""
    count = cycle.status.weights.reasserted
    if count <= LIMIT:
        return ""
    names = ", ".join(f"{r.kind} {r.name}" for r in cycle.snapshot.routes)
    message = (
        f"somebody else rewrote the weights of {names} {count} times; find who writes it (kubectl get -o yaml "
        "--show-managed-fields), let the operator own the weights, then retry or change the template"
    )
    cycle.stall("TrafficContested", message)
    return message


def workload_contested(cycle: Cycle) -> bool:
    """Whether the adopted Deployment was scaled up again too often."""
    workload = cycle.status.workload
    if workload is None or workload.reasserted <= LIMIT:
        return False
    cycle.stall(
        "WorkloadContested",
        "somebody else keeps scaling the adopted Deployment up; remove spec.replicas from what is synced, or ignore it",
    )
    return True
