"""Traffic by the Gateway API: finds the claimed rule of a route, reads its weights and says how to change them.

The parents of a route are gateways, or Services where a mesh serves it (GAMMA).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.api.rollout import Canary
from headgate.decide.types import RouteView
from headgate.traffic.backends import Backends, backend
from headgate.traffic.parts import conditions_of, entries, mapping, untrue
from headgate.traffic.protocol import JSONPatch, Resource, Target

GROUP = "gateway.networking.k8s.io"
DEFAULT_WEIGHT = 1
"""What the Gateway API takes a backend without a weight for."""
CORE = (None, "", "core")
"""The group of Services; Linkerd's own examples call it `core`."""

_CONDITIONS = ("Accepted", "ResolvedRefs")


class GatewayAPIRouter:
    """Routes of one kind whose claimed rule lists the two Services of the Rollout and no other backend."""

    def __init__(self, listed: str = "httpRoutes", kind: str = "HTTPRoute", key: str = "gatewayAPI") -> None:
        self.key = key
        self.resource = Resource(group=GROUP, version="v1", plural=listed.lower(), kind=kind)
        self._field = f"spec.strategy.canary.trafficRouting.gatewayAPI.{listed}"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """One per listed route."""
        gateway = canary.routing.gateway_api
        if gateway is None:
            return ()
        listed = gateway.http_routes if self.resource.kind == "HTTPRoute" else gateway.grpc_routes
        return tuple(Target(ref.name, ref.rule or "") for ref in listed or ())

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By the rule's own name, or its index as `#0`: the same for whoever finds the rule, in whatever way.

        A rule that is not found is told apart by the Service that looks for it, so that nobody contends for nothing.
        """
        rule = target.rule
        if not rule:
            index = None if obj is None else self._find(canary, obj, target)[0]
            if obj is None or index is None:
                rule = f"?{canary.stable_service}"
            else:
                rule = str(_rules(obj)[index].get("name") or f"#{index}")
        return f"{self.resource.kind}/{target.name}/{rule}"

    def read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
        """The rule as it stands; with a problem too it says what share the canary has, as far as that can be seen."""
        kind = self.resource.kind
        if obj is None:
            problem = (
                f'{self._field}: there is no {kind} "{target.name}" in this namespace; create it or correct the name'
            )
            return RouteView(self.key, kind, target.name, target.rule, problem=problem)
        index, problem = self._find(canary, obj, target)
        weight = 0
        if index is not None:
            backends = _backends(canary, obj, index)
            weight, problem = backends.share(), backends.problem(canary)
        waits, blind = _served(obj)
        return RouteView(
            self.key,
            kind,
            target.name,
            target.rule,
            found=True,
            resource_version=str(mapping(obj, "metadata").get("resourceVersion", "")),
            problem=f"{kind} {target.name}: {problem}" if problem else "",
            weight=weight,
            settled=not waits,
            message=waits,
            blind=blind,
        )

    def set_weight(self, canary: Canary, obj: Mapping[str, Any], target: Target, weight: int) -> JSONPatch:
        """The weights of the two backends, as `Backends.set_weight`.

        Raises:
            ValueError: if the rule cannot be worked with, or the weight is no percentage.
        """
        index, problem = self._find(canary, obj, target)
        backends = Backends() if index is None else _backends(canary, obj, index)
        problem = problem or backends.problem(canary, writing=True)
        if problem:
            raise ValueError(f"{self.resource.kind} {target.name}: {problem}")
        return backends.set_weight(canary, weight)

    def hand_back(self, canary: Canary, obj: Mapping[str, Any], target: Target) -> JSONPatch:
        """Everything to stable, as `Backends.hand_back`."""
        index, _ = self._find(canary, obj, target)
        return [] if index is None else _backends(canary, obj, index).hand_back(canary)

    def _find(self, canary: Canary, obj: Mapping[str, Any], target: Target) -> tuple[int | None, str]:
        """The index of the claimed rule, or None and why there is none."""
        rules = _rules(obj)
        if target.rule:
            found = [index for index, rule in enumerate(rules) if rule.get("name") == target.rule]
            what = f'named "{target.rule}"'
            help_none = f"give the rule that is meant this name, or correct {self._field}"
            help_many = "give them different names"
        else:
            found = [index for index in range(len(rules)) if _backends(canary, obj, index).has("stable")]
            what = f'with the stable Service "{canary.stable_service}" in its backendRefs'
            help_none = "add the Service to the rule that is meant"
            help_many = f"give the one that is meant a name, and put it in {self._field}[name={target.name}].rule"
        if len(found) == 1:
            return found[0], ""
        if not found:
            return None, f"spec.rules has no rule {what}; {help_none}"
        return None, f"spec.rules has {len(found)} rules {what} ({', '.join(map(str, found))}); {help_many}"


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
    if ref.get("name") == canary.stable_service:
        return "stable"
    if ref.get("name") == canary.canary_service:
        return "canary"
    return f"the Service {ref.get('name')!r}"


# --------------------------------------------------------------------------------------------------------------------
# Whether it is served
# --------------------------------------------------------------------------------------------------------------------


def _served(obj: Mapping[str, Any]) -> tuple[str, bool]:
    """Why the stored version is not known to be served, or nothing; and whether some parent tells of no version at all.

    An entry for a parent that the spec does not name any more is a leftover of a controller that may be gone, and does
    not count.
    """
    meta, spec = mapping(obj, "metadata"), mapping(obj, "spec")
    namespace, generation = meta.get("namespace"), meta.get("generation")
    wanted = [_identity(ref, namespace) for ref in entries(spec, "parentRefs")]
    if not wanted:
        return "spec.parentRefs is empty: no gateway serves this route", False
    answers = [
        (_identity(mapping(entry, "parentRef"), namespace), conditions_of(entry))
        for entry in entries(mapping(obj, "status"), "parents")
    ]
    blind = False
    for parent in wanted:
        mine = [conditions for identity, conditions in answers if identity == parent]
        if not mine:
            return f"{_parent_text(parent)} has not answered yet", False
        for conditions in mine:
            # Linkerd answers for a Service without ever saying for which generation.
            mute = _of_mesh(parent) and not any("observedGeneration" in c for c in conditions.values())
            why = next(filter(None, (untrue(conditions, n, None if mute else generation) for n in _CONDITIONS)), "")
            if why:
                return f"{_parent_text(parent)}: {why}", False
            blind = blind or mute
    return "", blind


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
