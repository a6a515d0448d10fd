"""What goes on while something is missing that a Rollout stands on: the pods for the load, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from headgate.decide import types as t
from headgate.decide.problems import find
from tests.simulation.test_review import Stubborn, failing, settled
from tests.simulation.world import ratio, spec

pytestmark = pytest.mark.simulation

HALF: list[dict[str, Any]] = [{"setWeight": 50}, {"pause": {}}]
WHOLE: dict[str, Any] = {"setCanaryScale": {"weight": 100}}
BY_HEADER: dict[str, Any] = {
    "setHeaderRoute": {"name": "beta", "match": [{"headerName": "x", "headerValue": {"exact": "1"}}]}
}
Lens = Callable[[t.Snapshot], t.Snapshot]


def without_route(seen: t.Snapshot) -> t.Snapshot:
    """Somebody has deleted the route."""
    return replace(seen, routes=(t.RouteView("gatewayAPI", "HTTPRoute", "shop", problem="there is no HTTPRoute"),))


def without_kind(seen: t.Snapshot) -> t.Snapshot:
    """The cluster does not serve it."""
    return replace(without_route(seen), missing_kinds=("HTTPRoute",))


def without_router(seen: t.Snapshot) -> t.Snapshot:
    """An admin has taken it out of the configuration: what the route says nobody sees."""
    return replace(seen, routes=(), config=seen.config.model_copy(update={"routers": []}))


def without_service(seen: t.Snapshot) -> t.Snapshot:
    """Somebody has deleted the stable Service."""
    return replace(seen, stable_service=t.ServiceView("shop", found=False))


def unreadable(seen: t.Snapshot) -> t.Snapshot:
    """Nobody knows what the spec wants."""
    return replace(seen, problems=("spec.replicas: too odd",))


LACKS = [without_route, without_kind, without_router, without_service]


def stable_of(world: Stubborn) -> str:
    """The pod hash of what is stable."""
    assert world.status.stable is not None
    return world.status.stable.pod_hash


def pods(world: Stubborn) -> dict[str, int]:
    """Wanted pods by pod hash."""
    return {found.pod_hash: found.replicas for found in world.sets.values()}


def acts(world: Stubborn, before: int) -> list[str]:
    """What was written since then, but for the status."""
    return [write for write in world.writes[before:] if write != "status"]


def delete_set(world: Stubborn, pod_hash: str) -> None:
    """Somebody deletes a ReplicaSet."""
    del world.sets[f"shop-{pod_hash}"]


def in_mid_release(steps: list[dict[str, Any]], phase: str = "Paused", **more: Any) -> tuple[Stubborn, str, str]:
    """A world that waits in a release, with both pod hashes."""
    world = settled(spec(steps, **more))
    stable = stable_of(world)
    canary = world.release("v2")
    world.settle(240, until=(phase,))
    world.run_for(30)
    return world, stable, canary


@pytest.mark.parametrize("lack", LACKS)
def test_stable_pods_are_made_again_and_follow_what_is_wanted(lack: Lens) -> None:
    """Losing them, or not having them under load, is worse than anything that a missing object can cause."""
    world = settled(spec(HALF, replicas=4))
    world.lens = lack
    world.run_for(10)
    before = len(world.writes)
    delete_set(world, stable_of(world))
    world.run_for(30)
    assert pods(world) == {stable_of(world): 4}
    world.change_spec(replicas=7)
    world.run_for(30)
    assert pods(world) == {stable_of(world): 7}
    written = [w for w in acts(world, before) if "ReplicaSet" not in w]
    assert not written, f"{written} are written while something is missing"
    ready = next(c for c in world.status.conditions if c.type == "Ready")
    assert (ready.status, world.ready(world.sets[f"shop-{stable_of(world)}"])) == ("False", 7)


@pytest.mark.parametrize("lack", LACKS)
def test_pods_that_are_wanted_no_more_go_when_everything_is_there_again(lack: Lens) -> None:
    """Who gets requests nobody sees meanwhile."""
    world = settled(spec(HALF, replicas=4))
    world.lens = lack
    world.change_spec(replicas=2)
    world.run_for(300)
    assert pods(world) == {stable_of(world): 4}
    world.lens = lambda seen: seen
    world.run_for(60)
    assert pods(world) == {stable_of(world): 2}
    world.check_rest()


@pytest.mark.parametrize("lack", LACKS)
def test_both_versions_follow_in_mid_release(lack: Lens) -> None:
    """Each gets the pods for what the steps let it have; no weight, no selector, no step."""
    world, stable, canary = in_mid_release(HALF)
    assert pods(world) == {stable: 4, canary: 2}
    world.lens = lack
    world.run_for(5)
    before = len(world.writes)
    world.change_spec(replicas=8)
    world.run_for(300)
    assert pods(world) == {stable: 8, canary: 4}
    for gone in (stable, canary):
        delete_set(world, gone)
    world.run_for(60)
    assert pods(world) == {stable: 8, canary: 4}
    moved = [w for w in acts(world, before) if "ReplicaSet" not in w]
    assert not moved, f"{moved} are written while something is missing"
    world.lens = lambda seen: seen
    world.run_for(60)
    assert (world.status.phase, world.weight) == ("Paused", 50)
    world.person("promote")
    world.settle(300)
    assert stable_of(world) == canary
    world.check_rest()


def test_a_canary_gets_no_more_pods_than_its_weight_needs() -> None:
    """What the steps want besides is of no use before the route is there, and could take stable's place."""
    world, stable, canary = in_mid_release([WHOLE, *HALF])
    assert pods(world) == {stable: 4, canary: 4}
    world.lens = without_route
    world.change_spec(replicas=6)
    world.run_for(60)
    assert pods(world) == {stable: 6, canary: 4}
    world.change_spec(replicas=10)
    world.run_for(60)
    assert pods(world) == {stable: 10, canary: 5}
    world.lens = lambda seen: seen
    world.run_for(60)
    assert pods(world) == {stable: 10, canary: 10}


def test_a_canary_without_a_weight_gets_none() -> None:
    """One that is only being made for later waits for the route."""
    world, stable, canary = in_mid_release([{"setCanaryScale": {"replicas": 1}}, {"pause": {}}, *HALF])
    world.lens = without_route
    delete_set(world, canary)
    world.run_for(60)
    assert pods(world) == {stable: 4}


def test_who_is_led_by_header_has_the_pods_that_the_steps_say() -> None:
    """How many they are nobody knows."""
    world, stable, canary = in_mid_release([{"setCanaryScale": {"replicas": 3}}, BY_HEADER, {"pause": {}}])
    assert world.routes
    world.lens = without_route
    delete_set(world, canary)
    world.run_for(60)
    assert pods(world) == {stable: 4, canary: 3}


@pytest.mark.parametrize("lack", [without_route, failing])
def test_a_stable_version_that_has_given_pods_away_gets_all_of_them(lack: Lens) -> None:
    """Nobody knows its share, so that it may be everything."""
    world, stable, canary = in_mid_release(HALF, canary={"dynamicStableScale": True})
    assert pods(world) == {stable: 2, canary: 2}
    world.lens = lack
    world.run_for(60)
    assert pods(world) == {stable: 4, canary: 2}


def test_a_way_back_makes_nothing_whole_before_it_can_go_on() -> None:
    """The version that is gone back to has no weight yet."""
    world = settled(spec([{"setWeight": 50}], replicas=4, rollbackWindow={"revisions": 1}))
    first = stable_of(world)
    second = world.release("v2")
    world.settle(240)
    world.run_for(60)
    assert pods(world) == {first: 0, second: 4}
    world.release("v1")
    world.turn()
    assert world.status.current is not None
    assert world.status.current.fast
    world.lens = without_route
    world.run_for(30)
    world.change_spec(replicas=6)
    world.run_for(60)
    assert pods(world)[second] == 6
    assert pods(world)[first] == 0
    world.lens = lambda seen: seen
    world.settle(240)
    assert stable_of(world) == first


def test_stable_pods_follow_before_a_new_attempt_is_recorded() -> None:
    """The attempt waits, and they do not."""
    world = settled(spec(HALF, replicas=4))
    stable = stable_of(world)
    world.refuses["CreatePlan"] = t.OutcomeKind.REFUSED
    world.release("v2")
    world.run_for(5)
    world.lens = without_route
    world.change_spec(replicas=7)
    world.run_for(30)
    assert pods(world) == {stable: 7}


def test_the_first_version_comes_up_without_a_route_and_serves_when_it_is_there() -> None:
    """It went between the first decision and the end."""
    world = Stubborn(1, spec(HALF, replicas=4))
    world.turn()
    world.turn()
    world.lens = without_route
    world.run_for(60)
    assert list(pods(world).values()) == [4]
    assert world.selectors == {"shop": "", "shop-canary": ""}
    world.lens = lambda seen: seen
    world.settle(120)
    assert world.selectors["shop"] == stable_of(world)


@pytest.mark.parametrize("lack", [without_service, unreadable])
def test_a_ratio_gets_back_what_somebody_took_from_stable(lack: Lens) -> None:
    """Where the pods are the weight, too; unless nobody knows which are wanted."""
    world = settled(ratio(HALF, replicas=4))
    stable = stable_of(world)
    canary = world.release("v2")
    world.settle(240, until=("Paused",))
    assert pods(world) == {stable: 2, canary: 2}
    world.lens = lack
    delete_set(world, stable)
    world.change_spec(replicas=6)
    world.run_for(60)
    assert pods(world) == ({stable: 4, canary: 2} if lack is without_service else {canary: 2})


@pytest.mark.parametrize("steps", [HALF, [WHOLE, *HALF]])
def test_nothing_is_touched_while_nobody_knows_which_pods_are_wanted(steps: list[dict[str, Any]]) -> None:
    """A spec that cannot be read may want fewer, or others: what is there stays."""
    world, stable, canary = in_mid_release(steps)
    there = pods(world)
    world.lens = unreadable
    world.run_for(5)
    before = len(world.writes)
    world.change_spec(replicas=9)
    world.run_for(60)
    assert pods(world) == there
    delete_set(world, stable)
    world.run_for(60)
    assert pods(world) == {canary: there[canary]}
    assert not acts(world, before)
    world.lens = lambda seen: seen
    world.run_for(60)
    assert pods(world)[stable] == 9


@pytest.mark.parametrize("lack", LACKS)
def test_what_is_missing_leaves_the_pods_alone(lack: Lens) -> None:
    """Only what the spec cannot say itself leaves open which are wanted."""
    world = settled(spec(HALF))
    found = find(lack(world.snapshot()))
    assert found
    assert all(p.blocks_running and not p.blocks_pods for p in found)
    assert all(p.blocks_pods for p in find(unreadable(world.snapshot())))
