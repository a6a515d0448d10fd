"""A canary whose two Services take turns: the one place that knows which of them is the stable one just now.

Everything else asks for the stable and the canary Service, and for the canary's weight. A promotion gives the canary
all requests, and then, in the write that makes it final, the two exchange their names and nothing in the cluster is
changed. The Service that was stable keeps leading to its version until that may lose its pods, so that connections to
it last as long as they do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.api.rollout import PingPong, RolloutSpec, RolloutStatus, Weights
from headgate.api.values import dataclass
from headgate.decide import mover
from headgate.decide.canary import FIELD, Shifting
from headgate.decide.managed import ManagedRoute, keys_of
from headgate.decide.mover import Goal, Move, available, observed_weight, selected, unsettled
from headgate.decide.types import Snapshot

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle

HOME = ("Promoted", "Adopted")
"""How an attempt ends whose revision becomes what is stable."""


def pair(spec: RolloutSpec) -> PingPong | None:
    """The two Services; None for a spec whose Services keep their roles."""
    return spec.strategy.canary.ping_pong if spec.strategy.canary is not None else None


def resolved(spec: RolloutSpec, status: RolloutStatus) -> RolloutSpec:
    """The spec as everybody reads it, with the Services in the roles that the journal gives them."""
    return _exchanged(spec) if status.stable_ping_pong == "Pong" and pair(spec) is not None else spec


def _exchanged(spec: RolloutSpec) -> RolloutSpec:
    canary = spec.strategy.canary
    if canary is None or canary.canary_service is None:
        return spec
    roles = {"stable_service": canary.canary_service, "canary_service": canary.stable_service}
    strategy = spec.strategy.model_copy(update={"canary": canary.model_copy(update=roles)})
    return spec.model_copy(update={"strategy": strategy})


def turned(snapshot: Snapshot) -> Snapshot:
    """The same world with the two Services in each other's role."""
    total = snapshot.spec.total
    return replace(
        snapshot,
        spec=_exchanged(snapshot.spec),
        stable_service=snapshot.canary_service,
        canary_service=snapshot.stable_service,
        routes=tuple(replace(r, weight=total - r.weight) if r.found else r for r in snapshot.routes),
    )


def enter(cycle: Cycle) -> None:
    """Find out, once, which of them is stable, or forget it where they do not take turns any more."""
    snapshot, known = cycle.snapshot, cycle.status.stable_ping_pong
    begun = cycle.status.current is not None or snapshot.meta.deleting
    if snapshot.problems or snapshot.contenders or not begun:
        return  # The spec cannot be read, or nothing of all this is its own yet.
    if pair(snapshot.spec) is None:
        if known is not None:
            cycle.change(stable_ping_pong=None)
    elif known is None and snapshot.routes and all(r.found and not r.problem for r in snapshot.routes):
        pong = _pong_is_stable(snapshot)
        cycle.change(stable_ping_pong="Pong" if pong else "Ping")
        if pong:
            cycle.snapshot = turned(snapshot)


def _pong_is_stable(snapshot: Snapshot) -> bool:
    """It alone leads to what is stable; where that tells nothing, all requests go to it."""
    stable = snapshot.status.stable
    leads = [selected(service) for service in (snapshot.stable_service, snapshot.canary_service)]
    if stable is not None and leads.count(stable.pod_hash) == 1:
        return leads[1] == stable.pod_hash
    return all(route.weight == snapshot.spec.total for route in snapshot.routes)


def turn(cycle: Cycle) -> None:
    """The canary's Service becomes the stable one, because its revision has."""
    if pair(cycle.snapshot.spec) is None:
        return
    cycle.change(stable_ping_pong="Ping" if cycle.status.stable_ping_pong == "Pong" else "Pong")
    cycle.snapshot = turned(cycle.snapshot)


def has_turned(cycle: Cycle) -> bool:
    """The roles are others than the world was read by, so that no write of it can be decided now."""
    return cycle.status.stable_ping_pong != cycle.snapshot.status.stable_ping_pong


def lingers(snapshot: Snapshot) -> str:
    """The revision that was stable before, while its Service leads to it still; empty for one that was taken back."""
    chosen, status = selected(snapshot.canary_service), snapshot.status
    ends = {entry.pod_hash: entry.outcome for entry in status.history}
    taken_back = any(record.pod_hash == chosen for record in status.rejected)
    return chosen if ends.get(chosen) in HOME and not taken_back else ""


@dataclass(frozen=True, slots=True)
class Turning(Shifting):
    """The canary whose Services take turns, as a strategy; its spec has them in their present roles."""

    @property
    def services(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The stable and the canary Service."""
        stable, canary = self.spec.stable_service, self.spec.canary_service or ""
        first = self.spec.ping_pong is None or stable == self.spec.ping_pong.ping_service
        fields = [f"{FIELD}.pingPong.{name}" for name in ("pingService", "pongService")]
        of_stable, of_canary = fields if first else reversed(fields)
        return (of_stable, stable), (of_canary, canary)

    @property
    def ends_at(self) -> int:
        """The canary has all requests."""
        return self.spec.total

    def switched(self, snapshot: Snapshot, pod_hash: str) -> bool:
        """The routes give everything to the canary Service, which selects this revision."""
        routes = snapshot.routes
        through = bool(routes) and all(r.found and not r.problem and r.weight == self.spec.total for r in routes)
        return through and selected(snapshot.canary_service) == pod_hash

    def at_home(self, snapshot: Snapshot, stable: str) -> bool:
        """Everything leads to what is stable; to the version before it lead old connections at most."""
        there = selected(snapshot.canary_service) in (stable, lingers(snapshot))
        return there and mover.at_home(replace(snapshot, canary_service=snapshot.stable_service), stable)

    def promotion(self, snapshot: Snapshot, goal: Goal, routes: tuple[ManagedRoute, ...], now: float) -> Goal:
        """All requests to the canary Service; who is led there by a route of ours is so until they are."""
        total, weights = self.spec.total, snapshot.status.weights
        through = weights.desired == total and not weights.routes
        if goal.hold:
            return replace(goal, routes=()) if through else goal
        served = self.switched(snapshot, goal.canary) and unsettled(snapshot, total, keys_of(routes), now) is None
        return replace(goal, weight=total, routes=() if through or served else routes)

    def next_move(self, snapshot: Snapshot, goal: Goal, now: float) -> Move:
        """The next safe write."""
        old = lingers(snapshot)
        if goal.proven and goal.stable == goal.canary and old in goal.keep:
            goal = replace(goal, canary=old)
        return mover.next_move(snapshot, _waiting(snapshot, goal) if _may_be_late(snapshot, goal) else goal, now)

    def traffic(self, snapshot: Snapshot, weights: Weights) -> str:
        """Who gets the requests, as a sentence."""
        said = Shifting.traffic(self, snapshot, weights)
        return f"{said}; {self.spec.stable_service} is the stable Service now"


def _may_be_late(snapshot: Snapshot, goal: Goal) -> bool:
    """The journal may be older than a turn: its stable Service leads to a third revision, and its own has no pod.

    Weight 0 waits for no journal, and would give all requests to what nobody has judged.
    """
    third = selected(snapshot.stable_service) not in ("", goal.stable, selected(snapshot.canary_service))
    return goal.proven and third and not available(snapshot, goal.stable)


def _waiting(snapshot: Snapshot, goal: Goal) -> Goal:
    """The goal that leaves the requests where they are; bringing the pods back asks for the newest journal first."""
    why = f"looking up which of the Services is stable: {snapshot.stable_service.name} leads to a third revision"
    there, chosen = observed_weight(snapshot), selected(snapshot.canary_service)
    return replace(goal, canary=chosen, weight=there, hold=True, hold_reason=goal.hold_reason or why)
