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
            if item["kind"] == "Deployment":
                item["spec"]["replicas"] = replicas
        self.cluster.apply(objects)
        where = f"--namespace={self.namespace}"
        self.cluster.kubectl("rollout", "status", f"deployment/{self.name}", where, "--timeout=90s", timeout=100)
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
        """Change the Deployment's template to another version; gives the generation of that change."""
        env = "/spec/template/spec/containers/0/env"
        change = [
            {"op": "test", "path": f"{env}/0/name", "value": "VERSION"},
            {"op": "replace", "path": f"{env}/0/value", "value": version},
            {"op": "test", "path": f"{env}/1/name", "value": "FAIL_RATIO"},
            {"op": "replace", "path": f"{env}/1/value", "value": str(fail_ratio)},
        ]
        changed = self.cluster.patch("deployment", self.name, self.namespace, change)
        return int(changed["metadata"]["generation"])

    def patch(self, change: Json) -> None:
        """Change the Rollout's spec by a merge patch."""
        self.cluster.patch("rollouts.headgate.dev", self.name, self.namespace, {"spec": change})

    def weights(self) -> dict[str, int]:
        """The weights of the route as it is stored."""
        route = self.cluster.get("httproute", self.name, self.namespace) or {}
        backends = route["spec"]["rules"][0]["backendRefs"]
        return {each["name"]: each.get("weight", 1) for each in backends}

    def selected(self) -> dict[str, str]:
        """The revision that each of the two Services selects; empty where it selects none."""
        services = (self.name, f"{self.name}-canary")
        found = {name: self.cluster.get("service", name, self.namespace) or {} for name in services}
        return {name: item["spec"]["selector"].get("headgate.dev/revision", "") for name, item in found.items()}

    def _accepted(self) -> bool:
        route = self.cluster.get("httproute", self.name, self.namespace) or {}
        parents = route.get("status", {}).get("parents", [])
        held = [{c["type"]: c["status"] for c in parent.get("conditions", [])} for parent in parents]
        return bool(held) and all(each.get("Accepted") == each.get("ResolvedRefs") == "True" for each in held)
