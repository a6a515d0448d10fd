"""Objects of a cluster as the tests of the command line need them: one Rollout in each of its situations."""

from __future__ import annotations

import asyncio
import copy
import io
from typing import Any

from rich.console import Console, RenderableType

from headgate.api.common import to_epoch
from headgate.cli import render
from headgate.cli.text import PLAIN_SIGNS
from headgate.cli.view import Picture, picture

# pytest-asyncio asks for the loop before its own; without this asyncio makes one then, which nobody closes, and the
# warning about that fails whichever test the garbage collector happens to run in.
asyncio.set_event_loop(None)

Json = dict[str, Any]
NOW = to_epoch("2026-11-20T12:00:00Z")
STABLE, CANARY = "bcdfghjklm", "xz2456789b"


def rollout(status: Json | None = None, **spec: Any) -> Json:
    """A Rollout `checkout` in `shop-prod` with six steps."""
    return {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": "checkout",
            "namespace": "shop-prod",
            "uid": "0d6a1c0e-7b5a-4c60-9a53-0c8f3f4b1f11",
            "generation": 3,
            "resourceVersion": "41",
            "creationTimestamp": "2026-11-01T12:00:00Z",
        },
        "spec": {
            "replicas": 6,
            "template": {"spec": {"containers": [{"name": "app", "image": "checkout:2"}]}},
            "strategy": {
                "canary": {
                    "stableService": "checkout",
                    "canaryService": "checkout-canary",
                    "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}},
                    "steps": [
                        {"setWeight": 5},
                        {"gate": {"ref": {"kind": "QualityGate", "name": "golden-signals"}, "duration": "2m"}},
                        {"setWeight": 25},
                        {"pause": {"duration": "5m"}},
                        {"pause": {}},
                        {"setCanaryScale": {"replicas": 3}},
                    ],
                }
            },
            **spec,
        },
        "status": status or healthy(),
    }


def ref(pod_hash: str, since: str, attempt: int = 1) -> Json:
    """A revision as status names it."""
    return {"revision": f"v1-{pod_hash}", "podHash": pod_hash, "attempt": attempt, "since": since}


def healthy() -> Json:
    """At rest on the wanted version."""
    return {
        "observedGeneration": 3,
        "phase": "Healthy",
        "message": "revision bcdfghjklm serves all requests",
        "stable": ref(STABLE, "2026-11-19T10:00:00Z"),
        "current": ref(STABLE, "2026-11-19T10:00:00Z"),
        "weights": {"desired": 0, "observed": 0, "applied": True},
        "replicas": 6,
        "readyReplicas": 6,
        "availableReplicas": 6,
        "updatedReplicas": 6,
        "conditions": [condition("Ready", "True", "Valid"), condition("Stalled", "False", "NotStalled")],
        "history": [
            {
                "podHash": STABLE,
                "revision": f"v1-{STABLE}",
                "attempt": 1,
                "outcome": "Promoted",
                "startedAt": "2026-11-19T09:50:00Z",
                "finishedAt": "2026-11-19T10:00:00Z",
                "message": "all steps are done",
            }
        ],
    }


def progressing() -> Json:
    """At the second step, which judges."""
    return healthy() | {
        "phase": "Progressing",
        "message": "step 2 of 6: golden-signals is judging since 11:59, passing so far",
        "current": ref(CANARY, "2026-11-20T11:55:00Z", 2),
        "currentStepIndex": 1,
        "stepCount": 6,
        "step": "2/6",
        "stepStartedAt": "2026-11-20T11:59:00Z",
        "weights": {"desired": 5, "observed": 5, "applied": True},
        "gates": [gate_run()],
    }


def held() -> Json:
    """At the second step, which cannot know."""
    run = gate_run() | {"held": True, "verdict": "Unknown", "message": "latency has no data for 2m; held until it has"}
    run["checks"] = [
        run["checks"][0],
        {
            "name": "latency",
            "asked": 3,
            "unknowns": 3,
            "rule": "<= 0.3",
            "measurements": [{"at": "2026-11-20T11:59:40Z", "verdict": "Unknown", "reason": "NoData"}],
        },
    ]
    return progressing() | {"phase": "Held", "message": "golden-signals is held", "gates": [run]}


def paused() -> Json:
    """A person stopped it."""
    return progressing() | {
        "phase": "Paused",
        "message": "paused by alice",
        "paused": {"by": "alice", "reason": "lunch", "since": "2026-11-20T11:30:00Z"},
        "conditions": [condition("Ready", "True", "Valid"), condition("Paused", "True", "PausedByPerson")],
    }


def degraded() -> Json:
    """Back on stable, because the wanted version was taken back."""
    return healthy() | {
        "phase": "Degraded",
        "message": "revision xz2456789b was taken back: success-rate failed",
        "rejected": [
            {
                "revision": f"v1-{CANARY}",
                "podHash": CANARY,
                "attempt": 2,
                "reason": "GateFailed",
                "message": "success-rate was 91.2, must be >= 99",
                "at": "2026-11-20T11:00:00Z",
            }
        ],
        "actions": [
            {
                "uid": "a1",
                "name": "checkout-promote-x",
                "verb": "promote",
                "accepted": False,
                "message": "no release is at a step",
                "at": "2026-11-20T11:10:00Z",
            }
        ],
        "conditions": [condition("Rejected", "True", "GateFailed", "retry it, or change the template")],
    }


def gate_run() -> Json:
    """One run of the gate at the second step."""
    return {
        "name": "golden-signals",
        "step": 1,
        "podHash": CANARY,
        "attempt": 2,
        "startedAt": "2026-11-20T11:59:00Z",
        "verdict": "Running",
        "checks": [
            {
                "name": "success-rate",
                "asked": 3,
                "passes": 2,
                "failures": 1,
                "rule": ">= 99",
                "measurements": [
                    {"at": "2026-11-20T11:59:50Z", "value": 99.95, "sample": 1200, "verdict": "Pass"},
                ],
            }
        ],
    }


def condition(kind: str, value: str, reason: str, message: str = "") -> Json:
    """One condition."""
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-20T11:00:00Z",
    }


def plan(steps: list[Json], pod_hash: str = CANARY, attempt: int = 2) -> Json:
    """The ControllerRevision that pins an attempt."""
    gate = {
        "checks": [{"name": "success-rate", "prometheus": {"query": {"template": "t"}}, "pass": {"min": 99}}],
        "failureLimit": 2,
    }
    return {
        "metadata": {"name": f"checkout-{pod_hash}-{attempt}", "uid": f"plan-{pod_hash}-{attempt}"},
        "data": {
            "podHash": pod_hash,
            "attempt": attempt,
            "plan": {"steps": steps, "stepGates": {"golden-signals": gate}, "backgroundGates": {}},
        },
    }


def replica_set(pod_hash: str, wanted: int, ready: int) -> Json:
    """A ReplicaSet of a revision."""
    return {
        "metadata": {
            "name": f"checkout-{pod_hash}",
            "uid": f"rs-{pod_hash}",
            "labels": {"headgate.dev/rollout": "checkout", "headgate.dev/revision": pod_hash},
        },
        "spec": {"replicas": wanted},
        "status": {"replicas": wanted, "readyReplicas": ready},
    }


def pod(pod_hash: str, number: int, *, ready: bool = True, waiting: str = "", restarts: int = 0) -> Json:
    """A pod of a revision, with one container that may be waiting."""
    state: Json = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {
        "metadata": {
            "name": f"checkout-{pod_hash}-{number}",
            "uid": f"pod-{pod_hash}-{number}",
            "labels": {"headgate.dev/rollout": "checkout", "headgate.dev/revision": pod_hash},
            "creationTimestamp": "2026-11-20T11:55:00Z",
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "app", "restartCount": restarts, "state": state}],
        },
    }


def shown(status: Json, **parts: Any) -> Picture:
    """The picture of a Rollout in a situation."""
    raw = rollout(copy.deepcopy(status))
    parts.setdefault("plans", [plan(raw["spec"]["strategy"]["canary"]["steps"])])
    parts.setdefault("replica_sets", [replica_set(STABLE, 6, 6), replica_set(CANARY, 1, 1)])
    return picture(raw, **parts)


def printed(renderable: RenderableType, width: int = 200, *, terminal: bool = False) -> str:
    """What a console of this width prints."""
    out = io.StringIO()
    Console(
        file=out, width=width, force_terminal=terminal, color_system="standard" if terminal else None, highlight=False
    ).print(renderable)
    return out.getvalue()


def tree(status: Json, width: int = 200, **parts: Any) -> str:
    """The printed tree of a situation, without colours."""
    return printed(render.status(shown(status, **parts), NOW, PLAIN_SIGNS), width)
