"""The example of an AWS ALB: an Ingress, whose weights are numbers in the JSON of an annotation."""

from __future__ import annotations

import json
from typing import Any

from headgate.traffic.protocol import Target
from tests.unit.router_example import Broken, Example, Pointer, removing, setting, two_services

PREFIX = "alb.ingress.kubernetes.io"
ACTION = f"{PREFIX}/actions.checkout"
ANNOTATION: Pointer = ("metadata", "annotations", ACTION)
GROUPS: Pointer = (*ANNOTATION, "forwardConfig", "targetGroups")
HERE = f'metadata.annotations["{ACTION}"].forwardConfig.targetGroups'
PATHS: Pointer = ("spec", "rules", 0, "http", "paths")


def group(service: str, weight: int) -> dict[str, Any]:
    """One target group."""
    return {"serviceName": service, "servicePort": 80, "weight": weight}


def path(service: str, port: dict[str, Any], prefix: str = "/") -> dict[str, Any]:
    """One path to a Service, or to an action."""
    return {"path": prefix, "pathType": "Prefix", "backend": {"service": {"name": service, "port": port}}}


EXAMPLES = [
    Example(
        id="ALB",
        router="alb",
        routing={"alb": {"ingress": "checkout"}},
        target=Target("checkout", "checkout"),
        field="spec.strategy.canary.trafficRouting.alb.ingress",
        obj={
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": "checkout",
                "namespace": "shop",
                "generation": 7,
                "resourceVersion": "42",
                "uid": "u",
                "annotations": {
                    f"{PREFIX}/scheme": "internal",
                    f"{PREFIX}/actions.old": json.dumps({"type": "redirect", "redirectConfig": {"statusCode": "301"}}),
                    f"{PREFIX}/conditions.checkout": json.dumps([{"field": "http-request-method"}]),
                    ACTION: json.dumps(
                        {
                            "type": "forward",
                            "forwardConfig": {
                                "targetGroups": [group("checkout", 100), group("checkout-canary", 0)],
                                "targetGroupStickinessConfig": {"enabled": False},
                            },
                        }
                    ),
                    "team": "shop",
                },
            },
            "spec": {
                "ingressClassName": "alb",
                "rules": [
                    {
                        "host": "shop.test",
                        "http": {
                            "paths": [
                                path("old", {"name": "use-annotation"}, "/old"),
                                path("checkout", {"name": "use-annotation"}),
                            ]
                        },
                    },
                    {"host": "next.shop.test", "http": {"paths": [path("checkout-canary", {"number": 80})]}},
                ],
            },
            "status": {"loadBalancer": {"ingress": [{"hostname": "shop.elb.amazonaws.com"}]}},
        },
        stable=(*GROUPS, 0, "weight"),
        canary=(*GROUPS, 1, "weight"),
        broken={
            **two_services(GROUPS, HERE, group),
            "target group by its ARN": Broken(setting((*GROUPS, 1), {"targetGroupARN": "arn:a", "weight": 1}), HERE),
            "no port": Broken(removing((*GROUPS, 1, "servicePort")), f"{HERE}[1].servicePort"),
            "no JSON": Broken(setting(ANNOTATION, "{'type': 'forward'}"), ACTION),
            "another kind of action": Broken(setting((*ANNOTATION, "type"), "redirect"), f'{ACTION}"].type'),
            "one group beside the list": Broken(setting((*ANNOTATION, "targetGroupARN"), "arn:a"), "targetGroupARN"),
            "unused action": Broken(setting((*PATHS, 1, "backend", "service", "port", "name"), "web"), "spec.rules"),
        },
        gone=removing(ANNOTATION),
        odd=("five", -1, 1.5, True, [], {}, None, 1000),
        same=({"alb": {"ingress": "checkout", "rootService": "checkout"}},),
        different=({"alb": {"ingress": "checkout", "rootService": "old"}}, {"alb": {"ingress": "cart"}}),
        moved=setting((*PATHS, 1, "backend", "service", "name"), "third"),
    )
]
