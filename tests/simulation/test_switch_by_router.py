"""Stories of a blue-green Rollout whose router switches: copies before it, all requests at once, and the ways back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonpatch
import pytest

from headgate.decide import types as t
from headgate.decide.managed import all_of, names_of
from tests.simulation.examples import TARGET, routed
from tests.simulation.shell.history import run
from tests.simulation.shell.scenario import BLUE_GREEN, GATE, scenario
from tests.simulation.test_blue_green import DATA_PLANE, JUDGED, pods, stable_of, until
from tests.simulation.world import World, blue_green

pytestmark = pytest.mark.simulation

ROOT = Path(__file__).parents[2]
BY_ROUTE: dict[str, Any] = {"trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}}}
COPIED: list[dict[str, Any]] = [{"ref": {"name": GATE}, "count": 1}]
LONG: list[dict[str, Any]] = [{"ref": {"name": "golden"}, "duration": "60s"}]


class Watched(World):
    """A world that keeps what is written to the route."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.route: list[tuple[int, str]] = []
        """Weight and names of the routes of ours, of each write."""

    def _apply(self, action: t.Action) -> None:
        super()._apply(action)
        if isinstance(action, t.SetWeight):
            self.route.append((self.weight, names_of(self.routes)))

    @property
    def moves(self) -> list[str]:
        """The writes of the data plane."""
        return [w for w in self.writes if w.startswith(DATA_PLANE)]


def settled(seed: int = 1, *, gates: bool = False, **strategy: Any) -> Watched:
    """A world whose first revision is stable."""
    world = Watched(seed, blue_green(gates=gates, strategy=BY_ROUTE | strategy, progress_deadline_seconds=120))
    world.settle(120)
    world.check_rest()
    world.writes.clear()
    world.route.clear()
    return world


def test_a_good_version_gets_all_requests_with_one_write_and_becomes_the_active_one() -> None:
    """The route leads to the preview Service while gates judge; then the active Service is the new version's, too."""
    world = settled(prePromotionGates=JUDGED, postPromotionGates=LONG)
    old, good = stable_of(world), world.release("v2")
    until(world, "step 2 of 4: gate golden")
    assert (world.weight, world.selectors) == (0, {"shop": old, "shop-canary": good})
    until(world, "step 4 of 4: gate golden")
    assert (world.weight, world.selectors) == (100, {"shop": old, "shop-canary": good})
    assert (world.status.weights.desired, world.status.weights.observed) == (100, 100)
    assert pods(world, old) == pods(world, good) == 4, "the old version keeps all its pods"
    world.settle(300)
    assert stable_of(world) == good
    assert (world.weight, world.selectors) == (0, {"shop": good, "shop-canary": good})
    assert world.route == [(100, ""), (0, "")], "all at once, there and, when both Services are the same, back"
    world.run_for(120)
    assert {s.pod_hash for s in world.sets.values() if s.replicas} == {good}


@pytest.mark.parametrize("seed", range(4))
def test_a_failed_gate_after_the_switch_leads_back_with_the_next_write(seed: int) -> None:
    """No selector is touched: one weight brings the users back to pods that were never taken away."""
    world = settled(seed, postPromotionGates=JUDGED)
    old, bad = stable_of(world), world.release("v2", quality=60.0)
    world.settle(300)
    assert world.status.phase == "Degraded"
    assert (stable_of(world), world.status.rejected[-1].pod_hash) == (old, bad)
    assert world.route == [(100, ""), (0, "")]
    there = next(i for i, move in enumerate(world.moves) if move.startswith("SetWeight"))
    assert world.moves[there + 1].startswith("SetWeight"), "with nothing in between"
    assert world.selectors == {"shop": old, "shop-canary": old}


def test_copies_are_judged_before_the_switch_and_end_with_it() -> None:
    """After the gates of the preview requests are copied, through the wait for a person, too; no user is led yet."""
    mirror = {"percentage": 50, "gates": JUDGED}
    world = settled(
        prePromotionGates=JUDGED, mirror=mirror, autoPromotionEnabled=False, postPromotionGates=JUDGED, gates=True
    )
    good = world.release("v2")
    until(world, "step 2 of 7: gate golden")
    assert world.routes == (), "the preview is judged before users' requests are copied to it"
    until(world, "step 5 of 7: pause")
    world.run_for(600)
    assert (world.status.phase, world.weight, names_of(world.routes)) == ("Paused", 0, "mirror")
    world.person("promote")
    world.settle(300)
    assert stable_of(world) == good
    assert world.route == [(0, "mirror"), (0, ""), (100, ""), (0, "")], "no copy of a request that it gets anyway"


def test_what_fails_by_copies_never_gets_a_user() -> None:
    """The copies end with the next write, and the version is rejected."""
    world = settled(mirror={"gates": JUDGED}, postPromotionGates=JUDGED)
    bad = world.release("v2", quality=60.0)
    world.settle(300)
    assert world.status.rejected[-1].pod_hash == bad
    assert world.route == [(0, "mirror"), (0, "")]
    world.check_rest()


def test_copies_have_the_pods_for_their_part() -> None:
    """A preview of one pod grows before half of all requests are copied to it, and to all before the switch."""
    world = settled(previewReplicaCount=1, mirror={"percentage": 50, "gates": LONG})
    new = world.release("v2")
    until(world, "step 2 of 4: copy 50% of the requests to Service shop-canary")
    assert not world.routes
    until(world, "step 3 of 4: gate golden")
    assert (names_of(world.routes), pods(world, new)) == ("mirror", 2)
    world.settle(300)
    assert stable_of(world) == new
    assert world.moves.index(f"ScaleReplicaSet/shop-{new}") < next(
        i for i, move in enumerate(world.moves) if move.startswith("SetWeight")
    )


@pytest.mark.parametrize("moment", ["beginning", "step 2 of 6", "step 4 of 6", "step 6 of 6"])
@pytest.mark.parametrize("what", ["abort", "delete"])
def test_an_abort_or_a_deletion_at_any_step_leaves_everything_on_stable(moment: str, what: str) -> None:
    """Neither weight nor copies are left, and the first write of the data plane that is needed takes both."""
    world = settled(prePromotionGates=LONG, mirror={"gates": LONG}, postPromotionGates=LONG)
    old = stable_of(world)
    world.release("v2")
    until(world, moment)
    before, led = len(world.moves), bool(world.weight or world.routes)
    if what == "delete":
        world.deleting = True
        world.run_for(200)
        assert world.gone
        assert set(world.selectors.values()) == {""}
    else:
        world.person("abort")
        world.settle(300)
        assert world.selectors == {"shop": old, "shop-canary": old}
    assert (world.weight, world.routes) == (0, ())
    assert not led or world.moves[before].startswith("SetWeight")


def test_a_change_to_a_switch_by_selector_finds_the_users_on_stable() -> None:
    """At rest it can be changed either way: the route gives nothing to the preview Service then."""
    world = settled()
    world.release("v2")
    world.settle(300)
    world.change_spec(strategy=blue_green().strategy)
    third = world.release("v3")
    world.settle(300)
    assert stable_of(world) == third
    assert world.route == [(100, ""), (0, "")]
    world.change_spec(strategy=blue_green(strategy=BY_ROUTE).strategy)
    fourth = world.release("v4")
    world.settle(300)
    assert stable_of(world) == fourth
    assert world.route == [(100, ""), (0, "")] * 2


def test_the_example_does_what_it_says() -> None:
    """examples/switch: its router can do every step, and what leads to the preview comes and goes in this order."""
    (route, rollout, canary, router), target = routed("switch"), TARGET
    there = jsonpatch.apply_patch(route, router.set_weight(canary, route, target, 0, all_of(canary.steps)))
    assert names_of(router.read(canary, there, target).managed) == "mirror"
    strategy = rollout["spec"]["strategy"]["blueGreen"]
    services = {"activeService": "shop", "previewService": "shop-canary"}
    judged = {"postPromotionGates": JUDGED, "mirror": strategy["mirror"] | {"gates": JUDGED}}
    world = settled(**(strategy | services | judged | BY_ROUTE))
    world.release("v2")
    world.settle(300, until=("Paused",))
    assert world.route == [(0, "mirror")]
    world.person("promote")
    world.settle(300)
    assert world.route == [(0, "mirror"), (0, ""), (100, ""), (0, "")]


@pytest.mark.parametrize("seed", range(6))
def test_the_whole_operator_switches_by_a_route_under_faults(seed: int) -> None:
    """With its shell around it, and whatever disturbs it: nothing breaks, and everything comes to its end."""
    of = scenario(BLUE_GREEN + seed)
    more = dict(BY_ROUTE) | ({"mirror": {"percentage": 50, "gates": COPIED}} if seed % 2 else {})
    assert run(replace(of, blue_green=of.blue_green | more if of.blue_green else None)).problem == ""
