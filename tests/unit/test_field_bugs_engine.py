"""Bugs that other operators had with leaders, journals, conflicts and silence, each as one test of the engine.

The ids are those of the reliability contract; each docstring names the public report and says what must hold instead.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from headgate.act.kube import Kube
from headgate.act.transport import Request, Response
from headgate.api.config import OperatorConfig
from headgate.decide.types import Decision, SetSelector, Snapshot
from headgate.engine.heartbeat import Heartbeats
from headgate.engine.lease import Elector
from headgate.engine.ledger import LOOK_EVERY
from headgate.engine.operator import Operator
from headgate.engine.options import Options
from headgate.engine.queue import Key
from headgate.engine.worker import Worker
from headgate.traffic.registry import ROUTERS
from tests.unit.engine_world import KEY, ROLLOUT, STABLE, World, rollout, service
from tests.unit.fake_api import FakeAPI

T0 = 1_800_000_000.0


# --------------------------------------------------------------------------------------------------------------------
# Who may write
# --------------------------------------------------------------------------------------------------------------------


class Suspended:
    """The way of one replica to the server, which can be stopped in the middle: what it sends arrives later."""

    def __init__(self, api: FakeAPI) -> None:
        self.api = api
        self.until = 0.0

    async def send(self, request: Request) -> Response:
        """Wait while suspended, then send."""
        await asyncio.sleep(max(0.0, self.until - asyncio.get_running_loop().time()))
        return await self.api.send(request)

    async def close(self) -> None:
        """Nothing to close."""


@pytest.mark.looptime
@pytest.mark.parametrize("pause", [0.5, 2.0, 4.9, 5.0, 6.0, 7.5, 30.0])
@pytest.mark.parametrize("after", [0.0, 0.7, 1.9])
async def test_b18_two_replicas_never_both_may_write(pause: float, after: float) -> None:
    """argo-rollouts#2291: whichever is stopped, for how long and when, at no moment do both think that they lead."""
    api, loop = FakeAPI(), asyncio.get_running_loop()
    ways = [Suspended(api), Suspended(api)]
    electors = [
        Elector(
            Kube(way),
            namespace="system",
            name="headgate",
            identity=f"replica-{n}",
            now=lambda: T0 + loop.time(),
            monotonic=loop.time,
        )
        for n, way in enumerate(ways)
    ]
    tasks = [asyncio.create_task(elector.run()) for elector in electors]
    led = set()
    for moment in range(1200):
        await asyncio.sleep(0.1)
        if moment % 300 == 150 + int(after * 10):
            leader = next((n for n, e in enumerate(electors) if e.leading), 0)
            ways[leader].until = loop.time() + pause
        who = [n for n, elector in enumerate(electors) if elector.may_write()]
        assert len(who) <= 1, f"both replicas may write at {loop.time():.1f} s, one was stopped for {pause} s"
        led.update(who)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert led == {0, 1} or pause < 6, "the second replica never took over"


@pytest.mark.looptime
async def test_b18_what_an_old_leader_sends_late_changes_nothing() -> None:
    """argo-rollouts#2291: a write that was decided before the Lease was lost changes nothing of the new leader's."""
    world = prepared()
    way = Suspended(world.api)
    world.kube._transport = way
    pointing(world, "old")
    world.ledger.of(KEY).journal_known = True
    way.until = asyncio.get_running_loop().time() + 10
    late = asyncio.create_task(world.pass_over())
    await asyncio.sleep(5)
    world.api.put(STABLE, world.api.objects[STABLE] | service({"headgate.dev/revision": "new"}))
    await late
    found = world.api.objects[STABLE]["spec"]["selector"]["headgate.dev/revision"]
    assert found == "new", f"the late write of the old leader was taken: {found}"


@pytest.mark.looptime
@pytest.mark.parametrize("write", [True, False])
async def test_b18_nothing_is_sent_once_the_lease_is_lost(*, write: bool) -> None:
    """argo-rollouts#2291: what was decided while the Lease was held is not sent after it is lost."""
    world = prepared()
    world.ledger.of(KEY).journal_known = True

    def wanted(snapshot: Snapshot, _now: float) -> Decision:
        world.may_write = False
        found = snapshot.stable_service
        action = SetSelector(found.name, found.resource_version, "abc", exposure="raise")
        return Decision(snapshot.status.model_copy(update={"decision": 1}), write=write, action=action)

    world.decide = wanted
    await world.pass_over()
    assert world.api.written() == [], f"sent without the Lease: {world.api.written()}"


def prepared() -> World:
    """A Rollout and its Service, known to the server and to the operator."""
    world = World()
    world.put("Service", STABLE, service())
    world.put("Rollout", ROLLOUT, rollout())
    return world


def pointing(world: World, pod_hash: str) -> None:
    """Let each decision want to point the stable Service there, without a change of the journal."""

    def wanted(snapshot: Snapshot, _now: float) -> Decision:
        found = snapshot.stable_service
        action = SetSelector(found.name, found.resource_version, pod_hash, exposure="raise")
        done = found.selector.get("headgate.dev/revision") == pod_hash or snapshot.status.phase == "Degraded"
        return Decision(snapshot.status, write=False, action=None if done else action)

    world.decide = wanted


@pytest.mark.looptime
async def test_b30_a_new_leader_acts_on_no_older_journal_than_the_stored_one() -> None:
    """kargo#6029, #6559: what was taken back meanwhile is not exposed again by one who has not heard of it yet."""
    world = prepared()
    stored = world.api.objects[ROLLOUT]
    world.api.put(ROLLOUT, stored | {"status": {"phase": "Degraded"}})  # No watch has told of it yet.
    pointing(world, "bad")
    for _ in range(3):
        world.queue.add(KEY)
        await world.pass_over()
    selector = world.api.objects[STABLE]["spec"]["selector"]
    assert "headgate.dev/revision" not in selector, f"it acted on a journal that was out of date: {selector}"
    assert world.snapshots[-1].status.phase == "Degraded", "the stored journal was never read"


@pytest.mark.looptime
async def test_b30_an_older_event_brings_no_older_journal_back() -> None:
    """kargo#6559: a watch event that is older than the answer of the operator's own write is not decided on."""
    world = prepared()
    old = world.api.objects[ROLLOUT]
    world.decide = lambda s, _now: Decision(
        s.status.model_copy(update={"current_step_index": 1, "decision": 1}), write=not s.status.current_step_index
    )
    await world.pass_over()
    world.intake.event("Rollout", "MODIFIED", old)
    world.queue.add(KEY)
    await world.pass_over()
    steps = [s.status.current_step_index for s in world.snapshots]
    assert steps == [0, 1], f"the steps that were decided on: {steps}"
    assert len(world.api.written()) == 1, "a step was taken twice"


@pytest.mark.looptime
async def test_b30_a_journal_is_not_written_over_a_newer_one() -> None:
    """kargo#6559: a decision on a journal that somebody has written over since is refused, and taken anew."""
    world = prepared()
    world.api.put(ROLLOUT, world.api.objects[ROLLOUT] | {"status": {"phase": "Degraded"}})
    world.decide = lambda s, _now: Decision(
        s.status.model_copy(update={"phase": "Progressing"}), write=s.status.phase == "Pending"
    )
    await world.pass_over()
    phase = world.api.objects[ROLLOUT]["status"]["phase"]
    assert phase == "Degraded", f"the stored journal was written over: it says {phase}"
    await world.pass_over()
    assert world.snapshots[-1].status.phase == "Degraded"


@pytest.mark.looptime
async def test_b30_nothing_follows_a_journal_whose_rollout_is_gone() -> None:
    """kargo#6559: a 404 on the status is no journal that stands; nothing is raised on it."""
    world = prepared()
    del world.api.objects[ROLLOUT]

    def wanted(snapshot: Snapshot, _now: float) -> Decision:
        found = snapshot.stable_service
        action = SetSelector(found.name, found.resource_version, "abc", exposure="raise")
        return Decision(snapshot.status.model_copy(update={"decision": 1}), write=True, action=action)

    world.decide = wanted
    await world.pass_over()
    sent = world.api.written("services")
    assert sent == [], f"it acted without a journal: {sent}"


# --------------------------------------------------------------------------------------------------------------------
# Conflicts
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.looptime
@pytest.mark.parametrize("where", ["the Service", "the status"])
async def test_b19_after_a_conflict_the_next_try_is_a_fresh_one_and_soon(where: str) -> None:
    """argo-rollouts#1904, #3080: what somebody else wrote is read once, and the write succeeds within a second."""
    world = prepared()

    def wanted(snapshot: Snapshot, _now: float) -> Decision:
        found = snapshot.stable_service
        done = found.selector.get("headgate.dev/revision") == "abc"
        status = snapshot.status.model_copy(update={"decision": 1})
        action = None if done else SetSelector(found.name, found.resource_version, "abc", exposure="raise")
        return Decision(status, write=not snapshot.status.decision, action=action)

    world.decide = wanted
    if where == "the Service":
        # The journal stands already, so that nothing but the conflict brings the key back.
        world.put("Rollout", ROLLOUT, world.api.objects[ROLLOUT] | {"status": {"decision": 1}})
        world.ledger.of(KEY).journal_known = True
    path = STABLE if where == "the Service" else ROLLOUT
    changed = world.api.objects[path]
    world.api.put(path, changed | {"metadata": changed["metadata"] | {"labels": {"somebody": "was here"}}})
    began = asyncio.get_running_loop().time()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            for _ in range(2):
                await world.pass_over()
    took = asyncio.get_running_loop().time() - began
    found = world.api.objects[STABLE]["spec"]["selector"].get("headgate.dev/revision")
    assert found == "abc", f"two tries after a conflict of {where} the write is not done"
    assert took < 1, f"the next try comes {took:.0f} s after a conflict of {where}"


# --------------------------------------------------------------------------------------------------------------------
# Nobody looks
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_b31_health_fails_when_nobody_looks_at_a_release() -> None:
    """kargo#6790: a key that was lost from the queue does not leave a healthy process behind."""
    world = prepared()
    world.decide = lambda s, _now: Decision(s.status.model_copy(update={"phase": "Progressing"}), write=False)
    await world.pass_over()
    began = asyncio.get_running_loop().time()
    for _ in range(4):
        await world.pass_over()
        assert not world.ledger.neglected()
    between = (asyncio.get_running_loop().time() - began) / 4
    assert between <= LOOK_EVERY, f"{between:.0f} s pass between two looks at a release of which nothing is heard"
    world.queue.drop(KEY)  # The fault: nothing brings the key back.
    await asyncio.sleep(3 * LOOK_EVERY + 1)
    problem = world.ledger.neglected()
    assert "shop/checkout was not looked at" in problem, "health is content although nobody looks at a release"


async def test_b31_the_health_page_tells_of_a_release_that_nobody_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """kargo#6790: what the ledger finds is a problem of a leader's health, and none of a replica that stands by."""
    options = Options(OperatorConfig(), None, None, "info", "json", 0, "headgate", "system", "one")
    operator = Operator(options, FakeAPI(), ROUTERS, {})
    entry = operator.ledger.of(KEY)
    entry.active, entry.at = True, operator.ledger._monotonic() - 3 * LOOK_EVERY - 5
    assert operator.heartbeats.problems() == []
    monkeypatch.setattr(operator.elector, "_leading", True)
    assert "shop/checkout was not looked at" in " ".join(operator.heartbeats.problems()), "health is content"


@pytest.mark.looptime
async def test_b31_health_fails_when_a_worker_hangs() -> None:
    """kargo#6790: an evaluation that never ends is told by the heartbeats; one poison object is not."""
    world, beats = prepared(), Heartbeats(monotonic=asyncio.get_running_loop().time)

    async def hang(key: Key) -> None:
        assert key == KEY
        await asyncio.sleep(3600)

    world.cycle.evaluate = hang  # type: ignore[method-assign]
    worker = Worker(0, world.queue, world.cycle, world.ledger, beats, now=world.now)
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(30)
    assert not beats.problems()
    await asyncio.sleep(60)
    assert beats.problems(), "health is content although the only worker hangs"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
