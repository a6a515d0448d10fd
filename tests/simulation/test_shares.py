"""Shares of variants: requests reach a variant when it serves, and leave it before it goes, whatever happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headgate.decide import types as t
from headgate.decide.managed import names_of
from tests.simulation.recorded import Recorded, at_every_moment, led, settled
from tests.simulation.test_experiments import COMPARED, trial, variants_of
from tests.simulation.test_review import Stubborn
from tests.simulation.world import CONFIG, spec, stays_at_rest

pytestmark = pytest.mark.simulation

BASELINE = {"service": "shop-baseline", "weight": 10}
SHARED: list[dict[str, Any]] = [{"setWeight": 20}, trial(baseline=BASELINE), {"setWeight": 60}]
SHARE = "service/shop-baseline"


def releasing(steps: list[dict[str, Any]] = SHARED, **more: Any) -> Recorded:
    """A world in which the release of v2 is about to begin."""
    world = settled(steps, known={"compared": COMPARED}, **more)
    world.acts.clear()
    world.release("v2")
    return world


def compared(**more: Any) -> Recorded:
    """A world whose variant has its share, and whose gate has begun."""
    world = releasing(**more)
    while not any(g.name == "compared" and g.checks for g in world.status.gates):
        world.moment()
    assert names_of(world.routes) == SHARE
    return world


def test_a_share_comes_when_its_variant_serves_and_goes_with_the_step() -> None:
    """Pods, endpoints, share, gate; and then the share before the pods."""
    world = releasing()
    while not world.routes:
        world.moment()
    assert variants_of(world) == {"baseline": 1, "canary": 1}
    pod_hash = next(s.pod_hash for s in world.sets.values() if s.variant == "baseline")
    assert world.selectors["shop-baseline"] == pod_hash
    assert not any(g.checks for g in world.status.gates)
    world.settle(300)
    assert led(world) == [(20, ""), (20, SHARE), (60, ""), (0, "")]
    gone = next(w for w in world.acts if isinstance(w.action, t.DeleteReplicaSet) and pod_hash in w.action.name)
    shifts = [(w.at, w.action.routes) for w in world.acts if isinstance(w.action, t.SetWeight)]
    shared = next(place for place, (_, routes) in enumerate(shifts) if routes)
    left, routes = shifts[shared + 1]
    assert routes == ()
    assert gone.at >= left + CONFIG.drain_seconds
    assert world.status.phase == "Healthy"
    assert not variants_of(world)
    world.check_rest()
    stays_at_rest(world)


def test_two_experiments_may_have_one_service() -> None:
    """The first one's share goes before the Service leads to the second one's pods."""
    again = trial(baseline={**BASELINE, "weight": 15})
    world = releasing([SHARED[0], SHARED[1], again])
    world.settle(300)
    assert led(world) == [(20, ""), (20, SHARE), (0, "")]
    keys = [w.action.routes[0].share for w in world.acts if isinstance(w.action, t.SetWeight) and w.action.routes]
    assert keys == [10, 15]
    assert world.status.phase == "Healthy"
    assert not variants_of(world)
    stays_at_rest(world)


def test_an_abort_takes_weight_and_share_with_one_write() -> None:
    """The next one to the route, before any pod (6)."""
    world = compared()
    world.acts.clear()
    world.person("abort")
    world.settle(300)
    first = world.acts[0].action
    assert isinstance(first, t.SetWeight)
    assert (first.weight, first.routes) == (0, ())
    assert not variants_of(world)
    stays_at_rest(world)


def test_whenever_a_release_is_aborted_no_share_and_no_variant_is_left() -> None:
    """At each moment of its experiment (7, 25)."""
    stopped = 0
    for world in at_every_moment(releasing):
        if world.status.current_step_index != 1:
            continue
        stopped += 1
        world.person("abort")
        world.settle(300)
        assert (world.weight, world.routes, variants_of(world)) == (0, (), {})
    assert stopped > 10


def test_a_variant_keeps_its_pods_while_its_share_cannot_be_taken_back() -> None:
    """Requests still go there."""
    world = compared()
    world.fails = lambda key: key.startswith("SetWeight")
    world.person("abort")
    world.run_slowly(30)
    assert variants_of(world)["baseline"] == 1
    world.fails = lambda _key: False
    world.settle(300)
    assert (world.routes, variants_of(world)) == ((), {})


def test_gate_begins_anew_when_its_share_was_taken_out() -> None:
    """What it measured then was something else."""
    world = compared()
    world.run_for(3)
    world.routes, world.route_version, world.route_written = (), world.route_version + 1, world.now
    world.settle(300)
    assert world.status.phase == "Healthy"
    again = [w for w in world.acts if isinstance(w.action, t.SetWeight) and w.action.routes]
    assert len(again) == 2


def test_share_that_somebody_takes_out_is_put_back_three_times() -> None:
    """Then the release is held, and says why; at no time does anybody else get more (14)."""
    world = compared()
    for _ in range(8):
        world.routes, world.route_version, world.route_written = (), world.route_version + 1, world.now
        world.run_for(10)
    writes = [w for w in world.acts if isinstance(w.action, t.SetWeight) and w.action.routes]
    assert len(writes) <= 4
    assert world.condition("Stalled")[:2] == ("True", "TrafficContested")


def test_a_paused_release_gives_no_share_and_keeps_one_that_is_there() -> None:
    """Who pauses wants to look at it (13)."""
    world = compared()
    world.acts.clear()
    world.person("pause")
    world.run_for(60)
    assert names_of(world.routes) == SHARE
    assert {type(w.action) for w in world.acts} == {t.AnswerAction}
    world.person("resume")
    world.settle(300)
    assert world.status.phase == "Healthy"
    assert not variants_of(world)


def test_people_are_told_where_the_requests_go() -> None:
    """A share is nothing by which the canary is led to."""
    world = compared()
    assert world.condition("TrafficInSync")[2] == "the router serves weight 20; shares go to service/shop-baseline"


def test_another_revision_in_mid_experiment_takes_the_share_first() -> None:
    """The variants of the one before are nobody's any more (19, 25)."""
    world = compared()
    world.acts.clear()
    world.release("v3")
    world.run_for(2)
    shifts = [w.action for w in world.acts if isinstance(w.action, t.SetWeight)]
    assert (shifts[0].weight, shifts[0].routes) == (0, ())
    world.settle(400)
    assert world.status.phase == "Healthy"
    assert (world.routes, variants_of(world)) == ((), {})


def test_deletion_leaves_no_share_behind() -> None:
    """The finalizer waits for it (29)."""
    world = compared()
    world.deleting = True
    world.settle(300)
    assert world.gone
    assert (world.weight, world.routes, variants_of(world)) == (0, (), {})


@pytest.mark.parametrize("how", ["abort", "delete"])
@pytest.mark.parametrize("problem", ["", "HTTPRoute shop: somebody has broken it"], ids=["refused", "broken"])
def test_a_share_that_cannot_be_taken_back_leads_home(how: str, problem: str) -> None:
    """What is behind it changes, as behind the weight: its variant may be of the bad version (6, 7)."""
    world = Stubborn(1, spec([{"setWeight": 20}, trial(canary={"service": "shop-trial", "weight": 10})]))
    world.gates = {**world.gates, "compared": COMPARED}
    world.settle(120)
    stable = world.selectors["shop"]
    world.release("v2")
    while not world.routes:
        world.advance(world.now + 0.5)
        world.turn()
    assert world.selectors["shop-trial"] not in (stable, "")
    world.refuses["SetWeight"] = t.OutcomeKind.REFUSED
    world.lens = lambda seen: replace(seen, routes=tuple(replace(r, problem=problem) for r in seen.routes))
    if how == "abort":
        world.person("abort")
    else:
        world.deleting = True
    world.run_for(20)
    assert world.routes
    assert world.selectors["shop-trial"] in ((stable,) if how == "abort" else (stable, ""))
    assert world.selectors["shop-canary"] in ((stable,) if how == "abort" else (stable, ""))
    world.refuses.clear()
    world.lens = lambda seen: seen
    world.run_for(300)
    assert world.gone if how == "delete" else world.status.phase == "Degraded"
    assert (world.weight, world.routes, variants_of(world)) == (0, (), {})


def test_a_share_that_somebody_gives_again_and_again_leads_home() -> None:
    """After an abort it is put right three times; then the variant's Service is pointed at stable."""
    world = compared()
    shared = world.routes
    stable = world.selectors["shop"]
    world.person("abort")
    for _ in range(12):
        world.run_for(5)
        world.routes, world.route_version, world.route_written = shared, world.route_version + 1, world.now
    world.run_for(60)
    assert world.selectors["shop-baseline"] == stable
    assert not variants_of(world)
