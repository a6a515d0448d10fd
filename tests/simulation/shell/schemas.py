"""What the API server does to Headgate's own kinds by their schemas: fields go or come, the object is refused or taken.

Rules in CEL are not evaluated: no test here writes what only they refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from headgate.api import RESOURCES
from headgate.api.crd import crd
from headgate.api.structural import PRESERVE
from headgate.api.structural_checks import value_problems

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of one kind."""

    root: Object

    def admit(self, obj: Object, before: Object) -> str:
        """Prune and fill in the object in place; gives what is wrong with it, empty if nothing is.

        What is as it was stored `before` was admitted then.
        """
        parts = {k: v for k, v in self.root["properties"].items() if k in ("spec", "status")}
        changed = {p: _known(obj[p], before.get(p)) for p in parts if p in obj and obj[p] is not before.get(p)}
        for part, known in changed.items():
            obj[part] = _shaped(parts[part], obj[part], known)
        for key in [k for k in obj if k not in (*parts, "apiVersion", "kind", "metadata")]:
            del obj[key]
        if "spec" not in obj and "spec" in self.root.get("required", ()):
            return "spec: Required value"
        for part, known in changed.items():
            problem = next(iter(value_problems(*_rest(parts[part], obj[part], known), part)), "")
            if problem:
                return problem
        return ""


def _known(value: Any, before: Any) -> frozenset[str]:
    """The fields that are to the byte what they were when they were admitted: most of a status, at each write of it."""
    if not (isinstance(value, dict) and isinstance(before, dict)):
        return frozenset()
    same = [key for key, inner in value.items() if key in before and inner == before[key]]
    return frozenset(key for key in same if orjson.dumps(value[key]) == orjson.dumps(before[key]))


def _rest(schema: Object, value: Any, known: frozenset[str]) -> tuple[Object, Any]:
    """What is still to be looked at, and by which schema."""
    if not known:
        return schema, value
    required = [name for name in schema.get("required", ()) if name not in known]
    return {**schema, "required": required}, {k: v for k, v in value.items() if k not in known}


@cache
def schema_of(kind: str) -> Schema | None:
    """The schema of a kind that has one here."""
    resource = next((r for r in RESOURCES if r.kind == kind), None)
    if resource is None:
        return None
    return Schema(crd(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def _shaped(schema: Object, value: Any, known: frozenset[str] = frozenset()) -> Any:
    if isinstance(value, list) and "items" in schema:
        return [_shaped(schema["items"], v) for v in value]
    if not isinstance(value, dict):
        return value
    properties: Object = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    shaped = {}
    for key, inner in value.items():
        if key in known:
            shaped[key] = inner
        elif key in properties:
            shaped[key] = _shaped(properties[key], inner)
        elif isinstance(others, dict):
            shaped[key] = _shaped(others, inner)
        elif schema.get(PRESERVE):
            shaped[key] = inner
    for key, wanted in properties.items():
        if key not in shaped and "default" in wanted:
            shaped[key] = _shaped(wanted, wanted["default"])
    return shaped
