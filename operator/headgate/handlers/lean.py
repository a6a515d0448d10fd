"""What kopf does for each event and keeps for each object, done with less: a fleet has ten objects for each Rollout.

All these places are kopf's own, not its interface; `tests/unit/test_handlers.py` fails when a new version moves them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from typing import Any

import orjson
from kopf._cogs.clients import api, watching
from kopf._core.reactor import processing, queueing
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from headgate.telemetry.logs import logger

log = logger(__name__)


class NoMemories(ResourceMemories):
    """Remembers nothing of any object: event handlers have no daemons, no progress and no memo.

    kopf keeps a record for each object that it ever heard of, as long as that exists: 2 KB each.
    """

    async def recall(self, raw_body: Any, *, noticed_by_listing: bool = False, **_: Any) -> ResourceMemory:  # noqa: ARG002
        """A new record, which goes with the event."""
        return ResourceMemory(noticed_by_listing=noticed_by_listing)

    async def forget(self, raw_body: Any) -> None:
        """Nothing was kept."""

    def iter_all_memories(self) -> Iterator[ResourceMemory]:
        """There are none."""
        return iter(())


class _Json:
    """The one function of the module `json` that kopf's watch streams use."""

    JSONDecodeError = orjson.JSONDecodeError
    loads = staticmethod(orjson.loads)


def read_events_fast() -> None:
    """Let kopf read watch lines by orjson: a third of the time, and one copy of each key for all objects."""
    vars(api)["json"] = _Json


def call_event_handlers_only(listed: Callable[[str], None]) -> None:
    """Let kopf give an event to the handlers of its kind, at once and in its turn, and do nothing else with it.

    What it does besides serves handlers that there are none of: differences, finalizers, progress, indices, patches,
    and a task of its own for each object, so that a slow handler delays no other object. It took a quarter of the
    operator's time.

    Args:
        listed: is called with the kind whenever a watch of it has begun (anew) with a whole list, of which an empty
            one brings no event.
    """

    async def watcher(
        *,
        namespace: Any,
        settings: Any,
        resource: Any,
        processor: Callable[..., Awaitable[None]],
        operator_paused: Any = None,
        operator_indexed: Any = None,
        resource_indexed: Any = None,
    ) -> None:
        """Hand on the events of one kind, for ever."""
        stream = watching.infinite_watch(
            settings=settings, resource=resource, namespace=namespace, operator_paused=operator_paused
        )
        async for event in stream:
            if event is watching.Bookmark.LISTED:
                listed(str(resource.kind))
                if operator_indexed is not None and resource_indexed is not None:
                    await operator_indexed.drop_toggle(resource_indexed)
            elif event.get("type") != "BOOKMARK":
                await processor(raw_event=event)

    vars(queueing)["watcher"] = watcher
    vars(processing)["process_resource_event"] = _process


async def _process(*, registry: Any, resource: Any, raw_event: Any, **_: Any) -> None:
    """One event of one object; None says that nothing was written."""
    for handle in _handlers(registry, resource):
        try:
            await handle(event=raw_event)
        except Exception:
            log.exception("an event was not taken", kind=resource.kind)


@lru_cache
def _handlers(registry: Any, resource: Any) -> tuple[Callable[..., Awaitable[None]], ...]:
    """Those of this kind; they are all known before the first watch begins."""
    every = registry._watching.get_all_handlers()  # noqa: SLF001  kopf has no other way to them
    return tuple(handler.fn for handler in every if handler.selector.check(resource))
