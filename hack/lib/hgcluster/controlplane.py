"""The control plane of a local cluster: etcd, API server, controllers and scheduler as processes of this machine."""

from __future__ import annotations

import json

from hgcluster import access, binaries, gomemory, run, ui
from hgcluster.kube import Kube
from hgcluster.layout import Cluster
from hgcluster.processes import Processes

# Stopped from left to right; the API server before etcd, without which it could not end its work.
PROCESSES = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")

# Light clusters are for scale: the defaults (20 requests a second) would measure the controllers' patience.
_LIGHT_CONTROLLERS = {
    "kube-api-qps": "500",
    "kube-api-burst": "1000",
    "concurrent-deployment-syncs": "25",
    "concurrent-replicaset-syncs": "50",
    "concurrent-service-endpoint-syncs": "25",
    "concurrent-namespace-syncs": "25",
    "concurrent-gc-syncs": "40",
    "concurrent-serviceaccount-token-syncs": "25",
    # Autoscalers look once in 15 seconds otherwise.
    "horizontal-pod-autoscaler-sync-period": "1s",
}
_LIGHT_SCHEDULER = {"kube-api-qps": "500", "kube-api-burst": "1000"}
_LIGHT_API = {
    "enable-priority-and-fairness": "false",
    "max-requests-inflight": "1200",
    "max-mutating-requests-inflight": "600",
}


def start(cluster: Cluster, processes: Processes) -> Kube:
    """Start what does not run, and wait until the cluster can be worked with."""
    light = cluster.mode == "light"
    access.prepare(cluster)
    _etcd(cluster, processes)
    _api_server(cluster, processes)
    kube = Kube(cluster)

    def ready() -> bool:
        processes.require("etcd")
        processes.require("kube-apiserver")
        return kube.ready()

    run.wait_for("a ready API server", ready, timeout=90, why=processes.explain("kube-apiserver"))
    _controllers(cluster, processes)
    _scheduler(cluster, processes)

    def settled() -> bool:
        processes.require("kube-controller-manager")
        processes.require("kube-scheduler")
        return kube.exists("serviceaccount", "default", "--namespace=default")

    run.wait_for("the first service account", settled, timeout=60, why=processes.explain("kube-controller-manager"))
    if light:
        _say_light()
    return kube


def _say_light() -> None:
    def words(flags: dict[str, str]) -> str:
        return " ".join(f"--{key}={value}" for key, value in flags.items())

    ui.say(f"light mode, kube-apiserver: {words(_LIGHT_API)}")
    ui.say(f"light mode, kube-controller-manager: {words(_LIGHT_CONTROLLERS)}")
    ui.say(f"light mode, kube-scheduler: {words(_LIGHT_SCHEDULER)}")


def _etcd(cluster: Cluster, processes: Processes) -> None:
    client = f"http://127.0.0.1:{cluster.port('etcd')}"
    peer = f"http://127.0.0.1:{cluster.port('etcd-peer')}"
    processes.ensure(
        "etcd",
        [
            binaries.path("etcd"),
            f"--data-dir={cluster.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # Nothing here outlives a power cut, so nothing has to wait for the disk.
            "--unsafe-no-fsync",
            "--quota-backend-bytes=2147483648",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=10m",
            "--log-level=warn",
        ],
        env=gomemory.RUNNING,
    )


def _api_server(cluster: Cluster, processes: Processes) -> None:
    light = cluster.mode == "light"
    keys = cluster.folder / "keys"
    flags = {
        "etcd-servers": f"http://127.0.0.1:{cluster.port('etcd')}",
        "secure-port": cluster.port("api"),
        # Pods reach the API server at the machine's end of the node's cable, so loopback alone would not do.
        "bind-address": "127.0.0.1" if light else "0.0.0.0",  # noqa: S104  (pods come from elsewhere; tokens guard it)
        "advertise-address": cluster.host_address,
        # An address of the loopback range may not be an endpoint of the `kubernetes` Service.
        "endpoint-reconciler-type": "none" if light else "lease",
        "service-cluster-ip-range": cluster.services,
        "service-node-port-range": "30000-32767",
        "tls-cert-file": keys / "apiserver.crt",
        "tls-private-key-file": keys / "apiserver.key",
        "client-ca-file": keys / "ca.crt",
        "kubelet-client-certificate": keys / "kubelet-client.crt",
        "kubelet-client-key": keys / "kubelet-client.key",
        # The node's name is no name that this machine could look up.
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": keys / "service-accounts.key",
        "service-account-signing-key-file": keys / "service-accounts.key",
        "token-auth-file": keys / "tokens.csv",
        "authorization-mode": "Node,RBAC",
        "anonymous-auth": "false",
        "allow-privileged": "true",
        "profiling": "false",
        "shutdown-delay-duration": "0s",
    }
    if light:
        flags |= _LIGHT_API
    if cluster.audit:
        policy = cluster.folder / "audit-policy.json"
        policy.write_text(
            json.dumps(
                {
                    "apiVersion": "audit.k8s.io/v1",
                    "kind": "Policy",
                    "omitStages": ["RequestReceived"],
                    "rules": [{"level": "Metadata"}],
                }
            )
        )
        cluster.audit_log.parent.mkdir(parents=True, exist_ok=True)
        flags |= {"audit-policy-file": policy, "audit-log-path": cluster.audit_log, "audit-log-maxsize": "2000"}
    processes.ensure(
        "kube-apiserver",
        [binaries.path("kube-apiserver"), *(f"--{key}={value}" for key, value in flags.items())],
        env=gomemory.RUNNING,
    )


def _controllers(cluster: Cluster, processes: Processes) -> None:
    keys = cluster.folder / "keys"
    config = access.kubeconfig(cluster, "system:kube-controller-manager")
    flags = {
        "kubeconfig": config,
        "authentication-skip-lookup": "true",
        "bind-address": "127.0.0.1",
        "secure-port": cluster.port("controllers"),
        "leader-elect": "false",
        "allocate-node-cidrs": "false",
        "service-account-private-key-file": keys / "service-accounts.key",
        "root-ca-file": keys / "ca.crt",
        "controllers": "*,-cloud-node-lifecycle-controller,-node-route-controller,-service-lb-controller",
        "endpointslice-updates-batch-period": "0s",
        "profiling": "false",
    }
    if cluster.mode == "light":
        flags |= _LIGHT_CONTROLLERS
    processes.ensure(
        "kube-controller-manager",
        [binaries.path("kube-controller-manager"), *(f"--{key}={value}" for key, value in flags.items())],
        env=gomemory.RUNNING,
    )


def _scheduler(cluster: Cluster, processes: Processes) -> None:
    flags = {
        "kubeconfig": access.kubeconfig(cluster, "system:kube-scheduler"),
        "authentication-skip-lookup": "true",
        "bind-address": "127.0.0.1",
        "secure-port": cluster.port("scheduler"),
        "leader-elect": "false",
        "profiling": "false",
    }
    if cluster.mode == "light":
        flags |= _LIGHT_SCHEDULER
    processes.ensure(
        "kube-scheduler",
        [binaries.path("kube-scheduler"), *(f"--{key}={value}" for key, value in flags.items())],
        env=gomemory.RUNNING,
    )
