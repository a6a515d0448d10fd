"""Installs the operator in a cluster by its Helm chart, as a user would."""

from __future__ import annotations

import json
from pathlib import Path

from hack.lib.hgdemo.cluster import ROOT, Cluster, Json
from hack.lib.hgdemo.waiting import Trouble, run

NAMESPACE = "headgate-system"
RELEASE = "headgate"
_CHART = ROOT / "helm" / "headgate"
_VALUES = ROOT / "examples" / "values-envoy.yaml"


def install(cluster: Cluster, image: str, *, prometheus: str = "", replicas: int = 1, more: Json | None = None) -> None:
    """Install or upgrade, and wait until the operator is ready; `more` are further values.

    Raises:
        Trouble: if it does not become ready; says what its pods say.
    """
    repository, _, tag = image.rpartition(":")
    values = {
        "image": {"repository": repository, "tag": tag},
        "replicas": replicas,
        "config": {"metricProviders": {"default": {"address": prometheus or address(cluster)}}},
    }
    words: list[str | Path] = ["helm", "upgrade", "--install", RELEASE, _CHART, f"--namespace={NAMESPACE}"]
    words += ["--create-namespace", f"--values={_VALUES}", "--values=-", "--wait", "--timeout=120s"]
    try:
        text = json.dumps(_merged(values, more or {}))
        run(words, environment=cluster.environment, stdin=text, timeout=150)
    except Trouble as trouble:
        raise Trouble(f"the operator does not become ready: {trouble}\n{state(cluster)}") from trouble


def address(cluster: Cluster) -> str:
    """Where pods reach Prometheus: by the address of its Service, because there may be no DNS in the cluster."""
    service = cluster.get("service", "prometheus", "monitoring")
    if service is None:
        raise Trouble(
            "there is no Service prometheus in namespace monitoring; say where Prometheus is with --prometheus."
        )
    return f"http://{service['spec']['clusterIP']}:9090"


def uninstall(cluster: Cluster) -> None:
    """Remove the operator; the CRDs and all that people wrote stay."""
    run(
        ["helm", "uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait", "--timeout=90s"],
        environment=cluster.environment,
        timeout=120,
    )


def state(cluster: Cluster) -> str:
    """The operator's pods and the end of their log."""
    pods = cluster.kubectl("get", "pods", f"--namespace={NAMESPACE}", "-o", "wide", check=False).stdout
    return f"{pods}\n{log(cluster, lines=15)}"


def log(cluster: Cluster, *, lines: int = 100_000) -> str:
    """What the operator's pods have logged, with what a crashed one said before."""
    chosen = (f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=headgate", "--prefix", f"--tail={lines}")
    now = cluster.kubectl("logs", *chosen, check=False).stdout
    before = cluster.kubectl("logs", *chosen, "--previous", check=False).stdout
    return f"{before}{now}"


def _merged(one: Json, other: Json) -> Json:
    found = dict(one)
    for key, value in other.items():
        inner = found.get(key)
        found[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return found
