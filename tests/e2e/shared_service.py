"""The example behind one Service that leads to the pods of all versions, which a gate tells apart by their label."""

from __future__ import annotations

from dataclasses import dataclass

from hack.lib.hgdemo.cluster import Json
from hack.lib.hgdemo.shop import Shop
from tests.e2e.town import GATE

SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
CHECK: Json = {
    "name": "success-rate",
    "prometheus": {"query": {"template": "own-success-rate"}},
    "pass": {"min": 99},
    "minSample": {"query": {"template": "own-request-count"}, "min": 20},
}
DRAIN = "3s"
"""Pods that are replaced one after the other take so long each; the gateway knows within one second that they go."""
LABELS = ("headgate_dev_revision", "controller_revision_hash")
"""What Prometheus knows of a revision, from the label of its pods: of a ReplicaSet, and of a StatefulSet."""


def _answers(only: str = "") -> str:
    """The answers that the pods of the new version have counted, whoever made these pods."""
    chosen = [f'namespace="{{{{namespace}}}}",{label}="{{{{canaryRevision}}}}"{only}' for label in LABELS]
    return "sum(" + " or ".join(f"increase(http_requests_total{{{each}}}[{{{{window}}}}])" for each in chosen) + ")"


TEMPLATES: dict[str, Json] = {
    "own-success-rate": {"query": "100 * {} / {}".format(_answers(',code!~"5.."'), _answers())},
    "own-request-count": {"query": _answers()},
}
"""Queries for the operator's configuration: the gateway knows nothing of versions behind one Service, the pods do."""


@dataclass(frozen=True)
class SharedShop(Shop):
    """The application with one Service; its pods are scraped."""

    def objects(self, file: str) -> list[Json]:
        """The objects of one file, without the second Service."""
        found = [item for item in super().objects(file) if item["metadata"]["name"] != f"{self.name}-canary"]
        for item in found:
            spec = item["spec"]
            if item["kind"] == "Deployment":
                spec["template"]["metadata"]["annotations"] = dict(SCRAPED)
            if item["kind"] == "HTTPRoute":
                spec["rules"] = [{"backendRefs": [{"name": self.name, "port": 80}]}]
            if item["kind"] == "QualityGate":
                spec["checks"] = [CHECK]
            if item["kind"] == "Rollout":
                spec |= {"gates": [], "strategy": self._strategy()}
        return found

    def selector(self) -> Json:
        """The labels of the pods that the Service leads to."""
        found = self.cluster.get("service", self.name, self.namespace) or {}
        labels: Json = found["spec"]["selector"]
        return labels

    def _strategy(self) -> Json:
        raise NotImplementedError


@dataclass(frozen=True)
class CountedShop(SharedShop):
    """A canary without a router: the number of pods is the weight. The version that the pods tell is in a ConfigMap."""

    def objects(self, file: str) -> list[Json]:
        """The objects of one file, with the ConfigMap and copies of it."""
        found = super().objects(file)
        for item in tuple(found):
            if item["kind"] == "Deployment":
                env = item["spec"]["template"]["spec"]["containers"][0]["env"]
                env[0] = {"name": "VERSION", "valueFrom": {"configMapKeyRef": {"name": self.name, "key": "version"}}}
                config = {"name": self.name, "namespace": self.namespace}
                version = {"version": "release-1"}
                found.insert(0, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": config, "data": version})
            if item["kind"] == "Rollout":
                item["spec"]["configSnapshots"] = {}
        return found

    def release(self, version: str, *, fail_ratio: float = 0) -> int:
        """Change the ConfigMap and then the template, as Helm and Argo CD do."""
        self.cluster.patch("configmap", self.name, self.namespace, {"data": {"version": version}})
        return super().release(version, fail_ratio=fail_ratio)

    def steps(self, *steps: Json) -> Json:
        """The strategy with these steps."""
        return {"canary": {"stableService": self.name, "maxSurge": 1, "maxUnavailable": 0, "steps": [*steps]}}

    def _strategy(self) -> Json:
        return self.steps({"setWeight": 50}, GATE)

    def _version(self, version: str) -> list[Json]:
        return [{"op": "add", "path": "/spec/template/metadata/annotations/release", "value": version}]


@dataclass(frozen=True)
class InPlaceShop(SharedShop):
    """A StatefulSet, which is released in place."""

    @property
    def workload(self) -> str:
        """Another kind than the example's."""
        return "statefulset"

    def objects(self, file: str) -> list[Json]:
        """The objects of one file, with a StatefulSet for the Deployment."""
        found = super().objects(file)
        for item in found:
            if item["kind"] == "Deployment":
                item["spec"]["template"]["spec"]["containers"][0]["env"][2]["value"] = DRAIN
                item["kind"] = "StatefulSet"
                item["spec"] |= {"serviceName": self.name, "podManagementPolicy": "Parallel"}
            if item["kind"] == "Rollout":
                item["spec"]["workloadRef"]["kind"] = "StatefulSet"
                del item["spec"]["replicas"]
        return found

    def govern(self, change: Json | None = None, gate: Json | None = None) -> None:
        """Apply the QualityGate and the Rollout, which does not say how many pods there are."""
        super().govern({key: value for key, value in (change or {}).items() if key != "replicas"}, gate)

    def partition(self) -> int:
        """Pods with an ordinal below this stay as they are."""
        found = self.cluster.get(self.workload, self.name, self.namespace) or {}
        return int(found["spec"]["updateStrategy"]["rollingUpdate"].get("partition", 0))

    def pods(self) -> list[Json]:
        """The pods by their ordinals."""
        found = self.cluster.all("pods", self.namespace)
        return sorted(found, key=lambda pod: int(pod["metadata"]["name"].rpartition("-")[2]))

    def _strategy(self) -> Json:
        return {"rolling": {"steps": [{"setBatch": 2}, GATE]}}
