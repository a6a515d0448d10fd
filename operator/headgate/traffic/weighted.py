"""Routers that keep the weights of a place in one list: what they have in common; each says only where it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, TypeVar

from headgate.api.rollout import Canary
from headgate.api.values import dataclass
from headgate.decide.managed import AFFINITY, ManagedRoute, asked, set_by
from headgate.decide.types import RouteView
from headgate.traffic.backends import Backends, within
from headgate.traffic.parts import mapping
from headgate.traffic.protocol import JSONPatch, Resource, Target

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """What the router reports of the stored version."""

    message: str = ""
    """Why it is not known to be served."""
    blind: bool = False
    """The router reports nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """One claimed place of a Rollout, in the object as it was read."""

    canary: Canary
    obj: Mapping[str, Any]
    target: Target
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What `once` was asked for already."""

    @property
    def namespace(self) -> Any:
        """Of the object, and so of everything that it names without one."""
        return mapping(self.obj, "metadata").get("namespace")

    def once(self, what: str, make: Callable[[], T]) -> T:
        """What follows from the place, worked out when it is asked for first: an object that was read never changes."""
        if what not in self.known:
            self.known[what] = make()
        found: T = self.known[what]
        return found


class WeightedRouter(ABC):
    """A router that says where the claimed list is, and what an entry of it is."""

    key: str
    resource: Resource
    field: str
    """The field of the Rollout that names the object."""

    @abstractmethod
    def targets(self, canary: Canary) -> Sequence[Target]:
        """The places that a Rollout claims, in the order of its spec; empty if it does not use this router."""

    @abstractmethod
    def backends(self, place: Place) -> Backends | str:
        """The claimed list, or why there is none, in a sentence that names the field."""

    def claimed(self, place: Place) -> Backends | str:
        """What `backends` says, which is asked once for each place."""
        return place.once("claimed", lambda: self.backends(place))

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """The object as a whole, unless a router knows several places in it."""
        del canary, obj
        return f"{self.resource.kind}/{target.name}"

    def served(self, obj: Mapping[str, Any]) -> Served:
        """What the router says of the stored version; nothing, unless a router knows better."""
        del obj
        return Served(blind=True)

    def read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
        """The place as it stands; with a problem too it says what share the canary has, as far as that can be seen."""
        kind = self.resource.kind
        if obj is None:
            problem = missing(self.field, self.resource, target)
            return RouteView(self.key, kind, target.name, target.rule, problem=problem)
        return self.seen(Place(canary, obj, target))

    def seen(self, place: Place) -> RouteView:
        """The same of an object that is there."""
        canary, obj, target, kind = place.canary, place.obj, place.target, self.resource.kind
        found = self.claimed(place)
        problem = found if isinstance(found, str) else found.problem(canary)
        served = self.served(obj)
        return RouteView(
            self.key,
            kind,
            target.name,
            target.rule,
            found=True,
            resource_version=str(mapping(obj, "metadata").get("resourceVersion", "")),
            problem=f"{kind} {target.name}: {problem}" if problem else "",
            weight=0 if isinstance(found, str) else found.share(canary.total),
            settled=not served.message,
            message=served.message,
            blind=served.blind,
        )

    def cannot(self, route: ManagedRoute) -> str:
        """What of a route the router does not know, and what to do; empty if it knows all of it."""
        del route
        return f"cannot be made of a {self.resource.kind}, which knows weights only; use setWeight, or another router"

    def unable(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """What of the steps of the spec the router cannot do, naming the step; empty if it can do all."""
        del obj, target
        return unable(canary, self.cannot)

    def set_weight(
        self,
        canary: Canary,
        obj: Mapping[str, Any],
        target: Target,
        weight: int,
        routes: Sequence[ManagedRoute] = (),
    ) -> JSONPatch:
        """The patch that gives the canary `weight` and stable the rest of the whole, touching nothing else.

        Raises:
            ValueError: if the place cannot be worked with, or the weight is no part of the whole, or there are routes.
        """
        within(canary, weight)
        why = next(filter(None, map(self.cannot, routes)), "")
        if why:
            raise ValueError(f'{self.resource.kind} {target.name}: the route "{routes[0].name}" {why}')
        place = Place(canary, obj, target)
        found = self.backends(place)
        problem = found if isinstance(found, str) else found.problem(canary, writing=True)
        if problem or isinstance(found, str):
            raise ValueError(f"{self.resource.kind} {target.name}: {problem}")
        return self.patch(place, found, weight)

    def patch(self, place: Place, found: Backends, weight: int) -> JSONPatch:
        """The patch of a list that can be worked with."""
        return found.set_weight(place.canary, weight)


def unable(canary: Canary, cannot: Callable[[ManagedRoute], str]) -> str:
    """The first step whose route cannot be made, and why."""
    for where, step in asked(canary):
        route = set_by(step)
        why = cannot(route) if route is not None else ""
        if route is not None and why:
            kind = "setHeaderRoute" if route.percentage is None else "setMirrorRoute"
            field = where if where == AFFINITY else f"{where}.{kind}"
            return f'{field}: the route "{route.name}" {why}'
    return ""


def missing(field: str, resource: Resource, target: Target) -> str:
    """That the object is not there, naming the field of the Rollout that names it."""
    return f'{field}: there is no {resource.kind} "{target.name}" in this namespace; create it or correct the name'


def service_role(canary: Canary, name: Any) -> str:
    """Which of the two Services this is, or what it is in words."""
    if name == canary.stable_service:
        return "stable"
    return "canary" if name == canary.canary_service else f"the Service {name!r}"


def one(found: Sequence[int], where: str, noun: str, what: str, *, none: str, many: str) -> tuple[int | None, str]:
    """The only index that was found, or None and why there is not just one; `what` says what was looked for."""
    if len(found) == 1:
        return found[0], ""
    if not found:
        return None, f"{where} has no {noun} {what}; {none}"
    return None, f"{where} has {len(found)} {noun}s {what} ({', '.join(map(str, found))}); {many}"
