"""Replaces the pods of the stable version without a release: those older than what is asked for, batch by batch.

`restartAt` asks for it where the spec is kept, and a person by a RolloutAction, which changes no spec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.api.common import LABEL_REVISION, LABEL_ROLLOUT, to_epoch
from headgate.api.rollout import RevisionRef
from headgate.decide import in_place
from headgate.decide.journal import EVIDENCE_INTERVAL
from headgate.decide.mover import replica_set
from headgate.decide.pool import bounds
from headgate.decide.types import EvictPod, ReadKind, ReadQuestion, Snapshot

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle


def open_in_spec(snapshot: Snapshot) -> bool:
    """The spec asks for pods that are younger than all are known to be."""
    return _is_open(snapshot, snapshot.spec.restart_at)


def asked(cycle: Cycle) -> str:
    """The time before which no pod is to be from, if that is not known to be so: the latest that has come, or the next.

    A time to come in the spec does not keep a person waiting, and what is older than what was done is done. What a
    person was just granted counts: the journal has it before any pod goes.
    """
    snapshot, person = cycle.snapshot, cycle.status.restart
    times = [at for at in (snapshot.spec.restart_at, person.at if person else None) if _is_open(snapshot, at) and at]
    due = [at for at in times if to_epoch(at) <= cycle.now]
    return max(due, key=to_epoch) if due else min(times, key=to_epoch, default="")


def _is_open(snapshot: Snapshot, at: str | None) -> bool:
    done = snapshot.status.restarted_at
    return at is not None and (done is None or to_epoch(at) > to_epoch(done))


def next_pod(cycle: Cycle, stable: RevisionRef) -> EvictPod | None:
    """The next pod to evict, as long as enough of the others serve; says when the last one is replaced.

    PodDisruptionBudgets are the server's to ask: an eviction that it refuses is tried again, later and later.
    """
    snapshot, wanted = cycle.snapshot, asked(cycle)
    found = replica_set(snapshot, stable.pod_hash)
    if not wanted or found is None or not snapshot.config.restarts:
        return None
    since = to_epoch(wanted)
    if cycle.now < since:
        cycle.wake(since)
        return None
    doing = f"revision {stable.pod_hash} is stable: replacing pods from before {wanted}"
    known = snapshot.pods
    if known is None or known.version != found.resource_version:
        labels = f"{LABEL_ROLLOUT}={snapshot.meta.name},{LABEL_REVISION}={stable.pod_hash}"
        cycle.reads.append(ReadQuestion(ReadKind.WORKLOAD_PODS, found.resource_version, labels))
        # It is said at once that it has begun; how many are left may be known already, or is when they are read.
        before = snapshot.status.message
        _say(cycle, before if before.startswith(doing) else doing)
        cycle.wake(cycle.now + EVIDENCE_INTERVAL)
        return None
    # The counts are the ReplicaSet's controller's, and older than what was read.
    serving = min(in_place.serving(snapshot), found.available if found.settled else 0)
    old = sorted((p for p in known.pods if not p.going and p.created_at < since), key=lambda p: (p.ready, p.name))
    if not old and serving >= snapshot.spec.replicas:
        cycle.change(restarted_at=wanted)
        cycle.note("Normal", "Restarted", f"no pod of {stable.pod_hash} is older than {wanted} any more")
        return None
    _say(cycle, f"{doing}, {len(old)} left")
    cycle.wake(cycle.now + EVIDENCE_INTERVAL)
    # One that serves nobody can go at any time.
    if not old or (old[0].ready and serving <= _least(snapshot)):
        return None
    return EvictPod(old[0].name, old[0].uid)


def _say(cycle: Cycle, text: str) -> None:
    if cycle.status.phase == "Healthy":  # What was taken back, and why, stays said.
        cycle.change(message=text)


def _least(snapshot: Snapshot) -> int:
    """Pods that serve meanwhile: all but maxUnavailable, or all but one where there is none."""
    canary, full = snapshot.spec.strategy.canary, snapshot.spec.replicas
    least = bounds(snapshot.spec, canary).least if canary is not None and canary.traffic_routing is None else full
    return max(0, min(least, full - 1))
