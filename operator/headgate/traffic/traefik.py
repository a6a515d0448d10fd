"""Traffic by Traefik: sets the weights of the two Services in a weighted TraefikService."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.api.rollout import Canary
from headgate.traffic.backends import Backends, backend
from headgate.traffic.parts import entries, mapping
from headgate.traffic.protocol import Resource, Target
from headgate.traffic.weighted import Place, WeightedRouter, service_role

DEFAULT_WEIGHT = 1
"""What Traefik takes a service without a weight for."""


class TraefikRouter(WeightedRouter):
    """A TraefikService whose weighted services are the two Services of the Rollout and no other."""

    key = "traefik"
    resource = Resource(group="traefik.io", version="v1alpha1", plural="traefikservices", kind="TraefikService")
    field = "spec.strategy.canary.trafficRouting.traefik.weightedTraefikServiceName"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """The TraefikService."""
        traefik = canary.routing.traefik
        return () if traefik is None else (Target(traefik.weighted_traefik_service_name),)

    def backends(self, place: Place) -> Backends | str:
        """The weighted services."""
        return Backends(
            ("spec", "weighted", "services"),
            [
                backend(index, _role(place, entry), entry, default=DEFAULT_WEIGHT)
                for index, entry in enumerate(entries(mapping(mapping(place.obj, "spec"), "weighted"), "services"))
            ],
        )


def _role(place: Place, entry: Mapping[str, Any]) -> str:
    kind, name = entry.get("kind") or "Service", entry.get("name")
    if kind != "Service":
        return f"the {kind} {name!r}"
    if entry.get("namespace") not in (None, "", place.namespace):
        return f"the Service {name!r} of the namespace {entry.get('namespace')!r}"
    return service_role(place.canary, name)
