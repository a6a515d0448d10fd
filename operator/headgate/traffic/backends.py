"""A list of backends with weights, which most routers have in some form: judged, shared out, and changed by a patch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headgate.api.rollout import Canary
from headgate.api.values import dataclass
from headgate.traffic.parts import Path, dotted, pointer
from headgate.traffic.protocol import JSONPatch

FULL = 100
"""Of an entry that is alone, where any weight would do."""
VARIANT = "variant"
"""The role of a Service that has a share of an experiment."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One entry of the list."""

    index: int
    """Where it stands."""
    role: str
    """`stable`, `canary`, `variant`, or what else it is, in words."""
    name: Any
    """What stands under the list's `key`."""
    weight: int
    """What the router makes of the stored weight; 0 where that is no weight at all."""
    stored: bool
    """The weight stands there and was not assumed."""
    sound: bool
    """The stored weight is a whole number that is not negative."""


@dataclass(frozen=True, slots=True)
class Backends:
    """The list of one claimed place."""

    path: Path = ()
    """Where the list stands in the object, e.g. `spec`, `rules`, 1, `backendRefs`."""
    entries: Sequence[Backend] = ()
    key: str = "name"
    """Where an entry has its name, as a pointer from the entry: tested before its weight is written."""
    lone_takes_all: bool = False
    """The router gives every request to an entry that is alone, whatever its weight says."""
    flaw: str = ""
    """What only the router can see to be wrong with the place, in a sentence that names the field."""
    hint: str = ""
    """How a Service is to be written in the list, for whoever is told that it is not there."""

    @property
    def here(self) -> str:
        """The path as people write it: `spec.rules[1].backendRefs`."""
        return dotted(self.path)

    def has(self, role: str) -> bool:
        """Some entry has this role."""
        return any(entry.role == role for entry in self.entries)

    def share(self, total: int) -> int:
        """The canary's part of `total`, rounded up: 0 means none at all."""
        if self.lone_takes_all and len(self.entries) == 1:
            return total if self.has("canary") else 0
        return self.part(total, (entry for entry in self.entries if entry.role == "canary"))

    def part(self, total: int, entries: Iterable[Backend]) -> int:
        """What these entries have of `total`, rounded up."""
        whole = sum(entry.weight for entry in self.entries)
        part = sum(entry.weight for entry in entries)
        return -(-total * part // whole) if whole else 0

    def problem(self, canary: Canary, *, writing: bool = False) -> str:
        """Why the list cannot be worked with, or nothing. What a write of weights puts right is none for `writing`."""
        if self.flaw:
            return self.flaw
        for role, name in (("stable", canary.stable_service), ("canary", canary.canary_service)):
            listed = [entry for entry in self.entries if entry.role == role]
            if not listed:
                how = "add it with weight 0" if role == "canary" else "add it"
                return f'{self.here} does not list the {role} Service "{name}"; {how}{self.hint}'
            if len(listed) > 1:
                return f'{self.here} lists the {role} Service "{name}" {len(listed)} times; leave one of them'
        for entry in self.entries:
            if entry.role not in {"stable", "canary", VARIANT}:
                return (
                    f"{self.here}[{entry.index}] is {entry.role}; a claimed rule has the two Services "
                    f'"{canary.stable_service}" and "{canary.canary_service}" of this namespace and no other backend'
                )
            if not writing and not entry.sound:
                return f"{self.here}[{entry.index}].weight is not a whole number from 0; set it to one"
        if not writing and not any(entry.weight for entry in self.entries):
            return (
                f"{self.here}: every weight is 0, so that no request is answered; "
                f'set that of "{canary.stable_service}" to {canary.total}'
            )
        return ""

    def set_weight(self, canary: Canary, weight: int, apart: int = 0) -> JSONPatch:
        """Tests on the names of the two backends, then their weights; nothing else is in the patch.

        Of the whole, `apart` is what neither of them has.

        Raises:
            ValueError: if the list cannot be worked with, or the weight is no part of the whole.
        """
        within(canary, weight, apart)
        problem = self.problem(canary, writing=True)
        if problem:
            raise ValueError(problem)
        wanted = shared_out(canary, weight, apart)
        patches = [self.written(entry, wanted[entry.role]) for entry in self.entries if entry.role in wanted]
        return [test for test, _ in patches] + [write for _, write in patches]

    def written(self, entry: Backend, weight: int) -> JSONPatch:
        """A test on the name of an entry, and its weight."""
        op, path = "replace" if entry.stored else "add", pointer((*self.path, entry.index, "weight"))
        return [self.tested(entry), {"op": op, "path": path, "value": weight}]

    def tested(self, entry: Backend) -> dict[str, Any]:
        """That an entry is the one that was read."""
        return {"op": "test", "path": f"{pointer((*self.path, entry.index))}/{self.key}", "value": entry.name}


def backend(index: int, role: str, ref: Any, *, default: int, name: Any = None) -> Backend:
    """One entry as the object has it; `default` is what the router takes an entry without a weight for.

    Its `name` is given where it does not stand under `name`.
    """
    weight = ref.get("weight")
    sound = weight is None or whole(weight)
    return Backend(
        index=index,
        role=role,
        name=str(ref.get("name", "")) if name is None else name,
        weight=(default if weight is None else weight) if sound else 0,
        stored="weight" in ref,
        sound=sound,
    )


def shared_out(canary: Canary, weight: int, apart: int = 0) -> dict[str, int]:
    """What each of the two gets, by role, where neither of them has what is `apart`."""
    return {"stable": canary.total - weight - apart, "canary": weight}


def whole(value: Any) -> bool:
    """A whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def within(canary: Canary, weight: int, apart: int = 0) -> None:
    """Refuse what is no weight, or more than is left of the whole beside what is `apart`.

    Raises:
        ValueError: if it is not within 0 and that.
    """
    if not 0 <= weight <= canary.total - apart:
        beside = f" beside shares of {apart}" if apart else ""
        raise ValueError(f"a weight is 0 to {canary.total - apart}{beside}, not {weight}")
