"""The generated definitions on a real API server: it takes them, and refuses the objects that they mean to refuse."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from headgate.api import RESOURCES
from tests.api.cluster import ROOT, LightCluster, until
from tests.api.kube import ERRORS, Kube

NAMESPACE = "crds"

GATE: dict[str, Any] = {
    "apiVersion": "headgate.dev/v1alpha1",
    "kind": "QualityGate",
    "metadata": {"name": "golden-signals", "namespace": NAMESPACE},
    "spec": {
        "checks": [{"name": "errors", "prometheus": {"query": {"template": "error-ratio"}}, "pass": {"max": 0.01}}],
    },
}
ROLLOUT: dict[str, Any] = {
    "apiVersion": "headgate.dev/v1alpha1",
    "kind": "Rollout",
    "metadata": {"name": "checkout", "namespace": NAMESPACE},
    "spec": {
        "replicas": 6,
        "workloadRef": {"name": "checkout"},
        "strategy": {
            "canary": {
                "stableService": "checkout",
                "canaryService": "checkout-canary",
                "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}},
                "steps": [
                    {"setWeight": 5},
                    {"gate": {"ref": {"name": "golden-signals"}, "duration": "2m"}},
                    {"pause": {}},
                ],
            }
        },
    },
}
BLUE_GREEN: dict[str, Any] = copy.deepcopy(ROLLOUT)
BLUE_GREEN["spec"]["strategy"] = {
    "blueGreen": {
        "activeService": "checkout",
        "previewService": "checkout-preview",
        "postPromotionGates": [{"ref": {"name": "golden-signals"}, "duration": "2m"}],
        "autoPromotionSeconds": 60,
    }
}
COPIES: dict[str, Any] = {"percentage": 20, "gates": [{"ref": {"name": "golden-signals"}}]}
BY_ROUTE: dict[str, Any] = {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}}
ROLLING: dict[str, Any] = copy.deepcopy(ROLLOUT)
ROLLING["spec"] = {
    "workloadRef": {"kind": "StatefulSet", "name": "checkout"},
    "strategy": {
        "rolling": {
            "steps": [
                {"setBatch": 1, "timeout": "10m", "onTimeout": "Abort"},
                {"gate": {"ref": {"name": "golden-signals"}, "duration": "2m"}},
                {"setBatch": "25%"},
                {"setBatch": "50%"},
                {"pause": {"duration": "5m"}},
            ]
        }
    },
}

ON_NODES: dict[str, Any] = copy.deepcopy(ROLLING)
ON_NODES["spec"]["workloadRef"]["kind"] = "DaemonSet"
ON_NODES["spec"]["template"] = {"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": []}}

BY_HEADER: dict[str, Any] = {
    "setHeaderRoute": {"name": "beta", "match": [{"headerName": "x-version", "headerValue": {"exact": "next"}}]}
}
COPIED: dict[str, Any] = {
    "setMirrorRoute": {"name": "shadow", "percentage": 10, "match": [{"path": {"prefix": "/"}, "method": "GET"}]}
}
NO_COPIES = {"setMirrorRoute": {"name": "shadow"}}
CANARY = ROLLOUT["spec"]["strategy"]["canary"]
BASELINE: dict[str, Any] = {"name": "baseline", "specRef": "Stable"}
SHARED: dict[str, Any] = {**BASELINE, "service": "checkout-baseline", "weight": 5}
COMPARED: dict[str, Any] = {"ref": {"name": "golden-signals"}, "duration": "2m"}


def trial(*variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A step that compares these variants."""
    return {"experiment": {"variants": list(variants), "gate": COMPARED, **more}}


REQUIRED_APART: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": {}}
TURNS: dict[str, Any] = {"pingService": "checkout-ping", "pongService": "checkout-pong"}
TURNING = {k: v for k, v in CANARY.items() if not k.endswith("Service")} | {"pingPong": TURNS}
POOLED_CANARY = {"stableService": "checkout", "steps": [{"setWeight": 20}]}
TRAEFIK = {"traefik": {"weightedTraefikServiceName": "checkout"}}
NGINX = {"nginx": {"canaryIngress": "checkout-canary"}}
STAY = {"cookieName": "stay"}
STAYING = {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}, "sessionAffinity": STAY}
PARTS: dict[str, Any] = NGINX | {"maxTrafficWeight": 1000}
POOLED: dict[str, Any] = copy.deepcopy(ROLLOUT)
POOLED["spec"]["strategy"] = {
    "canary": {"stableService": "checkout", "maxSurge": 1, "maxUnavailable": 0, "steps": [{"setWeight": 20}]}
}


@pytest.fixture(scope="module", autouse=True)
def definitions(light_cluster: LightCluster) -> Iterator[None]:
    """Install the definitions, with strict validation of what they say, and make a namespace."""
    light_cluster.kubectl("apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", str(ROOT / "crds"))
    light_cluster.kubectl("create", "namespace", NAMESPACE)
    until(
        lambda: light_cluster.kubectl("get", "headgate", "-A", check=False).returncode == 0,
        seconds=20,
        what="the kinds are served",
    )
    yield
    light_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def changed(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of an object with one field, `spec.a.0.b`, set to another value."""
    result = copy.deepcopy(base)
    *way, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    node: Any = result
    for step in way:
        node = node[step]
    node[last] = value
    return result


def answer(kube: Kube, manifest: dict[str, Any]) -> str:
    """What the server says about an object, without keeping it; empty if it would take it."""
    resource = next(resource for resource in RESOURCES if resource.kind == manifest["kind"])
    namespace = manifest["metadata"].get("namespace")
    folder = f"/apis/{manifest['apiVersion']}" + (f"/namespaces/{namespace}" if namespace else "")
    code, said = kube.request("POST", f"{folder}/{resource.plural}?dryRun=All&fieldValidation=Strict", manifest)
    return str(said["message"]) if code >= ERRORS else ""


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_definition_is_structural(light_cluster: LightCluster, resource: Any) -> None:
    """The server serves the kind and finds nothing in its schema that is not structural."""
    crd = json.loads(light_cluster.kubectl("get", "crd", resource.crd_name, "-o", "json").stdout)
    conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}

    assert conditions["Established"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize(
    "manifest",
    [GATE, ROLLOUT, BLUE_GREEN, POOLED, ROLLING, ON_NODES],
    ids=["QualityGate", "Rollout", "blue-green", "pooled", "rolling", "DaemonSet"],
)
def test_object_of_few_words_is_taken(kube: Kube, manifest: dict[str, Any]) -> None:
    """What has a default need not be written."""
    assert answer(kube, manifest) == ""


def test_defaults_are_filled_in_outside_atomic_lists_only(light_cluster: LightCluster) -> None:
    """A GitOps tool sees no difference in the steps, which are compared as a whole."""
    taken = json.loads(
        light_cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(ROLLOUT)).stdout
    )

    assert taken["spec"]["progressDeadlineSeconds"] == 600
    assert taken["spec"]["workloadRef"]["kind"] == "Deployment"
    assert taken["spec"]["strategy"]["canary"]["steps"] == ROLLOUT["spec"]["strategy"]["canary"]["steps"]


@pytest.mark.parametrize(
    ("base", "path", "value", "expected"),
    [
        pytest.param(ROLLOUT, "metadata.name", "c" * 41, "at most 40 characters", id="long name"),
        pytest.param(ROLLOUT, "spec.replica", 3, 'unknown field "spec.replica"', id="unknown field"),
        pytest.param(ROLLOUT, "spec.template", {}, "exactly one of template and workloadRef", id="two workloads"),
        pytest.param(
            ROLLOUT, "spec.strategy.canary.canaryService", "checkout", "must be two Services", id="one Service"
        ),
        pytest.param(ROLLOUT, "spec.strategy.canary.steps.0.setWeight", 101, "at most trafficRouting.max", id="weight"),
        pytest.param(ROLLOUT, "spec.strategy.canary.steps.0.pause", {}, "exactly one of", id="two steps in one"),
        pytest.param(ROLLOUT, "spec.strategy.canary.steps.1.gate.duration", "2 minutes", "should match", id="duration"),
        pytest.param(ROLLOUT, "spec.workloadRef.kind", "ReplicaSet", "Unsupported value", id="constant"),
        pytest.param(
            ROLLOUT, "spec.strategy.canary.steps.0.onTimeout", "Abort", "onTimeout needs a timeout", id="no timeout"
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            {"setWeight": 5, "timeout": "5m", "onTimeout": "Promote"},
            "ends a pause and no other step",
            id="weight promoted",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.1",
            {"gate": {"ref": {"name": "golden-signals"}}, "timeout": "5m", "onTimeout": "Promote"},
            "only Pass passes a gate",
            id="gate promoted",
        ),
        pytest.param(
            ROLLOUT, "spec.strategy.canary.steps.0.timeout", "0s", "must be longer than nothing", id="no time"
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.2",
            {"pause": {"duration": "5m"}, "timeout": "300s"},
            "than the duration of its pause",
            id="short timeout",
        ),
        pytest.param(POOLED, "spec.strategy.canary.canaryService", "checkout-canary", "go together", id="no router"),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            {k: v for k, v in CANARY.items() if k != "stableService"},
            "name stableService",
            id="no stable Service",
        ),
        pytest.param(ROLLOUT, "spec.strategy.canary.pingPong", TURNS, "not both forms", id="both forms"),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            TURNING | {"canaryService": "checkout"},
            "not both forms",
            id="turns and a canary Service",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            TURNING | {"pingPong": {"pingService": "checkout", "pongService": "checkout"}},
            "must be two Services",
            id="turns of one",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            {"pingPong": TURNS, "steps": [{"setWeight": 20}]},
            "pingPong needs trafficRouting",
            id="turns without a router",
        ),
        pytest.param(
            ROLLOUT, "spec.strategy.canary", TURNING | {"trafficRouting": NGINX}, "cannot take turns", id="nginx turns"
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            TURNING | {"trafficRouting": {"alb": {"ingress": "checkout"}}},
            "alb.rootService",
            id="turns of an action without a name",
        ),
        pytest.param(ROLLOUT, "spec.strategy.canary.maxSurge", 1, "without trafficRouting", id="surge and router"),
        pytest.param(POOLED, "spec.strategy.canary.maxSurge", "0%", "cannot both be 0", id="no pod to spare"),
        pytest.param(POOLED, "spec.strategy.canary.maxSurge", "one", "should match", id="surge in words"),
        pytest.param(
            POOLED, "spec.strategy.canary.steps.0", {"setCanaryScale": {"replicas": 1}}, "use setWeight", id="scale"
        ),
        pytest.param(POOLED, "spec.strategy.canary.steps.0", BY_HEADER, "only a router tells", id="led by pods"),
        pytest.param(
            POOLED,
            "spec.strategy.canary.steps.0",
            trial(BASELINE),
            "experiment needs trafficRouting",
            id="try pods",
        ),
        pytest.param(ROLLOUT, "spec.strategy.canary.steps.0", trial(), "at least 1 items", id="no variant"),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            trial(*({**BASELINE, "name": f"v{n}"} for n in range(5))),
            "must have at most 4 items",
            id="five variants",
        ),
        pytest.param(ROLLOUT, "spec.strategy.canary.steps.0", trial(BASELINE, BASELINE), "Duplicate", id="one name"),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            trial({**BASELINE, "specRef": "Next"}),
            "Unsupported value",
            id="a variant of what",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            trial({**BASELINE, "replicas": 0}),
            "greater than or equal to 1",
            id="a variant without pods",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            trial({**BASELINE, "weight": 5}),
            "a variant with a weight needs a service",
            id="a share of nobody",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            trial({**BASELINE, "gateArguments": [{"name": "baseline", "value": "Service"}]}),
            "needs a service of the variant",
            id="an argument without a Service",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            trial(SHARED, {**SHARED, "name": "other"}),
            "each variant needs a service of its own",
            id="one Service of two variants",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            trial({**SHARED, "service": "checkout-canary"}),
            "name one that is neither version's",
            id="the canary's Service",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY | {"dynamicStableScale": True, "steps": [trial(SHARED)]},
            "weight and dynamicStableScale cannot be together",
            id="a share of a stable version that shrinks",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY | {"trafficRouting": TRAEFIK, "steps": [trial(SHARED)]},
            "only the Gateway API's router gives a variant a weight",
            id="a share by Traefik",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            trial(BASELINE) | {"pause": {}},
            "exactly one of",
            id="a trial and a pause",
        ),
        pytest.param(POOLED, "spec.strategy.canary.dynamicStableScale", True, "the pods are the weight", id="follows"),
        pytest.param(POOLED, "spec.strategy.canary.minPodsPerReplicaSet", 2, "would be more requests", id="floor"),
        pytest.param(
            POOLED,
            "spec.strategy.canary.replicaProgressThreshold",
            {"type": "Pod", "value": 1},
            "missing part of the weight",
            id="enough pods that are the weight",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.replicaProgressThreshold",
            {"type": "Percent", "value": 101},
            "at most 100",
            id="more than all",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.replicaProgressThreshold",
            {"type": "Pod", "value": 0},
            "greater than or equal to 1",
            id="none is enough",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.replicaProgressThreshold",
            {"type": "Pods", "value": 1},
            "Unsupported value",
            id="enough of what",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.canaryMetadata",
            {"labels": {"headgate.dev/revision": "x"}},
            "keys of labels that begin with headgate.dev/",
            id="label of the operator",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.stableMetadata",
            {"annotations": {"headgate.dev/revision": "x"}},
            "keys of annotations that begin with headgate.dev/",
            id="annotation of the operator",
        ),
        pytest.param(
            ROLLOUT, "spec.strategy.canary.canaryMetadata", {"labels": {"role": "a b"}}, "should match", id="label"
        ),
        pytest.param(ROLLOUT, "spec.strategy.canary.minPodsPerReplicaSet", 0, "greater than or equal to 1", id="none"),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            {"setHeaderRoute": {"name": "beta"}},
            "no step sets it",
            id="no route to take out",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps",
            [BY_HEADER, {"setMirrorRoute": {**COPIED["setMirrorRoute"], "name": "beta"}}],
            "need two names",
            id="one name for two routes",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            {"setMirrorRoute": {"name": "shadow", "percentage": 10}},
            "a percentage needs a match",
            id="copies of nothing",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            {"setHeaderRoute": {"name": "beta", "match": [{}]}},
            "would take every request",
            id="empty match",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            {"setHeaderRoute": {"name": "beta", "match": [{"headerName": "x"}]}},
            "headerName and headerValue go together",
            id="header without a value",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.steps.0",
            {"setHeaderRoute": {"name": "beta", "match": [{"path": {"exact": "/", "prefix": "/"}}]}},
            "exactly one of exact, prefix, regex",
            id="two values",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY | {"trafficRouting": TRAEFIK, "steps": [BY_HEADER]},
            "weights only",
            id="led by traefik",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY | {"trafficRouting": {"alb": {"ingress": "checkout"}}, "steps": [BY_HEADER]},
            "weights only",
            id="led by alb",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY | {"trafficRouting": NGINX, "steps": [COPIED]},
            "remove setMirrorRoute",
            id="copied by nginx",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY | {"antiAffinity": REQUIRED_APART, "dynamicStableScale": True},
            "would wait for nodes",
            id="apart while stable follows",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY | {"trafficRouting": PARTS, "steps": [{"setWeight": 1001}]},
            "at most trafficRouting.maxTrafficWeight",
            id="more than all parts",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.trafficRouting",
            {"alb": {"ingress": "checkout"}, "maxTrafficWeight": 1000},
            "go up to 999",
            id="parts of an ALB",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.trafficRouting",
            {"plugins": [{"name": "mesh", "objects": [{"name": "a"}]}], "maxTrafficWeight": 1000},
            "weights of 100 only",
            id="parts of a plugin",
        ),
        pytest.param(
            ROLLING, "spec.restartAt", "2026-11-01T12:00:00Z", "kubectl rollout restart", id="restart in place"
        ),
        pytest.param(ROLLOUT, "spec.restartAt", "tomorrow", "should match", id="a time that is none"),
        pytest.param(POOLED, "spec.strategy.canary.antiAffinity", REQUIRED_APART, "would wait for nodes", id="apart"),
        pytest.param(BLUE_GREEN, "spec.strategy.blueGreen.antiAffinity", {}, "exactly one of", id="apart in no way"),
        pytest.param(
            ROLLOUT, "spec.strategy.canary.trafficRouting", {"sessionAffinity": STAY}, "name a router", id="no router"
        ),
        *(
            pytest.param(
                ROLLOUT,
                "spec.strategy.canary.trafficRouting",
                STAYING | other,
                "remove sessionAffinity",
                id=f"users of {next(iter(other))}",
            )
            for other in (
                {"contour": {"httpProxies": [{"name": "checkout"}]}},
                TRAEFIK,
                {"smi": {"trafficSplitName": "checkout"}},
                {"apisix": {"route": {"name": "checkout"}}},
                NGINX,
                {"alb": {"ingress": "checkout"}},
                {"plugins": [{"name": "mesh", "objects": [{"name": "a"}]}]},
            )
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.trafficRouting.sessionAffinity",
            {**STAY, "sameSite": "None"},
            "set secure: true",
            id="cookie that browsers drop",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.trafficRouting.sessionAffinity",
            {**STAY, "path": "/a;b"},
            "should match",
            id="path of a cookie",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.trafficRouting.sessionAffinity",
            {"cookieName": "a=b"},
            "should match",
            id="name of a cookie",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.trafficRouting.sessionAffinity",
            {**STAY, "maxAge": 0},
            "greater than or equal to 1",
            id="cookie of no time",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY
            | {
                "trafficRouting": STAYING,
                "steps": [{"setHeaderRoute": {**BY_HEADER["setHeaderRoute"], "name": "session"}}],
            },
            "give the step's route another one",
            id="name of the route for sessions",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY
            | {
                "trafficRouting": STAYING | {"sessionAffinity": {**STAY, "stayOnStable": True}},
                "dynamicStableScale": True,
            },
            "needs its pods",
            id="pods of who stays on stable",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary",
            CANARY
            | {
                "trafficRouting": STAYING | {"sessionAffinity": {**STAY, "stayOnStable": True}},
                "steps": [{"setWeight": 5}, COPIED],
            },
            "whoever asks",
            id="copies of who stays on stable",
        ),
        pytest.param(
            BLUE_GREEN,
            "spec.strategy.blueGreen",
            BLUE_GREEN["spec"]["strategy"]["blueGreen"] | {"trafficRouting": STAYING},
            'unknown field "spec.strategy.blueGreen.trafficRouting.sessionAffinity"',
            id="users of blue-green",
        ),
        pytest.param(ROLLOUT, "spec.rollbackWindow", {"revisions": -1}, "greater than or equal to 0", id="window"),
        pytest.param(ROLLOUT, "spec.rollbackWindow", {}, "revisions: Required value", id="empty window"),
        pytest.param(ROLLOUT, "spec.onNewRevision", "Replace", "Unsupported value", id="policy"),
        pytest.param(ROLLOUT, "spec.onDelete", "Orphan", "Unsupported value", id="end"),
        pytest.param(ROLLOUT, "spec.unhealthyStable", "Ignore", "Unsupported value", id="unhealthy"),
        pytest.param(BLUE_GREEN, "spec.unhealthyStable", "FixForward", "in any case", id="unhealthy of blue-green"),
        pytest.param(
            ROLLING, "spec.unhealthyStable", "FixForward", "remove unhealthyStable", id="unhealthy of rolling"
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.trafficRouting",
            {
                "plugins": [
                    {"name": "mesh", "objects": [{"name": "a"}], "parameters": [{"name": "to", "value": "http://a"}]}
                ]
            },
            "should match",
            id="an address for a plugin",
        ),
        pytest.param(
            ROLLOUT,
            "spec.strategy.canary.trafficRouting",
            {"plugins": [{"name": "mesh", "objects": []}]},
            "at least 1 items",
            id="a plugin without a place",
        ),
        pytest.param(ROLLOUT, "spec.strategy", {}, "exactly one of canary, blueGreen and rolling", id="no strategy"),
        pytest.param(
            ROLLOUT,
            "spec.strategy.blueGreen",
            BLUE_GREEN["spec"]["strategy"]["blueGreen"],
            "exactly one of canary, blueGreen and rolling",
            id="two strategies",
        ),
        pytest.param(
            BLUE_GREEN, "spec.strategy.blueGreen.previewService", "checkout", "must be two Services", id="one for both"
        ),
        pytest.param(
            BLUE_GREEN, "spec.strategy.blueGreen.autoPromotionEnabled", False, "or remove the seconds", id="which now"
        ),
        pytest.param(
            BLUE_GREEN, "spec.strategy.blueGreen.previewReplicaCount", 0, "greater than or equal to 1", id="no preview"
        ),
        pytest.param(
            BLUE_GREEN,
            "spec.strategy.blueGreen.mirror",
            COPIES,
            "only a router copies requests",
            id="no router to copy",
        ),
        pytest.param(
            BLUE_GREEN,
            "spec.strategy.blueGreen",
            BLUE_GREEN["spec"]["strategy"]["blueGreen"] | {"mirror": COPIES, "trafficRouting": NGINX},
            "remove mirror, or use another router",
            id="mirrored by nginx",
        ),
        pytest.param(
            BLUE_GREEN,
            "spec.strategy.blueGreen",
            BLUE_GREEN["spec"]["strategy"]["blueGreen"] | {"mirror": {"gates": []}, "trafficRouting": BY_ROUTE},
            "at least 1 items",
            id="mirror that nobody judges",
        ),
        pytest.param(
            BLUE_GREEN,
            "spec.strategy.blueGreen.promotionTimeout",
            "4h",
            "nobody is waited for",
            id="nobody to wait for",
        ),
        pytest.param(
            BLUE_GREEN, "spec.strategy.blueGreen.onPromotionTimeout", "Abort", "set it, or remove", id="no timeout"
        ),
        pytest.param(
            BLUE_GREEN,
            "spec.strategy.blueGreen.postPromotionGates.0.onTimeout",
            "Abort",
            "onTimeout needs a timeout",
            id="no timeout of a gate",
        ),
        pytest.param(
            BLUE_GREEN,
            "spec.strategy.blueGreen.postPromotionGates.0",
            {"ref": {"name": "golden-signals"}, "timeout": "5m", "onTimeout": "Promote"},
            "Unsupported value",
            id="only Pass passes a gate",
        ),
        pytest.param(
            BLUE_GREEN,
            "spec.strategy.blueGreen.postPromotionGates.0.timeout",
            "0s",
            "longer than nothing",
            id="no time for a gate",
        ),
        pytest.param(ROLLING, "spec.replicas", 3, "scale the workload itself", id="replicas of rolling"),
        pytest.param(ROLLING, "spec.workloadRef.kind", "Deployment", "choose canary or blueGreen", id="rolling kind"),
        pytest.param(ROLLOUT, "spec.workloadRef.kind", "StatefulSet", "choose the strategy rolling", id="canary kind"),
        pytest.param(ROLLING, "spec.workloadRef.kind", "DaemonSet", "set template to the pods", id="no template"),
        pytest.param(ROLLING, "spec.template", {}, "exactly one of template and workloadRef", id="two templates"),
        pytest.param(ROLLING, "spec.minReadySeconds", 5, "set it there", id="minReadySeconds of rolling"),
        pytest.param(ROLLING, "spec.onNewRevision", "Queue", "remove onNewRevision", id="queue of rolling"),
        pytest.param(
            ROLLING, "spec.rollbackWindow", {"revisions": 1}, "remove rollbackWindow", id="rollback window of rolling"
        ),
        pytest.param(ROLLING, "spec.configSnapshots", {}, "give a changed ConfigMap a new name", id="its copies"),
        pytest.param(ROLLOUT, "spec.configSnapshots", {"secrets": "yes"}, "must be of type boolean", id="copies"),
        pytest.param(ROLLOUT, "spec.group", {}, "name: Required value", id="group without a name"),
        pytest.param(ROLLOUT, "spec.group", {"name": "Release"}, "should match", id="name of a group"),
        pytest.param(
            ROLLOUT,
            "spec.group",
            {"name": "g", "after": [{"name": "checkout"}]},
            "come after itself",
            id="after itself",
        ),
        pytest.param(
            ROLLOUT,
            "spec.group",
            {"name": "g", "after": [{"name": "cart", "namespace": "other"}]},
            "needs an environment that lists both",
            id="member elsewhere",
        ),
        pytest.param(
            ROLLING, "spec.strategy.rolling.steps.0", {"pause": {}, "setBatch": 1}, "split it", id="two batch"
        ),
        pytest.param(
            ROLLING,
            "spec.strategy.rolling.steps.0.onTimeout",
            "Promote",
            "use Hold, Abort or Notify",
            id="batch timeout",
        ),
        pytest.param(ROLLING, "spec.strategy.rolling.steps.4.timeout", "5m", "longer than", id="timeout of a pause"),
        pytest.param(ROLLING, "spec.strategy.rolling.steps", [{"pause": {}}], "at least one setBatch", id="no batch"),
        pytest.param(ROLLING, "spec.strategy.rolling.steps.3.setBatch", "100%", "comes by itself", id="whole batch"),
        pytest.param(ROLLING, "spec.strategy.rolling.steps.3.setBatch", 1, "write 1, 2, 3", id="same number"),
        pytest.param(ROLLING, "spec.strategy.rolling.steps.3.setBatch", "120%", "should match", id="more than all"),
        pytest.param(ROLLING, "spec.strategy.rolling.steps.3.setBatch", 0, "greater than or equal to 1", id="none"),
        pytest.param(GATE, "spec.checks.0.prometheus.query.raw", "up", "exactly one of template and raw", id="query"),
        pytest.param(GATE, "spec.checks.0.pass", {}, "at least one of", id="empty threshold"),
        pytest.param(GATE, "spec.checks", GATE["spec"]["checks"] * 2, "Duplicate value", id="list-map key"),
    ],
)
def test_object_that_cannot_be_meant_is_refused(
    kube: Kube, base: dict[str, Any], path: str, value: Any, expected: str
) -> None:
    """The server itself says what is wrong, before anything acts on it."""
    assert expected in answer(kube, changed(base, path, value))


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param({"autoPromotionEnabled": True, "autoPromotionSeconds": 60}, id="after some seconds"),
        pytest.param({"autoPromotionEnabled": False}, id="by hand"),
        pytest.param({"previewReplicaCount": 1}, id="small preview"),
        pytest.param({"trafficRouting": NGINX}, id="by a router"),
        pytest.param({"trafficRouting": BY_ROUTE, "mirror": COPIES}, id="copies"),
        pytest.param(
            {"autoPromotionEnabled": False, "promotionTimeout": "4h", "onPromotionTimeout": "Promote"}, id="wait"
        ),
        pytest.param(
            {"prePromotionGates": [{"ref": {"name": "smoke"}, "timeout": "5m", "onTimeout": "Abort"}]}, id="gate"
        ),
    ],
)
def test_neighbour_of_what_is_refused_is_taken(kube: Kube, strategy: dict[str, Any]) -> None:
    """What the sentences ask for is right."""
    services = {"activeService": "checkout", "previewService": "checkout-preview"}
    assert answer(kube, changed(BLUE_GREEN, "spec.strategy", {"blueGreen": services | strategy})) == ""


@pytest.mark.parametrize(
    "path",
    [
        "header/header.yaml",
        "switch/switch.yaml",
        "sessions/sessions.yaml",
        "ping-pong/ping-pong.yaml",
        "experiment/experiment.yaml",
    ],
)
def test_example_of_routes_is_taken(kube: Kube, path: str) -> None:
    """The Rollout and the gate; `test_routes.py` of the simulation and its neighbours release by them."""
    found = yaml.safe_load_all((ROOT / "examples" / path).read_text(encoding="utf-8"))
    ours = [obj for obj in found if obj["apiVersion"].startswith("headgate.dev/")]
    assert [obj["kind"] for obj in ours] == ["QualityGate", "Rollout"]
    for obj in ours:
        obj["metadata"]["namespace"] = NAMESPACE
        assert answer(kube, obj) == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("spec.strategy.canary.steps.0", {"setWeight": 5, "timeout": "1s"}, id="held"),
        pytest.param(
            "spec.strategy.canary.steps.0", {"setWeight": 5, "timeout": "5m", "onTimeout": "Abort"}, id="taken back"
        ),
        pytest.param(
            "spec.strategy.canary.steps.2", {"pause": {}, "timeout": "4h", "onTimeout": "Promote"}, id="pause promoted"
        ),
        pytest.param(
            "spec.strategy.canary.steps.2",
            {"pause": {"duration": "5m"}, "timeout": "301s", "onTimeout": "Notify"},
            id="longer timeout",
        ),
        pytest.param(
            "spec.strategy.canary.steps.1",
            {"gate": {"ref": {"name": "golden-signals"}}, "timeout": "1h30m", "onTimeout": "Hold"},
            id="gate held",
        ),
        pytest.param(
            "spec.strategy.canary.steps.1",
            {"gate": {"ref": {"name": "golden-signals"}, "arguments": [{"name": "route", "value": "/pay"}]}},
            id="gate with arguments",
        ),
        pytest.param(
            "spec.strategy.canary",
            {"stableService": "checkout", "maxSurge": "25%", "maxUnavailable": 0, "steps": [{"setWeight": 20}]},
            id="pods are the weight",
        ),
        pytest.param(
            "spec.strategy.canary.steps",
            [{"setCanaryScale": {"replicas": 1}}, BY_HEADER, COPIED, NO_COPIES, {"setHeaderRoute": {"name": "beta"}}],
            id="led and copied, and no more",
        ),
        pytest.param(
            "spec.strategy.canary.steps",
            [{"setHeaderRoute": {**BY_HEADER["setHeaderRoute"], "name": f"n{n}"}} for n in range(50)],
            id="as many routes as there may be",
        ),
        pytest.param(
            "spec.strategy.canary.steps",
            [trial(*({**SHARED, "name": f"v{n}", "service": f"v{n}"} for n in range(4))) for _ in range(50)],
            id="as many experiments as there may be",
        ),
        pytest.param(
            "spec.strategy.canary",
            CANARY
            | {"dynamicStableScale": True, "steps": [trial({**BASELINE, "service": "a"}, {**BASELINE, "name": "b"})]},
            id="variants without a share",
        ),
        pytest.param(
            "spec.strategy.canary", CANARY | {"trafficRouting": TRAEFIK, "steps": [trial(BASELINE)]}, id="a trial"
        ),
        pytest.param(
            "spec.strategy.canary.steps",
            [
                trial(
                    {
                        **SHARED,
                        "gateArguments": [{"name": "one", "value": "Service"}, {"name": "two", "value": "Revision"}],
                    }
                )
            ],
            id="both ways to tell of a variant",
        ),
        pytest.param(
            "spec.strategy.canary", CANARY | {"dynamicStableScale": True, "minPodsPerReplicaSet": 1}, id="follows"
        ),
        pytest.param(
            "spec.strategy.canary.replicaProgressThreshold", {"type": "Percent", "value": 100}, id="all are enough"
        ),
        pytest.param(
            "spec.strategy.canary.replicaProgressThreshold", {"type": "Pod", "value": 101}, id="a hundred and one pods"
        ),
        pytest.param(
            "spec.strategy.canary",
            CANARY | {"canaryMetadata": {"labels": {"example.com/role": "new"}, "annotations": {"a": "b c"}}},
            id="labelled",
        ),
        pytest.param("spec.strategy.canary", POOLED_CANARY | {"stableMetadata": {"labels": {"role": ""}}}, id="role"),
        pytest.param(
            "spec.strategy.canary", CANARY | {"trafficRouting": TRAEFIK, "steps": [{"setWeight": 5}]}, id="weighed"
        ),
        pytest.param(
            "spec.strategy.canary", CANARY | {"trafficRouting": NGINX, "steps": [BY_HEADER]}, id="led by nginx"
        ),
        pytest.param("spec.strategy.canary", TURNING, id="turns"),
        pytest.param(
            "spec.strategy.canary",
            TURNING | {"trafficRouting": {"alb": {"ingress": "a", "rootService": "shop"}}, "steps": [{"setWeight": 5}]},
            id="turns by an ALB",
        ),
        pytest.param(
            "spec.strategy.canary",
            CANARY | {"trafficRouting": STAYING, "dynamicStableScale": True, "steps": [{"setWeight": 5}, COPIED]},
            id="users stay",
        ),
        pytest.param(
            "spec.strategy.canary.trafficRouting",
            {
                "istio": {"virtualServices": [{"name": "checkout"}]},
                "sessionAffinity": {
                    "cookieName": "shop_v.2-stay",
                    "maxAge": 34560000,
                    "path": "/a/b.c_~-",
                    "sameSite": "None",
                    "secure": True,
                    "httpOnly": False,
                    "stayOnStable": True,
                },
            },
            id="users of both stay",
        ),
        pytest.param(
            "spec.strategy.canary", CANARY | {"trafficRouting": PARTS, "steps": [{"setWeight": 1000}]}, id="parts"
        ),
        pytest.param(
            "spec.strategy.canary",
            CANARY | {"antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 1}}},
            id="apart",
        ),
        pytest.param("spec.restartAt", "2026-11-01T12:00:00Z", id="restarted"),
        pytest.param("spec.rollbackWindow", {"revisions": 0}, id="no way back without steps"),
        pytest.param("spec.rollbackWindow", {"revisions": 8}, id="wide window"),
        pytest.param("spec.configSnapshots", {}, id="copies of ConfigMaps"),
        pytest.param("spec.configSnapshots", {"secrets": True, "configChangeTriggers": True}, id="copies of all"),
        pytest.param("spec.group", {"name": "g"}, id="group"),
        pytest.param("spec.group", {"name": "g", "after": [{"name": "cart"}, {"name": "web"}]}, id="after others"),
        pytest.param(
            "spec.group",
            {"name": "g", "environment": "live", "after": [{"name": "checkout", "namespace": "other"}]},
            id="after one elsewhere, of the same name",
        ),
        pytest.param("spec.unhealthyStable", "FixForward", id="fix forward"),
        pytest.param(
            "spec.strategy.canary.trafficRouting",
            {"plugins": [{"name": "mesh", "objects": [{"name": "a"}], "parameters": [{"name": "list", "value": "b"}]}]},
            id="a plugin",
        ),
        pytest.param("spec.onNewRevision", "Supersede", id="supersede"),
        pytest.param("spec.onNewRevision", "Queue", id="queue"),
        pytest.param("spec.onNewRevision", "Reject", id="reject"),
        pytest.param("spec.onDelete", "Keep", id="keep"),
    ],
)
def test_neighbour_of_a_refused_canary_is_taken(kube: Kube, path: str, value: Any) -> None:
    """The same for what a canary may say."""
    assert answer(kube, changed(ROLLOUT, path, value)) == ""


def test_router_is_neither_taken_away_nor_given_while_the_rollout_lives(light_cluster: LightCluster) -> None:
    """What one kind of canary has written into Services the other would not clean up; other changes are free."""
    made = changed(ROLLOUT, "metadata.name", "stays")
    light_cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
    status = json.dumps({"status": {"phase": "Healthy"}})
    light_cluster.kubectl(
        "patch", "rollout", "stays", "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", status
    )

    def update(strategy: dict[str, Any]) -> str:
        manifest = json.dumps(changed(made, "spec.strategy", strategy))
        done = light_cluster.kubectl("replace", "--dry-run=server", "-f", "-", stdin=manifest, check=False)
        return done.stderr if done.returncode else ""

    assert "delete the Rollout, which hands the Services back" in update(POOLED["spec"]["strategy"])
    assert "the steps of a release under way are parts of it" in update({"canary": CANARY | {"trafficRouting": PARTS}})
    assert update(BLUE_GREEN["spec"]["strategy"]) == ""
    assert update({"canary": ROLLOUT["spec"]["strategy"]["canary"] | {"steps": [{"setWeight": 50}]}}) == ""


@pytest.mark.parametrize(
    ("strategy", "path", "value"),
    [
        ("canary", "stableService", "other"),
        ("canary", "canaryService", "other"),
        ("canary", "trafficRouting", {"gatewayAPI": {"httpRoutes": [{"name": "other"}]}}),
        ("canary", "", TURNING),
        ("blueGreen", "activeService", "other"),
        ("blueGreen", "previewService", "other"),
        ("blueGreen", "trafficRouting", {"gatewayAPI": {"httpRoutes": [{"name": "other"}]}}),
    ],
)
def test_where_requests_are_led_is_not_changed_under_a_release(
    light_cluster: LightCluster, strategy: str, path: str, value: Any
) -> None:
    """What leads to the new version would be named nowhere any more; at rest, and to mend a wrong name, it may be."""
    made = ROLLOUT if strategy == "canary" else BLUE_GREEN
    made = changed(made, "metadata.name", f"under-{strategy}-{path or 'turns'}".lower())
    other = changed(made, f"spec.strategy.{strategy}{path and '.'}{path}", value)
    light_cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))

    def update(status: dict[str, Any], manifest: dict[str, Any]) -> str:
        name = made["metadata"]["name"]
        words = ("rollout", name, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p")
        light_cluster.kubectl("patch", *words, json.dumps({"status": status}))
        replace = ("replace", "--dry-run=server", "-f", "-")
        done = light_cluster.kubectl(*replace, stdin=json.dumps(manifest), check=False)
        return done.stderr if done.returncode else ""

    def ready(status: str) -> dict[str, Any]:
        said = {"reason": "Any", "message": "any", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        return {"conditions": [{"type": "Ready", "status": status, **said}]}

    led = {"weights": {"desired": 20, "observed": 20, "routes": None}}
    by_header = {"weights": {"desired": 0, "observed": 0, "routes": ["testers"]}}
    nowhere = {"weights": {"desired": 20, "observed": 0, "routes": None}}
    for led_there in (led | ready("True"), led | ready("False"), by_header | ready("False"), nowhere | ready("True")):
        assert "wait for the end of the release, or abort it" in update({"phase": "Progressing"} | led_there, other)
        assert update({}, changed(made, "spec.progressDeadlineSeconds", 77)) == "", "all else may be changed"
    assert update({"phase": "Progressing"} | nowhere | ready("False"), other) == "", "a wrong name can be mended"
    for phase in ("Healthy", "Degraded"):
        assert update({"phase": phase} | led | ready("True"), other) == ""


def test_replicas_may_not_be_left_out_where_pods_are_run(kube: Kube) -> None:
    """Nobody gets no pods by forgetting how many; rolling alone goes by the workload."""
    forgetful = copy.deepcopy(ROLLOUT)
    del forgetful["spec"]["replicas"]
    assert "must know how many" in answer(kube, forgetful)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([{"setBatch": 1}, {"setBatch": 2}, {"setBatch": 3}], id="numbers"),
        pytest.param([{"setBatch": 1}, {"setBatch": "25%"}, {"setBatch": "99%"}, {"setBatch": 7}], id="mixed"),
        pytest.param([{"setBatch": "9%"}, {"setBatch": "10%"}], id="parts are compared as numbers"),
        pytest.param([{"setBatch": n + 1} for n in range(50)], id="as many as there may be"),
    ],
)
def test_batches_that_grow_are_taken(kube: Kube, steps: list[dict[str, Any]]) -> None:
    """What the sentences ask for is right."""
    assert answer(kube, changed(ROLLING, "spec.strategy.rolling.steps", steps)) == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [("spec.minReadySeconds", 0), ("spec.onNewRevision", "Supersede"), ("spec.progressDeadlineSeconds", 60)],
)
def test_neighbour_of_what_rolling_refuses_is_taken(kube: Kube, path: str, value: Any) -> None:
    """The defaults may be written out."""
    assert answer(kube, changed(ROLLING, path, value)) == ""


def test_rolling_stays_so_for_its_workload(light_cluster: LightCluster) -> None:
    """Another strategy or workload would leave the update of this one closed; other fields may change."""
    light_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(ROLLING))

    def edit(path: str, value: Any) -> str:
        body = json.dumps(changed(ROLLING, path, value))
        result = light_cluster.kubectl("replace", "--dry-run=server", "-f", "-", stdin=body, check=False)
        return result.stderr if result.returncode else ""

    assert "delete it, which opens it again" in edit("spec.workloadRef.name", "other")
    assert "delete it, which opens it again" in edit("spec", ROLLOUT["spec"])
    assert "delete it, which opens it again" in edit("spec", ON_NODES["spec"])
    assert edit("spec.strategy.rolling.steps", [{"setBatch": 2}]) == ""
    light_cluster.kubectl("delete", "rollout", "checkout", "--namespace", NAMESPACE)
