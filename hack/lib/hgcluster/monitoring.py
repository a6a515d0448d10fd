"""Prometheus as a pod: Debian's binary in an image of its own, scraping Envoy and every pod that asks for it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from hgcluster import images, node, packages, paths, run
from hgcluster.kube import Kube
from hgcluster.layout import Cluster
from hgcluster.processes import Processes

NAMESPACE = "monitoring"
IMAGE = "headgate/prometheus:debian"
_LABELS = {"app.kubernetes.io/name": "prometheus"}


def url(cluster: Cluster) -> str:
    """Where the machine reaches it; pods may use the same address, which is the Service's."""
    return f"http://{cluster.service_address(90)}:9090"


def start(cluster: Cluster, processes: Processes, kube: Kube) -> None:
    """Start it, or give it its present configuration, and wait until it answers."""
    if not kube.exists("deployment", "prometheus", f"--namespace={NAMESPACE}"):
        node.load(processes, archive())
    kube.apply(_objects(cluster, cluster.service_address(90)), "applying Prometheus")
    if not answers(url(cluster)):
        rollout = ("rollout", "status", "deployment/prometheus", f"--namespace={NAMESPACE}", "--timeout=90s")
        kube(*rollout, what="waiting for Prometheus", timeout=100)
        run.wait_for(f"an answer of Prometheus at {url(cluster)}", lambda: answers(url(cluster)), timeout=60)


def answers(address: str) -> bool:
    """Whether Prometheus is ready to be asked."""
    try:
        # Never by way of a proxy: the address is this machine's own.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{address}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def archive() -> images.Path:
    """The image, made once: the package is unpacked, never installed, so no service of the machine starts."""
    made = paths.folder("images") / "prometheus-debian.tar"
    if not made.exists():
        with paths.lock("prometheus", "making the image of Prometheus"):
            home = paths.folder("packages", "prometheus")
            packages.unpack("prometheus", home)
            files = [images.Placed(home / "usr/bin/prometheus", "/prometheus")]
            images.scratch(IMAGE, files, made, entrypoint=["/prometheus"])
    return made


def _config(cluster: Cluster) -> dict[str, object]:
    wanted = "__meta_kubernetes_pod_annotation_prometheus_io_"
    pods = {
        "job_name": "pods",
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": [
            {"source_labels": [wanted + "scrape"], "action": "keep", "regex": "true"},
            {"source_labels": ["__meta_kubernetes_pod_phase"], "action": "keep", "regex": "Running"},
            {"source_labels": [wanted + "path"], "action": "replace", "regex": "(.+)", "target_label": "__metrics_path__"},
            {
                "source_labels": ["__meta_kubernetes_pod_ip", wanted + "port"],
                "action": "replace",
                "regex": "(.+);(.+)",
                "replacement": "$1:$2",
                "target_label": "__address__",
            },
            {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)"},
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        ],
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
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
        "securityContext": {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/prometheus"}, {"name": "data", "mountPath": "/data"}],
    }
    pod = {
        # Another configuration is another pod; a mounted one would change a minute later.
        "metadata": {"labels": _LABELS, "annotations": {"headgate.dev/config": str(abs(hash_of(config)))}},
        "spec": {
            "serviceAccountName": "prometheus",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"fsGroup": 65532, "runAsUser": 65532},
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": "prometheus"}}, {"name": "data", "emptyDir": {}}],
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


def hash_of(text: str) -> int:
    """A number that is the same in every run, unlike Python's own."""
    return int.from_bytes(text.encode(), "big") % (2**61 - 1)
