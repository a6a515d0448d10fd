"""Traffic by an AWS Application Load Balancer: sets the weights in the action that an Ingress says in an annotation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headgate.api.rollout import Canary
from headgate.decide.managed import ManagedRoute
from headgate.traffic.backends import Backend, Backends, backend, shared_out
from headgate.traffic.parts import Path, entries, ingress_services, mapping, pointer
from headgate.traffic.protocol import JSONPatch, Resource, Target
from headgate.traffic.weighted import Place, WeightedRouter, service_role

PREFIX = "alb.ingress.kubernetes.io"
USED = "use-annotation"
"""The name of a backend's port by which the controller looks for an action of the backend's name."""
GREATEST = 999
"""Of a target group's weights."""
LIST = ("forwardConfig", "targetGroups")
"""Where an action has its target groups."""
_JSON = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\n\r]*")


class ALBRouter(WeightedRouter):
    """An Ingress of the AWS Load Balancer Controller, one of whose actions forwards to the two Services and no other.

    The controller reports nothing about annotations: what is stored counts as taken.
    """

    key = "alb"
    resource = Resource(group="networking.k8s.io", version="v1", plural="ingresses", kind="Ingress")
    field = "spec.strategy.canary.trafficRouting.alb.ingress"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """The action, by its name."""
        alb = canary.routing.alb
        return () if alb is None else (Target(alb.ingress, alb.root_service or canary.stable_service),)

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """By the name of the action, which the Ingress has once."""
        del canary, obj
        return f"{self.resource.kind}/{target.name}/{target.rule}"

    def backends(self, place: Place) -> Backends | str:
        """The target groups of the action."""
        field, text = f'metadata.annotations["{_annotation(place)}"]', _text(place)
        if text is None:
            return f"{field} is not there; set it to an action that forwards to the two Services"
        try:
            action = _read(text)
        except (ValueError, RecursionError):
            return f"{field} is not the JSON of one action, each of its keys once; correct it"
        if action.get("type") != "forward":
            return f'{field}.type is not "forward"; set it, or name another action'
        groups = list(entries(mapping(action, LIST[0].lower()), LIST[1].lower()))
        listed = [_entry(place, index, group) for index, group in enumerate(groups)]
        bare = next((index for index, group in enumerate(groups) if group.get("serviceport") is None), None)
        flaw = ""
        if _user(place) is None:
            flaw = (
                f'spec.rules has no path whose backend is the service "{place.target.rule}" with the port name '
                f'"{USED}", so that nothing is forwarded by its action; add one'
            )
        elif action.get("targetgrouparn") is not None:
            flaw = f"{field}.targetGroupARN stands beside forwardConfig, and the controller takes one; remove it"
        elif bare is not None:
            flaw = f"{field}.{'.'.join(LIST)}[{bare}].servicePort is not there; set it to the port of the Service"
        return Backends((field, *LIST), listed, lone_takes_all=True, flaw=flaw)

    def cannot(self, route: ManagedRoute) -> str:
        """It would take a rule of its own in `spec.rules`, in an order that the ALB has its own rules for."""
        del route
        return "cannot be made of an ALB's Ingress, in which only weights are written; use setWeight, or another router"

    def patch(self, place: Place, found: Backends, weight: int) -> JSONPatch:
        """A test that the action is used still, and its text, in which nothing but the weights differs.

        The text itself is not tested: the API server compares texts as they are escaped, and `<` in two ways differs.
        The version of the object, which every write carries, says that it is the text that was read.
        """
        text, user = _text(place) or "", pointer(_user(place) or ())
        for entry in found.entries:
            text = _with((*LIST, entry.index, "weight"), shared_out(place.canary, weight)[entry.role], text)
        return [
            {"op": "test", "path": f"{user}/name", "value": place.target.rule},
            {"op": "test", "path": f"{user}/port/name", "value": USED},
            {"op": "replace", "path": pointer(("metadata", "annotations", _annotation(place))), "value": text},
        ]


def _annotation(place: Place) -> str:
    alb = place.canary.routing.alb
    prefix = alb.annotation_prefix if alb is not None else None
    return f"{prefix or PREFIX}/actions.{place.target.rule}"


def _text(place: Place) -> str | None:
    text = mapping(mapping(place.obj, "metadata"), "annotations").get(_annotation(place))
    return text if isinstance(text, str) else None


def _entry(place: Place, index: int, group: Mapping[str, Any]) -> Backend:
    """A target group; one without a weight is none of the controller's, unless it is alone."""
    named = group.get("targetgrouparn") is None
    role = service_role(place.canary, group.get("servicename")) if named else "a target group by its ARN"
    found = backend(index, role, group, default=0, name=group.get("servicename"))
    sound = found.sound and group.get("weight") is not None and found.weight <= GREATEST
    return replace(found, sound=sound)


def _user(place: Place) -> Path | None:
    """Where the first backend stands that uses the action; None if none does."""
    wanted = {"name": place.target.rule, "port": {"name": USED}}
    return next((where for where, found in ingress_services(place.obj) if found == wanted), None)


def _read(text: str) -> dict[str, Any]:
    """The action, its keys in small letters: the controller takes them in any.

    Raises:
        ValueError: if it is none, or says something twice.
        RecursionError: if it is nested too deep to be one.
    """
    found = json.loads(text, object_pairs_hook=_folded, parse_constant=_refused)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004  of the text
    return found


def _folded(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = {key.lower(): value for key, value in pairs}
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _with(place: Sequence[str | int], number: int, text: str) -> str:
    """The text with this number at a place in it, all else as it was; an object that lacks the last key gets it."""
    start, end = _past(text, 0), 0
    for key in place:
        inside = start + 1
        sought = key.lower() if isinstance(key, str) else key
        found = next(((a, b) for name, a, b in _members(text, start) if name == sought), None)
        if found is None:
            return f'{text[:inside]}"{key}":{number},{text[inside:]}'
        start, end = found
    return f"{text[:start]}{number}{text[end:]}"


def _members(text: str, at: int) -> Iterator[tuple[str | int, int, int]]:
    """Of the object or list that begins there: each key in small letters, or index, and where its value stands."""
    named, index = text[at] == "{", 0
    at = _past(text, at + 1)
    while text[at] not in "]}":
        key: str | int = index
        if named:
            key, at = _JSON.raw_decode(text, at)
            at = _past(text, _past(text, at) + 1)
        end = _JSON.raw_decode(text, at)[1]
        yield key.lower() if isinstance(key, str) else key, at, end
        at = _past(text, end)
        at, index = _past(text, at + (text[at] == ",")), index + 1


def _past(text: str, at: int) -> int:
    """Where the next sign stands that is no blank."""
    found = _BLANK.match(text, at)
    return found.end() if found else at
