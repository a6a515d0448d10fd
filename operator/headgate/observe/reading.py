"""Reads models from raw objects, once for each version of an object, and says in one sentence what cannot be read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from headgate.api.common import Condition
from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import (
    Canary,
    CanaryRouting,
    GatewayAPI,
    RolloutSpec,
    RolloutStatus,
    RouteRef,
    Step,
    Strategy,
)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

REMEMBERED = 4096
DEEPEST = 100
"""Levels of a pod template; what is nested deeper cannot be hashed and sent."""


class Unreadable(Exception):  # noqa: N818  it says what is unreadable, it is not the fault of a caller
    """The journal of a Rollout cannot be read: whatever was decided from it would be a guess."""


class Once(Generic[T]):
    """Remembers what was made of one version of an object; the least used is forgotten."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._known: OrderedDict[Hashable, tuple[Any, T]] = OrderedDict()

    def get(self, key: Hashable, version: Any, make: Callable[[], T]) -> T:
        """What was made of this version of this key, made now if need be."""
        found = self._known.get(key)
        if found is not None and found[0] == version:
            self._known.move_to_end(key)
            return found[1]
        made = make()
        self.put(key, version, made)
        return made

    def put(self, key: Hashable, version: Any, made: T) -> None:
        """Remember what is known already."""
        self._known[key] = (version, made)
        self._known.move_to_end(key)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)

    def last(self, key: Hashable) -> T | None:
        """What was made of the last version that was asked for."""
        found = self._known.get(key)
        return found[1] if found else None

    def drop(self, key: Hashable) -> None:
        """Forget an object."""
        self._known.pop(key, None)


def part(rollout: Mapping[str, Any], name: str) -> Any:
    """The raw spec or status of a Rollout, which the cache keeps as JSON."""
    found = rollout.get(name)
    return orjson.loads(found) if isinstance(found, bytes) else found


def problem_of(error: ValidationError, prefix: str) -> str:
    """The first fault of a model, as a sentence that names the field. Values are left out: they may be secret."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = prefix
    for part in first["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}"
    return f"{field}: {first['msg']}"


class Models:
    """The parsed specs and statuses."""

    def __init__(self) -> None:
        self._specs: Once[tuple[RolloutSpec | None, str]] = Once()
        self._good: Once[RolloutSpec] = Once()
        self._statuses: Once[RolloutStatus] = Once()
        self._gates: Once[tuple[QualityGateSpec | None, str]] = Once()

    def spec(self, rollout: Mapping[str, Any]) -> tuple[RolloutSpec | None, str]:
        """The spec, or None and what is wrong with it."""
        metadata = rollout["metadata"]
        made = self._specs.get(
            metadata["uid"], metadata.get("generation"), lambda: _rollout_spec(part(rollout, "spec"))
        )
        if made[0] is not None and self._good.last(metadata["uid"]) is not made[0]:
            self._good.put(metadata["uid"], None, made[0])
        return made

    def usable_spec(self, rollout: Mapping[str, Any]) -> tuple[RolloutSpec, str]:
        """The spec; if it cannot be read the last good one, or one that says nothing, and what is wrong."""
        found, problem = self.spec(rollout)
        return found or self._good.last(rollout["metadata"]["uid"]) or NOTHING, problem

    def status(self, rollout: Mapping[str, Any]) -> RolloutStatus:
        """The journal.

        Raises:
            Unreadable: if it is there and cannot be read.
        """
        metadata = rollout["metadata"]
        return self._statuses.get(metadata["uid"], metadata.get("resourceVersion"), lambda: _journal(rollout))

    def wrote_status(self, rollout: Mapping[str, Any], status: RolloutStatus) -> None:
        """Remember the status that was just written, under the version that the server answered."""
        metadata = rollout["metadata"]
        self._statuses.put(metadata["uid"], metadata.get("resourceVersion"), status)

    def gate(self, gate: Mapping[str, Any]) -> tuple[QualityGateSpec | None, str]:
        """The spec of a QualityGate, or None and what is wrong with it."""
        metadata = gate["metadata"]
        return self._gates.get(
            metadata["uid"], metadata.get("generation"), lambda: _parse(QualityGateSpec, gate.get("spec"), "spec")
        )

    def drop(self, uid: str) -> None:
        """Forget a Rollout."""
        for known in (self._specs, self._good, self._statuses):
            known.drop(uid)


def _parse(model: type[M], raw: Any, prefix: str) -> tuple[M | None, str]:
    try:
        return model.model_validate(raw or {}), ""
    except ValidationError as error:
        return None, problem_of(error, prefix)


def _rollout_spec(raw: Any) -> tuple[RolloutSpec | None, str]:
    found, problem = _parse(RolloutSpec, raw, "spec")
    if found is not None and _deeper_than(found.template, DEEPEST):
        return None, f"spec.template: is nested more than {DEEPEST} levels deep, as no pod template is"
    return found, problem


def _deeper_than(found: Any, levels: int) -> bool:
    layer = [found]
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return True


def _journal(rollout: Mapping[str, Any]) -> RolloutStatus:
    found, problem = _parse(RolloutStatus, part(rollout, "status"), "status")
    if found is None:
        raise Unreadable(problem)
    return found


def readable_conditions(status: Mapping[str, Any]) -> list[Condition]:
    """The conditions of a status that cannot be read as a whole, as far as they are some."""
    found = [_parse(Condition, raw, "")[0] for raw in status.get("conditions") or ()]
    return [c for c in found if c is not None]


def _nothing() -> RolloutSpec:
    """A spec that wants nothing, to stand beside the sentence that says what is wrong with the real one."""
    routing = CanaryRouting(gateway_api=GatewayAPI(http_routes=[RouteRef(name="unreadable")]))
    canary = Canary(stable_service="unreadable", canary_service="unreadable-2", traffic_routing=routing, steps=[Step()])
    return RolloutSpec(replicas=0, strategy=Strategy(canary=canary))


NOTHING = _nothing()
"""Stands where no spec was ever readable."""
