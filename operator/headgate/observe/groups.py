"""Who is in a release group, also of namespaces that one Environment lists; a member that is broken is one still."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from headgate.api.rollout import RolloutSpec
from headgate.decide import group
from headgate.decide.types import GroupView, PeerView
from headgate.observe.reading import Models, Unreadable
from headgate.observe.store import BY_GROUP, Object, Store


def keys(rollout: Mapping[str, Any]) -> Iterable[str]:
    """The key of the group that a raw Rollout names, whatever else of its spec cannot be read; none without one."""
    named = _named(rollout)
    return (group.key(str(rollout["metadata"]["namespace"]), *named),) if named else ()


def _named(rollout: Mapping[str, Any]) -> tuple[str, str] | None:
    """The Environment, which may be empty, and the name."""
    found = rollout.get("group")
    name = found.get("name") if isinstance(found, Mapping) else None
    environment = found.get("environment") if isinstance(found, Mapping) else None
    return (str(environment or ""), name) if isinstance(name, str) and name else None


def _shared(store: Store, environment: str) -> Collection[str] | None:
    """The namespaces that an Environment lists; None if there is none."""
    obj = store.get("Environment", "", environment)
    spec = obj.get("spec") if obj is not None else None
    listed = spec.get("namespaces") if isinstance(spec, Mapping) else None
    return {str(n) for n in listed} if isinstance(listed, list) else None


def members(store: Store, rollout: Object) -> list[Object]:
    """The raw Rollouts of its group, itself among them; none if the Environment does not list its namespace.

    Whoever else names the same Environment without being listed by it is nobody's peer: he can neither hold, abort nor
    wake anybody.
    """
    named = _named(rollout)
    if named is None:
        return []
    found = store.by("Rollout", BY_GROUP, *keys(rollout))
    if not named[0]:
        return found
    shared = _shared(store, named[0]) or ()
    if rollout["metadata"]["namespace"] not in shared:
        return []
    return [o for o in found if o["metadata"]["namespace"] in shared]


def view(store: Store, models: Models, rollout: Object, spec: RolloutSpec) -> GroupView | None:
    """The group of a Rollout as its decisions see it; None if it is in none."""
    if spec.group is None:
        return None
    namespace, environment = str(rollout["metadata"]["namespace"]), spec.group.environment
    if environment is not None:
        shared = _shared(store, environment)
        if shared is None:
            text = f'there is no Environment "{environment}" that this operator sees; let an admin create it'
            return GroupView(problem=f"spec.group.environment: {text}, or remove the field")
        if namespace not in shared:
            text = f'the Environment "{environment}" does not list the namespace {namespace}; let an admin add it'
            return GroupView(problem=f"spec.group.environment: {text}, or remove the field")
    mine, named = rollout["metadata"]["uid"], group.key_of(namespace, spec.group)
    others = [o for o in members(store, rollout) if o["metadata"]["uid"] != mine]
    return GroupView(tuple(_peer(models, o, named) for o in others))


def _peer(models: Models, rollout: Object, named: str) -> PeerView:
    metadata = rollout["metadata"]
    namespace, name = str(metadata["namespace"]), str(metadata["name"])
    spec, _ = models.spec(rollout)
    try:
        seen = group.peer(namespace, name, spec, models.status(rollout), named)
    except Unreadable as error:
        # One that is on its way out is not waited for, whatever it says.
        return PeerView(namespace, name, broken="" if metadata.get("deletionTimestamp") else str(error))
    return group.leaving(seen) if metadata.get("deletionTimestamp") else seen
