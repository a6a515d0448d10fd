"""What a watch is told: the changes of its kind since a version, as its selector sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.simulation.shell.kinds import Where
from tests.simulation.shell.labels import selector
from tests.simulation.shell.store import Change, Object, Store


def too_old(version: int, oldest: int) -> Object:
    """The event that ends a watch from a version that is compacted away."""
    message = f"too old resource version: {version} ({oldest})"
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return {"type": "ERROR", "object": status | {"reason": "Expired", "code": 410}}


def bookmark(place: Where, version: int) -> Object:
    """The event that says how far a watch has come."""
    meta: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
    return {
        "type": "BOOKMARK",
        "object": {"kind": place.kind.kind, "apiVersion": place.kind.api_version, "metadata": meta},
    }


def event_of(change: Change, place: Where, labels: str) -> Object | None:
    """What a watch is told of a change; None if it does not concern it.

    An object whose labels leave the selector is gone as far as this watch can see.
    """
    if change.kind is not place.kind or (place.namespace and change.key[0] != place.namespace):
        return None
    if place.name and change.key[1] != place.name:
        return None
    test = selector(labels)
    was = change.before is not None and test(change.before["metadata"].get("labels") or {})
    is_ = change.type != "DELETED" and test(change.after["metadata"].get("labels") or {})
    if is_:
        return {"type": "MODIFIED" if was else "ADDED", "object": change.after}
    if not was or change.before is None:
        return None
    if change.type == "DELETED":
        return {"type": "DELETED", "object": change.after}
    # As it was when it was last seen, at the version of the change.
    meta = {**change.before["metadata"], "resourceVersion": str(change.version)}
    return {"type": "DELETED", "object": {**change.before, "metadata": meta}}


def events_since(store: Store, place: Where, labels: str, version: int | None) -> Iterator[Object]:
    """Everything that a watch from this version has been told by now; without a version, what is there first."""
    if version is None:
        test = selector(labels)
        for obj in store.all(place.kind, place.namespace):
            if test(obj["metadata"].get("labels") or {}):
                yield {"type": "ADDED", "object": obj}
        return
    if version < store.compacted:
        yield too_old(version, store.compacted)
        return
    for change in store.since(version):
        event = event_of(change, place, labels)
        if event is not None:
            yield event
