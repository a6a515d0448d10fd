"""Prometheus as a pod: Debian's binary in an image of its own, scraping Envoy and every pod that asks for it."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from pathlib import Path

from hgcluster import binaries, images, node, packages, paths, run
from hgcluster.kube import Kube
from hgcluster.layout import Cluster
from hgcluster.processes import Processes

NAMESPACE = "monitoring"
IMAGE = "headgate/prometheus:2"
_RESTRICTED = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
_LABELS = {"app.kubernetes.io/name": "prometheus"}


def url(cluster: Cluster) -> str:
    """Where the machine reaches it; with a node of ours that is the Service's address, as for pods."""
    if cluster.mode != "node":
        return f"http://127.0.0.1:{cluster.port('port-forward')}"
    return f"http://{cluster.service_address(90)}:9090"


def start(cluster: Cluster, processes: Processes, kube: Kube) -> None:
    """Start it, or give it its present configuration, and wait until it answers."""
    node.load(processes, archive())
    apply(cluster, kube)
    # After the node was killed the pod counts as ready until the kubelet has looked, and then begins anew.
    run.wait_for(f"an answer of Prometheus at {url(cluster)}", lambda: answers(url(cluster)), timeout=120)


def apply(cluster: Cluster, kube: Kube) -> None:
    """Apply its objects and wait until the pod is ready."""
    address = cluster.service_address(90) if cluster.mode == "node" else ""
    kube.apply(_objects(cluster, address), "applying Prometheus")
    rollout = ("rollout", "status", "deployment/prometheus", f"--namespace={NAMESPACE}", "--timeout=90s")
    kube(*rollout, what="waiting for Prometheus", timeout=100)


def answers(address: str) -> bool:
    """Whether Prometheus is ready to be asked."""
    try:
        # Never by way of a proxy: the address is this machine's own.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{address}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def archive() -> Path:
    """The image, made once: the package is unpacked, never installed, so no service of the machine starts."""
    made = paths.folder("images") / f"prometheus-{binaries.path('scrapetargets').name}.tar"
    if not made.exists():
        with paths.lock("prometheus", "making the image of Prometheus"):
            home = paths.folder("packages", "prometheus")
            packages.unpack("prometheus", home)
            files = [images.Placed(home / "usr/bin/prometheus", "/prometheus")]
            files.append(images.Placed(binaries.path("scrapetargets"), "/scrapetargets"))
            images.scratch(IMAGE, files, made, entrypoint=["/prometheus"])
    return made


def _config(cluster: Cluster) -> dict[str, object]:
    # Targets carry their labels; the file is kept by a program beside Prometheus.
    pods: dict[str, object] = {
        "job_name": "pods",
        "file_sd_configs": [{"files": ["/targets/*.json"], "refresh_interval": "5s"}],
    }
    jobs: list[dict[str, object]] = [pods]
    if cluster.gateway and cluster.mode == "node":
        jobs.append(
            {
                "job_name": "envoy",
                "metrics_path": "/stats/prometheus",
                "static_configs": [{"targets": [f"{cluster.host_address}:{cluster.port('envoy-stats')}"]}],
            }
        )
    every = cluster.scrape_interval
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "scrape_configs": jobs,
    }


def _objects(cluster: Cluster, address: str) -> list[dict[str, object]]:
    def meta(name: str) -> dict[str, object]:
        return {"name": name, "namespace": NAMESPACE}

    config = json.dumps(_config(cluster), indent=1)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "headgate-local:prometheus"}
    service: dict[str, object] = {"selector": _LABELS, "ports": [{"name": "http", "port": 9090, "targetPort": 9090}]}
    if address:
        service["clusterIP"] = address
    container = {
        "name": "prometheus",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/data",
            "--storage.tsdb.retention.time=6h",
            "--web.enable-lifecycle",
            "--query.lookback-delta=1m",
        ],
        "ports": [{"name": "http", "containerPort": 9090}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1, "timeoutSeconds": 5},
        "securityContext": _RESTRICTED,
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/data"},
            {"name": "targets", "mountPath": "/targets", "readOnly": True},
        ],
    }
    discovery = {
        "name": "targets",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/scrapetargets", "--output=/targets/pods.json"],
        "securityContext": _RESTRICTED,
        "volumeMounts": [{"name": "targets", "mountPath": "/targets"}],
    }
    pod = {
        # Another configuration is another pod; a mounted one would change a minute later.
        "metadata": {"labels": _LABELS, "annotations": {"headgate.dev/config": _digest(config)}},
        "spec": {
            "serviceAccountName": "prometheus",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"fsGroup": 65532, "runAsUser": 65532},
            "containers": [container, discovery],
            "volumes": [
                {"name": "config", "configMap": {"name": "prometheus"}},
                {"name": "data", "emptyDir": {}},
                {"name": "targets", "emptyDir": {}},
            ],
        },
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("prometheus")},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": role["name"]},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role["name"]},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": NAMESPACE}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("prometheus"), "data": {"prometheus.yml": config}},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta("prometheus"), "spec": service},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta("prometheus"),
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": _LABELS},
                "template": pod,
            },
        },
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
