"""Releases a workload in place: says which of its pods may be new, and evicts pods that are to be old again."""

from __future__ import annotations

from headgate.act.context import Context, Effect, manager
from headgate.act.resources import PODS, STATEFUL_SETS
from headgate.decide.types import EvictPod, SetPartition


async def set_partition(context: Context, action: SetPartition) -> Effect:
    """Set the ordinal from which on pods get the present template; nothing else of the workload is ever written."""
    obj = context.objects.get(STATEFUL_SETS.kind, context.namespace, action.name) or {}
    update = ((obj.get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate")
    # The server fills it in where nobody named it; an older object may be without.
    patch = (
        {"op": "add", "path": "/spec/updateStrategy/rollingUpdate/partition", "value": action.partition}
        if isinstance(update, dict)
        else {"op": "add", "path": "/spec/updateStrategy/rollingUpdate", "value": {"partition": action.partition}}
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
