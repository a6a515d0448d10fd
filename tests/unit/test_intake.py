"""Which Rollouts become dirty by what is heard."""

from __future__ import annotations

import pytest

from headgate.engine.queue import Key
from headgate.observe.snapshot import Known
from tests.unit.engine_world import KEY, ROLLOUT, ROUTE, SETS, STABLE, World, rollout, service
from tests.unit.fake_api import Object

GATE = "/apis/headgate.dev/v1alpha1/namespaces/shop/qualitygates/golden"
ACTION = "/apis/headgate.dev/v1alpha1/namespaces/shop/rolloutactions/promote-1"
SLICE = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/checkout-1"
LABELS = {"headgate.dev/rollout": "checkout", "headgate.dev/revision": "abc"}


@pytest.fixture
async def world() -> World:
    """A Rollout that is clean."""
    made = World()
    made.put("Rollout", ROLLOUT, rollout(gates=[{"ref": {"name": "golden"}}]))
    await made.pass_over()
    return made


@pytest.mark.parametrize(
    ("kind", "path", "obj"),
    [
        pytest.param("Service", STABLE, service(), id="its Service"),
        pytest.param("HTTPRoute", ROUTE, {"spec": {}}, id="its route"),
        pytest.param("QualityGate", GATE, {"spec": {}}, id="its gate"),
        pytest.param("ReplicaSet", f"{SETS}/x", {"metadata": {"labels": LABELS}}, id="its ReplicaSet"),
        pytest.param("ControllerRevision", SETS, {"metadata": {"labels": LABELS}, "data": {}}, id="its record"),
        pytest.param("RolloutAction", ACTION, {"spec": {"rollout": "checkout"}}, id="an action on it"),
        pytest.param(
            "EndpointSlice",
            SLICE,
            {"metadata": {"labels": {"kubernetes.io/service-name": "checkout"}}, "endpoints": []},
            id="the endpoints of its Service",
        ),
    ],
)
async def test_what_concerns_a_rollout_makes_it_dirty(world: World, kind: str, path: str, obj: Object) -> None:
    """A new object that a Rollout refers to or owns, and its deletion."""
    stored = world.put(kind, path, obj)
    assert await world.queue.get() == KEY
    world.queue.done(KEY)
    world.intake.event(kind, "DELETED", stored)
    assert await world.queue.get() == KEY


@pytest.mark.parametrize(
    ("kind", "path", "obj"),
    [
        pytest.param("Service", STABLE.replace("checkout", "other"), service(), id="a foreign Service"),
        pytest.param("Service", STABLE.replace("shop", "elsewhere"), service(), id="the name in another namespace"),
        pytest.param("ReplicaSet", f"{SETS}/x", {"metadata": {"labels": {}}}, id="a ReplicaSet of nobody"),
        pytest.param("RolloutAction", ACTION, {"spec": {"rollout": "no-such"}}, id="an action on nothing"),
    ],
)
async def test_what_concerns_nobody_makes_nobody_dirty(world: World, kind: str, path: str, obj: Object) -> None:
    """Most events of a cluster end here."""
    world.put(kind, path, obj)
    assert world.queue.statistics().ready == 0


async def test_the_echo_of_an_own_write_makes_nobody_dirty(world: World) -> None:
    """The watch tells what the answer told before."""
    stored = world.put("Service", STABLE, service())
    await world.pass_over()
    world.intake.event("Service", "MODIFIED", stored)
    assert world.queue.statistics().ready == 0


async def test_an_older_rollout_that_goes_frees_the_younger_one(world: World) -> None:
    """Rollouts that share a Service hear of each other."""
    younger = rollout()
    younger["metadata"] |= {"name": "second", "uid": "u2", "creationTimestamp": "2026-02-02T00:00:00Z"}
    world.put("Rollout", ROLLOUT.replace("checkout", "second"), younger)
    await world.pass_over()
    await world.pass_over()
    second = world.observer.snapshot("shop", "second", 0.0, _known())
    first = world.observer.snapshot("shop", "checkout", 0.0, _known())
    assert second is not None
    assert first is not None
    assert any('Service "checkout" is claimed by Rollout "checkout"' in s for s in second.contenders)
    assert first.contenders == ()
    world.intake.gone("Rollout", "shop", "checkout", "rollout-uid")
    assert {await world.queue.get(), await world.queue.get()} == {KEY, Key("shop", "second")}


def _known() -> Known:

    return Known()
