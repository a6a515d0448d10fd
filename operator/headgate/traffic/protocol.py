"""What a traffic router must be able to do: weights in, weights read back; it is pure, `act` sends the patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headgate.api.rollout import Canary
from headgate.api.values import dataclass
from headgate.decide.managed import ManagedRoute
from headgate.decide.types import RouteView

JSONPatch = list[dict[str, Any]]

PROTOCOL = 1
"""The version of what follows. A router of another package says for which one it was written; a change that such a
router would not bear raises it."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Where a router keeps its objects in the API."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def served(self) -> bool:
        """The API has objects of it; of a router that is not there it has none."""
        return bool(self.plural)


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
        """The place as it stands: weight, routes of ours, problem, and whether the router serves it.

        `settled_since` and `unable` are left to others.

        Where the router reports nothing that could be read back, the view is `settled` and `blind`.
        """
        ...

    def unable(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """What of the steps of the spec cannot be done in this place, naming the step and what to do; empty if all can.

        For `claims` and this, the steps of `canary` are those of the spec; for the others, of all recorded attempts,
        too: by them a route of ours is known.
        """
        ...

    def set_weight(
        self,
        canary: Canary,
        obj: Mapping[str, Any],
        target: Target,
        weight: int,
        routes: Sequence[ManagedRoute] = (),
    ) -> JSONPatch:
        """The patch that gives the canary `weight` and these routes of ours and no others, and stable the rest.

        Together they have `canary.total`, which is 100 for a router of another package. That never sees a share, a
        route with a `service`: it is refused before.

        Nothing else is touched. In a place that cannot be worked with, routes of ours are taken out all the same.

        Raises:
            ValueError: if the place cannot be worked with, or a route cannot be made; the message names the field.
        """
        ...
