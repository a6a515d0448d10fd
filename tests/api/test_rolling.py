"""Releases of a StatefulSet in place, by the operator on a real API server and StatefulSet controller."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from headgate.decide.in_place import CLOSED
from headgate.decide.revision import pod_hash_of, revision_of
from tests.api.cluster import ROOT, until
from tests.api.kube import Json, Kube
from tests.api.operator_process import OperatorProcess
from tests.api.prometheus import Prometheus
from tests.api.shop import Shop, gate, gates, rollouts

ROLLING_KINDS = ("StatefulSet",)
"""For the operator of `conftest.py`."""
JUDGED: Json = {"gate": {"ref": {"name": "golden"}, "count": 1}}
FOR_LONG: Json = {"gate": {"ref": {"name": "golden"}, "duration": "10m"}}


class Database(Shop):
    """A StatefulSet of three pods with its Rollout."""

    @property
    def set_path(self) -> str:
        """Where the API server has the StatefulSet."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/statefulsets/{self.name}"

    def stateful_set(self, version: int) -> Json:
        """Return the StatefulSet at a version."""
        spec = {
            "replicas": 3,
            "serviceName": self.name,
            "selector": {"matchLabels": {"app": self.name}},
            "template": self.template(version),
        }
        return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": self.name}, "spec": spec}

    def rollout(self, version: int = 1) -> Json:
        """Return the Rollout."""
        made = super().rollout(version)
        made["spec"] = {
            "workloadRef": {"kind": "StatefulSet", "name": self.name},
            "strategy": {"rolling": {"steps": list(self.steps)}},
        } | dict(self.spec)
        return made

    def adopt(self) -> None:
        """Create StatefulSet and Rollout, and wait until the update is closed."""
        self.kube.create(self.set_path.rpartition("/")[0], self.stateful_set(1))
        self.expect("the pods are ready", lambda: self.set_status().get("readyReplicas") == 3)
        self.kube.create(rollouts(self.namespace), self.rollout())
        self.expect_phase("Healthy")
        assert self.partition() == CLOSED

    def change(self, version: int) -> str:
        """Change the template of the StatefulSet; gives its pod hash."""
        self.kube.patch(self.set_path, {"spec": {"template": self.template(version)}})
        template = self.kube.must_get(self.set_path)["spec"]["template"]
        return pod_hash_of(revision_of(template))

    def set_status(self) -> Json:
        """Read the status of the StatefulSet."""
        found: Json = self.kube.must_get(self.set_path).get("status") or {}
        return found

    def partition(self) -> int:
        """Read how far its update may go."""
        update = self.kube.must_get(self.set_path)["spec"]["updateStrategy"]
        return int(update["rollingUpdate"].get("partition", 0))

    def images(self) -> list[str]:
        """Read the versions of its pods, by ordinal; `-` for one that is on its way out or not ready."""
        found = []
        for ordinal in range(3):
            pod = self.kube.get(f"/api/v1/namespaces/{self.namespace}/pods/{self.name}-{ordinal}")
            conditions = ((pod or {}).get("status") or {}).get("conditions") or ()
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            there = pod is not None and not pod["metadata"].get("deletionTimestamp")
            image = pod["spec"]["containers"][0]["image"].rpartition(":")[2] if pod is not None else ""
            found.append(image if there and ready else "-")
        return found


@pytest.fixture
def judged(kube: Kube, namespace: str, prometheus: Prometheus) -> str:
    """Yield a namespace with a gate that passes."""
    prometheus.values[namespace] = 0.25
    kube.create(gates(namespace), gate("golden"))
    return namespace


def test_version_goes_out_in_judged_batches(kube: Kube, judged: str) -> None:
    """A change of the template changes no pod; then one pod, a gate, another, a person, and all."""
    shop = Database(kube, judged, steps=[{"setBatch": 1}, JUDGED, {"setBatch": 2}, {"pause": {}}])
    shop.adopt()
    assert shop.images() == ["v1", "v1", "v1"]
    second = shop.change(2)
    shop.expect_phase("Paused")
    assert shop.images() == ["v1", "v2", "v2"]
    assert shop.status()["weights"]["observed"] == 67
    assert shop.act("promote") == ("Accepted", "the pause at step 4 is over")
    shop.expect_phase("Healthy")
    assert shop.images() == ["v2", "v2", "v2"]
    assert (shop.status()["stable"]["podHash"], shop.partition()) == (second, CLOSED)
    assert [h["outcome"] for h in shop.status()["history"]] == ["Adopted", "Promoted"]


def test_gate_that_fails_takes_the_pods_back_in_order(kube: Kube, judged: str, prometheus: Prometheus) -> None:
    """The update is closed at once, then the new pods go one by one, the last replaced first."""
    shop = Database(kube, judged, steps=[{"setBatch": 2}, FOR_LONG])
    shop.adopt()
    before = {o: pod_uid(kube, judged, f"shop-{o}") for o in range(3)}
    second = shop.change(2)
    shop.expect("two pods are new", lambda: shop.images() == ["v1", "v2", "v2"])
    shop.expect("it is judged", lambda: shop.status().get("currentStepIndex") == 1)
    prometheus.values[judged] = 7.0
    shop.expect_phase("Degraded")
    assert shop.images() == ["v1", "v1", "v1"]
    assert shop.partition() == CLOSED
    assert second in shop.expect_condition("Rejected", "True", "GateFailed")
    assert pod_uid(kube, judged, "shop-0") == before[0], "a pod that was never new was disturbed"
    created = {o: made_at(kube, judged, f"shop-{o}") for o in (1, 2)}
    assert created[1] <= created[2], "the last replaced goes back first"


def test_budget_is_respected_on_both_ways(kube: Kube, judged: str) -> None:
    """While it allows no disruption no batch begins and no pod that serves is taken back."""
    shop = Database(kube, judged, steps=[{"setBatch": 1}, {"pause": {}}])
    shop.adopt()
    budgets = f"/apis/policy/v1/namespaces/{judged}/poddisruptionbudgets"
    spec: Json = {"minAvailable": 3, "selector": {"matchLabels": {"app": "shop"}}}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "all"}, "spec": spec}
    kube.create(budgets, budget)
    until(
        lambda: "disruptionsAllowed" in (kube.must_get(f"{budgets}/all").get("status") or {}), seconds=30, what="seen"
    )
    shop.change(2)
    shop.expect("it waits", lambda: "PodDisruptionBudget all" in str(shop.status().get("message")), seconds=90)
    assert shop.images() == ["v1", "v1", "v1"]
    kube.patch(f"{budgets}/all", {"spec": {"minAvailable": 2}})
    shop.expect_phase("Paused")
    assert shop.images() == ["v1", "v1", "v2"]
    kube.patch(f"{budgets}/all", {"spec": {"minAvailable": 3}})
    until(
        lambda: kube.must_get(f"{budgets}/all")["status"]["disruptionsAllowed"] == 0, seconds=30, what="it allows none"
    )
    assert shop.act("abort")[0] == "Accepted"
    shop.expect("the update is closed", lambda: shop.partition() == CLOSED)
    shop.expect_phase("RollingBack")
    assert shop.images() == ["v1", "v1", "v2"]
    kube.patch(f"{budgets}/all", {"spec": {"minAvailable": 2}})
    shop.expect_phase("Degraded")
    assert shop.images() == ["v1", "v1", "v1"]


def test_operator_that_is_killed_in_mid_batch_goes_on(kube: Kube, judged: str, operator: OperatorProcess) -> None:
    """What it has opened stays open, and nothing more; the next one takes over from there."""
    shop = Database(kube, judged, steps=[{"setBatch": 1}, JUDGED, {"setBatch": 2}])
    shop.adopt()
    second = shop.change(2)
    shop.expect("the first batch is open", lambda: shop.partition() == 2)
    operator.kill()
    shop.expect("the pod is replaced", lambda: shop.images() == ["v1", "v1", "v2"])
    operator.restart()
    shop.expect("it is promoted", lambda: (shop.status().get("stable") or {}).get("podHash") == second)
    assert shop.images() == ["v2", "v2", "v2"]


def test_deletion_gives_the_stateful_set_back(kube: Kube, judged: str) -> None:
    """At rest its update is open again; in mid-release what was not promoted goes first, and it stays closed."""
    shop = Database(kube, judged, steps=[{"setBatch": 1}, {"pause": {}}])
    shop.adopt()
    shop.change(2)
    shop.expect_phase("Paused")
    kube.delete(shop.path)
    shop.expect("the Rollout is gone", lambda: kube.get(shop.path) is None)
    assert (shop.partition(), shop.images()) == (CLOSED, ["v1", "v1", "v1"])
    shop.change(1)
    kube.create(rollouts(judged), shop.rollout())
    shop.expect_phase("Healthy")
    kube.delete(shop.path)
    shop.expect("the Rollout is gone", lambda: kube.get(shop.path) is None)
    assert (shop.partition(), shop.images()) == (0, ["v1", "v1", "v1"])


def test_example_is_applied_and_released(kube: Kube, judged: str) -> None:
    """The objects of examples/database do what docs/rolling.md says of them."""
    objects: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "examples/database/database.yaml").read_text()))
    by_kind = {o["kind"]: o for o in objects}
    shop = Database(kube, judged, name="orders-db")
    base = f"/namespaces/{judged}"
    kube.create(f"/api/v1{base}/services", by_kind["Service"])
    kube.create(f"/apis/policy/v1{base}/poddisruptionbudgets", by_kind["PodDisruptionBudget"])
    kube.create(gates(judged), gate("orders-db"))
    workload = by_kind["StatefulSet"]
    workload["spec"].pop("volumeClaimTemplates", None)  # Nobody provides volumes here.
    workload["spec"]["template"]["spec"]["containers"][0].pop("volumeMounts", None)
    kube.create(f"/apis/apps/v1{base}/statefulsets", workload)
    rollout = by_kind["Rollout"]
    rollout["spec"]["strategy"]["rolling"]["steps"] = [
        {"pause": {"duration": "1s"}} if "pause" in s else s for s in rollout["spec"]["strategy"]["rolling"]["steps"]
    ]
    kube.create(rollouts(judged), rollout)
    shop.expect_phase("Healthy")
    kube.patch(shop.set_path, {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}})
    shop.expect("it is promoted", lambda: len(shop.status().get("history") or ()) == 2, seconds=120)
    assert shop.status()["history"][-1]["outcome"] == "Promoted"


def pod_uid(kube: Kube, namespace: str, name: str) -> str:
    """Read which pod it is."""
    return str(kube.must_get(f"/api/v1/namespaces/{namespace}/pods/{name}")["metadata"]["uid"])


def made_at(kube: Kube, namespace: str, name: str) -> str:
    """Read when a pod was created."""
    return str(kube.must_get(f"/api/v1/namespaces/{namespace}/pods/{name}")["metadata"]["creationTimestamp"])
