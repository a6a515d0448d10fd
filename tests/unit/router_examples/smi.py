"""SMI's example: a TrafficSplit."""

from __future__ import annotations

from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Example, Pointer, at, put, removing, two_services

BACKENDS: Pointer = ("spec", "backends")
HERE = "spec.backends"


def backend(service: str, weight: int) -> dict[str, Any]:
    """One backend."""
    return {"service": service, "weight": weight}


def routing(name: str) -> dict[str, Any]:
    """`trafficRouting` by the TrafficSplit of this name."""
    return {"smi": {"trafficSplitName": name}}


EXAMPLES = [
    Example(
        id="TrafficSplit",
        router="smi",
        routing=routing("checkout-split"),
        target=Target("checkout-split"),
        field="spec.strategy.canary.trafficRouting.smi.trafficSplitName",
        obj={
            "apiVersion": "split.smi-spec.io/v1alpha2",
            "kind": "TrafficSplit",
            "metadata": {
                "name": "checkout-split",
                "namespace": "shop",
                "generation": 7,
                "resourceVersion": "42",
                "uid": "u",
                "annotations": {"team": "shop"},
            },
            "spec": {
                "service": "checkout-root",
                "backends": [backend("checkout", 100), backend("checkout-canary", 0)],
            },
        },
        stable=(*BACKENDS, 0, "weight"),
        canary=(*BACKENDS, 1, "weight"),
        broken={
            **two_services(BACKENDS, HERE, backend),
            "no backends": Broken(removing(BACKENDS), HERE),
        },
        gone=removing(BACKENDS),
        different=(routing("cart-split"),),
        moved=lambda o: put(o, BACKENDS, [backend("first", 1), *at(o, BACKENDS)]),
    )
]
