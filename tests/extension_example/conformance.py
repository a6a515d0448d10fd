"""What Headgate's conformance suite of routers has to be told about this package's router."""

from __future__ import annotations

from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Example, Pointer, at, put, removing, setting, two_services

SHARES: Pointer = ("spec", "shares")
HERE = "spec.shares"


def share(service: str, weight: int, **more: Any) -> dict[str, Any]:
    """One share."""
    return {"service": service, "weight": weight} | more


def routing(name: str, **more: Any) -> dict[str, Any]:
    """`trafficRouting` by the TrafficShare of this name."""
    return {"plugins": [{"name": "example", "objects": [{"name": name}]} | more]}


EXAMPLES = [
    Example(
        id="TrafficShare",
        router="plugins.example",
        routing=routing("checkout-share"),
        target=Target("checkout-share"),
        field="spec.strategy.canary.trafficRouting.plugins[example].objects",
        obj={
            "apiVersion": "mesh.example.org/v1",
            "kind": "TrafficShare",
            "metadata": {
                "name": "checkout-share",
                "namespace": "shop",
                "generation": 7,
                "resourceVersion": "42",
                "uid": "u",
                "annotations": {"team": "shop"},
            },
            "spec": {
                "host": "checkout.example.org",
                "shares": [share("checkout", 100, retries=3), share("checkout-canary", 0)],
            },
            "status": {"servedGeneration": 7},
        },
        stable=(*SHARES, 0, "weight"),
        canary=(*SHARES, 1, "weight"),
        broken={
            **two_services(SHARES, HERE, share),
            "no shares": Broken(removing(SHARES), HERE),
        },
        gone=removing(SHARES),
        unserved={
            "an older generation": setting(("status", "servedGeneration"), 6),
            "no status": removing(("status",)),
        },
        different=(routing("cart-share"),),
        moved=lambda o: put(o, SHARES, [share("first", 1), *at(o, SHARES)]),
    )
]
