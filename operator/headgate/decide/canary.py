"""The canary strategy: what each step allows, when it is done, and how many pods it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.api.common import PERCENT, round_seconds, seconds, to_epoch
from headgate.api.rollout import Canary, GateStep, RollingStep, RolloutStatus, Step, Weights, WorkloadStatus
from headgate.api.values import dataclass
from headgate.decide import experiment, managed, mover
from headgate.decide.managed import ManagedRoute
from headgate.decide.mover import Goal, Move, available, need, observed_weight, unsettled
from headgate.decide.types import Plan, Snapshot

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle

FIELD = "spec.strategy.canary"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the steps up to the present one allow."""

    weight: int
    replicas: int
    routes: tuple[ManagedRoute, ...] = ()
    """Those of the steps: by header, and mirrors."""


def allowance(steps: tuple[Step, ...], index: int, replicas: int, floor: int = 0, total: int = PERCENT) -> Allowance:
    """What the canary may have at step `index` (counted from 0); beyond the last step: what the last left.

    Pods never fall short of the weight: capacity goes before traffic whatever setCanaryScale says. How many requests a
    route by header takes nobody knows, so that there is one pod at least, and `floor` pods if the spec wants them.
    """
    weight, scale = 0, None
    for step in steps[: index + 1]:
        if step.set_weight is not None:
            weight = step.set_weight
        elif step.set_canary_scale is not None:
            scale = step.set_canary_scale
    routes = managed.after(steps[: index + 1])
    wanted = max(need(replicas, weight, total), max(1, floor) if (weight or routes) and replicas else 0)
    if scale is not None and scale.replicas is not None:
        wanted = max(wanted, scale.replicas)
    elif scale is not None and scale.weight is not None:
        wanted = max(wanted, need(replicas, scale.weight))
    return Allowance(weight, wanted, routes)


def staying(plan: Plan, index: int, replicas: int, total: int = PERCENT) -> int:
    """Pods for the users who stay with the canary at step `index` (counted from 0); 0 while it gets nothing.

    Each of their requests may bring new ones, so that it may be all of them, sooner or later; where those of stable
    stay, too, it is not more than the greatest weight so far.
    """
    weights = [step.set_weight for step in plan.steps[: index + 1] if step.set_weight is not None]
    if plan.session is None or not weights or not weights[-1]:
        return 0
    return need(replicas, max(weights), total) if plan.session.stay_on_stable else replicas


def gates_of(field: str, steps: Sequence[Step | RollingStep]) -> tuple[tuple[str, GateStep], ...]:
    """The gates of the steps that a strategy's field has, each with its own field; with examples for variants."""
    found = []
    for i, step in enumerate(steps):
        if step.gate is not None:
            found.append((f"{field}.steps[{i}].gate", step.gate))
        elif isinstance(step, Step) and step.experiment is not None:
            found.append((f"{field}.steps[{i}].experiment.gate", experiment.example_of(step.experiment)))
    return tuple(found)


def describe(step: Step) -> str:
    """A step for people."""
    if step.set_weight is not None:
        return f"setWeight {step.set_weight}"
    if step.pause is not None:
        return f"pause {step.pause.duration}" if step.pause.duration else "pause until promoted"
    if step.gate is not None:
        return f"gate {step.gate.ref.name}"
    if step.experiment is not None:
        names = ", ".join(variant.name for variant in step.experiment.variants)
        return f"experiment with {names}, gate {step.experiment.gate.ref.name}"
    for name, route in (("setHeaderRoute", step.set_header_route), ("setMirrorRoute", step.set_mirror_route)):
        if route is not None:
            return f"{name} {route.name}" + ("" if route.match else " is taken out")
    return "setCanaryScale"


def may_be_passed(steps: tuple[Step, ...], index: int) -> bool:
    """Whether a hotfix need not wait for this step: for a pause, and for a weight at which nothing is judged.

    The weight before a gate is waited for, and so is the last one, at which the gates in the background judge.
    """
    step = steps[index]
    if step.set_weight is None:
        return step.pause is not None
    rest = steps[index + 1 :]
    until = next((i for i, later in enumerate(rest) if later.judged_by is not None), len(rest))
    return any(later.set_weight is not None for later in rest[:until])


@dataclass(frozen=True, slots=True)
class StepState:
    """How the present step stands. `clock`: the progress deadline runs."""

    done: bool
    waiting: str = ""
    clock: bool = False
    clock_since: str = ""
    """Since when it runs, where that is later than the last progress."""
    paused: bool = False


def step_state(cycle: Cycle, plan: Plan) -> StepState:
    """Whether the present step is done, judged by the move that the mover found for it."""
    status = cycle.status
    index = status.current_step_index
    step = plan.steps[index]
    reached, waiting = cycle.move.reached, cycle.move.waiting
    if not (step.set_weight is None and step.set_header_route is None and step.set_mirror_route is None):
        return StepState(reached, waiting, clock=True)
    if step.set_canary_scale is not None:
        pod_hash = status.current.pod_hash if status.current else ""
        spec = cycle.snapshot.spec
        wanted = allowance(plan.steps, index, spec.replicas, mover.floor_of(spec), spec.total).replicas
        there = available(cycle.snapshot, pod_hash)
        least = mover.enough(spec, wanted)
        less = f", and {least} are enough" if least < wanted else ""
        short = f"waiting for the pods of {pod_hash}: {there} of {wanted} available{less}" if there < least else ""
        return StepState(reached and not short, waiting or short, clock=True)
    if step.pause is not None:
        return _pause(cycle, step.pause.duration)
    return _gate(cycle, index)


def _pause(cycle: Cycle, duration: str | None) -> StepState:
    if duration is None:
        return StepState(done=False, waiting="paused until someone promotes", paused=True)
    ends = to_epoch(cycle.status.step_started_at or "") + seconds(duration)
    if cycle.now >= ends:
        return StepState(done=True)
    cycle.wake(ends)
    return StepState(done=False, waiting=f"pausing for {round_seconds(seconds(duration))}", paused=True)


def _gate(cycle: Cycle, index: int) -> StepState:
    run = next((g for g in cycle.status.gates if g.step == index), None)
    if run is None:
        return StepState(done=False, waiting=cycle.move.waiting or "the gate is about to begin")
    if run.verdict == "Pass" or run.overridden:
        return StepState(done=True)
    waiting = cycle.move.waiting or run.message or f"{run.name} is judging since {run.started_at[11:16]}"
    # Judging takes its time. One that was stopped waits for its weight to be served again, as a setWeight does.
    return StepState(done=False, waiting=waiting, clock=not run.checks, clock_since=run.started_at)


def held_gate(cycle: Cycle) -> str:
    """Why a gate holds the release; empty if none does."""
    for run in cycle.status.gates:
        if run.held and not run.overridden and run.step in (-1, cycle.status.current_step_index):
            return f"{run.name} is held: {run.message}"
    return ""


def unproven_background(cycle: Cycle, plan: Plan) -> str:
    """Which background gate has not passed yet; empty if all have."""
    for name in sorted(plan.background_gates):
        run = next((g for g in cycle.status.gates if g.step == -1 and g.name == name), None)
        if run is None or not (run.verdict == "Pass" or run.overridden):
            why = run.message if run and run.message else "no measurement has passed yet"
            return f"waiting for the background gate {name}: {why}"
    return ""


def deadline_passed(cycle: Cycle, clock_since: str = "") -> bool:
    """The present step has taken longer than the progress deadline, from the last progress or from this time on."""
    since = cycle.status.progress_since
    if since is None:
        return False
    ends = max(to_epoch(since), to_epoch(clock_since or since)) + cycle.snapshot.spec.progress_deadline_seconds
    if cycle.now < ends:
        cycle.wake(ends)
        return False
    return True


class Succeeding:
    """What strategies have in common under which what is new takes the place of what is stable, and no other one."""

    __slots__ = ()

    @property
    def ends_at(self) -> int:
        """No request is led to a canary any more."""
        return 0

    def promotion(self, _snapshot: Snapshot, goal: Goal, _routes: tuple[ManagedRoute, ...], _now: float) -> Goal:
        """What is new as what is stable."""
        return replace(goal, stable=goal.canary, proven=False)


class OwnPods(Succeeding):
    """What strategies have in common under which each revision has pods of its own."""

    __slots__ = ()

    @property
    def in_place(self) -> bool:
        """The workload that is adopted keeps no pods."""
        return False

    def allowance(self, steps: tuple[Step, ...], index: int, replicas: int) -> Allowance:
        """What the steps up to the present one allow."""
        return allowance(steps, index, replicas)

    def revisions(self, _snapshot: Snapshot, stable: str, new: str) -> tuple[str, str]:
        """Their pod hashes, which label the pods."""
        return stable, new

    def remembered(self, _snapshot: Snapshot, workload: WorkloadStatus | None) -> WorkloadStatus | None:
        """Nothing more."""
        return workload


class Unrouted(Succeeding):
    """What strategies have in common in which pods are the weight, so that no router takes part."""

    __slots__ = ()

    @property
    def routed(self) -> Canary | None:
        """No router takes part."""
        return None

    @property
    def scale_down_delay_seconds(self) -> int:
        """None: pods that stay would keep their share."""
        return 0

    @property
    def abort_scale_down_delay_seconds(self) -> int:
        """None, likewise."""
        return 0


class TwoServices(OwnPods):
    """What of these those have in common under which each of two Services leads to one revision."""

    __slots__ = ()

    @property
    def pooled(self) -> bool:
        """Each Service leads to one revision."""
        return False

    def switched(self, snapshot: Snapshot, pod_hash: str) -> bool:
        """The Service that serves the users selects this revision."""
        return mover.selected(snapshot.stable_service) == pod_hash

    def at_home(self, snapshot: Snapshot, stable: str) -> bool:
        """Everything leads to what is stable."""
        return mover.at_home(snapshot, stable)

    def relieves(self, snapshot: Snapshot, stable: str) -> bool:
        """The Service that serves the users leads to this revision alone."""
        return mover.relieves(snapshot, stable)

    def next_move(self, snapshot: Snapshot, goal: Goal, now: float) -> Move:
        """The next safe write."""
        return mover.next_move(snapshot, goal, now)


@dataclass(frozen=True, slots=True)
class Shifting(TwoServices):
    """The canary as a strategy: routers shift the requests in the steps of the spec."""

    spec: Canary

    def allowance(self, steps: tuple[Step, ...], index: int, replicas: int) -> Allowance:
        """What the steps allow, and as many pods as each side is to have."""
        floor = min(replicas, self.spec.min_pods_per_replica_set or 0)
        return allowance(steps, index, replicas, floor, self.spec.total)

    @property
    def services(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The stable and the canary Service."""
        return (
            (f"{FIELD}.stableService", self.spec.stable_service),
            (f"{FIELD}.canaryService", self.spec.canary_service or ""),
        )

    @property
    def steps(self) -> tuple[Step, ...]:
        """As the spec has them."""
        return tuple(self.spec.steps)

    @property
    def gates(self) -> tuple[tuple[str, GateStep], ...]:
        """The gates of the steps."""
        return gates_of(FIELD, self.spec.steps)

    @property
    def routed(self) -> Canary | None:
        """Routers work with the whole of it."""
        return self.spec

    @property
    def scale_down_delay_seconds(self) -> int:
        """As the spec says."""
        return self.spec.scale_down_delay_seconds

    @property
    def abort_scale_down_delay_seconds(self) -> int:
        """As the spec says."""
        return self.spec.abort_scale_down_delay_seconds

    def observed(self, snapshot: Snapshot, _status: RolloutStatus) -> int:
        """What the routes were last seen to give to the canary Service."""
        return observed_weight(snapshot)

    def aim(self, goal: Goal, weight: int) -> Goal:
        """The routes give it to the canary Service."""
        return replace(goal, weight=weight, follows=goal.stable if self.spec.dynamic_stable_scale else "")

    def weight_of(self, goal: Goal) -> int:
        """What the routes are to give to the canary Service."""
        return goal.weight

    def serves(self, snapshot: Snapshot, _pod_hash: str, weights: Weights, now: float) -> bool:
        """Every router serves this weight, and these routes."""
        return unsettled(snapshot, weights.desired, tuple(weights.routes or ()), now) is None

    def step_state(self, cycle: Cycle, plan: Plan) -> StepState:
        """Whether the present step is done."""
        return step_state(cycle, plan)

    def judged(self, _weight: int, _snapshot: Snapshot) -> tuple[str, str]:
        """The two Services, at any weight."""
        return self.spec.stable_service, self.spec.canary_service or ""

    def describe(self, step: Step) -> str:
        """A step for people."""
        return describe(step)

    def traffic(self, snapshot: Snapshot, weights: Weights) -> str:
        """Who gets the requests, as a sentence."""
        led = mover.led(snapshot)
        routes = managed.names_of(key for key in led if not managed.is_share(key))
        variants = managed.names_of(filter(managed.is_share, led))
        said = f"the router serves weight {weights.observed}" + (f" and leads by {routes}" if routes else "")
        return said + (f"; shares go to {variants}" if variants else "")
