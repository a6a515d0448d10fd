"""The node of a local cluster: containerd, kubelet and kube-proxy in name spaces of their own, joined by one cable."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from hgcluster import access, binaries, images, packages, paths, run, ui
from hgcluster.kube import Kube
from hgcluster.layout import Cluster
from hgcluster.processes import Processes

PAUSE_IMAGE = "headgate/pause:1"
_SHARED = ("/var/log", "/var/lib/cni")
_CGROUPS = Path("/sys/fs/cgroup")


def check() -> None:
    """Say at once why a node cannot run here, before anything is built."""
    if not sys.platform.startswith("linux"):
        raise ui.ClusterError(
            "a real node runs on Linux only. Start a Docker engine, or use --context NAME, or --light."
        )
    if os.geteuid() != 0:
        raise ui.ClusterError(
            "a real node needs root (containers, networks), and you are not. Run it with sudo -E, or start a Docker "
            "engine, or use a cluster of yours with --context NAME, or --light, which needs no rights."
        )


def start(cluster: Cluster, processes: Processes) -> None:
    """Start the node unless it runs. The API server may come after it."""
    packages.ensure(packages.NODE, "A real node")
    if processes.pid("node"):
        return
    folder = cluster.folder / "node"
    shutil.rmtree(folder / "run", ignore_errors=True)
    for part in ("run", "cni", "kubelet", "containerd", "log/pods"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    ready = folder / "run" / "ready"
    _cgroups(cluster)
    for host in _SHARED:
        Path(host).mkdir(parents=True, exist_ok=True)
    specification = folder / "node.json"
    specification.write_text(
        json.dumps(
            {
                "binds": {"/var/log": str(folder / "log"), "/var/lib/cni": str(folder / "cni" / "state")},
                "network": {"address": cluster.node_address, "gateway": cluster.host_address},
                "ready": str(ready),
                "logs": str(processes.log("node").parent),
                "children": _children(cluster, folder),
            }
        )
    )
    unshare = packages.find("unshare") or "unshare"
    processes.ensure(
        "node",
        [
            unshare,
            "--net",
            "--pid",
            "--mount",
            "--mount-proc",
            "--fork",
            "--kill-child",
            "--",
            sys.executable,
            str(Path(__file__).with_name("nodeinit.py")),
            str(specification),
        ],
        env={
            "PATH": f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin",
            "GOMAXPROCS": "2",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    run.wait_for(
        "the node's first process", lambda: _inner(processes) is not None, timeout=10, why=processes.explain("node")
    )
    _cable(cluster, _inner(processes) or 0)

    def laid_out() -> bool:
        processes.require("node")
        return ready.exists()

    run.wait_for("the node's network", laid_out, timeout=40, why=processes.explain("node"))


def wait(cluster: Cluster, processes: Processes, kube: Kube) -> None:
    """Import the pause image and wait until the node is Ready and pods can be started on it."""
    kube.apply([_BINDING], "letting kube-proxy watch")
    run.wait_for(
        "containerd",
        lambda: _containerd_answers(processes),
        timeout=60,
        why=processes.explain("containerd"),
    )
    pause = paths.folder("images") / "pause-1.tar"
    if not pause.exists():
        images.scratch(PAUSE_IMAGE, [images.Placed(binaries.path("pause"), "/pause")], pause, entrypoint=["/pause"])
    load(processes, pause)

    def node_ready() -> bool:
        processes.require("node")
        condition = '{.status.conditions[?(@.type=="Ready")].status}'
        words = ("get", "node", cluster.node_name, "--ignore-not-found", "-o", f"jsonpath={condition}")
        return kube(*words, what="asking for the node") == "True"

    run.wait_for("a Ready node", node_ready, timeout=90, why=processes.explain("kubelet"))


def load(processes: Processes, archive: Path) -> str:
    """Import an image archive into the node's containerd."""
    return run.run(
        [*_inside(processes), "ctr", "--namespace", "k8s.io", "images", "import", "-"],
        what=f"importing {archive.name}",
        stdin_file=archive,
        timeout=300,
    )


def stop(cluster: Cluster, processes: Processes) -> None:
    """End the node; its containers, mounts and addresses end with its first process."""
    # When a name space's process 1 ends, the kernel ends all the others in it; nothing there needs a farewell.
    inner = _inner(processes) if processes.pid("node") else None
    if inner:
        os.kill(inner, signal.SIGKILL)
    processes.stop("node", timeout=5)
    _remove_cgroups(cluster)
    run.wait_for("the end of the node's network", lambda: not _link_exists(cluster), timeout=20)
    # Other nodes may still have theirs mounted over it, and removing it would take the mount from them.
    if not any(Path("/sys/class/net").glob("headgate*")):
        with contextlib.suppress(OSError):
            Path("/var/lib/cni").rmdir()  # only when it is empty, so when nobody else uses it


def _link_exists(cluster: Cluster) -> bool:
    return Path(f"/sys/class/net/{cluster.link}").exists()


def _inner(processes: Processes) -> int | None:
    outer = processes.pid("node")
    if not outer:
        processes.require("node")
    try:
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def _inside(processes: Processes) -> list[str]:
    inner = _inner(processes)
    if not inner:
        raise ui.ClusterError("the node does not run. Start it again with: hack/cluster up")
    return ["nsenter", "--target", str(inner), "--mount", "--net", "--pid", "--"]


def _containerd_answers(processes: Processes) -> bool:
    try:
        run.run([*_inside(processes), "ctr", "version"], what="asking containerd", timeout=10)
    except ui.ClusterError:
        return False
    return True


def _cable(cluster: Cluster, inner: int) -> None:
    ip = packages.find("ip") or "ip"
    peer = ["peer", "name", "eth0", "netns", str(inner)]
    run.run([ip, "link", "add", cluster.link, "type", "veth", *peer], what="laying the cable to the node")
    run.run([ip, "address", "add", f"{cluster.host_address}/30", "dev", cluster.link], what="addressing the cable")
    run.run([ip, "link", "set", cluster.link, "up"], what="raising the cable")
    for destination in (cluster.pods, cluster.services):
        run.run([ip, "route", "add", destination, "via", cluster.node_address], what=f"routing {destination}")


def _children(cluster: Cluster, folder: Path) -> dict[str, list[str]]:
    containerd = folder / "containerd.toml"
    containerd.write_text(_containerd(folder))
    network = folder / "cni" / "conf"
    network.mkdir(parents=True, exist_ok=True)
    (network / "10-headgate.conflist").write_text(json.dumps(_cni(cluster)))
    kubelet = folder / "kubelet.json"
    kubelet.write_text(json.dumps(_kubelet(cluster, folder)))
    proxy = folder / "kube-proxy.json"
    # The API server's own Service would need kube-proxy; the node's own parts speak to the machine's end of the cable.
    server = f"https://{cluster.host_address}:{cluster.port('api')}"
    proxy.write_text(json.dumps(_kube_proxy(cluster, server)))
    kubelet_access = access.kubeconfig(cluster, f"system:node:{cluster.node_name}", server)
    dns = folder / "Corefile"
    dns.write_text(_names(cluster, server))
    return {
        "containerd": [packages.find("containerd") or "containerd", "--config", str(containerd)],
        "kubelet": [
            str(binaries.path("kubelet")),
            f"--config={kubelet}",
            f"--kubeconfig={kubelet_access}",
            f"--hostname-override={cluster.node_name}",
            f"--node-ip={cluster.node_address}",
            f"--root-dir={folder / 'kubelet'}",
        ],
        "kube-proxy": [str(binaries.path("kube-proxy")), f"--config={proxy}"],
        "coredns": [str(binaries.path("coredns")), "-conf", str(dns)],
    }


def _names(cluster: Cluster, server: str) -> str:
    # No name outside the cluster is forwarded: nothing in it has a way out.
    return f"""\
.:53 {{
  bind {cluster.node_address}
  errors
  cache 5
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {access.kubeconfig(cluster, "headgate-local:dns", server)}
    ttl 5
  }}
}}
"""


def _containerd(folder: Path) -> str:
    plugins = "/usr/lib/cni" if Path("/usr/lib/cni/ptp").exists() else "/opt/cni/bin"
    # overlayfs cannot lie on itself, which is where the cache is inside a container.
    kind = run.run(["stat", "--file-system", "--format=%T", folder], what="looking at the file system").strip()
    snapshotter = "native" if "overlay" in kind else "overlayfs"
    return f"""version = 2
root = "{folder / "containerd"}"
state = "/run/containerd"
oom_score = 0

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  # A process that may not lower its OOM score could start no container otherwise.
  restrict_oom_score_adj = true
  sandbox_image = "docker.io/{PAUSE_IMAGE}"
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder / "cni" / "conf"}"
"""


def _cni(cluster: Cluster) -> dict[str, object]:
    # One cable per pod instead of a bridge: all traffic is routed, so Services work without bridge filtering.
    return {
        "cniVersion": "0.4.0",
        "name": "headgate",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": cluster.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": "/run/cni-addresses",
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(cluster: Cluster, folder: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": cluster.node_address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(cluster.folder / "keys" / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cluster.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "24h",
        "maxPods": 250,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "eventRecordQPS": 50,
        "nodeStatusUpdateFrequency": "5s",
        "podLogsDir": "/var/log/pods",
        "resolvConf": "",
        "clusterDomain": "cluster.local",
        "clusterDNS": [cluster.node_address],
        "volumePluginDir": str(folder / "kubelet" / "volume-plugins"),
        "staticPodPath": "",
        "rotateCertificates": False,
        "serverTLSBootstrap": False,
    }


def _kube_proxy(cluster: Cluster, server: str) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": cluster.node_name,
        "clusterCIDR": cluster.pods,
        "bindAddress": "0.0.0.0",  # noqa: S104  (of the node's own network)
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {
            "kubeconfig": str(access.kubeconfig(cluster, "system:kube-proxy", server)),
            "qps": 50,
            "burst": 100,
        },
        "conntrack": {"maxPerCore": 0},
        "iptables": {"syncPeriod": "30s", "minSyncPeriod": "0s"},
    }


_BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "headgate-local:kube-proxy"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-proxy"}],
}


def _hierarchies() -> list[Path]:
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [path for path in _CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _cgroups(cluster: Cluster) -> None:
    """Make the group that the kubelet is told to put its pods below; it does not make it itself."""
    for hierarchy in _hierarchies():
        group = hierarchy / cluster.cgroup
        with contextlib.suppress(OSError):
            if (hierarchy / "cgroup.controllers").exists() and hierarchy == _CGROUPS:
                wanted = " ".join(f"+{name}" for name in (hierarchy / "cgroup.controllers").read_text().split())
                (hierarchy / "cgroup.subtree_control").write_text(wanted)
            group.mkdir(exist_ok=True)
            for inherited in ("cpuset.cpus", "cpuset.mems"):
                # With version 1 a new group has no processors until it is given some.
                if (group / inherited).exists() and not (hierarchy / "cgroup.controllers").exists():
                    (group / inherited).write_text((hierarchy / inherited).read_text())


def _remove_cgroups(cluster: Cluster) -> None:
    for hierarchy in _hierarchies():
        group = hierarchy / cluster.cgroup
        if not group.is_dir():
            continue

        def gone(top: Path = group) -> bool:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            return not top.exists()

        # The kernel needs a moment to bury the last process.
        run.wait_for(f"the end of the control group {group}", gone, timeout=20)
