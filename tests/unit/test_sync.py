"""Filling and sweeping the cache against a server in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headgate.engine.sources import Source, sources
from headgate.engine.sync import Sync
from headgate.traffic.registry import ROUTERS
from tests.unit.engine_world import KEY, ROLLOUT, ROUTE, STABLE, World, rollout, service

pytestmark = pytest.mark.looptime

WATCHED = tuple(s for s in sources(ROUTERS.values(), ()) if s.kind in ("Rollout", "Service", "HTTPRoute"))


@pytest.fixture
async def world() -> World:
    """A Rollout and its Service at the server, not in the cache."""
    made = World()
    made.api.put(ROLLOUT, rollout())
    made.api.put(STABLE, service())
    return made


def syncing(world: World, found: list[str] | None = None) -> Sync:
    """A sync in virtual time; the server lists all namespaces by one path for each."""
    return Sync(
        world.kube,
        world.cache,
        world.intake,
        WATCHED,
        namespaces=("shop",),
        on_found=(found if found is not None else []).append,
        monotonic=asyncio.get_running_loop().time,
        rand=lambda: 0.5,
    )


@contextlib.asynccontextmanager
async def running(sync: Sync) -> AsyncIterator[None]:
    """Let it sweep."""
    task = asyncio.create_task(sync.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_barrier_opens_after_the_first_lists(world: World) -> None:
    """All kinds are listed before anything may be decided; one that the cluster does not serve counts as listed."""
    sync = syncing(world)
    await sync.first_lists()
    assert world.cache.synced(s.kind for s in WATCHED)
    assert world.cache.missing == {"HTTPRoute"}
    assert world.queue.statistics().ready == 1


async def test_the_first_lists_outlast_an_outage(world: World) -> None:
    """A server that fails is asked again until it answers."""
    for _ in range(3):
        world.api.fail("GET", "services", (503, "Unavailable"))
    await syncing(world).first_lists()
    assert world.cache.get("Service", "shop", "checkout") is not None


async def test_what_vanished_while_nobody_watched_is_swept(world: World) -> None:
    """A watch that begins anew lists what is there; of what is not, be it the only one of its kind, nobody tells."""
    sync = syncing(world)
    await sync.first_lists()
    await world.queue.get()
    world.queue.done(KEY)
    async with running(sync):
        del world.api.objects[STABLE]
        world.api.version += 1
        world.intake.listed("Service")
        await asyncio.sleep(5)
        assert world.cache.get("Service", "shop", "checkout") is None
        assert world.queue.statistics().ready == 1


async def test_lists_of_kinds_without_objects_ask_for_nothing(world: World) -> None:
    """Nothing can have vanished of what was never there, and many lists in a row are looked at once."""
    sync = syncing(world)
    await sync.first_lists()
    async with running(sync):
        world.cache.missing.clear()
        before = len(world.api.log)
        for _ in range(5):
            world.intake.listed("HTTPRoute")
            world.intake.listed("Service")
            await asyncio.sleep(0.5)
        await asyncio.sleep(5)
        assert [path.rpartition("/")[2] for _, path in world.api.log[before:]] == ["services"]


async def test_a_watch_that_hangs_is_made_up_for(world: World) -> None:
    """What the periodic sweep finds newer than the cache, and the watch does not tell, is read."""
    sync = syncing(world)
    await sync.first_lists()
    async with running(sync):
        world.api.put(STABLE, service({"tier": "silent"}) | {"metadata": {"uid": "uid-102"}})
        await asyncio.sleep(800)
        found = world.cache.get("Service", "shop", "checkout")
        assert found is not None
        assert found["spec"]["selector"]["tier"] == "silent"


async def test_a_kind_that_appears_is_watched(world: World) -> None:
    """A router's CRD that is installed later is found, listed, and watched; Rollouts are looked at again."""
    found: list[str] = []
    sync = syncing(world, found)
    await sync.first_lists()
    await world.queue.get()
    world.queue.done(KEY)
    async with running(sync):
        world.api.put(ROUTE, {"spec": {"rules": []}})
        await asyncio.sleep(40)
        assert found == ["HTTPRoute"]
        assert world.cache.missing == set()
        assert world.cache.get("HTTPRoute", "shop", "checkout") is not None
        assert world.queue.statistics().ready == 1


async def test_a_kind_that_was_away_for_a_moment_is_found_at_once(world: World) -> None:
    """A definition that is made again is not waited for until the next look for kinds that were never there."""
    world.api.put(ROUTE, {"spec": {"rules": []}})
    found: list[str] = []
    sync = syncing(world, found)
    await sync.first_lists()
    async with running(sync):
        route = world.api.objects.pop(ROUTE)
        world.intake.relisted["HTTPRoute"] = 0.0
        await asyncio.sleep(2.5)
        assert world.cache.missing == {"HTTPRoute"}
        world.api.put(ROUTE, route)
        await asyncio.sleep(5)
        assert found == ["HTTPRoute"]
        assert world.cache.get("HTTPRoute", "shop", "checkout") is not None


async def test_at_rest_a_sweep_is_rare(world: World) -> None:
    """Nothing changes: one list of names per kind in ten minutes, and nothing else."""
    sync = syncing(world)
    await sync.first_lists()
    async with running(sync):
        world.cache.missing.clear()
        world.api.put(ROUTE, {"spec": {"rules": []}})
        world.intake.take("HTTPRoute", world.api.objects[ROUTE])
        before = len(world.api.log)
        await asyncio.sleep(6050)
        assert len(world.api.log) - before == 10 * len(WATCHED)


def test_in_namespaces_no_cluster_kind_is_watched() -> None:
    """With Roles only, nothing is asked for that a Role cannot grant."""
    assert [s.kind for s in sources(ROUTERS.values(), ("shop",)) if s.cluster_scoped] == []
    assert any(s == Source(s.resource, cluster_scoped=True, optional=True) for s in sources(ROUTERS.values(), ()))


def relied_on(sync: Sync) -> bool:
    """Whether decisions may be taken on the cache."""
    return sync.fresh


async def test_a_replica_that_begins_to_lead_reads_what_its_watches_have_not_told(world: World) -> None:
    """Its predecessor may have written weights and selectors of which a late watch shows nothing: those come first."""
    sync = syncing(world)
    await sync.first_lists()
    async with running(sync):
        world.api.put(STABLE, service({"tier": "silent"}) | {"metadata": {"uid": "uid-102"}})
        sync.look_anew()
        assert not relied_on(sync), "the old cache is relied on"
        await asyncio.sleep(0.1)
        found = world.cache.get("Service", "shop", "checkout")
        assert found is not None
        assert found["spec"]["selector"]["tier"] == "silent"
        assert relied_on(sync)


async def test_nothing_is_relied_on_while_a_kind_cannot_be_listed(world: World) -> None:
    """An outage in the very moment in which a replica takes over: it asks again, and begins when it knows."""
    fresh: list[str] = []
    sync = syncing(world)
    sync._on_fresh = lambda: fresh.append("fresh")
    await sync.first_lists()
    async with running(sync):
        await asyncio.sleep(1.5)
        for _ in range(3):
            world.api.fail("GET", "services", (503, "Unavailable"))
        sync.look_anew()
        await asyncio.sleep(0.5)
        assert not relied_on(sync)
        await asyncio.sleep(5)
        assert relied_on(sync)
        assert fresh == ["fresh"]


async def test_what_was_looked_at_before_the_lease_was_lost_once_more_does_not_count(world: World) -> None:
    """Another replica may have led in between."""
    sync = syncing(world)
    await sync.first_lists()
    listed = world.kube.list

    async def late(*asked: Any, **more: Any) -> Any:
        await asyncio.sleep(1)
        return await listed(*asked, **more)

    world.kube.list = late  # type: ignore[method-assign]
    async with running(sync):
        sync.look_anew()
        await asyncio.sleep(1.5)
        sync.look_anew()
        await asyncio.sleep(1)
        assert not relied_on(sync), "lists from before the second time count"
        await asyncio.sleep(5)
        assert relied_on(sync)
