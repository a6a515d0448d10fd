"""Writes on Headgate's own kinds: the finalizer of a Rollout, the answer to a RolloutAction."""

from __future__ import annotations

from headgate.act.context import Context, Effect
from headgate.act.resources import ROLLOUT_ACTIONS, ROLLOUTS
from headgate.api.actions import RolloutActionStatus
from headgate.api.common import FINALIZER, to_time
from headgate.decide.types import AnswerAction, SetFinalizer


async def set_finalizer(context: Context, action: SetFinalizer) -> Effect:
    """Add or remove the hand-back finalizer; the resourceVersion makes sure that the others are still those."""
    others = [f for f in context.meta.finalizers if f != FINALIZER]
    wanted = [*others, FINALIZER] if action.present else others
    patch = [{"op": "add", "path": "/metadata/finalizers", "value": wanted}]
    obj = await context.kube.json_patch(
        ROLLOUTS, context.namespace, action.name, patch, resource_version=action.resource_version
    )
    # The last finalizer of a deleted object takes the object with it.
    return Effect(ROLLOUTS, None if context.meta.deleting and not wanted else obj)


async def answer(context: Context, action: AnswerAction) -> Effect:
    """Say what became of a person's act."""
    status = RolloutActionStatus(
        phase="Accepted" if action.accepted else "Refused", message=action.message[:512], at=to_time(context.now)
    )
    patch = [{"op": "add", "path": "/status", "value": status.model_dump(mode="json", by_alias=True)}]
    obj = await context.kube.json_patch(
        ROLLOUT_ACTIONS,
        context.namespace,
        action.name,
        patch,
        resource_version=action.resource_version,
        subresource="status",
    )
    return Effect(ROLLOUT_ACTIONS, obj)
