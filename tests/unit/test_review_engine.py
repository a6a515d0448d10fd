"""What the engine must survive without forgetting anybody: blips, late renewals, rows of failures, strange records."""

from __future__ import annotations

import asyncio
import contextlib

import orjson
import pytest

from headgate.act.errors import Unavailable
from headgate.act.kube import Kube
from headgate.act.transport import Request, Response
from headgate.decide.types import AnswerAction, Decision, Outcome, OutcomeKind, SetSelector, SetWeight, Snapshot
from headgate.engine.lease import Elector
from headgate.engine.ledger import Ledger
from headgate.engine.queue import Key
from headgate.engine.sources import sources
from headgate.engine.sync import Sync
from headgate.observe import views
from headgate.traffic.registry import ROUTERS
from tests.unit.engine_world import KEY, ROLLOUT, ROUTE, STABLE, World, rollout, service
from tests.unit.fake_api import FakeAPI, unserved

pytestmark = pytest.mark.looptime

SLICE = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/checkout-1"


@pytest.fixture
async def world() -> World:
    """A Rollout and its Service."""
    made = World()
    made.put("Service", STABLE, service())
    made.put("Rollout", ROLLOUT, rollout())
    return made


async def test_a_kind_that_was_not_served_for_a_moment_comes_back_whole(world: World) -> None:
    """A server that starts answers 404 for custom kinds; their objects stay known, and what went meanwhile goes."""
    watched = tuple(s for s in sources(ROUTERS.values(), ()) if s.kind in ("Rollout", "HTTPRoute"))
    sync = Sync(
        world.kube,
        world.cache,
        world.intake,
        watched,
        namespaces=("shop",),
        monotonic=asyncio.get_running_loop().time,
        rand=lambda: 0.5,
    )
    world.api.put(ROUTE, {"spec": {"rules": []}})
    await sync.first_lists()
    other = ROUTE.replace("checkout", "other")
    world.intake.take("HTTPRoute", world.api.put(other, {"spec": {"rules": []}}))
    for part in ("rollouts", "httproutes"):
        world.api.fail("GET", part, unserved)
    await sync.sweep("Rollout")
    await sync.sweep("HTTPRoute")
    assert world.cache.missing == {"Rollout", "HTTPRoute"}
    assert (world.cache.count("Rollout"), world.cache.count("HTTPRoute")) == (1, 2)
    del world.api.objects[other]
    world.api.version += 1
    task = asyncio.create_task(sync.run())
    await asyncio.sleep(60)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert world.cache.missing == set()
    assert [o["metadata"]["name"] for o in world.cache.all("HTTPRoute")] == ["checkout"]
    assert world.cache.get("Rollout", *KEY) is not None
    assert world.queue.statistics().ready == 1


async def test_a_kind_that_is_not_served_for_long_is_given_up_where_it_can_be(world: World) -> None:
    """The routes of an API that was uninstalled are gone; without its Rollouts the operator would know nothing."""
    watched = tuple(s for s in sources(ROUTERS.values(), ()) if s.kind in ("Rollout", "HTTPRoute"))
    sync = Sync(
        world.kube,
        world.cache,
        world.intake,
        watched,
        namespaces=("shop",),
        monotonic=asyncio.get_running_loop().time,
        rand=lambda: 0.5,
    )
    world.api.put(ROUTE, {"spec": {"rules": []}})
    await sync.first_lists()
    task = asyncio.create_task(sync.run())
    for part in ("rollouts", "httproutes"):
        for _ in range(20):
            world.api.fail("GET", part, unserved)
    world.intake.relisted |= {"Rollout": 0.0, "HTTPRoute": 0.0}
    await asyncio.sleep(50)
    assert (world.cache.count("Rollout"), world.cache.count("HTTPRoute")) == (1, 1)
    await asyncio.sleep(20)
    assert (world.cache.count("Rollout"), world.cache.count("HTTPRoute")) == (1, 0)
    world.api.faults.clear()
    await asyncio.sleep(40)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert world.cache.get("HTTPRoute", "shop", "checkout") is not None, "it came back, and was taken for deleted"


async def test_a_sweep_that_failed_is_tried_again_soon(world: World) -> None:
    """What vanished in an outage is reported by no watch; the next regular sweep is ten minutes away."""
    loop = asyncio.get_running_loop()
    watched = tuple(s for s in sources(ROUTERS.values(), ()) if s.kind in ("Rollout", "Service"))
    sync = Sync(
        world.kube,
        world.cache,
        world.intake,
        watched,
        namespaces=("shop",),
        monotonic=loop.time,
        rand=lambda: 0.5,
    )
    await sync.first_lists()
    task = asyncio.create_task(sync.run())
    await asyncio.sleep(2)
    del world.api.objects[ROLLOUT]
    for _ in range(2):
        world.api.fail("GET", "rollouts", Unavailable("an outage"))
    world.intake.relisted["Rollout"] = 0.0
    await asyncio.sleep(60)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert world.cache.get("Rollout", *KEY) is None


async def test_a_lease_that_is_renewed_late_begins_anew() -> None:
    """What was looked at between the deadline and the renewal was not written, so all of it comes again."""
    api = FakeAPI()
    loop = asyncio.get_running_loop()
    elector = Elector(
        Kube(api),
        namespace="system",
        name="headgate",
        identity="one",
        now=lambda: 1e9 + loop.time(),
        monotonic=loop.time,
    )
    started: list[float] = []
    elector.on_started.append(lambda: started.append(loop.time()))
    task = asyncio.create_task(elector.run())
    await asyncio.sleep(0.1)
    assert len(started) == 1
    answer, renewals = api.send, iter((0.0, 2.9))

    async def slow(request: Request) -> Response:
        if request.method != "PATCH":
            return await answer(request)
        wait = next(renewals, None)
        if wait == 0.0:
            raise Unavailable("the server starts again")
        given = await answer(request)
        await asyncio.sleep(wait or 0.0)
        return given

    api.send = slow  # type: ignore[method-assign]
    for _ in range(100):
        await asyncio.sleep(0.1)
        if not elector.may_write():
            break
    assert elector.leading, "nobody else may have it yet"
    await asyncio.sleep(3)
    task.cancel()
    assert elector.may_write()
    assert len(started) == 2


def noted(ledger: Ledger, action: SetWeight | AnswerAction, kind: OutcomeKind, reason: str, at: float) -> Outcome:
    """An outcome of one Rollout."""
    return ledger.note(Key("shop", "checkout"), action, kind, reason, "", at)


async def test_what_is_done_in_between_does_not_break_a_row_of_failures() -> None:
    """A weight that cannot be lowered is one story, whatever words the refusals use."""
    ledger = Ledger(monotonic=asyncio.get_running_loop().time)
    weight = SetWeight("gatewayAPI", "HTTPRoute", "checkout", "", "1", 0, exposure="lower")
    answer = AnswerAction("abort-1", "1", accepted=True, message="")
    noted(ledger, weight, OutcomeKind.UNKNOWN, "Timeout", 100)
    noted(ledger, answer, OutcomeKind.REFUSED, "Forbidden", 101)
    noted(ledger, weight, OutcomeKind.UNKNOWN, "Unavailable", 105)
    noted(ledger, answer, OutcomeKind.DONE, "", 106)
    last = noted(ledger, weight, OutcomeKind.REFUSED, "Invalid", 111)
    assert (last.first_at, last.count) == (100, 3)
    noted(ledger, weight, OutcomeKind.DONE, "", 112)
    assert noted(ledger, weight, OutcomeKind.REFUSED, "Invalid", 113).count == 1
    assert noted(ledger, weight, OutcomeKind.REFUSED, "Invalid", 5000).count == 1, "long ago is another story"


async def test_a_barred_action_is_told_to_the_core_and_comes_again(world: World) -> None:
    """The core takes something else meanwhile; nothing but the clock says when the first may be tried again."""

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        found = snapshot.stable_service
        action = SetSelector(found.name, found.resource_version, "abc")
        return Decision(snapshot.status, write=False, action=None if action.key in snapshot.barred else action)

    world.decide = decide
    world.api.fail("PATCH", "services", (403, "Forbidden"))
    await world.pass_over()
    world.queue.add(KEY)
    await world.pass_over()
    assert world.snapshots[-1].barred == {"SetSelector/checkout"}
    await world.pass_over()
    assert world.snapshots[-1].barred == frozenset()
    assert world.cache.get("Service", "shop", "checkout")["spec"]["selector"]["headgate.dev/revision"] == "abc"  # type: ignore[index]


async def test_the_core_is_told_what_was_written_last_where_that_is_known(world: World) -> None:
    """By that it knows somebody else's hand; a write that ended nobody knows how may have been either's."""
    wanted = "abc"

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        found = snapshot.stable_service
        action = SetSelector(found.name, found.resource_version, wanted, exposure="lower")
        there = found.selector.get("headgate.dev/revision") == wanted
        return Decision(snapshot.status, write=False, action=None if there else action)

    world.decide = decide
    await world.pass_over()
    await world.pass_over()
    told = world.snapshots[-1].written
    assert [(key, written.value) for key, written in told.items()] == [("SetSelector/checkout", "abc")]
    wanted = "def"
    world.api.fail("PATCH", "services", (409, "Conflict"))
    world.queue.add(KEY)
    await world.pass_over()
    world.api.fail("PATCH", "services", (500, "InternalError"))
    await world.pass_over()
    assert world.snapshots[-1].written == told, "a write that conflicts changes nothing"
    await world.pass_over()
    assert world.snapshots[-1].written == {}


async def test_a_weight_that_takes_back_says_so_by_its_field_manager(world: World) -> None:
    """Nothing of the object but who wrote it: the next process reads there which attempt a verdict took back."""
    backends = [{"name": "checkout", "weight": 90}, {"name": "checkout-canary", "weight": 10}]
    route = world.put("HTTPRoute", ROUTE, {"spec": {"rules": [{"backendRefs": backends}]}})
    paths: list[str] = []
    send = world.api.send

    async def listen(request: Request) -> Response:
        paths.append(request.path)
        return await send(request)

    world.api.send = listen  # type: ignore[method-assign]
    version = route["metadata"]["resourceVersion"]
    lower = SetWeight(
        "gatewayAPI", "HTTPRoute", "checkout", "", version, 0, takes_back="rollout-uid:abc:1", exposure="lower"
    )
    world.decide = lambda s, _now: Decision(s.status, write=False, action=lower)
    await world.pass_over()
    assert paths == [f"{ROUTE}?fieldManager=headgate-takes-back%3Arollout-uid%3Aabc%3A1"]
    lowered = world.api.objects[ROUTE]
    lowered["metadata"]["managedFields"] = [{"manager": "helm"}, {"manager": "headgate-takes-back:rollout-uid:abc:1"}]
    world.put("HTTPRoute", ROUTE, lowered)
    world.decide = lambda s, _now: Decision(s.status, write=False)
    await world.pass_over()
    assert [r.taken_back for r in world.snapshots[-1].routes] == ["rollout-uid:abc:1"]
    lowered["metadata"]["managedFields"] = [{"manager": "helm"}]
    world.put("HTTPRoute", ROUTE, lowered)
    await world.pass_over()
    assert [r.taken_back for r in world.snapshots[-1].routes] == [""]


async def test_a_write_that_conflicts_for_ever_backs_off_and_keeps_nothing_waiting(world: World) -> None:
    """Three conflicts are tried again at once; then the core is told, as of every write that fails."""
    answer, other = "SetSelector/checkout", []

    def decide(snapshot: Snapshot, _now: float) -> Decision:
        found = snapshot.stable_service
        if answer in snapshot.barred:
            other.append(world.now())
            return Decision(snapshot.status, write=False)
        return Decision(snapshot.status, write=False, action=SetSelector(found.name, found.resource_version, "abc"))

    world.decide = decide
    for _ in range(200):
        world.api.fail("PATCH", "services", (409, "Conflict"))

    async def look_all_the_time() -> None:
        while True:
            await asyncio.sleep(0.5)
            world.queue.add(KEY)

    looking = asyncio.create_task(look_all_the_time())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(300):
            while True:
                await world.pass_over()
    looking.cancel()
    assert len(world.api.written()) <= 20, "a conflict is tried again whenever the Rollout is looked at"
    assert len(other) > 400, "what conflicts for ever is all that is ever tried"


async def test_a_service_tells_since_when_it_holds_what_it_holds(world: World) -> None:
    """The drain delay of a selector runs from when the slices follow, not from the route's last change."""
    world.put("ReplicaSet", "/apis/apps/v1/namespaces/shop/replicasets/checkout-abc", replica_set())
    world.put("EndpointSlice", SLICE, endpoints("checkout-abc-11111"))
    await world.pass_over()
    began = world.snapshots[-1].stable_service.since
    await asyncio.sleep(10)
    world.put("EndpointSlice", SLICE, endpoints("checkout-abc-11111", "checkout-abc-22222"))
    await world.pass_over()
    assert world.snapshots[-1].stable_service.since == began
    world.put("EndpointSlice", SLICE, endpoints())
    await world.pass_over()
    assert world.snapshots[-1].stable_service.since >= began + 10


async def test_a_switched_selector_drains_although_no_slice_ever_showed_what_it_led_to(world: World) -> None:
    """Slices come late: of pods that were ready for a moment before the switch they may never have told."""
    world.put("EndpointSlice", SLICE, endpoints())
    await world.pass_over()
    began = world.snapshots[-1].stable_service.since
    await asyncio.sleep(10)
    world.put("Service", STABLE, service({"headgate.dev/revision": "abc"}))
    await world.pass_over()
    assert world.snapshots[-1].stable_service.since >= began + 10, "the drain delay runs from before the switch"


async def test_a_spec_that_became_unreadable_still_shows_the_traffic(world: World) -> None:
    """What was routed by the last good spec can be taken back while the new one is put right."""
    await world.pass_over()
    changed = rollout(replicas="many")
    changed["metadata"]["generation"] = 2
    world.put("Rollout", ROLLOUT, changed)
    await world.pass_over()
    assert world.snapshots[-1].problems
    assert [r.name for r in world.snapshots[-1].routes] == ["checkout"]


def replica_set() -> dict[str, object]:
    """A ReplicaSet of the Rollout."""
    return {
        "metadata": {"labels": {"headgate.dev/rollout": "checkout", "headgate.dev/revision": "abc"}},
        "spec": {"replicas": 1},
    }


def endpoints(*pods: str) -> dict[str, object]:
    """A slice of the stable Service."""
    return {
        "metadata": {"labels": {"kubernetes.io/service-name": "checkout"}},
        "endpoints": [{"targetRef": {"kind": "Pod", "name": pod}} for pod in pods],
    }


@pytest.mark.parametrize(
    "data", [{"plan": 1}, {"plan": {}}, {"plan": {"steps": [{"setWeight": 101}]}, "revision": "r"}, {"plan": None}]
)
async def test_a_record_that_cannot_be_read_is_none_of_ours(data: object) -> None:
    """Anybody may put our label on a ControllerRevision; that must not keep the Rollout from being looked at."""
    meta = {"name": "x", "uid": "u", "resourceVersion": "1"}
    assert views.plan({"metadata": meta, "packed": orjson.dumps(data)}) is None
