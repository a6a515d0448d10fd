"""Traffic by Istio: finds the claimed HTTP, TLS or TCP route of a VirtualService and sets its two weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headgate.api.rollout import Canary, IstioVirtualService
from headgate.api.routes import RouteMatch, StringMatch
from headgate.api.values import dataclass
from headgate.decide.managed import ManagedRoute, is_session
from headgate.traffic.backends import FULL, Backends, backend
from headgate.traffic.matching import cookie_regex, inner_path
from headgate.traffic.parts import conditions_of, entries, mapping, untrue
from headgate.traffic.protocol import Resource, Target
from headgate.traffic.ruled import SET_COOKIE, Rule, RuledRouter, taken
from headgate.traffic.weighted import Place, Served, one, service_role

CLUSTER_DOMAIN = "cluster.local"
RECONCILED = "Reconciled"
"""The condition that istiod writes where it is set up to report the state of its proxies; by default it is not."""


@dataclass(frozen=True, slots=True)
class _Route:
    """What the Rollout says of one route."""

    protocol: str
    """The list in the VirtualService's spec."""
    name: str = ""
    port: int | None = None
    hosts: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """As targets carry it; the name of an HTTP route has no blanks, so that nothing is taken for another."""
        if self.protocol == "http":
            return self.name
        port = f" port {self.port}" if self.port is not None else ""
        hosts = f" sniHosts {','.join(self.hosts)}" if self.hosts else ""
        return f"{self.protocol}{port}{hosts}" if port or hosts else f"{self.protocol} route"

    def means(self, route: Mapping[str, Any]) -> bool:
        """Whether the VirtualService's route is this one, by all that the Rollout says of it."""
        if self.name and route.get("name") != self.name:
            return False
        if self.port is None and not self.hosts:
            return True
        return any(
            (self.port is None or match.get("port") == self.port)
            and (not self.hosts or _texts(match, "sniHosts") == set(self.hosts))
            for match in entries(route, "match")
        )

    def __str__(self) -> str:
        """For messages, after the noun."""
        found = [f'named "{self.name}"'] if self.name else []
        found += [f"with port {self.port}"] if self.port is not None else []
        found += [f"with the sniHosts {', '.join(self.hosts)}"] if self.hosts else []
        return " and ".join(found)


class IstioRouter(RuledRouter):
    """VirtualServices whose claimed route has the two Services as its destinations and no other.

    A destination may name a subset of its Service's host, for a policy. Two subsets of *one* host are refused: which
    pods they hold is said by labels in a DestinationRule, which do not follow the revisions as the selectors of the two
    Services do, so that a weight would say nothing about the version that gets it.
    """

    key = "istio"
    sessions = True
    resource = Resource(group="networking.istio.io", version="v1", plural="virtualservices", kind="VirtualService")
    field = "spec.strategy.canary.trafficRouting.istio.virtualServices"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """One per route that is named; one for a VirtualService of which none is."""
        return tuple(dict.fromkeys(Target(name, route.rule) for name, route in _routes(canary)))

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By an HTTP route's own name, or else the route's list and index: the same for whoever finds it, and how.

        A route that is not found is told apart by the Service that looks for it, so that nobody contends for nothing.
        """
        place = Place(canary, obj or {}, target)
        wanted = _wanted(place)
        found = wanted.name
        if not found:
            index = None if obj is None else self.find(place)[0]
            if index is None:
                found = f"{wanted.rule}?{canary.stable_service}"
            else:
                named = self.rules(place)[index].get("name") if wanted.protocol == "http" else None
                found = str(named or f"{wanted.protocol}#{index}")
        return f"{self.resource.kind}/{target.name}/{found}"

    def backends(self, place: Place) -> Backends | str:
        """The destinations of the claimed route."""
        index, problem = self.find(place)
        if index is None:
            return problem
        destinations = [(mapping(entry, "destination"), entry) for entry in entries(self.rules(place)[index], "route")]
        found = Backends(
            ("spec", self.rules_in(place), index, "route"),
            [
                backend(i, _role(place, to.get("host")), entry, default=0, name=to.get("host"))
                for i, (to, entry) in enumerate(destinations)
            ],
            key="destination/host",
            lone_takes_all=True,
            hint=f", with its name as the host, or as NAME.{place.namespace}.svc.{CLUSTER_DOMAIN}",
        )
        return replace(found, flaw=_subsets(place.canary, found, [to for to, _ in destinations]))

    def rules_in(self, place: Place) -> str:
        """The list of the protocol."""
        return _wanted(place).protocol

    def called(self, place: Place) -> str:
        """With the name of the claimed route, because a Rollout may claim several."""
        name = _wanted(place).name
        return super().called(place) + (f".{name}" if name else "")

    def cannot(self, route: ManagedRoute) -> str:
        """An HTTP route knows everything that a match asks for."""
        del route
        return ""

    def rendered(
        self, place: Place, rule: Rule, route: ManagedRoute, others: Sequence[ManagedRoute]
    ) -> list[dict[str, Any]] | str:
        """The claimed route for fewer requests: all to one Service, or shared out as before and copied besides."""
        del others  # The first route that matches is served.
        if _wanted(place).protocol != "http":
            return "cannot be made of a TLS or TCP route, which knows no headers; use setWeight, or claim an HTTP route"
        bases: list[Mapping[str, Any]] = list(entries(rule, "match")) or [{}]
        found = [_narrowed(base, item) for item in route.match for base in bases]
        matches = [match for match in found if match is not None]
        if not matches:
            return "matches nothing that the claimed route does; correct its match"
        made = copy.deepcopy({k: v for k, v in rule.items() if k not in ("name", "match")} | {"match": matches})
        listed = list(entries(made, "route"))
        to = next(to for to in listed if _role(place, mapping(to, "destination").get("host")) == route.to)
        if route.percentage is None:
            return [made | {"route": [{**to, "weight": FULL}]}]
        if "mirror" in made:
            return "cannot stand beside the field mirror of the claimed route; write that as an entry of its mirrors"
        mirror = {"destination": to["destination"], "percentage": {"value": route.percentage}}
        return [made | {"mirrors": [*entries(made, "mirrors"), mirror]}]

    def cookies(self, entry: Rule) -> list[str]:
        """By the destination's own headers."""
        added = mapping(mapping(mapping(entry, "headers"), "response"), "add")
        return [str(value) for name, value in added.items() if _of_session(name, value)]

    def cookied(self, entry: Rule, cookie: str) -> Rule | str:
        """Beside what the destination says of headers already."""
        if not cookie and not self.cookies(entry):
            return entry
        headers = mapping(entry, "headers")
        answer = mapping(headers, "response")
        added = {name: value for name, value in mapping(answer, "add").items() if not _of_session(name, value)}
        answer = _with(answer, "add", added)
        if cookie and SET_COOKIE.lower() in _named(answer):
            return taken(f'the field headers of the destination "{mapping(entry, "destination").get("host")}"')
        if cookie:
            answer = {**answer, "add": {**added, SET_COOKIE: cookie}}
        return _with(entry, "headers", _with(headers, "response", answer))

    def served(self, obj: Mapping[str, Any]) -> Served:
        """The condition `Reconciled` where istiod writes it; without one, nothing is known."""
        status = mapping(obj, "status")
        answer = conditions_of(status).get(RECONCILED)
        seen = None if answer is None else answer.get("observedGeneration", status.get("observedGeneration"))
        if answer is None or seen is None:
            return Served(blind=True)  # Without a generation it does not say of which version.
        generation = str(mapping(obj, "metadata").get("generation"))  # An int64 may be a string in Istio's JSON.
        return Served(untrue({RECONCILED: {**answer, "observedGeneration": str(seen)}}, RECONCILED, generation))

    def find(self, place: Place) -> tuple[int | None, str]:
        """The index of the claimed route in the list of its protocol, or None and why there is none."""
        wanted = _wanted(place)
        routes = [(index, route) for index, route in self.foreign(place) if wanted.means(route)]
        where, here = f"spec.{wanted.protocol}", f"{self.field}[name={place.target.name}]"
        what = str(wanted)
        if what:
            found = [index for index, _ in routes]
            none = f"change the route that is meant, or correct {here}"
            many = f"leave one of them, or say in {here} which one is meant"
        else:
            found = [index for index, route in routes if _lists_stable(place, route)]
            what = f'with the stable Service "{place.canary.stable_service}" as a destination\'s host'
            none = "add the Service to the route that is meant"
            many = f"say in {here} which one is meant"
        return one(found, where, "route", what, none=none, many=many)


def _narrowed(base: Mapping[str, Any], item: RouteMatch) -> dict[str, Any] | None:
    """A match that asks for what another one does besides; None if no request could have both."""
    match: dict[str, Any] | None = dict(base)
    headers = {} if item.header_name is None else {item.header_name.lower(): _text(item.header_value)}
    if item.cookie_name is not None:
        headers["cookie"] = {"regex": cookie_regex(item.cookie_name, item.cookie_value)}
    match = _joined(match or {}, "headers", headers)
    if match is not None and item.query_name is not None:
        match = _joined(match, "queryParams", {item.query_name: _text(item.query_value)})
    if match is not None and item.method is not None:
        method = {"exact": item.method}
        match = match | {"method": method} if match.get("method") in (None, method) else None
    if match is not None and item.path is not None:
        kind, value = next(iter(mapping(match, "uri").items()), ("prefix", "/"))
        path = inner_path(str(kind), str(value), item.path)
        match = match | {"uri": {path[0]: path[1]}} if path is not None else None
    return match


def _of_session(name: Any, value: Any) -> bool:
    return str(name).lower() == SET_COOKIE.lower() and is_session(str(value))


def _with(base: Mapping[str, Any], key: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with this under a key, or without the key where it would be empty."""
    return {k: v for k, v in base.items() if k != key} | ({key: value} if value else {})


def _named(change: Mapping[str, Any]) -> set[str]:
    """The headers that are changed."""
    removed = change.get("remove")
    found = [*mapping(change, "set"), *mapping(change, "add"), *(removed if isinstance(removed, list | tuple) else ())]
    return {str(name).lower() for name in found}


def _text(value: StringMatch | None) -> dict[str, Any]:
    return value.model_dump(exclude_none=True) if value is not None else {}


def _joined(base: Mapping[str, Any], key: str, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    found = mapping(base, key)
    if any(name in found and found[name] != value for name, value in wanted.items()):
        return None
    return dict(base) | ({key: {**found, **wanted}} if found or wanted else {})


def _routes(canary: Canary) -> Iterator[tuple[str, _Route]]:
    istio = canary.routing.istio
    for service in istio.virtual_services if istio else ():
        for route in _listed(service) or [_Route("http")]:
            yield service.name, route


def _listed(service: IstioVirtualService) -> list[_Route]:
    found = [_Route("http", name=name) for name in service.routes or ()]
    found += [_Route("tls", port=tls.port, hosts=tuple(tls.sni_hosts or ())) for tls in service.tls_routes or ()]
    return found + [_Route("tcp", port=tcp.port) for tcp in service.tcp_routes or ()]


def _wanted(place: Place) -> _Route:
    target = place.target
    for name, route in _routes(place.canary):
        if (name, route.rule) == (target.name, target.rule):
            return route
    return _Route("http", name=target.rule)  # The spec has changed since.


def _role(place: Place, host: Any) -> str:
    """A short name means the VirtualService's own namespace; with a dot in it, a host is taken as it stands."""
    name, _, rest = host.partition(".") if isinstance(host, str) else ("", "", "")
    if name and rest in {"", f"{place.namespace}.svc.{CLUSTER_DOMAIN}"}:
        role = service_role(place.canary, name)
        if role in {"stable", "canary"}:
            return role
    return f"the host {host!r}"


def _lists_stable(place: Place, route: Mapping[str, Any]) -> bool:
    hosts = [mapping(entry, "destination").get("host") for entry in entries(route, "route")]
    return any(_role(place, host) == "stable" for host in hosts)


def _subsets(canary: Canary, found: Backends, destinations: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with the list if it splits one host by subsets."""
    for role in ("stable", "canary"):
        subsets = [
            to.get("subset") for entry, to in zip(found.entries, destinations, strict=True) if entry.role == role
        ]
        if len(subsets) > 1 and any(subsets):
            return (
                f"{found.here} splits one host by subsets, whose labels do not follow the revisions; list the two "
                f'Services "{canary.stable_service}" and "{canary.canary_service}" as hosts instead'
            )
    return ""


def _texts(obj: Mapping[str, Any], key: str) -> set[str]:
    value = obj.get(key)
    return {text for text in value if isinstance(text, str)} if isinstance(value, list | tuple) else set()
