"""Scales the Deployment that a Rollout adopted; nothing else of it is ever written."""

from __future__ import annotations

from headgate.act.context import Context, Effect
from headgate.act.resources import DEPLOYMENTS
from headgate.decide.types import ScaleWorkload


async def scale(context: Context, action: ScaleWorkload) -> Effect:
    """Set the number of pods."""
    patch = [{"op": "add", "path": "/spec/replicas", "value": action.replicas}]
    obj = await context.kube.json_patch(
        DEPLOYMENTS, context.namespace, action.name, patch, resource_version=action.resource_version
    )
    return Effect(DEPLOYMENTS, obj)
