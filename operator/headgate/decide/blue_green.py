"""The blue-green strategy: the new revision comes up whole behind the preview Service, then all requests are switched.

It is made of the steps of a canary, with two weights only: at 100 the active Service selects the new revision, below
that the stable one; or a router leads to the preview Service, and to the active one. While gates judge after the switch
the old revision keeps all its pods and stays what the journal calls stable; so a Fail or an abort switches back with
the next write, as any other lowering.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from headgate.api.rollout import (
    BlueGreen,
    Canary,
    CanaryRouting,
    CanaryScale,
    GateStep,
    Pause,
    RolloutStatus,
    Step,
    TimedGate,
    Weights,
)
from headgate.api.routes import MirrorRoute, PathMatch, RouteMatch
from headgate.api.values import dataclass
from headgate.decide import canary
from headgate.decide.canary import FIELD as CANARY_FIELD
from headgate.decide.canary import Allowance, Shifting, StepState, TwoServices
from headgate.decide.journal import running
from headgate.decide.mover import Goal, holds_only, need, not_serving, selected
from headgate.decide.types import Plan, Snapshot

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle

ALL = 100
FIELD = "spec.strategy.blueGreen"
NAMES = ("active Service", "preview Service")
MIRROR = "mirror"
"""The name of the route that copies requests."""
EVERY = RouteMatch(path=PathMatch(prefix="/"))
"""A request of any kind."""
_STEP = re.compile(rf'{re.escape(CANARY_FIELD)}\.steps\[\d+\]\.setMirrorRoute: the route "{MIRROR}" ')


class Previewed(TwoServices):
    """What blue-green is, whoever switches the requests."""

    __slots__ = ()
    chosen: BlueGreen

    @property
    def services(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The active and the preview Service."""
        return (
            (f"{FIELD}.activeService", self.chosen.active_service),
            (f"{FIELD}.previewService", self.chosen.preview_service),
        )

    @property
    def gates(self) -> tuple[tuple[str, GateStep], ...]:
        """The gates before and after the switch."""

        def fields(name: str, gates: list[TimedGate]) -> list[tuple[str, GateStep]]:
            return [(f"{FIELD}.{name}[{i}]", gate) for i, gate in enumerate(gates)]

        before, after = self.chosen.pre_promotion_gates, self.chosen.post_promotion_gates
        copied = self.chosen.mirror.gates if self.chosen.mirror is not None else []
        return (
            *fields("prePromotionGates", before),
            *fields("mirror.gates", copied),
            *fields("postPromotionGates", after),
        )

    @property
    def scale_down_delay_seconds(self) -> int:
        """As the spec says."""
        return self.chosen.scale_down_delay_seconds

    @property
    def abort_scale_down_delay_seconds(self) -> int:
        """As the spec says."""
        return self.chosen.abort_scale_down_delay_seconds

    def step_state(self, cycle: Cycle, plan: Plan) -> StepState:
        """The preview is up when its Service leads to it: before that its gates have nothing to judge."""
        state, index = canary.step_state(cycle, plan), cycle.status.current_step_index
        run = cycle.status.current
        if not state.done or run is None or plan.steps[index].set_canary_scale is None:
            return state
        wanted = canary.allowance(plan.steps, index, cycle.snapshot.spec.replicas).replicas
        short = not_serving(cycle.snapshot.canary_service, run.pod_hash, wanted, "preview Service")
        return StepState(not short, short, clock=True)

    def describe(self, step: Step) -> str:
        """A step for people."""
        preview = self.chosen.preview_service
        if step.set_weight is not None:
            where = f" behind Service {preview}" if self.chosen.traffic_routing is not None else ""
            return f"switch Service {self.chosen.active_service} to the new revision{where}"
        if step.set_canary_scale is not None:
            count = step.set_canary_scale.replicas
            pods = "all its pods" if count is None else f"{count} pod{'' if count == 1 else 's'}"
            return f"preview with {pods} behind Service {preview}"
        if step.set_mirror_route is not None:
            return f"copy {step.set_mirror_route.percentage or ALL}% of the requests to Service {preview}"
        return canary.describe(step)


@dataclass(frozen=True, slots=True)
class Switching(Previewed):
    """Blue-green by the selector of the active Service, as a strategy."""

    chosen: BlueGreen

    @property
    def steps(self) -> tuple[Step, ...]:
        """Preview, gates, pause, switch, gates."""
        return steps_of(self.chosen)

    @property
    def routed(self) -> Canary | None:
        """No router takes part."""
        return None

    def observed(self, snapshot: Snapshot, status: RolloutStatus) -> int:
        """What the active Service gives to the revision under way; without one, to any but the stable revision."""
        if status.stable is None:
            return 0
        run, stable, service = running(status), status.stable.pod_hash, snapshot.stable_service

        def new(pod_hash: str) -> bool:
            return pod_hash == run.pod_hash if run is not None else pod_hash != stable

        if selected(service):
            return ALL if new(selected(service)) else 0
        # Somebody took the revision out of the selector: it leads to whatever has pods, so it is never all or nothing
        # for long, whatever the endpoints still show.
        part = sum(count for pod_hash, count in service.ready.items() if new(pod_hash))
        return min(ALL - 1, math.ceil(ALL * part / sum(service.ready.values()))) if part else 0

    def aim(self, goal: Goal, weight: int) -> Goal:
        """The active Service selects the new revision at 100, the stable one at any other weight."""
        named = replace(goal, weight=0, names=NAMES)
        return replace(named, stable=goal.canary, proven=False) if weight == ALL else named

    def weight_of(self, goal: Goal) -> int:
        """All or nothing."""
        return ALL if goal.stable == goal.canary else 0

    def serves(self, snapshot: Snapshot, pod_hash: str, weights: Weights, _now: float) -> bool:
        """The Service by which the revision is judged leads to it alone."""
        service = snapshot.stable_service if weights.desired == ALL else snapshot.canary_service
        there = service.ready.get(pod_hash, 0)
        return selected(service) == pod_hash and bool(there) and holds_only(service, pod_hash)

    def judged(self, weight: int, _snapshot: Snapshot) -> tuple[str, str]:
        """Before the switch the preview Service, after it the active one."""
        active, preview = self.chosen.active_service, self.chosen.preview_service
        return active, active if weight == ALL else preview

    def traffic(self, snapshot: Snapshot, _weights: Weights) -> str:
        """Who gets the requests, as a sentence."""
        return f"Service {self.chosen.active_service} leads to {selected(snapshot.stable_service) or 'all revisions'}"


@dataclass(frozen=True, slots=True)
class Routing(Previewed, Shifting):
    """Blue-green by a router: a canary between the two Services, with all of the requests or none of them."""

    chosen: BlueGreen

    def allowance(self, steps: tuple[Step, ...], index: int, replicas: int) -> Allowance:
        """Copies need pods, too, and end with the switch."""
        found = canary.allowance(steps, index, replicas)
        if found.weight == ALL:
            return replace(found, routes=())
        copied = [need(replicas, route.percentage or 0) for route in found.routes]
        return replace(found, replicas=max([found.replicas, *copied]))

    def aim(self, goal: Goal, weight: int) -> Goal:
        """The routes give it to the preview Service."""
        return replace(goal, weight=weight, names=NAMES)


def routing(chosen: BlueGreen) -> Routing:
    """Blue-green by a router as a strategy."""
    return Routing(_as_canary(_Same(chosen)), chosen)


def told(text: str) -> str:
    """What a router says of a canary, said of the fields of a blue-green Rollout."""
    text = _STEP.sub(f"{FIELD}.mirror: it ", text)
    return text.replace(f"{CANARY_FIELD}.trafficRouting", f"{FIELD}.trafficRouting")


def steps_of(spec: BlueGreen) -> tuple[Step, ...]:
    """Preview, gates, copies and their gates, pause, switch, gates."""
    count, mirror = spec.preview_replica_count, spec.mirror
    preview = CanaryScale(replicas=count) if count is not None else CanaryScale(weight=ALL)
    steps = [Step(set_canary_scale=preview), *map(_judge, spec.pre_promotion_gates)]
    if mirror is not None:
        copies = MirrorRoute(name=MIRROR, percentage=mirror.percentage, match=mirror.match or [EVERY])
        steps += [Step(set_mirror_route=copies), *map(_judge, mirror.gates)]
    if not spec.auto_promotion_enabled:
        steps.append(Step(pause=Pause(), timeout=spec.promotion_timeout, on_timeout=spec.on_promotion_timeout))
    elif spec.auto_promotion_seconds is not None:
        steps.append(Step(pause=Pause(duration=f"{spec.auto_promotion_seconds}s")))
    return (*steps, Step(set_weight=ALL), *map(_judge, spec.post_promotion_gates))


def _judge(gate: TimedGate) -> Step:
    judged = GateStep(ref=gate.ref, duration=gate.duration, count=gate.count, arguments=gate.arguments)
    return Step(gate=judged, timeout=gate.timeout, on_timeout=gate.on_timeout)


class _Same:
    """A spec as itself: it is read once and nobody changes it, so that what follows from it is made once, too."""

    __slots__ = ("spec",)

    def __init__(self, spec: BlueGreen) -> None:
        self.spec = spec

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.spec is self.spec

    def __hash__(self) -> int:
        return id(self.spec)


@lru_cache(maxsize=1024)
def _as_canary(same: _Same) -> Canary:
    spec = same.spec
    routing = spec.traffic_routing.model_dump(exclude_none=True) if spec.traffic_routing is not None else None
    return Canary(
        stable_service=spec.active_service,
        canary_service=spec.preview_service,
        traffic_routing=CanaryRouting.model_validate(routing) if routing is not None else None,
        steps=list(steps_of(spec)),
        scale_down_delay_seconds=spec.scale_down_delay_seconds,
        abort_scale_down_delay_seconds=spec.abort_scale_down_delay_seconds,
    )
