"""One run over cases: what the schemas refuse is asked of the server alone, the rest is tried in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from hack.lib.hgprove.campaign import Result
from hack.lib.hgprove.generated.cases import Case
from hack.lib.hgprove.generated.trials import Trials

BATCH = 50
"""Applications at the same time."""


def run(
    trials: Trials, cases: Sequence[Case], *, seconds: float | None = None, say: Callable[[str], None] = lambda _: None
) -> Iterator[Result]:
    """Try them, until they are through or the time is over; a batch that began is finished."""
    end = time.monotonic() + seconds if seconds is not None else None
    waiting: list[Case] = []
    for case in cases:
        if end is not None and time.monotonic() >= end:
            return
        result = trials.refusal(case)
        if result is not None:
            yield result
        elif case.kind == "Environment":
            yield trials.environment(case)
        else:
            waiting.append(case)
        if len(waiting) >= BATCH:
            say(f"trying {len(waiting)} objects, from {waiting[0].id} on")
            yield from trials.batch(waiting)
            waiting = []
    if waiting:
        yield from trials.batch(waiting)
