"""The command line of `hack/faults`: records clean runs, makes the plans, carries them out, and reports."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from hack.lib.hgbench.cluster import Cluster, Trouble
from hack.lib.hgprove.campaign import ROOT, Record, Result, in_turn
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.outage import measure
from hack.lib.hgprove.faults.plans import Plan
from hack.lib.hgprove.faults.runner import Pool, Prover, batches_of, in_mixed_order, prover
from hack.lib.hgprove.faults.scenarios import SCENARIOS

INTERRUPTED = 130
PREFIX = "faults"
OUTAGE = "faults-outage"
CONVERGED_WITHIN = 60.0
"""Seconds after an outage in which everything must have caught up."""
_BEGAN = time.monotonic()


def main() -> int:
    """Do what the command line says; gives the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    cluster: Cluster | None = None
    try:
        cluster = Cluster.up(arguments.name, 3)
        cluster.install()
        work = _outage if arguments.outage else _campaign
        return asyncio.run(work(cluster, arguments))
    except Trouble as trouble:
        print(f"hack/faults: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hack/faults: interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        if cluster is not None and not arguments.keep:
            cluster.down()


async def _campaign(cluster: Cluster, arguments: argparse.Namespace) -> int:
    record = Record(arguments.record, resume=arguments.resume)
    async with prover(cluster, arguments.folder, while_seconds=arguments.fault_seconds) as made:
        plans = await _plans(made, arguments)
        todo = [plan for plan in plans if not record.done(plan.id)]
        _say(f"{len(plans)} plans, {len(plans) - len(todo)} of them done before; {arguments.parallel} operators")
        count = 0

        def took(result: Result) -> None:
            nonlocal count
            count += 1
            record.add(result)
            if not result.ok:
                _say(f"ALARM {result.item}: {result.problem[:600]}")
            elif count % 50 == 0:
                _say(f"{count} of {len(todo)} plans")

        pool = Pool(made, PREFIX, arguments.parallel, took)
        try:
            await pool.up()
            await pool.run(in_turn(batches_of(todo), seconds=arguments.seconds))
        finally:
            await pool.down()
    return _report(record, plans)


async def _outage(cluster: Cluster, arguments: argparse.Namespace) -> int:
    async with prover(cluster, arguments.folder, while_seconds=arguments.fault_seconds) as made:
        _say(f"{arguments.rollouts} Rollouts change while the API server is gone for {arguments.outage:.0f} s")
        found = await measure(made, OUTAGE, seconds=arguments.outage, rollouts=arguments.rollouts)
    for problem in found.problems:
        print(f"  {problem}")
    if found.converged:
        middle, last = found.converged[len(found.converged) // 2], found.converged[-1]
        print(
            f"{len(found.converged)} of {found.rollouts} Rollouts healthy with the new version after an outage of "
            f"{found.seconds:.0f} s: half of them {middle:.1f} s after its end, all {last:.1f} s after it"
        )
    return 1 if found.problems or found.converged[-1:] > [CONVERGED_WITHIN] else 0


async def _plans(made: Prover, arguments: argparse.Namespace) -> list[Plan]:
    lane = Lane(made.site, f"{PREFIX}-clean")
    try:
        await lane.up()
        _say("recording clean runs")
        plans = await made.record([SCENARIOS[name] for name in arguments.scenario or SCENARIOS], lane)
    finally:
        await lane.down()
    if arguments.plan:
        chosen = [plan for plan in plans if plan.id in arguments.plan]
        missing = set(arguments.plan) - {plan.id for plan in chosen}
        if missing:
            raise Trouble(f"no such plan: {', '.join(sorted(missing))}")
        return chosen
    mixed = in_mixed_order(plans)
    return mixed if arguments.plans == "all" else mixed[: int(arguments.plans)]


def _report(record: Record, plans: list[Plan]) -> int:
    wanted = {plan.id for plan in plans}
    results = [result for item, result in record.results.items() if item in wanted]
    alarms = [result for result in results if not result.ok]
    by_kind, bad = Counter(r.kind for r in results), Counter(r.kind for r in alarms)
    for kind, number in sorted(by_kind.items()):
        print(f"  {kind:26} {number:5} plans {bad[kind]:4} alarms")
    for result in alarms:
        print(f"\n{result.item}\n  {result.problem}")
        print(f"  again: hack/faults --scenario {result.item.split('|')[0]} --plan '{result.item}'")
        for line in result.story:
            print(f"    {line}")
    print(f"\n{len(results)} of {len(plans)} plans run, {len(alarms)} alarms; record: {record.path}")
    return 1 if alarms else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="hack/faults",
        description="Runs releases while a proxy before a real API server injects one fault in each, and compares the "
        "end with that of a clean run. Promotion from one Environment to the next is no scenario yet: Environments "
        "do not promote so far.",
    )
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="only this one; repeatable")
    parser.add_argument("--plans", default="all", help="how many, as a sample of all kinds, or `all` (default)")
    parser.add_argument("--plan", action="append", metavar="ID", help="only this plan; repeatable")
    parser.add_argument("--resume", action="store_true", help="skip what the record holds already")
    parser.add_argument("--parallel", type=int, default=8, help="operators at the same time (default 8)")
    parser.add_argument("--seconds", type=float, help="begin no more plans after this time")
    parser.add_argument("--fault-seconds", type=float, default=8.0, help="length of the faults that last (default 8)")
    parser.add_argument("--outage", type=float, metavar="SECONDS", help="instead: the API server is gone for so long")
    parser.add_argument("--rollouts", type=int, default=20, help="how many change in the outage (default 20)")
    parser.add_argument("--record", type=Path, default=ROOT / "build" / "campaigns" / "faults.jsonl", metavar="FILE")
    parser.add_argument("--name", default="faults", help="name of the light cluster (default faults)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    arguments = parser.parse_args()
    arguments.folder = _cache() / "faults" / arguments.name
    if arguments.plan:
        arguments.record = arguments.folder / "single.jsonl"
    return arguments


def _cache() -> Path:
    if named := os.environ.get("HEADGATE_CACHE"):
        return Path(named).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser().resolve() / "headgate"


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:6.1f}s] {text}", file=sys.stderr, flush=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
