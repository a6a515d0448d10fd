"""kopf's settings: a quiet shell that writes nothing, never gives up, and keeps nothing it need not."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import kopf

from headgate.engine.sources import Source

LONGEST_PAUSE = 15.0


class NoDiffBase(kopf.DiffBaseStorage):
    """Stores nothing and compares nothing: half of kopf's time for an event is the difference to the last one.

    Safe only while there is no change handler; a test asserts that there is none.
    """

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:  # noqa: ARG002
        """Nothing is worth comparing."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002
        """Nothing was stored."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


class NoProgress(kopf.ProgressStorage):
    """Stores no progress of handlers: event handlers have none. What kopf comes with copies and cleans each object."""

    def fetch(self, *, key: Any, body: kopf.Body) -> kopf.ProgressRecord | None:  # noqa: ARG002
        """There is none."""
        return None

    def store(self, *, key: Any, record: kopf.ProgressRecord, body: kopf.Body, patch: kopf.Patch) -> None:
        """Store nothing."""

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing was stored."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Write nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Nothing is to be taken out."""
        return essence


class Endless(Iterable[float]):
    """Pauses between the tries of one request, growing and jittered, without an end.

    An end would end the operator: an outage of the API server is not a reason to stop watching.
    """

    def __iter__(self) -> Iterator[float]:
        pause = 0.5
        while True:
            yield pause * (0.75 + 0.5 * random.random())
            pause = min(LONGEST_PAUSE, pause * 2)


def settings(sources: Iterable[Source]) -> kopf.OperatorSettings:
    """The settings, and the label selectors that narrow the watches at the server."""
    made = kopf.OperatorSettings()
    # kopf would end the *process* that outlives it by SIGKILL.
    made.process.ultimate_exiting_timeout = None
    made.posting.enabled = False
    # Discovery once at the start; what appears later is found by the engine, which starts the shell anew. Scanning
    # would need the right to list CRDs and namespaces.
    made.scanning.disabled = True
    made.networking.error_backoffs = Endless()
    made.networking.connect_timeout = 3.0
    # Whoever hands back waits for a kind whose list hangs; 500 objects take a busy server a second.
    made.networking.request_timeout = 15.0
    made.watching.connect_timeout = 3.0
    made.watching.chunk_size = 500
    made.persistence.diffbase_storage = NoDiffBase()
    made.persistence.progress_storage = NoProgress()
    # kopf takes its own finalizer off every object that has it, and so would write to what others forged it on. This is
    # a name that the API server accepts on no object.
    made.persistence.finalizer = "headgate: none"
    for source in sources:
        if source.labels:
            where = source.resource
            made.watching.label_selectors[where.group, where.version, where.plural] = source.labels
    return made
