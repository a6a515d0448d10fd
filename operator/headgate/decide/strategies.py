"""What strategies that expose a new revision step by step differ in, and which of them a Rollout has chosen.

A new strategy is one new module with a class of this shape, and one line in `of`. Steps, gates, promotion and the way
back are the same for all; nobody else asks which strategy it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headgate.api.rollout import Canary, GateStep, RolloutSpec, RolloutStatus, Step, Weights, WorkloadStatus
from headgate.decide import blue_green
from headgate.decide.blue_green import Switching
from headgate.decide.canary import Allowance, Shifting, StepState
from headgate.decide.managed import ManagedRoute
from headgate.decide.mover import Goal, Move
from headgate.decide.ping_pong import Turning
from headgate.decide.ratio import Pooling
from headgate.decide.rolling import Replacing
from headgate.decide.types import Plan, Snapshot

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle


class Strategy(Protocol):
    """One way in which a new revision takes over. Its weight is its exposure.

    That is the percent of the users' requests that it gets, or of the pods that may be of it, where they are replaced
    in place.
    """

    @property
    def services(self) -> tuple[tuple[str, str], ...]:
        """Field and name of the Service that serves what is stable, and of one that leads to what is new, if any.

        None where whoever leads to the workload's pods leads to all of them.
        """
        ...

    @property
    def pooled(self) -> bool:
        """One Service leads to all revisions, and their pods are the weight: no selector and no route is written."""
        ...

    @property
    def in_place(self) -> bool:
        """The pods of the workload are replaced; no revision has a ReplicaSet."""
        ...

    @property
    def steps(self) -> tuple[Step, ...]:
        """What the next attempt is pinned to."""
        ...

    @property
    def gates(self) -> tuple[tuple[str, GateStep], ...]:
        """Each use of a QualityGate, with its field."""
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

    def allowance(self, steps: tuple[Step, ...], index: int, replicas: int) -> Allowance:
        """The weight and the new pods that steps up to `index` (counted from 0) allow."""
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

    @property
    def ends_at(self) -> int:
        """The weight in the routes at which a promotion is final."""
        ...

    def promotion(self, snapshot: Snapshot, goal: Goal, routes: tuple[ManagedRoute, ...], now: float) -> Goal:
        """Where a promotion wants to be, from a goal between the two; the routes are those that led to the canary."""
        ...

    def serves(self, snapshot: Snapshot, pod_hash: str, weights: Weights, now: float) -> bool:
        """This revision is exposed as the journal wants it."""
        ...

    def switched(self, snapshot: Snapshot, pod_hash: str) -> bool:
        """The world takes this revision for the stable one: the promotion is over, or looks like one that is."""
        ...

    def at_home(self, snapshot: Snapshot, stable: str) -> bool:
        """Nothing but what is stable is exposed."""
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

    def judged(self, weight: int, snapshot: Snapshot) -> tuple[str, str]:
        """The Services that queries speak of at a weight: what stable serves by, and what is judged by."""
        ...

    def revisions(self, snapshot: Snapshot, stable: str, new: str) -> tuple[str, str]:
        """How the pods of these two revisions are labelled, as queries speak of them."""
        ...

    def remembered(self, snapshot: Snapshot, workload: WorkloadStatus | None) -> WorkloadStatus | None:
        """What is noted of the workload when a revision has become stable."""
        ...

    def describe(self, step: Step) -> str:
        """A step for people."""
        ...

    def traffic(self, snapshot: Snapshot, weights: Weights) -> str:
        """Who is exposed, as a sentence."""
        ...


def of(spec: RolloutSpec) -> Strategy:
    """The strategy that a spec has chosen."""
    chosen = spec.strategy
    if chosen.canary is not None:
        if chosen.canary.traffic_routing is None:
            return Pooling(chosen.canary)
        return Turning(chosen.canary) if chosen.canary.ping_pong is not None else Shifting(chosen.canary)
    if chosen.blue_green is not None:
        routed = chosen.blue_green.traffic_routing is not None
        return blue_green.routing(chosen.blue_green) if routed else Switching(chosen.blue_green)
    if chosen.rolling is not None:
        return Replacing(chosen.rolling)
    raise ValueError("no strategy is chosen")  # The model lets no such spec pass.


def told(spec: RolloutSpec, text: str) -> str:
    """What a router says of the fields of a canary, said of those of the strategy that a spec has chosen."""
    return blue_green.told(text) if spec.strategy.blue_green is not None else text
