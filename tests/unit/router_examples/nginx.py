"""The example of ingress-nginx: a canary Ingress, whose weight is an annotation."""

from __future__ import annotations

from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Example, Pointer, adding, removing, setting

PREFIX = "nginx.ingress.kubernetes.io"
ANNOTATIONS: Pointer = ("metadata", "annotations")
PATHS: Pointer = ("spec", "rules", 0, "http", "paths")


def path(service: str, prefix: str = "/") -> dict[str, Any]:
    """One path to a Service."""
    return {
        "path": prefix,
        "pathType": "Prefix",
        "backend": {"service": {"name": service, "port": {"number": 80}}},
    }


def routing(name: str) -> dict[str, Any]:
    """`trafficRouting` by the canary Ingress of this name."""
    return {"nginx": {"canaryIngress": name}}


EXAMPLES = [
    Example(
        id="Ingress",
        router="nginx",
        routing=routing("checkout-canary"),
        target=Target("checkout-canary"),
        field="spec.strategy.canary.trafficRouting.nginx.canaryIngress",
        obj={
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": "checkout-canary",
                "namespace": "shop",
                "generation": 7,
                "resourceVersion": "42",
                "uid": "u",
                "annotations": {
                    f"{PREFIX}/canary": "true",
                    f"{PREFIX}/canary-weight": "0",
                    f"{PREFIX}/canary-weight-total": "100",
                    "team": "shop",
                },
            },
            "spec": {
                "ingressClassName": "nginx",
                "rules": [
                    {"host": "shop.test", "http": {"paths": [path("checkout-canary"), path("checkout-canary", "/x")]}},
                    {"host": "www.shop.test", "http": {"paths": [path("checkout-canary")]}},
                ],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        },
        stable=None,
        canary=(*ANNOTATIONS, f"{PREFIX}/canary-weight"),
        stored=str,
        broken={
            "no canary Ingress": Broken(removing((*ANNOTATIONS, f"{PREFIX}/canary")), f"{PREFIX}/canary"),
            "canary switched off": Broken(setting((*ANNOTATIONS, f"{PREFIX}/canary"), "false"), f"{PREFIX}/canary"),
            "by header": Broken(setting((*ANNOTATIONS, f"{PREFIX}/canary-by-header"), "x"), "canary-by-header"),
            "by cookie": Broken(setting((*ANNOTATIONS, f"{PREFIX}/canary-by-cookie"), "x"), "canary-by-cookie"),
            "another total": Broken(setting((*ANNOTATIONS, f"{PREFIX}/canary-weight-total"), "50"), "weight-total"),
            "a larger total": Broken(setting((*ANNOTATIONS, f"{PREFIX}/canary-weight-total"), "1000"), "weight-total"),
            "stable Service": Broken(adding(PATHS, path("checkout", "/y")), "spec.rules[0].http.paths[2]"),
            "another kind of backend": Broken(
                setting((*PATHS, 0, "backend"), {"resource": {"kind": "Bucket", "name": "b"}}),
                "spec.rules[0].http.paths[0]",
            ),
            "default backend": Broken(
                setting(("spec", "defaultBackend"), {"service": {"name": "third"}}), "spec.defaultBackend"
            ),
            "no rules": Broken(removing(("spec", "rules")), "spec.rules"),
        },
        gone=removing(ANNOTATIONS),
        odd=("five", "-1", "1.5", "", "101", " 5", "\u0665", "9" * 5000, -1, True, [], {}),
        routes=frozenset({"setHeaderRoute"}),
        different=(routing("cart-canary"),),
        moved=setting((*ANNOTATIONS, f"{PREFIX}/canary"), "false"),
        whole=lambda total: setting((*ANNOTATIONS, f"{PREFIX}/canary-weight-total"), str(total)),
    )
]
