"""Walks the schemas of the kinds: every property, where an object has it, and the least object that can have it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).resolve().parents[4] / "crds"
ITEM = "[]"
"""Stands in a path for any element of an array."""
GIVEN = ("apiVersion", "kind", "metadata")
"""Properties of the root that Kubernetes itself defines; below `metadata` its own validation holds."""
CHOICES: tuple[tuple[str, ...], ...] = (
    ("template", "workloadRef"),
    ("stableService", "pingPong"),
    ("canary", "blueGreen", "rolling"),
    ("template", "raw"),
    ("setWeight", "setBatch", "pause", "gate", "setCanaryScale", "setHeaderRoute", "setMirrorRoute", "experiment"),
    ("replicas", "weight", "matchTrafficWeight"),
    ("gatewayAPI", "contour", "istio", "traefik", "smi", "apisix", "nginx", "alb", "plugins"),
    ("httpRoutes", "grpcRoutes"),
    ("headerName", "cookieName", "queryName", "path", "method"),
    ("exact", "prefix", "regex"),
    ("max", "min", "equals"),
    ("preferredDuringSchedulingIgnoredDuringExecution", "requiredDuringSchedulingIgnoredDuringExecution"),
)
"""Fields of which one must be there although each is optional by itself; the first one if nothing is asked for."""
TOGETHER: tuple[tuple[str, ...], ...] = (
    ("canaryService", "trafficRouting"),
    ("apiVersion", "kind", "name"),
    ("headerName", "headerValue"),
    ("cookieName", "cookieValue"),
    ("queryName", "queryValue"),
)
"""Optional fields of which the rules want all or none; what the example has of them stays."""
NEEDS: dict[str, tuple[str, ...]] = {"mirror": ("trafficRouting",), "pingPong": ("trafficRouting",)}
"""Optional fields that the rules want beside one that is asked for."""
LEADS = "setBatch"
"""A step that must be among a list's, whatever else is."""

Json = dict[str, Any]
Place = tuple[str | int, ...]
"""Keys and indices from the root of one object to a value."""


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a schema, or the element of an array."""

    kind: str
    path: tuple[str, ...]
    schema: Mapping[str, Any]
    required: bool

    @property
    def name(self) -> str:
        """Kind and path, as people write it: `Rollout:spec.gates[].ref.name`."""
        return f"{self.kind}:{'.'.join(self.path).replace('.' + ITEM, ITEM)}"


@cache
def schemas() -> dict[str, Json]:
    """The schema of each kind."""
    found = {}
    for file in sorted(CRDS.glob("*.yaml")):
        crd = next(o for o in yaml.safe_load_all(file.read_text(encoding="utf-8")) if o)
        found[crd["spec"]["names"]["kind"]] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


@cache
def properties() -> tuple[Property, ...]:
    """Every property of every kind; where unknown fields are preserved the schema ends, and so does the walk."""
    return tuple(p for kind, schema in schemas().items() for p in _walk(kind, (), schema))


def _walk(kind: str, path: tuple[str, ...], schema: Mapping[str, Any]) -> Iterator[Property]:
    required = schema.get("required") or ()
    for name, below in (schema.get("properties") or {}).items():
        yield Property(kind, (*path, name), below, name in required)
        yield from _walk(kind, (*path, name), below)
    for keyword in ("items", "additionalProperties"):
        below = schema.get(keyword)
        if isinstance(below, Mapping):
            yield Property(kind, (*path, ITEM), below, required=False)
            yield from _walk(kind, (*path, ITEM), below)


def places(obj: Any, path: Sequence[str]) -> Iterator[Place]:
    """Where an object has what a path of the schema means."""
    if not path:
        yield ()
        return
    head, rest = path[0], path[1:]
    if head == ITEM and isinstance(obj, list):
        keys: Sequence[str | int] = range(len(obj))
    elif head == ITEM and isinstance(obj, Mapping):
        keys = list(obj)
    else:
        keys = [head] if isinstance(obj, Mapping) and head in obj else []
    for key in keys:
        yield from ((key, *place) for place in places(obj[key], rest))


def value_at(obj: Any, place: Place) -> Any:
    """What stands there."""
    for key in place:
        obj = obj[key]
    return obj


def with_value(obj: Json, place: Place, value: Any) -> Json:
    """A copy with this value there."""
    changed = copy.deepcopy(obj)
    value_at(changed, place[:-1])[place[-1]] = value
    return changed


def without(obj: Json, place: Place) -> Json:
    """A copy without what stands there."""
    changed = copy.deepcopy(obj)
    del value_at(changed, place[:-1])[place[-1]]
    return changed


def least(kind: str, obj: Json, place: Place) -> Json:
    """The object reduced to what must be there, and to what stands at a place."""
    reduced: Json = _least(schemas()[kind], obj, place)
    return reduced


def _least(schema: Mapping[str, Any], value: Any, place: Place) -> Any:
    wanted = place[0] if place else None
    if isinstance(value, Mapping) and schema.get("properties"):
        keep = {*(schema.get("required") or ()), wanted, *(GIVEN if "spec" in schema["properties"] else ())}
        for choice in CHOICES:
            there = [name for name in choice if name in value and name in schema["properties"]]
            if there and not keep.intersection(choice):
                keep.add(there[0])
        keep.update(NEEDS.get(str(wanted), ()))
        keep.update(*(group for group in TOGETHER if value.keys() >= set(group)))
        return {
            name: _least(schema["properties"].get(name, {}), below, place[1:] if name == wanted else ())
            for name, below in value.items()
            if name in keep
        }
    if isinstance(value, list) and value:
        index = wanted if isinstance(wanted, int) else 0
        leads = next((i for i, item in enumerate(value) if isinstance(item, Mapping) and LEADS in item), index)
        return [
            _least(schema.get("items") or {}, value[i], place[1:] if i == wanted else ())
            for i in sorted({leads, index})
        ]
    return value
