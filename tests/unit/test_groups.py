"""Who is in a release group, who is woken by whom, and what nobody outside of it can do."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.decide import group
from headgate.decide.types import PeerView
from headgate.engine.queue import Key
from headgate.observe.snapshot import Known
from tests.unit.engine_world import ROLLOUT, World, rollout
from tests.unit.fake_api import Object

TIME, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
ENVIRONMENT = "/apis/headgate.dev/v1alpha1/environments/live"


def path(namespace: str, name: str) -> str:
    """Where the API server has a Rollout."""
    return ROLLOUT.replace("/shop/", f"/{namespace}/").replace("/checkout", f"/{name}")


def named(name: str, namespace: str = "shop", environment: str = "", /, **more: Any) -> Object:
    """A Rollout in the group `g`, with Services of its own."""
    of = {"name": "g"} | ({"environment": environment} if environment else {})
    strategy = {"canary": {"stableService": name, "steps": [{"setWeight": 50}]}}
    made = rollout(group=of | more, strategy=strategy)
    made["metadata"] |= {"name": name, "namespace": namespace, "uid": f"{namespace}/{name}"}
    return made


async def put(world: World, *made: Object) -> None:
    """Store Rollouts, each looked at once."""
    for one in made:
        meta = one["metadata"]
        world.put("Rollout", path(meta["namespace"], meta["name"]), one)
    await look(world)


async def look(world: World) -> set[Key]:
    """Evaluate all that is dirty; gives who was."""
    found = set()
    while world.queue.statistics().ready:
        key = await world.queue.get()
        found.add(key)
        try:
            await world.cycle.evaluate(key)
        finally:
            world.queue.done(key)
    return found


def peers(world: World, name: str, namespace: str = "shop") -> tuple[list[str], str]:
    """Who a Rollout takes for its group, and what is wrong with that."""
    seen = world.observer.snapshot(namespace, name, 0.0, Known())
    assert seen is not None
    assert seen.group is not None
    return [f"{p.namespace}/{p.name}" for p in seen.group.peers], seen.group.problem


def released(**said: Any) -> Object:
    """The status of a Rollout that is at its second step."""
    old, new = ({"revision": r, "podHash": r, "attempt": 1, "since": TIME} for r in ("old", "new"))
    return {
        "phase": "Progressing",
        "stable": old,
        "current": new,
        "currentStepIndex": 1,
        "stepCount": 3,
        "group": {"group": "shop/g", **said},
    }


async def test_group_is_within_the_namespace() -> None:
    """The same name elsewhere is another group."""
    world = World()
    await put(world, named("checkout"), named("cart"), named("checkout", "elsewhere"), named("other", name="h"))
    assert peers(world, "checkout") == (["shop/cart"], "")


async def test_environment_that_lists_both_namespaces_joins_those_that_name_it() -> None:
    """All three must agree; who is not listed is nobody's peer, and is told so."""
    world = World()
    world.put("Environment", ENVIRONMENT, {"metadata": {"name": "live"}, "spec": {"namespaces": ["shop", "payments"]}})
    await put(
        world,
        named("checkout", "shop", "live"),
        named("ledger", "payments", "live"),
        named("silent", "payments"),
        named("intruder", "elsewhere", "live"),
    )
    assert peers(world, "checkout") == (["payments/ledger"], "")
    found, problem = peers(world, "intruder", "elsewhere")
    assert found == []
    assert 'the Environment "live" does not list the namespace elsewhere' in problem


async def test_environment_that_is_not_there_is_said() -> None:
    """Also by an operator that sees none, as one of single namespaces; it is looked at again when it comes."""
    world = World()
    await put(world, named("checkout", "shop", "live"))
    assert 'no Environment "live" that this operator sees' in peers(world, "checkout")[1]
    world.put("Environment", ENVIRONMENT, {"metadata": {"name": "live"}, "spec": {"namespaces": ["shop"]}})
    assert await look(world) == {Key("shop", "checkout")}
    assert peers(world, "checkout") == ([], "")


async def test_change_of_one_wakes_the_others_and_nobody_else() -> None:
    """What a member writes down is what the others wait for; an intruder wakes nobody."""
    world = World()
    world.put("Environment", ENVIRONMENT, {"metadata": {"name": "live"}, "spec": {"namespaces": ["shop", "payments"]}})
    mine, theirs = named("checkout", "shop", "live"), named("ledger", "payments", "live")
    intruder, alone = named("intruder", "elsewhere", "live"), named("checkout", "payments")
    await put(world, mine, theirs, intruder, alone)
    world.put("Rollout", path("payments", "ledger"), theirs | {"status": {"phase": "Healthy"}})
    assert await look(world) == {Key("shop", "checkout"), Key("payments", "ledger")}
    world.put("Rollout", path("elsewhere", "intruder"), intruder | {"status": {"phase": "Healthy"}})
    assert await look(world) == {Key("elsewhere", "intruder")}


async def test_member_that_goes_or_leaves_wakes_the_others() -> None:
    """They may have waited for it."""
    world = World()
    cart = named("cart")
    await put(world, named("checkout"), cart)
    left = named("cart")
    left["metadata"]["generation"] = 2
    del left["spec"]["group"]
    world.put("Rollout", path("shop", "cart"), left)
    assert await look(world) == {Key("shop", "checkout"), Key("shop", "cart")}
    await put(world, named("web"))
    world.intake.gone("Rollout", "shop", "web", "shop/web")
    assert Key("shop", "checkout") in await look(world)


@pytest.mark.parametrize(
    ("spoiled", "broken"),
    [
        ({"status": {"phase": "Nonsense"}}, True),
        ({"status": released() | {"group": {"group": "shop/g", "through": "2026-02-31T00:00:00Z"}}}, True),
        ({"spec": {"group": {"name": "g"}, "strategy": 7}, "status": released()}, False),
    ],
    ids=["status", "time", "spec"],
)
async def test_broken_member_is_a_member_and_breaks_nobody(spoiled: Object, broken: bool) -> None:  # noqa: FBT001
    """Whose status cannot be read is said to be broken; whose spec cannot is known by its status still."""
    world = World()
    await put(world, named("checkout"))
    world.put("Rollout", path("shop", "cart"), named("cart") | spoiled)
    seen = world.observer.snapshot("shop", "checkout", 0.0, Known())
    assert seen is not None
    assert seen.group is not None
    (found,) = seen.group.peers
    assert bool(found.broken) is broken
    assert (found.run is None) is broken


@pytest.mark.parametrize("odd", [7, [], "g", {"name": 7}, {"name": ""}, {"name": "g", "environment": ["x"]}])
async def test_odd_group_of_one_is_nobody_elses_problem(odd: Any) -> None:
    """An object may be older than the schema."""
    world = World()
    cart = named("cart")
    cart["spec"]["group"] = odd
    world.put("Rollout", path("shop", "cart"), cart)
    world.put("Rollout", path("shop", "checkout"), named("checkout"))
    found, problem = peers(world, "checkout")
    assert (set(found), problem) <= ({"shop/cart"}, "")


async def test_too_many_members_are_refused_and_wake_nobody() -> None:
    """Each change of one would be a look at all."""
    world = World()
    for i in range(group.MOST_MEMBERS + 1):
        world.put("Rollout", path("shop", f"r{i}"), named(f"r{i}"))
    await look(world)
    world.put("Rollout", path("shop", "r0"), named("r0") | {"status": {"phase": "Healthy"}})
    assert await look(world) == {Key("shop", "r0")}
    seen = world.observer.snapshot("shop", "r0", 0.0, Known())
    assert seen is not None
    assert "the group has 33 members, and 32 are the most" in group.faults(seen)[0]


def seen_as(status: Object, key: str = "shop/g") -> PeerView:
    """How the others see a member with this status."""
    spec = RolloutSpec.model_validate(named("cart", after=[{"name": "web"}])["spec"])
    return group.peer("shop", "cart", spec, RolloutStatus.model_validate(status), key)


def test_peer_is_seen_by_its_journal() -> None:
    """How far it is, and who goes before it."""
    found = seen_as(released(finished=2))
    assert found.after == (("shop", "web"),)
    assert found.run is not None
    assert (found.run.finished, found.run.steps, found.run.through, found.run.voted) == (2, 3, None, False)


def test_what_was_said_to_another_group_does_not_count() -> None:
    """It has joined in the middle of a release: its verdicts and votes were for others."""
    verdict = {"member": "x/y", "reason": "Aborted", "podHash": "a", "attempt": 1, "since": TIME, "over": LATER}
    said = released(finished=3, through=TIME, voted=True, takenBack=verdict)
    here, there = seen_as(said), seen_as(said, "shop/h")
    assert here.verdict is not None
    assert here.run is not None
    assert there.verdict is None
    assert there.run is not None
    assert (here.run.voted, there.run.voted) == (True, False)
    assert (here.run.finished, there.run.finished) == (3, 1)


@pytest.mark.parametrize("change", [{"current": None}, {"stable": None}, {"current": "stable"}, {"fast": True}])
def test_who_releases_nothing_or_goes_back_has_no_run(change: dict[str, Any]) -> None:
    """At rest, while the first revision comes up, and on a way back."""
    status = released()
    if change.get("current") == "stable":
        status["current"] = status["stable"]
    elif "fast" in change:
        status["current"]["fast"] = True
    else:
        status |= change
    assert seen_as(status).run is None


def test_waiting_for_others_is_no_reason_to_wait_for_a_person() -> None:
    """Two that wait for each other would need one for ever."""

    def stalled(reason: str) -> Object:
        row = {"type": "Stalled", "status": "True", "reason": reason, "message": "m", "lastTransitionTime": TIME}
        return released() | {"conditions": [row]}

    assert seen_as(stalled("GateHeld")).stalled
    assert not seen_as(stalled(group.HELD)).stalled
