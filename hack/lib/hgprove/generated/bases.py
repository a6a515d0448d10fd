"""Good objects of each kind that together hold every property: what the cases take away from, add to and spoil."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headgate.api.common import API_VERSION
from headgate.decide.revision import pod_hash_of, revision_of

Json = dict[str, Any]
GATE = "golden"
GIVEN = [{"name": "quantile", "value": "0.99"}]
"""What a step gives to the gate."""
TIME = "2026-01-01T00:00:00Z"
ON_OTHER_NODES: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": {}}
"""Pods of two versions on no node together; for bases that get no pods, because a cluster may have one node."""


def template(name: str, version: int) -> Json:
    """The pod template of a version."""
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": f"registry.example/{name}:v{version}"}]},
    }


def _rollout(name: str, steps: list[Json], source: Json, **more: Any) -> Json:
    canary = {
        "stableService": name,
        "canaryService": f"{name}-canary",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": name, "rule": "main"}]}},
        "steps": steps,
        "scaleDownDelaySeconds": 0,
        "abortScaleDownDelaySeconds": 0,
    }
    spec = {"replicas": 2, **source, "strategy": {"canary": canary}, **more}
    return {"apiVersion": API_VERSION, "kind": "Rollout", "metadata": {"name": name}, "spec": spec}


def good(name: str, version: int) -> Json:
    """A Rollout that uses what there is, and that its gates promote within seconds."""
    reference = {"kind": "QualityGate", "name": f"{name}-{GATE}"}
    steps: list[Json] = [
        {"setCanaryScale": {"replicas": 2}},
        {"setWeight": 20, "timeout": "1m", "onTimeout": "Abort"},
        {"pause": {"duration": "200ms"}},
        {"gate": {"ref": reference, "duration": "2s", "count": 1, "arguments": GIVEN}},
        {"setCanaryScale": {"weight": 60}},
        {"setWeight": 50},
        {"setCanaryScale": {"matchTrafficWeight": True}},
    ]
    return _rollout(
        name,
        steps,
        {"template": template(name, version)},
        gates=[{"ref": reference, "interval": "1s"}],
        minReadySeconds=0,
        revisionHistoryLimit=3,
        progressDeadlineSeconds=60,
        paused=False,
        onNewRevision="Supersede",
        unhealthyStable="Hold",
        onDelete="Revert",
        rollbackWindow={"revisions": 1},
    )


def referring(name: str, **_: Any) -> Json:
    """A Rollout that takes its template from a Deployment."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return _rollout(name, [{"setWeight": 50}], {"workloadRef": reference})


def led(name: str, version: int) -> Json:
    """A Rollout whose canary gets requests by header, and copies of others, in every way there is to ask for them."""
    matches = [
        {f"{what}Name": "x", f"{what}Value": {how: "a"}}
        for what in ("header", "cookie", "query")
        for how in ("exact", "prefix", "regex")
    ][:6]
    paths: list[Json] = [
        {"queryName": "x", "queryValue": {how: "a"}, "path": {how: "/a"}, "method": "GET"}
        for how in ("exact", "prefix", "regex")
    ]
    steps: list[Json] = [
        {"setWeight": 5},  # What is asked for besides the steps comes with this one alone.
        {"setHeaderRoute": {"name": "beta", "match": matches}},
        {"setHeaderRoute": {"name": "inner", "match": paths}},
        {"setMirrorRoute": {"name": "shadow", "percentage": 50, "match": matches}},
        {"setMirrorRoute": {"name": "copy", "percentage": 50, "match": paths}},
        {"setHeaderRoute": {"name": "beta"}},
        {"setMirrorRoute": {"name": "shadow"}},
    ]
    made = _rollout(name, steps, {"template": template(name, version)})
    made["spec"]["strategy"]["canary"]["trafficRouting"]["sessionAffinity"] = {
        "cookieName": "stay",
        "maxAge": 60,
        "path": "/",
        "sameSite": "Strict",
        "secure": True,
        "httpOnly": True,
        "stayOnStable": False,
    }
    made["spec"]["strategy"]["canary"] |= {
        "dynamicStableScale": True,
        "minPodsPerReplicaSet": 2,
        "replicaProgressThreshold": {"type": "Percent", "value": 90},
        "canaryMetadata": {"labels": {"role": "canary"}, "annotations": {"example.com/role": "canary"}},
        "stableMetadata": {"labels": {"role": "stable"}, "annotations": {"example.com/role": "stable"}},
        "antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 1}},
    }
    return made


def _elsewhere(name: str) -> Json:
    """Routers that the cluster of the trials does not have."""
    return {
        "gatewayAPI": {"grpcRoutes": [{"name": name, "rule": "main"}]},
        "contour": {"httpProxies": [{"name": name, "route": "/shop"}]},
        "istio": {
            "virtualServices": [
                {
                    "name": name,
                    "routes": ["main"],
                    "tlsRoutes": [{"port": 443, "sniHosts": ["shop.test"]}],
                    "tcpRoutes": [{"port": 3306}],
                }
            ]
        },
        "traefik": {"weightedTraefikServiceName": name},
        "smi": {"trafficSplitName": name},
        "apisix": {"route": {"name": name, "rules": ["main"]}},
        "nginx": {"canaryIngress": name},
        "alb": {"ingress": name, "rootService": "shop", "annotationPrefix": "alb.example.com"},
        "plugins": [
            {
                "name": "example",
                "objects": [{"name": name, "rule": "main"}],
                "parameters": [{"name": "list", "value": "shares"}],
            }
        ],
    }


def routed(name: str, version: int) -> Json:
    """A Rollout behind routers that are not there, and with copies that nobody allowed."""
    made = _rollout(name, [{"setWeight": 50}], {"template": template(name, version)})
    made["spec"]["strategy"]["canary"] |= {"trafficRouting": _elsewhere(name), "antiAffinity": ON_OTHER_NODES}
    made["spec"]["configSnapshots"] = {"secrets": True, "configChangeTriggers": True}
    return made


def switching(name: str, version: int) -> Json:
    """A Rollout that switches between the same two Services, and is promoted within seconds, too."""
    reference: Json = {"ref": {"kind": "QualityGate", "name": f"{name}-{GATE}"}, "duration": "2s", "count": 1}
    reference["arguments"] = GIVEN
    in_time = {**reference, "timeout": "1m", "onTimeout": "Abort"}
    made = _rollout(name, [], {"template": template(name, version)})
    made["spec"]["strategy"] = {
        "blueGreen": {
            "activeService": name,
            "previewService": f"{name}-canary",
            "previewReplicaCount": 1,
            "prePromotionGates": [in_time],
            "postPromotionGates": [in_time],
            "autoPromotionEnabled": True,
            "autoPromotionSeconds": 1,
            "scaleDownDelaySeconds": 0,
            "abortScaleDownDelaySeconds": 0,
            "antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 1}},
        }
    }
    return made


def asking(name: str, version: int) -> Json:
    """A Rollout that switches when somebody says so."""
    made = switching(name, version)
    strategy = made["spec"]["strategy"]["blueGreen"]
    del strategy["autoPromotionSeconds"]
    strategy |= {"autoPromotionEnabled": False, "promotionTimeout": "1m", "onPromotionTimeout": "Promote"}
    return made


def copying(name: str, version: int) -> Json:
    """A Rollout that copies requests before it switches all of them by its route, and is promoted within seconds."""
    made = switching(name, version)
    strategy = made["spec"]["strategy"]["blueGreen"]
    matches: list[Json] = [
        {f"{what}Name": "x" for what in ("header", "cookie", "query")}
        | {f"{what}Value": {how: "a"} for what in ("header", "cookie", "query")}
        | {"path": {how: "/a"}, "method": "GET"}
        for how in ("exact", "prefix", "regex")
    ]
    strategy["trafficRouting"] = {"gatewayAPI": {"httpRoutes": [{"name": name, "rule": "main"}]}}
    strategy["mirror"] = {"percentage": 50, "match": matches, "gates": strategy["prePromotionGates"]}
    return made


def diverting(name: str, version: int) -> Json:
    """A Rollout that would switch by routers that are not there."""
    made = switching(name, version)
    made["spec"]["strategy"]["blueGreen"] |= {"trafficRouting": _elsewhere(name), "antiAffinity": ON_OTHER_NODES}
    return made


def pooled(name: str, version: int) -> Json:
    """A Rollout without a router, whose pods are the weight."""
    made = _rollout(name, [{"setWeight": 50}], {"template": template(name, version)})
    made["spec"]["strategy"] = {
        "canary": {"stableService": name, "maxSurge": 1, "maxUnavailable": "50%", "steps": [{"setWeight": 50}]}
    }
    return made


def finer(name: str, version: int) -> Json:
    """A Rollout whose weights are parts of more than 100."""
    made = _rollout(name, [{"setWeight": 100}], {"template": template(name, version)})
    made["spec"]["strategy"]["canary"]["trafficRouting"]["maxTrafficWeight"] = 200
    return made


def turning(name: str, version: int) -> Json:
    """A Rollout whose two Services take turns."""
    made = _rollout(name, [{"setWeight": 50}], {"template": template(name, version)})
    canary = made["spec"]["strategy"]["canary"]
    canary["pingPong"] = {"pingService": canary.pop("stableService"), "pongService": canary.pop("canaryService")}
    return made


def comparing(name: str, version: int) -> Json:
    """A Rollout that would compare two variants, of which one would be behind a Service that there is not."""
    judged: Json = {"ref": {"kind": "QualityGate", "name": f"{name}-{GATE}"}, "duration": "2s", "count": 1}
    told = {"name": "quantile", "value": "Service"}
    variants: list[Json] = [
        {"name": "a", "specRef": "Stable", "service": "nowhere", "weight": 5, "replicas": 1, "gateArguments": [told]},
        {"name": "b", "specRef": "Canary"},
    ]
    steps: list[Json] = [
        {"setWeight": 50},
        {"experiment": {"variants": variants, "gate": judged}},
        {"experiment": {"variants": variants[1:], "gate": {**judged, "arguments": GIVEN}}},
    ]
    return _rollout(name, steps, {"template": template(name, version)})


def grouped(name: str, version: int) -> Json:
    """A Rollout in the group of an Environment that there is none of, after another one that there is not."""
    made = _rollout(name, [{"setWeight": 50}], {"template": template(name, version)})
    before = {"name": f"{name}-before", "namespace": "elsewhere"}
    made["spec"]["group"] = {"name": "release", "environment": "nowhere", "after": [before]}
    return made


def replacing(name: str, **_: Any) -> Json:
    """A Rollout of a StatefulSet, in place, which the operator of the trials is not set up for."""
    reference: Json = {"ref": {"kind": "QualityGate", "name": f"{name}-{GATE}"}, "duration": "2s", "count": 1}
    reference["arguments"] = GIVEN
    steps: list[Json] = [
        {"setBatch": 1, "timeout": "1m", "onTimeout": "Abort"},
        {"pause": {"duration": "200ms"}},
        {"setBatch": "50%"},
        {"gate": reference},
    ]
    made = _rollout(name, [], {"workloadRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name}})
    del made["spec"]["replicas"]
    made["spec"]["strategy"] = {"rolling": {"steps": steps}}
    return made


def waiting(name: str, version: int) -> Json:
    """A Rollout whose release waits for a person."""
    return _rollout(name, [{"setWeight": 50}, {"pause": {}}], {"template": template(name, version)})


def restarting(name: str, version: int) -> Json:
    """A Rollout whose pods are to be replaced in a time to come, which the operator of the trials is not set up for."""
    made = waiting(name, version)
    made["spec"]["restartAt"] = "2099-01-01T00:00:00Z"
    return made


def gate(name: str, **_: Any) -> Json:
    """A gate that passes while nothing is wrong."""
    query = {"template": "slow", "arguments": [{"name": "quantile", "value": "0.95"}]}
    check = {
        "name": "slow",
        "prometheus": {"provider": "up", "query": query, "range": {"step": "1s", "reduce": "Max"}},
        "pass": {"min": 0, "max": 1},
        "fail": {"min": 5},
    }
    plain = {"name": "errors", "prometheus": {"provider": "up", "query": {"template": "errors"}}, "pass": {"equals": 1}}
    sampled = {**plain, "name": "sampled", "minSample": {"query": query, "min": 0.5}}
    sampled["pass"], sampled["fail"] = {"max": 1}, {"equals": 9, "max": 9}
    spec = {
        "checks": [check, plain, sampled],
        "interval": "1s",
        "initialDelay": "0s",
        "duration": "3s",
        "count": 1,
        "failureLimit": 0,
        "inconclusiveLimit": 0,
        "consecutiveErrorLimit": 0,
        "onUnknown": "Hold",
    }
    return {"apiVersion": API_VERSION, "kind": "QualityGate", "metadata": {"name": f"{name}-{GATE}"}, "spec": spec}


def gate_of_words(name: str, **_: Any) -> Json:
    """A gate with queries in Prometheus' own words, which the admin does not allow here."""
    made = gate(name)
    raw = {"raw": "vector(0)", "arguments": [{"name": "quantile", "value": "0.95"}]}
    check = {"name": "raw", "prometheus": {"provider": "up", "query": raw}, "pass": {"max": 1}}
    sample = {"query": {"raw": "vector(9)", "arguments": raw["arguments"]}, "min": 0.5}
    made["spec"]["checks"] = [{**check, "minSample": sample}]
    return made


def environment(name: str, **_: Any) -> Json:
    """An Environment; the kind belongs to no namespace."""
    spec = {"namespaces": ["one", "two"], "after": ["before"], "description": "the second one"}
    return {"apiVersion": API_VERSION, "kind": "Environment", "metadata": {"name": name}, "spec": spec}


def action(name: str, version: int = 2, **_: Any) -> Json:
    """A person's act on a release that waits."""
    spec = {
        "rollout": name,
        "verb": "undo",
        "revision": pod_hash_of(revision_of(template(name, version))),
        "attempt": 1,
        "author": "carol",
        "reason": "a reason",
        "toRevision": "abcdef",
    }
    status = {"phase": "Refused", "message": "for a reason", "at": TIME}
    meta = {"name": f"{name}-act"}
    return {"apiVersion": API_VERSION, "kind": "RolloutAction", "metadata": meta, "spec": spec, "status": status}


def journal(name: str, version: int) -> Json:
    """A Rollout at rest on a version, with a status that holds every field."""
    revision = revision_of(template(name, version))
    pod_hash = pod_hash_of(revision)
    ref = {"revision": revision, "podHash": pod_hash, "attempt": 1, "since": TIME, "fast": False}
    other = {"revision": "sha256:0", "podHash": "abcdef", "attempt": 1}
    measurement = {"at": TIME, "value": 1.5, "sample": 3.5, "verdict": "Pass", "reason": "NoData"}
    check: Json = {"name": "errors", "asked": 1, "askedAt": TIME, "query": "errors", "rule": "<= 1"}
    check |= dict.fromkeys(("passes", "failures", "unknowns", "errors", "consecutiveErrors"), 0)
    check["measurements"] = [measurement]
    run = {"name": f"{name}-{GATE}", "step": -1, "podHash": pod_hash, "attempt": 1, "window": 1, "startedAt": TIME}
    run |= {"extended": False, "verdict": "Pass", "held": False, "overridden": "", "decidedAt": TIME}
    run |= {"message": "passes", "checks": [check]}
    condition = {"type": "Ready", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": TIME}
    taken = {"uid": "1", "name": "old", "verb": "abort", "author": "carol", "accepted": True, "message": "", "at": TIME}
    ended = {**other, "outcome": "Superseded", "startedAt": TIME, "finishedAt": TIME, "message": ""}
    promoted = {**ended, "revision": revision, "podHash": pod_hash, "outcome": "Promoted"}
    status = {
        "observedGeneration": 1,
        "decision": 7,
        "phase": "Healthy",
        "message": "at rest",
        "stable": ref,
        "stablePingPong": "Ping",
        "current": ref,
        "target": ref,
        "currentStepIndex": 0,
        "stepCount": 0,
        "step": "",
        "stepStartedAt": TIME,
        "stepTimer": {"since": TIME, "ranOut": "Hold"},
        "progressSince": TIME,
        "holdMessage": "",
        "weights": {
            "stableFollows": True,
            "desired": 0,
            "observed": 0,
            "applied": True,
            "routes": ["beta@0"],
            "reasserted": 0,
            "reassertedAt": TIME,
        },
        "paused": {"by": "carol", "reason": "a reason", "since": TIME},
        "group": {
            "group": f"somewhere/{name}-group",
            "finished": 1,
            "through": TIME,
            "voted": True,
            "takenBack": {
                "member": f"somewhere/{name}",
                "reason": "Aborted",
                "podHash": "abcdef",
                "attempt": 1,
                "since": TIME,
                "through": TIME,
                "over": TIME,
            },
        },
        "hotfix": {"by": "dave", "reason": "another reason", "since": TIME},
        "replicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "updatedReplicas": 2,
        "selector": f"headgate.dev/rollout={name}",
        "collisionCount": 0,
        "workload": {"observedGeneration": 1, "revision": "db-1", "adopted": False, "reasserted": 0},
        "restart": {"by": "dave", "reason": "another reason", "at": TIME},
        "restartedAt": TIME,
        "orphaned": False,
        "conditions": [{**condition, "observedGeneration": 1}],
        "gates": [run],
        "rejected": [{**other, "reason": "Aborted", "message": "", "at": TIME}],
        "actions": [taken],
        "history": [ended, promoted],
        "writtenAt": TIME,
    }
    return good(name, version) | {"status": status}


BASES: Mapping[str, Mapping[str, Callable[..., Json]]] = {
    "Rollout": {
        "good": good,
        "waiting": waiting,
        "restarting": restarting,
        "referring": referring,
        "led": led,
        "routed": routed,
        "switching": switching,
        "asking": asking,
        "copying": copying,
        "diverting": diverting,
        "pooled": pooled,
        "finer": finer,
        "turning": turning,
        "comparing": comparing,
        "grouped": grouped,
        "replacing": replacing,
        "journal": journal,
    },
    "QualityGate": {"gate": gate, "words": gate_of_words},
    "Environment": {"environment": environment},
    "RolloutAction": {"action": action},
}
"""By kind and name; a property is taken from the first one that has it."""
APART = frozenset({"pooled", "finer", "replacing"})
"""Bases that no Rollout of another base may become while it lives."""
