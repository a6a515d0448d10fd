"""HTTPProxies: what Contour makes of weights, prefixes and mirrors, which the conformance suite cannot know."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest

from headgate.decide.types import RouteView
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS
from tests.unit.router_example import at, examples
from tests.unit.router_examples.contour import SERVICES, service

pytestmark = pytest.mark.unit

EXAMPLE = next(example for example in examples() if example.router == "contour")
ROUTER = ROUTERS["contour"]


def proxy(*services: dict[str, Any]) -> dict[str, Any]:
    """The example with these services on the claimed route."""
    obj = copy.deepcopy(EXAMPLE.obj)
    at(obj, SERVICES)[:] = services
    return obj


def read(obj: dict[str, Any], route: str = "") -> RouteView:
    """What the router makes of it."""
    return ROUTER.read(EXAMPLE.strategy(), obj, Target("checkout", route))


def bare(name: str) -> dict[str, Any]:
    """A service without a weight."""
    return {"name": name, "port": 80}


@pytest.mark.parametrize(
    ("services", "weight"),
    [
        ([bare("checkout"), bare("checkout-canary")], 50),
        ([service("checkout", 0), service("checkout-canary", 0)], 50),
        ([service("checkout", 100), bare("checkout-canary")], 0),
        ([bare("checkout"), service("checkout-canary", 7)], 100),
        ([service("checkout", 999), service("checkout-canary", 1)], 1),
    ],
)
def test_weights_are_read_as_contour_takes_them(services: list[dict[str, Any]], weight: int) -> None:
    """A service without a weight gets nothing; where none has one, each gets the same."""
    view = read(proxy(*services))
    assert (view.weight, view.problem) == (weight, "")


def test_even_shares_are_written_as_what_they_should_be() -> None:
    """Weights of 0 do not mean that the canary gets nothing."""
    obj = proxy(bare("checkout"), bare("checkout-canary"))
    after = jsonpatch.apply_patch(obj, EXAMPLE.set_weight(obj, 0))
    assert [entry["weight"] for entry in at(after, SERVICES)] == [100, 0]


def test_a_mirror_is_left_alone() -> None:
    """It hears requests and answers none: its weight does not count and is not written."""
    obj = proxy(service("audit", 50, mirror=True), service("checkout", 100), service("checkout-canary", 0))
    assert read(obj).problem == ""
    after = jsonpatch.apply_patch(obj, EXAMPLE.set_weight(obj, 20))
    assert [entry["weight"] for entry in at(after, SERVICES)] == [50, 80, 20]


@pytest.mark.parametrize("conditions", [[{"prefix": "/checkout"}], [{"prefix": "/"}], []])
@pytest.mark.parametrize("more", [[], [{"header": {"name": "x-tenant", "present": True}}]])
def test_a_route_for_the_same_requests_is_refused(conditions: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    """Contour keeps the later of two routes with equal conditions, which is the claimed one, and says nothing."""
    obj = copy.deepcopy(EXAMPLE.obj)
    at(obj, SERVICES[:-1])["conditions"] = [*more, *conditions]
    prefix = conditions[0]["prefix"] if conditions else "/"

    def refused(**match: Any) -> str:
        steps = [{"setHeaderRoute": {"name": "beta", "match": [{"path": {"prefix": prefix}, **match}]}}]
        return ROUTER.unable(EXAMPLE.strategy(steps=steps), obj, EXAMPLE.target)

    assert "asks for no more than the claimed route" in refused()
    assert refused(headerName="x-canary", headerValue={"exact": "1"}) == ""


def twice() -> dict[str, Any]:
    """Two routes with the stable Service, for /checkout and for everything else."""
    obj = copy.deepcopy(EXAMPLE.obj)
    at(obj, ("spec", "routes", 2))["services"] = copy.deepcopy(at(obj, SERVICES))
    return obj


def test_of_several_routes_the_prefix_chooses() -> None:
    """Without one the problem says where to put it; a route without a condition is for the prefix `/`."""
    assert read(twice()).problem == (
        'HTTPProxy checkout: spec.routes has 2 routes with the stable Service "checkout" in its services (1, 2); put '
        "the prefix of the one that is meant in "
        "spec.strategy.canary.trafficRouting.contour.httpProxies[name=checkout].route"
    )
    claims = [ROUTER.claims(EXAMPLE.strategy(), twice(), Target("checkout", r)) for r in ("/checkout", "/")]
    assert claims == ["HTTPProxy/checkout/#1", "HTTPProxy/checkout/#2"]


def test_of_several_routes_for_a_prefix_the_service_chooses() -> None:
    """Routes for one prefix differ by headers, and the one with the stable Service is meant."""
    obj = copy.deepcopy(EXAMPLE.obj)
    at(obj, ("spec", "routes", 0))["conditions"] = [{"prefix": "/checkout"}]
    assert read(obj, "/checkout").problem == ""
    at(obj, ("spec", "routes", 0))["services"] = copy.deepcopy(at(obj, SERVICES))
    assert "2 routes for the prefix" in read(obj, "/checkout").problem


def test_a_prefix_that_no_route_has() -> None:
    """The field of the Rollout is named; an exact path is no prefix."""
    obj = copy.deepcopy(EXAMPLE.obj)
    assert read(obj, "/cart").problem == (
        'HTTPProxy checkout: spec.routes has no route for the prefix "/cart"; correct '
        "spec.strategy.canary.trafficRouting.contour.httpProxies[name=checkout].route"
    )
    at(obj, ("spec", "routes", 1))["conditions"] = [{"exact": "/checkout"}]
    assert "no route for the prefix" in read(obj, "/checkout").problem


def test_a_root_that_contour_refuses_is_named_by_reason() -> None:
    """Its description is free text and stays out of the message."""
    obj = copy.deepcopy(EXAMPLE.obj)
    at(obj, ("status", "conditions", 0)).update({"status": "False", "reason": "ErrorPresent"})
    assert read(obj).message == "Valid is not True (ErrorPresent)"
