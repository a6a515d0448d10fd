"""Users keep the version that they have met: a route for them comes and goes with the weight, in the same writes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonpatch
import pytest

from headgate.api.rollout import SESSION, STABLE_SESSION
from headgate.decide import types as t
from headgate.decide.invariants import Rule, before_write
from headgate.decide.managed import all_of, asked, keys_of, recorded, sessions
from headgate.decide.planning import find_plan
from tests.simulation.examples import TARGET, routed
from tests.simulation.recorded import Recorded, at_every_moment, settled

pytestmark = pytest.mark.simulation

BY_ROUTE = {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}}
GATE: dict[str, Any] = {"gate": {"ref": {"name": "golden"}, "count": 1}}
HEADER: dict[str, Any] = {
    "setHeaderRoute": {"name": "beta", "match": [{"headerName": "x", "headerValue": {"exact": "1"}}]}
}
GROWING: list[dict[str, Any]] = [{"setWeight": 20}, GATE, {"setWeight": 40}, {"pause": {"duration": "5s"}}]


def staying(steps: list[dict[str, Any]], *, keep: bool = False, canary: Any = None, **more: Any) -> Recorded:
    """A world in which a release is about to begin whose users stay; with `keep` those of stable, too."""
    stay = {"cookieName": "stay", "stayOnStable": keep}
    routing = {"trafficRouting": {**BY_ROUTE, "sessionAffinity": stay}}
    world = settled(steps, canary={**routing, **(canary or {})}, **more)
    world.acts.clear()
    world.release("v2")
    return world


def shifts(world: Recorded) -> list[t.SetWeight]:
    """The writes of the route."""
    return [w.action for w in world.acts if isinstance(w.action, t.SetWeight)]


def led(world: Recorded) -> list[tuple[int, str]]:
    """The weights and routes that were written, in order."""
    return [(shift.weight, " ".join(route.name for route in shift.routes)) for shift in shifts(world)]


def ready(world: Recorded) -> int:
    """Pods of the new version that can serve."""
    assert world.status.current is not None
    return sum(world.ready(s) for s in world.sets.values() if s.pod_hash == world.status.current.pod_hash)


@pytest.mark.parametrize("keep", [False, True], ids=["canary", "both"])
def test_users_stay_from_the_first_weight_to_the_end_of_the_release(keep: bool) -> None:  # noqa: FBT001
    """No write is for them alone: as many as without them, and the routes go with the weight."""
    world, plain = staying(GROWING, keep=keep), settled(GROWING)
    plain.acts.clear()
    plain.release("v2")
    for one in (world, plain):
        one.settle(300)
        assert one.status.phase == "Healthy"
    names = f"{SESSION} {STABLE_SESSION}" if keep else SESSION
    assert led(world) == [(20, names), (40, names), (0, "")]
    assert len(world.acts) <= len(plain.acts)
    assert world.writes.count("status") <= plain.writes.count("status")
    assert world.routes == ()
    assert world.status.weights.routes is None


def test_weight_that_somebody_stays_at_has_the_pods_for_all_of_them() -> None:
    """Each request may bring a user who stays; where those of stable stay, too, it is the weight and no more."""
    for keep, wanted in ((False, 4), (True, 1)):
        world = staying([{"setWeight": 20}, {"pause": {}}], keep=keep)
        while not world.routes:
            world.moment()
        assert ready(world) == wanted, f"users stay with {ready(world)} of {wanted} pods"


def test_weight_that_falls_leaves_those_who_stay_their_pods() -> None:
    """They came while it was greater."""
    world = staying([{"setWeight": 75}, {"setWeight": 25}, {"pause": {}}], keep=True)
    world.settle(300, until=("Paused",))
    world.run_for(120)
    assert (world.weight, ready(world)) == (25, 3)
    assert led(world) == [(75, f"{SESSION} {STABLE_SESSION}"), (25, f"{SESSION} {STABLE_SESSION}")]


def test_next_weight_waits_for_pods_that_went_since() -> None:
    """Of all who stay, not of the weight alone."""
    world = staying([{"setWeight": 20}, {"pause": {"duration": "5s"}}, {"setWeight": 25}, {"pause": {}}])
    world.fails = lambda key: key.startswith("SetWeight") and world.status.current_step_index == 2
    while world.status.current_step_index < 2:
        world.moment()
    run = world.status.current
    assert run is not None
    found = next(s for s in world.sets.values() if s.pod_hash == run.pod_hash)
    found.pods = sorted([*found.pods[1:], world.now + 20])
    world.fails = lambda _key: False
    while world.weight < 25:
        world.moment()
    assert ready(world) == 4, f"the weight grew with {ready(world)} of 4 pods"


def test_abort_takes_weight_and_sessions_with_one_write() -> None:
    """At every moment: nobody is led to the version any more, whatever cookie he has (6, 7)."""
    for world in at_every_moment(lambda: staying([HEADER, *GROWING], keep=True)):
        where, exposed = world.status.message, bool(world.weight or world.routes)
        promoted = world.selectors["shop"] == world.selectors["shop-canary"]
        world.person("abort")
        began = len(world.acts)
        world.run_for(60)
        shaping = [w.action for w in world.acts[began:] if isinstance(w.action, (t.SetWeight, t.SetSelector))]
        if exposed and not promoted:
            first = shaping[0]
            assert isinstance(first, t.SetWeight), f"{first.key} comes first, aborted at: {where}"
            assert (first.weight, first.routes) == (0, ()), f"{first} is left, aborted at: {where}"
        assert (world.weight, world.routes) == (0, ()), f"{world.routes} is left, aborted at: {where}"


def test_deletion_leaves_nobody_a_way_to_the_version() -> None:
    """At every moment, before the finalizer goes."""
    for world in at_every_moment(lambda: staying(GROWING)):
        where = world.status.message
        world.deleting = True
        world.run_for(300)
        assert world.gone, f"it does not go, deleted at: {where}"
        assert (world.weight, world.routes) == (0, ()), f"{world.routes} is left, deleted at: {where}"


def test_weight_of_nothing_is_nobodys_to_stay_at() -> None:
    """The routes go with it and come back with the next weight; those of the steps stay as they are."""
    world = staying([HEADER, {"setWeight": 20}, {"setWeight": 0}, {"setWeight": 50}])
    world.settle(300)
    assert led(world) == [(0, "beta"), (20, f"{SESSION} beta"), (0, "beta"), (50, f"{SESSION} beta"), (0, "")]


def test_users_of_stable_come_after_who_asks_by_header() -> None:
    """The order in which the rules are asked: who stays with the canary, the steps', who stays on stable."""
    world = staying([HEADER, {"setWeight": 20}], keep=True)
    world.settle(300)
    assert led(world) == [(0, "beta"), (20, f"{SESSION} beta {STABLE_SESSION}"), (0, "")]


def test_another_attempt_is_of_another_cookie() -> None:
    """Whoever met the one before is as anybody to this one (9)."""
    world = staying([{"setWeight": 20}, {"pause": {}}])
    world.settle(120, until=("Paused",))
    world.person("abort")
    world.settle(120)
    world.person("retry", pod_hash=world.status.rejected[-1].pod_hash, attempt=1)
    world.settle(120, until=("Paused",))
    run = world.status.current
    assert run is not None
    cookies = [route.cookie.partition(";")[0] for shift in shifts(world) for route in shift.routes]
    assert cookies == [f"stay=headgate.{run.pod_hash}.1", f"stay=headgate.{run.pod_hash}.2"]


def test_users_stay_as_the_attempt_was_begun() -> None:
    """What the spec says meanwhile is for the next one: a cookie that has another name would be nobody's."""
    world = staying(GROWING)
    while not world.routes:
        world.moment()
    routes = world.routes
    canary = world.spec.strategy.canary
    assert canary is not None
    for affinity in (None, "other"):
        found = sessions_of(canary, affinity)
        world.change_spec(strategy=world.spec.strategy.model_copy(update={"canary": found}))
        world.run_for(3)
        assert world.routes == routes
    world.settle(300)
    assert led(world) == [(20, SESSION), (40, SESSION), (0, "")]


def sessions_of(canary: Any, cookie: str | None) -> Any:
    """The strategy with another cookie, or none."""
    affinity = canary.routing.session_affinity
    changed = affinity.model_copy(update={"cookie_name": cookie}) if cookie else None
    return canary.model_copy(
        update={"traffic_routing": canary.routing.model_copy(update={"session_affinity": changed})}
    )


def test_stable_keeps_its_pods_for_those_who_stay_on_it() -> None:
    """The schema refuses dynamicStableScale beside it; what is edited in mid-release waits for the next one."""
    world = staying([{"setWeight": 75}, {"pause": {}}], keep=True)
    world.settle(120, until=("Paused",))
    canary = world.spec.strategy.canary
    assert canary is not None
    found = sessions_of(canary, None).model_copy(update={"dynamic_stable_scale": True})
    world.change_spec(strategy=world.spec.strategy.model_copy(update={"canary": found}))
    world.run_for(120)
    assert sorted(s.replicas for s in world.sets.values()) == [3, 4]


def test_weight_that_a_hotfix_passes_over_is_nobodys_to_stay_at() -> None:
    """It is not even written, and so no route is."""
    world = staying([{"setWeight": 20}, {"pause": {}}, {"setWeight": 40}, GATE])
    world.turn()
    world.person("hotfix")
    world.settle(300)
    assert led(world) == [(40, SESSION), (0, "")]


def test_pause_leaves_everybody_where_he_is() -> None:
    """And lets nobody stay who did not before."""
    world = staying(GROWING)
    world.change_spec(paused=True)
    world.run_for(60)
    assert (world.weight, world.routes) == (0, ())
    world.change_spec(paused=False)
    while not world.routes:
        world.moment()
    world.change_spec(paused=True)
    world.run_for(60)
    assert led(world) == [(20, SESSION)]


def test_session_that_somebody_takes_out_is_put_back_three_times() -> None:
    """Then the release is held, and says so."""
    world = staying([{"setWeight": 20}, {"pause": {}}])
    world.settle(120, until=("Paused",))
    for number in range(5):
        world.routes, world.route_version, world.route_written = (), world.route_version + 1, world.now
        world.run_for(60)
        assert bool(world.routes) == (number < 3), f"after rewrite {number + 1}: {world.status.message}"
    assert world.condition("Stalled")[1] == "TrafficContested"


@pytest.mark.parametrize(("keep", "pods"), [(False, 4), (True, 1)], ids=["canary", "both"])
def test_sessions_are_guarded_like_weights(keep: bool, pods: int) -> None:  # noqa: FBT001
    """By the pods of those who stay, and by the attempt that is released; where both keep theirs, by the weight."""
    world = staying([{"setWeight": 20}, {"pause": {}}], keep=keep)
    while not world.routes:
        world.moment()
    run = world.status.current
    assert run is not None
    view = find_plan(world.snapshot(), run)
    assert view is not None
    affinity = view.plan.session
    assert affinity is not None
    shift, truth = shifts(world)[-1], world.truth()
    other = replace(shift, routes=all_of(sessions(affinity, run.pod_hash, run.attempt + 1)))

    def broken(action: t.Action, there: int) -> set[Rule]:
        of = {"routes": (), "weight": 0, "ready": {**truth.ready, run.pod_hash: there}}
        seen = type(truth)(**{name: getattr(truth, name) for name in truth.__slots__} | of)
        return {b.rule for b in before_write(seen, action, world.status, view.plan, stands=True)}

    assert broken(shift, pods) == set()
    assert broken(shift, pods - 1) == {Rule.CAPACITY_FIRST}
    assert broken(other, 4) == {Rule.STEP_ALLOWS}


def test_example_is_released_as_its_comments_say() -> None:
    """examples/sessions: its router can do it, and the rules for who stays come and go with the weights."""
    (route, rollout, canary, router), target = routed("sessions"), TARGET
    steps = [s.model_dump(mode="json", by_alias=True, exclude_none=True) for s in canary.steps]
    routing = {
        **BY_ROUTE,
        "sessionAffinity": rollout["spec"]["strategy"]["canary"]["trafficRouting"]["sessionAffinity"],
    }
    world = staying([GATE if "gate" in s else s for s in steps], canary={"trafficRouting": routing})
    world.settle(1200)
    assert led(world) == [(5, SESSION), (25, SESSION), (50, SESSION), (0, "")]
    known = recorded(canary, []).model_copy(update={"steps": [step for _, step in asked(canary)]})
    wanted = [one for one in all_of(known.steps) if one.name == SESSION]
    led_by = jsonpatch.apply_patch(route, router.set_weight(known, route, target, 5, wanted))
    assert router.read(known, led_by, target).managed == keys_of(wanted)
    assert jsonpatch.apply_patch(led_by, router.set_weight(known, led_by, target, 0)) == route
