"""The work queue, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from headgate.engine.queue import Key, WorkQueue

A, B, C = Key("one", "a"), Key("one", "b"), Key("two", "c")

pytestmark = pytest.mark.looptime


@pytest.fixture
async def queue() -> WorkQueue:
    """An empty queue without jitter."""
    return WorkQueue(rand=lambda: 0.0)


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


async def test_a_key_that_is_added_twice_is_handed_out_once(queue: WorkQueue) -> None:
    """Adding a key that waits already changes nothing."""
    queue.add(A)
    queue.add(A)
    assert await queue.get() == A
    assert queue.statistics().ready == 0


async def test_a_key_has_one_worker_at_a_time(queue: WorkQueue) -> None:
    """A key that is added while a worker has it is handed out when that worker is done, not before."""
    queue.add(A)
    await queue.get()
    queue.add(A)
    assert queue.statistics().ready == 0, "a second worker may take the key while the first one has it"
    queue.done(A)
    assert await queue.get() == A


async def test_namespaces_take_turns(queue: WorkQueue) -> None:
    """A namespace with many keys delays another one by one key at most."""
    flood = [Key("loud", str(i)) for i in range(10)]
    for key in flood:
        queue.add(key)
    queue.add(C)
    assert [await queue.get(), await queue.get()] == [flood[0], C]


async def test_of_several_delays_the_earliest_counts(queue: WorkQueue) -> None:
    """A later delay does not push an earlier one back, and each key comes once."""
    began = now()
    queue.add_after(A, 10)
    queue.add_after(A, 3)
    queue.add_after(A, 7)
    assert await queue.get() == A
    assert now() - began == 3
    queue.done(A)
    await asyncio.sleep(100)
    assert queue.statistics().ready == 0


async def test_delays_of_several_keys_come_in_their_order(queue: WorkQueue) -> None:
    """Each delayed key comes at its time."""
    began = now()
    queue.add_after(A, 5)
    queue.add_after(B, 2)
    assert await queue.get() == B
    assert now() - began == 2
    assert await queue.get() == A
    assert now() - began == 5


async def test_backoff_doubles_and_is_forgotten(queue: WorkQueue) -> None:
    """The backoff goes from one second to five minutes, and begins anew after a success."""
    delays = []
    for _ in range(11):
        delays.append(queue.add_rate_limited(A))
        await queue.get()
        queue.done(A)
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    queue.forget(A)
    assert queue.add_rate_limited(A) == 1


async def test_a_key_that_fails_before_its_pause_is_over_waits_no_longer_for_that(queue: WorkQueue) -> None:
    """What brings it back so early is not its backoff, and tells nothing of how long the fault lasts."""
    began = now()
    assert queue.add_rate_limited(A) == 1
    for _ in range(20):
        queue.add_after(A, 0.04)
        await queue.get()
        queue.done(A)
        assert queue.add_rate_limited(A) <= 1, "looks within a second made it wait longer"
    await queue.get()
    assert now() - began == pytest.approx(1)
    queue.done(A)
    assert queue.add_rate_limited(A) == 2


async def test_a_cancelled_worker_loses_no_key(queue: WorkQueue) -> None:
    """A worker that is cancelled in the moment it was woken leaves the key to another one."""
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    first.cancel()
    assert await second == A


async def test_a_closed_queue_ends_its_workers(queue: WorkQueue) -> None:
    """Closing wakes every waiting worker with a cancellation."""
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(asyncio.CancelledError):
        await worker


async def test_statistics_tell_how_long_the_oldest_key_waits(queue: WorkQueue) -> None:
    """The age of the oldest ready key counts from when it became dirty."""
    queue.add(A)
    await asyncio.sleep(4)
    queue.add(B)
    queue.add_after(C, 60)
    found = queue.statistics()
    assert (found.ready, found.delayed, found.processing, found.oldest_seconds) == (2, 1, 0, 4)
