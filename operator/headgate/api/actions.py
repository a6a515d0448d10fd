"""`RolloutAction`: one act of a person or pipeline on one revision and attempt; created, never changed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headgate.api.common import GROUP, VERSION, Model, Time
from headgate.api.resource import PrinterColumn, Resource

Verb = Literal["promote", "pause", "resume", "abort", "retry", "undo", "approve", "override", "hotfix", "restart"]
"""promote: end the pause at the current step. override: go on past a gate that is held. retry: try a rejected revision
again. undo: go back to an older revision. approve: for approval steps. hotfix: wait at no pause, and go straight to the
weights that are judged. restart: replace the pods of the stable version that were made before."""


class RolloutActionSpec(Model):
    """Who does what to which revision and attempt, because of what."""

    rollout: Annotated[str, Field(min_length=1, max_length=40)]
    verb: Verb
    revision: Annotated[str, Field(min_length=1, max_length=63)]
    """The pod hash that the person saw as current; a newer one makes this action stale."""
    attempt: Annotated[int, Field(ge=1)]
    author: Annotated[str, Field(min_length=1, max_length=253)]
    """The user name; an admission policy proves that it is the one who creates this object."""
    reason: Annotated[str, Field(max_length=512)] = ""
    to_revision: Annotated[str, Field(max_length=63)] | None = None
    """undo: the pod hash to go back to; without it, the revision that was stable before."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {"rule": "self == oldSelf", "message": "a RolloutAction is never changed; create a new one"},
                {
                    "rule": "self.verb == 'undo' || !has(self.toRevision)",
                    "message": "toRevision belongs to the verb undo",
                },
                {
                    "rule": "!(self.verb in ['override', 'hotfix']) || (has(self.reason) && self.reason.size() > 0)",
                    "message": "an override and a hotfix need a reason",
                },
            ]
        }
    }


class RolloutActionStatus(Model):
    """What became of it."""

    phase: Literal["Accepted", "Refused"]
    message: Annotated[str, Field(max_length=512)]
    at: Time


ROLLOUT_ACTION = Resource(
    group=GROUP,
    version=VERSION,
    kind="RolloutAction",
    plural="rolloutactions",
    singular="rolloutaction",
    short_names=("hra",),
    categories=("headgate",),
    scope="Namespaced",
    spec_model=RolloutActionSpec,
    status_model=RolloutActionStatus,
    printer_columns=(
        PrinterColumn("Rollout", "string", ".spec.rollout"),
        PrinterColumn("Verb", "string", ".spec.verb"),
        PrinterColumn("Revision", "string", ".spec.revision"),
        PrinterColumn("Author", "string", ".spec.author"),
        PrinterColumn("Phase", "string", ".status.phase"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
        PrinterColumn("Message", "string", ".status.message"),
    ),
)
