"""Pods of the stable version are replaced without a release: in batches, never too many, and never during a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from headgate.api.common import to_time
from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.decide import types as t
from headgate.decide.invariants import Rule, before_write
from tests.simulation.shell.history import History
from tests.simulation.shell.scenario import NAME, NAMESPACE, scenario
from tests.simulation.shell.store import seconds_of
from tests.simulation.world import (
    CONFIG,
    Faults,
    SimReplicaSet,
    World,
    blue_green,
    comes_to_rest,
    ratio,
    spec,
    stays_at_rest,
)

pytestmark = pytest.mark.simulation

STEPS: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {}}]


class Evicting(World):
    """A world whose pods have names and ages, and can be read and evicted."""

    def __init__(self, seed: int, rollout: RolloutSpec, faults: Faults | None = None, *, allowed: bool = True) -> None:
        self.born: dict[tuple[str, float], float] = {}
        self.known: t.PodsView | None = None
        self.reading: tuple[float, str] | None = None
        self.allowed = allowed
        self.refusing = False
        """A PodDisruptionBudget allows nothing now."""
        self.evicted: list[tuple[float, str]] = []
        self.least = 10_000
        """Ready pods at the worst moment since the restart began."""
        self.read = 0
        super().__init__(seed, rollout, faults)

    def snapshot(self) -> t.Snapshot:
        """What the operator sees now; pods that become ready change their ReplicaSet."""
        if self.reading is not None and self.reading[0] <= self.now:
            self.known, self.reading = self._pods(self.reading[1]), None
        seen = super().snapshot()
        sets = tuple(replace(s, resource_version=f"{s.resource_version}.{s.available}") for s in seen.replica_sets)
        config = CONFIG.model_copy(update={"restarts": self.allowed})
        return replace(seen, replica_sets=sets, pods=self.known, config=config)

    def _pods(self, version: str) -> t.PodsView:
        found = self.sets[f"shop-{hash_of(self)}"]
        pods = [
            t.PodView(pod, pod, 0, "", at <= self.now, going=False, created_at=self.born[found.name, at])
            for pod, at in ((name(found, at), at) for at in found.pods)
        ]
        self.random.shuffle(pods)
        self.read += 1
        return t.PodsView(version, tuple(pods))

    def look_up(self, reads: tuple[t.ReadQuestion, ...]) -> None:
        """Pods are read a little later than they are asked for."""
        for read in reads:
            if read.kind is t.ReadKind.WORKLOAD_PODS and (self.reading is None or self.reading[1] != read.target):
                self.reading = (self.now + self.random.uniform(0.01, 0.3), read.target)

    def moments(self) -> list[float]:
        """The end of a read, too."""
        return [*super().moments(), *([self.reading[0]] if self.reading is not None else [])]

    def forget_more(self) -> None:
        """What was read goes with the process."""
        self.known, self.reading = None, None

    def _scale(self, found: SimReplicaSet, replicas: int) -> None:
        super()._scale(found, replicas)
        for at in found.pods:
            self.born.setdefault((found.name, at), self.now)

    def _act(self, action: t.Action, status: RolloutStatus) -> None:
        if isinstance(action, t.EvictPod):
            self.forget_more()
            if self.refusing:
                self._note_outcome(action, t.OutcomeKind.REFUSED, "TooManyRequests")
                return
        super()._act(action, status)

    def _apply(self, action: t.Action) -> None:
        if not isinstance(action, t.EvictPod):
            super()._apply(action)
            return
        for found in self.sets.values():
            gone = [at for at in found.pods if name(found, at) == action.name]
            if gone:
                found.pods.remove(gone[0])
                self.evicted.append((self.now, action.name))
                self.least = min(self.least, self.ready(found))
                self._scale(found, found.replicas)


def name(found: SimReplicaSet, at: float) -> str:
    """A pod's name: when it is ready tells it from all others."""
    return f"{found.name}-{at:.6f}"


def settled(rollout: RolloutSpec, **more: Any) -> Evicting:
    """A world whose first revision is stable."""
    world = Evicting(1, rollout, **more)
    world.settle(200)
    assert world.status.phase == "Healthy"
    return world


def restart(world: World, after: float = 0.0) -> str:
    """Ask for it, at this many seconds from now."""
    at = to_time(world.now + after)
    world.change_spec(restart_at=at)
    return at


def hash_of(world: World) -> str:
    """The pod hash of the stable version."""
    return world.status.stable.pod_hash if world.status.stable else ""


def ages(world: Evicting) -> list[float]:
    """When the stable version's pods were made, since now."""
    found = world.sets[f"shop-{hash_of(world)}"]
    return [world.born[found.name, at] for at in found.pods]


KINDS: Mapping[str, tuple[RolloutSpec, int]] = {
    "router": (spec(STEPS, replicas=6), 5),
    "blue-green": (blue_green(replicas=6), 5),
    "ratio": (ratio(STEPS, replicas=6, canary={"maxUnavailable": 3, "maxSurge": 0}), 3),
    "ratio that may miss nothing": (ratio(STEPS, replicas=6, canary={"maxUnavailable": 0, "maxSurge": 1}), 5),
    "one pod": (spec(STEPS, replicas=1), 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_pod_is_replaced_and_enough_are_left(kind: str) -> None:
    """As many serve as may be missing otherwise, and it is the same revision before and after."""
    rollout, least = KINDS[kind]
    world = settled(rollout)
    world.run_for(60)
    before, stable = len(world.writes), world.status.stable
    at = restart(world)
    began = world.now
    world.run_for(300)
    assert len(world.evicted) == rollout.replicas
    assert world.least == least, f"{world.least} of {rollout.replicas} pods were left to serve"
    assert all(born >= began for born in ages(world))
    assert (world.status.restarted_at, world.status.stable, world.status.phase) == (at, stable, "Healthy")
    assert {w.partition("/")[0] for w in world.writes[before:]} == {"status", "EvictPod"}
    stays_at_rest(world)
    read = world.read
    world.run_for(600)
    assert world.read == read, "pods are read although nothing is asked for"


def test_nothing_is_evicted_while_a_release_is_under_way() -> None:
    """What is stable after it is younger than the time: nothing is left to do."""
    world = settled(spec(STEPS))
    world.run_for(60)
    world.release("v2")
    world.run_for(60)
    at = restart(world)
    world.run_for(300)
    assert (world.evicted, world.status.restarted_at) == ([], None)
    world.person("abort")
    comes_to_rest(world)
    world.run_for(300)
    assert len(world.evicted) == 4
    assert (world.status.restarted_at, world.status.phase) == (at, "Degraded")
    assert "was taken back" in world.status.message


def test_a_person_restarts_without_the_spec() -> None:
    """What is stable stays so; the journal says who asked, and a time of the spec that was done is not done again."""
    world = settled(spec(STEPS))
    world.run_for(60)
    at = restart(world)
    world.run_for(300)
    assert (len(world.evicted), world.status.restarted_at) == (4, at)
    world.person("restart")
    asked = to_time(world.now)
    world.run_for(300)
    assert world.status.restart is not None
    assert (world.status.restart.by, world.status.restart.at) == ("ann", asked)
    assert (len(world.evicted), world.status.restarted_at, world.status.phase) == (8, asked, "Healthy")
    assert world.least == 3
    stays_at_rest(world)


@pytest.mark.parametrize("how", ["by a person", "by the spec"])
def test_it_says_at_once_that_pods_are_replaced(how: str) -> None:
    """Whoever looks after asking sees that it goes on; where that takes its time, how many are left, too."""
    world = settled(spec(STEPS))
    world.run_for(60)
    world.refusing = True
    if how == "by the spec":
        at = restart(world, -1)
    else:
        at = to_time(world.now - 1)
        world.person("restart", created_at=world.now - 1)
    doing = f"revision {hash_of(world)} is stable: replacing pods from before {at}"
    world.run_for(5)
    assert world.status.message == doing
    world.run_for(40)
    assert world.status.message == f"{doing}, 4 left"
    world.refusing = False
    world.run_for(400)
    assert world.status.message == f"revision {hash_of(world)} is stable"


def test_a_person_does_not_wait_for_a_time_of_the_spec_that_is_to_come() -> None:
    """And that is done when it comes."""
    world = settled(spec(STEPS))
    world.run_for(60)
    at = restart(world, 600)
    world.person("restart")
    world.run_for(300)
    assert len(world.evicted) == 4
    world.run_for(600)
    assert (len(world.evicted), world.status.restarted_at) == (8, at)


def test_a_restart_is_refused_where_it_cannot_be() -> None:
    """In mid-release, and where the admin has not allowed it; nothing of it is remembered."""
    world = settled(spec(STEPS), allowed=False)
    world.person("restart")
    world.run_for(30)
    assert world.answered["restart-0"] == (
        False,
        "this operator is not set up to evict pods; let an admin set restarts in its configuration",
    )
    world = settled(spec(STEPS))
    world.release("v2")
    world.run_for(60)
    world.person("restart")
    world.run_for(60)
    assert not world.answered["restart-0"][0]
    assert (world.evicted, world.status.restart) == ([], None)


def test_a_time_to_come_is_waited_for() -> None:
    """And no pod is read before it."""
    world = settled(spec(STEPS))
    restart(world, 500)
    world.run_for(480)
    assert (world.evicted, world.read) == ([], 0)
    world.run_for(120)
    assert len(world.evicted) == 4


def test_a_pause_of_the_spec_holds_it() -> None:
    """The rest follows when the pause is over."""
    world = settled(spec(STEPS))
    world.run_for(60)
    restart(world)
    world.change_spec(paused=True)
    world.run_for(120)
    assert world.evicted == []
    world.change_spec(paused=False)
    world.run_for(200)
    assert len(world.evicted) == 4


def test_a_budget_that_refuses_is_asked_again() -> None:
    """Nothing else is held up by it, and a person is told."""
    world = settled(spec(STEPS))
    world.run_for(60)
    restart(world)
    world.refusing = True
    world.run_for(120)
    assert (world.evicted, world.status.restarted_at) == ([], None)
    world.refusing = False
    world.run_for(400)
    assert len(world.evicted) == 4


def test_it_is_the_admins_to_allow() -> None:
    """Without it nothing is evicted or read, the Rollout says so, and once it is withdrawn all is well."""
    world = settled(spec(STEPS), allowed=False)
    world.run_for(60)
    restart(world)
    world.run_for(60)
    ready = next(c for c in world.status.conditions if c.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "RestartsDisabled")
    assert "set restarts in the operator's configuration" in ready.message
    assert (world.evicted, world.read) == ([], 0)
    world.change_spec(restart_at=None)
    world.run_for(60)
    assert next(c for c in world.status.conditions if c.type == "Ready").status == "True"


@pytest.mark.parametrize("seed", range(8))
def test_faults_replace_no_pod_twice_and_leave_none(seed: int) -> None:
    """Conflicts, lost answers and crashes at any write."""
    faults = Faults(conflict=0.1, lost_applied=0.1, lost_unapplied=0.1, crash=0.1)
    world = Evicting(seed, spec(STEPS, replicas=5), faults)
    world.settle(300)
    world.run_for(60)
    at = restart(world)
    world.run_for(900)
    assert world.status.restarted_at == at
    assert len(world.evicted) == 5
    assert world.least >= 4


def test_an_eviction_in_a_release_or_a_pause_is_a_breach() -> None:
    """The write is looked at once more before it is sent."""
    world = settled(spec(STEPS))
    world.release("v2")
    world.run_for(60)
    evict = t.EvictPod("shop-x", "x")

    def broken(truth: Any) -> set[Rule]:
        return {b.rule for b in before_write(truth, evict, world.status, None, stands=True)}

    assert broken(world.truth()) == {Rule.STABLE_FLOOR}
    assert broken(replace(world.truth(), paused=True)) == {Rule.STABLE_FLOOR, Rule.PAUSE_HOLDS}


class Restarted(History):
    """The whole operator on a server in memory, with no fault: the pods are to be replaced once they serve."""

    async def _happen(self) -> None:
        self._around = replace(self._around, config=self._around.config.model_copy(update={"restarts": True}))
        self.oracle.written |= {"Pod"}
        self.people.deploy()
        self.start(1)
        await self.wait(90)
        self.before = self.pods()
        self.at = seconds_of(self.loop.wall())

        def ask(rollout: dict[str, Any]) -> None:
            rollout["spec"]["restartAt"] = self.at
            rollout["metadata"]["generation"] += 1

        self.cluster.store.change("Rollout", NAMESPACE, NAME, ask, actor="alice")
        await self.wait(120)

    def pods(self) -> set[str]:
        """Those that are not on their way out."""
        found = self.cluster.store.all("Pod", NAMESPACE)
        return {p["metadata"]["name"] for p in found if not p["metadata"].get("deletionTimestamp")}


def test_the_whole_operator_reads_the_pods_and_evicts_them() -> None:
    """The pods are found by their labels and told apart by their age, and their number stays what it was."""
    plain = replace(scenario(100), events=(), strength=0.0, blue_green=None, config=None, background=False)
    history = Restarted(replace(plain, replicas=3))
    outcome = history.run()
    assert outcome.problem == ""
    assert history.before
    after = history.pods()
    assert len(after) == len(history.before)
    assert not after & history.before
    assert history.status().get("restartedAt") == history.at
