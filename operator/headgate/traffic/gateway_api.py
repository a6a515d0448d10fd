"""Traffic by the Gateway API: finds the claimed rule of an HTTPRoute, reads its weights and says how to change them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.api.rollout import Canary
from headgate.decide.types import RouteView
from headgate.traffic.protocol import JSONPatch, Resource, Target

GROUP = "gateway.networking.k8s.io"
KIND = "HTTPRoute"
ROUTES_FIELD = "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes"
FULL = 100
DEFAULT_WEIGHT = 1
"""What the Gateway API takes a backend without a weight for."""

_REASON = re.compile(r"[^A-Za-z0-9]")
_CONDITIONS = ("Accepted", "ResolvedRefs")


class GatewayAPIRouter:
    """HTTPRoutes whose claimed rule lists the two Services of the Rollout and no other backend."""

    key = "gatewayAPI"
    resource = Resource(group=GROUP, version="v1", plural="httproutes", kind=KIND)

    def targets(self, canary: Canary) -> Sequence[Target]:
        """One per listed HTTPRoute."""
        gateway = canary.traffic_routing.gateway_api
        return () if gateway is None else tuple(Target(ref.name, ref.rule or "") for ref in gateway.http_routes)

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By the rule's own name, or its index as `#0`: the same for whoever finds the rule, in whatever way.

        A rule that is not found is told apart by the Service that looks for it, so that nobody contends for nothing.
        """
        rule = target.rule
        if not rule:
            index = None if obj is None else _find_rule(canary, obj, target)[0]
            if obj is None or index is None:
                rule = f"?{canary.stable_service}"
            else:
                rule = str(_rules(obj)[index].get("name") or f"#{index}")
        return f"{KIND}/{target.name}/{rule}"

    def read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
        """The rule as it stands; with a problem too it says what share the canary has, as far as that can be seen."""
        if obj is None:
            problem = (
                f'{ROUTES_FIELD}: there is no {KIND} "{target.name}" in this namespace; create it or correct the name'
            )
            return RouteView(self.key, KIND, target.name, target.rule, problem=problem)
        index, problem = _find_rule(canary, obj, target)
        weight = 0
        if index is not None:
            backends = _backends(canary, obj, index)
            weight = _share(backends)
            problem = _problem(canary, backends, index)
        waits = _unserved(obj)
        return RouteView(
            self.key,
            KIND,
            target.name,
            target.rule,
            found=True,
            resource_version=str(_mapping(obj, "metadata").get("resourceVersion", "")),
            problem=f"{KIND} {target.name}: {problem}" if problem else "",
            weight=weight,
            settled=not waits,
            message=waits,
        )

    def set_weight(self, canary: Canary, obj: Mapping[str, Any], target: Target, weight: int) -> JSONPatch:
        """Tests on the names of the two backends, then their weights; nothing else of the route is in the patch.

        Raises:
            ValueError: if the rule cannot be worked with, or the weight is no percentage.
        """
        if not 0 <= weight <= FULL:
            raise ValueError(f"a weight is 0 to {FULL}, not {weight}")
        index, problem = _find_rule(canary, obj, target)
        backends = [] if index is None else _backends(canary, obj, index)
        if index is not None:
            problem = _problem(canary, backends, index, writing=True)
        if problem or index is None:
            raise ValueError(f"{KIND} {target.name}: {problem}")
        wanted = {"stable": FULL - weight, "canary": weight}
        return _patch(index, [(backend, wanted[backend.role]) for backend in backends])

    def hand_back(self, canary: Canary, obj: Mapping[str, Any], target: Target) -> JSONPatch:
        """Take the canary's weight and give it to stable, also in a rule that could not be worked with otherwise."""
        index, _ = _find_rule(canary, obj, target)
        if index is None:
            return []
        backends = _backends(canary, obj, index)
        if not _problem(canary, backends, index, writing=True):
            stable = next(backend for backend in backends if backend.role == "stable")
            if stable.weight > 0 and not _share(backends):
                return []
            return self.set_weight(canary, obj, target, 0)
        freed = [backend for backend in backends if backend.role == "canary" and backend.weight > 0]
        if not freed:
            return []
        changes = [(backend, 0) for backend in freed]
        heir = next((backend for backend in backends if backend.role == "stable"), None)
        if heir is not None:
            changes.append((heir, heir.weight + sum(backend.weight for backend in freed)))
        return _patch(index, changes)


@dataclass(frozen=True, slots=True)
class _Backend:
    """One entry of a rule's `backendRefs`."""

    index: int
    role: str
    """`stable`, `canary`, or what else it is, in words."""
    name: str
    weight: int
    stored: bool
    """The weight stands there and was not assumed."""
    sound: bool
    """The stored weight is a whole number that is not negative."""


# --------------------------------------------------------------------------------------------------------------------
# Finding the rule
# --------------------------------------------------------------------------------------------------------------------


def _find_rule(canary: Canary, obj: Mapping[str, Any], target: Target) -> tuple[int | None, str]:
    """The index of the claimed rule, or None and why there is none."""
    rules = _rules(obj)
    if target.rule:
        found = [index for index, rule in enumerate(rules) if rule.get("name") == target.rule]
        what = f'named "{target.rule}"'
        help_none = f"give the rule that is meant this name, or correct {ROUTES_FIELD}"
        help_many = "give them different names"
    else:
        found = [
            index
            for index in range(len(rules))
            if any(backend.role == "stable" for backend in _backends(canary, obj, index))
        ]
        what = f'with the stable Service "{canary.stable_service}" in its backendRefs'
        help_none = "add the Service to the rule that is meant"
        help_many = f"give the one that is meant a name, and put it in {ROUTES_FIELD}[name={target.name}].rule"
    if len(found) == 1:
        return found[0], ""
    if not found:
        return None, f"spec.rules has no rule {what}; {help_none}"
    return None, f"spec.rules has {len(found)} rules {what} ({', '.join(map(str, found))}); {help_many}"


def _rules(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(_entries(_mapping(obj, "spec"), "rules"))


def _backends(canary: Canary, obj: Mapping[str, Any], rule: int) -> list[_Backend]:
    namespace = _mapping(obj, "metadata").get("namespace")
    found = []
    for index, ref in enumerate(_entries(_rules(obj)[rule], "backendRefs")):
        weight = ref.get("weight")
        sound = weight is None or (isinstance(weight, int) and not isinstance(weight, bool) and weight >= 0)
        found.append(
            _Backend(
                index=index,
                role=_role(canary, ref, namespace),
                name=str(ref.get("name", "")),
                weight=(DEFAULT_WEIGHT if weight is None else weight) if sound else 0,
                stored="weight" in ref,
                sound=sound,
            )
        )
    return found


def _role(canary: Canary, ref: Mapping[str, Any], namespace: Any) -> str:
    kind = ref.get("kind") or "Service"
    if ref.get("group") or kind != "Service":
        return f"the {kind} {ref.get('name')!r}"
    if ref.get("namespace") not in {None, "", namespace}:
        return f"the Service {ref.get('name')!r} of the namespace {ref.get('namespace')!r}"
    if ref.get("name") == canary.stable_service:
        return "stable"
    if ref.get("name") == canary.canary_service:
        return "canary"
    return f"the Service {ref.get('name')!r}"


# --------------------------------------------------------------------------------------------------------------------
# Judging and changing it
# --------------------------------------------------------------------------------------------------------------------


def _problem(canary: Canary, backends: Sequence[_Backend], rule: int, *, writing: bool = False) -> str:
    """Why the rule cannot be worked with, or nothing. What a write of weights would put right is none for `writing`."""
    here = f"spec.rules[{rule}].backendRefs"
    for role, name in (("stable", canary.stable_service), ("canary", canary.canary_service)):
        listed = [backend.index for backend in backends if backend.role == role]
        if not listed:
            how = "add it with weight 0" if role == "canary" else "add it"
            return f'{here} does not list the {role} Service "{name}"; {how}'
        if len(listed) > 1:
            return f'{here} lists the {role} Service "{name}" {len(listed)} times; leave one of them'
    for backend in backends:
        if backend.role not in {"stable", "canary"}:
            return (
                f"{here}[{backend.index}] is {backend.role}; a claimed rule has the two Services "
                f'"{canary.stable_service}" and "{canary.canary_service}" of this namespace and no other backend'
            )
        if not writing and not backend.sound:
            return f"{here}[{backend.index}].weight is not a whole number from 0; set it to one"
    if not writing and not any(backend.weight for backend in backends):
        return (
            f'{here}: every weight is 0, so that no request is answered; set that of "{canary.stable_service}" to 100'
        )
    return ""


def _share(backends: Sequence[_Backend]) -> int:
    """The canary's percentage, rounded up: 0 means none at all."""
    whole = sum(backend.weight for backend in backends)
    part = sum(backend.weight for backend in backends if backend.role == "canary")
    return -(-FULL * part // whole) if whole else 0


def _patch(rule: int, changes: Sequence[tuple[_Backend, int]]) -> JSONPatch:
    tests, writes = [], []
    for backend, weight in changes:
        path = f"/spec/rules/{rule}/backendRefs/{backend.index}"
        tests.append({"op": "test", "path": f"{path}/name", "value": backend.name})
        writes.append({"op": "replace" if backend.stored else "add", "path": f"{path}/weight", "value": weight})
    return tests + writes


# --------------------------------------------------------------------------------------------------------------------
# Whether it is served
# --------------------------------------------------------------------------------------------------------------------


def _unserved(obj: Mapping[str, Any]) -> str:
    """Why the stored version is not known to be served, or nothing.

    An entry for a parent that the spec does not name any more is a leftover of a controller that may be gone, and does
    not count.
    """
    meta, spec = _mapping(obj, "metadata"), _mapping(obj, "spec")
    namespace, generation = meta.get("namespace"), meta.get("generation")
    wanted = [_identity(ref, namespace) for ref in _entries(spec, "parentRefs")]
    if not wanted:
        return "spec.parentRefs is empty: no gateway serves this route"
    entries = [
        (_identity(_mapping(entry, "parentRef"), namespace), entry)
        for entry in _entries(_mapping(obj, "status"), "parents")
    ]
    for parent in wanted:
        answers = [entry for identity, entry in entries if identity == parent]
        if not answers:
            return f"{_parent_text(parent)} has not answered yet"
        for entry in answers:
            why = _unready(entry, generation)
            if why:
                return f"{_parent_text(parent)}: {why}"
    return ""


def _unready(entry: Mapping[str, Any], generation: Any) -> str:
    conditions = {str(condition.get("type")): condition for condition in _entries(entry, "conditions")}
    for name in _CONDITIONS:
        condition = conditions.get(name)
        if condition is None:
            return f"{name} is not reported yet"
        if condition.get("observedGeneration") != generation:
            return f"{name} is reported for another generation than the present {generation}"
        if condition.get("status") != "True":
            # Only the reason is shown: the message is free text of another controller.
            reason = _REASON.sub("", str(condition.get("reason", "")))[:64]
            return f"{name} is not True ({reason or 'NoReason'})"
    return ""


def _identity(ref: Mapping[str, Any], namespace: Any) -> tuple[Any, ...]:
    """A parent reference with the API's defaults in place, so that the two spellings of one parent are equal."""
    return (
        GROUP if ref.get("group") is None else ref["group"],
        ref.get("kind") or "Gateway",
        ref.get("namespace") or namespace,
        ref.get("name"),
        ref.get("sectionName"),
        ref.get("port"),
    )


def _parent_text(parent: tuple[Any, ...]) -> str:
    _, kind, namespace, name, section, port = parent
    extra = (f" section {section}" if section else "") + (f" port {port}" if port else "")
    return f"{kind} {namespace}/{name}{extra}"[:400]


def _mapping(obj: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = obj.get(key)
    return value if isinstance(value, Mapping) else {}


def _entries(obj: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """The list under `key`, index by index; what is no object counts as an empty one."""
    value = obj.get(key)
    for entry in value if isinstance(value, list | tuple) else ():
        yield entry if isinstance(entry, Mapping) else {}
