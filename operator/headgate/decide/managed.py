"""The routes of ours in routers' objects: what the steps up to the present one have set, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from headgate.api.rollout import Canary, Step
from headgate.api.routes import RouteMatch
from headgate.api.values import dataclass

if TYPE_CHECKING:
    from headgate.decide.types import PlanView

UNKNOWN = "?"
"""In the place of the digest: a route of ours that is not what we wrote."""


@dataclass(frozen=True, slots=True)
class ManagedRoute:
    """One route that a step has set."""

    name: str
    match: tuple[RouteMatch, ...]
    percentage: int | None = None
    """Of the requests that are copied to the canary; None if the requests themselves go there."""

    @property
    def key(self) -> str:
        """Its name and a digest of the rest: equal keys are the same route."""
        return f"{self.name}@{_digest(self.match, self.percentage)}"


def unknown(name: str) -> str:
    """The key of a route of this name that is not what we wrote."""
    return f"{name}@{UNKNOWN}"


def keys_of(routes: Iterable[ManagedRoute]) -> tuple[str, ...]:
    """Their keys, in order."""
    return tuple(route.key for route in routes)


def names_of(keys: Iterable[str]) -> str:
    """The routes of these keys, for people."""
    return ", ".join(key.rpartition("@")[0] for key in keys)


def set_by(step: Step) -> ManagedRoute | None:
    """The route that a step sets; None if it sets none, or takes one out."""
    header, mirror = step.set_header_route, step.set_mirror_route
    if header is not None and header.match:
        return ManagedRoute(header.name, tuple(header.match))
    if mirror is not None and mirror.match:
        percentage = 100 if mirror.percentage is None else mirror.percentage
        return ManagedRoute(mirror.name, tuple(mirror.match), percentage)
    return None


def after(steps: Iterable[Step]) -> tuple[ManagedRoute, ...]:
    """The routes that are there after these steps; whose name was set first stands first."""
    found: dict[str, ManagedRoute] = {}
    for step in steps:
        wanted = step.set_header_route or step.set_mirror_route
        if wanted is None:
            continue
        route = set_by(step)
        if route is None:
            found.pop(wanted.name, None)
        else:
            found[wanted.name] = route
    return tuple(found.values())


def together(steps: Iterable[Step]) -> dict[tuple[ManagedRoute, tuple[ManagedRoute, ...]], None]:
    """Each route that some of these steps sets, with those that stand after it, for each time of a release."""
    done: list[Step] = []
    found: dict[tuple[ManagedRoute, tuple[ManagedRoute, ...]], None] = {}
    for step in steps:
        done.append(step)
        if set_by(step) is not None:
            there = after(done)
            found |= dict.fromkeys((route, there[place + 1 :]) for place, route in enumerate(there))
    return found


def all_of(steps: Iterable[Step]) -> tuple[ManagedRoute, ...]:
    """Every route that some of these steps sets."""
    found = {route.key: route for step in steps if (route := set_by(step)) is not None}
    return tuple(found.values())


def recorded(canary: Canary, plans: Iterable[PlanView]) -> Canary:
    """The strategy with the steps of these records, too, if one of them sets a route: by them each route is known."""
    steps = [step for view in plans for step in view.plan.steps if set_by(step) is not None]
    return canary.model_copy(update={"steps": [*canary.steps, *steps]}) if steps else canary


@lru_cache(maxsize=1024)
def _digest(match: tuple[RouteMatch, ...], percentage: int | None) -> str:
    parts = [one.model_dump_json(by_alias=True, exclude_none=True) for one in match]
    return hashlib.sha256(f"{percentage} {parts}".encode()).hexdigest()[:8]
