"""What every action is carried out with: the API, the objects as last known, and for which Rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headgate.act.kube import Kube, Object
from headgate.api.common import LABEL_REVISION, LABEL_ROLLOUT, LABEL_VARIANT, MANAGER_TAKES_BACK
from headgate.api.rollout import Canary
from headgate.api.values import dataclass
from headgate.decide.types import RolloutMeta
from headgate.traffic.protocol import Resource, Router


class Objects(Protocol):
    """Where objects are looked up by name; trimmed, as the decision saw them or newer."""

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """One Rollout, at one moment."""

    kube: Kube
    objects: Objects
    routers: Mapping[str, Router]
    meta: RolloutMeta
    canary: Canary | None
    """What routers work with; None if the strategy has none."""
    now: float

    @property
    def namespace(self) -> str:
        """The only namespace in which anything is written."""
        return self.meta.namespace

    def labels(self, pod_hash: str) -> dict[str, str]:
        """The labels of what belongs to a revision of this Rollout."""
        return {LABEL_ROLLOUT: self.meta.name, LABEL_REVISION: pod_hash}


def pod_labels(labels: Mapping[str, str], variant: str) -> dict[str, str]:
    """The labels of its pods: those of a variant are not the Rollout's, whose autoscaler would count them."""
    return {LABEL_REVISION: labels[LABEL_REVISION], LABEL_VARIANT: variant} if variant else dict(labels)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a request that succeeded changed."""

    resource: Resource
    obj: Object | None = None
    """The object as the server answered; None if it is gone or going."""


def deleted(resource: Resource, answer: Object) -> Effect:
    """What a deletion did: the server answers a Status if the object is gone, the object if a finalizer holds it."""
    return Effect(resource, None if answer.get("kind") == "Status" else answer)


class Refusal(Exception):  # noqa: N818  it is an answer, not a fault
    """The action cannot be tried with the world as it is; no request was sent."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Stale(Exception):  # noqa: N818  it is an answer, not a fault
    """The object is not any more what the decision saw; no request was sent."""


def unchanged(context: Context, resource: Resource, name: str, resource_version: str) -> Object:
    """The object that a decision was taken on.

    Raises:
        Stale: if it is another one by now.
    """
    obj = context.objects.get(resource.kind, context.namespace, name)
    if obj is None or obj["metadata"].get("resourceVersion") != resource_version:
        raise Stale
    return obj


def manager(takes_back: str) -> str:
    """The field manager: the operator's usual one (the server takes the user agent for it), or one of a verdict."""
    return MANAGER_TAKES_BACK + takes_back if takes_back else ""


def without_version(patch: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A patch less what it says about the resourceVersion: that is the caller's."""
    return [p for p in patch if p.get("path") != "/metadata/resourceVersion"]
