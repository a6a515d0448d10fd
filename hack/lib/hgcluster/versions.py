"""Every version that the local cluster is made of, and the names of the commands that are built for it."""

from __future__ import annotations

from dataclasses import dataclass

KUBERNETES = "1.34.4"
ETCD = "3.6.4"
CONTOUR = "1.33.8"
HELM = "3.19.5"
KWOK = "0.7.0"
COREDNS = "1.12.4"
KIND = "0.30.0"
GATEWAY_API = "1.3.0"
ENVOY_WHEEL = "1.40.0"
DEBIAN = "bookworm"


@dataclass(frozen=True)
class Command:
    """One Go command: where its source is, and how long its first build usually takes on two cores."""

    name: str
    package: str
    module: str
    version: str
    minutes: float

    @property
    def ours(self) -> bool:
        """Whether its source is in this repository."""
        return self.package.startswith("./")


_KUBERNETES_COMMANDS = {
    "kube-apiserver": 5.5,
    "kubectl": 0.5,
    "kube-controller-manager": 1.5,
    "kube-scheduler": 0.3,
    "kubelet": 1.0,
    "kube-proxy": 0.2,
}

COMMANDS: dict[str, Command] = {
    **{
        name: Command(name, f"k8s.io/kubernetes/cmd/{name}", "", KUBERNETES, minutes)
        for name, minutes in _KUBERNETES_COMMANDS.items()
    },
    "etcd": Command("etcd", "go.etcd.io/etcd/server/v3", "", ETCD, 0.3),
    "contour": Command("contour", "github.com/projectcontour/contour/cmd/contour", "", CONTOUR, 0.7),
    "helm": Command("helm", "helm.sh/helm/v3/cmd/helm", "", HELM, 0.5),
    "certs": Command("certs", "./certs", "", "", 0.1),
    "pause": Command("pause", "./pause", "", "", 0.1),
    "scrapetargets": Command("scrapetargets", "./scrapetargets", "", "", 0.1),
    "coredns": Command("coredns", ".", "coredns", COREDNS, 1.5),
    "kwok": Command("kwok", "sigs.k8s.io/kwok/cmd/kwok", "kwok", KWOK, 2.5),
}

CONTROL_PLANE = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kubectl", "certs")
NODE = ("kubelet", "kube-proxy", "coredns", "pause")
