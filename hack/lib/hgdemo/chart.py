"""Installs the operator in a cluster by its Helm chart, as a user would."""

from __future__ import annotations

from pathlib import Path

from hack.lib.hgdemo.cluster import ROOT, Cluster
from hack.lib.hgdemo.waiting import Trouble, run

NAMESPACE = "headgate-system"
RELEASE = "headgate"
_CHART = ROOT / "helm" / "headgate"
_VALUES = ROOT / "examples" / "values-envoy.yaml"


def install(cluster: Cluster, tag: str, *, replicas: int = 1, values: tuple[str, ...] = ()) -> None:
    """Install or upgrade, and wait until the operator is ready.

    Raises:
        Trouble: if it does not become ready; says what its pods say.
    """
    words: list[str | Path] = [
        "helm",
        "upgrade",
        "--install",
        RELEASE,
        _CHART,
        f"--namespace={NAMESPACE}",
        "--create-namespace",
    ]
    words += [f"--values={_VALUES}", "--set-string", f"image.tag={tag}", "--set", f"replicas={replicas}"]
    words += ["--set-string", f"config.metricProviders.default.address={cluster.prometheus}"]
    for value in values:
        words += ["--set", value]
    try:
        run([*words, "--wait", "--timeout=120s"], environment=cluster.environment, timeout=150)
    except Trouble as trouble:
        raise Trouble(f"the operator does not become ready: {trouble}\n{state(cluster)}") from trouble


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
