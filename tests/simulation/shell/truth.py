"""What is really so in the cluster, in the terms that the operator's own invariants speak of."""

from __future__ import annotations

from typing import Any

from headgate.api.common import LABEL_REVISION, LABEL_ROLLOUT, LABEL_VARIANT
from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import Step
from headgate.decide.invariants import Truth
from headgate.decide.managed import SHARE
from headgate.decide.types import Plan
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.scenario import NAME, NAMESPACE, TRIALS, roles
from tests.simulation.shell.store import Store
from tests.simulation.shell.traffic import routes_of, shares_of, weights_of

Object = dict[str, Any]


def truth(store: Store, rollout: Object) -> Truth:
    """The truth about a Rollout."""
    route, (stable, canary) = store.get("HTTPRoute", NAMESPACE, NAME), roles(rollout)
    ready: dict[str, int] = {}
    for pod in store.all("Pod", NAMESPACE):
        pod_hash = (pod["metadata"].get("labels") or {}).get(LABEL_REVISION, "")
        ready[pod_hash] = ready.get(pod_hash, 0) + is_ready(pod)
    sets = [
        s
        for s in store.all("ReplicaSet", NAMESPACE)
        if (s["metadata"].get("labels") or {}).get(LABEL_ROLLOUT) == NAME
        and any(r["uid"] == rollout["metadata"]["uid"] for r in s["metadata"].get("ownerReferences") or ())
    ]
    variants = [s["metadata"]["labels"][LABEL_REVISION] for s in sets if LABEL_VARIANT in s["metadata"]["labels"]]
    led = [*routes_of(route), *(f"{SHARE}{service}" for service in shares_of(route))] if route else []
    return Truth(
        replicas=rollout["spec"]["replicas"],
        weight=dict(weights_of(route)).get(canary, 0) if route else 0,
        routes=tuple(f"{name}@" for name in led),
        uid=rollout["metadata"]["uid"],
        variants={pod_hash: ready.get(pod_hash, 0) for pod_hash in variants},
        variant_services={name: selector(store, name) for name in TRIALS},
        selects=(selector(store, stable), selector(store, canary)),
        wanted={
            s["metadata"]["labels"][LABEL_REVISION]: s["spec"]["replicas"]
            for s in sets
            if LABEL_VARIANT not in s["metadata"]["labels"]
        },
        ready=ready,
        services=(stable, canary),
        routed=route is not None,
        paused=bool(rollout["spec"].get("paused")),
        deleting=bool(rollout["metadata"].get("deletionTimestamp")),
    )


def selector(store: Store, service: str) -> str:
    """The revision that a Service selects; empty if it selects no particular one."""
    found = store.get("Service", NAMESPACE, service)
    return str((found or {}).get("spec", {}).get("selector", {}).get(LABEL_REVISION, ""))


def plan_of(data: Object) -> Plan:
    """The plan that a ControllerRevision holds."""
    raw = data["plan"]
    return Plan(
        steps=tuple(Step.model_validate(s) for s in raw["steps"]),
        step_gates={n: QualityGateSpec.model_validate(g) for n, g in raw["stepGates"].items()},
        background_gates={n: QualityGateSpec.model_validate(g) for n, g in raw["backgroundGates"].items()},
    )
