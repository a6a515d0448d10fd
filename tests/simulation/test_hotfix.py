"""Hotfixes, which wait at no pause and pass every gate, and releases that fix an unhealthy stable version."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headgate.decide import types as t
from headgate.decide.canary import may_be_passed
from headgate.decide.journal import running
from tests.simulation.recorded import Recorded, at_every_moment
from tests.simulation.recorded import settled as recorded
from tests.simulation.rolling_world import RollingWorld, rolling
from tests.simulation.world import INFINITE, Faults, World, blue_green, comes_to_rest, ratio, spec, stays_at_rest

pytestmark = pytest.mark.simulation

GATE: dict[str, Any] = {"gate": {"ref": {"name": "golden"}, "count": 2}}
STEPS: list[dict[str, Any]] = [
    {"setWeight": 5},
    GATE,
    {"setWeight": 25},
    {"pause": {"duration": "1h"}},
    {"setWeight": 50},
    {"pause": {}},
    {"setWeight": 75},
    GATE,
    {"pause": {}},
]
SEEDS = 60


def released(world: World) -> str:
    """The pod hash that is stable."""
    assert world.status.stable is not None
    return world.status.stable.pod_hash


def weights(world: Recorded) -> list[int]:
    """The weights that were written in this release and not lower than the one before."""
    found = [w.action.weight for w in world.acts if isinstance(w.action, t.SetWeight) and w.action.weight]
    return list(dict.fromkeys(found))


def hurried(steps: list[dict[str, Any]], *, quality: float | None = 100.0, **more: Any) -> tuple[Recorded, str]:
    """A release that somebody has called a hotfix at its beginning, and its action."""
    world = recorded(steps, **more)
    world.release("v2", quality=quality)
    world.turn()
    assert running(world.status) is not None
    return world, world.person("hotfix", reason="the tills are down")


def hotfixed(world: World) -> bool:
    """The attempt under way is one that waits at no pause."""
    return world.status.hotfix is not None


# --------------------------------------------------------------------------------------------------------------------
# Hotfixes
# --------------------------------------------------------------------------------------------------------------------


def test_a_hotfix_waits_at_no_pause_and_passes_every_gate() -> None:
    """Only weights that something is judged at are served, and the history says who would not wait, and why."""
    world, name = hurried(STEPS)
    began = world.now
    world.settle(300)
    assert world.now < began + 120
    assert world.answered[name] == (True, "no pause is waited for, and every gate still must pass: the tills are down")
    entry = world.status.history[-1]
    assert (entry.outcome, entry.pod_hash) == ("Promoted", released(world))
    assert entry.message == "hotfix by ann (the tills are down): all gates passed"
    assert [(g.step, g.verdict) for g in world.status.gates] == [(1, "Pass"), (7, "Pass")]
    assert weights(world) == [5, 75]
    assert not hotfixed(world), "it is a hotfix still, though it has ended"
    world.check_rest()


def test_a_hotfix_can_be_asked_for_in_a_pause() -> None:
    """The pause under way is over, whatever it would have lasted."""
    world = recorded(STEPS)
    version = world.release("v2")
    world.settle(300, until=("Paused",))
    assert world.status.current_step_index == 3
    world.person("hotfix")
    world.settle(300)
    assert released(world) == version


def test_a_hotfix_that_is_bad_is_taken_back() -> None:
    """By the first gate, as any other version; nothing of the hurry is left for the next attempt."""
    world, _ = hurried(STEPS, quality=50.0)
    stable = released(world)
    world.settle(300)
    assert (world.status.phase, released(world)) == ("Degraded", stable)
    assert world.status.history[-1].message.startswith("hotfix by ann (the tills are down): golden: ")
    assert weights(world) == [5]
    world.person("retry", pod_hash=world.status.rejected[-1].pod_hash, attempt=1)
    world.turn()
    assert running(world.status) is not None
    assert not hotfixed(world)


def test_a_hotfix_that_nobody_can_judge_is_held() -> None:
    """No data is no verdict, however urgent it is; who goes on without one says so by an override."""
    world, _ = hurried(STEPS, quality=None)
    stable = released(world)
    world.settle(300, until=("Held",))
    world.run_for(600)
    assert (world.status.phase, released(world)) == ("Held", stable)


def test_a_hotfix_waits_for_the_gates_in_the_background() -> None:
    """They judge at the last weight of the steps, which is therefore served."""
    steps: list[dict[str, Any]] = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 40}, {"pause": {}}]
    world, _ = hurried(steps, gates=True)
    world.settle(300)
    assert world.status.history[-1].outcome == "Promoted"
    assert weights(world) == [40]
    assert [(g.step, g.verdict) for g in world.status.gates] == [(-1, "Pass")]
    world, _ = hurried(steps, gates=True, quality=50.0)
    world.settle(300)
    assert world.status.history[-1].outcome == "Rejected"


def test_a_hotfix_is_for_the_attempt_that_its_author_saw() -> None:
    """A newer revision is no hotfix because the one before was one, and an action for another one is refused."""
    world, _ = hurried(STEPS)
    world.run_for(3)
    assert hotfixed(world)
    old = world.status.current
    assert old is not None
    version = world.release("v3")
    world.turn()
    assert not hotfixed(world)
    stale = world.person("hotfix", pod_hash=old.pod_hash)
    world.settle(600, until=("Paused",))
    assert not world.answered[stale][0]
    assert world.answered[stale][1].startswith(f"you saw revision {old.pod_hash}")
    assert world.status.current is not None
    assert world.status.current.pod_hash == version


def test_what_is_no_hotfix_is_refused() -> None:
    """With why, and what to do."""
    world = recorded(STEPS)

    def answer(**more: Any) -> str:
        name = world.person("hotfix", **more)
        world.run_for(2)
        accepted, message = world.answered[name]
        assert not accepted
        return message

    assert answer() == "no release is under way"
    world.release("v2")
    world.settle(300, until=("Paused",))
    assert answer(reason=" ") == "a hotfix needs a reason, which is kept with your name"
    world.person("pause")
    world.run_for(2)
    assert answer() == "the Rollout is paused as a whole; resume it first"
    world.person("resume")
    world.run_for(2)
    world.person("hotfix")
    world.turn()
    assert answer() == "it is one already, by ann"


def test_a_way_back_is_no_hotfix() -> None:
    """It takes no steps as it is."""
    world = recorded(STEPS)
    world.release("v2")
    world.settle(300, until=("Paused",))
    world.person("hotfix")
    world.settle(300)
    world.release("v1")
    world.turn()
    name = world.person("hotfix")
    world.settle(300)
    assert world.answered[name] == (False, "it is a way back, which waits at no step; override passes a held gate")


def test_a_hotfix_ends_a_step_that_took_too_long() -> None:
    """What a timeout holds goes on, as by any other word of a person."""
    world = recorded([{"setWeight": 20}, {"pause": {}, "timeout": "30s"}])
    version = world.release("v2")
    world.settle(300, until=("Held",))
    world.person("hotfix")
    world.settle(300)
    assert released(world) == version


def test_a_hotfix_by_blue_green_waits_for_nobody_to_promote_it() -> None:
    """The gates before and after the switch still judge it."""
    judged = {"prePromotionGates": [GATE["gate"]], "postPromotionGates": [GATE["gate"]], "autoPromotionEnabled": False}
    world = World(1, blue_green(strategy=judged))
    world.settle(120)
    version = world.release("v2")
    world.turn()
    world.person("hotfix")
    world.settle(300)
    assert released(world) == version
    assert [g.verdict for g in world.status.gates] == ["Pass", "Pass"]


def test_a_hotfix_by_the_ratio_of_pods_goes_on_within_its_bounds() -> None:
    """Pods are added and taken as by any other release; only the pauses are passed."""
    world = World(1, ratio([{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, GATE, {"pause": {}}]))
    world.settle(120)
    version = world.release("v2")
    world.turn()
    world.person("hotfix")
    world.settle(300)
    assert released(world) == version
    assert [g.verdict for g in world.status.gates] == ["Pass"]


def test_a_hotfix_in_place_keeps_its_batches() -> None:
    """Only pauses are passed: each batch is a limit for what a bad version can reach."""
    world = RollingWorld(1, rolling([{"setBatch": 1}, {"pause": {}}, {"setBatch": 2}, {"pause": {"duration": "1h"}}]))
    world.settle(600)
    version = world.release("v2")
    world.settle(600, until=("Paused",))
    world.person("hotfix")
    world.settle(900)
    assert released(world) == version


def test_a_hotfix_is_safe_at_every_moment() -> None:
    """Whenever it is called one it is promoted, with both gates, and no invariant breaks."""

    def make() -> Recorded:
        world = recorded([{"setWeight": 20}, GATE, {"pause": {"duration": "20s"}}, {"setWeight": 60}, {"pause": {}}])
        world.release("v2")
        return world

    taken = 0
    for world in at_every_moment(make):
        name = world.person("hotfix")
        world.settle(600)
        if world.status.history[-1].outcome != "Promoted":
            world.fail(f"it ends as {world.status.history[-1]}")
        taken += world.answered[name][0]
        world.check_rest()
    assert taken > 10


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_no_history_with_hotfixes_breaks_an_invariant(first: int) -> None:
    """Faults, people and odd moments; a version that fails its gate is never promoted."""
    for seed in range(first, first + 20):
        chance = random.Random(f"hotfix/{seed}")
        rollout = spec(
            [{"pause": {"duration": "90s"}} if s == STEPS[3] else s for s in STEPS[: chance.randint(2, len(STEPS))]],
            replicas=chance.choice([1, 2, 5]),
            gates=chance.random() < 0.5,
            unhealthy_stable=chance.choice(["Hold", "FixForward"]),
            progress_deadline_seconds=240,
        )
        world = World(seed, rollout)
        world.settle(300)
        for number in range(2, 5):
            strength = chance.choice([0.0, 0.05, 0.2])
            world.faults = Faults(strength, strength, strength, strength / 2, strength, strength / 2)
            world.release(f"v{number}", quality=chance.choice([100.0, 100.0, 60.0]))
            for _ in range(chance.randint(1, 6)):
                world.run_for(chance.uniform(0.5, 40))
                world.person(chance.choice(["hotfix", "hotfix", "pause", "resume", "promote", "abort"]))
                if chance.random() < 0.2:
                    breaks(world)
        world.faults = Faults()
        heals(world)
        comes_to_rest(world)
        if world.quality.get(released(world)) == 60.0:
            world.fail(f"8: seed {seed}: a bad version was promoted")
        stays_at_rest(world)


@pytest.mark.parametrize(
    ("steps", "passed"),
    [
        ([{"setWeight": 5}], []),
        ([{"setWeight": 5}, {"setWeight": 10}], [0]),
        ([{"setWeight": 5}, GATE, {"setWeight": 10}], []),
        ([{"setWeight": 5}, {"pause": {}}, GATE], [1]),
        ([{"setWeight": 5}, {"pause": {}}, {"setWeight": 10}, GATE, {"setWeight": 20}, {"pause": {}}], [0, 1, 5]),
        ([{"setCanaryScale": {"replicas": 2}}, {"setWeight": 5}, {"setCanaryScale": {"weight": 50}}], []),
    ],
)
def test_what_a_hotfix_need_not_wait_for(steps: list[dict[str, Any]], passed: list[int]) -> None:
    """Pauses, and weights that the next weight follows before anything is judged."""
    strategy = spec(steps).strategy.canary
    assert strategy is not None
    assert [i for i in range(len(steps)) if may_be_passed(tuple(strategy.steps), i)] == passed


# --------------------------------------------------------------------------------------------------------------------
# A stable version that is unhealthy
# --------------------------------------------------------------------------------------------------------------------


def breaks(world: World, left: int = 0) -> None:
    """Of the stable version's pods only so many stay ready."""
    (found,) = (s for s in world.sets.values() if s.pod_hash == released(world))
    found.pods = [*found.pods[:left], *[INFINITE] * (len(found.pods) - left)]
    world.tell(f"{found.pod_hash} has {left} pods left")


def heals(world: World) -> None:
    """All pods that are there are ready."""
    for found in world.sets.values():
        found.pods = [min(at, world.now) for at in found.pods]


FIX: list[dict[str, Any]] = [{"setWeight": 20}, GATE, {"setWeight": 60}]


def test_a_release_waits_for_the_pods_of_the_stable_version() -> None:
    """Hold, which is the default: nothing is raised, and the deadline takes the version back."""
    world = recorded(FIX, progress_deadline_seconds=60)
    breaks(world)
    version = world.release("v2")
    world.run_for(40)
    assert world.share(version) == 0
    assert "the endpoints of the stable Service shop: 0 of" in world.status.message
    world.run_for(120)
    assert world.status.history[-1].outcome == "Rejected"


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_fix_goes_forward_over_a_stable_version_that_is_unhealthy(left: int) -> None:
    """Its own pods come before its weight, its gates judge it, and then it is what is stable."""
    world = recorded(FIX, progress_deadline_seconds=60, unhealthy_stable="FixForward")
    breaks(world, left)
    version = world.release("v2")
    world.settle(300)
    assert released(world) == version, f"it is taken back for what it mends: {world.status.message}"
    assert weights(world) == [20, 60]
    assert [g.verdict for g in world.status.gates] == ["Pass"]
    world.check_rest()


def test_going_forward_is_told() -> None:
    """An Event at each weight that was served without the stable version's pods; none where they are there."""
    told: dict[int, list[str]] = {}
    for left in (4, 0):
        world = recorded(FIX, unhealthy_stable="FixForward")
        breaks(world, left)
        world.release("v2")
        told[left] = events(world, "FixForward")
    assert told[4] == []
    assert [text[:40] for text in told[0]] == [
        "weight 20 is served while the endpoints ",
        "weight 60 is served while the endpoints ",
    ]


def events(world: Recorded, reason: str) -> list[str]:
    """The Events of a release with this reason."""
    found = list[str]()
    before = world.snapshot
    from headgate.decide.rollout import decide  # noqa: PLC0415

    while not world.released():
        seen = before()
        found += [e.message for e in decide(seen, world.now).events if e.reason == reason]
        world.moment()
    return found


def test_a_fix_that_is_bad_is_taken_back_all_the_same() -> None:
    """Nobody knows that it is better than what is broken: the gate decides, not the need."""
    world = recorded(FIX, unhealthy_stable="FixForward")
    stable = released(world)
    breaks(world)
    version = world.release("v2", quality=50.0)
    world.run_for(200)
    assert (released(world), world.share(version)) == (stable, 0)
    assert world.status.history[-1].outcome == "Rejected"


def test_the_stable_version_may_break_at_every_moment() -> None:
    """The release goes on to its end, and no weight comes before the pods that carry it."""

    def make() -> Recorded:
        world = recorded(FIX, unhealthy_stable="FixForward")
        world.release("v2")
        return world

    for world in at_every_moment(make):
        breaks(world)
        world.settle(600)
        if world.status.history[-1].outcome != "Promoted":
            world.fail(f"it ends as {world.status.history[-1]}")
        world.check_rest()


def test_blue_green_never_waits_for_the_old_version() -> None:
    """Its new version comes up whole beside it, whatever the old one does."""
    world = World(1, blue_green(progress_deadline_seconds=60))
    world.settle(120)
    breaks(world)
    version = world.release("v2")
    world.settle(300)
    assert released(world) == version
