"""Bugs that other operators had with traffic and capacity, each as one test that would find it here.

The ids are those of the reliability contract; each docstring names the public report and says what must hold instead.
What a report says about an option that Headgate has not is tested for the options that there are.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from headgate.decide import types as t
from headgate.decide.journal import running
from tests.simulation.recorded import Recorded, at_every_moment, at_every_step, settled
from tests.simulation.world import CONFIG

pytestmark = pytest.mark.simulation

EVERY_KIND: list[dict[str, Any]] = [
    {"setWeight": 10},
    {"setCanaryScale": {"replicas": 3}},
    {"pause": {}},
    {"setWeight": 50},
    {"gate": {"ref": {"name": "golden"}, "count": 2}},
    {"setCanaryScale": {"matchTrafficWeight": True}},
    {"pause": {"duration": "20s"}},
    {"setWeight": 100},
    {"setCanaryScale": {"weight": 20}},
]
"""A plan with a step of every kind, the full weight included."""
WEIGHTS: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {"duration": "5s"}}, {"setWeight": 60}]


def releasing(steps: list[dict[str, Any]], *, quality: float | None = 100.0, **more: Any) -> Recorded:
    """A world in which the release of v2 is about to begin."""
    world = settled(steps, **more)
    world.acts.clear()
    world.attempts = 0
    world.release("v2", quality=quality)
    return world


def bad_of(world: Recorded) -> str:
    """The pod hash of the revision under way."""
    run = running(world.status)
    assert run is not None
    return run.pod_hash


def stable_of(world: Recorded) -> str:
    """The pod hash of the stable revision."""
    assert world.status.stable is not None
    return world.status.stable.pod_hash


def selectors_set(world: Recorded) -> list[tuple[str, str]]:
    """Service and pod hash of every selector that was written, in order."""
    return [(w.action.name, w.action.pod_hash) for w in world.acts if isinstance(w.action, t.SetSelector)]


# --------------------------------------------------------------------------------------------------------------------
# Abort
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", ["", "paused by a person", "paused by the spec"])
@pytest.mark.parametrize("adopt", [False, True])
def test_b01_an_abort_ends_at_weight_0_in_every_step_and_option_mix(hold: str, *, adopt: bool) -> None:
    """argo-rollouts#4841: whatever pods a step asks for and whatever holds it, an abort brings the weight to 0.

    The options are those that exist: replicas, setCanaryScale in its three forms, delays, background gates, adoption.
    """
    for replicas, (gates, delay) in product((1, 4), ((False, 30), (True, 0))):
        mix = f"{replicas} replicas, gates {gates}, delay {delay}, adopt {adopt}, {hold or 'no hold'}"
        for world in at_every_step(
            lambda n=replicas, g=gates, d=delay: releasing(  # type: ignore[misc]
                EVERY_KIND, replicas=n, gates=g, adopt=adopt, abort_scale_down_delay_seconds=d
            )
        ):
            bad, index = bad_of(world), world.status.current_step_index
            if hold == "paused by a person":
                world.person("pause")
                world.turn()
            elif hold:
                world.change_spec(paused=True)
            world.person("abort")
            began = len(world.acts)
            world.run_for(30)
            weights = [w.action.weight for w in world.acts[began:] if isinstance(w.action, t.SetWeight)]
            assert world.weight == 0, f"weight {world.weight} after an abort in step {index} with {mix}"
            assert world.share(bad) == 0, f"{world.share(bad)}% reach the aborted version, step {index} with {mix}"
            assert weights in ([], [0]), f"the weights after an abort were {weights}, step {index} with {mix}"


def test_b02_after_an_abort_traffic_leaves_before_the_pods_go() -> None:
    """argo-rollouts#4900: weight to 0 first, then the drain delay, then the scale-down; at every moment of a run."""
    for world in at_every_moment(lambda: releasing(EVERY_KIND, abort_scale_down_delay_seconds=0)):
        bad, where = bad_of(world), world.status.message
        exposed = world.share(bad)
        world.person("abort")
        began = len(world.acts)
        world.run_for(40)
        shaping = [w for w in world.acts[began:] if isinstance(w.action, (t.SetWeight, t.SetSelector))]
        rising = [w for w in shaping if w.after[bad] > w.before[bad]]
        assert not rising, f"the aborted version gets more requests: {rising[0]}, aborted at: {where}"
        if exposed:
            # Two, where the stable Service selects it too: at no other order would the first not raise its share.
            assert not shaping[:2][-1].after[bad], f"{exposed}% reach it after {shaping[:2]}, aborted at: {where}"
        left = max((w.at for w in world.acts if w.before.get(bad) and not w.after[bad]), default=-math.inf)
        scaled = [w for w in world.acts[began:] if w.action.key == f"ScaleReplicaSet/shop-{bad}"]
        assert scaled or not any(s.replicas for s in world.sets.values() if s.pod_hash == bad), "the pods stay"
        for write in scaled:
            assert not write.before[bad], f"scaled down with {write.before[bad]}% of the requests: {where}"
            waited = write.at - left
            assert waited >= CONFIG.drain_seconds, f"scaled down {waited:.1f} s after the traffic left: {where}"


def test_b06_after_a_rollback_nothing_refers_to_the_bad_version() -> None:
    """argo-rollouts#1838, #2316, #2576, #2540: no Service, no route and no endpoint, whenever it was aborted."""
    for trouble in (0, 5):
        for world in at_every_moment(lambda: releasing(WEIGHTS)):
            bad, stable, where = bad_of(world), stable_of(world), world.status.message
            world.person("abort")
            refused_until = world.now + trouble
            world.fails = lambda _key, w=world, end=refused_until: w.now < end  # type: ignore[misc]
            world.run_slowly(25)
            assert set(world.selectors.values()) == {stable}, f"selectors {world.selectors}, aborted at: {where}"
            assert not world.weight, f"the route gives the canary {world.weight}%, aborted at: {where}"
            there = {name: world.endpoints(name).get(bad, 0) for name in world.selectors}
            assert not any(there.values()), f"endpoints of the bad version {there}, aborted at: {where}"


def test_b07_selectors_do_not_flip_between_the_stable_and_the_bad_version() -> None:
    """argo-rollouts#3078: after an abort each selector is written at most once, restarts of the operator included."""
    for world in at_every_step(lambda: releasing(EVERY_KIND)):
        stable = stable_of(world)
        world.person("abort")
        began = len(selectors_set(world))
        for _ in range(10):
            world.run_for(60)
            world._crash()
        written = selectors_set(world)[began:]
        assert len(written) == len(dict(written)), f"a selector flips: {written}"
        assert {pod_hash for _, pod_hash in written} <= {stable}, f"a selector leads to the bad version: {written}"


@pytest.mark.parametrize("order", ["abort", "abort, promote", "promote, abort"])
@pytest.mark.parametrize("adopt", [False, True])
def test_b08_an_abort_wins_from_every_state(order: str, *, adopt: bool) -> None:
    """argo-rollouts#4461, #1152: until the promotion is in the journal, also against a promote of that second."""
    for world in at_every_moment(lambda: releasing(EVERY_KIND, adopt=adopt)):
        bad, stable, where = bad_of(world), stable_of(world), world.status.message
        world.people.clear()
        for second, verb in enumerate(order.split(", ")):
            world.person(verb, created_at=world.now + second)
        world.run_for(40)
        assert stable_of(world) == stable, f"{bad} is promoted although it was aborted at: {where}"
        assert world.share(bad) == 0, f"{world.share(bad)}% reach {bad}, aborted at: {where}"
        assert world.status.phase == "Degraded", f"{world.status.phase} after an abort at: {where}"


def test_b08_an_abort_is_heard_while_the_spec_cannot_be_worked_with() -> None:
    """argo-rollouts#1152: a spec that became invalid in mid-run keeps nobody from taking the version back."""
    for world in at_every_moment(lambda: releasing(WEIGHTS)):
        bad, where = bad_of(world), world.status.message
        world.lens = lambda seen: replace(seen, problems=("spec.replicas: too odd",))
        name = world.person("abort")
        world.run_for(40)
        assert world.answered[name][0], f"the abort was refused: {world.answered[name][1]}; aborted at: {where}"
        assert world.share(bad) == 0, f"{world.share(bad)}% reach {bad} after an abort at: {where}"


# --------------------------------------------------------------------------------------------------------------------
# Capacity
# --------------------------------------------------------------------------------------------------------------------


def overloaded(world: Recorded) -> str:
    """Which version has more requests than its ready pods can take; empty if none has."""
    for found in world.sets.values():
        share, ready = world.share(found.pod_hash), world.ready(found)
        if ready < math.ceil(world.spec.replicas * share / 100):
            return f"{share}% of the requests reach {ready} of {world.spec.replicas} pods of {found.pod_hash}"
    return ""


def test_b04_stable_gets_no_more_than_its_pods_can_take() -> None:
    """argo-rollouts#3020, #3077: applying the stable version again, in a run or soon after it, overloads nobody."""
    for world in at_every_moment(lambda: releasing(EVERY_KIND, replicas=10, scale_down_delay_seconds=20)):
        where = world.status.message
        world.release("v1")
        for _ in range(400):
            world.moment()
            assert not overloaded(world), f"{overloaded(world)}; v1 was applied again at: {where}"
            if world.status.phase == "Healthy" and not world._moving():
                break
        assert world.status.phase == "Healthy"
    for kept in (0, 1, 9, 10):
        world = releasing(WEIGHTS, replicas=10, scale_down_delay_seconds=300)
        first = stable_of(world)
        world.settle(200)
        old = next(s for s in world.sets.values() if s.pod_hash == first)
        # Some of the old pods were evicted; their ReplicaSet makes new ones, later.
        old.pods = [*old.pods[:kept], *[world.now + 60] * (10 - kept)]
        world.release("v1")
        for _ in range(400):
            world.moment()
            assert not overloaded(world), f"{overloaded(world)}; {kept} of 10 pods of v1 were left"
            if world.status.phase == "Healthy" and stable_of(world) == first:
                break
        assert stable_of(world) == first


def test_b05_no_weight_without_ready_pods() -> None:
    """argo-rollouts#1190: whatever pods the canary loses, no write raises its share above what is ready."""
    for lost, verb in product((1, 4), ("", "abort")):
        for world in at_every_moment(lambda: releasing(WEIGHTS)):
            bad, where = bad_of(world), world.status.message
            found = next((s for s in world.sets.values() if s.pod_hash == bad), None)
            if found is not None:
                found.pods = [world.now + 40] * min(lost, len(found.pods)) + found.pods[lost:]
            if verb:
                world.person(verb)
            for _ in range(25):
                began = len(world.acts)
                world.moment()
                for write in world.acts[began:]:
                    raised = write.after.get(bad, 0) > write.before.get(bad, 0)
                    ready = next(world.ready(s) for s in world.sets.values() if s.pod_hash == bad) if raised else 0
                    needed = math.ceil(4 * write.after.get(bad, 0) / 100) if raised else 0
                    assert ready >= needed, f"{write.action} with {ready} ready pods; {lost} pods were lost at: {where}"
                    assert not (verb and raised), f"{write.action} raises the share after an {verb} at: {where}"


def test_b05_no_weight_before_the_endpoints_are_there() -> None:
    """argo-rollouts#1190: pods that are ready and that the canary Service does not hold yet carry no weight."""
    for delay in (0.0, 3.0, 12.0):
        world = releasing(WEIGHTS)
        version = world.release("v2")

        def held(w: Recorded = world, v: str = version, d: float = delay) -> int:
            pods = [at for s in w.sets.values() if s.pod_hash == v for at in s.pods]
            return sum(at + d <= w.now for at in pods) if w.selectors["shop-canary"] == v else 0

        world.lens = lambda seen, h=held, v=version: replace(  # type: ignore[misc]
            seen, canary_service=replace(seen.canary_service, ready={v: h()})
        )
        for _ in range(200):
            began, endpoints = len(world.acts), held()
            world.moment()
            for write in world.acts[began:]:
                if isinstance(write.action, t.SetWeight) and write.after[version] > write.before[version]:
                    needed = math.ceil(4 * write.action.weight / 100)
                    assert endpoints >= needed, f"weight {write.action.weight} with {endpoints} endpoints of {needed}"
        assert world.released()


def test_b10_stable_keeps_the_full_load_whatever_the_autoscaler_and_the_canary_do() -> None:
    """argo-rollouts#1415, #2050: no write takes stable below spec.replicas, whatever the canary has."""
    for world in at_every_moment(lambda: releasing(EVERY_KIND)):
        bad, stable, where = bad_of(world), stable_of(world), world.status.message
        for replicas in (10, 1, 7):
            for found in world.sets.values():
                if found.pod_hash == bad:
                    found.pods = []
            world.change_spec(replicas=replicas)
            began = len(world.acts)
            for _ in range(15):
                world.moment()
            if stable_of(world) != stable:
                break
            floor = [w.action for w in world.acts[began:] if w.action.key == f"ScaleReplicaSet/shop-{stable}"]
            low = [a for a in floor if isinstance(a, t.ScaleReplicaSet) and a.replicas < replicas]
            assert not low, f"stable is scaled below {replicas}: {low}, scaled at: {where}"
            kept = next(s.replicas for s in world.sets.values() if s.pod_hash == stable)
            assert kept >= replicas, f"stable has {kept} of {replicas} replicas, scaled at: {where}"


# --------------------------------------------------------------------------------------------------------------------
# Evidence
# --------------------------------------------------------------------------------------------------------------------

SILENCES: dict[str, float | None] = {"no data": None, "NaN": math.nan, "infinity": math.inf}


@pytest.mark.parametrize("silence", [*SILENCES, "errors"])
@pytest.mark.parametrize("policy", ["Hold", "Extend", "Fail"])
def test_b13_a_background_gate_that_cannot_know_promotes_nobody(silence: str, policy: str) -> None:
    """argo-rollouts#3850, #3873: from the first measurement on or from some later one, unknown never passes."""
    for after, tolerant in ((0, False), (0, True), (1, False), (3, False)):
        world = settled([{"setWeight": 20}, {"pause": {"duration": "150s"}}], gates=True)
        limits = {"inconclusive_limit": 1000, "consecutive_error_limit": 1000} if tolerant else {}
        world.gates = {"golden": world.gates["golden"].model_copy(update={"on_unknown": policy, **limits})}
        stable, version = stable_of(world), world.release("v2")
        while after and sum(c.passes for g in world.status.gates for c in g.checks) < after:
            world.moment()
        if silence == "errors":
            world.faults.provider_error = 1.0
        else:
            world.quality[version] = SILENCES[silence]
        world.run_for(400)
        seen = f"{silence} after {after} passes, onUnknown {policy}, {'all' if tolerant else 'none'} tolerated"
        assert stable_of(world) == stable, f"a version that nobody could judge is promoted: {seen}"
        assert world.share(version) <= 20, f"{world.share(version)}% reach it: {seen}"


def test_b24_nan_advances_nothing() -> None:
    """flagger#1098, #1095: NaN, which compares with nothing, ends no gate well and takes no step."""
    for value in (math.nan, math.inf):
        world = settled([{"setWeight": 20}, {"gate": {"ref": {"name": "golden"}, "count": 1}}, {"setWeight": 60}])
        version = world.release("v2", quality=value)
        world.run_for(300)
        gate = next(g for g in world.status.gates if g.step == 1)
        assert world.status.current_step_index == 1, f"a step is taken on the value {value}"
        assert gate.held, f"the gate says {gate.verdict} to the value {value}"
        assert world.share(version) == 20, f"{world.share(version)}% on the value {value}"


# --------------------------------------------------------------------------------------------------------------------
# Going on
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 20.0])
def test_b19_a_conflict_at_any_write_is_got_over(seconds: float) -> None:
    """argo-rollouts#1904, #3080, #3200, #3316: one conflict, or all for a while, and the release ends by itself."""
    clean = releasing(WEIGHTS)
    clean.run_slowly(120)
    assert clean.released()
    for number in range(1, clean.attempts + 1):
        world = releasing(WEIGHTS)
        refused: list[str] = []
        over = [math.inf]

        def conflicts(
            key: str, w: Recorded = world, n: int = number, r: list[str] = refused, o: list[float] = over
        ) -> bool:
            if w.attempts == n:
                r.append(key)
                o[0] = w.now + seconds
            return w.attempts == n or (bool(r) and key == r[0] and w.now < o[0])

        world.fails = conflicts
        world.run_slowly(120 + seconds, until_released=True)
        assert world.released(), f"stuck in {world.status.phase} after a conflict of write {number}, {refused}"
        assert world.status.history[-1].outcome == "Promoted", f"{world.status.message} after a conflict of {refused}"
        world.run_slowly(15)
        world.check_rest()


@pytest.mark.parametrize("policy", ["Supersede", "Queue"])
def test_b19_a_new_revision_at_any_moment_is_released(policy: str) -> None:
    """argo-rollouts#2522, #3272, #3331, #3354: a second change during the first release needs no hand to go on."""
    for world in at_every_moment(lambda: releasing(WEIGHTS, on_new_revision=policy)):
        where = world.status.message
        third = world.release("v3")
        world.run_for(300)
        assert stable_of(world) == third, f"stuck with {world.status.message}; v3 came at: {where}"
        assert world.status.phase == "Healthy"
        ended = [h.outcome for h in world.status.history]
        expected = "Superseded" if policy == "Supersede" else "Promoted"
        assert ended[1:] == [expected, "Promoted"], f"with {policy} the releases ended as {ended}; v3 came at: {where}"
        world.check_rest()


AT_REST = ["Healthy", "Degraded", "Paused", "paused by a person", "InvalidSpec", "contested"]


def resting(state: str) -> Recorded:
    """A world in this state."""
    world = settled([{"setWeight": 20}, {"pause": {}}, {"gate": {"ref": {"name": "golden"}, "count": 1}}])
    if state != "Healthy":
        world.release("v2")
        world.settle(120, until=("Paused",))
    if state == "Degraded":
        world.person("abort")
        world.settle(120)
    elif state == "paused by a person":
        world.person("pause")
    elif state == "InvalidSpec":
        world.lens = lambda seen: replace(seen, problems=("spec.replicas: too odd",))
    elif state == "contested":
        for _ in range(6):
            world.run_for(60)
            world.weight, world.route_version, world.route_written = 90, world.route_version + 1, world.now
    world.run_for(120)
    return world


@pytest.mark.parametrize("state", AT_REST)
def test_b20_nothing_is_done_at_rest(state: str) -> None:
    """argo-rollouts#3064, #2689: in every state of rest ten minutes cost no write, no question and no hot loop."""
    world = resting(state)
    before, asked = len(world.writes), len(world.memory) + len(world.pending)
    decisions = 0
    end = world.now + 600
    while world.now < end:
        world.moment()
        decisions += 1
    assert world.writes[before:] == [], f"written at rest ({state})"
    assert len(world.memory) + len(world.pending) == asked, f"questions are made at rest ({state})"
    assert decisions <= 600 / 20, f"{decisions} decisions in 600 s at rest ({state})"


def test_b20_a_held_gate_asks_and_writes_no_more_than_its_intervals() -> None:
    """argo-rollouts#1118: what goes on measuring does so at its interval, and its evidence is written every 30 s."""
    world = settled([{"setWeight": 20}, {"gate": {"ref": {"name": "golden"}, "count": 1}}])
    world.release("v2", quality=None)
    world.settle(120, until=("Held",))
    world.run_for(60)
    before, asked = len(world.writes), max(c.asked for g in world.status.gates for c in g.checks)
    world.run_for(600)
    written = len(world.writes) - before
    measured = max(c.asked for g in world.status.gates for c in g.checks) - asked
    assert written <= 600 / 30 + 1, f"{written} writes in 600 s of a held gate"
    assert 600 / 5 * 0.8 <= measured <= 600 / 5, f"{measured} measurements in 600 s at an interval of 5 s"


def test_b25_a_promotion_waits_for_no_gate_whose_traffic_is_gone() -> None:
    """flagger#1588: what judges by the canary Service has no data once the promotion moved its traffic to stable."""
    for delay in range(13):
        world = settled([{"setWeight": 50}, {"pause": {"duration": "20s"}}], gates=True)
        version = world.release("v2")
        world.settle(120, until=("Paused",))
        world.gateway_delay = float(delay)
        world.run_for(200)
        assert stable_of(world) == version, f"stuck in {world.status.phase}: {world.status.message}"


def test_b25_a_gate_that_knows_nothing_in_mid_promotion_holds_it_until_it_knows() -> None:
    """flagger#1588: the hold leaves the canary Service the traffic by which the gate can answer again."""
    world = settled([{"setWeight": 50}, {"pause": {"duration": "20s"}}], gates=True)
    version = world.release("v2")
    while world.selectors["shop"] != version:
        world.moment()
    world.quality[version] = None
    world.gateway_delay = 20.0
    world.slice_delay = 12.0
    world.run_for(60)
    assert world.status.phase == "Held", world.status.message
    world.quality[version] = 100.0
    world.run_for(200)
    assert stable_of(world) == version, f"stuck in {world.status.phase}: {world.status.message}"


@pytest.mark.parametrize("adopt", [False, True])
def test_b25_deleting_at_any_moment_leaves_the_route_on_stable(*, adopt: bool) -> None:
    """flagger#1588: in every phase, the promotion included, the finalizer goes after the traffic is on stable."""
    for world in at_every_moment(lambda: releasing(EVERY_KIND, adopt=adopt)):
        bad, stable, where = bad_of(world), stable_of(world), world.status.message
        world.people.clear()
        world.deleting = True
        shares: dict[str, int] = {}
        ready: dict[str, int] = {}
        for _ in range(200):
            shares, ready = world.shares(), {s.pod_hash: world.ready(s) for s in world.sets.values()}
            world.moment()
            if world.gone:
                break
        assert world.gone, f"the finalizer stays; deleted at: {where}"
        assert world.weight == 0, f"the route gives the canary {world.weight}%; deleted at: {where}"
        reached = shares[bad] if ready.get(bad) else 0
        assert not reached, f"{reached}% reach the version that was not promoted; deleted at: {where}"
        assert ready[stable] or world.deployment, f"nobody serves any more; deleted at: {where}"
