"""Parts of routers' objects, read so that no shape of a foreign object is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headgate.traffic.protocol import Target

Path = tuple[str | int, ...]
"""Keys and indices from an object to what stands in it."""
_REASON = re.compile(r"[^A-Za-z0-9]")


def escape(key: str) -> str:
    """A key as one part of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def pointer(path: Path) -> str:
    """A path as a JSON pointer."""
    return "".join(f"/{escape(str(key))}" for key in path)


def dotted(path: Path) -> str:
    """A path as people write it: `spec.rules[1].backendRefs`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def mapping(obj: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under `key`; what is none counts as an empty one."""
    value = obj.get(key)
    return value if isinstance(value, Mapping) else {}


def entries(obj: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """The list under `key`, index by index; what is no object counts as an empty one."""
    value = obj.get(key)
    for entry in value if isinstance(value, list | tuple) else ():
        yield entry if isinstance(entry, Mapping) else {}


def untrue(conditions: Mapping[str, Mapping[str, Any]], name: str, generation: Any) -> str:
    """Why a condition is not known to be True for this generation, or nothing.

    Only its reason is shown: its message is free text of another controller.
    """
    condition = conditions.get(name)
    if condition is None:
        return f"{name} is not reported yet"
    if condition.get("observedGeneration") != generation:
        return f"{name} is reported for another generation than the present {generation}"
    if condition.get("status") != "True":
        return f"{name} is not True ({reason_of(condition)})"
    return ""


def reason_of(condition: Mapping[str, Any]) -> str:
    """The reason of a condition, as one word: all of it that is no free text."""
    return _REASON.sub("", str(condition.get("reason", "")))[:64] or "NoReason"


def conditions_of(obj: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The list `conditions`, by type."""
    return {str(condition.get("type")): condition for condition in entries(obj, "conditions")}


def rule_claim(kind: str, target: Target, rules: Sequence[Mapping[str, Any]], index: int | None, seeker: str) -> str:
    """The claim on a rule by its own name, or its index as `#0`: the same for whoever finds it, in whatever way.

    A rule that is not found (`index` is None) is told apart by the Service that looks for it, the `seeker`, so that
    nobody contends for nothing.
    """
    found = f"?{seeker}" if index is None else str(rules[index].get("name") or f"#{index}")
    return f"{kind}/{target.name}/{target.rule or found}"


def ingress_services(obj: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The Service of every backend of an Ingress, and where it stands; an empty one where a backend has none."""
    spec = mapping(obj, "spec")
    if "defaultBackend" in spec:
        yield ("spec", "defaultBackend", "service"), mapping(mapping(spec, "defaultBackend"), "service")
    for number, rule in enumerate(entries(spec, "rules")):
        for index, path in enumerate(entries(mapping(rule, "http"), "paths")):
            where = ("spec", "rules", number, "http", "paths", index, "backend", "service")
            yield where, mapping(mapping(path, "backend"), "service")
