"""Finds in a structural schema what the API server would refuse, or what would not work as it reads."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from headgate.api.structural import INT_OR_STRING, LIST_TYPE, MAP_KEYS, PRESERVE, RULES, Schema

__all__ = ["problems", "re2_problem", "value_problems"]

SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}
RULE_KEYS: Final = frozenset({"rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf"})

NOT_RE2: Final = (
    (re.compile(r"\(\?<?[=!]"), "looks ahead or behind"),
    (re.compile(r"\(\?>"), "has an atomic group"),
    (re.compile(r"\(\?\("), "has a conditional group"),
    (re.compile(r"\(\?#"), "has a comment"),
    (re.compile(r"\(\?P=|\\[1-9]"), "refers back to a group"),
    (re.compile(r"\\[Zu]"), "uses an escape that Go does not know"),
    (re.compile(r"[*+?}]\+"), "has a possessive quantifier"),
)
MOST_REPEATS: Final = 1000
"""RE2 refuses a counted repetition above this."""


def problems(schema: Schema, path: str) -> Iterator[str]:
    """Everything that is wrong below a schema, one sentence each, beginning with the field's path."""
    for where, node in _walk(schema, path):
        for check in CHECKS:
            for problem in check(node):
                yield f"{where}{problem}" if problem[0] in ".[{" else f"{where}: {problem}"


def _walk(node: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, node
    for name, field in node.get("properties", {}).items():
        yield from _walk(field, f"{path}.{name}")
    if "items" in node:
        yield from _walk(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from _walk(node["additionalProperties"], f"{path}{{}}")


def _list_types(node: Schema) -> Iterator[str]:
    """A list of kind map has keys that are always there; a list of kind set holds scalars."""
    kind = node.get(LIST_TYPE, "atomic")
    items = node.get("items", {})
    if kind not in {"atomic", "set", "map"}:
        yield f"{LIST_TYPE} {kind!r} is none of atomic, set, map"
    if kind == "set" and items.get("type") not in SCALARS:
        yield "a list of type set holds scalars only"
    if kind == "map" and not node.get(MAP_KEYS):
        yield f"a list of type map names its keys in {MAP_KEYS}"
    if kind != "map" and MAP_KEYS in node:
        yield f"{MAP_KEYS} is for lists of type map"
    for key in node.get(MAP_KEYS, []) if kind == "map" else []:
        field = items.get("properties", {}).get(key)
        if field is None or field.get("type") not in SCALARS:
            yield f"the list-map key {key!r} is not a scalar field of the items"
        elif key not in items.get("required", []) and "default" not in field:
            yield f"the list-map key {key!r} must be required or have a default"


def _rules(node: Schema) -> Iterator[str]:
    """A CEL rule has a message, and stands over nothing that can grow without bound."""
    rules = node.get(RULES, [])
    for rule in rules:
        if unknown := sorted(rule.keys() - RULE_KEYS):
            yield f"a rule cannot say {', '.join(unknown)}"
        if not rule.get("rule"):
            yield "a rule without an expression"
        elif not (rule.get("message") or rule.get("messageExpression")):
            yield f"the rule {rule['rule']!r} has no message"
    for where, inner in _walk(node, "") if rules else []:
        if lacking := _unbounded(inner):
            yield f"{where}: needs {lacking}, because a CEL rule above it is charged for the worst case"


def _unbounded(node: Schema) -> str:
    kind = node.get("type")
    if kind == "array" and "maxItems" not in node:
        return "maxItems"
    if "additionalProperties" in node and "maxProperties" not in node:
        return "maxProperties"
    is_free_text = kind == "string" and "enum" not in node
    return "maxLength" if is_free_text and "maxLength" not in node else ""


def _patterns(node: Schema) -> Iterator[str]:
    if "pattern" in node and (problem := re2_problem(node["pattern"])):
        yield f"the pattern {node['pattern']!r} {problem}, which Go's regular expressions cannot"


def _defaults(node: Schema) -> Iterator[str]:
    if "default" in node:
        yield from (f"the default is refused: {problem}" for problem in value_problems(node, node["default"], "value"))


CHECKS: Final[tuple[Callable[[Schema], Iterator[str]], ...]] = (_list_types, _rules, _patterns, _defaults)


def re2_problem(pattern: str) -> str:
    """Why Go's RE2 would not compile a Python pattern; empty if nothing speaks against it."""
    bare = re.sub(r"\\\\", "", pattern)  # A literal backslash hides nothing.
    outside = re.sub(r"(?<!\\)\[\^?\]?(?:\\.|[^\]\\])*\]", "[]", bare)  # In a class, these signs mean themselves.
    for sign, problem in NOT_RE2:
        if sign.search(re.sub(r"\\[^1-9PZu]", "", outside)):
            return problem
    if any(int(count) > MOST_REPEATS for count in re.findall(r"\d+", " ".join(re.findall(r"\{[\d,]+\}", outside)))):
        return f"repeats more than {MOST_REPEATS} times"
    return ""


def value_problems(schema: Schema, value: Any, path: str) -> list[str]:
    """Why the server would refuse a value; an implementation of just what a structural schema can say."""
    found: list[str] = []
    _look_at(schema, value, path, found.append)
    return found


def _look_at(schema: Schema, value: Any, path: str, tell: Callable[[str], None]) -> None:
    if not _is_of_type(schema, value):
        tell(f"{path} is no {schema.get('type', 'integer or string')}")
        return
    if "enum" in schema and value not in schema["enum"]:
        tell(f"{path} is none of {', '.join(map(str, schema['enum']))}")
    if isinstance(value, str):
        _look_at_text(schema, value, path, tell)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _look_at_number(schema, value, path, tell)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            tell(f"{path} has {len(value)} items")
        for index, item in enumerate(value):
            _look_at(schema["items"], item, f"{path}[{index}]", tell)
    elif isinstance(value, dict):
        _look_at_object(schema, value, path, tell)


def _is_of_type(schema: Schema, value: Any) -> bool:
    if INT_OR_STRING in schema:
        return isinstance(value, (int, str)) and not isinstance(value, bool)
    kind = schema.get("type")
    if kind is None:
        return True
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _look_at_text(schema: Schema, value: str, path: str, tell: Callable[[str], None]) -> None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        tell(f"{path} has {len(value)} characters")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        tell(f"{path} does not match {schema['pattern']!r}")


def _look_at_number(schema: Schema, value: float, path: str, tell: Callable[[str], None]) -> None:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        tell(f"{path} is below {low}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        tell(f"{path} is above {high}")


def _look_at_object(schema: Schema, value: dict[str, Any], path: str, tell: Callable[[str], None]) -> None:
    fields = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            tell(f"{path}.{name} is missing")
    for name, inner in value.items():
        if name in fields:
            _look_at(fields[name], inner, f"{path}.{name}", tell)
        elif extra:
            _look_at(extra, inner, f"{path}.{name}", tell)
        elif not schema.get(PRESERVE):
            tell(f"{path}.{name} is not a field")
