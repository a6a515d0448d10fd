"""What observing needs of a cache: to look things up, nothing else."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

Object = dict[str, Any]

BY_ROLLOUT = "rollout"
"""Index of ReplicaSets, ControllerRevisions and RolloutActions: `namespace/name` of the Rollout that they belong to."""
BY_SERVICE = "service"
"""Index of EndpointSlices: `namespace/name` of the Service."""
BY_NAMESPACE = "namespace"
"""Index of PodDisruptionBudgets: their namespace."""
BY_REFERENCE = "reference"
"""Index of Rollouts: `Kind/namespace/name` of each object that they refer to."""

BY_GROUP = "group"
"""Index of Rollouts: the key of the release group that they name."""


class Store(Protocol):
    """Trimmed objects by kind, namespace and name."""

    @property
    def missing(self) -> Collection[str]:
        """Kinds that the cluster does not serve."""
        ...

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object."""
        ...

    def by(self, kind: str, index: str, value: str) -> list[Object]:
        """The objects under a value of an index."""
        ...


def reference(kind: str, namespace: str, name: str) -> str:
    """How an object is named in `BY_REFERENCE`."""
    return f"{kind}/{namespace}/{name}"


def owner(namespace: str, name: str) -> str:
    """How a Rollout or Service is named in `BY_ROLLOUT` and `BY_SERVICE`."""
    return f"{namespace}/{name}"
