"""Istio's examples: an HTTP, a TLS and a TCP route of one VirtualService; istiod reports back where it is told to."""

from __future__ import annotations

import copy
from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Change, Example, Object, Pointer, adding, at, put, removing, setting

FIELD = "spec.strategy.canary.trafficRouting.istio.virtualServices"
RECONCILED: Pointer = ("status", "conditions", 0)


def destination(host: str, weight: int, **more: Any) -> dict[str, Any]:
    """One weighted destination."""
    return {"destination": {"host": host, "port": {"number": 80}, **more}, "weight": weight}


def claimed() -> list[dict[str, Any]]:
    """The destinations of a route that can be worked with; one Service is spelled out, the other has a policy."""
    return [destination("checkout.shop.svc.cluster.local", 100), destination("checkout-canary", 0, subset="policy")]


def other(*names: str) -> list[dict[str, Any]]:
    """The destinations of a route that is somebody else's."""
    return [destination(name, 50) for name in names]


def virtual_service() -> Object:
    """A VirtualService with claimed routes of each protocol, between others; istiod reports it as reconciled."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": "checkout",
            "namespace": "shop",
            "generation": 7,
            "resourceVersion": "42",
            "uid": "u",
            "annotations": {"team": "shop"},
        },
        "spec": {
            "hosts": ["shop.test"],
            "gateways": ["infra/edge", "mesh"],
            "http": [
                {"name": "health", "match": [{"uri": {"exact": "/health"}}], "route": other("health")},
                {
                    "name": "primary",
                    "match": [{"uri": {"prefix": "/"}}],
                    "retries": {"attempts": 2},
                    "timeout": "10s",
                    "route": claimed(),
                },
                {"name": "late", "route": other("late", "later")},
            ],
            "tls": [
                {"match": [{"port": 443, "sniHosts": ["other.test"]}], "route": other("late", "later")},
                {"match": [{"port": 443, "sniHosts": ["shop.test", "www.shop.test"]}], "route": claimed()},
            ],
            "tcp": [
                {"match": [{"port": 3306}], "route": claimed()},
                {"match": [{"port": 5432}], "route": other("late", "later")},
            ],
        },
        "status": {
            "conditions": [
                {"type": "PassedValidation", "status": "True"},
                {"type": "Reconciled", "status": "True", "message": "2/2 proxies up to date"},
            ],
            "observedGeneration": "7",
        },
    }


def routing(**lists: Any) -> dict[str, Any]:
    """`trafficRouting` with these routes of the VirtualService."""
    return {"istio": {"virtualServices": [{"name": "checkout", **lists}]}}


def changes(route: Pointer, where: str) -> dict[str, Broken]:
    """What can be wrong with the destinations of any route."""
    to = (*route, "route")
    here = f"{where}.route"
    return {
        "no canary Service": Broken(removing((*to, 1)), here),
        "another Service than stable": Broken(setting((*to, 0, "destination", "host"), "third"), here),
        "stable Service twice": Broken(adding(to, destination("checkout", 1)), here),
        "foreign host": Broken(adding(to, destination("third.test", 1)), f"{here}[2]"),
        "Service of another namespace": Broken(adding(to, destination("checkout.x.svc.cluster.local", 1)), here),
        "subsets of one host": Broken(_by_subsets(to), here),
        "no destinations": Broken(removing(to), here),
    }


def _by_subsets(to: Pointer) -> Change:
    def change(obj: Object) -> None:
        stable, canary = (entry["weight"] for entry in at(obj, to))
        put(obj, to, [destination("checkout", stable, subset="a"), destination("checkout", 0, subset="b")])
        put(obj, to, [*at(obj, to), destination("checkout-canary", canary)])

    return change


def _shifted(listed: Pointer) -> Change:
    match = {"tls": {"port": 1, "sniHosts": ["new.test"]}}.get(str(listed[-1]), {"port": 1})
    new = {"match": [match], "route": other("new")}
    return lambda obj: put(obj, listed, [new, *copy.deepcopy(at(obj, listed))])


HTTP: Pointer = ("spec", "http", 1)
TLS: Pointer = ("spec", "tls", 1)
TCP: Pointer = ("spec", "tcp", 0)
NAMED_TLS = {"port": 443, "sniHosts": ["www.shop.test", "shop.test"]}


def example(name: str, route: Pointer, rule: str, named: dict[str, Any], *, reports: bool = False) -> Example:
    """The example of one route; without a report of istiod's unless it `reports`."""
    obj = virtual_service()
    if not reports:
        del obj["status"]
    listed, index = str(route[1]), route[2]
    return Example(
        id=f"VirtualService {name}",
        router="istio",
        routing=routing(**named),
        target=Target("checkout", rule),
        field=FIELD,
        obj=obj,
        stable=(*route, "route", 0, "weight"),
        canary=(*route, "route", 1, "weight"),
        broken=changes(route, f"spec.{listed}[{index}]")
        | {
            "two such routes": Broken(lambda o: at(o, route[:2]).append(at(o, route)), f"spec.{listed}"),
        },
        gone=removing(route),
        unserved={
            "another generation": setting(("status", "observedGeneration"), 6),
            "not by all proxies": setting(("status", "conditions", 1, "status"), "False"),
            "its own generation": setting(("status", "conditions", 1, "observedGeneration"), "6"),
        }
        if reports
        else {},
        moved=_shifted(route[:2]),
        routes=frozenset({"setHeaderRoute", "setMirrorRoute", "sessionAffinity"} if listed == "http" else ()),
        owner=(lambda o: next(r for r in o["spec"]["http"] if r["name"] == "primary").update(timeout="5s"))
        if listed == "http"
        else None,
        same={"http": (routing(),), "tls": (routing(tlsRoutes=[{}]),), "tcp": (routing(tcpRoutes=[{}]),)}[listed],
        different=tuple(
            way
            for way in (
                routing(routes=["late"]),
                routing(routes=["primary"]),
                routing(tlsRoutes=[NAMED_TLS]),
                routing(tcpRoutes=[{"port": 3306}]),
                {"istio": {"virtualServices": [{"name": "cart", **named}]}},
            )
            if way != routing(**named)
        ),
    )


EXAMPLES = [
    example("http", HTTP, "primary", {"routes": ["primary"]}),
    example("http with status", HTTP, "primary", {"routes": ["primary"]}, reports=True),
    example("tls", TLS, "tls port 443 sniHosts www.shop.test,shop.test", {"tlsRoutes": [NAMED_TLS]}),
    example("tcp", TCP, "tcp port 3306", {"tcpRoutes": [{"port": 3306}]}),
]
