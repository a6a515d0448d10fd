"""TraefikServices: what Traefik takes for granted is read as it takes it."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.api.rollout import Canary
from headgate.decide.types import RouteView
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS

pytestmark = pytest.mark.unit

ROUTER = ROUTERS["traefik"]
TARGET = Target("checkout")
CANARY = Canary.model_validate(
    {
        "stableService": "checkout",
        "canaryService": "checkout-canary",
        "trafficRouting": {"traefik": {"weightedTraefikServiceName": "checkout"}},
        "steps": [{"setWeight": 5}],
    }
)


def service(name: str, weight: int | None = None, **more: Any) -> dict[str, Any]:
    """One weighted service; without a weight, none stands there."""
    return {"name": name, "port": 80} | ({} if weight is None else {"weight": weight}) | more


def traefik_service(*services: dict[str, Any]) -> dict[str, Any]:
    """A TraefikService with these."""
    return {"metadata": {"name": "checkout", "namespace": "shop"}, "spec": {"weighted": {"services": list(services)}}}


def read(*services: dict[str, Any]) -> RouteView:
    """What the router makes of them."""
    return ROUTER.read(CANARY, traefik_service(*services), TARGET)


@pytest.mark.parametrize(
    ("stable", "share_of", "expected"), [(None, None, 50), (3, None, 25), (None, 0, 0), (999, 1, 1), (2, 1, 34)]
)
def test_missing_weight_is_one(stable: int | None, share_of: int | None, expected: int) -> None:
    """The share is rounded up."""
    assert read(service("checkout", stable), service("checkout-canary", share_of)).weight == expected


def test_missing_weight_is_added() -> None:
    """Names first, so that the server refuses the patch if the services moved."""
    obj = traefik_service(service("checkout"), service("checkout-canary", 0))
    assert ROUTER.set_weight(CANARY, obj, TARGET, 5) == [
        {"op": "test", "path": "/spec/weighted/services/0/name", "value": "checkout"},
        {"op": "test", "path": "/spec/weighted/services/1/name", "value": "checkout-canary"},
        {"op": "add", "path": "/spec/weighted/services/0/weight", "value": 95},
        {"op": "replace", "path": "/spec/weighted/services/1/weight", "value": 5},
    ]


@pytest.mark.parametrize(
    ("third", "what"),
    [
        (service("third"), "the Service 'third'"),
        (service("checkout", kind="TraefikService"), "the TraefikService 'checkout'"),
        (service("checkout", namespace="x"), "the Service 'checkout' of the namespace 'x'"),
    ],
)
def test_third_service_is_named(third: dict[str, Any], what: str) -> None:
    """The two Services take all the requests."""
    view = read(service("checkout", 2), service("checkout-canary", 1), third)
    assert view.weight == 25
    assert view.problem == (
        f"TraefikService checkout: spec.weighted.services[2] is {what}; a claimed rule has the two Services "
        '"checkout" and "checkout-canary" of this namespace and no other backend'
    )


def test_nothing_is_read_back() -> None:
    """Traefik writes no status on a TraefikService."""
    view = read(service("checkout", 100), service("checkout-canary", 0))
    assert (view.settled, view.blind, view.problem) == (True, True, "")
