"""The application of the demonstration in one namespace, made from the files in examples/shop."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from hack.lib.hgdemo.cluster import ROOT, Cluster, Json
from hack.lib.hgdemo.images import APPLICATION_IMAGE
from hack.lib.hgdemo.waiting import until

_FOLDER = ROOT / "examples" / "shop"
_NAME = "shop"


@dataclass(frozen=True)
class Shop:
    """The example in a namespace of its own, behind a host name of its own, perhaps under another name."""

    cluster: Cluster
    namespace: str
    name: str = _NAME
    image: str = APPLICATION_IMAGE

    @property
    def workload(self) -> str:
        """The kind of what Git has the template in."""
        return "deployment"

    @property
    def host(self) -> str:
        """The host name by which the gateway finds its route."""
        return f"{self.name}.{self.namespace}.example"

    def objects(self, file: str) -> list[Json]:
        """The objects of one file, for this namespace, name, image and host."""
        text = (_FOLDER / file).read_text().replace(_NAME, self.name).replace(APPLICATION_IMAGE, self.image)
        found: list[Json] = [item for item in yaml.safe_load_all(text) if item]
        for item in found:
            item["metadata"]["namespace"] = self.namespace
            if item["kind"] == "HTTPRoute":
                item["spec"]["hostnames"] = [self.host]
        return found

    def deploy(self, replicas: int = 3) -> None:
        """Deploy the application, without Headgate, and wait until its pods are there and its route is accepted."""
        self.cluster.namespace(self.namespace)
        objects = self.objects("application.yaml")
        for item in objects:
            if item["kind"].lower() == self.workload:
                item["spec"]["replicas"] = replicas
        self.cluster.apply(objects)
        where = f"--namespace={self.namespace}"
        self.cluster.kubectl("rollout", "status", f"{self.workload}/{self.name}", where, "--timeout=90s", timeout=100)
        until("an accepted HTTPRoute", self._accepted, timeout=30)

    def govern(self, change: Json | None = None, gate: Json | None = None) -> None:
        """Apply the QualityGate and the Rollout; `change` and `gate` replace fields of their specs."""
        objects = self.objects("headgate.yaml")
        for item in objects:
            if item["kind"] == "Rollout":
                item["spec"].update(change or {})
            if item["kind"] == "QualityGate":
                item["spec"].update(gate or {})
        self.cluster.apply(objects)

    def release(self, version: str, *, fail_ratio: float = 0) -> int:
        """Change the workload's template to another version; gives the generation of that change."""
        change = [*self._version(version), *_variable(1, "FAIL_RATIO", str(fail_ratio))]
        changed = self.cluster.patch(self.workload, self.name, self.namespace, change)
        return int(changed["metadata"]["generation"])

    def patch(self, change: Json) -> None:
        """Change the Rollout's spec by a merge patch."""
        self.cluster.patch("rollouts.headgate.dev", self.name, self.namespace, {"spec": change})

    def rules(self) -> list[Json]:
        """The rules of the route as they are stored."""
        route = self.cluster.get("httproute", self.name, self.namespace) or {}
        found: list[Json] = route["spec"]["rules"]
        return found

    def weights(self) -> dict[str, int]:
        """The weights of the first of them."""
        return {each["name"]: each.get("weight", 1) for each in self.rules()[0]["backendRefs"]}

    def selected(self) -> dict[str, str]:
        """The revision that each of the two Services selects; empty where it selects none."""
        services = (self.name, f"{self.name}-canary")
        found = {name: self.cluster.get("service", name, self.namespace) or {} for name in services}
        return {name: item["spec"]["selector"].get("headgate.dev/revision", "") for name, item in found.items()}

    def _version(self, version: str) -> list[Json]:
        return _variable(0, "VERSION", version)

    def _accepted(self) -> bool:
        route = self.cluster.get("httproute", self.name, self.namespace) or {}
        parents = route.get("status", {}).get("parents", [])
        held = [{c["type"]: c["status"] for c in parent.get("conditions", [])} for parent in parents]
        return bool(held) and all(each.get("Accepted") == each.get("ResolvedRefs") == "True" for each in held)


def _variable(place: int, name: str, value: str) -> list[Json]:
    """The JSON patch that gives a variable of the container's environment another value."""
    path = f"/spec/template/spec/containers/0/env/{place}"
    return [
        {"op": "test", "path": f"{path}/name", "value": name},
        {"op": "replace", "path": f"{path}/value", "value": value},
    ]
