"""VirtualServices: which route is meant, which hosts are the two Services, and what subsets cannot say."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from pydantic import ValidationError

from headgate.api.rollout import Canary
from headgate.decide.types import RouteView
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS

pytestmark = pytest.mark.unit

ROUTER = ROUTERS["istio"]
FIELD = "spec.strategy.canary.trafficRouting.istio.virtualServices"
Object = dict[str, Any]


def canary(*services: Object) -> Canary:
    """A canary strategy behind these VirtualServices."""
    return Canary.model_validate(
        {
            "stableService": "checkout",
            "canaryService": "checkout-canary",
            "trafficRouting": {"istio": {"virtualServices": list(services) or [{"name": "checkout"}]}},
            "steps": [{"setWeight": 5}],
        }
    )


def to(host: str, weight: int | None = None, **more: Any) -> Object:
    """A destination; without a weight, none stands there."""
    return {"destination": {"host": host, **more}} | ({} if weight is None else {"weight": weight})


def virtual_service(*destinations: Object, **more: Any) -> Object:
    """A VirtualService with one HTTP route to these destinations."""
    found = list(destinations) or [to("checkout", 100), to("checkout-canary", 0)]
    return {
        "metadata": {"name": "checkout", "namespace": "shop", "generation": 7, "resourceVersion": "42"},
        "spec": {"http": [{"name": "primary", "route": found}], **more},
    }


def read(obj: Object, *services: Object) -> RouteView:
    """What the router makes of the first place of these VirtualServices."""
    subject = canary(*services)
    return ROUTER.read(subject, obj, ROUTER.targets(subject)[0])


def test_each_named_route_is_a_place() -> None:
    """In the order of the spec; two items that mean the same are one place."""
    subject = canary(
        {"name": "a", "routes": ["x", "y"], "tlsRoutes": [{"port": 443, "sniHosts": ["s.test"]}, {"port": 8443}]},
        {"name": "b", "tcpRoutes": [{"port": 3306}, {}, {}]},
        {"name": "c"},
    )
    assert list(ROUTER.targets(subject)) == [
        Target("a", "x"),
        Target("a", "y"),
        Target("a", "tls port 443 sniHosts s.test"),
        Target("a", "tls port 8443"),
        Target("b", "tcp port 3306"),
        Target("b", "tcp route"),
        Target("c", ""),
    ]


@pytest.mark.parametrize("host", ["checkout-canary", "checkout-canary.shop.svc.cluster.local"])
def test_host_of_a_service(host: str) -> None:
    """A short name means the VirtualService's namespace; the whole name says so."""
    assert read(virtual_service(to("checkout", 80), to(host, 20))).weight == 20


@pytest.mark.parametrize(
    "host",
    [
        "checkout-canary.shop",  # Istio takes a name with a dot in it as it stands.
        "checkout-canary.other.svc.cluster.local",
        "checkout-canary.shop.svc.clusterset.local",
        "*",
        "",
    ],
)
def test_host_of_something_else(host: str) -> None:
    """It is said how the Service is to be written."""
    assert read(virtual_service(to("checkout", 80), to(host, 20))).problem == (
        'VirtualService checkout: spec.http[0].route does not list the canary Service "checkout-canary"; add it with '
        "weight 0, with its name as the host, or as NAME.shop.svc.cluster.local"
    )


def test_foreign_destination_is_named() -> None:
    """The two Services take all the requests of a claimed route."""
    view = read(virtual_service(to("checkout", 50), to("checkout-canary", 25), to("third.test", 25)))
    assert view.weight == 25
    assert view.problem == (
        "VirtualService checkout: spec.http[0].route[2] is the host 'third.test'; a claimed rule has the two Services "
        '"checkout" and "checkout-canary" of this namespace and no other backend'
    )


def test_subsets_of_one_host_are_refused() -> None:
    """The labels of subsets do not follow the revisions: such a weight says nothing about the version that gets it."""
    obj = virtual_service(to("checkout", 80, subset="stable"), to("checkout", 20, subset="canary"))
    assert "spec.http[0].route splits one host by subsets" in read(obj).problem
    assert 'list the two Services "checkout" and "checkout-canary" as hosts instead' in read(obj).problem
    with pytest.raises(ValueError, match="splits one host by subsets"):
        ROUTER.set_weight(canary(), obj, Target("checkout"), 5)


def test_subset_of_each_service_is_left_alone() -> None:
    """It carries a policy, and all the pods that the Service selects."""
    obj = virtual_service(to("checkout", 100, subset="a"), to("checkout-canary", 0, subset="a"))
    assert read(obj).problem == ""
    after = jsonpatch.apply_patch(obj, ROUTER.set_weight(canary(), obj, Target("checkout"), 5))
    assert [entry["destination"].get("subset") for entry in after["spec"]["http"][0]["route"]] == ["a", "a"]


def test_missing_weight_is_zero() -> None:
    """Istio leaves a weight of 0 out when it writes; the patch adds what is not there."""
    obj = virtual_service(to("checkout", 100), to("checkout-canary"))
    assert (read(obj).weight, read(obj).problem) == (0, "")
    assert ROUTER.set_weight(canary(), obj, Target("checkout"), 5)[2:] == [
        {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 95},
        {"op": "add", "path": "/spec/http/0/route/1/weight", "value": 5},
    ]
    assert "every weight is 0" in read(virtual_service(to("checkout"), to("checkout-canary"))).problem


@pytest.mark.parametrize("weight", [None, 0, 100])
def test_lone_destination_gets_everything(weight: int | None) -> None:
    """Whatever its weight says; no weight can take it from there."""
    obj = virtual_service(to("checkout-canary", weight))
    assert read(obj, {"name": "checkout", "routes": ["primary"]}).weight == 100
    assert read(virtual_service(to("checkout", weight))).weight == 0


# --------------------------------------------------------------------------------------------------------------------
# Which route
# --------------------------------------------------------------------------------------------------------------------


def test_several_routes_to_stable_must_be_told_apart() -> None:
    """The message says where to do that."""
    obj = virtual_service()
    obj["spec"]["http"].append(obj["spec"]["http"][0])
    assert read(obj).problem == (
        'VirtualService checkout: spec.http has 2 routes with the stable Service "checkout" as a destination\'s host '
        f"(0, 1); say in {FIELD}[name=checkout] which one is meant"
    )


def tls(*matches: Object) -> Object:
    """A TLS route with these matches."""
    return {"match": list(matches), "route": [to("checkout", 100), to("checkout-canary", 0)]}


TLS = virtual_service(
    tls=[
        tls({"sniHosts": ["a.test"]}, {"port": 443, "sniHosts": ["b.test", "c.test"]}),
        tls({"port": 8443, "sniHosts": ["b.test"]}),
    ],
    tcp=[{"match": [{"port": 3306}], "route": [to("checkout", 60), to("checkout-canary", 40)]}],
)


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"port": 443}, ""),
        ({"sniHosts": ["c.test", "b.test"]}, ""),
        ({"port": 443, "sniHosts": ["b.test", "c.test"]}, ""),
        ({"sniHosts": ["a.test"]}, ""),
        ({"port": 443, "sniHosts": ["a.test"]}, "spec.tls has no route with port 443 and with the sniHosts a.test; "),
        ({"sniHosts": ["c.test"]}, "spec.tls has no route with the sniHosts c.test; "),
        ({}, 'spec.tls has 2 routes with the stable Service "checkout" as a destination\'s host (0, 1); '),
    ],
)
def test_tls_route_by_one_of_its_matches(wanted: Object, problem: str) -> None:
    """All that the Rollout says must be true of one match, and the SNI hosts all be there."""
    view = read(TLS, {"name": "checkout", "tlsRoutes": [wanted]})
    assert view.problem.startswith(f"VirtualService checkout: {problem}" if problem else "")
    assert bool(view.problem) == bool(problem)


def test_tcp_route_by_port_or_service() -> None:
    """A route without a match is found by its Service."""
    for wanted in ({"port": 3306}, {}):
        assert read(TLS, {"name": "checkout", "tcpRoutes": [wanted]}).weight == 40
    assert "has no route with port 1" in read(TLS, {"name": "checkout", "tcpRoutes": [{"port": 1}]}).problem


def test_unnamed_http_route_is_claimed_by_its_index() -> None:
    """And nobody contends for a route that is not there."""
    obj = virtual_service()
    del obj["spec"]["http"][0]["name"]
    assert ROUTER.claims(canary(), obj, Target("checkout")) == "VirtualService/checkout/http#0"
    other = canary().model_copy(update={"stable_service": "cart"})
    assert ROUTER.claims(canary(), None, Target("checkout")) != ROUTER.claims(other, None, Target("checkout"))


# --------------------------------------------------------------------------------------------------------------------
# What istiod reports
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"conditions": []},
        {"conditions": [{"type": "PassedValidation", "status": "False"}], "observedGeneration": 7},
        {"conditions": [{"type": "Reconciled", "status": "False"}]},
        "junk",
    ],
)
def test_without_a_report_of_this_version_nothing_is_read_back(status: Any) -> None:
    """Reconciled, and of which generation, or it says nothing."""
    view = read(virtual_service() | {"status": status})
    assert (view.settled, view.blind, view.message) == (True, True, "")


@pytest.mark.parametrize("generation", [7, "7"])
def test_report_of_this_version_counts(generation: int | str) -> None:
    """Istio writes an int64 as a number or as text."""
    conditions = [{"type": "Reconciled", "status": "True", "observedGeneration": generation}]
    view = read(virtual_service() | {"status": {"conditions": conditions, "observedGeneration": 6}})
    assert (view.settled, view.blind) == (True, False)


def test_report_of_another_version_is_waited_for() -> None:
    """Not all proxies have the new weights then."""
    status = {"conditions": [{"type": "Reconciled", "status": "True"}], "observedGeneration": "6"}
    view = read(virtual_service() | {"status": status})
    assert (view.settled, view.blind) == (False, False)
    assert view.message == "Reconciled is reported for another generation than the present 7"


@pytest.mark.parametrize("name", ["a b", "tls:1", "-a", "", "a" * 129])
def test_name_of_a_route_has_no_blanks(name: str) -> None:
    """So that it is told from what a TLS or TCP route is called."""
    with pytest.raises(ValidationError):
        canary({"name": "checkout", "routes": [name]})
