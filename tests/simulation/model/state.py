"""One state of the model: the objects of the cluster, the operator's memory, and what it has not seen yet."""

from __future__ import annotations

from typing import NamedTuple

from headgate.decide.managed import to_canary
from tests.simulation.model.nodes import DaemonSet, Nodes
from tests.simulation.model.trials import Trial

NEW, CLAIMED, DELETING, GONE = range(4)
"""How far a Rollout is: no finalizer yet, with it, deleted with it, gone."""


class Sets(NamedTuple):
    """One ReplicaSet: version, wanted pods, ready pods, and whether its controller has seen the last change."""

    version: str
    replicas: int
    ready: int
    settled: bool


class Deployment(NamedTuple):
    """The Deployment that is adopted: wanted pods, ready pods, and whether its controller has seen the last change."""

    replicas: int
    ready: int
    settled: bool


class Service(NamedTuple):
    """One Service: the version that it selects (none: all), and the one that its endpoints still hold."""

    selected: str
    held: str
    age: int
    """Ticks since its endpoints hold pods of just these versions."""


class Route(NamedTuple):
    """The route: the weight as stored, and the least and the greatest weight that the gateway may be serving."""

    weight: int
    least: int
    most: int
    age: int
    """Ticks since it is served."""
    refuses: bool
    led: tuple[str, ...] = ()
    """The keys of the routes by header and of the mirrors, as stored."""
    serves: tuple[str, ...] = ()
    """And of those that the gateway may be serving."""
    gone: bool = False
    """Somebody has deleted it."""

    @property
    def settled(self) -> bool:
        """The gateway serves what is stored."""
        return self.least == self.most and self.serves == self.led

    @property
    def reach(self) -> int:
        """The greatest percent that may reach the canary Service; how many a route by header leads nobody knows."""
        return max(self.most, 1 if to_canary(self.serves) else 0)


class Act(NamedTuple):
    """A RolloutAction that has no answer yet."""

    verb: str
    version: str
    attempt: int
    number: int


class Wanted(NamedTuple):
    """The Rollout as an object: its journal, its spec and how far it is."""

    journal: int
    template: str
    variant: int
    life: int


class Row(NamedTuple):
    """A write that failed: the operator's memory of it."""

    key: str
    refused: bool
    """Refused; otherwise nobody told how it ended."""
    age: int
    """Ticks since the first failure."""
    spread: bool
    """The last failure is at least a tick after the first one."""
    times: int
    barred: bool
    last: bool
    """Nothing else was written since."""


Plan = tuple[str, int, int]
"""Version, attempt and the variant of the spec that was pinned."""
Ends = tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]
"""Ready endpoints by version, of the stable and of the canary Service."""
Pair = tuple[Service, Service]


class Seen(NamedTuple):
    """Objects as the operator still sees them, where they are others by now."""

    wanted: Wanted | None = None
    sets: tuple[Sets, ...] | None = None
    ends: Ends | None = None
    route: Route | None = None
    plans: tuple[Plan, ...] | None = None
    selected: tuple[str, str] | None = None
    acts: tuple[Act, ...] | None = None
    deployment: Deployment | None = None
    daemon: DaemonSet | None = None
    trial: Trial | None = None


class State(NamedTuple):
    """Everything but the budget. Equal states go on in the same ways, so each is looked at once."""

    wanted: Wanted
    sets: tuple[Sets, ...]
    deployment: Deployment | None
    """None where nothing is adopted."""
    plans: tuple[Plan, ...]
    services: Pair
    route: Route
    acts: tuple[Act, ...]
    asked: tuple[tuple[str, int], ...]
    """Questions that wait for an answer."""
    answers: tuple[tuple[str, int, str], ...]
    """Answers that no status records yet, with their verdict."""
    proof: tuple[str, ...]
    """Questions that were truly answered with a Pass, while no journal says so yet; the operator does not see this."""
    row: Row | None
    doubt: tuple[str, ...]
    """What the operator must read before it goes on, because nobody knows how a write of it ended."""
    seen: Seen
    daemon: DaemonSet | None = None
    """None where no DaemonSet is released."""
    nodes: Nodes = Nodes()
    trial: Trial = Trial()


FRESH = Seen()


def other_way(route: Route) -> Route:
    """The same route as what it gives to the first Service."""
    return route._replace(weight=100 - route.weight, least=100 - route.most, most=100 - route.least)


def exchanged(state: State) -> State:
    """The state with the two Services in each other's role."""
    ends, route, chosen = state.seen.ends, state.seen.route, state.seen.selected
    return state._replace(
        services=state.services[::-1],
        route=other_way(state.route),
        seen=state.seen._replace(
            ends=ends and ends[::-1], route=route and other_way(route), selected=chosen and chosen[::-1]
        ),
    )


def ends_of(state: State) -> Ends:
    """The ready endpoints of both Services."""
    stable, canary = state.services
    return _ready(state, stable.held), _ready(state, canary.held)


def _ready(state: State, version: str) -> tuple[tuple[str, int], ...]:
    found = tuple((s.version, s.ready) for s in state.sets if s.ready and version in ("", s.version))
    adopted = state.deployment
    # The Deployment's pods are of no revision that anybody knows.
    return (("", adopted.ready), *found) if adopted is not None and adopted.ready and not version else found


def selected_of(state: State) -> tuple[str, str]:
    """The versions that both Services select."""
    return state.services[0].selected, state.services[1].selected


def share(route: Route, selected: tuple[str, str], ends: Ends, version: str) -> int:
    """The greatest percent of the requests that may reach a version: its Service selects it, or still holds it."""
    reached = [chosen == version or version in dict(ready) for chosen, ready in zip(selected, ends, strict=True)]
    return min(100, (100 - route.least if reached[0] else 0) + (route.reach if reached[1] else 0))


def set_of(sets: tuple[Sets, ...], version: str) -> Sets | None:
    """The ReplicaSet of a version."""
    return next((s for s in sets if s.version == version), None)


def initial(
    template: str,
    journal: int,
    deployment: Deployment | None = None,
    daemon: tuple[DaemonSet | None, Nodes] = (None, Nodes()),
) -> State:
    """Nothing was done yet."""
    nobody = Service("", "", 2)
    return State(
        wanted=Wanted(journal, template, 0, NEW),
        sets=(),
        deployment=deployment,
        plans=(),
        services=(nobody, nobody),
        route=Route(0, 0, 0, 2, refuses=False),
        acts=(),
        asked=(),
        answers=(),
        proof=(),
        row=None,
        doubt=(),
        seen=FRESH,
        daemon=daemon[0],
        nodes=daemon[1],
    )
