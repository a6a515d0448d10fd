"""Release groups: which Rollouts are released in step with each other, and how far one of them has come."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headgate.api.common import Count, Model, Name, ShortName, StepIndex, Time

SELF_RULE = (
    (
        "!has(self.spec.group) || !has(self.spec.group.after) || "
        "!self.spec.group.after.exists(a, a.name == self.metadata.name && !has(a.namespace))"
    ),
    "a Rollout cannot come after itself; remove it from group.after",
)
"""Of the whole Rollout, whose name the group does not see."""


class Predecessor(Model):
    """A member of the group each of whose steps comes before the same step of this Rollout."""

    name: Name
    namespace: ShortName | None = None
    """Where it is, if not in the Rollout's own namespace."""


class ReleaseGroup(Model):
    """Rollouts that name the same group go in lockstep, are promoted together, and are taken back together."""

    name: ShortName
    environment: Name | None = None
    """Without it the group is that of the namespace. With it, it is that of all namespaces that this Environment lists,
    for the Rollouts that name both."""
    after: Annotated[
        list[Predecessor], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    """The members that go first: a step begins when they have finished theirs of the same number."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.environment) || !has(self.after) || self.after.all(a, !has(a.namespace))",
                    "message": "a member in another namespace needs an environment that lists both; name it in "
                    "environment, or remove namespace",
                }
            ]
        }
    }


class GroupVerdict(Model):
    """That an attempt was taken back, for those that are released together with it."""

    member: Annotated[str, Field(max_length=320)]
    """Whose verdict it was, as `namespace/name`."""
    reason: Annotated[str, Field(max_length=64)]
    pod_hash: Annotated[str, Field(max_length=63)]
    attempt: Count
    since: Time
    """When the attempt began."""
    through: Time | None = None
    """When it had come through its steps and gates; what began later was not released with it."""
    over: Time
    """When the verdict fell; what began later is not taken back."""


class GroupProgress(Model):
    """What the other members need to know of the attempt under way. It only ever grows within one."""

    group: Annotated[str, Field(max_length=400)]
    """Which group this was said to."""
    finished: StepIndex = 0
    """Steps that are finished, be the next one begun or not."""
    through: Time | None = None
    """Since when all steps are finished and all gates have passed; who begins later is not waited for."""
    voted: bool = False
    """It is ready to be promoted, and nothing but the verdict of another member takes it back any more."""
    taken_back: GroupVerdict | None = None
    """The last attempt that was taken back, be it retried or not."""
