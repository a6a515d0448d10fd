"""When copies of the configuration are chosen, made and made again; `configuration` says which they are."""

from __future__ import annotations

from dataclasses import replace

from headgate.api.common import to_epoch, to_time
from headgate.api.rollout import RevisionRef
from headgate.decide import configuration, planning, retention
from headgate.decide.cycle import Cycle
from headgate.decide.mover import anchor, replica_set
from headgate.decide.types import Action, CreatePlan, PlanView


def look(cycle: Cycle) -> None:
    """Ask for what the wanted revision depends on."""
    reads, again = configuration.watched(cycle.snapshot, cycle.now)
    cycle.reads += reads
    cycle.wake(again)


def pin(cycle: Cycle, run: RevisionRef) -> CreatePlan | None:
    """The record to create for an attempt, once it is known what its pods will read; a person is told what is missing.

    Nothing is created before that: a pod without its configuration would only wait.
    """
    record = planning.pin(cycle.snapshot, run)
    if record is None or anchor(cycle.snapshot, run.revision) is not None:
        return record
    pods = replica_set(cycle.snapshot, run.pod_hash)
    if pods is not None and pods.revision == run.revision:
        return replace(record, copies=pods.copies)  # Somebody deleted its record.
    found = configuration.choose(cycle.snapshot, record.template, to_epoch(run.since))
    if not found.waiting:
        if cycle.status.progress_since is None:
            began = to_time(cycle.now)
            cycle.change(progress_since=began, step_started_at=began)
        return replace(record, copies=found.copies)
    cycle.reads += found.reads
    cycle.wake(cycle.now + configuration.AGAIN)
    cycle.change(message=f"{cycle.status.message}: {found.waiting}"[:1024])
    if found.missing:
        cycle.change(progress_since=None)  # The time that it takes is no fault of the version.
        if cycle.status.stable is not None and run.revision != cycle.status.stable.revision:
            cycle.change(phase="Held")
        cycle.stall("ConfigMissing", found.waiting)
    return None


def anew(cycle: Cycle, view: PlanView) -> Action | None:
    """Take back the record of an attempt that has no pods yet, if what it would copy has changed since.

    So little time is between that nobody has seen or judged anything of it.
    """
    snapshot, status = cycle.snapshot, cycle.status
    begun = status.current_step_index or status.gates or replica_set(snapshot, view.pod_hash) is not None
    only = [p for p in snapshot.plans if p.revision == view.revision] == [view]
    stable = status.stable is not None and status.stable.revision == view.revision
    if begun or stable or not only or not view.copies:
        return None
    if not configuration.outdated(snapshot, view):
        return None
    cycle.change(message=f"beginning anew with revision {view.pod_hash}: what it refers to has just changed")
    cycle.wake(cycle.now + configuration.AGAIN)
    return retention.release(cycle, view)


def repair(cycle: Cycle) -> Action | None:
    """Make a copy again that pods are waiting for, because somebody deleted it."""
    pod_hash = cycle.move.short_of
    view = next((p for p in cycle.snapshot.plans if pod_hash and p.pod_hash == pod_hash and p.copies), None)
    if view is None or not any(r.target == pod_hash for r in cycle.reads):
        return None  # So long nobody asks why.
    cycle.reads += configuration.looking(view)
    making = configuration.make(cycle.snapshot, view)
    return making.action if making is not None else None
