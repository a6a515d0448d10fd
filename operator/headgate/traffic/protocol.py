"""What a traffic router must be able to do: weights in, weights read back; it is pure, `act` sends the patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headgate.api.rollout import Canary
from headgate.api.values import dataclass
from headgate.decide.types import RouteView

JSONPatch = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Resource:
    """Where a router keeps its objects in the API."""

    group: str
    version: str
    plural: str
    kind: str


@dataclass(frozen=True, slots=True)
class Target:
    """One claimed place: an object of the router, and a rule in it ("" where there is but one)."""

    name: str
    rule: str = ""


class Router(Protocol):
    """One kind of traffic router."""

    key: str
    """The field under `trafficRouting` that chooses it; where one field has several kinds, a path from there."""
    resource: Resource

    def targets(self, canary: Canary) -> Sequence[Target]:
        """The places that a Rollout claims, in the order of its spec; empty if it does not use this router."""
        ...

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """A stable key for the claimed rule in the namespace: equal keys of two Rollouts are one place."""
        ...

    def read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
        """The place as it stands: weight, problem, and whether the router serves it (`settled_since` left None).

        Where the router reports nothing that could be read back, the view is `settled` and `blind`.
        """
        ...

    def set_weight(self, canary: Canary, obj: Mapping[str, Any], target: Target, weight: int) -> JSONPatch:
        """The patch that gives the canary `weight` and stable the rest of 100, touching nothing else.

        Raises:
            ValueError: if the place cannot be worked with; the message names the field.
        """
        ...

    def hand_back(self, canary: Canary, obj: Mapping[str, Any], target: Target) -> JSONPatch:
        """The patch that leaves everything on stable when the Rollout goes; empty if it is so already."""
        ...
