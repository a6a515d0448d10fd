"""Traffic by the Gateway API: finds the claimed rule of a route, reads its weights and says how to change them.

The parents of a route are gateways, or Services where a mesh serves it (GAMMA).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from headgate.api.rollout import Canary
from headgate.api.routes import RouteMatch, StringMatch
from headgate.decide.managed import ManagedRoute, is_session, shares
from headgate.traffic.backends import VARIANT, Backends, backend
from headgate.traffic.matching import cookie_regex, inner_path, regex_of
from headgate.traffic.parts import conditions_of, entries, mapping, reason_of, rule_claim, untrue
from headgate.traffic.protocol import Resource, Target
from headgate.traffic.ruled import SET_COOKIE, Rule, RuledRouter, taken
from headgate.traffic.weighted import Place, Served, one, service_role

GROUP = "gateway.networking.k8s.io"
DEFAULT_WEIGHT = 1
"""What the Gateway API takes a backend without a weight for."""
CORE = (None, "", "core")
"""The group of Services; Linkerd's own examples call it `core`."""
MIRROR = "RequestMirror"
MODIFIER, CHANGES = "ResponseHeaderModifier", "responseHeaderModifier"
"""The filter that changes headers of answers, and the field that says which."""
REGEX, PREFIX = "RegularExpression", "PathPrefix"
KINDS = {"exact": "Exact", "prefix": PREFIX, "regex": REGEX}
PATHS = {kind: how for how, kind in KINDS.items()}
REFERENCE = ("group", "kind", "name", "namespace", "port")
"""What names a backend, and is not of its place in the list."""
MOST_MATCHES = 64
"""What the API takes in one rule."""
CONDITIONS = ("Accepted", "ResolvedRefs")
"""What every parent has to say of the stored generation."""
PARTIAL = "PartiallyInvalid"
"""What a parent says that has taken a part of the route only: it drops rules, or goes on with those that it had."""
CONFLICT = "RuleMatchPartiallyConflict"
"""Contour's reason for that where another rule has the same match."""


class GatewayAPIRouter(RuledRouter):
    """Routes of one kind whose claimed rule lists the two Services of the Rollout and no other backend."""

    listed = "rules"
    sessions = True
    shares = True
    defaults: ClassVar[Mapping[str, Any]] = {
        "path": {"type": PREFIX, "value": "/"},
        "group": "",
        "kind": "Service",
        "weight": DEFAULT_WEIGHT,
    }

    def __init__(self, routes: str = "httpRoutes", kind: str = "HTTPRoute", key: str = "gatewayAPI") -> None:
        self.key = key
        self.resource = Resource(group=GROUP, version="v1", plural=routes.lower(), kind=kind)
        self.field = f"spec.strategy.canary.trafficRouting.gatewayAPI.{routes}"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """One per listed route."""
        gateway = canary.routing.gateway_api
        if gateway is None:
            return ()
        listed = gateway.http_routes if self.resource.kind == "HTTPRoute" else gateway.grpc_routes
        return tuple(Target(ref.name, ref.rule or "") for ref in listed or ())

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By the rule's name or index, as `rule_claim`."""
        place = Place(canary, obj or {}, target)
        index = None if obj is None else self.find(place)[0]
        return rule_claim(self.resource.kind, target, self.rules(place), index, canary.stable_service)

    def backends(self, place: Place) -> Backends | str:
        """The backends of the claimed rule."""
        index, problem = self.find(place)
        return problem if index is None else self._backends(place, index)

    def cannot(self, route: ManagedRoute) -> str:
        """An HTTPRoute knows everything that a match asks for; a GRPCRoute has no paths, queries and HTTP methods."""
        asked = [m for m in route.match if m.path or m.query_name or m.method]
        if self.resource.kind == "HTTPRoute" or not asked:
            return ""
        return "asks for a path, query or method, and a GRPCRoute can match headers only; match a header or cookie"

    def rendered(
        self, place: Place, rule: Rule, route: ManagedRoute, others: Sequence[ManagedRoute]
    ) -> list[dict[str, Any]] | str:
        """The claimed rule for fewer requests: all to one Service, or shared out as before and copied besides.

        The rule that asks for most is served, and only between two that ask for as much the first one.
        """
        narrowed = _narrowed_http if self.resource.kind == "HTTPRoute" else _narrowed

        def within(bases: Sequence[Mapping[str, Any]], one: ManagedRoute) -> list[dict[str, Any]]:
            found = [narrowed(base, item) for item in one.match for base in bases]
            return [match for match in found if match is not None]

        bases: list[Mapping[str, Any]] = list(entries(rule, "matches")) or [{}]
        matches = within(bases, route)
        for other in others:
            matches += [match for match in within(within(bases, other), route) if match not in matches]
        if not matches:
            return "matches nothing that the claimed rule does; correct its match"
        if len(matches) > MOST_MATCHES:
            return f"would need {len(matches)} matches, and a rule has {MOST_MATCHES} at most; ask for less"
        made = {k: v for k, v in rule.items() if k not in ("name", "matches")} | {"matches": matches}
        refs = list(entries(made, "backendRefs"))
        to = next(ref for ref in refs if _role(place, ref) == route.to)
        if route.percentage is None:
            return [made | {"backendRefs": [{**to, "weight": 1}]}]
        reference = {k: v for k, v in to.items() if k in REFERENCE}
        mirror = {"backendRef": reference, "percent": route.percentage}
        filters = [*entries(made, "filters"), {"type": MIRROR, "requestMirror": mirror}]
        return [made | {"filters": filters}]

    def cookies(self, entry: Rule) -> list[str]:
        """By filters of the backend itself."""
        changes = [mapping(one, CHANGES) for one in entries(entry, "filters")]
        return [str(add["value"]) for one in changes for add in entries(one, "add") if _of_session(add)]

    def cookied(self, entry: Rule, cookie: str) -> Rule | str:
        """In the one filter for it that a backend may have, beside what it says already."""
        if not cookie and not self.cookies(entry):
            return entry
        listed = [rest for one in entries(entry, "filters") if (rest := _without_cookie(one)) is not None]
        if cookie:
            there = next((one for one in listed if one.get("type") == MODIFIER), {})
            changes = mapping(there, CHANGES)
            if SET_COOKIE.lower() in _headers(changes):
                return taken(f'the filter {MODIFIER} of "{entry.get("name")}"')
            said = [*entries(changes, "add"), {"name": SET_COOKIE, "value": cookie}]
            filled = {"type": MODIFIER, CHANGES: {**changes, "add": said}}
            listed = [filled if one is there else one for one in listed] + ([] if there else [filled])
        return {k: v for k, v in entry.items() if k != "filters"} | ({"filters": listed} if listed else {})

    def lists(self, place: Place) -> Sequence[Backends]:
        """That of the claimed rule; without one, those that have one of the two Services."""
        index, _ = self.find(place)
        if index is not None:
            return [self._backends(place, index)]
        found = [self._backends(place, here) for here, _ in self.foreign(place)]
        return [one for one in found if one.has("stable") or one.has("canary")]

    def entry(self, canary: Rule, share: ManagedRoute) -> Rule:
        """The canary's reference with another name; what else is said of the canary is not said of a variant."""
        return {k: v for k, v in canary.items() if k in REFERENCE} | {"name": share.service, "weight": share.share}

    def mark(self, rule: Rule) -> tuple[str | int, ...]:
        """What it copies to, or leads to."""
        mirrors = [i for i, found in enumerate(entries(rule, "filters")) if "requestMirror" in found]
        return (
            ("filters", mirrors[-1], "requestMirror", "backendRef", "name") if mirrors else ("backendRefs", 0, "name")
        )

    def does(self, place: Place, rule: Rule, route: ManagedRoute) -> bool:
        """It leads to its Service alone, or mirrors to it, and one of its matches asks for what the route does."""
        if route.percentage is None:
            roles = {_role(place, ref) for ref in entries(rule, "backendRefs")}
        else:
            refs = [mapping(mapping(f, "requestMirror"), "backendRef") for f in entries(rule, "filters")]
            roles = {_role(place, ref) for ref in refs if ref}
        narrowed = _narrowed_http if self.resource.kind == "HTTPRoute" else _narrowed
        return roles == {route.to} and any(
            narrowed(match, item) == match for match in entries(rule, "matches") for item in route.match
        )

    def served(self, obj: Mapping[str, Any]) -> Served:
        """What the parents say; an entry for one that the spec does not name any more does not count.

        It is a leftover of a controller that may be gone.
        """
        meta, spec = mapping(obj, "metadata"), mapping(obj, "spec")
        namespace, generation = meta.get("namespace"), meta.get("generation")
        wanted = [_identity(ref, namespace) for ref in entries(spec, "parentRefs")]
        if not wanted:
            return Served("spec.parentRefs is empty: no gateway serves this route")
        answers = [
            (_identity(mapping(entry, "parentRef"), namespace), conditions_of(entry))
            for entry in entries(mapping(obj, "status"), "parents")
        ]
        blind = False
        for parent in wanted:
            mine = [conditions for identity, conditions in answers if identity == parent]
            if not mine:
                return Served(f"{_parent_text(parent)} has not answered yet")
            for conditions in mine:
                # Linkerd answers for a Service without ever saying for which generation.
                mute = _of_mesh(parent) and not any("observedGeneration" in c for c in conditions.values())
                why = next(filter(None, (untrue(conditions, n, None if mute else generation) for n in CONDITIONS)), "")
                why = why or _partial(conditions, generation, spec)
                if why:
                    return Served(f"{_parent_text(parent)}: {why}")
                blind = blind or mute
        return Served(blind=blind)

    def find(self, place: Place) -> tuple[int | None, str]:
        """The index of the claimed rule, or None and why there is none."""
        rules, target = list(self.foreign(place)), place.target
        if target.rule:
            found = [index for index, rule in rules if rule.get("name") == target.rule]
            what = f'named "{target.rule}"'
            none = f"give the rule that is meant this name, or correct {self.field}"
            many = "give them different names"
        else:
            found = [index for index, _ in rules if self._backends(place, index).has("stable")]
            what = f'with the stable Service "{place.canary.stable_service}" in its backendRefs'
            none = "add the Service to the rule that is meant"
            many = f"give the one that is meant a name, and put it in {self.field}[name={target.name}].rule"
        return one(found, "spec.rules", "rule", what, none=none, many=many)

    def _backends(self, place: Place, index: int) -> Backends:
        found = [
            backend(i, _role(place, ref), ref, default=DEFAULT_WEIGHT)
            for i, ref in enumerate(entries(self.rules(place)[index], "backendRefs"))
        ]
        return Backends(("spec", self.listed, index, "backendRefs"), found)


HTTP_ROUTES = GatewayAPIRouter()
GRPC_ROUTES = GatewayAPIRouter("grpcRoutes", "GRPCRoute", "gatewayAPI.grpcRoutes")


def _narrowed(base: Mapping[str, Any], item: RouteMatch) -> dict[str, Any] | None:
    """A match with the headers and cookies of another one besides; None if no request could have both."""
    wanted = [] if item.header_name is None else [_asked(item.header_name, item.header_value)]
    if item.cookie_name is not None:
        wanted.append({"name": "Cookie", "type": REGEX, "value": cookie_regex(item.cookie_name, item.cookie_value)})
    return _joined(base, "headers", wanted)


def _narrowed_http(rule: Mapping[str, Any], item: RouteMatch) -> dict[str, Any] | None:
    """The same with what only HTTP has."""
    match = _narrowed(rule, item)
    if match is not None and item.query_name is not None:
        match = _joined(match, "queryParams", [_asked(item.query_name, item.query_value)])
    if match is not None and item.method is not None:
        match = match | {"method": item.method} if match.get("method") in (None, item.method) else None
    if match is not None and item.path is not None:
        base = mapping(match, "path")
        path = inner_path(PATHS.get(base.get("type", PREFIX), ""), str(base.get("value") or "/"), item.path)
        match = match | {"path": {"type": KINDS[path[0]], "value": path[1]}} if path is not None else None
    return match


def _asked(name: str, value: StringMatch | None) -> dict[str, Any]:
    if value is not None and value.exact is not None:
        return {"name": name, "type": "Exact", "value": value.exact}
    return {"name": name, "type": REGEX, "value": regex_of(value)}


def _joined(base: Mapping[str, Any], key: str, wanted: list[dict[str, Any]]) -> dict[str, Any] | None:
    """A list of conditions with some more; the API takes one for each name only."""
    found = [dict(entry) for entry in entries(base, key)]
    for one_more in wanted:
        same = [entry for entry in found if str(entry.get("name")).lower() == one_more["name"].lower()]
        if same and same != [one_more]:
            return None
        if not same:
            found.append(one_more)
    return dict(base) | ({key: found} if found else {})


def _of_session(header: Mapping[str, Any]) -> bool:
    return str(header.get("name")).lower() == SET_COOKIE.lower() and is_session(str(header.get("value")))


def _without_cookie(one: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A filter that sets no cookie of ours; None if it did nothing else."""
    changes = mapping(one, CHANGES)
    added = list(entries(changes, "add"))
    kept = [header for header in added if not _of_session(header)]
    if len(kept) == len(added):
        return one
    rest = {k: v for k, v in changes.items() if k != "add"} | ({"add": kept} if kept else {})
    return {**one, CHANGES: rest} if rest else None


def _headers(changes: Mapping[str, Any]) -> set[str]:
    """The headers that a filter changes."""
    named = [header.get("name") for key in ("set", "add") for header in entries(changes, key)]
    removed = changes.get("remove")
    return {str(name).lower() for name in (*named, *(removed if isinstance(removed, list | tuple) else ()))}


def _role(place: Place, ref: Mapping[str, Any]) -> str:
    kind = ref.get("kind") or "Service"
    if ref.get("group") not in CORE or kind != "Service":
        return f"the {kind} {ref.get('name')!r}"
    if ref.get("namespace") not in (None, "", place.namespace):
        return f"the Service {ref.get('name')!r} of the namespace {ref.get('namespace')!r}"
    name = ref.get("name")
    role = service_role(place.canary, name)
    if role in ("stable", "canary"):
        return role
    return VARIANT if any(one.service == name for step in place.canary.steps for one in shares(step)) else role


def _identity(ref: Mapping[str, Any], namespace: Any) -> tuple[Any, ...]:
    """A parent reference with the API's defaults in place, so that the two spellings of one parent are equal."""
    group = GROUP if ref.get("group") is None else ref["group"]
    return (
        "" if group == "core" else group,
        ref.get("kind") or "Gateway",
        ref.get("namespace") or namespace,
        ref.get("name"),
        ref.get("sectionName"),
        ref.get("port"),
    )


def _partial(conditions: Mapping[str, Mapping[str, Any]], generation: Any, spec: Mapping[str, Any]) -> str:
    """Why a parent that accepts the route may not serve all of it, or nothing.

    What it said of an earlier generation is over: by now it accepts this one, and would have said it again. Of two
    rules of one route with the same match the first is served, says the API, and so a rule that copies requests stands
    before the claimed one.
    """
    condition = conditions.get(PARTIAL, {})
    if condition.get("status") != "True" or condition.get("observedGeneration", generation) != generation:
        return ""
    if condition.get("reason") == CONFLICT and _repeats(spec):
        return ""
    return f"{PARTIAL} is True ({reason_of(condition)}), so the weights may not be served; correct the route's rules"


def _repeats(spec: Mapping[str, Any]) -> bool:
    """Two rules of the route have the same match."""
    matches = [match for rule in entries(spec, "rules") for match in (list(entries(rule, "matches")) or [{}])]
    return any(match in matches[:index] for index, match in enumerate(matches))


def _of_mesh(parent: tuple[Any, ...]) -> bool:
    return parent[:2] == ("", "Service")


def _parent_text(parent: tuple[Any, ...]) -> str:
    _, kind, namespace, name, section, port = parent
    extra = (f" section {section}" if section else "") + (f" port {port}" if port else "")
    return f"{kind} {namespace}/{name}{extra}"[:400]
