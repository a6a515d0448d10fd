"""One cycle: what is written in which order, and what follows from each outcome."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import weakref
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from headgate.act.errors import Timeout
from headgate.api.rollout import Canary
from headgate.decide.invariants import guard
from headgate.decide.mover import selected
from headgate.decide.types import (
    Action,
    Decision,
    DeleteReplicaSet,
    EventNote,
    OutcomeKind,
    Plan,
    RouteView,
    ScaleReplicaSet,
    SetFinalizer,
    SetSelector,
    Snapshot,
)
from headgate.engine.heartbeat import Heartbeats
from headgate.engine.worker import Worker
from headgate.observe.reading import Unreadable
from headgate.observe.snapshot import Known
from headgate.traffic.gateway_api import GatewayAPIRouter
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS
from tests.unit.engine_world import KEY, ROLLOUT, ROUTE, STABLE, World, rollout, service
from tests.unit.fake_api import Object, unserved

pytestmark = pytest.mark.looptime

STATUS = ("PATCH", f"{ROLLOUT}/status")
SELECTOR = ("PATCH", STABLE)
CANARY = f"{STABLE}-canary"
RECORDS = "/apis/apps/v1/namespaces/shop/controllerrevisions"


def point(snapshot: Snapshot, exposure: str = "raise") -> Action:
    """An action on the stable Service."""
    service = snapshot.stable_service
    return dataclasses.replace(
        SetSelector(service.name, service.resource_version, "abc"),
        exposure=exposure,  # type: ignore[arg-type]
    )


def deciding(world: World, *, exposure: str = "raise", write: bool = True, events: tuple[EventNote, ...] = ()) -> None:
    """Let every decision change the journal and point the stable Service at abc, until that is so."""

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        done = snapshot.stable_service.selector.get("headgate.dev/revision") == "abc"
        status = snapshot.status.model_copy(update={"decision": snapshot.status.decision + (not done)})
        action = None if done else point(snapshot, exposure)
        return Decision(status, write=write and not done, action=action, events=events)

    world.decide = decide


def ready(world: World) -> dict[str, Any]:
    """The condition Ready as it is stored."""
    conditions = world.api.objects[ROLLOUT]["status"]["conditions"]
    return next(c for c in conditions if isinstance(c, dict) and c["type"] == "Ready")


@pytest.fixture
async def world() -> World:
    """A Rollout and its Service."""
    made = World()
    made.put("Service", STABLE, service())
    made.put("Rollout", ROLLOUT, rollout())
    return made


async def test_raising_follows_the_journal(world: World) -> None:
    """The status of a decision is written before its action is sent."""
    deciding(world)
    await world.pass_over()
    assert world.api.written() == [STATUS, SELECTOR], "exposure was raised before its journal stood"


async def test_raising_does_not_happen_without_the_journal(world: World) -> None:
    """A status that was not written keeps the action back; the Rollout is read once and comes again."""
    deciding(world)
    world.api.fail("PATCH", "status", (409, "Conflict"))
    await world.pass_over()
    assert world.api.log == [STATUS, ("GET", ROLLOUT)], "exposure was raised although its journal was not written"
    await world.pass_over()
    assert world.api.written() == [STATUS, STATUS, SELECTOR]


async def test_lowering_waits_for_nothing(world: World) -> None:
    """An action that lowers exposure is sent first, and also when the journal cannot be written."""
    deciding(world, exposure="lower")
    world.api.fail("PATCH", "status", Timeout("slow"))
    await world.pass_over()
    assert world.api.written() == [SELECTOR, STATUS], "lowering waited for the journal"


async def test_an_unchanged_journal_is_not_written(world: World) -> None:
    """Without a change of the journal there is only the action."""
    deciding(world, write=False)
    await world.pass_over()
    assert world.api.written() == [SELECTOR]


async def test_one_action_in_a_cycle_and_the_next_at_once(world: World) -> None:
    """After an action that was done the key comes again without waiting for an event, and then rests."""
    deciding(world)
    began = asyncio.get_running_loop().time()
    await world.pass_over()
    await world.pass_over()
    assert asyncio.get_running_loop().time() == began
    assert world.snapshots[-1].outcome is not None
    assert world.snapshots[-1].outcome.kind is OutcomeKind.DONE
    assert world.queue.statistics().ready == 0


async def test_the_answer_of_a_write_is_what_the_next_decision_sees(world: World) -> None:
    """Nothing waits for the watch, and nothing is read."""
    deciding(world)
    await world.pass_over()
    await world.pass_over()
    assert world.snapshots[-1].stable_service.selector["headgate.dev/revision"] == "abc"
    assert world.snapshots[-1].status.decision == 1
    assert [m for m, _ in world.api.log if m == "GET"] == []


async def test_after_a_conflict_the_object_is_read_once(world: World) -> None:
    """A stale version is refused by the server; one read brings what is there, and the next cycle succeeds."""
    deciding(world, write=False)
    world.ledger.of(KEY).journal_known = True  # It has been leading for a while.
    world.api.put(STABLE, service({"tier": "web"}) | {"metadata": {"uid": "u2"}})  # Unseen by the watch.
    await world.pass_over()
    assert world.api.log == [SELECTOR, ("GET", STABLE)]
    await world.pass_over()
    assert world.snapshots[-1].outcome is not None
    assert world.snapshots[-1].outcome.kind is OutcomeKind.CONFLICT
    assert world.api.objects[STABLE]["spec"]["selector"]["headgate.dev/revision"] == "abc"


async def test_an_unknown_end_is_read_and_not_repeated_blindly(world: World) -> None:
    """A write whose answer was lost is found done by the read; nothing is written twice."""
    deciding(world, write=False)

    def lost() -> None:
        world.api.put(STABLE, world.api.objects[STABLE] | service({"headgate.dev/revision": "abc"}))
        raise Timeout("no answer")

    world.api.fail("PATCH", "services", lost)
    await world.pass_over()
    await world.pass_over()
    assert world.api.written() == [SELECTOR], "written again, because nobody looked how the first write ended"
    assert world.snapshots[-1].outcome is not None
    assert world.snapshots[-1].outcome.kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize("applied", [True, False])
async def test_what_may_have_changed_is_read_before_anything_else_is_written(world: World, *, applied: bool) -> None:
    """A write whose end nobody knows, and whose object cannot be read: the old one in the cache is not built upon."""
    scale = ScaleReplicaSet("checkout-abc", "1", 0, 0)

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        first = not world.api.written()
        return Decision(snapshot.status, write=False, action=point(snapshot) if first else scale)

    def lost() -> None:
        if applied:
            world.api.put(STABLE, world.api.objects[STABLE] | service({"headgate.dev/revision": "abc"}))
        raise Timeout("no answer")

    world.decide = decide
    world.ledger.of(KEY).journal_known = True
    world.api.fail("PATCH", "services", lost)
    for _ in range(3):
        world.api.fail("GET", "services", Timeout("no answer"))
    for _ in range(4):
        await world.pass_over()
    assert world.api.log == [SELECTOR, *[("GET", STABLE)] * 4]
    assert world.snapshots[-1].doubtful == {("Service", "checkout")}, "whoever decides is not told of it"
    await world.pass_over()
    assert world.snapshots[-1].doubtful == frozenset()
    assert world.snapshots[-1].stable_service.selector.get("headgate.dev/revision", "") == ("abc" if applied else "")
    assert world.api.log[-1][1].endswith("replicasets/checkout-abc")


async def test_lowering_does_not_wait_for_what_is_in_doubt(world: World) -> None:
    """Whatever is not known, exposure can be lowered."""
    world.decide = lambda s, _now: Decision(s.status, write=False, action=point(s, "lower"))
    world.api.fail("PATCH", "services", Timeout("no answer"))
    world.api.fail("GET", "services", Timeout("no answer"))
    await world.pass_over()
    await asyncio.sleep(3)
    await world.pass_over()
    assert world.api.log == [SELECTOR, ("GET", STABLE), SELECTOR]


async def test_a_refusal_is_counted_and_backs_off(world: World) -> None:
    """The same refusal again and again is tried more and more seldom, whatever events come between."""
    deciding(world, write=False)
    for _ in range(8):
        world.api.fail("PATCH", "services", (403, "Forbidden"))
    began = asyncio.get_running_loop().time()
    tried = []
    while asyncio.get_running_loop().time() - began < 20:
        before = len(world.api.written())
        await world.pass_over()
        if len(world.api.written()) > before:
            tried.append(asyncio.get_running_loop().time() - began)
        world.queue.add_after(KEY, 0.5)  # An unrelated event, every half second.
    assert len(tried) == 5, f"what is refused does not back off: it was tried after {tried} s"
    assert tried == pytest.approx([0, 1, 3, 7, 15], abs=0.6)
    assert world.snapshots[-1].outcome is not None
    assert world.snapshots[-1].outcome.reason == "Forbidden"
    assert world.snapshots[-1].outcome.count == 5


async def test_lowering_that_is_refused_is_tried_more_often(world: World) -> None:
    """Within ten seconds of refusals lowering is tried every two seconds, so that the other way is taken in time."""
    deciding(world, write=False, exposure="lower")
    for _ in range(8):
        world.api.fail("PATCH", "services", (403, "Forbidden"))
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began < 11:
        await world.pass_over()
    last = world.snapshots[-1].outcome
    assert last is not None
    assert last.at - last.first_at >= 9


async def test_a_replica_that_does_not_lead_does_nothing(world: World) -> None:
    """Without the Lease there is no decision and no write."""
    deciding(world)
    world.may_write = False
    await world.pass_over()
    assert world.snapshots == []
    assert world.api.log == []


async def test_the_lease_is_checked_before_each_write(world: World) -> None:
    """Leadership that ends between decision and write stops the write."""

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        world.may_write = False
        return Decision(snapshot.status, write=True, action=point(snapshot))

    world.decide = decide
    await world.pass_over()
    assert world.api.log == []


async def test_events_are_told_after_the_journal(world: World) -> None:
    """What was not written is not told."""
    note = EventNote("Normal", "NewRevision", "m")
    deciding(world, events=(note,))
    world.api.fail("PATCH", "status", (409, "Conflict"))
    await world.pass_over()
    assert world.recorder.notes == []
    await world.pass_over()
    assert world.recorder.notes == [note]


async def test_the_finalizer_follows_the_status_in_the_same_cycle(world: World) -> None:
    """A status write gives the Rollout a new version; the action on the same object uses it."""

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        meta = snapshot.meta
        return Decision(
            snapshot.status.model_copy(update={"decision": 1}),
            write=True,
            action=SetFinalizer(meta.name, meta.resource_version, present=True),
        )

    world.decide = decide
    await world.pass_over()
    assert world.api.written() == [STATUS, ("PATCH", ROLLOUT)]
    assert world.api.objects[ROLLOUT]["metadata"]["finalizers"] == ["headgate.dev/hand-back"]


async def test_a_wake_up_brings_the_key_back(world: World) -> None:
    """A decision that waits for a time is taken again at that time."""
    world.decide = lambda s, now: Decision(s.status, write=False, wake_at=now + 30)
    began = asyncio.get_running_loop().time()
    await world.pass_over()
    await world.pass_over()
    assert asyncio.get_running_loop().time() - began == pytest.approx(30)


async def test_an_object_that_is_gone_is_not_written_again(world: World) -> None:
    """A 404 drops the object from the cache: the next decision sees that it is not there."""
    deciding(world, write=False)
    del world.api.objects[STABLE]
    await world.pass_over()
    await world.pass_over()
    assert not world.snapshots[-1].stable_service.found


async def test_a_kind_that_is_not_served_takes_no_object_along(world: World) -> None:
    """A 404 for the whole kind is no word about the object: it stays known, and the write comes again."""
    deciding(world, write=False)
    world.ledger.of(KEY).journal_known = True
    world.api.fail("PATCH", "services", unserved)
    await world.pass_over()
    await world.pass_over()
    outcome = world.snapshots[-1].outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNKNOWN, "NotServed")
    assert world.snapshots[-1].stable_service.found
    assert world.api.log == [SELECTOR, SELECTOR], "it was not tried again"
    assert world.api.objects[STABLE]["spec"]["selector"]["headgate.dev/revision"] == "abc"


async def test_a_deletion_of_a_kind_that_is_not_served_is_not_done(world: World) -> None:
    """What was never deleted is not taken for gone, and is deleted when the kind is served again."""
    path = "/apis/apps/v1/namespaces/shop/replicasets/checkout-abc"
    labels = {"headgate.dev/rollout": "checkout", "headgate.dev/revision": "abc"}
    world.put("ReplicaSet", path, {"metadata": {"labels": labels}, "spec": {"replicas": 0}})

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        found = next(iter(snapshot.replica_sets), None)
        action = DeleteReplicaSet(found.name, found.uid, found.resource_version) if found else None
        return Decision(snapshot.status, write=False, action=action)

    world.decide = decide
    world.ledger.of(KEY).journal_known = True
    world.api.fail("DELETE", "replicasets", unserved)
    await world.pass_over()
    assert world.cache.count("ReplicaSet") == 1
    await asyncio.sleep(3)
    await world.pass_over()
    assert path not in world.api.objects
    assert world.cache.count("ReplicaSet") == 0


async def test_a_journal_that_no_kind_is_served_for_keeps_its_rollout(world: World) -> None:
    """The status cannot be written while Rollouts are not served; the Rollout is not forgotten over it."""
    deciding(world)
    world.api.fail("PATCH", "status", unserved)
    await world.pass_over()
    assert world.api.log == [STATUS]
    await world.pass_over()
    assert world.api.written() == [STATUS, STATUS, SELECTOR]


async def test_a_journal_that_cannot_be_read_for_its_kind_keeps_its_rollout(world: World) -> None:
    """The read after a conflict may meet the same."""
    deciding(world)
    world.api.fail("PATCH", "status", (409, "Conflict"))
    world.api.fail("GET", "rollouts", unserved)
    await world.pass_over()
    assert world.cache.get("Rollout", *KEY) is not None


async def test_what_is_in_doubt_stays_so_while_its_kind_is_not_served(world: World) -> None:
    """A write whose end nobody knows is read when the kind is there again, and before anything else is written."""
    deciding(world, write=False)
    world.ledger.of(KEY).journal_known = True
    world.api.fail("PATCH", "services", Timeout("no answer"))
    for _ in range(2):
        world.api.fail("GET", "services", unserved)
    for _ in range(3):
        await world.pass_over()
    assert world.api.log == [SELECTOR, *[("GET", STABLE)] * 3]
    await world.pass_over()
    assert world.api.log[-1] == SELECTOR


async def test_doubts_end_with_a_kind_that_was_given_up(world: World) -> None:
    """A kind whose definition was taken away for good keeps nothing else waiting for ever."""
    deciding(world, write=False)
    entry = world.ledger.of(KEY)
    entry.journal_known = True
    entry.doubts["HTTPRoute", "checkout"] = ROUTERS["gatewayAPI"].resource
    world.cache.missing.add("HTTPRoute")
    world.api.fail("GET", "httproutes", unserved)
    await world.pass_over()
    await world.pass_over()
    assert world.api.written() == [SELECTOR]


async def test_an_action_that_changes_nothing_is_slowed_down(world: World) -> None:
    """A decision that wants the same for ever costs the server little."""

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        service = snapshot.stable_service
        return Decision(
            snapshot.status, write=False, action=SetSelector(service.name, service.resource_version, "again")
        )

    world.decide = decide
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began < 60:
        await world.pass_over()
    assert len(world.api.written()) < 60


async def test_a_poison_object_disturbs_nobody(world: World) -> None:
    """A decision that raises is logged once, backs off, and the other Rollouts go on."""

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        if snapshot.meta.name == KEY.name:
            raise ZeroDivisionError("poison")
        return Decision(snapshot.status, write=False)

    world.decide = decide
    healthy = rollout()
    healthy["metadata"] |= {"name": "other", "uid": "other-uid"}
    world.put("Rollout", ROLLOUT.replace("checkout", "other"), healthy)
    worker = Worker(0, world.queue, world.cycle, world.ledger, Heartbeats(), now=world.now)
    with capture_logs() as logged:
        task = asyncio.create_task(worker.run())
        await asyncio.sleep(100)
        task.cancel()
    names = [s.meta.name for s in world.snapshots]
    assert names.count("other") == 2, "at once, and as what is not at rest once more after a minute"
    assert names.count(KEY.name) == 8, "1, 2, 4, ... seconds apart, and when its own condition is heard of"
    assert [line["event"] for line in logged] == ["a Rollout cannot be evaluated"]
    assert world.api.log == [STATUS], "it is told once, and nothing else is written"
    assert ready(world)["reason"] == "OperatorDefect"
    assert "ZeroDivisionError" in ready(world)["message"]


UNREADABLE = (
    {"decision": "many"},
    {"decision": 2**63},
    {"stepStartedAt": ["2026-01-01T00:00:00Z"]},
    {"stepStartedAt": "2026-02-30T00:00:00Z"},
    {"phase": "OfANewerOperator"},
)


@pytest.mark.parametrize("forged", UNREADABLE, ids=str)
async def test_a_status_that_cannot_be_read_is_told_and_left_as_it_is(world: World, forged: dict[str, Any]) -> None:
    """Conditions, message and generation say so, once; the journal stays, and nothing else is written."""
    deciding(world)
    stored = {"selector": "kept", **forged}
    world.put("Rollout", ROLLOUT, world.api.objects[ROLLOUT] | {"status": stored})
    for _ in range(3):
        with pytest.raises(Unreadable):
            await world.pass_over()
        world.queue.add(KEY)
    assert world.api.log == [STATUS], "an unreadable status is not told, or not once"
    found = world.api.objects[ROLLOUT]["status"]
    assert {k: v for k, v in found.items() if k not in ("conditions", "message", "observedGeneration")} == stored
    field = next(iter(forged))
    assert (ready(world)["status"], ready(world)["reason"]) == ("False", "StatusUnreadable")
    assert f"status.{field}" in ready(world)["message"]
    assert found["message"] == ready(world)["message"]
    assert found["observedGeneration"] == 1
    assert [n.reason for n in world.recorder.notes] == ["StatusUnreadable"]


async def test_a_status_that_is_put_right_is_gone_on_from(world: World) -> None:
    """Once its status can be read again a Rollout is decided about as if nothing had been."""
    world.put("Rollout", ROLLOUT, world.api.objects[ROLLOUT] | {"status": {"phase": "Odd"}})
    with pytest.raises(Unreadable):
        await world.pass_over()
    told = world.api.objects[ROLLOUT]
    world.put("Rollout", ROLLOUT, told | {"status": told["status"] | {"phase": "Healthy"}})
    await world.pass_over()
    assert world.snapshots[-1].status.phase == "Healthy"


async def test_conditions_that_cannot_be_read_are_made_anew(world: World) -> None:
    """Nothing is decided from conditions, so nobody is needed to put them right: the rest of the status is enough."""
    odd = [7, {"type": "Ready", "status": "True", "reason": "Old", "lastTransitionTime": "never"}]
    world.put("Rollout", ROLLOUT, world.api.objects[ROLLOUT] | {"status": {"phase": "Healthy", "conditions": odd}})
    with pytest.raises(Unreadable):
        await world.pass_over()
    await world.pass_over()
    assert world.snapshots[-1].status.phase == "Healthy"


async def test_a_status_that_the_server_refuses_for_good_is_told(world: World) -> None:
    """The first refusal may be chance; the second says in a condition what the server said, beside the old journal."""
    deciding(world)
    world.put("Rollout", ROLLOUT, world.api.objects[ROLLOUT] | {"status": {"decision": 5}})
    for _ in range(2):
        world.api.fail("PATCH", "status", (422, "Invalid"))
    await world.pass_over()
    assert "conditions" not in world.api.objects[ROLLOUT]["status"]
    await world.pass_over()
    assert ready(world)["reason"] == "StatusRefused"
    assert world.api.objects[ROLLOUT]["status"]["decision"] == 5
    assert world.api.written() == [STATUS, STATUS, STATUS], "nothing was raised meanwhile"


async def test_a_rollout_of_the_same_name_starts_with_a_clean_slate(world: World) -> None:
    """What is remembered belongs to a uid, not to a name."""
    deciding(world, write=False)
    await world.pass_over()
    world.intake.gone("Rollout", "shop", "checkout", "rollout-uid")
    again = rollout()
    again["metadata"]["uid"] = "second-uid"
    world.put("Rollout", ROLLOUT, again)
    await world.pass_over()
    assert world.snapshots[-1].outcome is None


async def test_what_was_made_of_a_record_goes_with_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt leaves a ControllerRevision that goes in time: nothing may be remembered of those that went."""

    class View:
        """Stands for what is made of a record."""

        plan = Plan((), {}, {})

    alive: weakref.WeakSet[View] = weakref.WeakSet()

    def made(_obj: Object) -> View:
        view = View()
        alive.add(view)
        return view

    monkeypatch.setattr("headgate.observe.views.plan", made)
    for attempt in range(1, 6):
        name = f"checkout-abc-{attempt}"
        meta = {"name": name, "namespace": "shop", "labels": {"headgate.dev/rollout": "checkout"}}
        stored = world.put("ControllerRevision", f"{RECORDS}/{name}", {"metadata": meta, "data": {}})
        seen = world.observer.snapshot(*KEY, world.now(), Known())
        assert seen is not None
        assert len(seen.plans) == 1
        assert world.observer.snapshot(*KEY, world.now(), Known()).plans[0] is seen.plans[0], "it is made once"  # type: ignore[union-attr]
        world.intake.gone("ControllerRevision", "shop", name, stored["metadata"]["uid"])
        del seen
    world.observer.snapshot(*KEY, world.now(), Known())
    gc.collect()
    assert not alive


async def test_an_unreadable_spec_is_a_problem_that_names_the_field(world: World) -> None:
    """The decision gets the last good spec and a sentence."""
    await world.pass_over()
    broken = rollout(replicas="many")
    broken["metadata"]["generation"] = 2
    world.put("Rollout", ROLLOUT, broken)
    await world.pass_over()
    (problem,) = world.snapshots[-1].problems
    assert problem.startswith("spec.replicas: ")
    assert "many" not in problem
    assert world.snapshots[-1].spec.replicas == 2


async def test_scaling_carries_the_version_that_was_seen(world: World) -> None:
    """A ReplicaSet that somebody else scaled meanwhile is left alone."""
    path = "/apis/apps/v1/namespaces/shop/replicasets/checkout-abc"
    labels = {"headgate.dev/rollout": "checkout", "headgate.dev/revision": "abc"}
    world.put("ReplicaSet", path, {"metadata": {"labels": labels}, "spec": {"replicas": 1}})

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        found = snapshot.replica_sets[0]
        return Decision(snapshot.status, write=False, action=ScaleReplicaSet(found.name, found.resource_version, 5, 0))

    world.decide = decide
    world.api.put(path, world.api.objects[path] | {"spec": {"replicas": 3}})
    await world.pass_over()
    assert world.api.objects[path]["spec"]["replicas"] == 3


async def test_a_restart_does_not_doubt_what_the_journal_saw_served(world: World) -> None:
    """A route that is served as the journal says is settled since then; one that changed is not."""
    parent = {"name": "gw"}
    condition = {"status": "True", "observedGeneration": 1}
    served = {
        "metadata": {"generation": 1},
        "spec": {
            "parentRefs": [parent],
            "rules": [
                {
                    "backendRefs": [
                        {"name": "checkout", "port": 80, "weight": 90},
                        {"name": "checkout-canary", "port": 80, "weight": 10},
                    ]
                }
            ],
        },
        "status": {
            "parents": [
                {
                    "parentRef": parent,
                    "controllerName": "c",
                    "conditions": [condition | {"type": t} for t in ("Accepted", "ResolvedRefs")],
                }
            ]
        },
    }
    world.put("HTTPRoute", ROUTE, served)
    written = {"weights": {"desired": 10, "applied": True}, "writtenAt": "1970-01-02T00:00:00Z"}
    world.put("Rollout", ROLLOUT, rollout() | {"status": written})
    await world.pass_over()
    assert world.snapshots[-1].routes[0].settled_since == 86400
    served["spec"]["rules"][0]["backendRefs"][0]["weight"] = 80  # type: ignore[index]
    unserved = served | {"metadata": {"generation": 2, "uid": "u"}}
    world.put("HTTPRoute", ROUTE, unserved)
    await world.pass_over()
    assert world.snapshots[-1].routes[0].settled_since is None


async def test_a_stored_weight_of_a_blind_router_begins_to_settle_when_it_is_seen(world: World) -> None:
    """Also where it stands in an annotation, which changes no generation; other changes of the object do not count."""

    class Blind(GatewayAPIRouter):
        def read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
            return dataclasses.replace(super().read(canary, obj, target), settled=True, blind=True, message="")

    world.observer._routers = (Blind(),)
    for weight, version in ((10, "1"), (10, "2"), (20, "3")):
        backends = [{"name": "checkout", "weight": 100 - weight}, {"name": "checkout-canary", "weight": weight}]
        metadata = {"generation": 1, "uid": "u", "resourceVersion": version}
        world.put("HTTPRoute", ROUTE, {"metadata": metadata, "spec": {"rules": [{"backendRefs": backends}]}})
        world.put("Rollout", ROLLOUT, rollout())
        await world.pass_over()
        await asyncio.sleep(10)
    first, again, changed = (seen.routes[0].settled_since for seen in world.snapshots)
    assert first is not None
    assert again == first
    assert changed is not None
    assert changed > first


def leaving(world: World, *, patient: bool = True) -> None:
    """A deleted Rollout, whose finalizer is all that is left to do as soon as its Service is handed back."""
    going = rollout()
    going["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["headgate.dev/hand-back"]}
    world.put("Rollout", ROLLOUT, going)

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        meta, held = snapshot.meta, snapshot.stable_service
        action: Action = SetFinalizer(meta.name, meta.resource_version, present=False, patient=patient)
        if "headgate.dev/revision" in held.selector:
            action = SetSelector(held.name, held.resource_version, "")
        return Decision(snapshot.status, write=False, action=action)

    world.decide = decide


async def test_the_last_finalizer_takes_the_rollout_with_it(world: World) -> None:
    """After it is removed from a deleted Rollout nothing more is decided or written."""
    leaving(world)
    for _ in range(3):
        await world.pass_over()
    assert world.api.log == [("GET", STABLE), ("PATCH", ROLLOUT)], "it went without a look, or looked again and again"
    assert len(world.snapshots) == 2


async def test_what_no_watch_has_told_is_handed_back_before_the_finalizer_goes(world: World) -> None:
    """Somebody has just pointed the Service at a revision; afterwards nobody would take that back."""
    leaving(world)
    world.api.put(STABLE, service({"headgate.dev/revision": "abc"}) | {"metadata": {"uid": "uid-101"}})
    while world.queue.statistics().ready:
        await world.pass_over()
    assert world.api.written() == [SELECTOR, ("PATCH", ROLLOUT)], "the Rollout went and left its selector behind"
    assert "headgate.dev/revision" not in world.api.objects[STABLE]["spec"]["selector"]


async def test_a_service_that_cannot_be_read_keeps_the_finalizer_for_a_while(world: World) -> None:
    """It is tried again; once patience is over it holds up nobody."""
    leaving(world)
    world.api.fail("GET", STABLE, (500, "InternalError"))
    await world.pass_over()
    assert world.api.written() == [], "the Rollout went although a Service could not be read"
    leaving(world, patient=False)
    world.api.fail("GET", STABLE, (500, "InternalError"))
    await world.pass_over()
    await world.pass_over()
    assert world.api.written() == [("PATCH", ROLLOUT)]


def turning_away(world: World) -> None:
    """The canary Service leaves what was taken back, after the stable Service, if that is seen to lead to it."""
    world.put("Service", CANARY, service({"headgate.dev/revision": "bad"}))

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        stable, canary = snapshot.stable_service, snapshot.canary_service
        action: Action | None = None
        if selected(stable) == "bad":
            action = SetSelector(stable.name, stable.resource_version, "good", exposure="lower")
        elif selected(canary) == "bad":
            action = SetSelector(canary.name, canary.resource_version, "good", looks=True)
        return Decision(snapshot.status, write=False, action=action)

    world.decide = decide


async def everything(world: World) -> None:
    """Until nothing is left to be looked at at once."""
    while world.queue.statistics().ready:
        await world.pass_over()


async def test_untold_requests_are_taken_back_before_the_canary_service_turns(world: World) -> None:
    """Somebody leads the users to the version that was taken back just then."""
    turning_away(world)
    world.api.put(STABLE, service({"headgate.dev/revision": "bad"}) | {"metadata": {"uid": "uid-101"}})
    await everything(world)
    turned = [("PATCH", STABLE), ("PATCH", CANARY)]
    assert world.api.written() == turned, "another write came before the one that takes the requests back"


async def test_it_looks_once_before_the_canary_service_turns(world: World) -> None:
    """What was read counts for the very next write."""
    turning_away(world)
    await everything(world)
    looks = [("GET", STABLE), ("GET", CANARY)]
    assert world.api.log == [("GET", ROLLOUT), *looks, ("PATCH", CANARY)]


async def test_the_canary_service_does_not_turn_before_the_others_could_be_read(world: World) -> None:
    """It has time: nothing is seen to be led there."""
    turning_away(world)
    world.api.fail("GET", STABLE, (500, "InternalError"))
    await world.pass_over()
    assert world.api.written() == [], "it relied on what could not be read"
    world.queue.add(KEY)
    await everything(world)
    assert world.api.written() == [("PATCH", CANARY)]


async def test_a_write_that_would_break_an_invariant_is_not_sent(world: World) -> None:
    """A decision that points the stable Service at a revision without pods is not carried out, and says so."""
    deciding(world)
    world.guard = guard
    with capture_logs() as logs:
        await world.pass_over()
    assert world.api.written() == [STATUS], "a write was sent although it breaks an invariant"
    outcome = world.ledger.of(KEY).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, "InvariantBroken")
    assert "3: checkout is pointed at abc with 0 of 2 pods" in outcome.message
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["an invariant would break"]
    assert world.ledger.barred(KEY)


async def test_lowering_asks_no_guard(world: World) -> None:
    """The way back is open whatever else is wrong."""
    deciding(world, exposure="lower")
    world.guard = guard
    await world.pass_over()
    assert SELECTOR in world.api.written()
