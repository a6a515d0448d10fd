"""What ways to replace pods in place have in common: counts, the pods to take back one by one, and their order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from headgate.api.rollout import RolloutStatus, Weights
from headgate.decide.mover import Goal, Move
from headgate.decide.types import (
    Action,
    EvictPod,
    InPlace,
    PodView,
    ReadKind,
    ReadQuestion,
    Snapshot,
    WorkloadView,
)

ALL = 100
CLOSED = 1_000_000
"""The partition at rest: greater than any number of pods, so that those of a scale-up are stable ones, too."""


class Lever(Protocol):
    """By what the pods of one kind of workload are replaced and brought back."""

    @property
    def ends_by_itself(self) -> bool:
        """Pods that are not of the template are replaced by the workload's own controller once it may."""
        ...

    @property
    def named(self) -> str:
        """What of the workload is written, for people."""
        ...

    def observed(self, snapshot: Snapshot, status: RolloutStatus) -> int:
        """The part of the pods that may be new."""
        ...

    def next_move(self, snapshot: Snapshot, goal: Goal) -> Move:
        """The next safe write towards the goal: lower first, then what is new goes, then the next batch."""
        ...

    def completed(self, snapshot: Snapshot, pod_hash: str) -> bool:
        """All pods are of this revision and ready."""
        ...

    def closed(self, place: InPlace) -> bool:
        """No pod becomes new."""
        ...

    def home(self, snapshot: Snapshot, workload: WorkloadView, place: InPlace, stable: str) -> bool:
        """All pods are stable and serve."""
        ...

    def serves(self, snapshot: Snapshot, pod_hash: str, weights: Weights) -> bool:
        """The batches so far are there, as the journal wants them."""
        ...

    def revisions(self, place: InPlace, stable: str, new: str) -> tuple[str, str]:
        """What the pods of these two revisions are called, as queries speak of them."""
        ...

    def named_stable(self, place: InPlace) -> str:
        """What the pods are called that have just become stable."""
        ...

    def rewritten(self, workload: WorkloadView, observed: int, desired: int) -> bool:
        """Somebody else has written what the operator writes."""
        ...

    def written(self, workload: WorkloadView) -> tuple[str, int | str]:
        """The key of the write that is at stake, and what it would have written for the workload to be as it is."""
        ...

    def give_back(self, workload: WorkloadView, *, judged: bool) -> Action | None:
        """The write by which the workload is its own again; `judged`: its template may go to all pods."""
        ...

    def kept_back(self, workload: WorkloadView, *, judged: bool, kept: bool) -> str:
        """What stays held when the Rollout is gone, and what to do; empty if nothing does. `kept`: it is to stay so."""
        ...

    def traffic(self, name: str, weights: Weights) -> str:
        """Who is exposed, as a sentence."""
        ...


def place_of(snapshot: Snapshot) -> tuple[WorkloadView, InPlace] | None:
    """The workload and what is special about it; None while it is not there."""
    workload = snapshot.workload
    place = workload.in_place if workload is not None and workload.found else None
    return (workload, place) if workload is not None and place is not None else None


def percent(pods: int, of: int) -> int:
    """A part of the pods, rounded up, and 100 only for all of them."""
    if pods >= of:
        return ALL if pods else 0
    return min(ALL - 1, math.ceil(ALL * pods / of))


def wanted(snapshot: Snapshot, goal: Goal, full: int) -> tuple[int, bool, bool]:
    """The new pods that a goal asks for, whether all are to be new for good, and whether none is."""
    promoting = goal.stable == goal.canary and not goal.proven and snapshot.status.stable is not None
    resting = goal.stable == goal.canary and not promoting
    return (full if promoting else 0 if resting else goal.replicas.get(goal.canary, 0)), promoting, resting


def seen(workload: WorkloadView) -> bool:
    """Its controller has looked at its present spec."""
    return workload.observed_generation >= workload.generation


def all_ready(workload: WorkloadView, place: InPlace) -> bool:
    """All pods are there and ready, and nothing is under way."""
    return seen(workload) and workload.replicas == workload.pods == place.ready == workload.available


def short(workload: WorkloadView, place: InPlace) -> str:
    """How many pods are there, for people."""
    there = min(place.ready, workload.available)
    return f"{there} of {workload.replicas} pods of {workload.name} are available"


def known_pods(snapshot: Snapshot, workload: WorkloadView) -> tuple[PodView, ...] | None:
    """The pods as they were read for this state of the workload; None if they were not."""
    known = snapshot.pods
    return None if known is None or known.version != workload.resource_version else known.pods


def new_pods(snapshot: Snapshot, workload: WorkloadView, place: InPlace) -> int:
    """Pods of another revision than the old one that stay.

    Those of a DaemonSet as they were read, if they were: its counts may be older than that. A StatefulSet replaces its
    pods itself, and its counts are all that is asked for meanwhile.
    """
    known = known_pods(snapshot, workload) if place.held is not None else None
    if known is None:
        return max(0, workload.pods - place.current)
    return sum(called(place, p) != place.now and not p.going for p in known)


def read_pods(workload: WorkloadView, place: InPlace) -> Move:
    """The move that has the pods read."""
    question = ReadQuestion(ReadKind.WORKLOAD_PODS, workload.resource_version, place.labels)
    return Move(waiting=f"looking at the pods of {workload.name}", reads=(question,))


def still_out(workload: WorkloadView, place: InPlace, why: str, short_of: str) -> Move:
    """Wait for pods that do not serve, as they were read.

    The counts of a DaemonSet may never tell: they leave out pods of nodes that are gone. So its pods are read again.
    """
    if place.held is None:
        return Move(waiting=f"{why}: {short(workload, place)}")
    return Move(waiting=f"{why}: {short(workload, place)}", short_of=short_of, reads=read_pods(workload, place).reads)


def in_order(pods: tuple[PodView, ...], key: Callable[[PodView], Any], *, backwards: bool = False) -> list[PodView]:
    """Pods in the order in which they are replaced."""
    return sorted(pods, key=key, reverse=backwards)


def strangers(snapshot: Snapshot, workload: WorkloadView, place: InPlace) -> tuple[PodView, ...] | None:
    """Pods of another revision than the old one, the last replaced first; None if not known yet."""
    if seen(workload) and place.current >= workload.pods:
        return ()
    known = known_pods(snapshot, workload)
    if known is None:
        return None
    new = tuple(p for p in known if called(place, p) != place.now)
    # A StatefulSet replaces the highest ordinals first.
    if place.held is None:
        return tuple(in_order(new, key=lambda p: (p.ordinal, p.name)))
    return tuple(in_order(new, key=lambda p: (p.node, p.name), backwards=True))


def called(place: InPlace, pod: PodView) -> str:
    """The revision of a pod."""
    return pod.revision if place.held is None else pod.mark


def take_back(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal) -> Move | None:
    """Evict what is new, the last replaced first. One that serves waits until those before it are back."""
    new = strangers(snapshot, workload, place)
    if new is None:
        return read_pods(workload, place)
    move = evict_first(snapshot, workload, place, goal, new)
    if move is not None:
        return move
    if goal.hold or (place.current >= workload.pods and all_ready(workload, place)):
        return None
    return Move(waiting=f"waiting for all pods: {short(workload, place)}", short_of=goal.stable)


def evict_first(
    snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal, pods: tuple[PodView, ...]
) -> Move | None:
    """Evict the first of these that is not on its way out, or one that serves nobody; None if all are."""
    there = [p for p in pods if not p.going]
    if not there:
        return None
    first = next((p for p in there if not p.ready), there[0])
    if first.ready and serving(snapshot) < workload.replicas:
        return still_out(workload, place, "waiting for the pods that were taken back", goal.stable)
    return Move(EvictPod(first.name, first.uid))


def serving(snapshot: Snapshot) -> int:
    """Pods that serve, as they were read: the counts are the controller's, and older than that."""
    return sum(p.ready and not p.going for p in (snapshot.pods.pods if snapshot.pods else ()))


def empty_budget(snapshot: Snapshot) -> str:
    """The name of a PodDisruptionBudget that allows no disruption now; empty if all allow one."""
    return next((b.name for b in snapshot.budgets if not b.allowed), "")


def waits_to_raise(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal) -> Move | None:
    """Why no more pods may be disturbed now; None if they may."""
    run = snapshot.status.current
    if run is None or run.revision != snapshot.revision:
        return Move(waiting=f"waiting for the template of {goal.canary}")
    if not all_ready(workload, place):
        return Move(waiting=f"waiting for the batch before to be ready: {short(workload, place)}", short_of=goal.canary)
    budget = empty_budget(snapshot)
    return Move(waiting=f"waiting for PodDisruptionBudget {budget}, which allows no disruption now") if budget else None
