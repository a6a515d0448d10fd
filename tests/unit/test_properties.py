"""What holds for everything that could come in: ranges of numbers, the order of lists, odd clocks, and reasons."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.api.common import seconds, to_epoch
from headgate.api.rollout import RolloutStatus
from headgate.decide import types as t
from headgate.decide.canary import allowance
from headgate.decide.journal import running
from headgate.decide.rollout import decide
from headgate.engine.clock import ServerClock
from tests.simulation.recorded import Recorded, settled

pytestmark = pytest.mark.unit

PATIENT = settings(max_examples=25, deadline=None, derandomize=True)
"""Always the same examples: what chance finds is for a campaign, not for who tests something else."""
X = TypeVar("X")
WEIGHT = st.sampled_from([0, 1, 5, 33, 50, 99, 100])
PODS = st.sampled_from([0, 1, 2, 9_999, 10_000])
STEP = st.one_of(
    WEIGHT.map(lambda w: {"setWeight": w}),
    PODS.map(lambda n: {"setCanaryScale": {"replicas": n}}),
    WEIGHT.map(lambda w: {"setCanaryScale": {"weight": w}}),
    st.just({"setCanaryScale": {"matchTrafficWeight": True}}),
    st.integers(0, 20).map(lambda n: {"pause": {"duration": f"{n}s"}}),
    st.integers(1, 3).map(lambda n: {"gate": {"ref": {"name": "golden"}, "count": n}}),
)
STEPS = st.lists(STEP, min_size=1, max_size=6)


def wandering(steps: list[dict[str, Any]], seed: int, *, gates: bool = False) -> Recorded:
    """A release of which so much has happened as the seed says, with people and odd answers on the way."""
    chance = random.Random(seed)
    world = settled([{"setWeight": 10}, *steps], replicas=chance.choice([1, 3, 10]), gates=gates)
    world.release("v2", quality=chance.choice([100.0, 60.0, None]))
    for _ in range(chance.randint(0, 60)):
        if chance.random() < 0.1:
            verb = chance.choice(["pause", "resume", "abort", "promote", "retry", "undo", "override"])
            world.person(verb, created_at=world.now)
        world.moment()
    return world


# --------------------------------------------------------------------------------------------------------------------
# 1: numbers
# --------------------------------------------------------------------------------------------------------------------


@PATIENT
@given(steps=STEPS, replicas=PODS, have=PODS, weight=st.integers(0, 100), index=st.integers(0, 8), ready=PODS)
def test_every_number_that_is_written_is_in_its_range(
    steps: list[dict[str, Any]], replicas: int, have: int, weight: int, index: int, ready: int
) -> None:
    """Weights are 0 to 100, pods 0 to what the spec can ask for, whatever is found there (invariant 1, B16)."""
    world = settled([{"setWeight": 10}, *steps])
    version = world.release("v2")
    while version not in {s.pod_hash for s in world.sets.values()}:
        world.moment()
    world.status = world.status.model_copy(update={"current_step_index": min(index, len(steps) + 1)})
    world.spec = world.spec.model_copy(update={"replicas": replicas})
    seen = world.snapshot()
    sets = tuple(replace(r, replicas=have, ready=ready, available=ready, pods=ready) for r in seen.replica_sets)
    routes = tuple(replace(r, weight=weight) for r in seen.routes)
    decision = decide(replace(seen, replica_sets=sets, routes=routes), world.now)
    plan = next(p.plan for p in seen.plans if p.pod_hash == version)
    most = max(replicas, *(allowance(plan.steps, i, replicas).replicas for i in range(len(plan.steps))))
    for action in [decision.action] if decision.action else []:
        if isinstance(action, t.SetWeight):
            assert 0 <= action.weight <= 100, f"weight {action.weight}"
        if isinstance(action, (t.ScaleReplicaSet, t.CreateReplicaSet)):
            assert 0 <= action.replicas <= most, f"{action.replicas} pods where at most {most} can be asked for"
    assert 0 <= decision.status.weights.desired <= 100
    assert RolloutStatus.model_validate_json(decision.status.model_dump_json()) == decision.status


# --------------------------------------------------------------------------------------------------------------------
# 31: order
# --------------------------------------------------------------------------------------------------------------------


def shuffled(found: tuple[X, ...], chance: random.Random) -> tuple[X, ...]:
    """The same things in another order."""
    return tuple(chance.sample(found, len(found)))


def turned(found: Mapping[str, X], chance: random.Random) -> dict[str, X]:
    """The same mapping, filled in another order."""
    return {k: found[k] for k in chance.sample(sorted(found), len(found))}


@PATIENT
@given(steps=STEPS, seed=st.integers(0, 10_000), gates=st.booleans())
def test_the_order_in_which_things_are_found_decides_nothing(
    steps: list[dict[str, Any]], seed: int, *, gates: bool
) -> None:
    """Lists and mappings in any order give the same decision, and the same one again (invariant 31, B20).

    The routes are not meant: their order is the spec's own.
    """
    world = wandering(steps, seed, gates=gates)
    for number in range(2):
        world.person(("abort", "promote")[number], created_at=world.now)
    seen = world.snapshot()
    other = next(iter(seen.replica_sets))
    routes = (*seen.routes, *(replace(r, name="shop-2", weight=r.weight // 2) for r in seen.routes))
    sets = (*seen.replica_sets, *(replace(other, name=f"old-{n}", uid=f"o{n}", pod_hash=f"h{n}") for n in range(3)))
    seen = replace(seen, routes=routes, replica_sets=sets)
    decision = decide(seen, world.now)
    chance = random.Random(seed)
    for _ in range(5):
        again = replace(
            seen,
            replica_sets=shuffled(seen.replica_sets, chance),
            plans=shuffled(seen.plans, chance),
            actions=shuffled(seen.actions, chance),
            answers=shuffled(seen.answers, chance),
            gates=turned(seen.gates, chance),
            selector=turned(seen.selector, chance),
            stable_service=replace(seen.stable_service, ready=turned(seen.stable_service.ready, chance)),
            canary_service=replace(seen.canary_service, ready=turned(seen.canary_service.ready, chance)),
        )
        found = decide(again, world.now)
        assert found.status == decision.status, "the journal depends on an order"
        assert found.action == decision.action, "the write depends on an order"
        assert set(found.questions) == set(decision.questions), "the questions depend on an order"


# --------------------------------------------------------------------------------------------------------------------
# 33: reasons
# --------------------------------------------------------------------------------------------------------------------

ODDITIES: dict[str, dict[str, Any]] = {
    "nothing odd": {},
    "an unreadable spec": {"problems": ("spec.replicas: too odd",)},
    "a contender": {"contenders": ('Service "shop" is claimed by Rollout "old"',)},
    "a missing kind": {"missing_kinds": ("HTTPRoute",)},
    "no gates": {"gates": {}},
    "a broken gate": {"gates": {}, "broken_gates": {"golden": "spec.checks: is empty"}},
    "no stable Service": {"stable_service": t.ServiceView("shop", found=False)},
    "no canary Service": {"canary_service": t.ServiceView("shop-canary", found=False)},
    "no route": {"routes": ()},
    "no template": {"template": None, "revision": ""},
    "no pods": {"replica_sets": ()},
    "no records": {"plans": ()},
    "a refused write": {
        "outcome": t.Outcome("SetWeight/HTTPRoute/shop/", t.OutcomeKind.REFUSED, "Forbidden", "no", count=9)
    },
}


@PATIENT
@given(steps=STEPS, seed=st.integers(0, 10_000), odd=st.sampled_from(sorted(ODDITIES)))
def test_every_state_says_why_it_is_so(steps: list[dict[str, Any]], seed: int, odd: str) -> None:
    """Whatever is wrong, each condition has a reason in CamelCase and a message, and so has the phase (rule 33)."""
    world = wandering(steps, seed)
    decision = decide(replace(world.snapshot(), **ODDITIES[odd]), world.now)
    assert decision.status.message, f"{decision.status.phase} says nothing with {odd}"
    assert decision.status.conditions, f"no condition with {odd}"
    for condition in decision.status.conditions:
        said = f"{condition.type}={condition.status} with {odd}"
        assert re.fullmatch(r"[A-Z][A-Za-z]+", condition.reason), f'{said} has the reason "{condition.reason}"'
        assert condition.message, f"{said} has no message"
    kinds = {c.type: c for c in decision.status.conditions}
    if decision.status.phase == "Held" or ODDITIES[odd].get("problems"):
        assert kinds["Stalled"].status == "True" or "Ready" in kinds, f"held by {odd} and nobody is told"
    if ODDITIES[odd].get("problems") or ODDITIES[odd].get("contenders") or ODDITIES[odd].get("missing_kinds"):
        assert kinds["Ready"].status == "False", f"ready with {odd}"
        assert kinds["Stalled"].status == "True", f"nobody is told of {odd}"


# --------------------------------------------------------------------------------------------------------------------
# 12: time
# --------------------------------------------------------------------------------------------------------------------

MOMENT = st.tuples(
    st.sampled_from(["tick", "tick", "tick", "restart", "one strange date", "set back"]), st.floats(0.1, 20.0)
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(length=st.integers(1, 90), moments=st.lists(MOMENT, min_size=1, max_size=60))
def test_a_pause_lasts_at_least_its_length_whatever_the_clocks_do(
    length: int, moments: list[tuple[str, float]]
) -> None:
    """Restarts, a wrong date of one answer and a server clock that is set back end no pause early (invariant 12)."""
    world = settled([{"setWeight": 10}, {"pause": {"duration": f"{length}s"}}, {"setWeight": 50}])
    world.release("v2")
    clock = Clock(world.now)
    while world.status.current_step_index == 0:
        world.moment()
    clock.true = world.now
    clock.answered()
    began = clock.true
    for what, amount in moments:
        clock.happens(what, amount)
        world.now = max(clock.now(), to_epoch(world.status.step_started_at or ""))
        decision = decide(world.snapshot(), world.now)
        passed = clock.true - began
        over = decision.status.current_step_index > 1
        assert not over or passed >= seconds(f"{length}s") - Clock.DOUBT, (
            f"a pause of {length} s was over after {passed:.2f} s; last came: {what}"
        )
        if over:
            return
    assert running(world.status)


class Clock:
    """The true time, the server's that may be set back, and what a process makes of the dates that it hears."""

    DOUBT = 1.05
    """A date has whole seconds, so what is made of one is off by one at most; many narrow it."""

    def __init__(self, true: float) -> None:
        self.true = true
        self.behind = 0.0
        self.process = self._fresh()

    def _fresh(self) -> ServerClock:
        # The monotonic clock of another machine begins anywhere; the wall clock of this one is wrong by a day.
        found = ServerClock(monotonic=lambda: self.true - 1e9, wall=lambda: self.true - 86_400)
        self.process = found
        self.answered()
        return found

    def answered(self, ahead: float = 0.0) -> float:
        """An answer of the server comes at once, with a date in whole seconds."""
        mono = self.true - 1e9
        self.process.observe(float(int(self.true - self.behind + ahead)), mono, mono)
        return self.process.now()

    def happens(self, what: str, amount: float) -> None:
        """One thing, and a heartbeat of the Lease after it."""
        if what == "tick":
            self.true += amount
        elif what == "restart":
            self.process = self._fresh()
        elif what == "one strange date":
            self.answered(ahead=amount * 1000)
        else:
            self.behind += amount
        self.answered()

    def now(self) -> float:
        """What the process takes for the server's time."""
        return self.process.now()
