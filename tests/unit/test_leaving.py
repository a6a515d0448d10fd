"""Who owns fields of what is handed back: the operator is seen among the owners, and takes itself off."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.decide.types import Decision, Disown, OutcomeKind, Snapshot
from tests.unit.engine_world import KEY, ROLLOUT, ROUTE, STABLE, World, rollout

HELM = {"manager": "helm", "operation": "Apply"}
USUAL = {"manager": "headgate", "operation": "Update"}
VERDICT = {"manager": "headgate-takes-back:rollout-uid:abc:1", "operation": "Update"}
ANOTHER = {"manager": "headgate-takes-back:another-uid:abc:1", "operation": "Update"}


def owned(world: World, *owners: Any) -> str:
    """Store the stable Service with these owners; gives its resourceVersion."""
    service = {"metadata": {"managedFields": list(owners)}, "spec": {"selector": {"app": "shop"}}}
    return str(world.put("Service", STABLE, service)["metadata"]["resourceVersion"])


@pytest.fixture
async def world() -> World:
    """A Rollout, about which a test decides."""
    made = World()
    made.put("Rollout", ROLLOUT, rollout())
    made.queue.add(KEY)
    return made


async def seen(world: World) -> Snapshot:
    """What the next decision sees."""
    world.queue.add(KEY)
    await world.pass_over()
    return world.snapshots[-1]


@pytest.mark.parametrize(
    ("owners", "signed"),
    [((), False), ((HELM,), False), ((HELM, USUAL), True), ((VERDICT, HELM), True), ((HELM, ANOTHER), False)],
)
async def test_it_is_seen_among_the_owners(*, world: World, owners: tuple[Any, ...], signed: bool) -> None:
    """By its usual name, or by one that tells of a verdict about this very Rollout."""
    owned(world, *owners)
    backends = [{"name": "checkout", "weight": 100}, {"name": "checkout-canary", "weight": 0}]
    route = {"metadata": {"managedFields": list(owners)}, "spec": {"rules": [{"backendRefs": backends}]}}
    world.put("HTTPRoute", ROUTE, route)
    snapshot = await seen(world)
    assert snapshot.stable_service.signed is signed
    assert [route.signed for route in snapshot.routes] == [signed]


@pytest.mark.parametrize(("owners", "left"), [((HELM, USUAL, VERDICT, ANOTHER), [HELM, ANOTHER]), ((USUAL,), [{}])])
async def test_it_takes_itself_off_the_owners(world: World, owners: tuple[Any, ...], left: list[Any]) -> None:
    """Others stay what they are; the server is told `[{}]` where nobody is left, because an empty list says nothing."""
    action = Disown("Service", "checkout", owned(world, *owners))
    world.decide = lambda s, _now: Decision(s.status, write=False, action=action if s.stable_service.signed else None)
    await world.pass_over()
    assert world.api.objects[STABLE]["metadata"]["managedFields"] == left
    assert not (await seen(world)).stable_service.signed


async def test_an_object_that_changed_meanwhile_is_looked_at_again(world: World) -> None:
    """The owners that were read are those of the object that was decided on, or nothing is written."""
    action = Disown("Service", "checkout", owned(world, HELM, USUAL))
    world.decide = lambda s, _now: Decision(s.status, write=False, action=action)
    world.api.put(STABLE, world.api.objects[STABLE] | {"spec": {"selector": {"app": "other"}}})
    await world.pass_over()
    world.decide = lambda s, _now: Decision(s.status, write=False)
    outcome = (await seen(world)).outcome
    assert outcome is not None
    assert outcome.kind is OutcomeKind.CONFLICT
    assert [method for method, path in world.api.log if path == STABLE] == ["GET", "GET"]
