"""The cases: one property of one kind, and what becomes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Literal

from hack.lib.hgprove.generated.bases import BASES
from hack.lib.hgprove.generated.poison import POISONS
from hack.lib.hgprove.generated.schema import (
    GIVEN,
    Json,
    Place,
    Property,
    least,
    places,
    properties,
    value_at,
    with_value,
    without,
)
from hack.lib.hgprove.generated.values import Value, boundaries, wrong

Way = Literal["set", "removed", "boundary", "wrong"]
WAYS: tuple[Way, ...] = ("set", "removed", "boundary", "wrong")
SAMPLE = "sample"
"""The name that a base gets while the cases are made; each case is built anew for where it is tried."""


@dataclass(frozen=True, slots=True)
class Case:
    """One object to try: a base, and one thing that is done to it."""

    id: str
    about: Property
    way: Way
    base: str
    place: Place
    value: Value | None = None

    @property
    def kind(self) -> str:
        """The kind of the object."""
        return self.about.kind

    @property
    def of_status(self) -> bool:
        """Whether it forges what the operator writes."""
        return self.about.path[0] == "status"

    @property
    def must_be_refused(self) -> bool:
        """Whether the schema can tell that it is wrong."""
        return self.value is not None and bool(self.value.refused)

    def build(self, name: str, version: int) -> Json:
        """The object, for an application of this name."""
        base = BASES[self.kind][self.base](name, version=version)
        if self.way == "set":
            return least(self.kind, base, self.place)
        if self.value is None:
            return without(base, self.place)
        return with_value(base, self.place, self.value.value)

    def names_field(self, message: str) -> bool:
        """Whether a refusal says which field it is about, or the field that holds it."""
        if self.place[0] in GIVEN:
            return bool(message)  # Kubernetes' own words.
        words = [str(key) for key in self.place if isinstance(key, str)]
        return any(word in message for word in [*words[-2:], "noSuchField"])


@cache
def schema_cases() -> tuple[Case, ...]:
    """All cases that follow from the schemas."""
    return tuple(case for found in properties() for case in _cases(found))


@cache
def all_cases() -> tuple[Case, ...]:
    """These, and what no schema describes: templates, names, labels, annotations and finalizers that are poison."""
    return (*schema_cases(), *(_poison(kind, base, place, value) for kind, base, place, value in POISONS))


def in_mixed_order(cases: Iterable[Case]) -> list[Case]:
    """The same order each time, in which neighbours have nothing in common: any slice is a sample of all."""
    return sorted(cases, key=lambda case: sha256(case.id.encode()).digest())


def _poison(kind: str, base: str, place: Place, value: Value) -> Case:
    path = tuple(str(key) for key in place)
    found = Property(kind, path, {}, required=False)
    return Case(f"{found.name}/{value.what}", found, "wrong", base, place, value)


def _cases(found: Property) -> Iterator[Case]:
    base, place, present = _example(found)

    def case(way: Way, value: Value | None = None) -> Case:
        name = f"{found.name}/{value.what}" if value else f"{found.name}/{way}"
        return Case(name, found, way, base, place, value)

    if found.path[0] not in GIVEN:
        yield case("set")
    yield case("removed")
    for value in boundaries(found.schema, present):
        yield case("boundary", value)
    for value in wrong(found.schema, present):
        yield case("wrong", value)


def _example(found: Property) -> tuple[str, Place, Any]:
    """Where one of the bases has a property.

    Raises:
        LookupError: if none has it: the schema has grown, and the bases have not.
    """
    for name, make in BASES[found.kind].items():
        obj = make(SAMPLE, version=1)
        place = next(places(obj, found.path), None)
        if place is not None:
            return name, place, value_at(obj, place)
    raise LookupError(f"no base has {found.name}; put it into one in hack/lib/hgprove/generated/bases.py")


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the schemas a set of cases walks."""

    walked: int
    properties: int
    left: tuple[str, ...]
    """Properties that some way is missing for."""
    ways: Counter[str]


def coverage(cases: tuple[Case, ...]) -> Coverage:
    """Count: a property is walked if it was set, removed, put at each boundary that it has, and made wrong."""
    ways: dict[str, set[str]] = {}
    for case in cases:
        ways.setdefault(case.about.name, set()).add(case.id)
    needed: dict[str, set[str]] = {}
    for case in schema_cases():
        needed.setdefault(case.about.name, set()).add(case.id)
    left = tuple(name for name, ids in needed.items() if not ids <= ways.get(name, set()))
    return Coverage(len(needed) - len(left), len(properties()), left, Counter(case.way for case in cases))
