"""Copies ConfigMaps and Secrets, and deletes the copies; what they hold passes through here and is kept nowhere."""

from __future__ import annotations

from typing import Any

from headgate.act.context import Context, Effect, Stale, deleted
from headgate.act.errors import NotFound
from headgate.act.resources import CONFIG_KINDS, CONTROLLER_REVISIONS, ROLLOUTS, api_version
from headgate.api.common import ANNOTATION_COPY_OF, LABEL_ROLLOUT
from headgate.decide.configuration import copy_name, digest_of
from headgate.decide.types import CreateConfigCopy, DeleteConfigCopy


async def create(context: Context, action: CreateConfigCopy) -> Effect:
    """Read what is to be copied, and create the copy.

    It has two owners, as the ReplicaSet has whose pods read it, so that no deletion policy collects it under them.

    Raises:
        Stale: if it is gone or does not hold any more what the copy's name says.
    """
    resource = CONFIG_KINDS[action.kind]
    try:
        source = await context.kube.get(resource, context.namespace, action.source)
    except NotFound as error:
        raise Stale from error
    if copy_name(context.meta, action.kind, action.source, digest_of(source)) != action.name:
        raise Stale
    body: dict[str, Any] = {
        "apiVersion": api_version(resource),
        "kind": resource.kind,
        "metadata": {
            "name": action.name,
            "namespace": context.namespace,
            # Not the label of a revision: others may use the same copy.
            "labels": {LABEL_ROLLOUT: context.meta.name},
            "annotations": {ANNOTATION_COPY_OF: action.source},
            "ownerReferences": [
                {
                    "apiVersion": api_version(ROLLOUTS),
                    "kind": ROLLOUTS.kind,
                    "name": context.meta.name,
                    "uid": context.meta.uid,
                },
                {
                    "apiVersion": api_version(CONTROLLER_REVISIONS),
                    "kind": CONTROLLER_REVISIONS.kind,
                    "name": action.anchor_name,
                    "uid": action.anchor_uid,
                },
            ],
        },
        "immutable": True,
        **{part: source[part] for part in ("type", "data", "binaryData") if part in source},
    }
    return Effect(resource, await context.kube.create(resource, context.namespace, body))


async def delete(context: Context, action: DeleteConfigCopy) -> Effect:
    """Delete a copy."""
    resource = CONFIG_KINDS[action.kind]
    answer = await context.kube.delete(
        resource, context.namespace, action.name, uid=action.uid, resource_version=action.resource_version
    )
    return deleted(resource, answer)
