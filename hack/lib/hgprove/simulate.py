"""The command `hack/simulate`: many seeds of the simulation in several processes, or the story of one."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hack.lib.hgprove.campaign import ROOT, Record, Result, lower_bound, rotation
from headgate import sparing
from tests.simulation.shell.history import Outcome, run
from tests.simulation.shell.scenario import Scenario, scenario
from tests.simulation.shell.shrink import shrink
from tests.simulation.test_seeds import one_history

BATCH = 50
"""Seeds that one process takes at a time, and one line of the record."""
ALL_SEEDS = 10_000_000
STORIES = 5
"""Failures that are told as a whole at the end; the others by their seed."""
LINES = 120
UNSERVED = 0.01
"""The chance at each request that a whole kind is not served from then on, if such faults are wanted."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of some seeds in a row."""

    first: int
    count: int
    failures: tuple[tuple[int, str], ...]
    seconds: float


def of_seed(seed: int, *, unserved: bool = False) -> Scenario:
    """The scenario of a seed; if wanted, one in which whole kinds are not served for a while."""
    return replace(scenario(seed), unserved=UNSERVED) if unserved else scenario(seed)


def shell_batch(first: int, count: int, *, unserved: bool = False) -> Batch:
    """Seeds of the whole shell."""
    began = time.process_time()
    failures = []
    for seed in range(first, first + count):
        problem = run(of_seed(seed, unserved=unserved)).problem
        if problem:
            failures.append((seed, problem))
    return Batch(first, count, tuple(failures), time.process_time() - began)


def core_batch(first: int, count: int) -> Batch:
    """Seeds of the deciding core."""
    began = time.process_time()
    failures = []
    for seed in range(first, first + count):
        try:
            one_history(seed)
        except AssertionError as problem:
            failures.append((seed, str(problem)))
    return Batch(first, count, tuple(failures), time.process_time() - began)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line says."""
    wanted = _parser().parse_args(arguments)
    # Dying of it at once would leave the processes of the pool behind, waiting for work.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if wanted.seed is not None:
        if wanted.core:
            return _one_core(wanted.seed)
        return _one(of_seed(wanted.seed, unserved=wanted.unserved), trace=wanted.trace, smaller=wanted.shrink)
    seeds = wanted.seeds if wanted.seeds is not None else (ALL_SEEDS if wanted.seconds else 1000)
    first = wanted.first if wanted.first is not None else (rotation(ALL_SEEDS) if wanted.seconds else 0)
    work = core_batch if wanted.core else partial(shell_batch, unserved=wanted.unserved)
    name = "simulate" + ("-core" if wanted.core else "-unserved" if wanted.unserved else "")
    record = Record(ROOT / "build" / "campaigns" / f"{name}.jsonl", resume=wanted.resume)
    _campaign(record, first, seeds, work=work, jobs=wanted.jobs, seconds=wanted.seconds)
    return _report(record, core=wanted.core, unserved=wanted.unserved)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hack/simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many (1000; with --seconds as many as fit)")
    parser.add_argument("--from", type=int, dest="first", metavar="S", help="the first one (0; with --seconds another)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument("--seconds", type=float, help="begin no more batches after so long")
    parser.add_argument("--resume", action="store_true", help="keep what the record has, and run what it has not")
    parser.add_argument("--seed", type=int, help="one history only")
    parser.add_argument("--trace", action="store_true", help="tell its whole story")
    parser.add_argument("--shrink", action="store_true", help="look for a smaller one that fails in the same way")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--core", action="store_true", help="the deciding core alone")
    which.add_argument("--unserved", action="store_true", help="whole kinds are not served for a while, too")
    return parser


# ------------------------------------------------------------------------------------------------------------------ one


def _one(of: Scenario, *, trace: bool, smaller: bool) -> int:
    if smaller:
        of = shrink(of)
    outcome = run(of, trace=True)
    print("\n".join(told(outcome, whole=trace or smaller)))
    return 1 if outcome.problem else 0


def _one_core(seed: int) -> int:
    try:
        world = one_history(seed)
    except AssertionError as problem:
        print(f"seed {seed}: {problem}")
        return 1
    print("\n".join([*world.story, f"seed {seed} holds"]))
    return 0


def told(outcome: Outcome, *, whole: bool = False) -> list[str]:
    """A history for people: what was to happen, what did, and how to repeat it."""
    of: Scenario = outcome.scenario or scenario(outcome.seed)
    story = outcome.story if whole else outcome.story[-LINES:]
    faults = ", ".join(f"{count} x {what}" for what, count in sorted(outcome.faults.items())) or "none"
    end = f"BROKEN  {outcome.problem}" if outcome.problem else f"holds: {outcome.phase}"
    return [
        *of.describe(),
        *(["..."] if len(story) < len(outcome.story) else []),
        *story,
        f"faults: {faults}",
        f"{end} ({outcome.writes} writes in {outcome.virtual:.0f} s of its own time)",
        f"repeat it: ./hack/simulate{' --unserved' if of.unserved else ''} --seed {outcome.seed} --trace",
    ]


# ------------------------------------------------------------------------------------------------------------- campaign


def _campaign(
    record: Record, first: int, seeds: int, *, work: Callable[[int, int], Batch], jobs: int, seconds: float | None
) -> None:
    end = time.monotonic() + seconds if seconds is not None else float("inf")
    todo = (b for b in _batches(first, seeds) if not record.done(_item(*b)))
    began, done, broken = time.monotonic(), 0, 0
    with ProcessPoolExecutor(jobs, max_tasks_per_child=40, initializer=sparing.the_collector) as pool:
        under_way: set[Future[Batch]] = set()
        while True:
            while len(under_way) < jobs + 1 and time.monotonic() < end and (batch := next(todo, None)) is not None:
                under_way.add(pool.submit(work, *batch))
            if not under_way:
                return
            finished, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in finished:
                found = one.result()
                _keep(record, found)
                done += found.count
                broken += len(found.failures)
                if sys.stderr.isatty() or done % 5000 < BATCH:
                    rate = done / (time.monotonic() - began)
                    print(f"{done} seeds, {broken} broken, {rate:.1f} seeds/s", file=sys.stderr)


def _batches(first: int, seeds: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, first + seeds, BATCH):
        yield begin, min(BATCH, first + seeds - begin)


def _item(first: int, count: int) -> str:
    return f"{first}-{first + count - 1}"


def _keep(record: Record, batch: Batch) -> None:
    problem = "; ".join(f"seed {seed}: {what.splitlines()[0]}" for seed, what in batch.failures)
    item = _item(batch.first, batch.count)
    record.add(Result(item, not batch.failures, problem, seconds=round(batch.seconds, 2), kind=str(batch.count)))


def _report(record: Record, *, core: bool, unserved: bool) -> int:
    results = list(record.results.values())
    seeds = sum(int(r.kind) for r in results)
    seconds = sum(r.seconds for r in results)
    broken = [int(found) for r in record.failures() for found in re.findall(r"(?:^|; )seed (\d+): ", r.problem)]
    for number, seed in enumerate(broken[:STORIES], start=1):
        print(f"\n--- {number} of {len(broken)} ---")
        _tell_broken(seed, core=core, unserved=unserved)
    for result in record.failures():
        print(result.problem)
    what = "the core" if core else "the shell"
    bound = lower_bound(seeds - len(broken), seeds)
    print(
        f"{seeds} seeds of {what}, {len(broken)} broken, {seconds:.0f} s of CPU; at least {bound:.4%} hold "
        f"(95 % confidence); kept in {_shown(record.path)}"
    )
    return 1 if broken else 0


def _tell_broken(seed: int, *, core: bool, unserved: bool) -> None:
    if core:
        _one_core(seed)
        return
    smaller = shrink(of_seed(seed, unserved=unserved))
    print("\n".join(told(run(smaller, trace=True))))


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
