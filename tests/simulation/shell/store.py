"""The objects of the cluster: one counter of versions for all, a log of every change, and whoever listens to it.

What is stored is never changed in place, so that a change can be looked at as it was; whoever takes an object out to
change it takes a copy.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from headgate.api.common import ANNOTATION_TEMPLATE_GENERATION
from headgate.api.values import dataclass
from tests.simulation.shell.kinds import BY_NAME, Kind

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
Listener = Callable[["Change"], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One accepted write."""

    version: int
    at: float
    """On the loop's clock."""
    type: ChangeType
    kind: Kind
    actor: str
    before: Object | None
    after: Object
    """Of a deletion: the last state, with the version of the deletion."""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return key_of(self.after)


def key_of(obj: Object) -> Key:
    """Namespace and name."""
    meta = obj["metadata"]
    return meta.get("namespace") or "", meta["name"]


def copied(obj: Object) -> Object:
    """An object of its own with the same content; a good deal faster than `copy.deepcopy`."""
    fresh: Object = orjson.loads(orjson.dumps(obj))
    return fresh


def seconds_of(epoch: float) -> str:
    """A time as `creationTimestamp` has it, in whole seconds."""
    return f"{datetime.fromtimestamp(int(epoch), UTC):%Y-%m-%dT%H:%M:%SZ}"


class Store:
    """All objects."""

    def __init__(self, *, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self._now = now
        self._wall = wall
        self._objects: dict[Kind, dict[Key, Object]] = {}
        self._uids = 0
        self.version = 100
        self.log: list[Change] = []
        self.compacted = 0
        """Changes up to this version cannot be watched any more."""
        self._listeners: dict[Kind, list[Listener]] = {kind: [] for kind in BY_NAME.values()}

    # ---------------------------------------------------------------------------------------------- reading

    def get(self, kind: Kind | str, namespace: str, name: str) -> Object | None:
        """One object, not to be changed."""
        return self._objects.get(_kind(kind), {}).get((namespace, name))

    def all(self, kind: Kind | str, namespace: str = "") -> list[Object]:
        """All objects of a kind (or of one namespace) in the order of their keys."""
        found = self._objects.get(_kind(kind), {})
        return [found[k] for k in sorted(found) if not namespace or k[0] == namespace]

    def since(self, version: int) -> Iterator[Change]:
        """The changes after a version."""
        low, high = 0, len(self.log)
        while low < high:
            middle = (low + high) // 2
            if self.log[middle].version > version:
                high = middle
            else:
                low = middle + 1
        return iter(self.log[low:])

    def compact(self) -> None:
        """Let nobody watch from before now."""
        self.compacted = self.version

    def listen(self, listener: Listener, *kinds: Kind | str) -> None:
        """Tell somebody of each change of these kinds, or of any kind; the first to come is told first."""
        for kind in kinds or BY_NAME.values():
            self._listeners[_kind(kind)].append(listener)

    def leave(self, listener: Listener, *kinds: Kind | str) -> None:
        """Tell it no more."""
        for kind in kinds or BY_NAME.values():
            self._listeners[_kind(kind)].remove(listener)

    # ---------------------------------------------------------------------------------------------- writing

    def add(self, kind: Kind | str, obj: Object, *, actor: str) -> Object:
        """Store a new object; the caller gives it away."""
        of = _kind(kind)
        meta = obj["metadata"]
        self._uids += 1
        meta["uid"] = str(uuid.UUID(int=(0x5EED << 64) + self._uids))
        meta["creationTimestamp"] = seconds_of(self._wall())
        if of.generation:
            meta["generation"] = 1
        obj.setdefault("apiVersion", of.api_version)
        obj.setdefault("kind", of.kind)
        if of.kind == "DaemonSet":
            _count_templates(None, obj)
        self._commit("ADDED", of, None, obj, actor)
        return obj

    def replace(self, kind: Kind | str, obj: Object, *, actor: str, manager: str = "") -> Object:
        """Store another state of an object, if it is another; the caller gives it away."""
        of = _kind(kind)
        before = self._objects[of][key_of(obj)]
        if obj == before:
            return before
        if of.kind == "DaemonSet":
            _count_templates(before, obj)
        if of.kind in ("HTTPRoute", "Service", "StatefulSet", "DaemonSet") and obj["spec"] != before["spec"]:
            # The rules are one field, which is its last writer's; of a Service nothing but one key is ever written.
            obj["metadata"]["managedFields"] = [{"manager": manager or actor, "operation": "Update"}]
        elif of.kind == "Deployment" and obj["spec"].get("replicas") != before["spec"].get("replicas"):
            # Of this one others write other fields.
            others = [m for m in obj["metadata"].get("managedFields") or () if m["manager"] != (manager or actor)]
            obj["metadata"]["managedFields"] = [*others, {"manager": manager or actor, "operation": "Update"}]
        if obj["metadata"].get("managedFields") == [{}]:
            del obj["metadata"]["managedFields"]
        self._commit("MODIFIED", of, before, obj, actor)
        return obj

    def change(self, kind: Kind | str, namespace: str, name: str, by: Callable[[Object], None], *, actor: str) -> None:
        """Change a copy of an object and store it."""
        found = self.get(kind, namespace, name)
        if found is not None:
            fresh = copied(found)
            by(fresh)
            self.replace(kind, fresh, actor=actor)

    def remove(self, kind: Kind | str, obj: Object, *, actor: str) -> Object:
        """Take an object out; gives its last state."""
        of = _kind(kind)
        before = self._objects[of][key_of(obj)]
        last = copied(obj)
        self._commit("DELETED", of, before, last, actor)
        return last

    def _commit(self, type_: ChangeType, kind: Kind, before: Object | None, after: Object, actor: str) -> None:
        self.version += 1
        after["metadata"]["resourceVersion"] = str(self.version)
        found = self._objects.setdefault(kind, {})
        if type_ == "DELETED":
            del found[key_of(after)]
        else:
            found[key_of(after)] = after
        change = Change(self.version, self._now(), type_, kind, actor, before, after)
        self.log.append(change)
        for listener in self._listeners[kind]:
            listener(change)


def _count_templates(before: Object | None, obj: Object) -> None:
    """The server's own count of the changes of a DaemonSet's template, which nobody else can write."""
    count = 1
    if before is not None:
        count = int(before["metadata"]["annotations"][ANNOTATION_TEMPLATE_GENERATION])
        count += obj["spec"]["template"] != before["spec"]["template"]
    meta = obj["metadata"]
    meta["annotations"] = {**(meta.get("annotations") or {}), ANNOTATION_TEMPLATE_GENERATION: str(count)}


def _kind(kind: Kind | str) -> Kind:
    return BY_NAME[kind] if isinstance(kind, str) else kind
