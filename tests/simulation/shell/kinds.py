"""The kinds that the server in memory knows, and by which rules each lives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of object; there is one of each."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    status: bool = False
    """It has the status subresource: `status` and the rest are written apart."""
    generation: bool = False
    """`metadata.generation` counts the changes of everything but metadata and status."""
    custom: bool = False
    """It is served for a CRD."""

    @property
    def api_version(self) -> str:
        """Group and version as objects write them."""
        return f"{self.group}/{self.version}" if self.group else self.version


def _custom(group: str, version: str, plural: str, kind: str, *, namespaced: bool = True, status: bool = True) -> Kind:
    return Kind(group, version, plural, kind, namespaced=namespaced, status=status, generation=True, custom=True)


KINDS = (
    Kind("", "v1", "namespaces", "Namespace", namespaced=False, status=True),
    Kind("", "v1", "configmaps", "ConfigMap"),
    Kind("", "v1", "services", "Service", status=True),
    Kind("", "v1", "pods", "Pod", status=True),
    Kind("apps", "v1", "deployments", "Deployment", status=True, generation=True),
    Kind("apps", "v1", "replicasets", "ReplicaSet", status=True, generation=True),
    Kind("apps", "v1", "controllerrevisions", "ControllerRevision"),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generation=True),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", status=True),
    Kind("coordination.k8s.io", "v1", "leases", "Lease"),
    Kind("events.k8s.io", "v1", "events", "Event"),
    _custom("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute"),
    _custom("headgate.dev", "v1alpha1", "rollouts", "Rollout"),
    _custom("headgate.dev", "v1alpha1", "rolloutactions", "RolloutAction"),
    _custom("headgate.dev", "v1alpha1", "qualitygates", "QualityGate", status=False),
    _custom("headgate.dev", "v1alpha1", "environments", "Environment", namespaced=False, status=False),
)
IN_PLACE = (
    Kind("apps", "v1", "statefulsets", "StatefulSet", status=True, generation=True),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", status=True, generation=True),
    Kind("apps", "v1", "daemonsets", "DaemonSet", status=True, generation=True),
)
"""What a release in place needs: apart, because the order of the others is a part of what each known seed tells."""
BY_NAME = {k.kind: k for k in (*KINDS, *IN_PLACE)}
_BY_PATH = {(k.group, k.version, k.plural): k for k in BY_NAME.values()}


@dataclass(frozen=True, slots=True)
class Where:
    """What a URL path names: a collection (no name) or an object."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@lru_cache(maxsize=4096)
def where(path: str) -> Where | None:
    """What a path names; None if nothing is served there."""
    parts = [unquote(p) for p in path.strip("/").split("/")]
    if parts[0] == "api":
        group, version, rest = "", parts[1] if len(parts) > 1 else "", parts[2:]
    elif parts[0] == "apis" and len(parts) > 2:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    kind = _BY_PATH.get((group, version, rest[0] if rest else ""))
    if kind is None or (kind.namespaced and not namespace and len(rest) > 1) or (namespace and not kind.namespaced):
        return None
    name = rest[1] if len(rest) > 1 else ""
    return Where(kind, namespace, name, rest[2] if len(rest) > 2 else "")


@lru_cache(maxsize=4096)
def taken_apart(url: str) -> tuple[Where | None, dict[str, str]]:
    """What the path of a request names, and its query; not to be changed."""
    parts = urlsplit(url)
    return where(parts.path), {k: v[-1] for k, v in parse_qs(parts.query).items()}
