"""The runbook for an absent operator, carried out word by word on a real API server that has no operator."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.cluster import ROOT, LightCluster, until

RUNBOOK = (ROOT / "docs" / "runbooks" / "operator-down.md").read_text()
SHOP = "shop"
STABLE, BAD = "5d8f7c9b64", "7b9c6d5f48"
TIME = "2026-01-01T00:00:00Z"
LABEL = "headgate.dev/revision"

pytestmark = pytest.mark.timeout(120)


def commands(section: int) -> str:
    """Return the shell blocks of a numbered section, without the indentation of lists."""
    text = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[section]
    assert text.startswith(f"{section}. ")
    blocks = re.findall(r"^( *)```sh\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join(re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks)


def carry_out(cluster: LightCluster, *sections: int) -> str:
    """Run the commands of these sections in one shell, as a person would; the first that fails fails the test."""
    script = "set -eu\n" + "\n".join(commands(section) for section in sections)
    result = subprocess.run(
        ["bash", "-c", script], env=cluster.environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def named(
    kind: str, name: str, *, api: str = "v1", labels: dict[str, str] | None = None, **rest: Any
) -> dict[str, Any]:
    """Return an object in the shop."""
    metadata = {"name": name, "namespace": SHOP, "labels": labels or {}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata} | rest


def pods(labels: dict[str, str]) -> dict[str, Any]:
    """Return selector and template of pods."""
    container = {"name": "app", "image": "app:1"}
    return {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }


def replica_set(pod_hash: str, replicas: int) -> dict[str, Any]:
    """Return a ReplicaSet as the operator makes them, less its owners."""
    labels = {"app": "checkout", "headgate.dev/rollout": "checkout", LABEL: pod_hash}
    spec = {"replicas": replicas} | pods(labels)
    return named("ReplicaSet", f"checkout-{pod_hash}", api="apps/v1", labels=labels, spec=spec)


def service(name: str, pod_hash: str) -> dict[str, Any]:
    """Return a Service that selects one revision."""
    return named("Service", name, spec={"selector": {"app": "checkout", LABEL: pod_hash}, "ports": [{"port": 80}]})


def scene() -> list[dict[str, Any]]:
    """Return a release of a bad version that stopped at 10 %, with too few stable pods and nobody to go on."""
    canary = {
        "stableService": "checkout",
        "canaryService": "checkout-canary",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}},
        "steps": [{"setWeight": 10}],
    }
    rollout = named(
        "Rollout",
        "checkout",
        api="headgate.dev/v1alpha1",
        spec={"replicas": 6, "workloadRef": {"name": "checkout"}, "strategy": {"canary": canary}},
    )
    rollout["metadata"]["finalizers"] = ["headgate.dev/hand-back"]
    backends = [
        {"name": "checkout", "port": 80, "weight": 90},
        {"name": "checkout-canary", "port": 80, "weight": 10},
    ]
    route = named(
        "HTTPRoute", "checkout", api="gateway.networking.k8s.io/v1", spec={"rules": [{"backendRefs": backends}]}
    )
    plan = named("ControllerRevision", "checkout-plan", api="apps/v1", labels={"headgate.dev/rollout": "checkout"})
    return [
        rollout,
        route,
        plan | {"revision": 1, "data": {}},
        service("checkout", STABLE),
        service("checkout-canary", BAD),
        replica_set(STABLE, 4),
        replica_set(BAD, 1),
    ]


@pytest.fixture
def stopped_release(light_cluster: LightCluster) -> Iterator[LightCluster]:
    """Yield a cluster on which a release stands still because the operator is gone."""
    light_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    light_cluster.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"), "--timeout=30s")
    light_cluster.kubectl("create", "namespace", SHOP)
    light_cluster.apply(*scene())
    status = {
        "phase": "Progressing",
        "stable": {"revision": "v1:stable", "podHash": STABLE, "since": TIME},
        "current": {"revision": "v1:bad", "podHash": BAD, "attempt": 2, "since": TIME},
        "weights": {"desired": 10, "observed": 10},
    }
    light_cluster.kubectl(
        "patch", "rollout", "checkout", "--namespace", SHOP, "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": status}),
    )  # fmt: skip
    yield light_cluster
    free = json.dumps({"metadata": {"finalizers": None}})
    light_cluster.kubectl("patch", "rollout", "checkout", "--namespace", SHOP, "--type=merge", "-p", free, check=False)
    light_cluster.kubectl("delete", "namespace", SHOP, "--timeout=60s")


def read(cluster: LightCluster, kind: str, name: str) -> dict[str, Any]:
    """Return an object in the shop."""
    found: dict[str, Any] = json.loads(cluster.kubectl("get", kind, name, "--namespace", SHOP, "-o", "json").stdout)
    return found


def revisions(cluster: LightCluster) -> list[str | None]:
    """Return which revision each of the two Services selects."""
    return [read(cluster, "service", name)["spec"]["selector"].get(LABEL) for name in ("checkout", "checkout-canary")]


def test_traffic_comes_back_to_stable(stopped_release: LightCluster) -> None:
    """Sections 1 and 2 leave nothing that sends a request to the bad version, and enough pods of the stable one."""
    said = carry_out(stopped_release, 1, 2)
    assert f"stable {STABLE}, current {BAD} attempt 2, phase Progressing, weight 10" in said
    assert "checkout=90 checkout-canary=10" in said
    assert revisions(stopped_release) == [STABLE, STABLE]
    (rule,) = read(stopped_release, "httproute", "checkout")["spec"]["rules"]
    assert [(backend["name"], backend["weight"]) for backend in rule["backendRefs"]] == [
        ("checkout", 100),
        ("checkout-canary", 0),
    ]
    assert read(stopped_release, "replicaset", f"checkout-{STABLE}")["spec"]["replicas"] == 6


def test_without_a_stable_revision_nothing_is_written(stopped_release: LightCluster) -> None:
    """Section 2 refuses to empty the selectors when section 1 found nothing to go back to."""
    script = "STABLE=\n" + commands(2)
    result = subprocess.run(
        ["bash", "-c", script], env=stopped_release.environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode != 0
    assert revisions(stopped_release) == [STABLE, BAD]


def test_the_operator_finds_an_abort(stopped_release: LightCluster) -> None:
    """Section 3 leaves an action that the API server accepts, for the revision and attempt under way."""
    carry_out(stopped_release, 3)
    listing = stopped_release.kubectl("get", "rolloutactions", "--namespace", SHOP, "-o", "json").stdout
    (action,) = json.loads(listing)["items"]
    whoami = stopped_release.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").stdout
    spec = action["spec"]
    assert (spec["rollout"], spec["verb"], spec["revision"], spec["attempt"]) == ("checkout", "abort", BAD, 2)
    assert spec["author"] == whoami


def test_services_are_handed_back(stopped_release: LightCluster) -> None:
    """Section 4 lets the Services select by the application's labels alone."""
    carry_out(stopped_release, 4)
    assert revisions(stopped_release) == [None, None]
    assert read(stopped_release, "service", "checkout")["spec"]["selector"] == {"app": "checkout"}


def test_a_hanging_finalizer_is_escaped(stopped_release: LightCluster) -> None:
    """Section 5 frees a deleted Rollout, and then removes what it left."""
    stopped_release.kubectl("delete", "rollout", "checkout", "--namespace", SHOP, "--wait=false")
    assert read(stopped_release, "rollout", "checkout")["metadata"]["deletionTimestamp"]
    first, rest = commands(5).split("\n", 1)
    for part in (first, rest):
        result = subprocess.run(
            ["bash", "-c", f"set -eu\n{part}"],
            env=stopped_release.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr

    def gone() -> bool:
        """Say whether Rollout and plan are no more."""
        left = stopped_release.kubectl("get", "rollouts,controllerrevisions", "--namespace", SHOP, "-o", "name").stdout
        return not left

    until(gone, seconds=20, what="Rollout and ControllerRevision are gone")
