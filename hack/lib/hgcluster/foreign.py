"""Clusters that are not made here: `kind`, where a Docker engine answers, and any other by the name of its context."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from hgcluster import access, binaries, gateway, monitoring, paths, run, ui, versions
from hgcluster.kube import Kube
from hgcluster.layout import Cluster
from hgcluster.processes import Processes

_KIND_IMAGE = os.environ.get("HEADGATE_KIND_IMAGE", "")  # empty: the one that this kind was released with


def docker_answers() -> bool:
    """Whether there is a Docker engine, not merely its client."""
    if not shutil.which("docker"):
        return False
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def up(cluster: Cluster) -> None:
    """Make the cluster usable by the same commands as one that runs here."""
    if cluster.audit:
        raise ui.ClusterError("an audit log is kept only by clusters that run here; add --local, or leave --audit out.")
    binaries.ensure(["kubectl", "helm"])
    if cluster.mode == "kind":
        _kind_up(cluster)
    else:
        _take_context(cluster)
    kube = Kube(cluster)
    if not kube.ready():
        raise ui.ClusterError(f"the API server of '{cluster.name}' does not answer; is its context right?")
    if cluster.gateway:
        _gateway(cluster, kube)
    if cluster.prometheus:
        if cluster.mode == "external":
            raise ui.ClusterError(
                "Prometheus is installed into clusters of this command only. Install yours into the cluster, and set "
                "HEADGATE_PROMETHEUS_URL to where this machine reaches it."
            )
        binaries.ensure(["scrapetargets"])
        load(cluster, monitoring.archive())
        monitoring.apply(cluster, kube)
        _forward(cluster, "prometheus", "monitoring", "service/prometheus", 9090, "port-forward")


def down(cluster: Cluster) -> None:
    """End what was started here; a cluster that was there before stays as it is."""
    processes = Processes(cluster.folder)
    for name in processes.names():
        processes.stop(name)
    if cluster.mode == "kind":
        run.run([_kind(), "delete", "cluster", "--name", cluster.name], what="deleting the kind cluster", timeout=300)
    else:
        ui.say("the cluster itself was there before and stays; what was installed into it stays too")


def load(cluster: Cluster, archive: Path) -> None:
    """Hand an image to the cluster's nodes."""
    if cluster.mode != "kind":
        raise ui.ClusterError(
            f"'{cluster.context}' is a cluster of yours: push the image into a registry that its nodes pull from."
        )
    run.run(
        [_kind(), "load", "image-archive", archive, "--name", cluster.name],
        what=f"loading {archive.name} into kind",
        timeout=600,
    )


def _kind_up(cluster: Cluster) -> None:
    kind = _kind()
    known = run.run([kind, "get", "clusters"], what="listing kind clusters", timeout=60).split()
    if cluster.name not in known:
        image = ["--image", _KIND_IMAGE] if _KIND_IMAGE else []
        with ui.step(f"creating the kind cluster '{cluster.name}' (usually 1 min)"):
            run.run(
                [
                    kind,
                    "create",
                    "cluster",
                    "--name",
                    cluster.name,
                    "--kubeconfig",
                    cluster.kubeconfig,
                    "--wait",
                    "120s",
                    *image,
                ],
                what="creating the kind cluster",
                timeout=900,
                hint="Without a registry its node image cannot be had; then use --local.",
            )
    config = run.run([kind, "get", "kubeconfig", "--name", cluster.name], what="reading kind's kubeconfig")
    access.private(cluster.kubeconfig, config)


def _take_context(cluster: Cluster) -> None:
    # The user's own kubeconfig is read, never written: this copy knows one context only.
    words = ["config", "view", "--minify", "--flatten", "--raw", "--context", cluster.context]
    access.private(
        cluster.kubeconfig,
        run.run([binaries.path("kubectl"), *words], what=f"reading the context '{cluster.context}'"),
    )


def _gateway(cluster: Cluster, kube: Kube) -> None:
    """Contour's own provisioner, which makes an Envoy for the Gateway from images of its registry."""
    gateway.crds(kube)
    source = binaries.module_folder("github.com/projectcontour/contour", versions.CONTOUR) / "examples"
    kube.apply_files(
        [
            source / "contour/01-crds.yaml",
            *sorted((source / "gateway-provisioner").glob("0[0-9]-*.yaml")),
        ],
        "installing Contour's gateway provisioner",
    )
    kube.apply(gateway.objects(80, "projectcontour.io/gateway-controller"), "applying the Gateway")
    service = f"service/envoy-{gateway.NAME}"
    _forward(cluster, "gateway", gateway.NAMESPACE, service, 80, "gateway")


def _forward(cluster: Cluster, name: str, namespace: str, target: str, port: int, ours: str) -> None:
    """Reach a Service of the cluster at a port of this machine."""
    processes = Processes(cluster.folder)
    kube = Kube(cluster)

    def there() -> bool:
        words = ("get", "--namespace", namespace, "endpoints", target.split("/")[1], "--ignore-not-found")
        return bool(kube(*words, "-o", "jsonpath={.subsets[*].addresses[*].ip}", what=f"looking for {target}"))

    run.wait_for(f"pods behind {target}", there, timeout=300, every=2)
    words = ["--namespace", namespace, "port-forward", "--address", "127.0.0.1", target, f"{cluster.port(ours)}:{port}"]
    processes.ensure(f"forward-{name}", [binaries.path("kubectl"), "--kubeconfig", cluster.kubeconfig, *words])
    run.wait_for(
        f"port {cluster.port(ours)}",
        lambda: gateway.listens("127.0.0.1", cluster.port(ours)),
        timeout=30,
        why=processes.explain(f"forward-{name}"),
    )


def _kind() -> Path:
    installed = shutil.which("kind")
    if installed:
        return Path(installed)
    home = paths.folder("kind", versions.KIND)
    if not (home / "kind").exists():
        with ui.step(f"building kind {versions.KIND} (usually 1 min, once)"):
            run.run(
                ["go", "install", f"sigs.k8s.io/kind@v{versions.KIND}"],
                what="building kind",
                env={"GOBIN": str(home), "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""},
                cwd=home,
                timeout=1200,
            )
    return home / "kind"
