"""Two Services that take turns: a promotion exchanges their roles, and no selector changes under open connections."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headgate.api.rollout import Canary, RolloutSpec, RolloutStatus
from headgate.decide import ping_pong, strategies
from headgate.decide import types as t
from headgate.decide.managed import keys_of, names_of
from headgate.decide.mover import Goal
from headgate.decide.rollout import decide
from tests.simulation.examples import routed
from tests.simulation.recorded import Recorded, at_every_step
from tests.simulation.world import World, spec, stays_at_rest

pytestmark = pytest.mark.simulation

ROOT = Path(__file__).parents[2]
STEPS: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {"duration": "20s"}}, {"setWeight": 60}]
BY_HEADER: dict[str, Any] = {
    "setHeaderRoute": {"name": "beta", "match": [{"headerName": "x", "headerValue": {"exact": "1"}}]}
}


class Turning(Recorded):
    """A world that keeps what each journal said when it was written, and the writes before it."""

    def __init__(self, rollout: RolloutSpec, *, seed: int = 1) -> None:
        super().__init__(rollout, seed=seed)
        self.journals: list[tuple[int, RolloutStatus]] = []
        self.first = self.status.stable
        """What was stable before the first release."""

    def _write_status(self, decision: t.Decision) -> bool:
        before = self.status
        done = super()._write_status(decision)
        if self.status is not before:
            self.journals.append((len(self.acts), self.status))
        return done

    def selecting(self, since: int = 0) -> list[tuple[str, str]]:
        """The writes of selectors: Service and revision."""
        acts = [one.action for one in self.acts[since:]]
        return [(a.name, a.pod_hash) for a in acts if isinstance(a, t.SetSelector)]

    def weights(self, since: int = 0) -> list[int]:
        """The writes of the route, as what the canary of that time was given."""
        return [one.action.weight for one in self.acts[since:] if isinstance(one.action, t.SetWeight)]

    @property
    def stable(self) -> str:
        """The pod hash of what is stable."""
        assert self.status.stable is not None
        return self.status.stable.pod_hash


def settled(steps: list[dict[str, Any]] | None = None, **more: Any) -> Turning:
    """A world whose first revision is stable behind ping."""
    world = Turning(spec(steps or STEPS, turns=True, **more))
    world.settle(120)
    world.first = world.status.stable
    world.acts.clear()
    world.writes.clear()
    world.journals.clear()
    return world


def until_promoted(world: Turning, version: str = "v2") -> str:
    """A release up to the journal that says that it is promoted; gives back what was stable."""
    old = world.stable
    world.release(version)
    while world.stable == old:
        world.moment()
    return old


def test_a_promotion_exchanges_the_services_and_writes_no_selector() -> None:
    """All requests go to the canary Service; then one journal makes its revision stable, and the Service with it."""
    world = settled()
    old = until_promoted(world)
    assert world.selecting() == [("shop-canary", world.stable)], "the canary's Service, before its first request"
    assert world.weights() == [20, 60, 100]
    (_, first), (acts, last) = world.journals[-2:]
    assert (first.stable, first.stable_ping_pong, last.stable_ping_pong) == (world.first, "Ping", "Pong")
    assert acts == len(world.acts), "nothing else was written with it"
    assert (last.phase, last.weights.desired, last.weights.observed, last.weights.applied) == ("Healthy", 0, 0, True)
    assert (world.weight, world.selectors) == (100, {"shop": old, "shop-canary": world.stable})


def test_old_connections_last_as_long_as_the_pods_that_they_lead_to() -> None:
    """The Service that was stable keeps its version for scaleDownDelaySeconds; only then it turns, and the pods go."""
    world = settled(canary={"scaleDownDelaySeconds": 300})
    old, began = until_promoted(world), world.now
    before, told = len(world.acts), len(world.journals)
    world.run_for(290)
    assert (len(world.acts), len(world.journals)) == (before, told), "at rest, and nothing to be written"
    assert (world.status.phase, world.selectors["shop"]) == ("Healthy", old)
    world.run_for(60)
    turned, shrunk = (w for w in world.acts[before:] if isinstance(w.action, (t.SetSelector, t.ScaleReplicaSet)))
    assert isinstance(turned.action, t.SetSelector)
    assert turned.at >= began + 300
    assert isinstance(shrunk.action, t.ScaleReplicaSet)
    assert shrunk.action.replicas == 0
    assert world.selectors == {"shop": world.stable, "shop-canary": world.stable}
    assert world.status.weights.reasserted == 0, "it was nobody else's doing"
    world.check_rest()
    stays_at_rest(world)


def test_each_release_goes_behind_the_other_service() -> None:
    """Ping and pong in turn, and the route is written for the steps only."""
    world, seen = settled(), []
    for version in ("v2", "v3", "v4"):
        until_promoted(world, version)
        seen.append((world.status.stable_ping_pong, world.weight, world.selectors[world.roles[0]] == world.stable))
        world.settle(300)
    assert seen == [("Pong", 100, True), ("Ping", 0, True), ("Pong", 100, True)]
    assert world.weights() == [20, 60, 100] * 3


def test_gates_judge_the_service_that_is_the_canary_now() -> None:
    """What a query calls canaryService is ping, once pong is stable: a bad version is found by it."""
    world = settled([{"setWeight": 20}, {"gate": {"ref": {"name": "golden"}, "count": 2}}])
    until_promoted(world)
    world.settle(300)
    bad = world.release("v3", quality=60.0)
    world.settle(300)
    assert world.status.rejected[-1].pod_hash == bad
    assert (world.weight, world.status.stable_ping_pong) == (100, "Pong")


@pytest.mark.parametrize("releases", [0, 1])
def test_an_abort_at_any_step_ends_at_weight_0_of_what_is_taken_back(releases: int) -> None:
    """Whoever is the canary then; its Service leads home at once, and the roles stay as they were."""

    def begun() -> Turning:
        world = settled([*STEPS, {"setWeight": 100}, {"pause": {"duration": "5s"}}])
        for number in range(releases):
            until_promoted(world, f"v{number + 2}")
            world.settle(300)
        world.release("v9")
        return world

    for world in at_every_step(begun):
        assert isinstance(world, Turning)
        home, bad, before = world.stable, world.wanted()[1], len(world.acts)
        exposed = world.share(bad)
        world.person("abort")
        world.settle(300)
        if exposed:
            moves = [w for w in world.acts[before:] if isinstance(w.action, (t.SetWeight, t.SetSelector))]
            assert isinstance(moves[0].action, t.SetWeight)
        assert (world.stable, world.given, world.share(bad)) == (home, 0, 0)
        assert world.status.stable_ping_pong == ("Pong" if releases else "Ping")
        assert set(world.selectors.values()) == {home}
        world.check_rest()


def test_an_abort_while_the_promotion_moves_the_weight_takes_it_back() -> None:
    """Until the journal says that it is final, the old version has its pods and its Service."""
    world = settled()
    old, bad = world.stable, world.release("v2")
    while world.weight < 100:
        world.moment()
    world.person("abort")
    world.settle(300)
    assert (world.stable, world.weight, world.status.stable_ping_pong) == (old, 0, "Ping")
    assert world.status.rejected[-1].pod_hash == bad


@pytest.mark.parametrize("killed", [False, True])
def test_a_journal_that_cannot_be_written_leaves_the_requests_where_they_are(killed: bool) -> None:  # noqa: FBT001
    """Between the weight and the journal nothing is wrong; it is written when it can be, whoever is left to do it."""
    world = settled()
    old = world.stable
    world.release("v2")
    while world.weight < 100:
        world.moment()
    acts, world.fails = len(world.acts), lambda key: key == "status"
    world.run_slowly(1)
    assert (world.stable, world.weight, len(world.acts)) == (old, 100, acts)
    if killed:
        world._crash()
    world.fails = lambda _key: False
    world.settle(300)
    assert (world.stable != old, world.status.stable_ping_pong, world.weight) == (True, "Pong", 100)
    assert world.weights(acts) == []


def test_the_way_back_while_the_old_pods_stay_needs_no_selector() -> None:
    """The Service that was stable leads to them still: all requests go back by one weight."""
    world = settled(canary={"scaleDownDelaySeconds": 300})
    old = until_promoted(world)
    bad, before = world.stable, len(world.acts)
    world.person("undo")
    while world.stable != old:
        world.moment()
    assert world.selecting(before) == []
    assert world.weights(before) == [100]
    assert (world.status.stable_ping_pong, world.weight) == ("Ping", 0)
    world.run_for(60)
    assert world.selectors == {"shop": old, "shop-canary": old}, "to what was undone nothing leads, whatever stays"
    assert {s.pod_hash for s in world.sets.values() if s.replicas} == {old, bad}
    assert world.status.weights.reasserted == 0, "it was nobody else's doing"
    world.check_rest()


@pytest.mark.parametrize(("weight", "role"), [(0, "Ping"), (100, "Pong"), (30, "Ping")])
def test_at_adoption_the_route_says_which_one_is_stable(weight: int, role: str) -> None:
    """Ping, unless all requests go to pong already; then no request is moved for it."""
    world = Turning(spec(STEPS, turns=True))
    world.weight = weight
    world.settle(120)
    assert (world.status.stable_ping_pong, world.given) == (role, 0)
    assert world.weights() == ([0] if weight == 30 else [])
    world.check_rest()


@pytest.mark.parametrize("there", [True, False])
def test_a_rollout_at_rest_changes_its_form_without_a_write_to_traffic(there: bool) -> None:  # noqa: FBT001
    """From stableService and canaryService to the same two that take turns, and back from either role."""
    world = Turning(spec(STEPS))
    world.settle(120)
    turns, before = spec(STEPS, turns=True).strategy, len(world.acts)
    world.change_spec(strategy=turns)
    world.run_for(120)
    assert (world.acts[before:], world.status.stable_ping_pong, world.status.phase) == ([], "Ping", "Healthy")
    if there:
        world.change_spec(strategy=spec(STEPS).strategy)
        world.run_for(120)
        assert (world.acts[before:], world.status.stable_ping_pong) == ([], None)
    until_promoted(world)
    world.settle(300)
    assert world.weight == (0 if there else 100)
    world.check_rest()


def test_a_pair_in_the_role_of_pong_may_go_back_to_fixed_names() -> None:
    """The requests are led to the Service that is called stable then, not before it leads to what is stable."""
    world = settled()
    until_promoted(world)
    world.settle(300)
    world.change_spec(strategy=spec(STEPS).strategy)
    world.run_for(120)
    assert (world.status.stable_ping_pong, world.weight, world.status.phase) == (None, 0, "Healthy")
    world.check_rest()


@pytest.mark.parametrize("selects", [True, False])
def test_the_service_that_alone_leads_to_what_is_stable_is_the_stable_one(selects: bool) -> None:  # noqa: FBT001
    """Also where a definition without the rule lets the form change in mid-release: no weight tells it then."""
    world = Turning(spec(STEPS))
    world.settle(120)
    old, new = world.stable, world.release("v2")
    world.settle(120, until=("Paused",))
    assert (world.weight, world.selectors) == (20, {"shop": old, "shop-canary": new})
    world.change_spec(strategy=spec(STEPS, turns=True).strategy)
    seen = world.snapshot()
    if not selects:
        seen = ping_pong.turned(seen)
    assert decide(seen, world.now).status.stable_ping_pong == ("Ping" if selects else "Pong")


@pytest.mark.parametrize("promoted", [0, 1])
def test_a_deletion_leaves_the_requests_with_what_is_stable(promoted: int) -> None:
    """In whatever role; the Services are handed back, and the weights stay as they are."""
    world = settled()
    for number in range(promoted):
        until_promoted(world, f"v{number + 2}")
    before = len(world.acts)
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert (world.weight, set(world.selectors.values())) == (100 * promoted, {""})
    assert world.weights(before) == []


def test_who_is_led_to_the_canary_is_so_until_all_are() -> None:
    """Users by header go on meeting the new version while the promotion moves the rest; no rule is left after it."""
    world = settled([BY_HEADER, *STEPS])
    until_promoted(world)
    world.settle(300)
    written = [one.action for one in world.acts if isinstance(one.action, t.SetWeight)]
    seen = [(action.weight, names_of(keys_of(action.routes))) for action in written]
    assert seen == [(0, "beta"), (20, "beta"), (60, "beta"), (100, "beta"), (100, "")]
    assert (world.status.stable_ping_pong, world.routes) == ("Pong", ())
    world.check_rest()


@pytest.mark.parametrize("more", [{"replicas": 0}, {"replicas": 1}, {"canary": {"dynamicStableScale": True}}])
def test_whatever_pods_there_are_the_services_take_turns(more: dict[str, Any]) -> None:
    """Also those of a stable version that shrinks, and none at all."""
    world = settled([{"setWeight": 100}, *STEPS], **more)
    for version in ("v2", "v3"):
        until_promoted(world, version)
        world.settle(300)
        world.run_for(60)
        world.check_rest()
    assert (world.status.stable_ping_pong, world.weight) == ("Ping", 0)


def test_the_turn_is_at_the_whole_of_the_weights() -> None:
    """Where that is another number than 100."""
    parts = {"trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}, "maxTrafficWeight": 1000}}
    world = settled([{"setWeight": 100}], canary=parts)
    until_promoted(world)
    assert (world.weights(), world.given, world.status.stable_ping_pong) == ([100, 1000], 0, "Pong")


@pytest.mark.parametrize("led", [False, True])
def test_a_pause_while_the_promotion_moves_the_weight_leaves_it(led: bool) -> None:  # noqa: FBT001
    """Nothing is raised and nothing is taken away, and resumed it ends as it would have."""
    world = settled([BY_HEADER, *STEPS] if led else STEPS)
    world.release("v2")
    while world.weight < 100 or world.routes:
        world.moment()
    world.person("pause")
    before = len(world.acts)
    world.run_for(120)
    assert world.weights(before) == []
    assert (world.status.phase, world.weight, world.status.stable_ping_pong) == ("Paused", 100, "Ping")
    world.person("resume")
    world.settle(300)
    assert (world.weights(before), world.status.stable_ping_pong) == ([], "Pong")


def test_a_journal_older_than_a_turn_gives_nothing_to_what_nobody_has_judged() -> None:
    """A replica that hears late takes pong for the canary, and weight 0 would be all requests for the next version."""
    world = settled([{"setWeight": 20}, {"pause": {}}], canary={"scaleDownDelaySeconds": 0})
    late = world.status
    until_promoted_by_hand(world)
    world.release("v3")
    world.settle(120, until=("Paused",))
    late = late.model_copy(update={"current": late.stable})
    seen = ping_pong.turned(world.snapshot())
    assert seen.routes[0].weight == 80, "of the Service that was the canary when that journal was written"
    stale = decide(replace(seen, status=late), world.now)
    assert not isinstance(stale.action, t.SetWeight), "all requests for what nobody has judged"
    assert world.wanted()[1] in seen.stable_service.selector.values()
    goal = Goal(late.stable.pod_hash if late.stable else "", "none", 0, {}, proven=True)
    move = strategies.of(seen.spec).next_move(seen, goal, world.now)
    assert "which of the Services is stable" in move.waiting


def until_promoted_by_hand(world: World) -> None:
    """A release whose pause somebody ends, and all that follows from it."""
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.person("promote")
    world.settle(300)
    world.run_for(60)


def test_problems_name_the_field_of_the_service_that_they_speak_of() -> None:
    """Whatever its role is now."""
    rollout = spec(STEPS, turns=True)
    status = RolloutStatus(stable_ping_pong="Pong")
    fields = [f"spec.strategy.canary.pingPong.{name}" for name in ("pingService", "pongService")]
    first, second = strategies.of(rollout).services, strategies.of(ping_pong.resolved(rollout, status)).services
    assert first == ((fields[0], "shop"), (fields[1], "shop-canary"))
    assert second == first[::-1]


def test_the_example_does_what_it_says() -> None:
    """examples/ping-pong: its route lists both Services, and is written for the steps and the promotion alone."""
    _, rollout, canary, _ = routed("ping-pong")
    delay = canary.scale_down_delay_seconds
    steps = json.dumps(rollout["spec"]["strategy"]["canary"]["steps"]).replace("golden-signals", "golden")
    world = settled(json.loads(steps), canary={"scaleDownDelaySeconds": delay})
    old = until_promoted(world)
    world.run_for(delay / 2)
    assert (world.weights()[-1], world.selectors["shop"]) == (100, old)


def test_one_of_the_two_forms_names_the_services() -> None:
    """Where the schema is older than the rule a sentence says it all the same."""
    canary = spec(STEPS, turns=True).strategy.canary
    assert canary is not None
    assert (canary.stable_service, canary.canary_service) == ("shop", "shop-canary")
    steps = {"steps": STEPS, "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}}}
    with pytest.raises(ValueError, match="name stableService, or the two Services of pingPong"):
        Canary.model_validate(steps)
    with pytest.raises(ValueError, match=r"pingPong\.pongService"):
        Canary.model_validate(steps | {"pingPong": {"pingService": "shop"}})
