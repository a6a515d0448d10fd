"""Traffic by Apache APISIX: finds the claimed rule of an ApisixRoute and sets the weights of its two backends."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from headgate.api.rollout import Canary
from headgate.api.routes import StringMatch
from headgate.decide.managed import ManagedRoute
from headgate.traffic.backends import FULL, Backends, backend
from headgate.traffic.matching import regex_of
from headgate.traffic.parts import conditions_of, entries, mapping, rule_claim, untrue
from headgate.traffic.protocol import Resource, Target
from headgate.traffic.ruled import Rule, RuledRouter, one_match
from headgate.traffic.weighted import Place, Served, one, service_role

DEFAULT_WEIGHT = 100
"""What APISIX takes a backend without a weight for."""
CONDITIONS = ("ResourcesAvailable", "Available", "Accepted")
"""What the versions of the ingress controller call the condition of a route that it has synchronised."""


class ApisixRouter(RuledRouter):
    """ApisixRoutes whose claimed HTTP rule lists the two Services of the Rollout and no other backend or upstream."""

    key = "apisix"
    resource = Resource(group="apisix.apache.org", version="v2", plural="apisixroutes", kind="ApisixRoute")
    field = "spec.strategy.canary.trafficRouting.apisix.route"
    listed = "http"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """One per rule that is named; one for a route of which none is."""
        apisix = canary.routing.apisix
        if apisix is None:
            return ()
        return tuple(Target(apisix.route.name, rule) for rule in apisix.route.rules or ("",))

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By the rule's name or index, as `rule_claim`."""
        place = Place(canary, obj or {}, target)
        index = None if obj is None else self.find(place)[0]
        return rule_claim(self.resource.kind, target, self.rules(place), index, canary.stable_service)

    def backends(self, place: Place) -> Backends | str:
        """The backends of the claimed rule."""
        index, problem = self.find(place)
        if index is None:
            return problem
        rule, flaw = self.rules(place)[index], ""
        if any(True for _ in entries(rule, "upstreams")):
            flaw = f"spec.http[{index}].upstreams gets a part of the requests, too; take it out of the claimed rule"
        return Backends(
            ("spec", "http", index, "backends"),
            [
                backend(i, _role(place, entry), entry, default=DEFAULT_WEIGHT, name=entry.get("serviceName"))
                for i, entry in enumerate(entries(rule, "backends"))
            ],
            key="serviceName",
            lone_takes_all=True,
            flaw=flaw,
        )

    def called(self, place: Place) -> str:
        """With the name of the claimed rule, because a Rollout may claim several."""
        return super().called(place) + (f".{place.target.rule}" if place.target.rule else "")

    def cannot(self, route: ManagedRoute) -> str:
        """All expressions of a rule must hold; its paths have a language of their own."""
        if route.percentage is not None:
            return (
                "copies requests, which Headgate does not do by an ApisixRoute; use setHeaderRoute, or another router"
            )
        several = one_match(route, "a rule of an ApisixRoute")
        if several or route.match[0].path is None:
            return several
        return "asks for a path, which is not done by an ApisixRoute; match a header, cookie, query or method"

    def rendered(
        self, place: Place, rule: Rule, route: ManagedRoute, others: Sequence[ManagedRoute]
    ) -> list[dict[str, Any]] | str:
        """The claimed rule for fewer requests, which all go to the canary; a greater priority puts it first."""
        del others  # All of ours lead to the canary.
        why = self.cannot(route)
        if why:
            return why
        item, match = route.match[0], dict(mapping(rule, "match"))
        asked = [
            _expression(scope, name, value)
            for scope, name, value in (
                ("Header", item.header_name, item.header_value),
                ("Cookie", item.cookie_name, item.cookie_value),
                ("Query", item.query_name, item.query_value),
            )
            if name is not None
        ]
        if item.method is not None:
            if item.method not in (match.get("methods") or [item.method]):
                return "matches nothing that the claimed rule does; correct its match"
            match["methods"] = [item.method]
        if asked:
            match["exprs"] = [*entries(match, "exprs"), *asked]
        made = copy.deepcopy({k: v for k, v in rule.items() if k != "name"} | {"match": match})
        to_canary = next(entry for entry in entries(made, "backends") if _role(place, entry) == "canary")
        priority = rule.get("priority")
        made["priority"] = (priority if isinstance(priority, int) else 0) + 1
        return [made | {"backends": [{**to_canary, "weight": FULL}]}]

    def served(self, obj: Mapping[str, Any]) -> Served:
        """The condition of the ingress controller; it may be told not to write any, and then nothing is known."""
        answers = conditions_of(mapping(obj, "status"))
        known = [name for name in CONDITIONS if name in answers]
        if not known:
            return Served(blind=True)
        generation = mapping(obj, "metadata").get("generation")
        # One of another generation may be a leftover of another version of the controller.
        present = [name for name in known if answers[name].get("observedGeneration") == generation] or known
        return Served(next((why for name in present if (why := untrue(answers, name, generation))), ""))

    def find(self, place: Place) -> tuple[int | None, str]:
        """The index of the claimed rule, or None and why there is none."""
        rules, named = list(self.foreign(place)), place.target.rule
        if named:
            found = [index for index, rule in rules if rule.get("name") == named]
            what = f'named "{named}"'
            none = f"give the rule that is meant this name, or correct {self.field}.rules"
            many = "give them different names"
        else:
            found = [
                index
                for index, rule in rules
                if any(_role(place, entry) == "stable" for entry in entries(rule, "backends"))
            ]
            what = f'with the stable Service "{place.canary.stable_service}" in its backends'
            none = "add the Service to the rule that is meant"
            many = f"put the name of the one that is meant in {self.field}.rules"
        return one(found, "spec.http", "rule", what, none=none, many=many)


def _expression(scope: str, name: str, value: StringMatch | None) -> dict[str, Any]:
    subject = {"scope": scope, "name": name}
    if value is not None and value.exact is not None:
        return {"subject": subject, "op": "Equal", "value": value.exact}
    return {"subject": subject, "op": "RegexMatch", "value": regex_of(value)}


def _role(place: Place, entry: Mapping[str, Any]) -> str:
    return service_role(place.canary, entry.get("serviceName"))
