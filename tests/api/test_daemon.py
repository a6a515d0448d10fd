"""Releases of a DaemonSet in place, by the operator on a real API server and DaemonSet controller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from headgate.api.common import ANNOTATION_HELD, ANNOTATION_TEMPLATE_GENERATION, ANNOTATION_UPDATE_STRATEGY
from headgate.decide.revision import pod_hash_of, revision_of
from tests.api.cluster import ROOT
from tests.api.kube import Json, Kube
from tests.api.operator_process import OperatorProcess
from tests.api.prometheus import Prometheus
from tests.api.shop import Shop, gate, gates, rollouts

ROLLING_KINDS = ("DaemonSet",)
"""For the operator of `conftest.py`."""
JUDGED: Json = {"gate": {"ref": {"name": "golden"}, "count": 1}}
FOR_LONG: Json = {"gate": {"ref": {"name": "golden"}, "duration": "10m"}}
HERE = {"headgate-test": "daemon"}
"""The label of the nodes that run its pods."""


@pytest.fixture(scope="module")
def nodes(kube: Kube) -> Iterator[list[str]]:
    """Three nodes of the tests' own, which are like those that are there."""
    there = kube.must_get("/api/v1/nodes")["items"][0]
    names = [f"daemon-{n}" for n in range(3)]
    for name in names:
        add_node(kube, there, name)
    yield names
    for name in [*names, "daemon-3"]:
        kube.delete(f"/api/v1/nodes/{name}")


def add_node(kube: Kube, like: Json, name: str) -> None:
    """Let a node join."""
    meta = like["metadata"]
    labels = meta.get("labels", {}) | HERE | {"kubernetes.io/hostname": name}
    made = {"name": name, "labels": labels, "annotations": meta.get("annotations", {})}
    kube.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": made, "status": like["status"]})


class Agent(Shop):
    """A DaemonSet on the three nodes, with its Rollout."""

    @property
    def set_path(self) -> str:
        """Where the API server has the DaemonSet."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/daemonsets/{self.name}"

    def pods_at(self, version: int) -> Json:
        """Return the template at a version."""
        template: Json = self.template(version)
        template["spec"] |= {"nodeSelector": HERE, "tolerations": [{"operator": "Exists"}]}
        return template

    def daemon_set(self, version: int) -> Json:
        """Return the DaemonSet at a version."""
        spec = {"selector": {"matchLabels": {"app": self.name}}, "template": self.pods_at(version)}
        return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": self.name}, "spec": spec}

    def rollout(self, version: int = 1) -> Json:
        """Return the Rollout."""
        made = super().rollout(version)
        made["spec"] = {
            "workloadRef": {"kind": "DaemonSet", "name": self.name},
            "template": self.found()["spec"]["template"] if version == 1 else self.pods_at(version),
            "strategy": {"rolling": {"steps": list(self.steps)}},
        } | dict(self.spec)
        return made

    def found(self) -> Json:
        """Read the DaemonSet."""
        return self.kube.must_get(self.set_path)

    def adopt(self) -> None:
        """Create DaemonSet and Rollout, and wait until the template is held."""
        self.kube.create(self.set_path.rpartition("/")[0], self.daemon_set(1))
        self.expect("the pods are ready", lambda: (self.found().get("status") or {}).get("numberAvailable") == 3)
        self.kube.create(rollouts(self.namespace), self.rollout())
        self.expect_phase("Healthy")
        assert self.held()

    def change(self, version: int) -> str:
        """Change the template of the Rollout; gives its pod hash."""
        self.kube.patch(self.path, {"spec": {"template": self.pods_at(version)}})
        template = self.kube.must_get(self.path)["spec"]["template"]
        return pod_hash_of(revision_of(template))

    def held(self) -> bool:
        """Whether nobody else has written the template since the operator did, and no pod gets it by itself."""
        annotations = self.found()["metadata"]["annotations"]
        counted = annotations[ANNOTATION_TEMPLATE_GENERATION] == annotations.get(ANNOTATION_HELD)
        return bool(counted and self.found()["spec"]["updateStrategy"]["type"] == "OnDelete")

    def present(self) -> str:
        """Read the version that pods which are made now are of."""
        return version_of(self.found()["spec"]["template"])

    def by_node(self) -> dict[str, Json]:
        """Read its pods."""
        listed = self.kube.must_get(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app%3D{self.name}")
        return {str(p["spec"].get("nodeName")): p for p in listed["items"]}

    def images(self) -> list[str]:
        """Read the versions of its pods, by node; `-` for one that is on its way out or not ready."""
        found = []
        for _, pod in sorted(self.by_node().items()):
            conditions = (pod.get("status") or {}).get("conditions") or ()
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            found.append(version_of(pod) if ready and not pod["metadata"].get("deletionTimestamp") else "-")
        return found


def version_of(obj: Json) -> str:
    """Read what a pod or a template runs."""
    return str(obj["spec"]["containers"][0]["image"]).rpartition(":")[2]


@pytest.fixture
def judged(kube: Kube, namespace: str, prometheus: Prometheus, nodes: list[str]) -> str:  # noqa: ARG001  they are there
    """Yield a namespace with a gate that passes."""
    prometheus.values[namespace] = 0.25
    kube.create(gates(namespace), gate("golden"))
    return namespace


def test_version_goes_out_node_by_node_and_what_joins_meanwhile_is_stable(kube: Kube, judged: str) -> None:
    """One node, a gate, another, a person, and all; the template is the stable one whenever nothing is replaced."""
    agent = Agent(kube, judged, steps=[{"setBatch": 1}, JUDGED, {"setBatch": 2}, {"pause": {}}])
    agent.adopt()
    before = {n: p["metadata"]["uid"] for n, p in agent.by_node().items()}
    second = agent.change(2)
    agent.expect_phase("Paused")
    assert (agent.images(), agent.present(), agent.held()) == (["v2", "v2", "v1"], "v1", True)
    assert agent.by_node()["daemon-2"]["metadata"]["uid"] == before["daemon-2"], "a pod was disturbed"
    kube.delete(f"/api/v1/namespaces/{judged}/pods/{agent.by_node()['daemon-0']['metadata']['name']}")
    agent.expect("what dies comes back stable", lambda: agent.images() == ["v1", "v2", "v1"])
    assert agent.act("promote") == ("Accepted", "the pause at step 4 is over")
    agent.expect_phase("Healthy")
    assert (agent.images(), agent.present(), agent.held()) == (["v2", "v2", "v2"], "v2", True)
    assert agent.status()["stable"]["podHash"] == second
    assert {p["metadata"]["labels"]["headgate.dev/revision"] for p in agent.by_node().values()} == {second}
    hashes = {p["metadata"]["labels"]["controller-revision-hash"] for p in agent.by_node().values()}
    kube.delete(agent.path)
    agent.expect("the Rollout is gone", lambda: kube.get(agent.path) is None)
    assert agent.found()["spec"]["updateStrategy"]["type"] == "RollingUpdate", "as it was before"
    assert not {ANNOTATION_HELD, ANNOTATION_UPDATE_STRATEGY} & set(agent.found()["metadata"]["annotations"])
    status = agent.found()["status"]
    assert (len(hashes), status["updatedNumberScheduled"]) == (1, 3), "its own update finds something to do"


def test_gate_that_fails_takes_the_pods_back_in_order(kube: Kube, judged: str, prometheus: Prometheus) -> None:
    """The last replaced goes first; what was adopted comes back exactly as it was, for its controller, too."""
    agent = Agent(kube, judged, steps=[{"setBatch": 2}, FOR_LONG])
    agent.adopt()
    before = agent.by_node()
    agent.change(2)
    agent.expect("two pods are new", lambda: agent.images() == ["v2", "v2", "v1"])
    agent.expect("it is judged", lambda: agent.status().get("currentStepIndex") == 1)
    prometheus.values[judged] = 7.0
    agent.expect_phase("Degraded")
    after = agent.by_node()
    assert (agent.images(), agent.present(), agent.held()) == (["v1", "v1", "v1"], "v1", True)
    assert after["daemon-2"]["metadata"]["uid"] == before["daemon-2"]["metadata"]["uid"], "a pod was disturbed"
    made = {n: str(p["metadata"]["creationTimestamp"]) for n, p in after.items()}
    assert made["daemon-1"] <= made["daemon-0"], "the last replaced goes back first"
    names = {p["metadata"]["labels"]["controller-revision-hash"] for p in (*after.values(), before["daemon-2"])}
    assert len(names) == 1, "the stable template is another one for its controller"


def test_template_that_somebody_writes_is_put_back(kube: Kube, judged: str) -> None:
    """By the server's own count of its changes: no pod has become of it."""
    agent = Agent(kube, judged, steps=[{"setBatch": 1}, {"pause": {}}])
    agent.adopt()
    kube.patch(agent.set_path, {"spec": {"template": agent.pods_at(9)}})
    agent.expect("it is put back", lambda: agent.present() == "v1" and agent.held())
    kube.patch(agent.set_path, {"spec": {"updateStrategy": {"type": "RollingUpdate"}}})
    agent.expect("it is held again", agent.held)
    assert agent.images() == ["v1", "v1", "v1"]


def test_operator_that_is_killed_in_mid_batch_goes_on(kube: Kube, judged: str, operator: OperatorProcess) -> None:
    """The next one takes over from where things are, and nothing more became new meanwhile."""
    agent = Agent(kube, judged, steps=[{"setBatch": 2}, JUDGED])
    agent.adopt()
    second = agent.change(2)
    agent.expect("a batch is under way", lambda: agent.present() == "v2")
    operator.kill()
    assert "v1" in agent.images()
    operator.restart()
    agent.expect("it is promoted", lambda: (agent.status().get("stable") or {}).get("podHash") == second)
    assert agent.images() == ["v2", "v2", "v2"]


def test_example_is_applied_and_released(kube: Kube, judged: str) -> None:
    """The objects of examples/node-agent do what docs/rolling.md says of them."""
    objects: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "examples/node-agent/node-agent.yaml").read_text()))
    by_kind = {o["kind"]: o for o in objects}
    agent = Agent(kube, judged, name="node-agent")
    base = f"/namespaces/{judged}"
    kube.create(f"/apis/policy/v1{base}/poddisruptionbudgets", by_kind["PodDisruptionBudget"])
    kube.create(gates(judged), gate("node-agent"))
    here = {"nodeSelector": HERE, "tolerations": [{"operator": "Exists"}]}
    for kind in ("DaemonSet", "Rollout"):
        by_kind[kind]["spec"]["template"]["spec"] |= here
    kube.create(f"/apis/apps/v1{base}/daemonsets", by_kind["DaemonSet"])
    agent.expect("the pods are ready", lambda: (agent.found().get("status") or {}).get("numberAvailable") == 3)
    rollout = by_kind["Rollout"]
    rollout["spec"]["strategy"]["rolling"]["steps"] = [
        {"pause": {"duration": "1s"}} if "pause" in s else s for s in rollout["spec"]["strategy"]["rolling"]["steps"]
    ]
    kube.create(rollouts(judged), rollout)
    agent.expect("it is promoted", lambda: len(agent.status().get("history") or ()) == 2, seconds=120)
    assert agent.status()["history"][-1]["outcome"] == "Promoted"
    assert agent.images() == ["1.1", "1.1", "1.1"]
