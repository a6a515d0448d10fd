"""Releases of a DaemonSet in place by the whole operator, on a virtual clock and a server in memory, with faults."""

from __future__ import annotations

import random

import pytest

from headgate.api.common import ANNOTATION_HELD, ANNOTATION_UPDATE_STRATEGY
from tests.simulation.shell.in_place import InPlace
from tests.simulation.shell.on_nodes import OnNodes
from tests.simulation.shell.scenario import NAME, NAMESPACE
from tests.simulation.test_shell_rolling import KINDS, STEPS, ended, stable_version

pytestmark = pytest.mark.simulation


def on_nodes(world: InPlace) -> OnNodes:
    """The world as what it is."""
    assert isinstance(world, OnNodes)
    return world


def test_good_version_is_released_node_by_node() -> None:
    """The template goes in for a batch, and out again; the last one stays. Deletion gives all back as it was."""
    world = OnNodes(1, STEPS)

    async def happen(world: InPlace) -> None:
        await world.settle()
        assert world.moves == ["v1"], "it is held as it is"
        world.release("v2-good")
        await world.until("promoted", lambda: len(world.status().history) == 2)
        await world.settle()
        world.request("DELETE", "Rollout", name=NAME)
        await world.until("gone", lambda: world.store.get("Rollout", NAMESPACE, NAME) is None)

    world.run(happen)
    batches = ["v2-good", "node-0", "v1", "v2-good", "node-1", "v1", "v2-good", "node-2"]
    left = ["v2-good", "v2-good"]  # Its own way of updating comes back, then the operator's name goes from its fields.
    assert world.moves == ["v1", *batches, *left]
    assert world.images() == ["v2-good"] * 3
    found = world.daemon_set()
    assert found["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
    }
    assert not {ANNOTATION_HELD, ANNOTATION_UPDATE_STRATEGY} & set(found["metadata"]["annotations"])


@pytest.mark.parametrize(("version", "back"), [("v2-bad", ["v1", "node-0"]), ("v2-broken", ["v1", "node-0"])])
def test_version_that_fails_goes_back(version: str, back: list[str]) -> None:
    """One that a gate fails, and one that never comes up."""
    world = OnNodes(2, STEPS)

    async def happen(world: InPlace) -> None:
        await world.settle()
        world.release(version)
        await world.until("taken back", lambda: world.status().phase == "Degraded")
        await world.settle()

    world.run(happen)
    assert world.moves == ["v1", version, "node-0", *back]
    assert world.images() == ["v1"] * 3


def test_node_that_joins_in_mid_release_runs_what_is_stable() -> None:
    """And one that joins after a version was taken back."""
    world = OnNodes(3, [{"setBatch": 2}, {"pause": {}}])

    async def happen(world: InPlace) -> None:
        await world.settle()
        world.release("v2-good")
        await world.until("paused", lambda: world.status().phase == "Paused")
        on_nodes(world).join()
        await world.wait(10.0)
        assert world.images() == ["v2-good", "v2-good", "v1", "v1"]
        world.act("abort")
        await world.settle()
        on_nodes(world).join()
        await world.settle()

    world.run(happen)
    assert world.images() == ["v1"] * 5


def test_template_that_its_daemon_set_would_not_know_is_refused_by_name() -> None:
    """The server would refuse it with each try; what runs stays as it is, and it goes on by itself."""
    world = OnNodes(4, STEPS)

    async def happen(world: InPlace) -> None:
        await world.settle()
        world.moves.clear()
        labels = {"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}}
        world.request("PATCH", "Rollout", name=NAME, body=labels)
        await world.wait(30.0)
        ready = next(c for c in world.status().conditions if c.type == "Ready")
        assert (ready.reason, world.moves) == ("InvalidSpec", [])
        assert "selects its pods by app=shop, which the template does not carry" in ready.message
        world.release("v2-good")
        await world.until("promoted", lambda: len(world.status().history) == 2)

    world.run(happen)


@pytest.mark.parametrize("seed", range(30))
def test_any_faults_end_where_a_clean_run_ends(seed: int) -> None:
    """Crashes, conflicts, lost answers, watches that stall: each write keeps the rules, and the end is right."""
    chance = random.Random(f"{seed}/daemon")
    kind = chance.choice(KINDS)
    world = OnNodes(seed, STEPS, pods=chance.choice([2, 3, 5]), strength=chance.choice([0.02, 0.06, 0.15]))
    found = ended(world, chance, kind)
    if world.status().phase == "Degraded":
        assert found == {stable_version(world)}
