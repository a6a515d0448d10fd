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
ARGO_CD = "3.3.19"


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
    "argodiff": Command("argodiff", "./.", "argodiff", ARGO_CD, 2),
    "coredns": Command("coredns", ".", "coredns", COREDNS, 0.3),
    "kwok": Command("kwok", "sigs.k8s.io/kwok/cmd/kwok", "kwok", KWOK, 2.5),
}


@dataclass(frozen=True)
class Manifests:
    """A file of manifests that a Go module ships, and what the module's content must sum up to."""

    module: str
    version: str
    file: str
    sum: str


ROUTERS: dict[str, Manifests] = {
    "HTTPRoute": Manifests(
        "sigs.k8s.io/gateway-api",
        GATEWAY_API,
        "config/crd/experimental/gateway.networking.k8s.io_httproutes.yaml",
        "h1:q6okN+/UKDATola4JY7zXzx40WO4VISk7i9DIfOvr9M=",
    ),
    "GRPCRoute": Manifests(
        "sigs.k8s.io/gateway-api",
        GATEWAY_API,
        "config/crd/experimental/gateway.networking.k8s.io_grpcroutes.yaml",
        "h1:q6okN+/UKDATola4JY7zXzx40WO4VISk7i9DIfOvr9M=",
    ),
    "HTTPProxy": Manifests(
        "github.com/projectcontour/contour",
        CONTOUR,
        "examples/contour/01-crds.yaml",
        "h1:QoOfwqWws+CVRFpsRC2+f1DmB5IdurtyUtepIsiWfE0=",
    ),
    "VirtualService": Manifests(
        "istio.io/api",
        "1.28.0",
        "kubernetes/customresourcedefinitions.gen.yaml",
        "h1:0fYY9G03CAdFwE/fCkpr0v7kKsy+Hz9OCCjLNBNLbnU=",
    ),
    "TraefikService": Manifests(
        "github.com/traefik/traefik/v3",
        "3.5.0",
        "docs/content/reference/dynamic-configuration/traefik.io_traefikservices.yaml",
        "h1:LcEVhZkBC0uXp8vNwn+4zCWKmZTnPo95euw6ejmmWPk=",
    ),
    # Open Service Mesh's: of SMI's own module no version has definitions that a present API server takes.
    "TrafficSplit": Manifests(
        "github.com/openservicemesh/osm",
        "1.2.4",
        "cmd/osm-bootstrap/crds/smi_traffic_split.yaml",
        "h1:WBSoLWehnxedIxXHysKOR49DQVbGLW5qBdh6UD8NAUA=",
    ),
    # The last one of 1.x that the module proxy has; it has none of 2.x.
    "ApisixRoute": Manifests(
        "github.com/apache/apisix-ingress-controller",
        "1.7.1",
        "samples/deploy/crd/v1/ApisixRoute.yaml",
        "h1:LaIKeFxBQGhNSTIdwrTNQe0OWXgIRrxl4ObgalX4e20=",
    ),
}
"""The definitions of the kinds that routers keep their weights in, by kind; an Ingress is Kubernetes' own."""

CONTROL_PLANE = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kubectl", "certs")
NODE = ("kubelet", "kube-proxy", "coredns", "pause")
