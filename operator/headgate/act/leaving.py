"""Takes the operator's name off what it hands back, so that nobody who goes by the owners of fields minds it any more.

Argo CD's rules leave out what the field manager `headgate` owns, and server-side apply asks for `--force-conflicts`:
both would go on for ever.
"""

from __future__ import annotations

from headgate.act.context import Context, Effect, Stale
from headgate.act.kube import Object
from headgate.act.resources import HANDED_BACK
from headgate.api.common import MANAGER, MANAGER_TAKES_BACK
from headgate.decide.types import Disown

NOBODY: list[Object] = [{}]
"""How the API wants a list without owners: an empty one would mean that the sender does not know of owners."""


async def disown(context: Context, action: Disown) -> Effect:
    """Drop the entries of this Rollout from `managedFields`, which the cache does not keep: they are read before."""
    router = context.routers.get(action.router)
    resource = router.resource if router is not None else HANDED_BACK[action.kind]
    obj = await context.kube.get(resource, context.namespace, action.name)
    meta = obj["metadata"]
    if meta.get("resourceVersion") != action.resource_version:
        raise Stale
    verdict = f"{MANAGER_TAKES_BACK}{context.meta.uid}:"
    owners = [
        entry
        for entry in meta.get("managedFields") or ()
        if entry.get("manager") != MANAGER and not str(entry.get("manager")).startswith(verdict)
    ]
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": owners or NOBODY}]
    answer = await context.kube.json_patch(
        resource, context.namespace, action.name, patch, resource_version=action.resource_version
    )
    return Effect(resource, answer)
