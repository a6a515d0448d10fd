"""Releases a workload in place: says which of its pods may be new, and evicts pods that are to be replaced."""

from __future__ import annotations

import json
from typing import Any

from headgate.act.context import Context, Effect, manager, unchanged
from headgate.act.kube import Object
from headgate.act.resources import DAEMON_SETS, PODS, STATEFUL_SETS
from headgate.api.common import ANNOTATION_HELD, ANNOTATION_TEMPLATE_GENERATION, ANNOTATION_UPDATE_STRATEGY
from headgate.decide.types import EvictPod, HoldTemplate, ReleaseTemplate, SetPartition
from headgate.traffic.parts import pointer

STRATEGY = "/spec/updateStrategy"


async def set_partition(context: Context, action: SetPartition) -> Effect:
    """Set the ordinal from which on pods get the present template; nothing else of the workload is ever written."""
    obj = context.objects.get(STATEFUL_SETS.kind, context.namespace, action.name) or {}
    update = ((obj.get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate")
    # The server fills it in where nobody named it; an older object may be without.
    patch = (
        {"op": "add", "path": f"{STRATEGY}/rollingUpdate/partition", "value": action.partition}
        if isinstance(update, dict)
        else {"op": "add", "path": f"{STRATEGY}/rollingUpdate", "value": {"partition": action.partition}}
    )
    answer = await context.kube.json_patch(
        STATEFUL_SETS,
        context.namespace,
        action.name,
        [patch],
        resource_version=action.resource_version,
        manager=manager(action.takes_back),
    )
    return Effect(STATEFUL_SETS, answer)


async def hold_template(context: Context, action: HoldTemplate) -> Effect:
    """Set the template, if it is to be another one, and what keeps a DaemonSet from giving it to its pods by itself.

    With it goes what the server's count of its changes will be: a change by anybody else shows by another count.

    Raises:
        Stale: if the DaemonSet is not any more what the decision saw, so that the count is not known.
    """
    obj = unchanged(context, DAEMON_SETS, action.name, action.resource_version)
    annotations = obj["metadata"].get("annotations") or {}
    update = (obj.get("spec") or {}).get("updateStrategy") or {}
    noted = int(annotations.get(ANNOTATION_TEMPLATE_GENERATION) or 0) + (action.template is not None)
    patch = [] if action.template is None else [_set("/spec/template", action.template)]
    if ANNOTATION_UPDATE_STRATEGY not in annotations:
        patch.append(_set(_annotation(ANNOTATION_UPDATE_STRATEGY), json.dumps(update, sort_keys=True)))
    if update.get("type") != "OnDelete":
        patch.append(_set(STRATEGY, {"type": "OnDelete"}))
    patch.append(_set(_annotation(ANNOTATION_HELD), str(noted)))
    answer = await context.kube.json_patch(
        DAEMON_SETS,
        context.namespace,
        action.name,
        patch,
        resource_version=action.resource_version,
        manager=manager(action.takes_back),
    )
    return Effect(DAEMON_SETS, answer)


async def release_template(context: Context, action: ReleaseTemplate) -> Effect:
    """Put back the `updateStrategy` that was there before, and take off what was noted; the template stays.

    Raises:
        Stale: if the DaemonSet is not any more what the decision saw.
    """
    obj = unchanged(context, DAEMON_SETS, action.name, action.resource_version)
    annotations = obj["metadata"].get("annotations") or {}
    before = _strategy(annotations.get(ANNOTATION_UPDATE_STRATEGY))
    patch: list[Object] = [_set(STRATEGY, before)] if before else []
    ours = [a for a in (ANNOTATION_HELD, ANNOTATION_UPDATE_STRATEGY) if a in annotations]
    patch += [{"op": "remove", "path": _annotation(a)} for a in ours]
    answer = await context.kube.json_patch(
        DAEMON_SETS, context.namespace, action.name, patch, resource_version=action.resource_version
    )
    return Effect(DAEMON_SETS, answer)


async def evict(context: Context, action: EvictPod) -> Effect:
    """Evict one pod, if it is still this one; PodDisruptionBudgets are the server's to ask."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": action.name, "namespace": context.namespace},
        "deleteOptions": {"preconditions": {"uid": action.uid}},
    }
    await context.kube.create(PODS, context.namespace, body, name=action.name, subresource="eviction")
    return Effect(PODS)


def _set(path: str, value: Any) -> Object:
    return {"op": "add", "path": path, "value": value}


def _annotation(name: str) -> str:
    return pointer(("metadata", "annotations", name))


def _strategy(noted: Any) -> Object:
    """What was noted of it; nothing if somebody has made it unreadable, and the DaemonSet keeps what it has."""
    try:
        found = json.loads(noted)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
