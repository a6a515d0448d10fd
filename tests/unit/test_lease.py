"""Leader election, in virtual time and against a server in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from headgate.act.errors import Timeout, Unreachable
from headgate.act.kube import Kube
from headgate.act.transport import Request, Response
from headgate.engine.lease import DURATION, Elector
from tests.unit.fake_api import FakeAPI, unserved

LEASE = "/apis/coordination.k8s.io/v1/namespaces/system/leases/headgate"

pytestmark = pytest.mark.looptime

Make = Callable[[str], Elector]


@pytest.fixture
def api() -> FakeAPI:
    """A server without a Lease."""
    return FakeAPI()


@pytest.fixture
async def make(api: FakeAPI) -> AsyncIterator[Make]:
    """Makes electors that run."""
    loop = asyncio.get_running_loop()
    tasks = []

    def start(name: str) -> Elector:
        elector = Elector(
            Kube(api),
            namespace="system",
            name="headgate",
            identity=name,
            now=lambda: 1_700_000_000.123456 + loop.time(),
            monotonic=loop.time,
        )
        tasks.append(asyncio.create_task(elector.run()))
        return elector

    yield start
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_first_replica_leads_and_the_second_waits(make: Make) -> None:
    """One of two replicas may write, for as long as it renews."""
    one = make("one")
    await asyncio.sleep(1)
    two = make("two")
    await asyncio.sleep(60)
    assert (one.may_write(), two.may_write()) == (True, False)
    assert two.holder == one.identity


async def test_leases_that_are_not_served_for_a_moment_are_no_missing_lease(api: FakeAPI, make: Make) -> None:
    """A server that starts may know no Leases yet: nothing is created over the one that is there."""
    api.fail("GET", "leases", unserved)
    one = make("one")
    await asyncio.sleep(1)
    assert api.written() == []
    assert not one.may_write()
    await asyncio.sleep(3)
    assert one.may_write()


async def test_times_are_rfc_3339_with_microseconds(api: FakeAPI, make: Make) -> None:
    """The Lease holds UTC times with six digits and a Z."""
    make("one")
    await asyncio.sleep(1)
    assert api.objects[LEASE]["spec"]["renewTime"] == "2023-11-14T22:13:20.123456Z"


async def test_released_leases_are_taken_at_once(make: Make) -> None:
    """A replica that releases stops writing first, and the next one leads within one turn."""
    one = make("one")
    await asyncio.sleep(1)
    two = make("two")
    await asyncio.sleep(1)
    await one.release()
    assert not one.may_write()
    await asyncio.sleep(2.1)
    assert two.may_write()


async def test_a_dead_leader_is_replaced_after_the_duration(api: FakeAPI, make: Make) -> None:
    """A Lease that nobody renews is taken when this replica itself has seen no change for the whole duration."""
    api.put(
        LEASE,
        {"spec": {"holderIdentity": "dead", "leaseDurationSeconds": 6, "renewTime": "1999-01-01T00:00:00.000000Z"}},
    )
    one = make("one")
    await asyncio.sleep(DURATION - 0.5)
    assert not one.may_write(), "an old renewTime proves nothing: clocks differ"
    await asyncio.sleep(2.5)
    assert one.may_write()


async def test_a_dead_leader_is_replaced_no_turn_late(api: FakeAPI, make: Make) -> None:
    """A standby looks when the Lease ends: its turns are of another rhythm than that of the last renewal's news."""
    lease = {"spec": {"holderIdentity": "dead", "leaseDurationSeconds": 6, "renewTime": "2026-01-01T00:00:00.000000Z"}}
    api.put(LEASE, lease)
    asyncio.get_running_loop().call_later(1.0, api.put, LEASE, lease)
    at_once = api.send

    async def late(request: Request) -> Response:
        # The answer that tells of the last renewal takes a moment; those after it do not.
        if asyncio.get_running_loop().time() < 1.5:
            return await at_once(request)
        await asyncio.sleep(0.3)
        api.send = at_once  # type: ignore[method-assign]
        return await at_once(request)

    api.send = late  # type: ignore[method-assign]
    one = make("one")
    await asyncio.sleep(2.3 + DURATION - 0.1)
    assert not one.may_write()
    await asyncio.sleep(0.2)
    assert one.may_write()


async def test_an_outage_is_asked_no_more_often_after_the_lease_ended(api: FakeAPI, make: Make) -> None:
    """With a Lease that has ended and a server that does not answer, a standby tries once in a turn."""
    api.put(LEASE, {"spec": {"holderIdentity": "dead", "leaseDurationSeconds": 6}})
    make("one")
    await asyncio.sleep(DURATION - 0.5)
    for _ in range(200):
        api.fail("GET", "leases", Unreachable("gone"))
    before = len(api.log)
    await asyncio.sleep(60)
    assert len(api.log) - before <= 31


async def test_a_leader_that_cannot_renew_stops_before_another_may_start(api: FakeAPI, make: Make) -> None:
    """Writing ends a second before the Lease does, by the leader's own clock."""
    one = make("one")
    await asyncio.sleep(0.1)
    stopped: list[float] = []
    one.on_stopped.append(lambda: stopped.append(asyncio.get_running_loop().time()))
    for _ in range(20):
        api.fail("PATCH", "leases", Unreachable("gone"))
        api.fail("GET", "leases", Unreachable("gone"))
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(5.0)
    assert not one.may_write()
    await asyncio.sleep(3)
    assert stopped
    assert stopped[0] - began <= DURATION


async def test_a_leader_survives_one_lost_answer(api: FakeAPI, make: Make) -> None:
    """A renewal that was carried out but whose answer was lost does not end the leadership."""
    one = make("one")
    await asyncio.sleep(0.1)
    ended: list[bool] = []
    one.on_stopped.append(lambda: ended.append(True))

    def lost() -> None:
        api.put(LEASE, api.objects[LEASE])  # The write happened.
        raise Timeout("no answer")

    api.fail("PATCH", "leases", lost)
    await asyncio.sleep(20)
    assert one.may_write()
    assert not ended


async def test_a_lease_that_was_taken_away_ends_the_leadership(api: FakeAPI, make: Make) -> None:
    """A leader that finds another holder does not write any more and does not fight."""
    one = make("one")
    await asyncio.sleep(0.1)
    taken = {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 600, "renewTime": "x"}}
    api.put(LEASE, api.objects[LEASE] | taken)
    await asyncio.sleep(5)
    assert not one.may_write()
    assert not one.leading
    assert api.objects[LEASE]["spec"]["holderIdentity"] == "thief"
