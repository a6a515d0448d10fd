"""Traffic by ingress-nginx: sets the one annotation of a canary Ingress that says what share its Service gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headgate.api.common import PERCENT
from headgate.api.rollout import Canary
from headgate.decide.managed import ManagedRoute, after, all_of
from headgate.decide.types import RouteView
from headgate.traffic.backends import within
from headgate.traffic.matching import regex_of
from headgate.traffic.parts import dotted, ingress_services, mapping, pointer
from headgate.traffic.protocol import JSONPatch, Resource, Target
from headgate.traffic.weighted import called, missing, no_share, unable

PREFIX = "nginx.ingress.kubernetes.io"
ENABLED = f"{PREFIX}/canary"
WEIGHT = f"{PREFIX}/canary-weight"
TOTAL = f"{PREFIX}/canary-weight-total"
BYPASSES = f"{PREFIX}/canary-by-"
"""Annotations by which requests reach the canary whatever its weight is."""
ANNOTATIONS = "metadata.annotations"
MOST_DIGITS = 18
"""Beyond it, ingress-nginx reads no number either."""


class NginxRouter:
    """A canary Ingress whose backends are the canary Service and no other; the Ingress of stable is not touched.

    ingress-nginx reports nothing about annotations: what is stored counts as taken.
    """

    key = "nginx"
    resource = Resource(group="networking.k8s.io", version="v1", plural="ingresses", kind="Ingress")
    field = "spec.strategy.canary.trafficRouting.nginx.canaryIngress"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """The canary Ingress."""
        nginx = canary.routing.nginx
        return () if nginx is None else (Target(nginx.canary_ingress),)

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """The Ingress as a whole: it has one weight."""
        del canary, obj
        return f"{self.resource.kind}/{target.name}"

    def read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
        """The Ingress as it stands; with a problem too it says what share the canary has."""
        kind = self.resource.kind
        if obj is None:
            problem = missing(self.field, self.resource, target)
            return RouteView(self.key, kind, target.name, problem=problem)
        problem = _problem(canary, obj)
        return RouteView(
            self.key,
            kind,
            target.name,
            found=True,
            resource_version=str(mapping(obj, "metadata").get("resourceVersion", "")),
            problem=f"{kind} {target.name}: {problem}" if problem else "",
            weight=_share(canary, obj),
            managed=(found.key,) if (found := _ours(canary, obj)) else (),
            settled=True,
            blind=True,
        )

    def unable(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """It knows one header at a time, and mirrors only for the Ingress of stable, which is not touched."""
        del obj, target
        why = unable(canary, _cannot)
        if why:
            return why
        for number in range(len(canary.steps)):
            if len(after(canary.steps[: number + 1])) > 1:
                return (
                    f"spec.strategy.canary.steps[{number}].setHeaderRoute: an Ingress of ingress-nginx has one route "
                    "by header at a time; take the one before out first"
                )
        return ""

    def set_weight(
        self,
        canary: Canary,
        obj: Mapping[str, Any],
        target: Target,
        weight: int,
        routes: Sequence[ManagedRoute] = (),
    ) -> JSONPatch:
        """A test that it is a canary Ingress still, and the annotations; ingress-nginx gives stable the rest.

        Raises:
            ValueError: if the Ingress cannot be worked with, or the weight is no part of the whole.
        """
        within(canary, weight)
        here = f"{self.resource.kind} {target.name}"
        for route in routes:
            why = _cannot(route) or ("is not the only one; take the other out" if len(routes) > 1 else "")
            if why:
                raise ValueError(f"{here}: {called(route)} {why}")
        wanted = _bypass(routes[0]) if routes else {}
        ours = _bypass(found) if (found := _ours(canary, obj)) else {}
        changes = [
            {"op": "replace" if key in ours else "add", "path": _pointer(key), "value": value}
            for key, value in wanted.items()
            if ours.get(key) != value
        ]
        changes += [{"op": "remove", "path": _pointer(key)} for key in ours.keys() - wanted.keys()]
        problem = _problem(canary, obj, writing=True)
        if problem and ours and not routes:
            return changes
        if problem:
            raise ValueError(f"{here}: {problem}")
        return [{"op": "test", "path": _pointer(ENABLED), "value": "true"}, _write(obj, weight), *changes]


def _problem(canary: Canary, obj: Mapping[str, Any], *, writing: bool = False) -> str:
    """Why the Ingress cannot be worked with, or nothing. What a write would put right is none for `writing`."""
    found = _annotations(obj)
    if found.get(ENABLED) != "true":
        return f'{ANNOTATIONS}["{ENABLED}"] is not "true"; set it, or name a canary Ingress of ingress-nginx'
    ours = _ours(canary, obj)
    known = _bypass(ours) if ours else {}
    bypass = next((key for key in sorted(map(str, found)) if key.startswith(BYPASSES) and key not in known), "")
    if bypass:
        return f'{ANNOTATIONS}["{bypass}"] lets requests reach the canary whatever its weight is; remove it'
    if found.get(TOTAL, str(PERCENT)) != str(canary.total):
        return f'{ANNOTATIONS}["{TOTAL}"] is not "{canary.total}"; {_mended(canary)}'
    wrong = next(((where, name) for where, name in _services(obj) if name != canary.canary_service), None)
    if wrong:
        return (
            f"{wrong[0]} is {_text(wrong[1])}; a canary Ingress has "
            f'the canary Service "{canary.canary_service}" and no other backend'
        )
    if not any(True for _ in _services(obj)):
        return f'spec.rules has no backend; give it the hosts and paths of stable\'s, and "{canary.canary_service}"'
    number = _number(found[WEIGHT]) if WEIGHT in found else 0
    if not writing and (number is None or number > canary.total):
        return f'{ANNOTATIONS}["{WEIGHT}"] is not a whole number from 0 to {canary.total} in quotes; set it to one'
    return ""


def _mended(canary: Canary) -> str:
    return (
        "remove it: weights are percent here" if canary.total == PERCENT else "set it to that, as maxTrafficWeight is"
    )


def _cannot(route: ManagedRoute) -> str:
    """What of a route ingress-nginx does not know, and what to do; empty if it knows all of it."""
    if route.service:
        return no_share(route, "a canary Ingress")
    item = route.match[0]
    if route.percentage is not None:
        return "copies requests, which a canary Ingress cannot; use setHeaderRoute, or another router"
    if len(route.match) > 1 or item.header_name is None or item.cookie_name or item.query_name or item.path:
        return "asks for more than one header, and a canary Ingress knows one; match one header and nothing else"
    if item.method is not None:
        return "asks for a method, and a canary Ingress knows one header; match that and nothing else"
    return ""


def _bypass(route: ManagedRoute) -> dict[str, str]:
    """The annotations by which the requests of a route reach the canary."""
    item = route.match[0]
    exact = item.header_value.exact if item.header_value is not None else None
    said = (f"{BYPASSES}header-value", exact) if exact else (f"{BYPASSES}header-pattern", regex_of(item.header_value))
    return {f"{BYPASSES}header": str(item.header_name), said[0]: said[1]}


def _ours(canary: Canary, obj: Mapping[str, Any]) -> ManagedRoute | None:
    """The recorded route that the annotations are; an Ingress has no names for them."""
    found = _annotations(obj)
    there = {key: value for key, value in found.items() if str(key).startswith(f"{BYPASSES}header")}
    known = [route for route in all_of(canary.steps) if not _cannot(route)] if there else []
    return next((route for route in known if _bypass(route) == there), None)


def _share(canary: Canary, obj: Mapping[str, Any]) -> int:
    """The canary's part of the whole, rounded up; what is no number counts as 0, as it does for ingress-nginx."""
    found = _annotations(obj)
    weight = _number(found.get(WEIGHT)) or 0
    # A total below 100 counts as 100.
    total = max(_number(found.get(TOTAL)) or PERCENT, PERCENT)
    return min(-(-canary.total * weight // total), canary.total)


def _services(obj: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every backend, by its field: the name of its Service, or None where it is none."""
    return ((dotted(where[:-1]), found.get("name")) for where, found in ingress_services(obj))


def _text(name: Any) -> str:
    return "no Service" if name is None else f"the Service {name!r}"


def _annotations(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(mapping(obj, "metadata"), "annotations")


def _number(value: Any) -> int | None:
    """The whole number of an annotation; None if it is none from 0."""
    digits = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= MOST_DIGITS
    return int(value) if digits else None


def _pointer(annotation: str) -> str:
    return pointer(("metadata", "annotations", annotation))


def _write(obj: Mapping[str, Any], weight: int) -> dict[str, Any]:
    return {"op": "replace" if WEIGHT in _annotations(obj) else "add", "path": _pointer(WEIGHT), "value": str(weight)}
