"""The Gateway API's example: a rule of an HTTPRoute, found by its name or by its stable Service."""

from __future__ import annotations

import copy
from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Example, adding, at, put, removing, setting, two_services

BACKENDS = ("spec", "rules", 1, "backendRefs")
CONDITIONS = ("status", "parents", 0, "conditions")
FILTER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}
OTHER = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["y"]}}
PARENT = {"name": "edge", "namespace": "infra", "sectionName": "https"}


def backend(name: str, weight: int, **more: Any) -> dict[str, Any]:
    """One backendRef."""
    return {"name": name, "port": 80, "weight": weight} | more


def route(kind: str, match: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A served route with three rules, of which the second one, `main`, is the claimed one."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {
            "name": "checkout",
            "namespace": "shop",
            "generation": 7,
            "resourceVersion": "42",
            "uid": "u",
            "annotations": {"team": "shop"},
            "ownerReferences": [{"kind": "App", "name": "shop", "uid": "a", "apiVersion": "x/v1"}],
        },
        "spec": {
            "parentRefs": [PARENT],
            "hostnames": ["shop.test"],
            "rules": [
                {"name": "other", "matches": [other], "backendRefs": [backend("health", 1)]},
                {
                    "name": "main",
                    "matches": [match],
                    "filters": [FILTER],
                    "backendRefs": [
                        backend("checkout", 100, group="", kind="Service", namespace="shop", filters=[FILTER]),
                        backend("checkout-canary", 0, port=8080),
                    ],
                },
                {"name": "late", "backendRefs": [backend("late", 3), backend("later", 4)]},
            ],
        },
        "status": {
            "parents": [
                {
                    "controllerName": "test/gateway",
                    "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", **PARENT},
                    "conditions": [
                        {"type": name, "status": "True", "reason": name, "message": "fine", "observedGeneration": 7}
                        for name in ("Accepted", "ResolvedRefs")
                    ],
                }
            ]
        },
    }


def example(kind: str, router: str, listed: str, match: dict[str, Any], other: dict[str, Any]) -> Example:
    """The example of one kind of route, which all have the same shape."""

    def routing(*refs: dict[str, str]) -> dict[str, Any]:
        return {"gatewayAPI": {listed: list(refs)}}

    here = "spec.rules[1].backendRefs"
    return Example(
        id=kind,
        router=router,
        routing=routing({"name": "checkout", "rule": "main"}),
        target=Target("checkout", "main"),
        field=f"spec.strategy.canary.trafficRouting.gatewayAPI.{listed}",
        obj=route(kind, match, other),
        stable=(*BACKENDS, 0, "weight"),
        canary=(*BACKENDS, 1, "weight"),
        broken={
            **two_services(BACKENDS, here, backend),
            "Service of another namespace": Broken(adding(BACKENDS, backend("checkout", 1, namespace="x")), here),
            "another kind of backend": Broken(adding(BACKENDS, backend("b", 1, group="x", kind="Bucket")), here),
            "no backends": Broken(removing(BACKENDS), here),
            "two rules of the name": Broken(
                lambda o: at(o, ("spec", "rules")).append(at(o, BACKENDS[:3])), "spec.rules"
            ),
            "no rule of the name": Broken(setting((*BACKENDS[:3], "name"), "x"), "spec.rules"),
        },
        gone=removing(BACKENDS[:3]),
        unserved={
            "no status": removing(("status",)),
            "another generation": setting((*CONDITIONS, 0, "observedGeneration"), 6),
            "not accepted": setting((*CONDITIONS, 0, "status"), "False"),
            "backends not resolved": setting((*CONDITIONS, 1, "status"), "Unknown"),
            "a condition is missing": removing((*CONDITIONS, 0)),
            "a parent that is silent": adding(("spec", "parentRefs"), {"name": "inner"}),
            "no parents": setting(("spec", "parentRefs"), []),
            "a second controller": adding(("status", "parents"), {"parentRef": PARENT, "controllerName": "two"}),
        },
        routes=frozenset({"setHeaderRoute", "setMirrorRoute", "sessionAffinity"}),
        shares=True,
        owner=lambda o: next(r for r in o["spec"]["rules"] if r.get("name") == "main")["filters"].append(OTHER),
        same=(routing({"name": "checkout"}),),
        different=(
            routing({"name": "checkout", "rule": "other"}),
            routing({"name": "cart", "rule": "main"}),
        ),
        moved=lambda o: put(o, BACKENDS, [backend("first", 1), *copy.deepcopy(at(o, BACKENDS))]),
    )


EXAMPLES = [
    example(
        "HTTPRoute",
        "gatewayAPI",
        "httpRoutes",
        {"path": {"type": "PathPrefix", "value": "/"}},
        {"path": {"type": "Exact", "value": "/health"}},
    ),
    example(
        "GRPCRoute",
        "gatewayAPI.grpcRoutes",
        "grpcRoutes",
        {"method": {"service": "shop.Checkout"}},
        {"method": {"service": "grpc.health.v1.Health", "method": "Check"}},
    ),
]
