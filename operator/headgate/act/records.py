"""Writes and deletes the ControllerRevisions that pin attempts; `observe/views.plan` reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from headgate.act.context import Context, Effect, deleted
from headgate.act.resources import CONTROLLER_REVISIONS, api_version
from headgate.decide.types import CreatePlan, DeletePlan


async def create(context: Context, action: CreatePlan) -> Effect:
    """Create the record of an attempt. Nothing owns it, so that it is what goes last."""
    body = {
        "apiVersion": api_version(CONTROLLER_REVISIONS),
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": action.name,
            "namespace": context.namespace,
            "labels": context.labels(action.pod_hash),
        },
        "revision": action.attempt,
        "data": {
            "revision": action.revision,
            "podHash": action.pod_hash,
            "attempt": action.attempt,
            "template": action.template,
            **({"copies": [dataclasses.asdict(c) for c in action.copies]} if action.copies else {}),
            "plan": {
                "steps": [_dump(step) for step in action.plan.steps],
                "stepGates": _dump_all(action.plan.step_gates),
                "backgroundGates": _dump_all(action.plan.background_gates),
                **({"sessionAffinity": _dump(action.plan.session)} if action.plan.session is not None else {}),
            },
        },
    }
    return Effect(CONTROLLER_REVISIONS, await context.kube.create(CONTROLLER_REVISIONS, context.namespace, body))


async def delete(context: Context, action: DeletePlan) -> Effect:
    """Delete a record."""
    answer = await context.kube.delete(
        CONTROLLER_REVISIONS,
        context.namespace,
        action.name,
        uid=action.uid,
        resource_version=action.resource_version,
    )
    return deleted(CONTROLLER_REVISIONS, answer)


def _dump(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _dump_all(models: Mapping[str, BaseModel]) -> dict[str, Any]:
    return {name: _dump(model) for name, model in sorted(models.items())}
