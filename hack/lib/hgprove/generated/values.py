"""Values for one property: at each boundary of its schema, and wrong in every way that a schema can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headgate.api.common import TIME_PATTERN

MOST = 2**63 - 1
"""What JSON numbers of the API server hold at most."""
LONG = 300
"""Letters where the schema sets no limit."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value and what it is an example of."""

    what: str
    value: Any
    refused: bool | None = None
    """True: the schema must refuse it. None: that depends on what is around it."""


def boundaries(schema: Mapping[str, Any], present: Any) -> Iterator[Value]:
    """Values on the edge of what the schema allows; `present` is a good one."""
    for index, member in enumerate(schema.get("enum") or ()):
        yield Value(f"member-{index}", member)
    kind = schema.get("type")
    if kind in ("integer", "number"):
        yield from _numbers(schema, whole=kind == "integer")
    elif kind == "boolean":
        yield Value("false", value=False)
        yield Value("true", value=True)
    elif kind == "string" and not schema.get("enum"):
        yield from _texts(schema)
    elif kind == "array":
        least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", 20))
        yield Value("min-items", _many(present, least))
        yield Value("max-items", _many(present, most))


def wrong(schema: Mapping[str, Any], present: Any) -> Iterator[Value]:
    """Values that the schema must refuse, and those that are nothing: empty and null."""
    yield from _beyond(schema, present)
    kind = schema.get("type")
    others: Mapping[str, tuple[Any, ...]] = {
        "integer": ("text", 1.5, True, []),
        "number": ("1.0", True, {}),
        "boolean": ("true", 1, []),
        "string": (5, True, ["text"], {}),
        "array": ({}, "text", 7),
        "object": ([], "text", 7),
    }
    for other in others.get(str(kind), ()):
        yield Value(f"type-{type(other).__name__}", other, refused=True)
    if kind == "object" and schema.get("properties"):
        yield Value("unknown-field", {**(present if isinstance(present, Mapping) else {}), "noSuchField": 1})
    empty: Mapping[str, Any] = {"string": "", "array": [], "object": {}}
    if kind in empty:
        yield Value("empty", empty[str(kind)])
    yield Value("null", None)


def _numbers(schema: Mapping[str, Any], *, whole: bool) -> Iterator[Value]:
    least, most = schema.get("minimum"), schema.get("maximum")
    step = 1 if whole else 1e-9
    if least is not None:
        yield Value("minimum", least + step if schema.get("exclusiveMinimum") else least)
    else:
        yield Value("zero", 0)
        yield Value("negative", -1)
        yield Value("least", -MOST if whole else -1e308)
    if most is not None:
        yield Value("maximum", most)
    else:
        yield Value("most", MOST if whole else 1e308)
        yield Value("beyond-32-bit", 2**31 if whole else 5e-324)


def _texts(schema: Mapping[str, Any]) -> Iterator[Value]:
    if schema.get("pattern") == TIME_PATTERN:
        for what, text in _INSTANTS.items():
            yield Value(what, text)
        return
    pattern = str(schema.get("pattern", ""))
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", LONG))
    edges = EDGES[pattern]
    yield Value("min-length", edges.shortest if least or pattern else "")
    yield Value("max-length", edges.of_length(most))
    for index, text in enumerate(edges.examples):
        yield Value(f"edge-{index}", text)


def _beyond(schema: Mapping[str, Any], present: Any) -> Iterator[Value]:
    kind = schema.get("type")
    if kind in ("integer", "number"):
        if "minimum" in schema:
            below = schema["minimum"] if schema.get("exclusiveMinimum") else schema["minimum"] - 1
            yield Value("below-minimum", below, refused=True)
        if "maximum" in schema:
            yield Value("above-maximum", schema["maximum"] + 1, refused=True)
    elif schema.get("enum"):
        yield Value("no-member", "no-such-member", refused=True)
    elif kind == "string":
        yield from _broken_texts(schema)
    elif kind == "array":
        if schema.get("minItems"):
            yield Value("too-few", _many(present, int(schema["minItems"]) - 1), refused=True)
        if "maxItems" in schema:
            yield Value("too-many", _many(present, int(schema["maxItems"]) + 1), refused=True)
        if schema.get("x-kubernetes-list-type") in ("map", "set") and present:
            yield Value("twice-the-same", [present[0], present[0]], refused=True)


def _broken_texts(schema: Mapping[str, Any]) -> Iterator[Value]:
    if schema.get("pattern") == TIME_PATTERN:
        for what, text in _NO_INSTANTS.items():
            yield Value(what, text, refused=True)
        return
    if "maxLength" in schema:
        text = EDGES[str(schema.get("pattern", ""))].of_length(int(schema["maxLength"]))
        # One more of what it ends with.
        yield Value("too-long", text + (text[-2:] if schema.get("pattern") else "x"), refused=True)
    if schema.get("pattern"):
        for index, broken in enumerate(("A_b C", "-a", "a\n", "ä")):
            yield Value(f"no-match-{index}", broken, refused=True)


def _many(present: Any, count: int) -> list[Any]:
    """So many elements like those that are there; names differ, where they have one."""
    made: list[Any] = list(present[:count]) if isinstance(present, list) else []
    pattern = present[-1] if isinstance(present, list) and present else None
    while pattern is not None and len(made) < count:
        number = len(made)
        if isinstance(pattern, Mapping):
            key = next((k for k in ("name", "type", "uid") if k in pattern), None)
            made.append({**pattern, key: f"{pattern[key]}{number}"} if key else dict(pattern))
        else:
            made.append(f"{pattern}{number}" if isinstance(pattern, str) else pattern)
    return made


@dataclass(frozen=True, slots=True)
class _Edges:
    """Texts that just match a pattern."""

    shortest: str
    part: str
    """May be repeated as often as one likes."""
    fill: Mapping[int, str]
    """What makes up a length that is no multiple of the part's."""
    examples: tuple[str, ...]

    def of_length(self, length: int) -> str:
        """A text of exactly this length."""
        whole, rest = divmod(length, len(self.part))
        while rest not in self.fill:
            whole, rest = whole - 1, rest + len(self.part)
        return self.part * whole + self.fill[rest]


_LETTERS = {0: ""}
EDGES: Mapping[str, _Edges] = {
    "": _Edges("x", "x", _LETTERS, ("<script>&\"'`$(x){{x}}\\", "ä \u202e\x1b[31m\n x")),
    r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$": _Edges("a", "a", _LETTERS, ("0", "a--b", "a..b", "a.b-c")),
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": _Edges("a", "a", _LETTERS, ("0", "a--b")),
    r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$": _Edges("a", "a", _LETTERS, ("Z9", "a/b", "a_b.c--d")),
    r"^(\*|(\*\.)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9.])?)$": _Edges(
        "a", "a", _LETTERS, ("*", "*.shop.test", "shop.test.", "a_b-1.c")
    ),
    r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$": _Edges("a", "a", _LETTERS, ("Z9", "x-version", "a_b.c")),
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$": _Edges("", "a", _LETTERS, ("Z9", "a_b.c--d")),
    r"^/\S*$": _Edges("/", "/", _LETTERS, ("/a/b", "/%20?x=1#y")),
    r"^/[-A-Za-z0-9_.~/]*$": _Edges("/", "/", _LETTERS, ("/a/b", "//~_.Z9-")),
    r"^[a-zA-Z][a-zA-Z0-9]*$": _Edges("a", "a", _LETTERS, ("Z9", "namespace", "window")),
    r"^([0-9]{1,6}(ms|s|m|h))+$": _Edges(
        "1s", "999999h", {0: "", 4: "99ms"}, ("0s", "0ms", "1ms", "999999h", "1h1m1s1ms", "1ms1h", "000001s")
    ),
}
"""By pattern. A schema with a pattern that is not here fails the test of the generator."""
_INSTANTS: Mapping[str, str] = {
    "past": "1000-01-01T00:00:00Z",
    "future": "2999-12-31T23:59:59.999999Z",
    "no-day": "2026-02-30T00:00:00Z",
}
"""The last one is a date by its pattern alone."""
_NO_INSTANTS: Mapping[str, str] = {
    "no-instant": "yesterday",
    "year-one": "0001-01-01T00:00:00Z",
    "small-letters": "2026-01-01t00:00:00z",
    "offset": "2026-01-01T00:00:00+23:59",
    "nanoseconds": "2026-01-01T00:00:00.123456789Z",
    "leap-second": "2016-12-31T23:59:60Z",
    "line": "2026-01-01T00:00:00Z\n",
}
