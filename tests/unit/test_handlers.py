"""kopf as a shell: it only listens, writes nothing, and leaves other people's tasks alone."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import itertools
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import kopf
import pytest
from kopf._cogs.aiokits import aiotoggles
from kopf._cogs.clients import api, fetching, watching
from kopf._cogs.structs.references import Resource
from kopf._core.reactor import orchestration, processing, queueing, running

from headgate.act.transport import Credentials
from headgate.engine.sources import sources
from headgate.handlers import shell
from headgate.handlers.lean import NoMemories, call_event_handlers_only, read_events_fast
from headgate.handlers.registry import registry
from headgate.handlers.settings import Endless, NoDiffBase, settings
from headgate.handlers.shell import Shell
from headgate.traffic.registry import ROUTERS

SOURCES = sources(ROUTERS.values(), ())


class Ear:
    """An intake that remembers."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str | None, str]] = []
        self.tasks: set[asyncio.Task[Any] | None] = set()

    def event(self, kind: str, type_: str | None, obj: dict[str, Any]) -> None:
        """Remember."""
        self.heard.append((kind, type_, obj["metadata"]["name"]))
        self.tasks.add(asyncio.current_task())


async def nobody() -> Credentials:
    """Credentials of nobody."""
    return Credentials(server="http://127.0.0.1:1")


def made(ear: Ear) -> kopf.OperatorRegistry:
    """The registry."""
    return registry(SOURCES, ear, nobody)  # type: ignore[arg-type]


def test_nothing_but_event_handlers_is_registered() -> None:
    """Any other kind of handler writes to the objects, and needs the differences that are switched off."""
    found = made(Ear())
    assert len(found._watching.get_all_handlers()) == len(SOURCES)
    for others in (found._changing, found._spawning, found._indexing, found._webhooks):
        assert list(others.get_all_handlers()) == []
    assert isinstance(settings(SOURCES).persistence.diffbase_storage, NoDiffBase)


async def test_an_event_goes_to_the_intake_as_it_is() -> None:
    """Type and object, at once."""
    ear = Ear()
    handlers = {str(h.id): h for h in made(ear)._watching.get_all_handlers()}
    handler: Any = handlers["services"].fn
    await handler(event={"type": "DELETED", "object": {"metadata": {"name": "s"}}})
    assert ear.heard == [("Service", "DELETED", "s")]


def test_nothing_ends_the_operator_by_itself() -> None:
    """No posting, no scanning, no kill of the process, and retries without an end but with pauses that are bounded."""
    found = settings(SOURCES)
    assert found.process.ultimate_exiting_timeout is None
    assert not found.posting.enabled
    assert found.scanning.disabled
    pauses = list(itertools.islice(Endless(), 1000))
    assert 0 < min(pauses) <= max(pauses) < 20


def test_labels_narrow_the_watches_at_the_server() -> None:
    """Only ReplicaSets of ours are watched."""
    found = settings(SOURCES).watching.label_selectors
    assert found["apps", "v1", "replicasets"] == "headgate.dev/rollout"
    assert ("apps", "v1", "deployments") not in found


async def test_tasks_of_others_survive_the_end_of_kopf(monkeypatch: pytest.MonkeyPatch) -> None:
    """When kopf ends it cancels what it started, not what the operator started meanwhile, and it starts again."""
    runs: list[int] = []
    inner: list[asyncio.Task[Any]] = []
    outer: list[asyncio.Task[Any]] = []
    ended = asyncio.Event()

    async def spawn_tasks(**_: Any) -> list[asyncio.Task[Any]]:
        runs.append(1)
        return []

    async def run_tasks(_tasks: Any, *, ignored: Any) -> None:
        inner.append(asyncio.create_task(asyncio.sleep(3600)))
        await asyncio.sleep(0)
        outer.append(started.result())
        assert inner[0] not in ignored
        assert outer[0] in ignored
        ended.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    monkeypatch.setattr(kopf, "run_tasks", run_tasks)
    started: asyncio.Future[asyncio.Task[Any]] = asyncio.get_running_loop().create_future()
    watches = Shell(
        registry=lambda: made(Ear()),
        settings=lambda: settings(SOURCES),
        namespaces=(),
        on_spawned=lambda: None,
        on_ended=lambda: None,
        on_listed=lambda _kind: None,
        beat=lambda: None,
    )
    running = asyncio.create_task(watches.run())
    started.set_result(asyncio.create_task(asyncio.sleep(3600)))
    await ended.wait()
    for task in (running, *inner, *outer):
        task.cancel()
    await asyncio.gather(running, *inner, *outer, return_exceptions=True)
    assert runs == [1]


async def test_kopf_that_does_not_end_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that loses kopf's one cancellation keeps the operator without watches for a moment only, not for ever."""
    inner: list[asyncio.Task[Any]] = []
    ended = asyncio.Event()

    async def deaf() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)

    async def over() -> None:
        raise RuntimeError("a kind is not served any more")

    async def spawn_tasks(**_: Any) -> list[asyncio.Task[Any]]:
        inner.append(asyncio.create_task(deaf()))
        return [asyncio.create_task(over())]

    async def run_tasks(tasks: list[asyncio.Task[Any]], **_: Any) -> None:
        await asyncio.wait(tasks)
        inner[-1].cancel()
        await asyncio.wait(inner)
        tasks[0].result()

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    monkeypatch.setattr(kopf, "run_tasks", run_tasks)
    monkeypatch.setattr(shell, "ENDING_SECONDS", 0.05)
    watches = Shell(
        registry=lambda: made(Ear()),
        settings=lambda: settings(SOURCES),
        namespaces=(),
        on_spawned=lambda: None,
        on_ended=ended.set,
        on_listed=lambda _kind: None,
        beat=lambda: None,
    )
    running = asyncio.create_task(watches.run())
    async with asyncio.timeout(10):
        await ended.wait()
    assert inner[0].done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.looptime
async def test_a_watch_that_waits_for_an_answer_ends_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """kopf ends the watch first, and that its own wait for a pause: the other way round it fails an assertion."""
    told: list[str] = []
    waiters: list[asyncio.Future[Any]] = []
    ended = asyncio.Event()
    answer = asyncio.Event()  # Kept here: a task that waits for what nobody keeps may be collected.

    async def unanswered(**_: Any) -> None:
        try:
            await answer.wait()
        finally:
            await asyncio.sleep(0.01)  # It takes a moment to let a connection go.

    async def watch() -> None:
        paused = aiotoggles.ToggleSet(any)
        where: dict[str, Any] = {"resource": "services.v1", "namespace": None, "operator_paused": paused}
        async with watching.streaming_block(**where) as stopper:
            waiters.append(stopper)
            stream: dict[str, Any] = {"settings": settings(SOURCES), "logger": logging.getLogger("test")}
            async for _ in api.stream("/", stopper=stopper, **stream):
                pass

    async def fails_later() -> None:
        await asyncio.sleep(1)
        raise RuntimeError("a kind is not served any more")

    async def spawn_tasks(**_: Any) -> list[asyncio.Task[Any]]:
        asyncio.create_task(watch())  # noqa: RUF006  kopf keeps none of them either
        return [asyncio.create_task(fails_later())]

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    monkeypatch.setattr(api, "request", unanswered)
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["message"]))
    watches = Shell(
        registry=lambda: made(Ear()),
        settings=lambda: settings(SOURCES),
        namespaces=(),
        on_spawned=lambda: None,
        on_ended=ended.set,
        on_listed=lambda _kind: None,
        beat=lambda: None,
    )
    running = asyncio.create_task(watches.run())
    async with asyncio.timeout(45):  # kopf takes some seconds, on a busy machine many.
        await ended.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert told == []
    assert [w.done() for w in waiters] == [True]


def test_watches_that_fail_together_are_no_errors_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """kopf raises the first failure of several and drops the others; none is reported as an exception nobody took."""
    told: list[str] = []

    async def watcher() -> None:
        raise RuntimeError("a kind is not served any more")

    async def spawn_tasks(**_: Any) -> list[asyncio.Task[Any]]:
        return [asyncio.create_task(watcher()) for _ in range(3)]

    async def run_tasks(tasks: list[asyncio.Task[Any]], **_: Any) -> None:
        await asyncio.wait(tasks)
        tasks[0].result()

    async def run_once() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["message"]))
        watches = Shell(
            registry=lambda: made(Ear()),
            settings=lambda: settings(SOURCES),
            namespaces=(),
            on_spawned=lambda: None,
            on_ended=ended.set,
            on_listed=lambda _kind: None,
            beat=lambda: None,
        )
        running = asyncio.create_task(watches.run())
        async with asyncio.timeout(10):
            await ended.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    monkeypatch.setattr(kopf, "run_tasks", run_tasks)
    # asyncio says it when the tasks go, and they go with everything that knew them.
    asyncio.run(run_once())
    gc.collect()
    assert told == []


def test_watch_lines_are_read_by_the_fast_reader() -> None:
    """What kopf uses of the module json in its streams is there, and nothing more is used than is given."""
    source = inspect.getsource(api)
    read_events_fast()
    used = vars(api)["json"]
    assert set(re.findall(r"(?<![.=(\w])json\.(\w+)", source)) == {"loads"}
    assert used.loads('{"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match="unexpected"):
        used.loads('{"a": ')


async def test_an_event_goes_to_the_handler_of_its_kind_and_nowhere_else() -> None:
    """What kopf calls for an event, by the names of arguments that it calls it with, is ours."""
    # Read from the source, because the function may have been replaced by now.
    arguments = re.search(r"async def process_resource_event\((.*?)\n\)", inspect.getsource(processing), re.DOTALL)
    assert arguments is not None
    taken = set(re.findall(r"^ +(\w+):", arguments[1], re.MULTILINE))
    assert {"registry", "resource", "raw_event"} <= taken
    assert "processing.process_resource_event" in inspect.getsource(running)
    call_event_handlers_only(print)
    ear = Ear()
    event = {"type": "MODIFIED", "object": {"metadata": {"name": "s"}}}
    service = Resource(group="", version="v1", plural="services", kind="Service", namespaced=True)
    process: Any = processing.process_resource_event
    assert await process(registry=made(ear), resource=service, raw_event=event, settings=None) is None
    assert ear.heard == [("Service", "MODIFIED", "s")]


async def test_an_event_that_cannot_be_taken_ends_no_watch(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told in the log, and the next one comes."""
    call_event_handlers_only(print)
    process: Any = processing.process_resource_event
    service = Resource(group="", version="v1", plural="services", kind="Service", namespaced=True)
    await process(registry=made(Ear()), resource=service, raw_event={"type": "MODIFIED", "object": {}})
    assert "an event was not taken" in capsys.readouterr().out


async def watched(monkeypatch: pytest.MonkeyPatch, *rounds: list[Any]) -> tuple[list[str], Ear]:
    """Let kopf's watcher of Services go through rounds of a list and events; gives what it told of lists and events."""
    to_come = iter(rounds)

    async def fetch_objs(**_: Any) -> AsyncIterator[tuple[list[Any], str]]:
        yield [], "7"

    async def watch_objs(**_: Any) -> AsyncIterator[Any]:
        for event in next(to_come):
            yield event
        yield {"type": "ERROR", "object": {"code": 410}}

    async def infinite_watch(**options: Any) -> AsyncIterator[Any]:
        async for event in endless(**options, _iterations=len(rounds)):
            yield event

    endless = watching.infinite_watch
    monkeypatch.setattr(fetching, "fetch_objs", fetch_objs)
    monkeypatch.setattr(watching, "watch_objs", watch_objs)
    monkeypatch.setattr(watching, "infinite_watch", infinite_watch)
    told: list[str] = []
    call_event_handlers_only(told.append)
    kopfs, ear = settings(SOURCES), Ear()
    kopfs.watching.reconnect_backoff = 0.0
    service = Resource(group="", version="v1", plural="services", kind="Service", namespaced=True)
    # As kopf's orchestration calls it.
    process: Any = functools.partial(processing.process_resource_event, registry=made(ear), resource=service)
    await queueing.watcher(
        settings=kopfs,
        resource=service,
        namespace=None,
        operator_paused=None,
        operator_indexed=None,
        resource_indexed=None,
        processor=process,
    )
    return told, ear


async def test_each_list_of_a_watch_is_told_also_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that begins anew and finds nothing has no event for any handler, and is told all the same."""
    told, ear = await watched(monkeypatch, [], [])
    assert told == ["Service", "Service"], "nobody is told of a list"
    assert ear.heard == []


async def test_events_are_taken_in_their_order_and_a_bookmark_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event reaches its handler before the next line is read, without a task for each object."""

    def event(type_: str, name: str) -> dict[str, Any]:
        return {"type": type_, "object": {"metadata": {"name": name, "uid": name, "resourceVersion": "8"}}}

    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    _, ear = await watched(monkeypatch, [event("ADDED", "a"), bookmark, event("MODIFIED", "b"), event("DELETED", "a")])
    assert ear.heard == [("Service", "ADDED", "a"), ("Service", "MODIFIED", "b"), ("Service", "DELETED", "a")]
    assert ear.tasks == {asyncio.current_task()}


def test_kopf_calls_its_watcher_as_ours_is_called() -> None:
    """The arguments of the one that is replaced, and the place that it is called from."""
    found = re.search(r"async def watcher\((.*?)\n\)", inspect.getsource(queueing), re.DOTALL)
    assert found is not None
    assert set(re.findall(r"^ +(\w+):", found[1], re.MULTILINE)) == {
        "namespace",
        "settings",
        "resource",
        "processor",
        "operator_paused",
        "operator_indexed",
        "resource_indexed",
    }
    assert "queueing.watcher(" in inspect.getsource(orchestration)


async def test_kopf_remembers_no_object() -> None:
    """Each event has a record of its own, so that memory does not grow with the number of objects."""
    memories = NoMemories()
    body: Any = {"metadata": {"uid": "u"}}
    first = await memories.recall(body, noticed_by_listing=True)
    assert first.noticed_by_listing
    assert await memories.recall(body) is not first
    assert not list(memories.iter_all_memories())
    assert not list(memories.iter_all_daemon_memories())
    assert "memories" in inspect.signature(kopf.spawn_tasks).parameters
