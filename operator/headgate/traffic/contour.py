"""Traffic by Contour: the route of an HTTPProxy that lists the two Services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headgate.api.rollout import Canary
from headgate.traffic.backends import Backends, backend
from headgate.traffic.parts import conditions_of, entries, mapping, untrue
from headgate.traffic.protocol import Resource, Target
from headgate.traffic.weighted import Served, WeightedRouter

KIND = "HTTPProxy"
FIELD = "spec.strategy.canary.trafficRouting.contour.httpProxies"
EVERYTHING = "/"
"""The prefix of a route without a condition on the path."""


class ContourRouter(WeightedRouter):
    """HTTPProxies whose claimed route lists the two Services of the Rollout and no other, mirrors aside."""

    key = "contour"
    resource = Resource(group="projectcontour.io", version="v1", plural="httpproxies", kind=KIND)
    field = FIELD

    def targets(self, canary: Canary) -> Sequence[Target]:
        """One per listed HTTPProxy."""
        contour = canary.traffic_routing.contour
        return () if contour is None else tuple(Target(ref.name, ref.route or "") for ref in contour.http_proxies)

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By the route's index as `#0`: routes have no names, and the same prefix may stand in several of them.

        A route that is not found is told apart by the Service that looks for it, so that nobody contends for nothing.
        """
        index = None if obj is None else _find(canary, obj, target)[0]
        route = f"?{canary.stable_service}" if index is None else f"#{index}"
        return f"{KIND}/{target.name}/{route}"

    def backends(self, canary: Canary, obj: Mapping[str, Any], target: Target) -> Backends | str:
        """The Services of the claimed route, mirrors aside."""
        index, problem = _find(canary, obj, target)
        return problem if index is None else _services(canary, obj, index)

    def served(self, obj: Mapping[str, Any]) -> Served:
        """Whether Contour has found this generation of the HTTPProxy valid."""
        generation = mapping(obj, "metadata").get("generation")
        return Served(untrue(conditions_of(mapping(obj, "status")), "Valid", generation))


def _find(canary: Canary, obj: Mapping[str, Any], target: Target) -> tuple[int | None, str]:
    """The index of the claimed route, or None and why there is none."""
    routes = list(entries(mapping(obj, "spec"), "routes"))
    found = [i for i, route in enumerate(routes) if not target.rule or target.rule in _prefixes(route)]
    what = f'for the prefix "{target.rule}"' if target.rule else ""
    if target.rule and not found:
        return None, f"spec.routes has no route {what}; correct {FIELD}[name={target.name}].route"
    if target.rule and len(found) == 1:
        return found[0], ""
    ours = [i for i in found if _services(canary, obj, i).has("stable")]
    if len(ours) == 1:
        return ours[0], ""
    what = f'{what} with the stable Service "{canary.stable_service}" in its services'.strip()
    if not ours:
        return None, f"spec.routes has no route {what}; add the Service to the route that is meant"
    numbers = ", ".join(map(str, ours))
    if target.rule:
        return None, f"spec.routes has {len(ours)} routes {what} ({numbers}); give the others a Service of their own"
    return None, (
        f"spec.routes has {len(ours)} routes {what} ({numbers}); "
        f"put the prefix of the one that is meant in {FIELD}[name={target.name}].route"
    )


def _prefixes(route: Mapping[str, Any]) -> list[str]:
    """The prefixes that a route asks for; one that says nothing of the path is for everything."""
    conditions = list(entries(route, "conditions"))
    if any(kind in condition for condition in conditions for kind in ("exact", "regex")):
        return []
    return [str(condition["prefix"]) for condition in conditions if "prefix" in condition] or [EVERYTHING]


def _services(canary: Canary, obj: Mapping[str, Any], route: int) -> Backends:
    """The Services that share the requests; a mirror only hears them, and its weight is something else."""
    listed = entries(list(entries(mapping(obj, "spec"), "routes"))[route], "services")
    found = [
        backend(index, role, ref, default=0)
        for index, ref in enumerate(listed)
        for role in [_role(canary, ref)]
        if role != "mirror"
    ]
    if all(entry.sound and not entry.weight for entry in found):
        # Where no Service has a weight, Contour gives each the same.
        found = [replace(entry, weight=1) for entry in found]
    return Backends(("spec", "routes", route, "services"), found)


def _role(canary: Canary, ref: Mapping[str, Any]) -> str:
    name = str(ref.get("name"))
    ours = {canary.stable_service: "stable", canary.canary_service: "canary"}
    if ref.get("mirror"):
        return f"a mirror to the Service {name!r}" if name in ours else "mirror"
    return ours.get(name, f"the Service {name!r}")
