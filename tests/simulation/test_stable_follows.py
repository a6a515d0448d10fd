"""The stable version gives pods away as its share becomes less: capacity goes before weight, there and back."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest

from headgate.decide import types as t
from headgate.decide.mover import needs, place_of
from headgate.decide.rollout import decide
from tests.simulation.world import INFINITE, START, World, comes_to_rest, spec, stays_at_rest

pytestmark = pytest.mark.simulation

FOLLOWS: dict[str, Any] = {"dynamicStableScale": True}
WAIT: dict[str, Any] = {"pause": {}}


class Shared(World):
    """A world that holds every write against the share of both versions, by the pods that are really ready."""

    def _apply(self, action: t.Action) -> None:
        super()._apply(action)
        stable = self.status.stable.pod_hash if self.status.stable else ""
        if not isinstance(action, (t.SetWeight, t.ScaleReplicaSet)) or self.deleting or not stable:
            return
        old, new = self.selectors["shop"], self.selectors["shop-canary"]
        share = {stable: self.spec.total - self.weight if old == stable else 0}
        share[new] = share.get(new, 0) + self.weight
        for pod_hash, percent in share.items():
            there, wanted = self.pods(pod_hash), needs(self.spec, percent)
            if there < wanted and (self.pods(new) or pod_hash == new):
                self.fail(f"3: {percent}% for {pod_hash} with {there} of {wanted} pods")

    def pods(self, pod_hash: str) -> int:
        """Ready pods of a revision."""
        return sum(self.ready(s) for s in self.sets.values() if s.pod_hash == pod_hash)

    def since(self, moment: float) -> list[str]:
        """What was written since then, without the journal."""
        told = [line for line in self.story if float(line[:8]) + START >= moment - 0.01]
        return [line.partition("write: ")[2].rstrip() for line in told if "write: " in line]


def settled(
    steps: list[dict[str, Any]], *, replicas: int = 5, seed: int = 1, canary: dict[str, Any] | None = None, **more: Any
) -> tuple[Shared, str]:
    """A world whose first revision is stable, and that one."""
    world = Shared(seed, spec(steps, replicas=replicas, canary=FOLLOWS if canary is None else canary, **more))
    world.settle(120)
    assert world.status.stable
    return world, world.status.stable.pod_hash


def released(
    weight: int, *, replicas: int = 5, canary: dict[str, Any] | None = None, **more: Any
) -> tuple[Shared, str, str]:
    """A release that waits at this weight, after stable has given its pods away; both revisions."""
    world, old = settled([{"setWeight": weight}, WAIT], replicas=replicas, canary=canary, **more)
    new = world.release("v2")
    world.run_for(30)
    assert world.weight == weight
    assert world.status.phase == "Paused"
    return world, old, new


@pytest.mark.parametrize(("weight", "old", "new"), [(20, 4, 1), (50, 3, 3), (99, 1, 5), (100, 0, 5)])
def test_each_version_has_the_pods_for_its_share(weight: int, old: int, new: int) -> None:
    """Rounded up, so that neither has too few."""
    world, stable, canary = released(weight)
    assert (world.pods(stable), world.pods(canary)) == (old, new)
    world.person("promote")
    comes_to_rest(world)
    assert (world.pods(stable), world.pods(canary)) == (0, 5)
    assert world.status.weights.stable_follows is None
    stays_at_rest(world)


def test_pods_go_only_when_the_weight_was_served_and_connections_have_drained() -> None:
    """The gateway may serve the old weight until it says otherwise."""
    world, old = settled([{"setWeight": 60}, WAIT])
    world.release("v2")
    world.settle(60, until=("Paused",))
    assert world.settled_seen is not None
    served, drain = world.settled_seen[1], world.snapshot().config.drain_seconds
    world.run_for(served + drain - world.now - 0.1)
    assert world.pods(old) == 5
    world.run_for(0.2)
    assert world.pods(old) == 2


def test_an_abort_brings_the_pods_back_before_the_weight() -> None:
    """Pods are asked for at once; as much goes back as those that are ready can take, and at last all."""
    world, old, new = released(80)
    began = world.now
    world.person("abort")
    comes_to_rest(world)
    written = [w for w in world.since(began) if w.startswith(("Scale", "SetWeight"))]
    assert written[0] == f"ScaleReplicaSet/shop-{old} 5"
    assert written[-2:] == ["SetWeight/HTTPRoute/shop/ 0", f"ScaleReplicaSet/shop-{new} 0"]
    assert len(written) <= 5
    assert (world.pods(old), world.weight, world.status.phase) == (5, 0, "Degraded")
    stays_at_rest(world)


def test_the_way_back_waits_for_no_journal() -> None:
    """Pods of the stable version lower exposure: they are asked for while the status cannot be written."""
    world, old, _ = released(80)
    world.person("abort")
    world.faults.status_fails = 1.0
    for _ in range(40):
        world.turn()
        world.turn()
        world.now += 0.5
    assert (world.pods(old), world.weight) == (5, 0)


@pytest.mark.parametrize("how", ["person", "spec"])
def test_an_abort_wins_over_a_pause(how: str) -> None:
    """Capacity for the way back is added while everything else is held."""
    world, old, _ = released(80)
    if how == "person":
        world.person("pause")
    else:
        world.change_spec(paused=True)
    world.run_for(5)
    world.person("abort")
    world.run_for(60)
    assert (world.pods(old), world.weight) == (5, 0)


def test_a_pause_keeps_what_each_version_has() -> None:
    """Nothing is taken and nothing is added under a hold."""
    world, old, new = released(60)
    world.change_spec(paused=True)
    world.run_for(10)
    began = world.now
    world.run_for(120)
    assert world.since(began) == []
    assert (world.pods(old), world.pods(new)) == (2, 3)


def test_a_lower_weight_in_mid_release_waits_for_the_stable_pods() -> None:
    """Capacity before weight in this direction, too, whoever asks for it."""
    world, old = settled([{"setWeight": 100}, WAIT, {"setWeight": 20}, WAIT])
    new = world.release("v2")
    world.run_for(30)
    assert world.pods(old) == 0
    world.person("promote")
    world.run_for(60)
    assert (world.weight, world.pods(old), world.pods(new)) == (20, 4, 1)


def test_a_newcomer_waits_until_the_stable_version_can_take_the_share_of_the_one_before() -> None:
    """The requests of the version that was under way go to stable before they go to the next."""
    world, old, new = released(80)
    newest = world.release("v3")
    world.run_for(60)
    assert (world.weight, world.pods(old), world.pods(newest)) == (80, 1, 4)
    world.run_for(60)
    assert world.pods(new) == 0


def test_taking_the_option_back_with_the_template_loses_no_capacity() -> None:
    """A revert in Git takes away both at once; the journal still knows that pods are missing."""
    world, old, _ = released(80)
    plain = spec([{"setWeight": 80}, WAIT], replicas=5)
    world.template = {**world.template, "spec": {"containers": [{"image": "v1", "broken": False}]}}
    world.change_spec(strategy=plain.strategy)
    comes_to_rest(world)
    assert (world.pods(old), world.weight, world.status.phase) == (5, 0, "Healthy")


def test_the_option_may_be_set_and_taken_back_in_mid_release() -> None:
    """Pods go and come as it says, and the weight stays."""
    world, old = settled([{"setWeight": 80}, WAIT], canary={})
    world.release("v2")
    world.run_for(30)
    assert world.pods(old) == 5
    world.change_spec(strategy=spec([{"setWeight": 80}, WAIT], replicas=5, canary=FOLLOWS).strategy)
    world.run_for(30)
    assert (world.pods(old), world.weight) == (1, 80)
    world.change_spec(strategy=spec([{"setWeight": 80}, WAIT], replicas=5).strategy)
    world.run_for(30)
    assert (world.pods(old), world.weight) == (5, 80)


def test_a_canary_without_a_pod_is_left_at_once() -> None:
    """What goes there is lost in any case: less than the full load of pods is better than none."""
    world, old, new = released(80)
    found = next(s for s in world.sets.values() if s.pod_hash == new)
    found.pods = [float("inf")] * len(found.pods)
    began = world.now
    world.person("abort")
    world.turn()
    assert "SetWeight/HTTPRoute/shop/ 0" in world.since(began)
    comes_to_rest(world)
    assert world.pods(old) == 5


class Tight(Shared):
    """A cluster with room for so many pods; those beyond wait for others to go."""

    room = 100

    def _apply(self, action: t.Action) -> None:
        super()._apply(action)
        pods = [(s, i) for s in self.sets.values() for i in range(len(s.pods))]
        placed = sum(s.pods[i] < INFINITE for s, i in pods)
        for found, i in pods:
            if found.pods[i] == INFINITE and placed < self.room:
                found.pods[i], placed = self.now + 1.0, placed + 1
            elif found.pods[i] > self.now and placed > self.room:
                found.pods[i], placed = INFINITE, placed - 1
        for found in self.sets.values():
            found.pods.sort()


@pytest.mark.parametrize("back", ["abort", "step"])
def test_the_way_back_needs_no_more_room_than_the_way_there(back: str) -> None:
    """The canary gives its pods back with its share, so that those of stable find a place, a few at a time."""
    steps: list[dict[str, Any]] = [*({"setWeight": w} for w in (20, 40, 60, 80)), WAIT, {"setWeight": 10}, WAIT]
    world = Tight(1, spec(steps, replicas=10, canary={**FOLLOWS, "abortScaleDownDelaySeconds": 0}))
    world.room = 12
    world.settle(120)
    assert world.status.stable
    old, new = world.status.stable.pod_hash, world.release("v2")
    world.run_for(120)
    assert (world.weight, world.pods(old), world.pods(new)) == (80, 2, 8)
    world.person("abort" if back == "abort" else "promote")
    world.run_for(120)
    expected = (0, 10, 0) if back == "abort" else (10, 9, 1)
    assert (world.weight, world.pods(old), world.pods(new)) == expected


def test_a_deletion_brings_the_pods_back_before_the_weight() -> None:
    """Nobody looks after the pods any more when the Rollout is gone."""
    world, old, new = released(80)
    began = world.now
    world.deleting = True
    world.run_for(120)
    assert world.gone
    written = world.since(began)
    assert written[0] == f"ScaleReplicaSet/shop-{old} 5"
    assert written.index("SetWeight/HTTPRoute/shop/ 0") < written.index(f"ScaleReplicaSet/shop-{new} 0")
    weights = [line for line in written if line.startswith("SetWeight")]
    assert weights[-1] == "SetWeight/HTTPRoute/shop/ 0"


def test_a_deletion_does_not_wait_for_ever_for_pods() -> None:
    """Where they do not come the traffic goes home without them."""
    world, old, _ = released(80)
    plan = next(plan for plan in world.plans.values() if plan.pod_hash == old)
    plan.template["spec"]["containers"][0]["broken"] = True
    world.deleting = True
    world.run_for(200)
    assert world.gone
    assert world.weight == 0


def test_pods_that_do_not_come_back_are_told_of() -> None:
    """A person is needed, and it goes on by itself when the pods can start."""
    world, old, _ = released(80, progress_deadline_seconds=60)
    plan = next(plan for plan in world.plans.values() if plan.pod_hash == old)
    container = plan.template["spec"]["containers"][0]
    container["broken"] = True
    world.person("abort")
    world.run_for(30)
    assert stalled(world) == "NotStalled"
    world.run_for(40)
    assert (world.weight, stalled(world)) == (80, "ProgressDeadlineExceeded")
    for found in world.sets.values():
        found.pods = [min(at, world.now) for at in found.pods]
    comes_to_rest(world)
    assert (world.weight, stalled(world)) == (0, "RevisionRejected")


def stalled(world: World) -> str:
    """The reason of the condition `Stalled`."""
    return next(c.reason for c in world.status.conditions if c.type == "Stalled")


@pytest.mark.parametrize("dynamic", [True, False])
def test_each_version_that_gets_requests_has_the_least_number_of_pods(*, dynamic: bool) -> None:
    """Also before it gets the first, and never more than the full load needs."""
    world, old, new = released(10, canary={"dynamicStableScale": dynamic, "minPodsPerReplicaSet": 3})
    assert (world.pods(old), world.pods(new)) == (5, 3)
    world, old, new = released(90, canary={"dynamicStableScale": dynamic, "minPodsPerReplicaSet": 3})
    assert (world.pods(old), world.pods(new)) == (3 if dynamic else 5, 5)
    world, old, new = released(90, replicas=2, canary={"dynamicStableScale": dynamic, "minPodsPerReplicaSet": 3})
    assert (world.pods(old), world.pods(new)) == (2, 2)


def test_the_first_request_waits_for_the_least_number_of_pods() -> None:
    """One pod would do for the weight."""
    world, _ = settled([{"setWeight": 5}, WAIT], canary={"minPodsPerReplicaSet": 3})
    new = world.release("v2")
    counts = []
    for _ in range(120):
        counts.append((world.weight, world.pods(new)))
        world.run_for(0.01)
    assert min(pods for weight, pods in counts if weight) == 3
    assert 0 < min(pods for _, pods in counts if pods) < 3


def test_a_fixed_number_of_canary_pods_is_raised_to_the_least() -> None:
    """setCanaryScale says how many, but never too few for what gets requests."""
    steps = [{"setCanaryScale": {"replicas": 1}}, WAIT, {"setWeight": 5}, WAIT]
    world, _ = settled(steps, canary={"minPodsPerReplicaSet": 2})
    new = world.release("v2")
    world.run_for(30)
    assert world.pods(new) == 1
    world.person("promote")
    world.run_for(30)
    assert (world.weight, world.pods(new)) == (5, 2)


MIXES = list(itertools.product([True, False], [None, 2, 9], [None, 6], [5, 100], [0, 1, 5]))
"""Whether stable follows, the floor, setCanaryScale, the weight, the full load."""


@pytest.mark.parametrize("part", range(3))
def test_an_abort_ends_at_weight_0_whatever_the_options_are(part: int) -> None:
    """B1: each mix, at a moment of its own; then nothing is left behind and nothing is written."""
    for number, (dynamic, floor, scale, weight, replicas) in enumerate(MIXES):
        if number % 3 != part:
            continue
        chance = random.Random(number)
        steps: list[dict[str, Any]] = [] if scale is None else [{"setCanaryScale": {"replicas": scale}}]
        steps += [{"setWeight": weight}, WAIT, {"setWeight": 30}, {"pause": {"duration": "10s"}}]
        canary = {"dynamicStableScale": dynamic, **({} if floor is None else {"minPodsPerReplicaSet": floor})}
        world, old = settled(steps, replicas=replicas, seed=number, canary=canary)
        world.release("v2")
        world.run_for(chance.choice([chance.uniform(0.1, 12.0), 30.0]))
        if chance.random() < 0.5:
            world.person("promote")
            world.run_for(chance.uniform(0.1, 20.0))
        if world.status.stable and world.status.stable.pod_hash != old:
            continue
        world.person("abort")
        comes_to_rest(world)
        assert (world.weight, world.pods(old)) == (0, replicas)
        assert sum(s.replicas for s in world.sets.values()) == replicas
        stays_at_rest(world)


@pytest.mark.parametrize(("kind", "goes_back"), [(t.OutcomeKind.DONE, True), (t.OutcomeKind.UNKNOWN, False)])
def test_an_abort_trusts_no_weight_that_may_be_gone(kind: t.OutcomeKind, *, goes_back: bool) -> None:
    """The answer to the last write of a promotion is lost: a part of the stable pods could get all requests."""
    world, old, new = released(80)
    world.person("promote")
    while world.selectors["shop"] != new:
        if not world.turn():
            world.advance()
    world.person("abort")
    seen = world.snapshot()
    assert [route.weight for route in seen.routes] == [80], "the weight that was stored when it was last looked at"
    seen = replace(seen, outcome=t.Outcome(place_of(seen.routes[0]), kind, at=world.now, first_at=world.now))
    for _ in range(2):  # The action is accepted before it is acted upon.
        seen = replace(seen, status=decide(seen, world.now).status)
    back = t.SetSelector("shop", seen.stable_service.resource_version, old, exposure="lower")
    assert (decide(seen, world.now).action == back) is goes_back
    # Other writes may have gone well since; what could not be read stays in doubt.
    done = t.Outcome("ScaleReplicaSet/another", t.OutcomeKind.DONE, at=world.now, first_at=world.now)
    place = (seen.routes[0].kind, seen.routes[0].name)
    later = replace(seen, outcome=done, doubtful=frozenset() if goes_back else frozenset({place}))
    assert (decide(later, world.now).action == back) is goes_back


BY_HEADER: dict[str, Any] = {
    "setHeaderRoute": {"name": "beta", "match": [{"headerName": "x", "headerValue": {"exact": "1"}}]}
}


def led(weight: int) -> tuple[Shared, str, str]:
    """A release that waits at this weight with a route by header besides; both revisions."""
    world, old = settled([{"setWeight": weight}, BY_HEADER, WAIT])
    new = world.release("v2")
    world.run_for(60)
    assert (world.weight, len(world.routes), world.status.phase) == (weight, 1, "Paused")
    return world, old, new


def test_who_is_led_by_header_goes_home_at_once_where_the_weight_has_to_wait() -> None:
    """Stable has the pods for all that the weight leaves it, whoever asks by header."""
    world, old, _ = led(60)
    began = world.now
    world.person("abort")
    world.turn()
    world.turn()
    written = [w for w in world.since(began) if w.startswith(("Scale", "SetWeight"))]
    assert written == ["SetWeight/HTTPRoute/shop/ 60", f"ScaleReplicaSet/shop-{old} 5"]
    assert not world.routes
    comes_to_rest(world)
    assert (world.pods(old), world.weight) == (5, 0)


@pytest.mark.parametrize("way", ["abort", "delete"])
def test_who_is_led_by_header_waits_for_the_pods_that_take_him(way: str) -> None:
    """How many they are nobody knows: where stable has not even the pods for its share, nobody is sent there.

    Somebody has just asked for twice the pods.
    """
    world = World(1, spec([{"setWeight": 60}, BY_HEADER, WAIT], replicas=5, canary=FOLLOWS))
    world.settle(120)
    world.release("v2")
    world.settle(60, until=("Paused",))
    world.run_for(60)
    old = world.selectors["shop"]
    assert [world.ready(s) for s in world.sets.values() if s.pod_hash == old] == [2]
    world.change_spec(replicas=10)
    world.deleting = way == "delete"
    if way == "abort":
        world.person("abort")
    while world.routes:
        if not world.turn():
            world.advance()
    assert [world.ready(s) >= 4 for s in world.sets.values() if s.pod_hash == old] == [True]
    if way == "abort":
        comes_to_rest(world)
        assert (world.ready(world.sets[f"shop-{old}"]), world.weight) == (10, 0)
