"""The rolling strategy: a workload's pods are replaced in place, batch by batch, and evicted singly on the way back.

By what they are replaced is a matter of the workload's kind: one module with a class of the shape of `in_place.Lever`,
and one line in `LEVERS`. The one of a StatefulSet is here: its partition, which stays closed at rest, so that a new
template in Git changes no pod. The pods that may be new stand for the weight, the partition for the route. A
StatefulSet forgets the old revision once all its pods are new and ready; so at least one pod stays old until the
promotion, and a pod that is evicted comes back old.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from headgate.api.rollout import (
    CanaryScale,
    GateStep,
    Rolling,
    RolloutSpec,
    RolloutStatus,
    Step,
    Weights,
    WorkloadStatus,
)
from headgate.api.values import dataclass
from headgate.decide import canary
from headgate.decide.canary import Allowance, StepState, Unrouted
from headgate.decide.daemon import ByTemplate
from headgate.decide.in_place import (
    ALL,
    CLOSED,
    Lever,
    all_ready,
    called,
    percent,
    place_of,
    seen,
    short,
    take_back,
    waits_to_raise,
    wanted,
)
from headgate.decide.journal import AT_REST, REWRITES
from headgate.decide.mover import Goal, Move
from headgate.decide.types import Action, InPlace, Plan, SetPartition, Snapshot, WorkloadView

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle

FIELD = "spec.strategy.rolling"


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


class ByPartition:
    """The lever of a StatefulSet."""

    ends_by_itself = True
    named = "the partition"

    def closed(self, place: InPlace) -> bool:
        """Its partition is greater than any number of pods."""
        return place.partition >= CLOSED

    def observed(self, snapshot: Snapshot, _status: RolloutStatus) -> int:
        """The part of the pods that the partition lets be new."""
        found = place_of(snapshot)
        if found is None:
            return 0
        workload, place = found
        return percent(opened(place.partition, workload.replicas), workload.replicas)

    def next_move(self, snapshot: Snapshot, goal: Goal) -> Move:
        """The next safe write towards the goal: close first, then what is new goes, then the next batch."""
        found = place_of(snapshot)
        if found is None:
            return Move(waiting="waiting for the workload")
        workload, place = found
        full = workload.replicas
        pods, promoting, resting = wanted(snapshot, goal, full)
        partition = partition_for(pods, full)
        if place.partition < partition:
            if snapshot.status.weights.reasserted > REWRITES:
                return Move(waiting=goal.hold_reason)
            return Move(SetPartition(workload.name, workload.resource_version, partition, exposure="lower"))
        if not seen(workload):
            return Move(waiting=f"waiting for {workload.name} to be looked at by its controller")
        if promoting and self.completed(snapshot, goal.canary):
            return Move(reached=True, served=True)
        if place.partition >= CLOSED:
            back = take_back(snapshot, workload, place, goal)
            if back is not None:
                return back
        unready = _unready(workload, place, pods, goal.canary)
        if goal.hold:
            return Move(waiting=goal.hold_reason, served=not unready)
        if place.partition > partition:
            return _open(snapshot, workload, place, goal, partition)
        if unready:
            return Move(waiting=unready, short_of=goal.canary)
        return Move(reached=True, served=True, trouble=_bypassed(snapshot, workload, place) if resting else "")

    def completed(self, snapshot: Snapshot, _pod_hash: str) -> bool:
        """All pods are of the template, and the workload has forgotten what was before: nothing leads back."""
        found = place_of(snapshot)
        if found is None:
            return False
        workload, place = found
        return (
            seen(workload)
            and bool(place.next)
            and place.now == place.next
            and workload.updated == workload.replicas == workload.available == workload.pods
        )

    def home(self, _snapshot: Snapshot, workload: WorkloadView, place: InPlace, _stable: str) -> bool:
        """All pods are old, and ready."""
        return place.current >= workload.pods and all_ready(workload, place)

    def serves(self, snapshot: Snapshot, pod_hash: str, weights: Weights) -> bool:
        """The batches so far are ready."""
        found = place_of(snapshot)
        if found is None or self.observed(snapshot, snapshot.status) != weights.desired:
            return False
        workload, place = found
        return not _unready(workload, place, opened(place.partition, workload.replicas), pod_hash)

    def revisions(self, place: InPlace, _stable: str, _new: str) -> tuple[str, str]:
        """What the pods call them, in their label `controller-revision-hash`."""
        return place.now, place.next

    def named_stable(self, place: InPlace) -> str:
        """What the StatefulSet calls the revision that all its pods have."""
        return place.now

    def rewritten(self, workload: WorkloadView, observed: int, desired: int) -> bool:
        """The partition lets more or fewer pods be new than was written."""
        del workload
        return observed != desired

    def written(self, workload: WorkloadView) -> tuple[str, int | str]:
        """The partition."""
        partition = workload.in_place.partition if workload.in_place is not None else CLOSED
        return SetPartition(workload.name, "", 0).key, partition

    def give_back(self, workload: WorkloadView, *, judged: bool) -> Action | None:
        """Its update is opened again, unless that would release what nobody has judged."""
        place = workload.in_place
        open_ = place is None or not place.partition or not judged
        return None if open_ else SetPartition(workload.name, workload.resource_version, 0)

    def kept_back(self, workload: WorkloadView, *, judged: bool, kept: bool) -> str:
        """The update, where the template was not promoted or all is to stay as it is."""
        del judged
        if workload.in_place is None or not workload.in_place.partition:
            return ""
        why = "spec.onDelete was Keep" if kept else "its template was not promoted"
        return (
            f"{workload.kind} {workload.name} keeps its stable pods, because {why}; when it is "
            "what you want, set spec.updateStrategy.rollingUpdate.partition to 0"
        )

    def traffic(self, name: str, weights: Weights) -> str:
        """How far the update is open."""
        if not weights.observed:
            return f"the update of {name} is closed"
        return f"the update of {name} is open for {weights.observed}% of its pods"


def _bypassed(snapshot: Snapshot, workload: WorkloadView, place: InPlace) -> str:
    """Why the pods are of a revision that was never promoted; empty if they are not."""
    noted = snapshot.status.workload.revision if snapshot.status.workload is not None else None
    if not noted or place.now == noted or snapshot.status.stable is None:
        return ""
    return (
        f"all pods of {workload.name} are of {place.now}, which is not promoted: the update was complete before it "
        "could be closed, so nothing leads back; change the template to what is to run, and it is released in batches"
    )


def _unready(workload: WorkloadView, place: InPlace, pods: int, pod_hash: str) -> str:
    """Why the batches so far are not ready; empty if they are."""
    if not pods:
        return ""
    if workload.updated < pods:
        return f"waiting for the pods of {pod_hash}: {workload.updated} of {pods} are replaced"
    if not all_ready(workload, place):
        return f"waiting for the batch to be ready: {short(workload, place)}"
    if pods >= workload.replicas and place.now != place.next:
        return f"waiting for {workload.name} to be complete"
    return ""


def _open(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal, partition: int) -> Move:
    """Open the partition for the next batch, if all that is there is ready and may be disturbed."""
    return waits_to_raise(snapshot, workload, place, goal) or Move(
        SetPartition(workload.name, workload.resource_version, partition, exposure="raise")
    )


LEVERS: Mapping[str, Lever] = {"StatefulSet": ByPartition(), "DaemonSet": ByTemplate()}
"""By the kind of the workload. A new kind is one module and one line here."""


def lever_of(spec: RolloutSpec) -> Lever:
    """The lever of the workload that a rolling Rollout names."""
    return LEVERS[spec.workload_ref.kind if spec.workload_ref is not None else "StatefulSet"]


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
    def gates(self) -> tuple[tuple[str, GateStep], ...]:
        """The gates of the steps."""
        return canary.gates_of(FIELD, self.spec.steps)

    @property
    def in_place(self) -> bool:
        """The workload's own pods are replaced."""
        return True

    def allowance(self, steps: tuple[Step, ...], index: int, replicas: int) -> Allowance:
        """The new pods that the steps allow."""
        return allowance(steps, index, replicas)

    def observed(self, snapshot: Snapshot, status: RolloutStatus) -> int:
        """The part of the pods that may be new."""
        return lever_of(snapshot.spec).observed(snapshot, status)

    def aim(self, goal: Goal, _weight: int) -> Goal:
        """The pods say it all."""
        return goal

    def weight_of(self, goal: Goal) -> int:
        """All, for a promotion."""
        return ALL if goal.stable == goal.canary else percent(goal.replicas[goal.canary], goal.replicas[goal.stable])

    def next_move(self, snapshot: Snapshot, goal: Goal, _now: float) -> Move:
        """The next safe write."""
        return lever_of(snapshot.spec).next_move(snapshot, goal)

    def switched(self, snapshot: Snapshot, pod_hash: str) -> bool:
        """The workload is complete at its template."""
        return lever_of(snapshot.spec).completed(snapshot, pod_hash)

    def at_home(self, snapshot: Snapshot, stable: str) -> bool:
        """No pod is new, and those that were are back. Once that was so, an old one may come and go."""
        found = place_of(snapshot)
        if found is None or not seen(found[0]):
            return False
        workload, place = found
        if lever_of(snapshot.spec).home(snapshot, workload, place, stable):
            return True
        known = snapshot.pods
        new = known is None or any(called(place, p) != place.now for p in known.pods)
        return snapshot.status.phase in AT_REST and not new

    def relieves(self, _snapshot: Snapshot, _stable: str) -> bool:
        """Its pods are all that there are."""
        return False

    def serves(self, snapshot: Snapshot, pod_hash: str, weights: Weights, _now: float) -> bool:
        """The batches so far are ready."""
        return lever_of(snapshot.spec).serves(snapshot, pod_hash, weights)

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
        """What the pods are called, by a label of theirs."""
        place = snapshot.workload.in_place if snapshot.workload is not None else None
        return lever_of(snapshot.spec).revisions(place, stable, new) if place is not None else (stable, new)

    def describe(self, step: Step) -> str:
        """A step for people."""
        batch = step.set_canary_scale
        if batch is None:
            return canary.describe(step)
        return f"setBatch {batch.replicas if batch.replicas is not None else f'{batch.weight}%'}"

    def traffic(self, snapshot: Snapshot, weights: Weights) -> str:
        """How far the update is open, as a sentence."""
        name = snapshot.workload.name if snapshot.workload is not None else ""
        return lever_of(snapshot.spec).traffic(name, weights)

    def remembered(self, snapshot: Snapshot, workload: WorkloadStatus | None) -> WorkloadStatus | None:
        """What is noted of the workload when a revision becomes stable: what its pods are called."""
        place = snapshot.workload.in_place if snapshot.workload is not None else None
        name = lever_of(snapshot.spec).named_stable(place) if place is not None else None
        return (workload or WorkloadStatus()).model_copy(update={"revision": name})
