"""Routers that keep the weights of a place in one list: what they have in common; each says only where it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar, TypeVar

from headgate.api.rollout import Canary, Step
from headgate.api.values import dataclass
from headgate.decide.managed import AFFINITY, ManagedRoute, asked, set_by, shares
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
    known: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `once` was asked for already; a copy of the place begins with nothing."""

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
    shares: ClassVar[bool] = False
    """The claimed list may have more entries, by which variants of an experiment get a share."""

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
        return unable(canary, self._cannot)

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
        place = Place(canary, obj, target)
        return self.patch(place, self.workable(place, routes), weight)

    def workable(self, place: Place, routes: Sequence[ManagedRoute]) -> Backends:
        """The claimed list, to which weights can be written, while these routes can be made.

        Raises:
            ValueError: if the place cannot be worked with, or there is a route that the router does not know.
        """
        here = f"{self.resource.kind} {place.target.name}"
        for route in routes:
            why = self._cannot(route)
            if why:
                raise ValueError(f"{here}: {called(route)} {why}")
        found = self.claimed(place)
        problem = found if isinstance(found, str) else found.problem(place.canary, writing=True)
        if problem or isinstance(found, str):
            raise ValueError(f"{here}: {problem}")
        return found

    def patch(self, place: Place, found: Backends, weight: int) -> JSONPatch:
        """The patch of a list that can be worked with."""
        return found.set_weight(place.canary, weight)

    def _cannot(self, route: ManagedRoute) -> str:
        return ("" if self.shares else no_share(route, f"a {self.resource.kind}")) or self.cannot(route)


def no_share(route: ManagedRoute, router: str) -> str:
    """That a router has entries for the two Services only; empty unless the route is a share."""
    why = f"can have no share of the requests by {router}; take the weight out, or use gatewayAPI and no other router"
    return why if route.service else ""


def unable(canary: Canary, cannot: Callable[[ManagedRoute], str]) -> str:
    """The first step whose route or share cannot be made, and why."""
    for where, step in asked(canary):
        route = set_by(step)
        for one in (route,) if route is not None else shares(step):
            why = cannot(one)
            if why:
                return f"{_field(where, step, one)}: {called(one)} {why}"
    return ""


def called(route: ManagedRoute) -> str:
    """A route, or the Service that has a share, as sentences begin with it."""
    return f'the Service "{route.service}"' if route.service else f'the route "{route.name}"'


def _field(where: str, step: Step, route: ManagedRoute) -> str:
    """What of a step asks for this route."""
    if where == AFFINITY:
        return where
    if step.experiment is not None:
        variant = next(one.name for one in step.experiment.variants if one.service == route.service)
        return f"{where}.experiment.variants[{variant}].weight"
    return f"{where}.setHeaderRoute" if route.percentage is None else f"{where}.setMirrorRoute"


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
