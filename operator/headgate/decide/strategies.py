"""What strategies that move traffic from one revision to another differ in, and which of them a Rollout has chosen.

A new strategy is one new module with a class of this shape, and one line in `of`. Steps, gates, promotion and the way
back are the same for all; nobody else asks which strategy it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headgate.api.rollout import Canary, RolloutSpec, RolloutStatus, Step, Weights
from headgate.decide.blue_green import Switching
from headgate.decide.canary import Shifting, StepState
from headgate.decide.mover import Goal, Move
from headgate.decide.ratio import Pooling
from headgate.decide.types import Plan, Snapshot

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle


class Strategy(Protocol):
    """One way in which a new revision takes over. Its weight is the percent of the users' requests that it gets."""

    @property
    def pooled(self) -> bool:
        """One Service leads to all revisions, and their pods are the weight: no selector and no route is written."""
        ...

    @property
    def services(self) -> tuple[tuple[str, str], ...]:
        """Field and name of the Service that serves what is stable, and of one that leads to what is new, if any."""
        ...

    @property
    def steps(self) -> tuple[Step, ...]:
        """What the next attempt is pinned to."""
        ...

    @property
    def gates(self) -> tuple[tuple[str, str], ...]:
        """Field and name of each QualityGate that it refers to."""
        ...

    @property
    def routed(self) -> Canary | None:
        """What routers work with; None if none shifts its traffic."""
        ...

    @property
    def scale_down_delay_seconds(self) -> int:
        """Seconds that the old revision stays after a promotion."""
        ...

    @property
    def abort_scale_down_delay_seconds(self) -> int:
        """Seconds that a revision which was taken back stays."""
        ...

    def observed(self, snapshot: Snapshot, status: RolloutStatus) -> int:
        """The weight of what is new, as the traffic is led now."""
        ...

    def aim(self, goal: Goal, weight: int) -> Goal:
        """The goal with this weight for what is new."""
        ...

    def weight_of(self, goal: Goal) -> int:
        """The weight that a goal gives to what is new."""
        ...

    def serves(self, snapshot: Snapshot, pod_hash: str, weight: int, now: float) -> bool:
        """The requests go to this revision as the weight says."""
        ...

    def switched(self, snapshot: Snapshot, pod_hash: str) -> bool:
        """What serves the users leads to this revision: the promotion is over, or cannot be told from one that is."""
        ...

    def at_home(self, snapshot: Snapshot, stable: str) -> bool:
        """Nothing leads to anything but what is stable."""
        ...

    def relieves(self, snapshot: Snapshot, stable: str) -> bool:
        """The pods of an adopted Deployment are not needed any more."""
        ...

    def next_move(self, snapshot: Snapshot, goal: Goal, now: float) -> Move:
        """The next safe write towards a goal."""
        ...

    def step_state(self, cycle: Cycle, plan: Plan) -> StepState:
        """Whether the present step is done."""
        ...

    def judged(self, weight: int) -> tuple[str, str]:
        """The Services that queries speak of at a weight: what stable serves by, and what is judged by."""
        ...

    def describe(self, step: Step) -> str:
        """A step for people."""
        ...

    def traffic(self, snapshot: Snapshot, weights: Weights) -> str:
        """Who gets the requests, as a sentence."""
        ...


def of(spec: RolloutSpec) -> Strategy:
    """The strategy that a spec has chosen."""
    chosen = spec.strategy
    if chosen.canary is not None:
        return Shifting(chosen.canary) if chosen.canary.traffic_routing is not None else Pooling(chosen.canary)
    if chosen.blue_green is not None:
        return Switching(chosen.blue_green)
    raise ValueError("no strategy is chosen")  # The model lets no such spec pass.
