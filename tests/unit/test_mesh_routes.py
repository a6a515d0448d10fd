"""Routes of a mesh, whose parent is a Service: meshes answer for it as gateways do for themselves, or with less."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from headgate.decide.types import RouteView
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS
from tests.unit.router_example import Example, at, examples, put

pytestmark = pytest.mark.unit

ROUTES = [example for example in examples() if example.router in {"gatewayAPI", "gatewayAPI.grpcRoutes"}]
CONDITIONS = ("status", "parents", 0, "conditions")


def meshed(example: Example, group: Any, answered: Any = "") -> dict[str, Any]:
    """The example with a Service as its parent, whose mesh spells the group of Services in its own way."""
    obj = copy.deepcopy(example.obj)
    parent = {"group": group, "kind": "Service", "name": "checkout", "port": 80}
    obj["spec"]["parentRefs"] = [parent]
    obj["status"]["parents"][0]["parentRef"] = parent | {"group": answered, "namespace": "shop"}
    return obj


def read(example: Example, obj: dict[str, Any]) -> RouteView:
    """What the router makes of it."""
    return ROUTERS[example.router].read(example.strategy(), obj, Target("checkout", "main"))


@pytest.mark.parametrize("example", ROUTES, ids=lambda e: e.id)
@pytest.mark.parametrize(("group", "answered"), [("", ""), ("core", "core"), ("core", "")])
def test_a_mesh_answers_for_its_service(example: Example, group: str, answered: str) -> None:
    """Istio and Cilium spell the group as the API does, Linkerd's examples call it `core`."""
    view = read(example, meshed(example, group, answered))
    assert (view.settled, view.blind, view.message, view.problem) == (True, False, "", "")


@pytest.mark.parametrize("example", ROUTES, ids=lambda e: e.id)
def test_a_service_without_its_group_is_another_parent(example: Example) -> None:
    """The API takes a parent without a group for one of its own kinds, whatever the kind is called."""
    obj = meshed(example, "")
    del obj["spec"]["parentRefs"][0]["group"]
    assert read(example, obj).message == "Service shop/checkout port 80 has not answered yet"


@pytest.mark.parametrize("example", ROUTES, ids=lambda e: e.id)
def test_a_mesh_that_tells_no_generation_is_blind(example: Example) -> None:
    """Linkerd does not say which version it has accepted: what is stored counts as served after the settle time."""
    obj = meshed(example, "core", "core")
    for condition in at(obj, CONDITIONS):
        del condition["observedGeneration"]
    view = read(example, obj)
    assert (view.settled, view.blind, view.message) == (True, True, "")


@pytest.mark.parametrize("example", ROUTES, ids=lambda e: e.id)
def test_what_a_mesh_refuses_is_not_served(example: Example) -> None:
    """Without a generation, too, it says what it does not accept."""
    obj = meshed(example, "")
    for condition in at(obj, CONDITIONS):
        del condition["observedGeneration"]
    put(obj, (*CONDITIONS, 0, "status"), "False")
    view = read(example, obj)
    assert (view.settled, view.message) == (False, "Service shop/checkout port 80: Accepted is not True (Accepted)")


@pytest.mark.parametrize("example", ROUTES, ids=lambda e: e.id)
def test_a_gateway_must_tell_the_generation(example: Example) -> None:
    """The API asks gateways for it: one that does not tell is waited for."""
    obj = copy.deepcopy(example.obj)
    for condition in at(obj, CONDITIONS):
        del condition["observedGeneration"]
    assert "for another generation" in read(example, obj).message


@pytest.mark.parametrize("example", ROUTES, ids=lambda e: e.id)
def test_backends_may_spell_the_group_of_services_too(example: Example) -> None:
    """`core` is no group of anything else."""
    obj = meshed(example, "core", "core")
    for ref in at(obj, ("spec", "rules", 1, "backendRefs")):
        ref |= {"group": "core", "kind": "Service"}
    assert read(example, obj).problem == ""
