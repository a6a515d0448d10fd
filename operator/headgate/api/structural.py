"""Translates the JSON schema of a pydantic model into the structural form that the API server accepts.

"Structural" means that every value has one type, known without looking at the value; pydantic says more than that.
The translation is one recursive pass that knows the path of the field at hand: what has no structural form is refused
by that path, and nothing is dropped silently except what has no meaning for the server.
"""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise
from typing import Any, Final, NoReturn

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

__all__ = ["Schema", "SchemaError", "structural"]

Schema = dict[str, Any]
"""A JSON schema, or a part of one."""

RULES: Final = "x-kubernetes-validations"
LIST_TYPE: Final = "x-kubernetes-list-type"
MAP_KEYS: Final = "x-kubernetes-list-map-keys"
PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
EMBEDDED: Final = "x-kubernetes-embedded-resource"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"

ORDER: Final = (
    "description",
    "type",
    INT_OR_STRING,
    "format",
    "enum",
    "default",
    "nullable",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    EMBEDDED,
    PRESERVE,
    LIST_TYPE,
    MAP_KEYS,
    "x-kubernetes-map-type",
    RULES,
    "oneOf",
    "anyOf",
    "allOf",
    "not",
    "required",
    "properties",
    "additionalProperties",
    "items",
)
"""Every keyword that may come out, in the order in which it is written."""

DROPPED: Final = frozenset({"title", "examples", "deprecated", "$defs"})
"""Keywords that the server does not know, or that only make the file longer."""

REFUSED: Final = {
    "prefixItems": "a tuple of fixed length has no structural form; use a model with named fields, or a list",
    "patternProperties": "the keys of a map cannot be constrained by the schema; use a CEL rule",
    "propertyNames": "the keys of a map cannot be constrained by the schema; use a CEL rule",
    "discriminator": "a union of models has no structural form; use optional fields and a rule that one of them is set",
}

FORMATS: Final = frozenset({"double", "float", "int32", "int64"})
"""Formats of numbers. Of a text that has a format the server does not look at the type: it lets a list pass."""

TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}


class SchemaError(Exception):
    """A model says something that a custom resource definition cannot; the message begins with the field's path."""


def structural(model: type[BaseModel], path: str) -> Schema:
    """The structural schema of a model; `path` is where it stands in the object, such as `spec`.

    Raises:
        SchemaError: if a field has no structural form.
    """
    raw = model.model_json_schema(mode="validation", by_alias=True, schema_generator=_WithDocstrings)
    return _Translation(raw.get("$defs", {})).node(raw, path)


def _refuse(path: str, why: str) -> NoReturn:
    raise SchemaError(f"{path}: {why}")


class _WithDocstrings(GenerateJsonSchema):
    """Takes the text below a field as its description.

    pydantic can do this itself (`use_attribute_docstrings`), but then reads the sources at every start of the operator.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        out = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        texts = {name: text for owner in reversed(model.__mro__) for name, text in _field_texts(owner).items()}
        for name, field in model.model_fields.items():
            described = out.get("properties", {}).get(field.alias or name)
            if described is not None and field.description is None and name in texts:
                described["description"] = texts[name]
        return out


@cache
def _field_texts(owner: type) -> dict[str, str]:
    """The strings that stand below the annotated names of a class."""
    if owner is BaseModel or not issubclass(owner, BaseModel):
        return {}
    try:
        source = inspect.getsource(owner)
    except OSError:  # A class that was made by a program has no text.
        return {}
    body = ast.parse(textwrap.dedent(source)).body[0]
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(body.body if isinstance(body, ast.ClassDef) else [])
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


class _Translation:
    """One pass over one model, with the definitions that its references name."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions

    def node(self, raw: Schema, path: str, inside: tuple[str, ...] = (), *, defaults: bool = True) -> Schema:
        """Translate one schema.

        `inside` names the definitions around it, so that recursion shows. `defaults` is false below an atomic list:
        what the server fills in there, a GitOps tool reports as a difference for ever; the read model has the same.
        """
        raw, inside = self._resolve(raw, path, inside)
        for keyword, why in REFUSED.items():
            if keyword in raw:
                _refuse(path, why)

        out: Schema = {key: value for key, value in raw.items() if key not in DROPPED}
        if not defaults or out.get("default", ...) is None:
            out.pop("default", None)
        elif "default" in out:
            out["default"] = _without_nulls(out["default"])
        _const(out)
        _union(out, path)
        _bounds(out, path)
        if out.get("format", "int32") not in FORMATS:
            _refuse(path, f"with the format {out['format']!r} the server takes a list too; use a string with a pattern")

        if "properties" in out:
            self._properties(out, path, inside, defaults=defaults)
        if "additionalProperties" in out:
            self._map(out, path, inside, defaults=defaults)
        if out.get("type") == "array":
            self._list(out, path, inside, defaults=defaults)
        return _finished(out, path)

    def _resolve(self, raw: Schema, path: str, inside: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Inline references, and take X for `X or null`, until neither is left at this level."""
        while True:
            branches = raw.get("anyOf", [])
            values = [branch for branch in branches if branch != {"type": "null"}]
            if "$ref" in raw:
                name = raw["$ref"].removeprefix("#/$defs/")
                if name in inside:
                    _refuse(path, f"{name} contains itself, and a structural schema cannot recurse")
                inside = (*inside, name)
                raw = _merged(self._definitions[name], raw, "$ref")
            elif len(raw.get("allOf", [])) == 1 and "$ref" in raw["allOf"][0]:
                raw = _merged(raw["allOf"][0], raw, "allOf")
            elif len(values) < len(branches):
                raw = _merged(values[0], raw, "anyOf") if len(values) == 1 else {**raw, "anyOf": values}
            elif None in raw.get("enum", []):
                raw = {**raw, "enum": [value for value in raw["enum"] if value is not None]}
            else:
                return raw, inside

    def _properties(self, out: Schema, path: str, inside: tuple[str, ...], *, defaults: bool) -> None:
        for name in out.get("required", []):
            if _is_nullable(out["properties"][name]):
                _refuse(f"{path}.{name}", "required, yet may be null, which the server prunes; give it a default")
        out["properties"] = {
            name: self.node(field, f"{path}.{name}", inside, defaults=defaults)
            for name, field in out["properties"].items()
        }
        # Of a model, additionalProperties only says whether unknown fields are forbidden (pruning does that) or kept.
        if out.pop("additionalProperties", False):
            out[PRESERVE] = True

    def _map(self, out: Schema, path: str, inside: tuple[str, ...], *, defaults: bool) -> None:
        values = out.pop("additionalProperties")
        if values is True or values == {}:
            out[PRESERVE] = True
        elif isinstance(values, dict):
            if _is_nullable(values):
                _refuse(f"{path}{{}}", "the values of a map cannot be null")
            out["additionalProperties"] = self.node(values, f"{path}{{}}", inside, defaults=defaults)

    def _list(self, out: Schema, path: str, inside: tuple[str, ...], *, defaults: bool) -> None:
        if out.pop("uniqueItems", False):
            out[LIST_TYPE] = "set"
        kind = out.setdefault(LIST_TYPE, "atomic")
        items = out.get("items")
        if not items:
            _refuse(path, "a list needs a type for its items")
        if _is_nullable(items):
            _refuse(f"{path}[]", "the items of a list cannot be null")
        out["items"] = self.node(items, f"{path}[]", inside, defaults=defaults and kind != "atomic")


def _merged(inner: Schema, outer: Schema, replaced: str) -> Schema:
    """Put the keywords beside a reference over those of its target; rules of both hold."""
    outer = {key: value for key, value in outer.items() if key != replaced}
    rules = [*inner.get(RULES, []), *outer.get(RULES, [])]
    return {**inner, **outer, **({RULES: rules} if rules else {})}


def _is_nullable(raw: Schema) -> bool:
    return {"type": "null"} in raw.get("anyOf", []) or None in raw.get("enum", []) or raw.get("type") == "null"


def _without_nulls(value: Any) -> Any:
    """Drop the fields that are null: the server prunes them before it compares."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _const(out: Schema) -> None:
    """A constant is an enumeration of one value, and every enumeration has a type."""
    if "const" in out:
        out["enum"] = [out.pop("const")]
    kinds = {TYPES.get(type(value)) for value in out.get("enum", [])}
    if "type" not in out and len(kinds) == 1:
        out["type"] = kinds.pop()


def _union(out: Schema, path: str) -> None:
    """Say `int or string` in the server's own words; let branches pass that only require fields; refuse the rest."""
    branches = out.get("anyOf")
    if branches and {branch.get("type") for branch in branches} == {"integer", "string"}:
        for branch in branches:
            # Bounds of either type may stand beside the union: each applies to values of its type only.
            out |= {key: value for key, value in branch.items() if key not in {"type", "title"}}
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        out[INT_OR_STRING] = True
        return
    for keyword in ("oneOf", "anyOf", "allOf", "not"):
        parts = out.get(keyword, [])
        for part in parts if isinstance(parts, list) else [parts]:
            if _has_a_type(part):
                _refuse(path, "a union of types has no structural form; use optional fields and a rule that one is set")


def _has_a_type(part: Schema) -> bool:
    """Whether a branch says more than the server allows in one: types, defaults and references are for the outside."""
    inner = [*part.get("properties", {}).values()]
    for keyword in ("oneOf", "anyOf", "allOf", "not"):
        parts = part.get(keyword, [])
        inner += parts if isinstance(parts, list) else [parts]
    return bool({"type", "$ref", "default", "description", "items", "const"} & part.keys()) or any(
        _has_a_type(each) for each in inner
    )


def _bounds(out: Schema, path: str) -> None:
    """An exclusive bound is a number to pydantic, and a switch beside the bound to the server."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        limit = out.get(exclusive)
        if limit is None or isinstance(limit, bool):
            continue
        if bound in out:
            _refuse(path, f"{bound} and {exclusive} together; give one of them")
        out[bound], out[exclusive] = limit, True


def _finished(out: Schema, path: str) -> Schema:
    """Order the keywords, after making sure that each is known and that the type is."""
    if unknown := sorted(out.keys() - set(ORDER)):
        _refuse(path, f"{', '.join(unknown)} has no structural form")
    if "type" not in out and INT_OR_STRING not in out:
        if out.keys() - {"description", "default", PRESERVE}:
            _refuse(path, "a type is required")
        out[PRESERVE] = True  # Any value at all.
    if out.get("type") == "null":
        _refuse(path, "a field that can only be null says nothing")
    return {keyword: out[keyword] for keyword in ORDER if keyword in out}
