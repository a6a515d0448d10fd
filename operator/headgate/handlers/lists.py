"""Tells when kopf has listed a kind: handlers hear of the objects in a list, and of an empty one nothing at all.

The place is kopf's own, not its interface; `tests/unit/test_handlers.py` fails when a new version moves it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from kopf._cogs.clients import watching

_watch = watching.infinite_watch


def tell_lists(told: Callable[[str], None]) -> None:
    """Let `told` be called with the kind whenever a watch of it has begun (anew) with a whole list."""

    async def watch(**options: Any) -> AsyncIterator[Any]:
        async for event in _watch(**options):
            if event is watching.Bookmark.LISTED:
                told(str(options["resource"].kind))
            yield event

    vars(watching)["infinite_watch"] = watch
