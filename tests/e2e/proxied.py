"""The example behind an HTTPProxy of Contour in place of its HTTPRoute; the same Envoy answers for both."""

from __future__ import annotations

from dataclasses import dataclass

from hack.lib.hgdemo.cluster import Json
from hack.lib.hgdemo.shop import Shop


@dataclass(frozen=True)
class ProxiedShop(Shop):
    """The application, with all else as it is in the example."""

    def objects(self, file: str) -> list[Json]:
        """The objects of one file, with another router."""
        found = super().objects(file)
        for item in found:
            if item["kind"] == "Rollout":
                item["spec"]["strategy"]["canary"]["trafficRouting"] = {
                    "contour": {"httpProxies": [{"name": self.name}]}
                }
        return [self._proxy(item) if item["kind"] == "HTTPRoute" else item for item in found]

    def rules(self) -> list[Json]:
        """The routes of the HTTPProxy as they are stored."""
        proxy = self.cluster.get("httpproxy", self.name, self.namespace) or {}
        found: list[Json] = proxy["spec"]["routes"]
        return found

    def weights(self) -> dict[str, int]:
        """The weights of the first of them."""
        return {each["name"]: each.get("weight", 0) for each in self.rules()[0]["services"]}

    def _accepted(self) -> bool:
        proxy = self.cluster.get("httpproxy", self.name, self.namespace) or {}
        conditions = proxy.get("status", {}).get("conditions", [])
        return any((each["type"], each["status"]) == ("Valid", "True") for each in conditions)

    def _proxy(self, route: Json) -> Json:
        services = [
            {"name": each["name"], "port": each["port"], "weight": each["weight"]}
            for each in route["spec"]["rules"][0]["backendRefs"]
        ]
        return {
            "apiVersion": "projectcontour.io/v1",
            "kind": "HTTPProxy",
            "metadata": route["metadata"],
            "spec": {"virtualhost": {"fqdn": self.host}, "routes": [{"services": services}]},
        }
