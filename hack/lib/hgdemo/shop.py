"""The application of the demonstration in one namespace, made from the files in examples/shop."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import yaml

from hack.lib.hgdemo.cluster import ROOT, Cluster, Json
from hack.lib.hgdemo.waiting import until

_FOLDER = ROOT / "examples" / "shop"
NAME = "shop"


def example(file: str) -> list[Json]:
    """The objects of one file of the example."""
    return [item for item in yaml.safe_load_all((_FOLDER / file).read_text()) if item]


@dataclass(frozen=True)
class Shop:
    """The example in a namespace of its own, behind a host name of its own."""

    cluster: Cluster
    namespace: str

    @property
    def host(self) -> str:
        """The host name by which the gateway finds its route."""
        return f"{self.namespace}.example"

    def objects(self, file: str) -> list[Json]:
        """The objects of one file, for this namespace and host."""
        found = copy.deepcopy(example(file))
        for item in found:
            item["metadata"]["namespace"] = self.namespace
            if item["kind"] == "HTTPRoute":
                item["spec"]["hostnames"] = [self.host]
        return found

    def deploy(self) -> None:
        """Deploy the application, without Headgate, and wait until its pods are there and its route is accepted."""
        self.cluster.namespace(self.namespace)
        self.cluster.apply(self.objects("application.yaml"))
        where = f"--namespace={self.namespace}"
        self.cluster.kubectl("rollout", "status", f"deployment/{NAME}", where, "--timeout=90s", timeout=100)
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
        env = [
            {"op": "replace", "path": "/spec/template/spec/containers/0/env/0/value", "value": version},
            {"op": "replace", "path": "/spec/template/spec/containers/0/env/1/value", "value": str(fail_ratio)},
        ]
        changed = self.cluster.patch("deployment", NAME, self.namespace, env)
        return int(changed["metadata"]["generation"])

    def patch(self, change: Json) -> None:
        """Change the Rollout's spec by a merge patch."""
        self.cluster.patch("rollout", NAME, self.namespace, {"spec": change})

    def _accepted(self) -> bool:
        route = self.cluster.get("httproute", NAME, self.namespace) or {}
        parents = route.get("status", {}).get("parents", [])
        held = [{c["type"]: c["status"] for c in parent.get("conditions", [])} for parent in parents]
        return bool(held) and all(each.get("Accepted") == each.get("ResolvedRefs") == "True" for each in held)
