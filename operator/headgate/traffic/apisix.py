"""Traffic by Apache APISIX: finds the claimed rule of an ApisixRoute and sets the weights of its two backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.api.rollout import Canary
from headgate.traffic.backends import Backends, backend
from headgate.traffic.parts import conditions_of, entries, mapping, rule_claim, untrue
from headgate.traffic.protocol import Resource, Target
from headgate.traffic.weighted import Served, WeightedRouter, one, service_role

DEFAULT_WEIGHT = 100
"""What APISIX takes a backend without a weight for."""
CONDITIONS = ("ResourcesAvailable", "Available", "Accepted")
"""What the versions of the ingress controller call the condition of a route that it has synchronised."""


class ApisixRouter(WeightedRouter):
    """ApisixRoutes whose claimed HTTP rule lists the two Services of the Rollout and no other backend or upstream."""

    key = "apisix"
    resource = Resource(group="apisix.apache.org", version="v2", plural="apisixroutes", kind="ApisixRoute")
    field = "spec.strategy.canary.trafficRouting.apisix.route"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """One per rule that is named; one for a route of which none is."""
        apisix = canary.traffic_routing.apisix
        if apisix is None:
            return ()
        return tuple(Target(apisix.route.name, rule) for rule in apisix.route.rules or ("",))

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By the rule's name or index, as `rule_claim`."""
        index = None if obj is None else self._find(canary, obj, target)[0]
        return rule_claim(self.resource.kind, target, _rules(obj or {}), index, canary.stable_service)

    def backends(self, canary: Canary, obj: Mapping[str, Any], target: Target) -> Backends | str:
        """The backends of the claimed rule."""
        index, problem = self._find(canary, obj, target)
        if index is None:
            return problem
        flaw = ""
        if any(True for _ in entries(_rules(obj)[index], "upstreams")):
            flaw = f"spec.http[{index}].upstreams gets a part of the requests, too; take it out of the claimed rule"
        return Backends(
            ("spec", "http", index, "backends"),
            [
                backend(i, _role(canary, entry), entry, default=DEFAULT_WEIGHT, name=entry.get("serviceName"))
                for i, entry in enumerate(entries(_rules(obj)[index], "backends"))
            ],
            key="serviceName",
            lone_takes_all=True,
            flaw=flaw,
        )

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

    def _find(self, canary: Canary, obj: Mapping[str, Any], target: Target) -> tuple[int | None, str]:
        """The index of the claimed rule, or None and why there is none."""
        rules = _rules(obj)
        if target.rule:
            found = [index for index, rule in enumerate(rules) if rule.get("name") == target.rule]
            what = f'named "{target.rule}"'
            none = f"give the rule that is meant this name, or correct {self.field}.rules"
            many = "give them different names"
        else:
            found = [
                index
                for index, rule in enumerate(rules)
                if any(_role(canary, entry) == "stable" for entry in entries(rule, "backends"))
            ]
            what = f'with the stable Service "{canary.stable_service}" in its backends'
            none = "add the Service to the rule that is meant"
            many = f"put the name of the one that is meant in {self.field}.rules"
        return one(found, "spec.http", "rule", what, none=none, many=many)


def _rules(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(entries(mapping(obj, "spec"), "http"))


def _role(canary: Canary, entry: Mapping[str, Any]) -> str:
    return service_role(canary, entry.get("serviceName"))
