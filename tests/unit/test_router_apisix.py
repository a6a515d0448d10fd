"""ApisixRoutes: which rule is meant, what APISIX takes for granted, and whose report counts."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.api.rollout import Canary
from headgate.decide.types import RouteView
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS

pytestmark = pytest.mark.unit

ROUTER = ROUTERS["apisix"]
MAIN, UNNAMED = Target("checkout", "main"), Target("checkout")
Object = dict[str, Any]


def canary(*rules: str) -> Canary:
    """A canary strategy behind these rules of the route."""
    route = {"name": "checkout"} | ({"rules": list(rules)} if rules else {})
    return Canary.model_validate(
        {
            "stableService": "checkout",
            "canaryService": "checkout-canary",
            "trafficRouting": {"apisix": {"route": route}},
            "steps": [{"setWeight": 5}],
        }
    )


def backend(name: str, weight: int | None = None) -> Object:
    """One backend; without a weight, none stands there."""
    return {"serviceName": name, "servicePort": 80} | ({} if weight is None else {"weight": weight})


def route(*backends: Object, **rule: Any) -> Object:
    """An ApisixRoute whose rule `main` has these backends."""
    found = list(backends) or [backend("checkout", 100), backend("checkout-canary", 0)]
    return {
        "metadata": {"name": "checkout", "namespace": "shop", "generation": 7},
        "spec": {"http": [{"name": "main", "backends": found, **rule}]},
    }


def read(obj: Object, target: Target = MAIN) -> RouteView:
    """What the router makes of it."""
    return ROUTER.read(canary(), obj, target)


def test_each_named_rule_is_a_place() -> None:
    """In the order of the spec; without names it is the one rule with the stable Service."""
    assert list(ROUTER.targets(canary("b", "a"))) == [Target("checkout", "b"), Target("checkout", "a")]
    assert list(ROUTER.targets(canary())) == [UNNAMED]
    assert read(route(), UNNAMED).problem == ""
    assert ROUTER.claims(canary(), route(), UNNAMED) == ROUTER.claims(canary("main"), None, MAIN)


def test_several_rules_with_stable_must_be_told_apart() -> None:
    """The message says where to do that."""
    obj = route()
    obj["spec"]["http"].append(obj["spec"]["http"][0])
    assert read(obj, UNNAMED).problem == (
        'ApisixRoute checkout: spec.http has 2 rules with the stable Service "checkout" in its backends (0, 1); put '
        "the name of the one that is meant in spec.strategy.canary.trafficRouting.apisix.route.rules"
    )


@pytest.mark.parametrize(
    ("stable", "share_of", "expected"),
    [(None, None, 50), (None, 50, 34), (None, 0, 0), (0, None, 100), (300, None, 25)],
)
def test_missing_weight_is_a_hundred(stable: int | None, share_of: int | None, expected: int) -> None:
    """So APISIX takes it; the share is rounded up."""
    assert read(route(backend("checkout", stable), backend("checkout-canary", share_of))).weight == expected


def test_lone_backend_gets_everything() -> None:
    """Its weight is ignored."""
    assert read(route(backend("checkout-canary", 0))).weight == 100
    assert read(route(backend("checkout", 0))).weight == 0


def test_upstreams_get_requests_too() -> None:
    """They are no part of the list, and take a share beside it."""
    obj = route(upstreams=[{"name": "third", "weight": 100}])
    assert read(obj).problem.startswith("ApisixRoute checkout: spec.http[0].upstreams gets a part of the requests")
    with pytest.raises(ValueError, match="upstreams"):
        ROUTER.set_weight(canary(), obj, MAIN, 5)


def condition(kind: str, status: str, generation: int) -> Object:
    """What an ingress controller says."""
    return {"type": kind, "status": status, "reason": "R", "message": "secret", "observedGeneration": generation}


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([condition("ResourcesAvailable", "True", 7)], ""),
        ([condition("Accepted", "True", 7)], ""),
        ([condition("ResourcesAvailable", "False", 2), condition("Accepted", "True", 7)], ""),
        ([condition("ResourcesAvailable", "False", 7)], "ResourcesAvailable is not True (R)"),
        (
            [condition("Accepted", "True", 6)],
            "Accepted is reported for another generation than the present 7",
        ),
        ([condition("Accepted", "True", 7), condition("Available", "False", 7)], "Available is not True (R)"),
    ],
)
def test_report_of_the_ingress_controller(conditions: list[Object], message: str) -> None:
    """Its versions have several names for it; a leftover of another generation does not count beside a fresh one."""
    view = read(route() | {"status": {"conditions": conditions}})
    assert (view.settled, view.blind, view.message) == (not message, False, message)


def test_without_a_report_nothing_is_read_back() -> None:
    """The controller can be told not to write any."""
    for status in ({}, {"conditions": [condition("Other", "False", 7)]}):
        view = read(route() | {"status": status})
        assert (view.settled, view.blind, view.message) == (True, True, "")
