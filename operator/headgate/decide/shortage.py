"""What a release goes on without: pods that its step has asked for, where fewer are said to be enough."""

from __future__ import annotations

from headgate.decide import journal
from headgate.decide.cycle import Cycle
from headgate.decide.mover import available, enough, replica_set
from headgate.decide.planning import find_plan


def left_out(cycle: Cycle) -> str:
    """Pod hash of the release under way, if it waits for nothing and has enough of its pods, but not all."""
    snapshot, run = cycle.snapshot, journal.running(cycle.status)
    if run is None or run.fast or cycle.move.short_of:
        return ""
    found = replica_set(snapshot, run.pod_hash)
    if found is None or not enough(snapshot.spec, found.replicas) <= available(snapshot, run.pod_hash) < found.replicas:
        return ""
    view = find_plan(snapshot, run)
    return run.pod_hash if view is not None and cycle.status.current_step_index < len(view.plan.steps) else ""


def told(cycle: Cycle) -> str:
    """How many pods a release goes on without, and why they are missing; empty if it has all or waits for them."""
    found = replica_set(cycle.snapshot, cycle.left_out) if cycle.left_out else None
    if found is None:
        return ""
    cause = cycle.missing_pods()
    short = found.replicas - available(cycle.snapshot, cycle.left_out)
    text = f"it goes on without {short} of {found.replicas} pods of {cycle.left_out}"
    return f"{text} ({cause})" if cause else text
