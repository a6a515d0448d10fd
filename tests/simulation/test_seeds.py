"""Random histories with faults: whatever is refused, lost or killed, no invariant breaks and the right end is reached.

The number of seeds is `HEADGATE_SEEDS`, the first one `HEADGATE_FIRST_SEED`. Unless told, there are 200, of which the
commit says one half.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from hack.lib.hgprove.campaign import half
from headgate.api.rollout import RolloutSpec
from headgate.decide import strategies
from tests.simulation.shell.scenario import (
    ENOUGH,
    FOLLOWING,
    STAYING,
    TURNING,
    WHOLE,
    beside,
    led,
    of_enough,
    of_pods,
    of_users,
    routed,
    timed,
)
from tests.simulation.test_good_enough import Crowded
from tests.simulation.world import Faults, World, blue_green, comes_to_rest, spec, stays_at_rest

pytestmark = pytest.mark.simulation

SEEDS = int(os.environ.get("HEADGATE_SEEDS", "200"))
FIRST = int(os.environ.get("HEADGATE_FIRST_SEED", "0"))
BATCH = 25
ALL = "HEADGATE_SEEDS" in os.environ
"""All batches are run, as asked for; else of two one, which one says the commit."""
BLUE_GREEN = 10_000_000
"""From this seed on the Rollout is a blue-green one; the seeds before it are what they always were."""
OPTIONS = 20_000_000
"""From this seed on it is a canary again, whose steps have timeouts, and that may have a rollback window."""


def random_steps(chance: random.Random) -> list[dict[str, Any]]:
    """One to six steps of every kind."""
    steps: list[dict[str, Any]] = []
    for _ in range(chance.randint(1, 6)):
        kind = chance.choice(["weight", "weight", "weight", "pause", "gate", "scale"])
        if kind == "weight":
            steps.append({"setWeight": chance.choice([0, 1, 5, 20, 33, 50, 80, 100])})
        elif kind == "pause":
            steps.append({"pause": {"duration": f"{chance.randint(1, 90)}s"}})
        elif kind == "gate":
            steps.append({"gate": {"ref": {"name": "golden"}, "count": chance.randint(1, 4)}})
        else:
            steps.append(
                chance.choice(
                    [
                        {"setCanaryScale": {"replicas": chance.randint(0, 6)}},
                        {"setCanaryScale": {"weight": chance.randint(0, 100)}},
                        {"setCanaryScale": {"matchTrafficWeight": True}},
                    ]
                )
            )
    return steps


def canary_rollout(
    chance: random.Random,
    *,
    options: bool = False,
    routes: random.Random | None = None,
    besides: dict[str, Any] | None = None,
    turns: bool = False,
) -> RolloutSpec:
    """A canary with random steps; those of `routes` among them, and what else it says."""
    # A gate can only know something where there is traffic, so the first weight comes before everything.
    steps = [{"setWeight": chance.choice([1, 10, 50, 100])}, *random_steps(chance)]
    more: dict[str, Any] = {}
    if options:
        steps = [timed(chance, step) for step in steps]
        window = chance.choice([None, None, 0, 1, 2, 8])
        more = {} if window is None else {"rollbackWindow": {"revisions": window}}
        steps = led(routes, steps) if routes is not None else steps
    if "replicaProgressThreshold" in (besides or {}):
        steps = [WHOLE, *steps]
    return spec(
        steps,
        replicas=chance.choice([1, 2, 3, 5, 10]),
        gates=chance.random() < 0.5,
        progress_deadline_seconds=240,
        on_new_revision=chance.choice(["Supersede", "Supersede", "Queue"]),
        canary=beside(steps, besides or {}),
        turns=turns,
        **more,
    )


def blue_green_rollout(chance: random.Random) -> RolloutSpec:
    """A blue-green Rollout with random gates on either side of the switch."""

    def judges() -> list[dict[str, Any]]:
        return [{"ref": {"name": "golden"}, "count": chance.randint(1, 4)} for _ in range(chance.choice([0, 1, 1, 2]))]

    strategy: dict[str, Any] = {"prePromotionGates": judges(), "postPromotionGates": judges()}
    if chance.random() < 0.5:
        strategy["previewReplicaCount"] = chance.choice([1, 2, 6])
    promotion = chance.choice(["at once", "at once", "by hand", "later"])
    if promotion == "by hand":
        strategy["autoPromotionEnabled"] = False
    elif promotion == "later":
        strategy["autoPromotionSeconds"] = chance.randint(1, 90)
    return blue_green(
        strategy=strategy,
        replicas=chance.choice([1, 2, 3, 5, 10]),
        gates=chance.random() < 0.5,
        progress_deadline_seconds=240,
        on_new_revision=chance.choice(["Supersede", "Supersede", "Queue"]),
    )


def one_history(seed: int) -> World:
    """Three or more releases of random quality with faults, then calm."""
    chance = random.Random(seed)
    blue_green = BLUE_GREEN <= seed < OPTIONS
    routes = random.Random(f"{seed}/routes") if routed(seed) else None
    besides = of_pods(random.Random(f"{seed}/pods")) if seed >= FOLLOWING else None
    if seed >= STAYING:
        besides = of_users(random.Random(f"{seed}/users"))
    if TURNING <= seed < ENOUGH and seed % 3:
        besides = of_pods(random.Random(f"{seed}/pods"))
    if seed >= ENOUGH:
        besides = {**(besides or {}), **of_enough(random.Random(f"{seed}/enough"))}
    rollout = (
        blue_green_rollout(chance)
        if blue_green
        else canary_rollout(
            chance, options=seed >= OPTIONS, routes=routes, besides=besides, turns=TURNING <= seed < ENOUGH
        )
    )
    world = World(seed, rollout) if seed < ENOUGH else Crowded(seed, rollout)
    world.settle(300)
    strength = chance.choice([0.0, 0.05, 0.2])
    for number in range(2, chance.randint(4, 6)):
        faults = Faults(
            conflict=strength,
            lost_applied=strength,
            lost_unapplied=strength,
            crash=strength / 2,
            status_fails=strength,
            provider_error=strength / 2,
        )
        world.faults = faults
        kind = chance.choice(["good", "good", "bad", "silent", "broken", "revert"])
        quality = {"bad": 60.0, "silent": None}.get(kind, 100.0)
        version = "v1" if kind == "revert" else f"v{number}"
        pod_hash = world.release(version, quality=quality, broken=kind == "broken")
        if isinstance(world, Crowded) and kind != "revert":
            world.places[pod_hash] = chance.randint(1, 10)
        for _ in range(chance.randint(0, 6)):
            world.run_for(chance.uniform(0.5, 60))
            verb = chance.choice(["", "", "", "pause", "resume", "abort", "promote", "retry", "undo", "override"])
            if verb:
                world.person(verb)
            if chance.random() < 0.1:
                world.change_spec(replicas=chance.choice([1, 2, 3, 5, 10]))
    world.faults = Faults()
    if isinstance(world, Crowded):
        world.places.clear()
    calm(world)
    return world


def calm(world: World) -> None:
    """Faults are off: the end is reached, the right one, and then kept."""
    comes_to_rest(world)
    stable = world.status.stable
    judged = world.spec.gates or any(step.gate for step in strategies.of(world.spec).steps)
    overridden = any(a.verb == "override" and a.accepted for a in world.status.actions)
    if stable and judged and not overridden and world.quality.get(stable.pod_hash, 100.0) == 60.0:
        entry = next(h for h in reversed(world.status.history) if h.pod_hash == stable.pod_hash)
        world.fail(f"8: a bad version was promoted: {entry}")
    stays_at_rest(world)


def batches(seeds: int) -> range:
    """The first seed of each batch."""
    every = range(FIRST, FIRST + seeds, BATCH)
    return every if ALL else half(every)


@pytest.mark.parametrize("first", batches(SEEDS))
def test_no_history_breaks_an_invariant(first: int) -> None:
    """Each seed is one history; a failing one is told as a story and repeats exactly."""
    for seed in range(first, min(first + BATCH, FIRST + SEEDS)):
        try:
            one_history(seed)
        except AssertionError as failure:
            pytest.fail(f"seed {seed}: {failure}", pytrace=False)


@pytest.mark.parametrize(
    "kind",
    [BLUE_GREEN, OPTIONS, FOLLOWING, STAYING, TURNING, ENOUGH],
    ids=["blue-green", "options", "pods", "users", "turns", "enough"],
)
@pytest.mark.parametrize("first", batches(SEEDS // 2))
def test_no_history_of_another_kind_breaks_an_invariant(first: int, kind: int) -> None:
    """The same for the other strategy, and for what a canary may say besides."""
    for seed in range(kind + first, kind + min(first + BATCH, FIRST + SEEDS)):
        try:
            one_history(seed)
        except AssertionError as failure:
            pytest.fail(f"seed {seed}: {failure}", pytrace=False)


def test_a_seed_repeats_exactly() -> None:
    """The same seed writes the same things: a failure can be looked at again."""
    assert one_history(FIRST + 7).writes == one_history(FIRST + 7).writes
