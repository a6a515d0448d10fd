"""Light mode: fake nodes and pods by kwok, and its stand-in that answers HTTPRoutes in the gateway's place."""

from __future__ import annotations

import json

from hgcluster import access, binaries, gateway, run
from hgcluster.kube import Kube
from hgcluster.layout import Cluster
from hgcluster.processes import Processes

PROCESSES = ("kwok",)

# A condition that answers the route's present generation; the stage plays again as soon as one is missing.
_ANSWERED = (
    '. as $route | [.status.parents[]? | select(.controllerName == "{controller}") | .conditions[]?'
    " | select(.observedGeneration == $route.metadata.generation)] | length > 0 | tostring"
)

_ANSWER = """\
{{ $route := . }}
{{ $now := now | date "2006-01-02T15:04:05Z07:00" }}
parents:
{{ range .spec.parentRefs }}
- controllerName: CONTROLLER
  parentRef: {{ . | mustToJson }}
  conditions:
  - type: Accepted
    status: "True"
    reason: Accepted
    message: stand-in for the gateway; no traffic flows
    observedGeneration: {{ $route.metadata.generation }}
    lastTransitionTime: {{ $now | quote }}
  - type: ResolvedRefs
    status: "True"
    reason: ResolvedRefs
    message: stand-in for the gateway; no reference was looked up
    observedGeneration: {{ $route.metadata.generation }}
    lastTransitionTime: {{ $now | quote }}
{{ end }}
"""


def _stage() -> dict[str, object]:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": "stand-in-for-the-gateway"},
        "spec": {
            "resourceRef": {"apiGroup": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"},
            "selector": {
                "matchExpressions": [
                    {
                        "key": _ANSWERED.format(controller=gateway.CONTROLLER),
                        "operator": "In",
                        "values": ["false"],
                    },
                    {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                    # A test that plays the gateway itself says so on the route.
                    {
                        "key": '.metadata.annotations["headgate.dev/stand-in"] // "on"',
                        "operator": "NotIn",
                        "values": ["off"],
                    },
                ]
            },
            "next": {
                "patches": [
                    {
                        "subresource": "status",
                        "root": "status",
                        "type": "merge",
                        "template": _ANSWER.replace("CONTROLLER", gateway.CONTROLLER),
                    }
                ]
            },
        },
    }


def _node(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
        },
        "status": {
            "allocatable": {"cpu": "1000", "memory": "4Ti", "pods": "100000"},
            "capacity": {"cpu": "1000", "memory": "4Ti", "pods": "100000"},
        },
    }


def start(cluster: Cluster, processes: Processes, kube: Kube) -> None:
    """Bring the fake nodes and the stand-in up, unless they are."""
    if not processes.pid("kwok"):
        gateway.crds(kube)
        kube.apply(gateway.objects(80), "applying the Gateway that the stand-in answers for")
        config = cluster.folder / "stages.json"
        config.write_text(json.dumps(_stage()))
        processes.ensure(
            "kwok",
            [
                binaries.path("kwok"),
                f"--kubeconfig={access.kubeconfig(cluster, 'headgate-local:kwok')}",
                f"--config={config}",
                "--manage-all-nodes=true",
                # One network for all fake nodes; nothing is ever sent there.
                "--cidr=10.128.0.0/9",
                "--node-lease-duration-seconds=40",
            ],
            env={"GOMAXPROCS": "2"},
        )
    names = [f"fake-{number}" for number in range(cluster.nodes)]
    kube.apply([_node(name) for name in names], f"adding {len(names)} fake nodes")

    def ready() -> bool:
        processes.require("kwok")
        condition = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}'
        return kube("get", "nodes", "-o", f"jsonpath={condition}", what="asking for nodes").count("True") >= len(names)

    run.wait_for("ready fake nodes", ready, timeout=60, why=processes.explain("kwok"))
