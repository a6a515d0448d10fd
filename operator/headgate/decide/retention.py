"""How long what is not wanted any more stays: old pods for the way back, old ReplicaSets and records as history.

Variants of experiments that are over stay no longer than requests may reach them.
"""

from __future__ import annotations

from headgate.api.common import to_epoch
from headgate.decide import configuration, experiment, journal, strategies
from headgate.decide.cycle import Cycle
from headgate.decide.mover import draining, selected
from headgate.decide.planning import find_plan
from headgate.decide.types import (
    Action,
    DeleteConfigCopy,
    DeletePlan,
    DeleteReplicaSet,
    PlanView,
    ReplicaSetView,
    SetSelector,
)


def keep_until(cycle: Cycle) -> frozenset[str]:
    """Pod hashes that must not lose their pods yet; wakes when the first of them may."""
    status, strategy = cycle.status, strategies.of(cycle.snapshot.spec)
    kept = set()
    for found in cycle.snapshot.replica_sets:
        if not found.owned or not found.replicas:
            continue
        ends = []
        was_stable = False
        for entry in status.history:
            if entry.pod_hash == found.pod_hash:
                was_stable = was_stable or entry.outcome in ("Promoted", "Adopted")
                if entry.outcome not in ("Promoted", "Adopted"):
                    ends.append(to_epoch(entry.finished_at) + strategy.abort_scale_down_delay_seconds)
        if was_stable and status.stable is not None and status.stable.pod_hash != found.pod_hash:
            ends.append(to_epoch(status.stable.since) + strategy.scale_down_delay_seconds)
        end = max(ends, default=0.0)
        if cycle.now < end:
            kept.add(found.pod_hash)
            cycle.wake(end)
    return frozenset(kept)


def leaving(cycle: Cycle) -> Action | None:
    """The write that ends the next variant which the present step has not, or None while that has to wait.

    It is asked at each decision, whatever the Rollout is at: so none is left behind by a promotion, an abort, another
    revision, or a strategy that knows no variants. Who has paused a Rollout keeps what is there.
    """
    snapshot = cycle.snapshot
    held = snapshot.spec.paused or cycle.status.paused is not None
    if not snapshot.variant_services and not snapshot.variants:
        return None
    if held or any(p.blocks_running for p in cycle.problems):
        return None
    for found in _strangers(cycle):
        waits = experiment.still_reached(snapshot, found.pod_hash) or draining(snapshot, found.pod_hash, cycle.now)
        if waits is None:
            return DeleteReplicaSet(found.name, found.uid, found.resource_version)
        cycle.wake(waits.settle_at)
    return _handed_back(cycle)


def _handed_back(cycle: Cycle) -> Action | None:
    """The write that gives back a Service which the spec names for a variant no more, and which leads to none.

    A release under way may still come to a step that needs it: that goes by its record, whatever the spec says by now.
    """
    snapshot = cycle.snapshot
    if journal.running(cycle.status) is not None:
        return None
    there = {found.pod_hash for found in snapshot.variants}
    left = [service for plan in snapshot.plans for service in experiment.led_by(snapshot, plan)]
    for service in sorted(left, key=lambda service: service.name):
        if selected(service) not in there and service.name not in experiment.shared(snapshot):
            return SetSelector(service.name, service.resource_version, "")
    return None


def _strangers(cycle: Cycle) -> list[ReplicaSetView]:
    there = [found for found in cycle.snapshot.variants if found.owned and not found.deleting]
    kept = _present(cycle) if there else frozenset()
    return sorted((found for found in there if found.pod_hash not in kept), key=lambda found: found.name)


def _present(cycle: Cycle) -> frozenset[str]:
    """The pod hashes of the variants of the present step."""
    run = journal.running(cycle.status)
    view = find_plan(cycle.snapshot, run) if run is not None else None
    found = experiment.wanted(cycle.snapshot.meta.uid, cycle.status, view.plan if view is not None else None)
    return frozenset(one.pod_hash for one in found)


def sweep(cycle: Cycle) -> Action | None:
    """The next old ReplicaSet or record to delete; None if the history is within its limit."""
    snapshot, status = cycle.snapshot, cycle.status
    if snapshot.unread:
        return None  # What goes could be what is wanted.
    in_use = {r.revision for r in (status.stable, status.current, status.target) if r is not None} | {snapshot.revision}
    old = sorted(
        (
            r
            for r in snapshot.replica_sets
            if r.owned and not r.deleting and r.revision not in in_use and not r.replicas and not r.pods
        ),
        key=lambda r: (r.created_at, r.name),
    )
    surplus = len(old) - snapshot.spec.revision_history_limit
    if surplus > 0:
        return DeleteReplicaSet(old[0].name, old[0].uid, old[0].resource_version)
    there = {r.revision for r in (*snapshot.replica_sets, *snapshot.variants)}
    users = configuration.users_of(snapshot)
    for plan in sorted(snapshot.plans, key=lambda p: (p.revision, p.attempt)):
        attempts = [p.attempt for p in snapshot.plans if p.revision == plan.revision]
        gone = plan.revision not in there and plan.revision not in in_use
        # The first record is the second owner of the ReplicaSet, the last one is the attempt that counts.
        between = min(attempts) < plan.attempt < max(attempts)
        if not (gone or between) or configuration.holds(plan, snapshot.plans, users):
            continue
        if not experiment.led_by(snapshot, plan):
            return release(cycle, plan)
    return None


def release(cycle: Cycle, plan: PlanView) -> Action | None:
    """The next write that deletes a record, and before it the copies that no other one uses; None while one is read."""
    view, reads = configuration.left_over(cycle.snapshot, plan)
    if reads:
        cycle.reads += reads
        cycle.wake(cycle.now + configuration.AGAIN)
        return None
    if view is not None:
        return DeleteConfigCopy(view.kind, view.name, view.uid, view.resource_version)
    return DeletePlan(plan.name, plan.uid, plan.resource_version)
