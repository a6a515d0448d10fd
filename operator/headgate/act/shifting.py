"""Shifts traffic: the selectors of the two Services, and the weights in routers."""

from __future__ import annotations

from headgate.act.context import Context, Effect, Refusal, manager, unchanged, without_version
from headgate.act.resources import SERVICES
from headgate.api.common import LABEL_REVISION
from headgate.decide.types import SetSelector, SetWeight
from headgate.traffic.parts import escape


async def set_selector(context: Context, action: SetSelector) -> Effect:
    """Point a Service at one revision, or hand it back."""
    pointer = f"/spec/selector/{escape(LABEL_REVISION)}"
    patch = (
        [{"op": "add", "path": pointer, "value": action.pod_hash}]
        if action.pod_hash
        else [{"op": "remove", "path": pointer}]
    )
    obj = await context.kube.json_patch(
        SERVICES,
        context.namespace,
        action.name,
        patch,
        resource_version=action.resource_version,
        manager=manager(action.takes_back),
    )
    return Effect(SERVICES, obj)


async def set_weight(context: Context, action: SetWeight) -> Effect:
    """Set what one claimed place gives to the canary."""
    router, canary = context.routers.get(action.router), context.canary
    target = next((t for t in router.targets(canary) if _same(t, action)), None) if router and canary else None
    if router is None or canary is None or target is None:
        raise Refusal("Invalid", f"{action.kind} {action.name} is not named in the spec any more")
    if not router.resource.served:
        raise Refusal("RouterDisabled", f"the router of {action.name} is not there")  # Nor is an object to be read.
    obj = unchanged(context, router.resource, action.name, action.resource_version)
    try:
        patch = router.set_weight(canary, obj, target, action.weight, action.routes)
    except ValueError as error:
        raise Refusal("Invalid", str(error)) from error
    if not patch:
        return Effect(router.resource, obj)
    answer = await context.kube.json_patch(
        router.resource,
        context.namespace,
        action.name,
        without_version(patch),
        resource_version=action.resource_version,
        manager=manager(action.takes_back),
    )
    return Effect(router.resource, answer)


def _same(target: object, action: SetWeight) -> bool:
    return (getattr(target, "name", ""), getattr(target, "rule", "")) == (action.name, action.rule)
