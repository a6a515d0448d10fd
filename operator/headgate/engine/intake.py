"""Takes what is heard of objects into the cache and marks the Rollouts dirty that it concerns. Never waits.

The only door between watching and deciding: it knows nothing of who watches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from headgate.api.common import LABEL_ROLLOUT
from headgate.decide.group import MOST_MEMBERS
from headgate.engine.cache import Cache
from headgate.engine.queue import Key, WorkQueue
from headgate.observe import groups
from headgate.observe.references import EVERY, SHARED, References
from headgate.observe.store import BY_GROUP, BY_NAMESPACE, BY_REFERENCE, BY_ROLLOUT, BY_SERVICE, owner, reference
from headgate.telemetry.logs import logger

log = logger(__name__)
Object = dict[str, Any]
EventType = Literal["ADDED", "MODIFIED", "DELETED"] | None
CHATTY = frozenset({"ReplicaSet", "EndpointSlice", "Deployment", "StatefulSet", "DaemonSet", "PodDisruptionBudget"})
"""Kinds whose changes come in bursts while pods come and go."""
BURST_SECONDS = 0.1
"""A burst is looked at once, this long after it began."""
BELONGING = ("ReplicaSet", "ControllerRevision", "RolloutAction")


def rollout_of(kind: str, obj: Mapping[str, Any]) -> Key | None:
    """The Rollout that a ReplicaSet, ControllerRevision or RolloutAction belongs to."""
    meta = obj["metadata"]
    if kind == "RolloutAction":
        name = (obj.get("spec") or {}).get("rollout")
    else:
        name = (meta.get("labels") or {}).get(LABEL_ROLLOUT)
    if not name and kind == "ReplicaSet":
        # A foreign one that stands where one of ours should be; it was read because of that.
        name = meta["name"].rpartition("-")[0]
    return Key(meta["namespace"], str(name)) if name else None


def _spec_of(obj: Mapping[str, Any]) -> tuple[Any, Any]:
    """Whose spec it is, and the how many-th: the server counts its changes."""
    meta = obj.get("metadata") or {}
    return meta.get("uid"), meta.get("generation")


def build_indexes(cache: Cache, references: References) -> None:
    """Give a fresh cache the indexes that observing and `Intake` look things up by."""

    def belonging(kind: str) -> Callable[[Object], Iterable[str]]:
        def index(obj: Object) -> Iterable[str]:
            key = rollout_of(kind, obj)
            return (owner(*key),) if key else ()

        return index

    for kind in BELONGING:
        cache.index(kind, BY_ROLLOUT, belonging(kind))
    cache.index("EndpointSlice", BY_SERVICE, lambda o: (owner(o["metadata"]["namespace"], o["service"]),))
    cache.index("PodDisruptionBudget", BY_NAMESPACE, lambda o: (str(o["metadata"]["namespace"]),))
    cache.index("Rollout", BY_REFERENCE, lambda o: sorted(references.of(o)))
    cache.index("Rollout", BY_GROUP, groups.keys)


class Intake:
    """Cache and queue behind one door."""

    def __init__(
        self,
        cache: Cache,
        queue: WorkQueue,
        references: References,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._references = references
        self._monotonic = monotonic
        self.relisted: dict[str, float] = {}
        """Kinds that were listed anew by the watch, and when that was last noticed; a sweep takes them."""

    def event(self, kind: str, type_: EventType, obj: Object) -> None:
        """Take a watch event."""
        meta = obj.get("metadata") or {}
        namespace, name = str(meta.get("namespace") or ""), str(meta.get("name") or "")
        if type_ == "DELETED":
            self.gone(kind, namespace, name, str(meta.get("uid") or ""))
            return
        self.take(kind, obj)

    def listed(self, kind: str) -> None:
        """Take that a watch has begun anew with a list: what vanished before it is reported by nobody."""
        if self._cache.count(kind):
            self.relisted[kind] = self._monotonic()

    def take(self, kind: str, obj: Object) -> None:
        """Take an object that was listed, read, or answered to a write. One that cannot be taken disturbs no other."""
        try:
            self._take(kind, obj)
        except Exception:
            meta = obj.get("metadata") or {}
            log.exception("an object cannot be kept", kind=kind, namespace=meta.get("namespace"), name=meta.get("name"))

    def _take(self, kind: str, obj: Object) -> None:
        meta = obj.get("metadata") or {}
        namespace, name = str(meta.get("namespace") or ""), str(meta.get("name") or "")
        before = self._cache.get(kind, namespace, name) if kind == "Rollout" else None
        # With another spec it leaves what it referred to, and whoever waited for that is concerned.
        left = self._concerned(kind, before) if before is not None and _spec_of(before) != _spec_of(obj) else set[Key]()
        if self._cache.put(kind, obj):
            concerned = left | self._concerned(kind, self._cache.get(kind, namespace, name))
            self._dirty(concerned, BURST_SECONDS if kind in CHATTY else 0.0)

    def gone(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Take that an object is gone."""
        known = self._cache.get(kind, namespace, name)
        concerned = self._concerned(kind, known)
        if self._cache.remove(kind, namespace, name, uid) is not None:
            self._dirty(concerned)

    def lost(self, kind: str) -> None:
        """Take that a whole kind is not served, for now or for ever."""
        concerned = {key for obj in self._cache.all(kind) for key in self._concerned(kind, obj)}
        self._cache.forget(kind)
        self._dirty(concerned)

    def all_dirty(self) -> None:
        """Mark every Rollout dirty."""
        self._dirty(Key(o["metadata"]["namespace"], o["metadata"]["name"]) for o in self._cache.all("Rollout"))

    def _dirty(self, keys: Iterable[Key], delay: float = 0.0) -> None:
        for key in sorted(keys):
            self._queue.add_after(key, delay)

    def _concerned(self, kind: str, obj: Object | None) -> set[Key]:
        if obj is None:
            return set()
        meta = obj["metadata"]
        if kind == "Rollout":
            # Those that share a reference, too: one may have waited for the other to leave it.
            found = {k for r in self._references.of(obj) for k in self._referring(r) if not r.startswith(SHARED)}
            # And those that are released with it.
            peers = groups.members(self._cache, obj)
            if len(peers) <= MOST_MEMBERS:
                found |= {Key(o["metadata"]["namespace"], o["metadata"]["name"]) for o in peers}
            return found | {Key(meta["namespace"], meta["name"])}
        if kind in BELONGING:
            key = rollout_of(kind, obj)
            return {key} if key and self._cache.get("Rollout", *key) else set()
        if kind == "EndpointSlice":
            return set(self._referring(reference("Service", meta["namespace"], obj["service"])))
        name = EVERY if kind == "PodDisruptionBudget" else meta["name"]
        return set(self._referring(reference(kind, str(meta.get("namespace") or ""), name)))

    def _referring(self, named: str) -> Iterable[Key]:
        for obj in self._cache.by("Rollout", BY_REFERENCE, named):
            yield Key(obj["metadata"]["namespace"], obj["metadata"]["name"])
