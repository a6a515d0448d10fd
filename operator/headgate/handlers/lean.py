"""What kopf does for each event and keeps for each object, done with less: a fleet has ten objects for each Rollout.

Both places are kopf's own, not its interface; `tests/unit/test_handlers.py` fails when a new version moves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from kopf._cogs.clients import api
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory


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
