"""Runs kopf inside the operator's own loop, and starts it again whenever it ends."""

from __future__ import annotations

import asyncio
import contextvars
import time
import weakref
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from typing import Any

import kopf

from headgate.handlers.lean import NoMemories, call_event_handlers_only, read_events_fast
from headgate.telemetry.logs import logger

LONGEST_PAUSE = 30.0
GOOD_SECONDS = 60.0
"""A run of this length was a good one: the next pause is short again."""
BEAT_SECONDS = 10.0
STOP_SECONDS = 2.0
ENDING_SECONDS = 15.0
"""What kopf may take to end its tasks, once one that never should has ended; it gives some of them five seconds."""
CANCELS = 5
PAUSE_WAITER = "pause-waiter for "
"""How kopf begins the names of the tasks in which its watches wait for a pause; a test fails when that changes."""

log = logger(__name__)
_inside = contextvars.ContextVar("inside kopf", default=False)
Task = asyncio.Task[Any]


class _NotOf(Collection[Task]):
    """All tasks but those of kopf: what it must leave alone when it ends.

    kopf cancels every task that began after itself, as it cannot tell whose they are. We can: its tasks inherit its
    context. Those in which a watch waits for a pause of kopf's end with the watch: cancelled before it, they run into
    an assertion of kopf's if the watch still waits for an answer.
    """

    def __init__(self, of_kopf: weakref.WeakSet[Task]) -> None:
        self._of_kopf = of_kopf

    def __contains__(self, task: object) -> bool:
        return task not in self._of_kopf or _ends_with_its_watch(task)

    def __iter__(self) -> Iterator[Task]:
        return iter(t for t in asyncio.all_tasks() if t in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Shell:
    """The watches."""

    def __init__(
        self,
        *,
        registry: Callable[[], kopf.OperatorRegistry],
        settings: Callable[[], kopf.OperatorSettings],
        namespaces: Sequence[str],
        on_spawned: Callable[[], None],
        on_ended: Callable[[], None],
        on_listed: Callable[[str], None],
        beat: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._namespaces = namespaces
        self._on_spawned = on_spawned
        self._on_ended = on_ended
        self._on_listed = on_listed
        self._beat = beat
        self._tasks: weakref.WeakSet[Task] = weakref.WeakSet()
        self._stop = asyncio.Event()

    def restart(self) -> None:
        """End the present run, so that the next one watches what was not there before."""
        self._stop.set()

    async def run(self) -> None:
        """Run kopf for ever."""
        self._mark_tasks()
        read_events_fast()
        call_event_handlers_only(self._on_listed)
        pause = 1.0
        while True:
            began = time.monotonic()
            self._stop = asyncio.Event()
            # In a task of its own, whose context marks what it starts.
            task = asyncio.create_task(self._once(self._stop), name="kopf")
            try:
                while not task.done():
                    self._beat()
                    await asyncio.wait({task}, timeout=BEAT_SECONDS)
            except asyncio.CancelledError:
                await self._end(task)
                raise
            error = None if task.cancelled() else task.exception()
            asked = self._stop.is_set()
            if time.monotonic() - began > GOOD_SECONDS or asked:
                pause = 1.0
            log.log(
                20 if asked else 30,
                "the watches ended and start again",
                pause=pause,
                asked=asked,
                error=type(error).__name__ if error else "",
            )
            self._on_ended()
            self._beat()
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _end(self, task: Task) -> None:
        """Let kopf close its connections; it knows a polite request by the flag and takes a moment."""
        self._stop.set()
        await asyncio.wait({task}, timeout=STOP_SECONDS)
        task.cancel()

    async def _once(self, stop: asyncio.Event) -> None:
        _inside.set(True)
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=self._settings(),
            memories=NoMemories(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop,
            # For peering, which is off. Without one kopf asks for the user's name, and a container's user has none.
            identity="headgate",  # type: ignore[arg-type]
        )
        # It has just taken the signals; they are the operator's.
        self._on_spawned()
        running = asyncio.create_task(kopf.run_tasks(tasks, ignored=_NotOf(self._tasks)), name="kopf's run")
        try:
            await asyncio.wait({*tasks, running}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({running}, timeout=ENDING_SECONDS)
            if not running.done():
                await self._abandon()
        finally:
            running.cancel()
        if running.done() and not running.cancelled():
            running.result()

    async def _abandon(self) -> None:
        """Cancel what kopf waits for, again and again.

        kopf cancels a task once and waits without an end; one that loses that in the end of a request would leave the
        operator without watches for ever, with nobody told.
        """
        left = {t for t in self._tasks if not t.done() and not _ends_with_its_watch(t)}
        log.warning("the watches do not end by themselves", tasks=sorted(t.get_name() for t in left)[:10])
        for _ in range(CANCELS):
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=1.0)
            if not left:
                return

    def _mark_tasks(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.get_task_factory()

        def factory(
            loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
        ) -> asyncio.Future[Any]:
            task = before(loop, coroutine, **options) if before else Task(coroutine, loop=loop, **options)
            if _inside.get():
                self._tasks.add(task)  # type: ignore[arg-type]
                task.add_done_callback(_look_at)
            return task

        loop.set_task_factory(factory)  # type: ignore[arg-type]


def _ends_with_its_watch(task: object) -> bool:
    return isinstance(task, asyncio.Task) and task.get_name().startswith(PAUSE_WAITER)


def _look_at(task: asyncio.Future[Any]) -> None:
    """Take the error of a task that failed.

    kopf logs the failure of each watch, but when several fail together (a whole API is not served) it raises the first
    only and drops the others unseen, which asyncio reports as errors of the program.
    """
    if not task.cancelled() and (error := task.exception()) is not None:
        log.debug("a task of the watches failed", error=type(error).__name__)
