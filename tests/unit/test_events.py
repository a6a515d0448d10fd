"""The recorder of Kubernetes Events: best effort, bounded, in nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from headgate.act.events import PER_MINUTE, Recorder
from headgate.act.kube import Kube
from headgate.decide.types import EventNote, RolloutMeta
from tests.unit.fake_api import FakeAPI, unserved

META = RolloutMeta("shop", "checkout", "uid", "7", 1, 0.0)

pytestmark = pytest.mark.looptime


@pytest.fixture
def api() -> FakeAPI:
    """A server."""
    return FakeAPI()


@pytest.fixture
async def record(api: FakeAPI) -> AsyncIterator[Callable[[str], None]]:
    """Records a message."""
    loop = asyncio.get_running_loop()
    recorder = Recorder(Kube(api), instance="one", now=loop.time)
    task = asyncio.create_task(recorder.run())
    yield lambda message: recorder.record(META, EventNote("Normal", "Promoted", message))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_repetitions_are_counted_in_one_event(api: FakeAPI, record: Callable[[str], None]) -> None:
    """The same note twice is one object with a series."""
    record("same")
    await asyncio.sleep(1)
    record("same")
    await asyncio.sleep(1)
    events = [o for p, o in api.objects.items() if "events" in p]
    assert len(events) == 1, f"{len(events)} Events were made of one note that was repeated"
    (event,) = events
    assert event["series"]["count"] == 2
    assert event["regarding"]["uid"] == "uid"


async def test_a_series_outlasts_a_moment_in_which_events_are_not_served(
    api: FakeAPI, record: Callable[[str], None]
) -> None:
    """Only an Event that is gone is made anew."""
    api.fail("PATCH", "events", unserved)
    for _ in range(3):
        record("same")
        await asyncio.sleep(1)
    assert [o["series"]["count"] for p, o in api.objects.items() if "events" in p] == [3]


async def test_a_flood_is_dropped(api: FakeAPI, record: Callable[[str], None]) -> None:
    """One Rollout has so many new Events in a minute, and more in the next."""
    for number in range(50):
        record(f"message {number}")
    await asyncio.sleep(1)
    assert len(api.written("events")) == PER_MINUTE
    await asyncio.sleep(61)
    record("later")
    await asyncio.sleep(1)
    assert len(api.written("events")) == PER_MINUTE + 1


async def test_an_event_that_is_refused_is_forgotten(api: FakeAPI, record: Callable[[str], None]) -> None:
    """A failure is not retried and ends nothing."""
    api.fail("POST", "events", (403, "Forbidden"))
    record("first")
    record("second")
    await asyncio.sleep(1)
    assert len(api.written("events")) == 2


async def test_a_message_fits(api: FakeAPI, record: Callable[[str], None]) -> None:
    """The server takes no more than 1,024 characters."""
    record("x" * 5000)
    await asyncio.sleep(1)
    (event,) = [o for p, o in api.objects.items() if "events" in p]
    assert len(event["note"]) <= 1024
