"""Traffic by the Service Mesh Interface: sets the weights of the two Services in a TrafficSplit."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.api.rollout import Canary
from headgate.traffic.backends import Backends, backend
from headgate.traffic.parts import entries, mapping
from headgate.traffic.protocol import Resource, Target
from headgate.traffic.weighted import Place, WeightedRouter, service_role


class SMIRouter(WeightedRouter):
    """A TrafficSplit whose backends are the two Services of the Rollout and no other.

    Of the versions of the API it is v1alpha2 that meshes serve; v1alpha3 and v1alpha4 have the same backends.
    """

    key = "smi"
    resource = Resource(group="split.smi-spec.io", version="v1alpha2", plural="trafficsplits", kind="TrafficSplit")
    field = "spec.strategy.canary.trafficRouting.smi.trafficSplitName"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """The TrafficSplit."""
        smi = canary.routing.smi
        return () if smi is None else (Target(smi.traffic_split_name),)

    def backends(self, place: Place) -> Backends | str:
        """The backends; each has a weight, says the schema."""
        listed = [(entry.get("service"), entry) for entry in entries(mapping(place.obj, "spec"), "backends")]
        return Backends(
            ("spec", "backends"),
            [
                backend(index, service_role(place.canary, name), entry, default=0, name=name)
                for index, (name, entry) in enumerate(listed)
            ],
            key="service",
        )
