"""Traefik's example: a TraefikService with weighted services."""

from __future__ import annotations

from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Example, Pointer, adding, at, put, removing, setting, two_services

SERVICES: Pointer = ("spec", "weighted", "services")
HERE = "spec.weighted.services"


def service(name: str, weight: int, **more: Any) -> dict[str, Any]:
    """One weighted service."""
    return {"name": name, "port": 80, "weight": weight} | more


def routing(name: str) -> dict[str, Any]:
    """`trafficRouting` by the TraefikService of this name."""
    return {"traefik": {"weightedTraefikServiceName": name}}


EXAMPLES = [
    Example(
        id="TraefikService",
        router="traefik",
        routing=routing("checkout-weighted"),
        target=Target("checkout-weighted"),
        field="spec.strategy.canary.trafficRouting.traefik.weightedTraefikServiceName",
        obj={
            "apiVersion": "traefik.io/v1alpha1",
            "kind": "TraefikService",
            "metadata": {
                "name": "checkout-weighted",
                "namespace": "shop",
                "generation": 7,
                "resourceVersion": "42",
                "uid": "u",
                "annotations": {"team": "shop"},
            },
            "spec": {
                "weighted": {
                    "services": [
                        service("checkout", 100, kind="Service", namespace="shop", passHostHeader=True),
                        service("checkout-canary", 0, port="http"),
                    ],
                    "sticky": {"cookie": {"name": "lb"}},
                }
            },
        },
        stable=(*SERVICES, 0, "weight"),
        canary=(*SERVICES, 1, "weight"),
        broken={
            **two_services(SERVICES, HERE, service),
            "Service of another namespace": Broken(adding(SERVICES, service("checkout", 1, namespace="x")), HERE),
            "another TraefikService": Broken(adding(SERVICES, service("checkout", 1, kind="TraefikService")), HERE),
            "mirroring": Broken(setting(("spec",), {"mirroring": {"name": "checkout"}}), HERE),
        },
        gone=removing(("spec", "weighted")),
        different=(routing("cart-weighted"),),
        moved=lambda o: put(o, SERVICES, [service("first", 1), *at(o, SERVICES)]),
    )
]
