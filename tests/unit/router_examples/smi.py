"""SMI's example: a TrafficSplit."""

from __future__ import annotations

from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Example, Pointer, adding, at, put, removing

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
            "no canary Service": Broken(removing((*BACKENDS, 1)), HERE),
            "no stable Service": Broken(removing((*BACKENDS, 0)), HERE),
            "stable Service twice": Broken(adding(BACKENDS, backend("checkout", 1)), HERE),
            "foreign Service": Broken(adding(BACKENDS, backend("third", 1)), f"{HERE}[2]"),
            "no backends": Broken(removing(BACKENDS), HERE),
        },
        gone=removing(BACKENDS),
        different=(routing("cart-split"),),
        moved=lambda o: put(o, BACKENDS, [backend("first", 1), *at(o, BACKENDS)]),
    )
]
