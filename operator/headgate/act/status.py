"""Writes the journal: one patch that replaces the whole status, if the Rollout is still as the decision saw it."""

from __future__ import annotations

from headgate.act.kube import Kube, Object
from headgate.act.resources import ROLLOUTS
from headgate.api.rollout import RolloutStatus
from headgate.decide.types import RolloutMeta


async def write(kube: Kube, meta: RolloutMeta, status: RolloutStatus) -> Object:
    """The Rollout as the server answers.

    Raises:
        ApiError: if it was not written, or nobody knows.
    """
    body = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return await kube.json_patch(
        ROLLOUTS,
        meta.namespace,
        meta.name,
        [{"op": "add", "path": "/status", "value": body}],
        resource_version=meta.resource_version,
        subresource="status",
    )
