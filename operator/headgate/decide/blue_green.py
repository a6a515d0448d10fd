"""The blue-green strategy: the new revision comes up whole behind the preview Service, then one selector is switched.

It is made of the steps of a canary, with two weights only: at 100 the active Service selects the new revision, below
that the stable one. While gates judge after the switch the old revision keeps all its pods and stays what the journal
calls stable; so a Fail or an abort switches back with the next write, as any other lowering.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.api.rollout import (
    BlueGreen,
    Canary,
    CanaryScale,
    GateStep,
    Pause,
    RolloutStatus,
    Step,
    TimedGate,
    Weights,
)
from headgate.api.values import dataclass
from headgate.decide import canary
from headgate.decide.canary import StepState, TwoServices
from headgate.decide.journal import running
from headgate.decide.mover import Goal, holds_only, not_serving, selected
from headgate.decide.types import Plan, Snapshot

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle

ALL = 100
FIELD = "spec.strategy.blueGreen"


@dataclass(frozen=True, slots=True)
class Switching(TwoServices):
    """Blue-green as a strategy."""

    spec: BlueGreen

    @property
    def services(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The active and the preview Service."""
        return (
            (f"{FIELD}.activeService", self.spec.active_service),
            (f"{FIELD}.previewService", self.spec.preview_service),
        )

    @property
    def steps(self) -> tuple[Step, ...]:
        """Preview, gates, pause, switch, gates."""
        spec = self.spec
        count = spec.preview_replica_count
        preview = CanaryScale(replicas=count) if count is not None else CanaryScale(weight=ALL)
        steps = [Step(set_canary_scale=preview)]
        steps += map(_judge, spec.pre_promotion_gates)
        if not spec.auto_promotion_enabled:
            wait = Step(pause=Pause(), timeout=spec.promotion_timeout, on_timeout=spec.on_promotion_timeout)
            steps.append(wait)
        elif spec.auto_promotion_seconds is not None:
            steps.append(Step(pause=Pause(duration=f"{spec.auto_promotion_seconds}s")))
        steps.append(Step(set_weight=ALL))
        steps += map(_judge, spec.post_promotion_gates)
        return tuple(steps)

    @property
    def gates(self) -> tuple[tuple[str, str], ...]:
        """The gates before and after the switch."""

        def fields(name: str, gates: list[TimedGate]) -> list[tuple[str, str]]:
            return [(f"{FIELD}.{name}[{i}].ref.name", gate.ref.name) for i, gate in enumerate(gates)]

        before, after = self.spec.pre_promotion_gates, self.spec.post_promotion_gates
        return (*fields("prePromotionGates", before), *fields("postPromotionGates", after))

    @property
    def routed(self) -> Canary | None:
        """No router takes part."""
        return None

    @property
    def scale_down_delay_seconds(self) -> int:
        """As the spec says."""
        return self.spec.scale_down_delay_seconds

    @property
    def abort_scale_down_delay_seconds(self) -> int:
        """As the spec says."""
        return self.spec.abort_scale_down_delay_seconds

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
        named = replace(goal, weight=0, names=("active Service", "preview Service"))
        return replace(named, stable=goal.canary, proven=False) if weight == ALL else named

    def weight_of(self, goal: Goal) -> int:
        """All or nothing."""
        return ALL if goal.stable == goal.canary else 0

    def serves(self, snapshot: Snapshot, pod_hash: str, weights: Weights, _now: float) -> bool:
        """The Service by which the revision is judged leads to it alone."""
        service = snapshot.stable_service if weights.desired == ALL else snapshot.canary_service
        there = service.ready.get(pod_hash, 0)
        return selected(service) == pod_hash and bool(there) and holds_only(service, pod_hash)

    def step_state(self, cycle: Cycle, plan: Plan) -> StepState:
        """The preview is up when its Service leads to it: before that its gates have nothing to judge."""
        state, index = canary.step_state(cycle, plan), cycle.status.current_step_index
        run = cycle.status.current
        if not state.done or run is None or plan.steps[index].set_canary_scale is None:
            return state
        wanted = canary.allowance(plan.steps, index, cycle.snapshot.spec.replicas).replicas
        short = not_serving(cycle.snapshot.canary_service, run.pod_hash, wanted, "preview Service")
        return StepState(not short, short, clock=True)

    def judged(self, weight: int, _snapshot: Snapshot) -> tuple[str, str]:
        """Before the switch the preview Service, after it the active one."""
        active, preview = self.spec.active_service, self.spec.preview_service
        return active, active if weight == ALL else preview

    def describe(self, step: Step) -> str:
        """A step for people."""
        if step.set_weight is not None:
            return f"switch Service {self.spec.active_service} to the new revision"
        if step.set_canary_scale is not None:
            count = step.set_canary_scale.replicas
            pods = "all its pods" if count is None else f"{count} pod{'' if count == 1 else 's'}"
            return f"preview with {pods} behind Service {self.spec.preview_service}"
        return canary.describe(step)

    def traffic(self, snapshot: Snapshot, _weights: Weights) -> str:
        """Who gets the requests, as a sentence."""
        return f"Service {self.spec.active_service} leads to {selected(snapshot.stable_service) or 'all revisions'}"


def _judge(gate: TimedGate) -> Step:
    judged = GateStep(ref=gate.ref, duration=gate.duration, count=gate.count)
    return Step(gate=judged, timeout=gate.timeout, on_timeout=gate.on_timeout)
