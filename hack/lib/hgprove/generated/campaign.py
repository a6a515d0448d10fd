"""One run over cases: what the schemas refuse is asked of the server alone, the rest is tried in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from hack.lib.hgprove.campaign import Result
from hack.lib.hgprove.generated.bases import APART
from hack.lib.hgprove.generated.cases import Case
from hack.lib.hgprove.generated.trials import Trials

BATCH = 50
"""Applications at the same time."""


def run(
    trials: Trials,
    cases: Sequence[Case],
    *,
    seconds: float | None = None,
    batch_size: int = BATCH,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Result]:
    """Try them, until they are through or the time is over; a batch that began is finished.

    The server alone is asked first, which is quick, for half of the time at most; then comes what was taken.
    """
    began, span = time.monotonic(), seconds if seconds is not None else float("inf")
    taken: list[Case] = []
    for case in cases:
        if time.monotonic() - began >= span / 2:
            break
        result = trials.refusal(case)
        if result is not None:
            yield result
        elif case.kind == "Environment":
            yield trials.environment(case)
        elif case.base in APART:
            yield trials.apart(case)
        else:
            taken.append(case)
    for first in range(0, len(taken), batch_size):
        if first and time.monotonic() - began >= span:
            return
        batch = taken[first : first + batch_size]
        say(f"trying {len(batch)} objects, from {batch[0].id} on; {len(taken) - first} are left")
        yield from trials.batch(batch)
