"""Creates, scales and deletes the ReplicaSets of revisions and variants."""

from __future__ import annotations

from typing import Any

from headgate.act.context import Context, Effect, deleted, manager, pod_labels
from headgate.act.resources import CONTROLLER_REVISIONS, REPLICA_SETS, ROLLOUTS, api_version
from headgate.api.common import (
    ANNOTATION_COLLISION,
    ANNOTATION_COPIES,
    ANNOTATION_MARK,
    ANNOTATION_REVISION,
    LABEL_VARIANT,
)
from headgate.decide.configuration import to_text
from headgate.decide.types import CreateReplicaSet, DeleteReplicaSet, ScaleReplicaSet
from headgate.traffic.parts import escape


async def create(context: Context, action: CreateReplicaSet) -> Effect:
    """Create the ReplicaSet of a revision or a variant.

    It carries no label of the template, so that no Deployment adopts it, and has a second owner beside the Rollout, so
    that no deletion policy collects pods that serve.
    """
    labels = context.labels(action.pod_hash)
    of_pods = pod_labels(labels, action.variant)
    body = {
        "apiVersion": api_version(REPLICA_SETS),
        "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": action.name,
            "namespace": context.namespace,
            "labels": {**labels, LABEL_VARIANT: action.variant} if action.variant else labels,
            "annotations": {
                ANNOTATION_REVISION: action.revision,
                ANNOTATION_COLLISION: str(action.collision),
                **({ANNOTATION_COPIES: to_text(action.copies)} if action.copies else {}),
                **({ANNOTATION_MARK: action.mark} if action.mark else {}),
            },
            "ownerReferences": [
                {
                    "apiVersion": api_version(ROLLOUTS),
                    "kind": ROLLOUTS.kind,
                    "name": context.meta.name,
                    "uid": context.meta.uid,
                    "controller": True,
                },
                {
                    "apiVersion": api_version(CONTROLLER_REVISIONS),
                    "kind": CONTROLLER_REVISIONS.kind,
                    "name": action.anchor_name,
                    "uid": action.anchor_uid,
                },
            ],
        },
        "spec": {
            "replicas": action.replicas,
            "minReadySeconds": action.min_ready_seconds,
            "selector": {"matchLabels": of_pods},
            "template": _labelled(action, of_pods),
        },
    }
    return Effect(REPLICA_SETS, await context.kube.create(REPLICA_SETS, context.namespace, body))


async def scale(context: Context, action: ScaleReplicaSet) -> Effect:
    """Set the number of pods, and what those carry that are still to start."""
    patch: list[dict[str, Any]] = [
        {"op": "add", "path": "/spec/replicas", "value": action.replicas},
        {"op": "add", "path": "/spec/minReadySeconds", "value": action.min_ready_seconds},
    ]
    if action.dress is not None:
        patch += [
            {"op": "add", "path": "/spec/template/metadata", "value": dict(action.dress.metadata)},
            {"op": "add", "path": f"/metadata/annotations/{escape(ANNOTATION_MARK)}", "value": action.dress.mark},
        ]
    obj = await context.kube.json_patch(
        REPLICA_SETS,
        context.namespace,
        action.name,
        patch,
        resource_version=action.resource_version,
        manager=manager(action.takes_back),
    )
    return Effect(REPLICA_SETS, obj)


async def delete(context: Context, action: DeleteReplicaSet) -> Effect:
    """Delete a ReplicaSet."""
    answer = await context.kube.delete(
        REPLICA_SETS, context.namespace, action.name, uid=action.uid, resource_version=action.resource_version
    )
    return deleted(REPLICA_SETS, answer)


def _labelled(action: CreateReplicaSet, labels: dict[str, str]) -> dict[str, Any]:
    template = dict(action.template)
    metadata = {k: v for k, v in (template.get("metadata") or {}).items() if k != "creationTimestamp"}
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    template["metadata"] = metadata
    return template
