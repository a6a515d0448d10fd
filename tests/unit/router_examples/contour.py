"""Contour's example: the route of an HTTPProxy, found by its stable Service or by its prefix."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Example, adding, at, put, removing, setting

SERVICES = ("spec", "routes", 1, "services")
VALID = ("status", "conditions", 0)
HERE = "spec.routes[1].services"


def service(name: str, weight: int, **more: Any) -> dict[str, Any]:
    """One entry of a route's services."""
    return {"name": name, "port": 80, "weight": weight} | more


def routing(*refs: dict[str, str]) -> dict[str, Any]:
    """`trafficRouting` with these HTTPProxies."""
    return {"contour": {"httpProxies": list(refs)}}


PROXY: dict[str, Any] = {
    "apiVersion": "projectcontour.io/v1",
    "kind": "HTTPProxy",
    "metadata": {
        "name": "checkout",
        "namespace": "shop",
        "generation": 7,
        "resourceVersion": "42",
        "uid": "u",
        "annotations": {"team": "shop"},
    },
    "spec": {
        "virtualhost": {"fqdn": "shop.test", "tls": {"secretName": "shop"}},
        "ingressClassName": "edge",
        "includes": [{"name": "blog", "namespace": "marketing", "conditions": [{"prefix": "/blog"}]}],
        "routes": [
            {"conditions": [{"prefix": "/health"}], "services": [service("health", 1)]},
            {
                "conditions": [{"prefix": "/checkout"}, {"header": {"name": "x-a", "present": True}}],
                "timeoutPolicy": {"response": "10s"},
                "requestHeadersPolicy": {"remove": ["x"]},
                "services": [
                    service("checkout", 100, protocol="h2c"),
                    service("checkout-canary", 0, port=8080),
                    service("audit", 10, mirror=True),
                ],
            },
            {"services": [service("late", 3), service("later", 4)]},
        ],
    },
    "status": {
        "currentStatus": "valid",
        "description": "Valid HTTPProxy",
        "conditions": [
            {
                "type": "Valid",
                "status": "True",
                "reason": "Valid",
                "message": "Valid HTTPProxy",
                "observedGeneration": 7,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    },
}


def example() -> Example:
    """The example with a mirror of somebody else's."""
    return Example(
        id="HTTPProxy",
        router="contour",
        routing=routing({"name": "checkout"}),
        target=Target("checkout"),
        field="spec.strategy.canary.trafficRouting.contour.httpProxies",
        obj=PROXY,
        stable=(*SERVICES, 0, "weight"),
        canary=(*SERVICES, 1, "weight"),
        broken={
            "no canary Service": Broken(removing((*SERVICES, 1)), HERE),
            "no stable Service": Broken(removing((*SERVICES, 0)), "spec.routes"),
            "stable Service twice": Broken(adding(SERVICES, service("checkout", 1, port=81)), HERE),
            "foreign Service": Broken(adding(SERVICES, service("third", 1)), f"{HERE}[3]"),
            "a mirror to the canary": Broken(
                adding(SERVICES, service("checkout-canary", 1, mirror=True)), f"{HERE}[3]"
            ),
            "no services": Broken(removing(SERVICES), "spec.routes"),
            "no routes": Broken(removing(("spec", "routes")), "spec.routes"),
            "two routes": Broken(lambda o: at(o, ("spec", "routes")).append(at(o, SERVICES[:3])), "spec.routes"),
        },
        gone=removing(SERVICES[:3]),
        unserved={
            "no status": removing(("status",)),
            "another generation": setting((*VALID, "observedGeneration"), 6),
            "invalid": setting((*VALID, "status"), "False"),
            "no such condition": setting((*VALID, "type"), "Warned"),
        },
        routes=frozenset({"setHeaderRoute"}),  # It has a mirror, and a route has one.
        owner=lambda o: next(r for r in o["spec"]["routes"] if len(r["services"]) == 3)["timeoutPolicy"].update(
            idle="1s"
        ),
        same=(routing({"name": "checkout", "route": "/checkout"}),),
        different=(
            routing({"name": "checkout", "route": "/health"}),
            routing({"name": "checkout", "route": "/"}),
            routing({"name": "cart"}),
        ),
        moved=lambda o: put(o, SERVICES, [service("first", 1), *copy.deepcopy(at(o, SERVICES))]),
    )


def without_mirror(of: Example) -> Example:
    """The same without it: then the route can have one of ours."""
    there = {k: v for k, v in of.broken.items() if k not in ("foreign Service", "a mirror to the canary")}
    obj = of.after(removing((*SERVICES, 2)))
    return dataclasses.replace(
        of,
        id="HTTPProxy without a mirror",
        obj=obj,
        broken=there,
        routes=frozenset({"setHeaderRoute", "setMirrorRoute"}),
        owner=lambda o: next(
            r for r in o["spec"]["routes"] if r["services"][0]["name"] == "checkout" and len(r["services"]) == 2
        )["timeoutPolicy"].update(idle="1s"),
    )


EXAMPLES = [example(), without_mirror(example())]
