"""When somebody else keeps rewriting what the operator wrote: put it back three times, then hold and say so.

The hold ends when a person resumes, or with the next attempt. A rewrite is known by the journal, which says that
another value was served, or by what this process remembers to have written: a quick hand lets nothing be served.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.api.common import to_epoch, to_time
from headgate.api.gate import GateRun
from headgate.decide import journal, rolling, strategies
from headgate.decide.cycle import Cycle
from headgate.decide.managed import keys_of
from headgate.decide.mover import in_step, place_of, selected, stored
from headgate.decide.types import Action, HoldTemplate, OutcomeKind, SetPartition, SetSelector, SetWeight, Written

LIMIT = journal.REWRITES
MEMORY = 3600.0
"""Seconds for which a rewrite counts."""
GRAIN = 0.001
"""Seconds by which the journal's times are rounded up."""


def remember(written: Mapping[str, Written], action: Action, kind: OutcomeKind, at: float) -> Mapping[str, Written]:
    """What this process has written, after one more write with this outcome."""
    if not isinstance(action, (SetWeight, SetSelector, SetPartition, HoldTemplate)) or kind in (
        OutcomeKind.CONFLICT,
        OutcomeKind.REFUSED,
    ):
        return written
    others = {k: w for k, w in written.items() if k != action.key}
    if kind is OutcomeKind.UNKNOWN:
        return others
    return {**others, action.key: Written(_value(action), at)}


def _value(action: SetWeight | SetSelector | SetPartition | HoldTemplate) -> int | str:
    if isinstance(action, SetPartition):
        return action.partition
    if isinstance(action, HoldTemplate):
        return action.revision
    return stored(action.weight, keys_of(action.routes)) if isinstance(action, SetWeight) else action.pod_hash


def _overwritten(cycle: Cycle, key: str, value: int | str) -> bool:
    """What this process wrote in this step is another value now, and no rewrite was counted since it wrote."""
    ours, status = cycle.snapshot.written.get(key), cycle.status
    if ours is None or ours.value == value:
        return False
    since = [to_epoch(time) for time in (status.step_started_at, status.weights.reasserted_at) if time]
    return ours.at > max(since, default=0.0) - GRAIN


def _weight_rewritten(cycle: Cycle, desired: int, keys: tuple[str, ...]) -> bool:
    workload = cycle.snapshot.workload
    if workload is not None and workload.in_place is not None:
        observed = strategies.of(cycle.snapshot.spec).observed(cycle.snapshot, cycle.status)
        lever = rolling.lever_of(cycle.snapshot.spec)
        return lever.rewritten(workload, observed, desired) and _overwritten(cycle, *lever.written(workload))
    return any(
        _overwritten(cycle, place_of(route), stored(route.weight, route.managed))
        for route in cycle.snapshot.routes
        if route.found and not route.problem and (route.weight, route.managed) != (desired, keys)
    )


def _speaks_of_this(cycle: Cycle) -> bool:
    """What the journal says to be served is what the present spec names, and no other route or Service."""
    return cycle.snapshot.status.observed_generation == cycle.snapshot.meta.generation


def watch(cycle: Cycle, desired: int, keys: tuple[str, ...] = ()) -> bool:
    """Count a rewrite of a weight or a route, and let running gates begin again: they saw another weight."""
    if strategies.of(cycle.snapshot.spec).pooled:
        return False  # Pods come and go by themselves: no number of them tells of somebody's hand.
    weights = cycle.snapshot.status.weights
    observed = strategies.of(cycle.snapshot.spec).observed(cycle.snapshot, cycle.status)
    same = (weights.desired, tuple(weights.routes or ())) == (desired, keys)
    workload, changed = cycle.snapshot.workload, observed != desired
    if workload is not None and workload.in_place is not None:
        changed = rolling.lever_of(cycle.snapshot.spec).rewritten(workload, observed, desired)
    served = weights.applied and same and _speaks_of_this(cycle)
    was_served = served and (changed or not in_step(cycle.snapshot, keys))
    if not was_served and not _weight_rewritten(cycle, desired, keys):
        return False
    if not count(cycle):
        return False
    for run in cycle.status.gates:
        if run.verdict == "Fail" or (run.step >= 0 and run.step != cycle.status.current_step_index):
            continue
        stop(cycle, run)
    return True


ANOTHER = "the weight is not the step's any more; the gate begins again once that is served"


def stop(cycle: Cycle, run: GateRun, why: str = ANOTHER) -> None:
    """Let a gate begin again once what its step wants is served: what it saw was something else."""
    stopped = run.model_copy(
        update={
            "window": run.window + 1,
            "started_at": to_time(cycle.now),
            "verdict": "Running",
            "held": False,
            "decided_at": None,
            "message": why,
            # Without checks: it has not begun.
            "checks": [],
        }
    )
    cycle.status = journal.put_gate(cycle.status, stopped)


def watch_promotion(cycle: Cycle, ends_at: int) -> None:
    """Count a rewrite of the weight while a promotion moves it to this one."""
    if _weight_rewritten(cycle, ends_at, ()):
        count(cycle)


def watch_selectors(cycle: Cycle, *, served: bool) -> None:
    """Count a rewrite of a Service's selector, which the next move puts back.

    Args:
        served: everything was as it should be before, so that the move can only be somebody else's doing.
    """
    action = cycle.move.action
    if not isinstance(action, SetSelector):
        return
    snapshot = cycle.snapshot
    services = (snapshot.stable_service, snapshot.canary_service, *snapshot.variant_services.values())
    now = next((selected(s) for s in services if s.name == action.name), "")
    if (served and _speaks_of_this(cycle)) or _overwritten(cycle, action.key, now):
        count(cycle)


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
    things = "weights or the rules of the operator's" if cycle.status.weights.routes else "weights"
    what = f"the {things} of {names}, or a Service's selector," if names else "a Service's selector"
    owned = "weights and selectors"
    if strategies.of(cycle.snapshot.spec).in_place and cycle.snapshot.workload is not None:
        owned = rolling.lever_of(cycle.snapshot.spec).named
        what = f"{owned} of {cycle.snapshot.workload.name}"
    message = (
        f"somebody else rewrote {what} {count} times; find who does "
        f"(kubectl get -o yaml --show-managed-fields), let the operator own {owned}, then resume"
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
        "somebody else keeps scaling the adopted Deployment up; remove spec.replicas from what is synced, or ignore "
        "it there, then resume",
    )
    return True


def forgive(cycle: Cycle) -> bool:
    """A person says that it is over: count anew. False if nothing was contested."""
    weights, workload = cycle.status.weights, cycle.status.workload
    fought = weights.reasserted > LIMIT
    if fought:
        cycle.change(weights=weights.model_copy(update={"reasserted": 0, "applied": False}))
    if workload is not None and workload.reasserted > LIMIT:
        cycle.change(workload=workload.model_copy(update={"reasserted": 0}))
        fought = True
    return fought
