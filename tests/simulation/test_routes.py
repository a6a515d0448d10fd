"""Routes by header and mirrors expose a version like a weight: pods and journal first, and traffic leaves first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonpatch
import pytest

from headgate.api.common import to_epoch
from headgate.decide import types as t
from headgate.decide.invariants import Rule, before_write
from headgate.decide.managed import after, all_of, keys_of
from headgate.decide.planning import find_plan
from tests.simulation.examples import TARGET, routed
from tests.simulation.recorded import Recorded, at_every_moment, led, settled
from tests.simulation.world import CONFIG

pytestmark = pytest.mark.simulation


def header(value: str = "1", name: str = "beta") -> dict[str, Any]:
    """A step that leads requests with this header to the canary."""
    return {"setHeaderRoute": {"name": name, "match": [{"headerName": "x", "headerValue": {"exact": value}}]}}


MIRROR: dict[str, Any] = {"setMirrorRoute": {"name": "shadow", "percentage": 10, "match": [{"method": "GET"}]}}
GATE: dict[str, Any] = {"gate": {"ref": {"name": "golden"}, "count": 1}}
OUT: dict[str, Any] = {"setHeaderRoute": {"name": "beta"}}
LED: list[dict[str, Any]] = [
    {"setCanaryScale": {"replicas": 2}},
    header(),
    GATE,
    MIRROR,
    {"setWeight": 20},
    {"pause": {"duration": "5s"}},
    OUT,
    {"setWeight": 50},
]


def releasing(steps: list[dict[str, Any]], **more: Any) -> Recorded:
    """A world in which the release of v2 is about to begin."""
    world = settled(steps, **more)
    world.acts.clear()
    world.release("v2")
    return world


def take_out(world: Recorded) -> None:
    """Somebody applies the route anew, as he has it."""
    world.routes, world.route_version, world.route_written = (), world.route_version + 1, world.now


def version_of(world: Recorded) -> str:
    """The revision that is released."""
    assert world.status.current is not None
    return world.status.current.pod_hash


def test_routes_come_and_go_in_the_order_of_the_steps() -> None:
    """They stay until a step takes them out, or the release ends; the journal names what is wanted."""
    world = releasing(LED)
    world.settle(300)
    assert led(world) == [(0, "beta"), (0, "beta shadow"), (20, "beta shadow"), (20, "shadow"), (50, "shadow"), (0, "")]
    assert world.status.phase == "Healthy"
    assert world.routes == ()
    assert world.status.weights.routes is None


@pytest.mark.parametrize("step", [header(), MIRROR], ids=["header", "mirror"])
def test_route_waits_for_all_the_pods_that_it_is_to_have(step: dict[str, Any]) -> None:
    """How many requests it takes nobody knows: all of setCanaryScale are ready first, and one pod in any case."""
    for steps, wanted in (([{"setCanaryScale": {"replicas": 3}}, step], 3), ([step], 1)):
        world = releasing(steps)
        while not world.routes:
            world.moment()
        ready = sum(world.ready(s) for s in world.sets.values() if s.pod_hash == version_of(world))
        assert ready == wanted, f"the route was set with {ready} of {wanted} pods"


def test_route_waits_for_pods_that_went_since() -> None:
    """They were there when their step was over, and are not when the route could be set."""
    world = releasing([{"setCanaryScale": {"replicas": 3}}, header()])
    world.fails = lambda key: key.startswith("SetWeight")
    while world.status.current_step_index < 1:
        world.moment()
    found = next(s for s in world.sets.values() if s.pod_hash == version_of(world))
    found.pods = sorted([*found.pods[1:], world.now + 20])
    world.fails = lambda _key: False
    while not world.routes:
        world.moment()
    assert world.ready(found) == 3, f"the route was set with {world.ready(found)} of 3 pods"


def test_gate_begins_anew_when_its_route_was_taken_out() -> None:
    """What it measured then was something else: its window begins when the route is back and has settled."""
    world = releasing([header(), {"gate": {"ref": {"name": "golden"}, "count": 5}}])
    while not world.status.gates:
        world.moment()
    world.run_for(6)
    take_out(world)
    refused_until = world.now + 20
    world.fails = lambda key: key.startswith("SetWeight") and world.now < refused_until
    world.run_slowly(30)
    while not world.routes or world.status.gates[0].verdict != "Pass":
        world.moment()
    gate, back = world.status.gates[0], world.route_written
    assert gate.window > 1
    assert to_epoch(gate.started_at) >= back + CONFIG.route_settle_seconds, "the gate began before its route was back"


def test_gate_measures_what_a_route_leads_only_once_it_is_served() -> None:
    """Its window begins after the router has reported the version with the route, and the settle time."""
    world = releasing([header(), GATE])
    while not world.status.gates:
        world.moment()
    waited = to_epoch(world.status.gates[0].started_at) - world.route_written - world.gateway_delay
    assert waited >= CONFIG.route_settle_seconds, f"the gate began {waited:.2f} s after the route"


def test_first_route_begins_the_background_gates() -> None:
    """Requests reach the version from then on, whatever its weight is."""
    world = releasing([header(), {"pause": {}}], gates=True)
    world.settle(120, until=("Paused",))
    world.run_for(30)
    assert [(g.step, g.verdict) for g in world.status.gates] == [(-1, "Pass")]


def test_abort_takes_weight_and_routes_with_one_write_before_any_pod() -> None:
    """At every moment: the next write of the data plane leaves nothing, and the pods go after the drain delay."""
    for world in at_every_moment(lambda: releasing(LED, abort_scale_down_delay_seconds=0)):
        bad, where, exposed = version_of(world), world.status.message, bool(world.routes or world.weight)
        promoted = world.selectors["shop"] == bad
        world.person("abort")
        began = len(world.acts)
        world.run_for(60)
        shaping = [w.action for w in world.acts[began:] if isinstance(w.action, (t.SetWeight, t.SetSelector))]
        if exposed and not promoted:
            assert shaping, f"{world.routes} is left, aborted at: {where}"
            first = shaping[0]
            assert isinstance(first, t.SetWeight), f"{first.key} comes first, aborted at: {where}"
            assert (first.weight, first.routes) == (0, ()), f"{first} is left, aborted at: {where}"
        assert (world.weight, world.routes) == (0, ()), f"{world.routes} is left, aborted at: {where}"
        assert bad not in world.selectors.values(), f"a Service still selects it, aborted at: {where}"
        written = max((w.at for w in world.acts if isinstance(w.action, t.SetWeight)), default=0.0)
        for write in world.acts[began:]:
            if write.action.key == f"ScaleReplicaSet/shop-{bad}":
                assert write.at - written >= CONFIG.drain_seconds, f"pods go with the routes, aborted at: {where}"


def test_deletion_leaves_no_route_behind() -> None:
    """At every moment: it is gone before the pods go, and before the finalizer does."""
    for world in at_every_moment(lambda: releasing(LED)):
        where = world.status.message
        world.deleting = True
        world.run_for(300)
        assert world.gone, f"it does not go, deleted at: {where}"
        assert (world.weight, world.routes) == (0, ()), f"{world.routes} is left, deleted at: {where}"


def test_newcomer_never_gets_what_a_route_leads() -> None:
    """The canary Service is pointed at the next revision only after the routes of the one before are gone."""
    for world in at_every_moment(lambda: releasing(LED)):
        where = world.status.message
        began = len(world.acts)
        newcomer = world.release("v3")
        world.run_for(20)
        routes: tuple[str, ...] = ()
        for write in world.acts:
            if isinstance(write.action, t.SetWeight):
                routes = keys_of(write.action.routes)
            if write.action == t.SetSelector("shop-canary", "", newcomer) or (
                isinstance(write.action, t.SetSelector)
                and (write.action.name, write.action.pod_hash) == ("shop-canary", newcomer)
            ):
                assert not routes, f"{newcomer} gets {routes}, released at: {where}"
        assert len(world.acts) > began


def test_nothing_is_led_while_it_is_paused() -> None:
    """A route waits like a weight, and one that is there stays."""
    world = releasing([{"setWeight": 10}, header(), {"pause": {}}])
    world.fails = lambda key: key.startswith("SetWeight") and world.status.current_step_index == 1
    while world.status.current_step_index < 1:
        world.moment()
    world.change_spec(paused=True)
    world.fails = lambda _key: False
    world.run_for(60)
    assert (world.weight, world.routes) == (10, ())
    world.change_spec(paused=False)
    world.settle(60, until=("Paused",))
    world.change_spec(paused=True)
    world.run_for(60)
    assert len(world.routes) == 1


def test_route_that_is_set_anew_is_another_one() -> None:
    """The old one goes, the new one comes, and the gate after it measures the new one."""
    world = releasing([header("1"), header("2"), GATE])
    world.settle(300)
    routes = [
        [r.match[0].header_value for r in w.action.routes] for w in world.acts if isinstance(w.action, t.SetWeight)
    ]
    values = [found[0].exact if found and found[0] else "" for found in routes]
    assert values == ["1", "", "2", ""]


def test_route_that_somebody_takes_out_is_put_back_three_times() -> None:
    """Then the release is held, and says so; resume goes on."""
    world = releasing([header(), {"pause": {}}])
    world.settle(120, until=("Paused",))
    for number in range(5):
        take_out(world)
        world.run_for(60)
        assert bool(world.routes) == (number < 3), f"after rewrite {number + 1}: {world.status.message}"
    assert world.condition("Stalled")[1] == "TrafficContested"
    world.person("resume")
    world.run_for(60)
    assert world.routes


def test_step_that_the_router_cannot_do_bars_the_next_attempt_only() -> None:
    """`Ready` says which and what to do; what is under way has pinned its steps, and goes on."""
    why = "spec.strategy.canary.steps[0].setHeaderRoute: cannot; use setWeight"

    def unable(seen: t.Snapshot) -> t.Snapshot:
        return replace(seen, routes=tuple(replace(route, unable=why) for route in seen.routes))

    world = settled([header()])
    world.lens = unable
    world.release("v2")
    world.run_for(60)
    assert world.condition("Ready") == ("False", "InvalidSpec", why)
    assert world.weight == 0
    assert not world.routes
    assert len(world.sets) == 1, "an attempt began"
    world.lens = lambda seen: seen
    while not world.routes:
        world.moment()
    world.lens = unable
    world.settle(120)
    assert [h.outcome for h in world.status.history] == ["Promoted", "Promoted"]


def test_way_back_takes_no_steps_and_leads_nothing() -> None:
    """What was stable before is switched to at once."""
    world = releasing(LED, scale_down_delay_seconds=600)
    world.settle(200)
    world.acts.clear()
    world.release("v1")
    world.settle(200)
    assert led(world) == []


def test_routes_are_guarded_like_weights() -> None:
    """What no decision would ever write is refused once more before it is sent: by pods, journal, step and verdict."""
    world = releasing([{"setWeight": 10}, header(), {"pause": {}}])
    while world.status.current_step_index < 1 or not world.routes:
        world.moment()
    run = world.status.current
    assert run is not None
    view = find_plan(world.snapshot(), run)
    assert view is not None
    route = next(w.action for w in world.acts if isinstance(w.action, t.SetWeight) and w.action.routes)
    truth = world.truth()

    def broken(status: Any = world.status, stands: bool = True, action: t.Action = route, **of: Any) -> set[Rule]:  # noqa: FBT001, FBT002
        seen = type(truth)(**{name: getattr(truth, name) for name in truth.__slots__} | {"routes": ()} | of)
        return {b.rule for b in before_write(seen, action, status, view.plan, stands=stands)}

    assert broken() == set()
    assert broken(ready={}) == {Rule.CAPACITY_FIRST}
    assert broken(stands=False) == {Rule.STEPS_IN_ORDER}
    assert broken(paused=True) == {Rule.PAUSE_HOLDS}
    assert broken(world.status.model_copy(update={"current_step_index": 0})) == {Rule.STEP_ALLOWS}
    assert broken(world.status.model_copy(update={"current": world.status.stable})) == {Rule.LOWER_FIRST}
    down = t.ScaleReplicaSet(f"shop-{run.pod_hash}", "1", 0, 0)
    assert Rule.WEIGHT_FIRST_DOWN in broken(action=down, weight=0, routes=keys_of(after(view.plan.steps)))
    assert Rule.HOME_BEFORE_GONE in broken(action=t.SetFinalizer("shop", "1", present=False), weight=0, routes=("b@1",))


def test_example_is_released_as_its_comments_say() -> None:
    """examples/header: its router can do every step, and what leads to the canary comes and goes in this order."""
    (route, _, canary, router), target = routed("header"), TARGET
    steps = [s.model_dump(mode="json", by_alias=True, exclude_none=True) for s in canary.steps]
    world = releasing([{"gate": {"ref": {"name": "golden"}, "count": 1}} if "gate" in s else s for s in steps])
    world.settle(1200)
    assert led(world) == [(0, "beta"), (0, "beta shadow"), (20, "beta"), (20, ""), (50, ""), (0, "")]
    for routes in ([], ["beta"], ["beta", "shadow"]):
        wanted = [r for r in all_of(canary.steps) if r.name in routes]
        after_it = jsonpatch.apply_patch(route, router.set_weight(canary, route, target, 0, wanted))
        assert router.read(canary, after_it, target).managed == keys_of(wanted)
