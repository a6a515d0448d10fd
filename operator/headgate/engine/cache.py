"""The objects as last heard of, whoever told it: watch events, lists, and the answers of the operator's own writes.

Nothing older replaces anything newer, and nothing that is gone comes back: of one uid the greater resourceVersion wins,
and a deleted uid leaves a tombstone. Knows nothing of how objects are watched.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from headgate.engine.trim import trim

Object = dict[str, Any]
Indexer = Callable[[Object], Iterable[str]]

TOMBSTONES = 20_000
TOMBSTONE_SECONDS = 900.0


class Id(NamedTuple):
    """Where an object is."""

    kind: str
    namespace: str
    name: str


def version_of(obj: Mapping[str, Any]) -> int:
    """The resourceVersion as a number; 0 if there is none."""
    found = (obj.get("metadata") or {}).get("resourceVersion")
    try:
        return int(found or 0)
    except ValueError:
        return 0


def _same(one: Object, other: Object) -> bool:
    """Whether two trimmed objects differ in nothing but their version."""
    mine, theirs = one["metadata"], other["metadata"]
    if any(one.get(k) != other.get(k) for k in one.keys() | other.keys() if k != "metadata"):
        return False
    return all(mine.get(k) == theirs.get(k) for k in mine.keys() | theirs.keys() if k != "resourceVersion")


class Cache:
    """Trimmed objects by kind, namespace and name, with secondary indexes."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._indexers: dict[str, dict[str, Indexer]] = {}
        self._indexes: dict[tuple[str, str], dict[str, set[tuple[str, str]]]] = {}
        self._indexed: dict[tuple[str, str, tuple[str, str]], tuple[str, ...]] = {}
        self._tombstones: OrderedDict[str, float] = OrderedDict()
        self._synced: set[str] = set()
        self.missing: set[str] = set()
        """Kinds that the cluster does not serve."""

    # ---------------------------------------------------------------------------------------------- reading

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object."""
        return self._objects.get(kind, {}).get((namespace, name))

    def all(self, kind: str, namespace: str | None = None) -> list[Object]:
        """All objects of a kind, or those of one namespace."""
        found = self._objects.get(kind, {})
        return [o for (space, _), o in found.items() if namespace is None or space == namespace]

    def by(self, kind: str, index: str, value: str) -> list[Object]:
        """The objects that an index function put under a value, in the order of their names."""
        keys = self._indexes.get((kind, index), {}).get(value)
        if keys is None:
            return []
        objects = self._objects[kind]
        return [objects[k] for k in sorted(keys)]

    def count(self, kind: str) -> int:
        """How many objects of a kind there are."""
        return len(self._objects.get(kind, {}))

    # ---------------------------------------------------------------------------------------------- barriers

    def mark_synced(self, kind: str) -> None:
        """Say that a first whole list of a kind is in (or that the cluster does not serve it)."""
        self._synced.add(kind)

    def synced(self, kinds: Iterable[str]) -> bool:
        """Whether the first lists of these kinds are in."""
        return self._synced.issuperset(kinds)

    # ---------------------------------------------------------------------------------------------- writing

    def index(self, kind: str, name: str, function: Indexer) -> None:
        """Keep an index; before the first object of the kind."""
        self._indexers.setdefault(kind, {})[name] = function

    def put(self, kind: str, obj: Object) -> bool:
        """Take an object as read or heard; whether anything that is kept of it changed, its version aside."""
        metadata = obj.get("metadata") or {}
        key = (str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
        uid, version = str(metadata.get("uid") or ""), version_of(obj)
        if uid in self._tombstones:
            return False
        before = self._objects.setdefault(kind, {}).get(key)
        if before is not None:
            # Versions grow over all objects of a kind, so they also tell which of two incarnations is the later.
            if version <= version_of(before):
                return False
            if before["metadata"].get("uid") != uid:
                self._bury(str(before["metadata"].get("uid") or ""))
        same = before is not None and before["metadata"].get("uid") == uid
        kept = trim(kind, obj, before if same else None)
        self._objects[kind][key] = kept
        if before is not None and _same(before, kept):
            return False
        self._reindex(kind, key, kept)
        return True

    def remove(self, kind: str, namespace: str, name: str, uid: str) -> Object | None:
        """Take that this uid is gone; the object if it was here."""
        self._bury(uid)
        key = (namespace, name)
        before = self._objects.get(kind, {}).get(key)
        if before is None or (uid and before["metadata"].get("uid") != uid):
            return None
        del self._objects[kind][key]
        self._reindex(kind, key, None)
        return before

    def forget(self, kind: str) -> list[Object]:
        """Drop all objects of a kind that the server does not know any more.

        Nothing says that they are gone: a server that starts knows no custom kinds for a moment, and then they are back
        as they were. So they leave no tombstones.
        """
        found = self.all(kind)
        for obj in found:
            key = (str(obj["metadata"].get("namespace") or ""), str(obj["metadata"]["name"]))
            del self._objects[kind][key]
            self._reindex(kind, key, None)
        return found

    def missing_from(self, kind: str, listed: Mapping[tuple[str, str], str], version: int, scope: str) -> list[Object]:
        """The objects that a list (name to uid, at a version, of one namespace or "" for all) says are gone.

        What is newer than the list is left alone: it was made or written after the list was taken.
        """
        return [
            obj
            for (namespace, name), obj in self._objects.get(kind, {}).items()
            if (not scope or namespace == scope)
            and listed.get((namespace, name)) != obj["metadata"].get("uid")
            and version_of(obj) <= version
        ]

    def _bury(self, uid: str) -> None:
        if not uid:
            return
        now = self._monotonic()
        self._tombstones[uid] = now
        self._tombstones.move_to_end(uid)
        while self._tombstones:
            oldest, at = next(iter(self._tombstones.items()))
            if len(self._tombstones) <= TOMBSTONES and now - at < TOMBSTONE_SECONDS:
                return
            del self._tombstones[oldest]

    def _reindex(self, kind: str, key: tuple[str, str], obj: Object | None) -> None:
        for name, function in self._indexers.get(kind, {}).items():
            index = self._indexes.setdefault((kind, name), {})
            values = tuple(function(obj)) if obj is not None else ()
            before = self._indexed.pop((kind, name, key), ())
            for value in before:
                if value not in values and value in index:
                    index[value].discard(key)
                    if not index[value]:
                        del index[value]
            for value in values:
                index.setdefault(value, set()).add(key)
            if values:
                self._indexed[kind, name, key] = values
