"""The campaign of the model check: looks at every state of the named worlds, and keeps what was seen of each."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from hack.lib.hgprove.campaign import ROOT, Record, Result
from headgate import sparing
from tests.simulation.model.search import LIMIT, Report, explore
from tests.simulation.model.worlds import BY_NAME, WORLDS

RESULTS = ROOT / "build" / "campaigns" / "model.jsonl"


def main() -> int:
    """The command; 0 if every state that was looked at is as it must be."""
    wanted = arguments()
    chosen = [w.name for w in WORLDS] if wanted.world == "all" else wanted.world.split(",")
    unknown = [name for name in chosen if name not in BY_NAME]
    if unknown:
        print(f"there is no world {unknown[0]!r}; there are: {', '.join(BY_NAME)}", file=sys.stderr)
        return 2
    record = Record(wanted.results, resume=wanted.resume)
    todo = [name for name in chosen if not record.done(name) or not record.results[name].ok]
    until = None if wanted.seconds is None else time.monotonic() + wanted.seconds
    began = time.monotonic()
    tasks = [(name, wanted.small, wanted.limit, until) for name in todo]
    # Who ends this ends the processes, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A process for each world: what it took is given back at its end.
    with multiprocessing.get_context("spawn").Pool(wanted.jobs, maxtasksperchild=1) as pool:
        for report, megabytes in pool.imap_unordered(look, tasks, chunksize=1):
            print(f"{report}, {megabytes:,} MB", flush=True)
            if report.problem:
                print("\n".join(["", report.problem, *(f"  {line}" for line in report.story), ""]), flush=True)
            if report.complete or report.problem:
                record.add(result(report))
    told(record, time.monotonic() - began)
    return 1 if record.failures() else 0


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="hack/model", description=__doc__)
    parser.add_argument("--world", default="all", help=f"names with commas between, of: {', '.join(BY_NAME)}")
    parser.add_argument("--small", action="store_true", help="the small forms that the test command looks at")
    parser.add_argument("--limit", type=int, default=LIMIT, help="states of one world at most")
    parser.add_argument("--seconds", type=float, help="begin nothing and go on with nothing after so long")
    parser.add_argument("--jobs", type=int, default=2, help="worlds at the same time")
    parser.add_argument("--resume", action="store_true", help="leave out the worlds that the record knows as a whole")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the record, as JSON lines")
    return parser.parse_args()


def look(task: tuple[str, bool, int, float | None]) -> tuple[Report, int]:
    """Look at one world, in a process of its own."""
    name, small, limit, until = task
    sparing.the_collector()
    world = BY_NAME[name]
    seconds = None if until is None else max(0.0, until - time.monotonic())
    report = explore(world, world.slice if small else world.budget, limit=limit, seconds=seconds)
    return report, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def result(report: Report) -> Result:
    """For the record: the figures are its kind."""
    figures = {k: v for k, v in asdict(report).items() if k not in ("problem", "story", "world")}
    return Result(
        item=report.world,
        ok=not report.problem,
        problem=report.problem,
        story=report.story,
        seconds=report.seconds,
        kind=json.dumps(figures),
    )


def told(record: Record, seconds: float) -> None:
    """The sum of everything that the record knows."""
    figures = [json.loads(r.kind) for r in record.results.values()]
    total = {k: sum(f[k] for f in figures) for k in ("states", "worlds", "transitions", "decisions", "seconds")}
    print(
        f"{len(figures)} worlds as a whole: {total['states']:,} states ({total['worlds']:,} without the budget), "
        f"{total['transitions']:,} transitions, {total['decisions']:,} decisions, {total['seconds']:,.0f} s of CPU; "
        f"{len(record.failures())} of them with a problem; this run took {seconds:,.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
