"""Releases of a StatefulSet in place by the whole operator, on a virtual clock and a server in memory, with faults."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.simulation.shell.in_place import InPlace
from tests.simulation.shell.scenario import GATE

pytestmark = pytest.mark.simulation

JUDGED: dict[str, Any] = {"gate": {"ref": {"name": GATE}, "count": 2}}
STEPS: list[dict[str, Any]] = [{"setBatch": 1}, JUDGED, {"setBatch": 2}, {"pause": {"duration": "3s"}}]


def test_good_version_is_released_batch_by_batch() -> None:
    """The same moves as in the model of the core, by the real shell: watches, reads, patches."""
    world = InPlace(1, STEPS)

    async def happen(world: InPlace) -> None:
        await world.settle()
        assert world.moves == ["1000000"]
        world.release("v2-good")
        await world.until("promoted", lambda: len(world.status().history) == 2)
        await world.settle()

    world.run(happen)
    assert world.moves == ["1000000", "2", "1", "0", "1000000"]
    assert world.images() == ["v2-good"] * 3


@pytest.mark.parametrize(("version", "evicted"), [("v2-bad", ["shop-2"]), ("v2-broken", ["shop-2"])])
def test_version_that_fails_goes_back(version: str, evicted: list[str]) -> None:
    """One that a gate fails, and one that never comes up."""
    world = InPlace(2, STEPS)

    async def happen(world: InPlace) -> None:
        await world.settle()
        world.release(version)
        await world.until("taken back", lambda: world.status().phase == "Degraded")
        await world.settle()

    world.run(happen)
    assert world.moves == ["1000000", "2", "1000000", *evicted]
    assert world.images() == ["v1"] * 3


def test_two_pods_go_back_one_by_one() -> None:
    """Each is evicted once, by one request: what was read before is forgotten with it."""
    world = InPlace(4, [{"setBatch": 2}, {"pause": {}}])

    async def happen(world: InPlace) -> None:
        await world.settle()
        world.release("v2-good")
        await world.until("paused", lambda: world.status().phase == "Paused")
        world.act("abort")
        await world.settle()

    world.run(happen)
    assert world.moves == ["1000000", "1", "1000000", "shop-1", "shop-2"]
    assert world.evictions == 2


def test_refused_eviction_is_tried_again() -> None:
    """A budget that is exhausted on the way back holds it, and nothing else."""
    world = InPlace(3, [{"setBatch": 2}, {"pause": {}}])

    async def happen(world: InPlace) -> None:
        await world.settle()
        world.release("v2-good")
        await world.until("paused", lambda: world.status().phase == "Paused")
        spec = {"minAvailable": 3, "selector": {"matchLabels": {"app": "shop"}}}
        world.request("POST", "PodDisruptionBudget", body={"metadata": {"name": "all"}, "spec": spec})
        await world.wait(5.0)
        world.act("abort")
        await world.wait(120.0)
        assert world.images() == ["v1", "v2-good", "v2-good"]
        assert world.status().phase == "RollingBack"
        assert any(c.type == "Stalled" and "EvictPod" in c.message for c in world.status().conditions)
        world.request("PATCH", "PodDisruptionBudget", name="all", body={"spec": {"minAvailable": 2}})
        await world.settle()

    world.run(happen)
    assert world.moves[-2:] == ["shop-1", "shop-2"]


KINDS = ["good", "bad", "broken", "aborted", "newer", "retried"]


def ended(world: InPlace, chance: random.Random, kind: str) -> set[str]:
    """A release of a kind under the faults of the world, to its end; the one version that all pods have then."""

    async def happen(world: InPlace) -> None:
        await world.until("adopted", lambda: world.status().phase == "Healthy")
        world.release({"bad": "v2-bad", "broken": "v2-broken"}.get(kind, "v2-good"))
        await world.wait(chance.uniform(0.0, 40.0))
        if kind in ("aborted", "retried"):
            world.act("abort")
            await world.wait(chance.uniform(0.0, 40.0))
        if kind == "newer":
            world.release("v3-good")
        await world.wait(60.0)
        world.faults.on = False
        await world.settle()
        if kind == "retried" and world.status().rejected:
            world.act("retry")
            await world.until("tried again", lambda: not world.status().rejected)
            await world.settle()

    world.run(happen)
    found = set(world.images())
    assert len(found) == 1
    expected = {"good": {"v2-good"}, "newer": {"v3-good"}, "retried": {"v2-good"}}
    if kind in expected and not world.status().rejected:
        assert found == expected[kind]
    return found


def stable_version(world: InPlace) -> str:
    """What the pods are to be of when a version was taken back."""
    promoted = sum(h.outcome == "Promoted" for h in world.status().history)
    return ("v1", "v2-good")[promoted]


@pytest.mark.parametrize("seed", range(40))
def test_any_faults_end_where_a_clean_run_ends(seed: int) -> None:
    """Crashes, conflicts, lost answers, watches that stall: each write keeps the rules, and the end is right."""
    chance = random.Random(f"{seed}/story")
    kind = chance.choice(KINDS)
    world = InPlace(seed, STEPS, pods=chance.choice([2, 3, 5]), strength=chance.choice([0.02, 0.06, 0.15]))
    found = ended(world, chance, kind)
    if world.status().phase == "Degraded":
        stalled = next(c for c in world.status().conditions if c.type == "Stalled")
        assert found == {stable_version(world)} or stalled.reason == "NoWayBack"
