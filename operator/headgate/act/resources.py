"""Where the kinds that the operator touches live in the API."""

from __future__ import annotations

from headgate.api import ENVIRONMENT, QUALITY_GATE, ROLLOUT, ROLLOUT_ACTION
from headgate.traffic.protocol import Resource

ROLLOUTS = Resource(ROLLOUT.group, ROLLOUT.version, ROLLOUT.plural, ROLLOUT.kind)
QUALITY_GATES = Resource(QUALITY_GATE.group, QUALITY_GATE.version, QUALITY_GATE.plural, QUALITY_GATE.kind)
ROLLOUT_ACTIONS = Resource(ROLLOUT_ACTION.group, ROLLOUT_ACTION.version, ROLLOUT_ACTION.plural, ROLLOUT_ACTION.kind)
ENVIRONMENTS = Resource(ENVIRONMENT.group, ENVIRONMENT.version, ENVIRONMENT.plural, ENVIRONMENT.kind)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
SERVICES = Resource("", "v1", "services", "Service")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
PODS = Resource("", "v1", "pods", "Pod")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace")
AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIG_KINDS = {r.kind: r for r in (CONFIG_MAPS, SECRETS)}
"""What a pod template may refer to, by kind."""
HANDED_BACK = {r.kind: r for r in (SERVICES, DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)}
"""What is written to of others' objects, by kind, besides those of routers."""
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")


def api_version(resource: Resource) -> str:
    """The group and version as objects write them."""
    return f"{resource.group}/{resource.version}" if resource.group else resource.version


def path(resource: Resource, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
    """The URL path of a collection or an object."""
    parts = ["/apis", resource.group] if resource.group else ["/api"]
    parts.append(resource.version)
    if namespace:
        parts += ["namespaces", namespace]
    parts.append(resource.plural)
    if name:
        parts.append(name)
        if subresource:
            parts.append(subresource)
    return "/".join(parts)
