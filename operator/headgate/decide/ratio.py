"""The canary without a router: one Service leads to the pods of both revisions, and their numbers are the weight.

No selector and no route is written. Pods are added and taken one write at a time, within maxSurge and maxUnavailable;
the way back is the same in the other direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.api.rollout import Canary, GateStep, RolloutStatus, Step, Weights
from headgate.api.values import dataclass
from headgate.decide import canary, mover
from headgate.decide.canary import FIELD, OwnPods, StepState, Unrouted
from headgate.decide.journal import running
from headgate.decide.mover import Goal, Move
from headgate.decide.pool import ALL, Bounds, bounds, grows_to, serving, shrinks_to, split
from headgate.decide.types import Exposure, Plan, ReplicaSetView, ScaleReplicaSet, Snapshot

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle


@dataclass(frozen=True, slots=True)
class Pooling(Unrouted, OwnPods):
    """The canary by replica ratio as a strategy."""

    spec: Canary

    @property
    def pooled(self) -> bool:
        """One Service leads to all revisions."""
        return True

    @property
    def services(self) -> tuple[tuple[str, str], ...]:
        """The one Service."""
        return ((f"{FIELD}.stableService", self.spec.stable_service),)

    @property
    def steps(self) -> tuple[Step, ...]:
        """As the spec has them."""
        return tuple(self.spec.steps)

    @property
    def gates(self) -> tuple[tuple[str, GateStep], ...]:
        """The gates of the steps."""
        return canary.gates_of(FIELD, self.spec.steps)

    def observed(self, snapshot: Snapshot, status: RolloutStatus) -> int:
        """The weight that is wanted, if the pods stand as it asks for; else the percent of them that are new."""
        if status.stable is None:
            return 0
        run, desired = running(status), status.weights.desired
        if run is not None and self.serves(snapshot, run.pod_hash, status.weights, 0.0):
            return desired
        ready = {h: n for h, n in snapshot.stable_service.ready.items() if h and n}
        new = run.pod_hash if run is not None else None
        count = sum(n for h, n in ready.items() if (h == new if new else h != status.stable.pod_hash))
        return round(ALL * count / sum(ready.values())) if ready else 0

    def aim(self, goal: Goal, weight: int) -> Goal:
        """The pods give it."""
        return replace(goal, weight=weight)

    def weight_of(self, goal: Goal) -> int:
        """What the pods are to give to the new revision."""
        return ALL if goal.stable == goal.canary and not goal.proven else goal.weight

    def serves(self, snapshot: Snapshot, pod_hash: str, weights: Weights, _now: float) -> bool:
        """As many endpoints of either revision are ready as the weight asks for."""
        old, new = split(snapshot.spec.replicas, weights.desired)
        ready = snapshot.stable_service.ready
        return ready.get(pod_hash, 0) == new and sum(n for h, n in ready.items() if h not in ("", pod_hash)) == old

    def switched(self, snapshot: Snapshot, pod_hash: str) -> bool:
        """All requests go to this revision."""
        known = {h for h, count in snapshot.stable_service.ready.items() if h and count}
        return known == {pod_hash} or not snapshot.spec.replicas

    def at_home(self, snapshot: Snapshot, stable: str) -> bool:
        """No requests go anywhere else."""
        return self.switched(snapshot, stable)

    def relieves(self, snapshot: Snapshot, stable: str) -> bool:
        """The full load has its pods, whoever else serves, too."""
        return mover.available(snapshot, stable) >= snapshot.spec.replicas

    def next_move(self, snapshot: Snapshot, goal: Goal, _now: float) -> Move:
        """The next write towards the ratio, within the bounds."""
        return _next_move(snapshot, goal, bounds(snapshot.spec, self.spec))

    def step_state(self, cycle: Cycle, plan: Plan) -> StepState:
        """Whether the present step is done."""
        return canary.step_state(cycle, plan)

    def judged(self, _weight: int, _snapshot: Snapshot) -> tuple[str, str]:
        """The one Service; queries tell the versions apart by their revisions."""
        return self.spec.stable_service, self.spec.stable_service

    def describe(self, step: Step) -> str:
        """A step for people."""
        return canary.describe(step)

    def traffic(self, snapshot: Snapshot, weights: Weights) -> str:
        """Who gets the requests, as a sentence."""
        ready = {h: n for h, n in sorted(snapshot.stable_service.ready.items()) if h and n}
        pods = ", ".join(f"{n} of {h}" for h, n in ready.items()) or "no pods"
        return f"Service {self.spec.stable_service} leads to {pods}: weight {weights.observed}"


def targets(goal: Goal, replicas: int) -> dict[str, int]:
    """Wanted pods by pod hash; every other ReplicaSet is to have none."""
    if goal.stable == goal.canary:
        return {goal.stable: replicas}
    old, new = split(replicas, goal.weight)
    return {goal.stable: old, goal.canary: new}


def _next_move(snapshot: Snapshot, goal: Goal, limits: Bounds) -> Move:
    sets = {r.pod_hash: r for r in snapshot.replica_sets if r.owned and not r.deleting}
    wanted = targets(goal, snapshot.spec.replicas)
    # One pod cannot be divided: then there are two, whatever the surge is.
    limits = replace(limits, most=max(limits.most, sum(wanted.values())))
    if goal.hold:
        return _held(snapshot, goal, sets, wanted)
    sizes = {h: r.replicas for h, r in sets.items()}
    # What is stable grows first: it carries the load.
    for pod_hash in sorted(wanted, key=lambda h: (h != goal.stable, h)):
        if sizes.get(pod_hash, 0) >= wanted[pod_hash]:
            continue
        count = grows_to(pod_hash, wanted[pod_hash], sizes, limits.most)
        if count > sizes.get(pod_hash, 0):
            return _grow(snapshot, goal, sets.get(pod_hash), pod_hash, count)
    there = {h: serving(r) for h, r in sets.items()}
    # Strangers first, then what is new: what is stable loses pods last.
    for pod_hash in sorted(sizes, key=lambda h: (h in wanted, h == goal.stable, h)):
        if sizes[pod_hash] <= wanted.get(pod_hash, 0):
            continue
        found = sets[pod_hash]
        if found.settled:
            count = shrinks_to(pod_hash, wanted.get(pod_hash, 0), sizes, there, limits.least)
            if count < sizes[pod_hash]:
                return Move(_scale(snapshot, goal, found, count))
    return _waiting(snapshot, goal, wanted, sets, there)


def _held(snapshot: Snapshot, goal: Goal, sets: Mapping[str, ReplicaSetView], wanted: Mapping[str, int]) -> Move:
    """Nothing changes but what somebody took from the stable revision: it is given back."""
    found = sets.get(goal.stable)
    rest = snapshot.spec.replicas - sum(r.replicas for h, r in sets.items() if h != goal.stable)
    served = all(sets[h].replicas == n if h in sets else not n for h, n in wanted.items())
    if goal.proven and not goal.frozen and rest > (found.replicas if found is not None else 0):
        move = _grow(snapshot, goal, found, goal.stable, rest)
        return replace(move, waiting=move.waiting or goal.hold_reason)
    return Move(waiting=goal.hold_reason, served=served)


def _grow(snapshot: Snapshot, goal: Goal, found: ReplicaSetView | None, pod_hash: str, count: int) -> Move:
    if found is not None:
        return Move(_scale(snapshot, goal, found, count), short_of=pod_hash)
    move = mover.create(snapshot, pod_hash, count)
    if move.action is None or (goal.proven and pod_hash == goal.stable):
        return move
    return replace(move, action=replace(move.action, exposure="raise"))


def _scale(snapshot: Snapshot, goal: Goal, found: ReplicaSetView, count: int) -> ScaleReplicaSet:
    """More pods of what was stable, or fewer of anything else, lower exposure; while nothing is stable nothing does."""
    towards_stable = (found.pod_hash == goal.stable) == (count > found.replicas)
    exposure: Exposure = "lower" if goal.proven and towards_stable else "raise"
    return ScaleReplicaSet(
        found.name, found.resource_version, count, snapshot.spec.min_ready_seconds, exposure=exposure
    )


def _waiting(
    snapshot: Snapshot,
    goal: Goal,
    wanted: Mapping[str, int],
    sets: Mapping[str, ReplicaSetView],
    there: Mapping[str, int],
) -> Move:
    for pod_hash in sorted(wanted, key=lambda h: (h != goal.stable, h)):
        if there.get(pod_hash, 0) < wanted[pod_hash]:
            text = f"waiting for the pods of {pod_hash}: {there.get(pod_hash, 0)} of {wanted[pod_hash]} available"
            return Move(waiting=text, short_of=pod_hash)
    for pod_hash, found in sorted(sets.items()):
        if found.replicas > wanted.get(pod_hash, 0):
            return Move(waiting=f"waiting until pods of {pod_hash} can go without too few being left")
    service = snapshot.stable_service
    for pod_hash in sorted({*wanted, *service.ready} - {""}):
        ready, count = service.ready.get(pod_hash, 0), wanted.get(pod_hash, 0)
        if ready != count:
            return Move(waiting=f"waiting for Service {service.name} to hold {count} pods of {pod_hash} (now {ready})")
    return Move(reached=True, served=True)
