"""Traffic by the Gateway API: finds the claimed rule of a route, reads its weights and says how to change them.

The parents of a route are gateways, or Services where a mesh serves it (GAMMA).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.api.rollout import Canary
from headgate.traffic.backends import Backends, backend
from headgate.traffic.parts import conditions_of, entries, mapping, rule_claim, untrue
from headgate.traffic.protocol import Resource, Target
from headgate.traffic.weighted import Served, WeightedRouter, one, service_role

GROUP = "gateway.networking.k8s.io"
DEFAULT_WEIGHT = 1
"""What the Gateway API takes a backend without a weight for."""
CORE = (None, "", "core")
"""The group of Services; Linkerd's own examples call it `core`."""
CONDITIONS = ("Accepted", "ResolvedRefs")
"""What every parent has to say of the stored generation."""


class GatewayAPIRouter(WeightedRouter):
    """Routes of one kind whose claimed rule lists the two Services of the Rollout and no other backend."""

    def __init__(self, listed: str = "httpRoutes", kind: str = "HTTPRoute", key: str = "gatewayAPI") -> None:
        self.key = key
        self.resource = Resource(group=GROUP, version="v1", plural=listed.lower(), kind=kind)
        self.field = f"spec.strategy.canary.trafficRouting.gatewayAPI.{listed}"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """One per listed route."""
        gateway = canary.traffic_routing.gateway_api
        if gateway is None:
            return ()
        listed = gateway.http_routes if self.resource.kind == "HTTPRoute" else gateway.grpc_routes
        return tuple(Target(ref.name, ref.rule or "") for ref in listed or ())

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By the rule's name or index, as `rule_claim`."""
        index = None if obj is None else self._find(canary, obj, target)[0]
        return rule_claim(self.resource.kind, target, _rules(obj or {}), index, canary.stable_service)

    def backends(self, canary: Canary, obj: Mapping[str, Any], target: Target) -> Backends | str:
        """The backends of the claimed rule."""
        index, problem = self._find(canary, obj, target)
        return problem if index is None else _backends(canary, obj, index)

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
                if why:
                    return Served(f"{_parent_text(parent)}: {why}")
                blind = blind or mute
        return Served(blind=blind)

    def _find(self, canary: Canary, obj: Mapping[str, Any], target: Target) -> tuple[int | None, str]:
        """The index of the claimed rule, or None and why there is none."""
        rules = _rules(obj)
        if target.rule:
            found = [index for index, rule in enumerate(rules) if rule.get("name") == target.rule]
            what = f'named "{target.rule}"'
            none = f"give the rule that is meant this name, or correct {self.field}"
            many = "give them different names"
        else:
            found = [index for index in range(len(rules)) if _backends(canary, obj, index).has("stable")]
            what = f'with the stable Service "{canary.stable_service}" in its backendRefs'
            none = "add the Service to the rule that is meant"
            many = f"give the one that is meant a name, and put it in {self.field}[name={target.name}].rule"
        return one(found, "spec.rules", "rule", what, none=none, many=many)


HTTP_ROUTES = GatewayAPIRouter()
GRPC_ROUTES = GatewayAPIRouter("grpcRoutes", "GRPCRoute", "gatewayAPI.grpcRoutes")


def _rules(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(entries(mapping(obj, "spec"), "rules"))


def _backends(canary: Canary, obj: Mapping[str, Any], rule: int) -> Backends:
    namespace = mapping(obj, "metadata").get("namespace")
    found = [
        backend(index, _role(canary, ref, namespace), ref, default=DEFAULT_WEIGHT)
        for index, ref in enumerate(entries(_rules(obj)[rule], "backendRefs"))
    ]
    return Backends(("spec", "rules", rule, "backendRefs"), found)


def _role(canary: Canary, ref: Mapping[str, Any], namespace: Any) -> str:
    kind = ref.get("kind") or "Service"
    if ref.get("group") not in CORE or kind != "Service":
        return f"the {kind} {ref.get('name')!r}"
    if ref.get("namespace") not in (None, "", namespace):
        return f"the Service {ref.get('name')!r} of the namespace {ref.get('namespace')!r}"
    return service_role(canary, ref.get("name"))


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


def _of_mesh(parent: tuple[Any, ...]) -> bool:
    return parent[:2] == ("", "Service")


def _parent_text(parent: tuple[Any, ...]) -> str:
    _, kind, namespace, name, section, port = parent
    extra = (f" section {section}" if section else "") + (f" port {port}" if port else "")
    return f"{kind} {namespace}/{name}{extra}"[:400]
