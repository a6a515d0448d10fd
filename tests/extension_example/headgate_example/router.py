"""Traffic by an imaginary mesh: sets the shares of the two Services in a TrafficShare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.traffic.backends import Backends, backend
from headgate.traffic.parts import entries, mapping
from headgate.traffic.plugin import PluginRouter, parameters_of
from headgate.traffic.protocol import Resource
from headgate.traffic.weighted import Place, Served, service_role


class TrafficShareRouter(PluginRouter):
    """A TrafficShare, in which the list `spec.shares`, or the one that the parameter `list` names, has two Services."""

    headgate_protocol = 1

    name = "example"
    resource = Resource(group="mesh.example.org", version="v1", plural="trafficshares", kind="TrafficShare")

    def backends(self, place: Place) -> Backends | str:
        """The shares; one without a percentage gets nothing, says the mesh."""
        where = parameters_of(place.canary, self.name).get("list", "shares")
        listed = [(entry.get("service"), entry) for entry in entries(mapping(place.obj, "spec"), where)]
        return Backends(
            ("spec", where),
            [
                backend(index, service_role(place.canary, service), entry, default=0, name=service)
                for index, (service, entry) in enumerate(listed)
            ],
            key="service",
        )

    def served(self, obj: Mapping[str, Any]) -> Served:
        """The mesh writes down which generation it serves."""
        generation = mapping(obj, "metadata").get("generation")
        if mapping(obj, "status").get("servedGeneration") == generation:
            return Served()
        return Served(message=f"the mesh does not serve generation {generation} yet")
