"""Traffic by Contour: the route of an HTTPProxy that lists the two Services."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headgate.api.rollout import Canary
from headgate.api.routes import RouteMatch, StringMatch
from headgate.decide.managed import ManagedRoute
from headgate.traffic.backends import FULL, Backends, backend
from headgate.traffic.matching import cookie_regex, inner_path, regex_of
from headgate.traffic.parts import conditions_of, entries, mapping, untrue
from headgate.traffic.protocol import Resource, Target
from headgate.traffic.ruled import Rule, RuledRouter, one_match
from headgate.traffic.weighted import Place, Served

KIND = "HTTPProxy"
FIELD = "spec.strategy.canary.trafficRouting.contour.httpProxies"
PATHS = frozenset({"prefix", "exact", "regex"})
"""The conditions on the path, of which a route has one."""
EVERYTHING = "/"
"""The prefix of a route without a condition on the path."""


class ContourRouter(RuledRouter):
    """HTTPProxies whose claimed route lists the two Services of the Rollout and no other, mirrors aside."""

    key = "contour"
    resource = Resource(group="projectcontour.io", version="v1", plural="httpproxies", kind=KIND)
    field = FIELD
    listed = "routes"
    named = False

    def targets(self, canary: Canary) -> Sequence[Target]:
        """One per listed HTTPProxy."""
        contour = canary.routing.contour
        return () if contour is None else tuple(Target(ref.name, ref.route or "") for ref in contour.http_proxies)

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By the route's index as `#0`: routes have no names, and the same prefix may stand in several of them.

        A route that is not found is told apart by the Service that looks for it, so that nobody contends for nothing.
        """
        index = None if obj is None else self.find(Place(canary, obj, target))[0]
        route = f"?{canary.stable_service}" if index is None else f"#{index}"
        return f"{KIND}/{target.name}/{route}"

    def backends(self, place: Place) -> Backends | str:
        """The Services of the claimed route, mirrors aside."""
        index, problem = self.find(place)
        return problem if index is None else self._services(place, index)

    def find(self, place: Place) -> tuple[int | None, str]:
        """The index of the claimed route, or None and why there is none."""
        routes, target = self.foreign(place), place.target
        found = [i for i, route in routes if not target.rule or target.rule in _prefixes(route)]
        what = f'for the prefix "{target.rule}"' if target.rule else ""
        if target.rule and not found:
            return None, f"spec.routes has no route {what}; correct {FIELD}[name={target.name}].route"
        if target.rule and len(found) == 1:
            return found[0], ""
        ours = [i for i in found if self._services(place, i).has("stable")]
        if len(ours) == 1:
            return ours[0], ""
        what = f'{what} with the stable Service "{place.canary.stable_service}" in its services'.strip()
        if not ours:
            return None, f"spec.routes has no route {what}; add the Service to the route that is meant"
        numbers = ", ".join(map(str, ours))
        if target.rule:
            return (
                None,
                f"spec.routes has {len(ours)} routes {what} ({numbers}); give the others a Service of their own",
            )
        return None, (
            f"spec.routes has {len(ours)} routes {what} ({numbers}); "
            f"put the prefix of the one that is meant in {FIELD}[name={target.name}].route"
        )

    def cannot(self, route: ManagedRoute) -> str:
        """A route has one list of conditions, all of which must hold, and none of them is on the method."""
        several = one_match(route, "a route of an HTTPProxy")
        if several or route.match[0].method is None:
            return several
        return "asks for a method, which an HTTPProxy does not know; match a header, cookie, query or path"

    def rendered(
        self, place: Place, rule: Rule, route: ManagedRoute, others: Sequence[ManagedRoute]
    ) -> list[dict[str, Any]] | str:
        """The claimed route for fewer requests: all to the canary, or shared out as before and copied besides.

        The route that asks for most is served, and of two that ask for the same the last one.
        """
        base = list(entries(rule, "conditions"))
        asked = [_narrowed(base, route.match[0])]
        for other in others:
            inner = _narrowed(base, other.match[0])
            both = None if inner is None else _narrowed(inner, route.match[0])
            if both is not None and _alike(both, inner):
                return (
                    f'has all requests that "{other.name}" asks for, which would get none; correct one of the matches'
                )
            if both is not None and not any(_alike(both, one) for one in asked):
                asked.append(both)
        if asked[0] is None:
            return "matches nothing that the claimed route does; correct its match"
        if _alike(asked[0], base):
            return (
                "asks for no more than the claimed route, and of two routes for the same requests Contour drops one "
                "without a word; match a header, cookie or query besides"
            )
        services = list(entries(rule, "services"))
        to_canary = next(entry for entry in services if _role(place, entry) == "canary")
        mirrors = [entry for entry in services if _role(place, entry) == "mirror"]
        if route.percentage is not None and mirrors:
            return "cannot stand beside the mirror of the claimed route, because a route has one; remove one of them"
        leads = (
            [{**to_canary, "weight": FULL}, *mirrors]
            if route.percentage is None
            else [*services, {**to_canary, "weight": route.percentage, "mirror": True}]
        )
        return [copy.deepcopy({**rule, "conditions": conditions, "services": leads}) for conditions in asked]

    def mark(self, rule: Rule) -> tuple[str | int, ...]:
        """The last Service, of which the claimed route has others in that place."""
        return "services", len(list(entries(rule, "services"))) - 1, "name"

    def does(self, place: Place, rule: Rule, route: ManagedRoute) -> bool:
        """It leads to the canary alone, or mirrors to it, and asks for what the route does."""
        services = list(entries(rule, "services"))
        if route.percentage is None:
            leads = {_role(place, s) for s in services if not s.get("mirror")} == {"canary"}
        else:
            leads = any(s.get("mirror") and s.get("name") == place.canary.canary_service for s in services)
        conditions = list(entries(rule, "conditions"))
        return leads and all(_narrowed(conditions, item) == conditions for item in route.match)

    def served(self, obj: Mapping[str, Any]) -> Served:
        """Whether Contour has found this generation of the HTTPProxy valid."""
        generation = mapping(obj, "metadata").get("generation")
        return Served(untrue(conditions_of(mapping(obj, "status")), "Valid", generation))

    def _services(self, place: Place, index: int) -> Backends:
        """The Services that share the requests; a mirror only hears them, and its weight is something else."""
        found = [
            backend(i, role, ref, default=0)
            for i, ref in enumerate(entries(self.rules(place)[index], "services"))
            for role in [_role(place, ref)]
            if role != "mirror"
        ]
        if all(entry.sound and not entry.weight for entry in found):
            # Where no Service has a weight, Contour gives each the same.
            found = [replace(entry, weight=1) for entry in found]
        return Backends(("spec", self.listed, index, "services"), found)


def _narrowed(base: Sequence[Mapping[str, Any]], item: RouteMatch) -> list[dict[str, Any]] | None:
    """The conditions of the claimed route and those of a match; None if no request could have both."""
    found = [dict(condition) for condition in base]
    wanted: list[dict[str, Any]] = []
    if item.header_name is not None:
        wanted.append({"header": _asked(item.header_name, item.header_value, prefix=False)})
    if item.cookie_name is not None:
        wanted.append({"header": {"name": "Cookie", "regex": cookie_regex(item.cookie_name, item.cookie_value)}})
    if item.query_name is not None:
        wanted.append({"queryParameter": _asked(item.query_name, item.query_value, prefix=True)})
    for condition in wanted:
        if any(_excludes(other, condition) for other in found):
            return None
        if condition not in found:
            found.append(condition)
    if item.path is None:
        return found
    paths = [condition for condition in found if PATHS & condition.keys()]
    kind, value = next(iter(paths[0].items())) if paths else ("prefix", EVERYTHING)
    path = inner_path(str(kind), str(value), item.path) if len(paths) <= 1 else None
    return None if path is None else [{path[0]: path[1]}, *(c for c in found if c not in paths)]


def _alike(one: Sequence[Mapping[str, Any]] | None, other: Sequence[Mapping[str, Any]] | None) -> bool:
    """Both ask for the same, in whatever order; a route without a condition on its path is for all of them."""
    if one is None or other is None:
        return False
    ours, theirs = ([c for c in asked if c != {"prefix": EVERYTHING}] for asked in (one, other))
    return all(c in theirs for c in ours) and all(c in ours for c in theirs)


def _excludes(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Both ask for one header or parameter, and for another text."""
    kind = next(iter(other))
    theirs, ours = mapping(one, kind), mapping(other, kind)
    texts = {str(asked["exact"]) for asked in (theirs, ours) if "exact" in asked}
    return str(theirs.get("name")).lower() == str(ours.get("name")).lower() and len(texts) > 1


def _asked(name: str, value: StringMatch | None, *, prefix: bool) -> dict[str, Any]:
    if value is not None and value.exact is not None:
        return {"name": name, "exact": value.exact}
    if value is not None and value.prefix is not None and prefix:
        return {"name": name, "prefix": value.prefix}
    return {"name": name, "regex": regex_of(value)}


def _prefixes(route: Mapping[str, Any]) -> list[str]:
    """The prefixes that a route asks for; one that says nothing of the path is for everything."""
    conditions = list(entries(route, "conditions"))
    if any(kind in condition for condition in conditions for kind in ("exact", "regex")):
        return []
    return [str(condition["prefix"]) for condition in conditions if "prefix" in condition] or [EVERYTHING]


def _role(place: Place, ref: Mapping[str, Any]) -> str:
    name = str(ref.get("name"))
    ours = {place.canary.stable_service: "stable", place.canary.canary_service: "canary"}
    if ref.get("mirror"):
        return f"a mirror to the Service {name!r}" if name in ours else "mirror"
    return ours.get(name, f"the Service {name!r}")
