"""The rolling strategy: a workload's pods are replaced in place, batch by batch, and evicted singly on the way back.

Its gate is the StatefulSet's partition, which stays closed at rest: a new template in Git then changes no pod. The pods
that may be new stand for the weight, the partition for the route. A StatefulSet forgets the old revision once all its
pods are new and ready; so at least one pod stays old until the promotion, and a pod that is evicted comes back old.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headgate.api.rollout import CanaryScale, Rolling, RolloutStatus, Step, Weights, WorkloadStatus
from headgate.api.values import dataclass
from headgate.decide import canary
from headgate.decide.canary import Allowance, StepState, Unrouted
from headgate.decide.journal import REWRITES
from headgate.decide.mover import Goal, Move
from headgate.decide.types import (
    EvictPod,
    InPlace,
    Plan,
    PodView,
    ReadKind,
    ReadQuestion,
    SetPartition,
    Snapshot,
    WorkloadView,
)

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle

ALL = 100
FIELD = "spec.strategy.rolling"
CLOSED = 1_000_000
"""The partition at rest: greater than any number of pods, so that those of a scale-up are stable ones, too."""


def percent(pods: int, of: int) -> int:
    """A part of the pods, rounded up, and 100 only for all of them."""
    if pods >= of:
        return ALL if pods else 0
    return min(ALL - 1, math.ceil(ALL * pods / of))


def allowance(steps: tuple[Step, ...], index: int, replicas: int) -> Allowance:
    """The new pods that the steps up to `index` (counted from 0) allow, and their part of all.

    Never fewer than an earlier step allowed, and never all: the last pod is the promotion's.
    """
    wanted = 0
    for step in steps[: index + 1]:
        batch = step.set_canary_scale
        if batch is not None and batch.replicas is not None:
            wanted = max(wanted, batch.replicas)
        elif batch is not None and batch.weight is not None:
            wanted = max(wanted, math.ceil(replicas * batch.weight / ALL))
    pods = max(0, min(wanted, replicas - 1))
    return Allowance(percent(pods, replicas), pods)


def partition_for(pods: int, replicas: int) -> int:
    """The partition under which so many pods may be new."""
    return max(0, replicas - pods) if pods > 0 else CLOSED


def opened(partition: int, replicas: int) -> int:
    """Pods that may be new under a partition."""
    return max(0, replicas - partition)


def completed(snapshot: Snapshot) -> bool:
    """All pods are of the template, and the workload has forgotten what was before: nothing leads back."""
    workload = snapshot.workload
    place = workload.in_place if workload is not None else None
    return (
        workload is not None
        and place is not None
        and _seen(workload)
        and bool(place.next)
        and place.now == place.next
        and workload.updated == workload.replicas == workload.available == workload.pods
    )


def _seen(workload: WorkloadView) -> bool:
    return workload.observed_generation >= workload.generation


def _all_ready(workload: WorkloadView, place: InPlace) -> bool:
    return _seen(workload) and workload.replicas == workload.pods == place.ready == workload.available


def _strangers(snapshot: Snapshot, workload: WorkloadView, place: InPlace) -> tuple[PodView, ...] | None:
    """Pods of another revision than the old one, lowest ordinal first, so the last replaced; None if not known yet."""
    if _seen(workload) and place.current >= workload.pods:
        return ()
    known = snapshot.pods
    if known is None or known.version != workload.resource_version:
        return None
    return tuple(sorted((p for p in known.pods if p.revision != place.now), key=lambda p: (p.ordinal, p.name)))


def next_move(snapshot: Snapshot, goal: Goal) -> Move:
    """The next safe write towards the goal: close first, then what is new goes, then the next batch."""
    workload = snapshot.workload
    place = workload.in_place if workload is not None and workload.found else None
    if workload is None or place is None:
        return Move(waiting="waiting for the workload")
    full = workload.replicas
    promoting = goal.stable == goal.canary and not goal.proven and snapshot.status.stable is not None
    resting = goal.stable == goal.canary and not promoting
    pods = full if promoting else 0 if resting else goal.replicas.get(goal.canary, 0)
    wanted = partition_for(pods, full)
    if place.partition < wanted:
        if snapshot.status.weights.reasserted > REWRITES:
            return Move(waiting=goal.hold_reason)
        return Move(SetPartition(workload.name, workload.resource_version, wanted, exposure="lower"))
    if not _seen(workload):
        return Move(waiting=f"waiting for {workload.name} to be looked at by its controller")
    if promoting and completed(snapshot):
        return Move(reached=True, served=True)
    if place.partition >= CLOSED:
        back = _take_back(snapshot, workload, place, goal)
        if back is not None:
            return back
    short = _unready(workload, place, pods, goal)
    if goal.hold:
        return Move(waiting=goal.hold_reason, served=not short)
    if place.partition > wanted:
        return _open(snapshot, workload, place, goal, wanted)
    if short:
        return Move(waiting=short, short_of=goal.canary)
    return Move(reached=True, served=True, trouble=_bypassed(snapshot, workload, place) if resting else "")


def _bypassed(snapshot: Snapshot, workload: WorkloadView, place: InPlace) -> str:
    """Why the pods are of a revision that was never promoted; empty if they are not."""
    noted = snapshot.status.workload.revision if snapshot.status.workload is not None else None
    if not noted or place.now == noted or snapshot.status.stable is None:
        return ""
    return (
        f"all pods of {workload.name} are of {place.now}, which is not promoted: the update was complete before it "
        "could be closed, so nothing leads back; change the template to what is to run, and it is released in batches"
    )


def _take_back(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal) -> Move | None:
    """Evict what is new, the last replaced first. One that serves waits until those before it are back."""
    strangers = _strangers(snapshot, workload, place)
    if strangers is None:
        return Move(waiting=f"looking at the pods of {workload.name}", reads=(_pods_of(workload, place),))
    there = [p for p in strangers if not p.going]
    if there:
        first = next((p for p in there if not p.ready), there[0])
        # The counts are its controller's, and older than what was read.
        serving = sum(p.ready and not p.going for p in (snapshot.pods.pods if snapshot.pods else ()))
        if first.ready and serving < workload.replicas:
            return Move(waiting=f"waiting for the pods that were taken back: {_short(workload, place)}")
        return Move(EvictPod(first.name, first.uid))
    if goal.hold or (place.current >= workload.pods and _all_ready(workload, place)):
        return None
    return Move(waiting=f"waiting for all pods: {_short(workload, place)}", short_of=goal.stable)


def _pods_of(workload: WorkloadView, place: InPlace) -> ReadQuestion:
    return ReadQuestion(ReadKind.WORKLOAD_PODS, workload.resource_version, place.labels)


def _short(workload: WorkloadView, place: InPlace) -> str:
    there = min(place.ready, workload.available)
    return f"{there} of {workload.replicas} pods of {workload.name} are available"


def _unready(workload: WorkloadView, place: InPlace, pods: int, goal: Goal) -> str:
    """Why the batches so far are not ready; empty if they are."""
    if not pods:
        return ""
    if workload.updated < pods:
        return f"waiting for the pods of {goal.canary}: {workload.updated} of {pods} are replaced"
    if not _all_ready(workload, place):
        return f"waiting for the batch to be ready: {_short(workload, place)}"
    if pods >= workload.replicas and place.now != place.next:
        return f"waiting for {workload.name} to be complete"
    return ""


def _open(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal, wanted: int) -> Move:
    """Open the partition for the next batch, if all that is there is ready and may be disturbed."""
    run = snapshot.status.current
    if run is None or run.revision != snapshot.revision:
        return Move(waiting=f"waiting for the template of {goal.canary}")
    if not _all_ready(workload, place):
        return Move(
            waiting=f"waiting for the batch before to be ready: {_short(workload, place)}", short_of=goal.canary
        )
    empty = next((b.name for b in snapshot.budgets if not b.allowed), "")
    if empty:
        return Move(waiting=f"waiting for PodDisruptionBudget {empty}, which allows no disruption now")
    return Move(SetPartition(workload.name, workload.resource_version, wanted, exposure="raise"))


@dataclass(frozen=True, slots=True)
class Replacing(Unrouted):
    """Rolling as a strategy."""

    spec: Rolling

    @property
    def pooled(self) -> bool:
        """No pods are run beside the workload's."""
        return False

    @property
    def services(self) -> tuple[tuple[str, str], ...]:
        """None: whoever leads to the pods leads to the new ones, too."""
        return ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Batches, as scales of what is new."""
        found = []
        for step in self.spec.steps:
            batch = step.set_batch
            scale = None
            if isinstance(batch, int):
                scale = CanaryScale(replicas=batch)
            elif batch is not None:
                scale = CanaryScale(weight=int(batch.removesuffix("%")))
            found.append(
                Step(
                    set_canary_scale=scale,
                    pause=step.pause,
                    gate=step.gate,
                    timeout=step.timeout,
                    on_timeout=step.on_timeout,
                )
            )
        return tuple(found)

    @property
    def gates(self) -> tuple[tuple[str, str], ...]:
        """The gates of the steps."""
        return canary.gates_of(FIELD, self.spec.steps)

    @property
    def in_place(self) -> bool:
        """The workload's own pods are replaced."""
        return True

    def allowance(self, steps: tuple[Step, ...], index: int, replicas: int) -> Allowance:
        """The new pods that the steps allow."""
        return allowance(steps, index, replicas)

    def observed(self, snapshot: Snapshot, _status: RolloutStatus) -> int:
        """The part of the pods that the partition lets be new."""
        workload = snapshot.workload
        if workload is None or workload.in_place is None:
            return 0
        return percent(opened(workload.in_place.partition, workload.replicas), workload.replicas)

    def aim(self, goal: Goal, _weight: int) -> Goal:
        """The pods say it all."""
        return goal

    def weight_of(self, goal: Goal) -> int:
        """All, for a promotion."""
        return ALL if goal.stable == goal.canary else percent(goal.replicas[goal.canary], goal.replicas[goal.stable])

    def next_move(self, snapshot: Snapshot, goal: Goal, _now: float) -> Move:
        """The next safe write."""
        return next_move(snapshot, goal)

    def switched(self, snapshot: Snapshot, _pod_hash: str) -> bool:
        """The workload is complete at its template."""
        return completed(snapshot)

    def at_home(self, snapshot: Snapshot, _stable: str) -> bool:
        """No pod is new, and those that were are back. Once that was so, an old one may come and go."""
        workload = snapshot.workload
        place = workload.in_place if workload is not None else None
        if workload is None or place is None or not _seen(workload):
            return False
        if place.current >= workload.pods and _all_ready(workload, place):
            return True
        known = snapshot.pods
        new = known is None or any(p.revision != place.now for p in known.pods)
        return snapshot.status.phase in ("Healthy", "Degraded") and not new

    def relieves(self, _snapshot: Snapshot, _stable: str) -> bool:
        """Its pods are all that there are."""
        return False

    def serves(self, snapshot: Snapshot, pod_hash: str, weights: Weights, _now: float) -> bool:
        """The batches so far are ready."""
        weight = weights.desired
        workload = snapshot.workload
        place = workload.in_place if workload is not None else None
        if workload is None or place is None or self.observed(snapshot, snapshot.status) != weight:
            return False
        goal = Goal("", pod_hash, weight, {}, proven=False)
        return not _unready(workload, place, opened(place.partition, workload.replicas), goal)

    def step_state(self, cycle: Cycle, plan: Plan) -> StepState:
        """A batch is done when it is ready; the rest is as in a canary."""
        if plan.steps[cycle.status.current_step_index].set_canary_scale is None:
            return canary.step_state(cycle, plan)
        index, replicas = cycle.status.current_step_index, cycle.snapshot.spec.replicas
        if replicas and not allowance(plan.steps, index, replicas).replicas:
            return StepState(done=False, waiting="one pod is too few for a batch with a way back", clock=True)
        return StepState(cycle.move.reached, cycle.move.waiting, clock=True)

    def judged(self, _weight: int, snapshot: Snapshot) -> tuple[str, str]:
        """The workload's own Service, for both."""
        place = snapshot.workload.in_place if snapshot.workload is not None else None
        service = place.service if place is not None else ""
        return service, service

    def revisions(self, snapshot: Snapshot, stable: str, new: str) -> tuple[str, str]:
        """What the pods call the revisions, in their label `controller-revision-hash`."""
        place = snapshot.workload.in_place if snapshot.workload is not None else None
        return (place.now, place.next) if place is not None else (stable, new)

    def describe(self, step: Step) -> str:
        """A step for people."""
        batch = step.set_canary_scale
        if batch is None:
            return canary.describe(step)
        return f"setBatch {batch.replicas if batch.replicas is not None else f'{batch.weight}%'}"

    def traffic(self, snapshot: Snapshot, weights: Weights) -> str:
        """How far the update is open, as a sentence."""
        name = snapshot.workload.name if snapshot.workload is not None else ""
        return (
            f"the update of {name} is open for {weights.observed}% of its pods"
            if weights.observed
            else (f"the update of {name} is closed")
        )

    def remembered(self, snapshot: Snapshot, workload: WorkloadStatus | None) -> WorkloadStatus | None:
        """What is noted of the workload when a revision becomes stable: what its pods call it."""
        place = snapshot.workload.in_place if snapshot.workload is not None else None
        return (workload or WorkloadStatus()).model_copy(update={"revision": place.now if place is not None else None})
