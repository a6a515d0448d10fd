"""APISIX's examples: a rule of an ApisixRoute, with and without a report of its ingress controller."""

from __future__ import annotations

import copy
from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Example, Object, Pointer, adding, at, put, removing, setting

BACKENDS: Pointer = ("spec", "http", 1, "backends")
HERE = "spec.http[1].backends"


def backend(service: str, weight: int, **more: Any) -> dict[str, Any]:
    """One backend."""
    return {"serviceName": service, "servicePort": 80, "weight": weight} | more


def routing(name: str, *rules: str) -> dict[str, Any]:
    """`trafficRouting` by these rules of the ApisixRoute."""
    return {"apisix": {"route": {"name": name} | ({"rules": list(rules)} if rules else {})}}


def route() -> Object:
    """An ApisixRoute with three rules, of which the second one, `main`, is the claimed one."""
    return {
        "apiVersion": "apisix.apache.org/v2",
        "kind": "ApisixRoute",
        "metadata": {
            "name": "checkout",
            "namespace": "shop",
            "generation": 7,
            "resourceVersion": "42",
            "uid": "u",
            "annotations": {"team": "shop"},
        },
        "spec": {
            "ingressClassName": "apisix",
            "http": [
                {"name": "health", "match": {"paths": ["/health"]}, "backends": [backend("health", 100)]},
                {
                    "name": "main",
                    "priority": 1,
                    "match": {"hosts": ["shop.test"], "paths": ["/*"]},
                    "plugins": [{"name": "cors", "enable": True}],
                    "backends": [
                        backend("checkout", 100, resolveGranularity="endpoint"),
                        backend("checkout-canary", 0, subset="policy"),
                    ],
                },
                {
                    "name": "late",
                    "match": {"paths": ["/late"]},
                    "backends": [backend("late", 3), backend("later", 4)],
                },
            ],
        },
        "status": {
            "conditions": [
                {"type": "Accepted", "status": "False", "message": "of an older controller", "observedGeneration": 5},
                {"type": "ResourcesAvailable", "status": "True", "message": "fine", "observedGeneration": 7},
            ]
        },
    }


def example(name: str, *, reports: bool) -> Example:
    """The example, with the controller's report or without one."""
    obj = route()
    if not reports:
        del obj["status"]
    return Example(
        id=name,
        router="apisix",
        routing=routing("checkout", "main"),
        target=Target("checkout", "main"),
        field="spec.strategy.canary.trafficRouting.apisix.route",
        obj=obj,
        stable=(*BACKENDS, 0, "weight"),
        canary=(*BACKENDS, 1, "weight"),
        broken={
            "no canary Service": Broken(removing((*BACKENDS, 1)), HERE),
            "another Service than stable": Broken(setting((*BACKENDS, 0, "serviceName"), "third"), HERE),
            "stable Service twice": Broken(adding(BACKENDS, backend("checkout", 1)), HERE),
            "foreign Service": Broken(adding(BACKENDS, backend("third", 1)), f"{HERE}[2]"),
            "an upstream": Broken(
                setting((*BACKENDS[:3], "upstreams"), [{"name": "third", "weight": 1}]), "spec.http[1].upstreams"
            ),
            "no backends": Broken(removing(BACKENDS), HERE),
            "two rules of the name": Broken(lambda o: at(o, ("spec", "http")).append(at(o, BACKENDS[:3])), "spec.http"),
        },
        gone=removing(BACKENDS[:3]),
        unserved={
            "another generation": setting(("status", "conditions", 1, "observedGeneration"), 6),
            "not available": setting(("status", "conditions", 1, "status"), "False"),
        }
        if reports
        else {},
        routes=frozenset({"setHeaderRoute"}),
        owner=lambda o: next(r for r in o["spec"]["http"] if r["name"] == "main")["plugins"].append({"name": "gzip"}),
        same=(routing("checkout"),),
        different=(routing("checkout", "late"), routing("cart", "main")),
        moved=lambda o: put(o, BACKENDS, [backend("first", 1), *copy.deepcopy(at(o, BACKENDS))]),
    )


EXAMPLES = [example("ApisixRoute", reports=False), example("ApisixRoute with status", reports=True)]
