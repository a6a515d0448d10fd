"""Writes the journal: one patch that replaces the whole status, if the Rollout is still as the decision saw it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.act.kube import Kube, Object
from headgate.act.resources import ROLLOUTS
from headgate.api.rollout import RolloutStatus
from headgate.decide.types import RolloutMeta


async def write(kube: Kube, meta: RolloutMeta, status: RolloutStatus) -> Object:
    """The Rollout as the server answers.

    Raises:
        ApiError: if it was not written, or nobody knows.
    """
    return await write_raw(kube, meta, status.model_dump(mode="json", by_alias=True, exclude_none=True))


async def write_raw(kube: Kube, meta: RolloutMeta, body: Mapping[str, Any]) -> Object:
    """The same for a status of which this operator cannot read every field.

    Raises:
        ApiError: if it was not written, or nobody knows.
    """
    return await kube.json_patch(
        ROLLOUTS,
        meta.namespace,
        meta.name,
        [{"op": "add", "path": "/status", "value": body}],
        resource_version=meta.resource_version,
        subresource="status",
    )
