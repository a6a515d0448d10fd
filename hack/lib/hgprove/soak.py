"""`hack/soak`: many Rollouts, each changed every two minutes, faults at random; memory, watches and CPU over time."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hack.lib.hgbench.cluster import Cluster, Trouble
from hack.lib.hgprove.campaign import ROOT
from hack.lib.hgprove.faults.calls import Call
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.runner import Prover, prover
from hack.lib.hgprove.faults.scenarios import GATED, GOOD, App, Late
from hack.lib.hgprove.faults.writes import TREATMENTS, RequestRule

EVERY = 120.0
"""Seconds between two revisions of one Rollout."""
PATIENCE = 300.0
SAMPLE_EVERY = 5.0
WARM_UP_SHARE = 0.3
"""Of the time, in which memory may grow: caches fill, and each code path runs for the first time."""
MOST_SLOPE = 1.0
"""MiB in an hour."""
FAULT_SHARE = 0.01
"""Of the writes meet a fault."""
TICK = os.sysconf("SC_CLK_TCK")
FAULTS = (
    "conflict",
    "failed",
    "failed-applied",
    "unavailable",
    "throttled-1",
    "refused",
    "body-cut",
    "gateway-timeout",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The operator at one moment."""

    seconds: float
    rss: float
    """MiB."""
    cpu: float
    """Seconds so far."""
    watches: int
    releases: int
    """Finished so far."""


@dataclass
class Soak:
    """What runs, and what was seen."""

    made: Prover
    lane: Lane
    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    releases: int = 0
    late: list[str] = field(default_factory=list)

    async def keep_releasing(self, number: int, ends: float) -> None:
        """Deploy one application and change it again and again."""
        app = App(
            self.made.site.client, self.made.history.follow(self.lane.name, f"w{number}"), self.made.site.answers,
            GATED, PATIENCE,
        )  # fmt: skip
        app.answers[app.canary] = GOOD
        version = 1
        try:
            await app.deploy()
            await app.healthy(1)
            # Spread over the interval, as the releases of many teams are.
            await asyncio.sleep(random.Random(number).uniform(0, EVERY))
            while time.monotonic() < ends:
                begun = time.monotonic()
                version = 3 if version == 2 else 2
                await app.change(version)
                await app.healthy(version)
                self.releases += 1
                app.story.versions.clear()
                await asyncio.sleep(max(0.0, begun + EVERY - time.monotonic()))
        except Late as late:
            self.late.append(f"{app.name}: {late}")

    async def watch(self, ends: float) -> None:
        """Take samples, and forget what the proxy recorded."""
        pid = self.lane.operator.pid
        while time.monotonic() < ends:
            rss, cpu = usage(pid)
            open_streams = len([s for s in self.lane.proxy.streams if not s.ended])
            self.samples.append(Sample(time.monotonic() - self.began, rss, cpu, open_streams, self.releases))
            self.lane.proxy.recorded.clear()
            await asyncio.sleep(SAMPLE_EVERY)


def usage(pid: int) -> tuple[float, float]:
    """Memory in MiB and CPU seconds so far of a process."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    return rss, (int(stat[11]) + int(stat[12])) / TICK


class Sometimes(RequestRule):
    """A fault for a few of the writes."""

    def __init__(self, fault: str, rand: random.Random, share: float) -> None:
        def matches(call: Call) -> bool:
            return call.effective and rand.random() < share

        super().__init__(matches, TREATMENTS[fault], fault, seconds=float("inf"))


def slope(samples: Sequence[Sample]) -> float:
    """MiB in an hour, by least squares over what comes after the warm-up."""
    if not samples:
        return 0.0
    start = samples[-1].seconds * WARM_UP_SHARE
    rows = [(s.seconds / 3600, s.rss) for s in samples if s.seconds >= start]
    middle, mean = sum(x for x, _ in rows) / len(rows), sum(y for _, y in rows) / len(rows)
    spread = sum((x - middle) ** 2 for x, _ in rows)
    return sum((x - middle) * (y - mean) for x, y in rows) / spread if spread else 0.0


async def soak(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Run; gives the exit status."""
    async with prover(cluster, arguments.folder, while_seconds=0.0) as made:
        lane = Lane(made.site, "soak")
        rand = random.Random(arguments.seed)
        lane.proxy.rules.extend(Sometimes(fault, rand, FAULT_SHARE / len(FAULTS)) for fault in FAULTS)
        await lane.up()
        run = Soak(made, lane)
        ends = run.began + 60 * arguments.minutes
        try:
            work = (run.keep_releasing(number, ends) for number in range(1, arguments.rollouts + 1))
            await asyncio.gather(run.watch(ends), *work)
            complaints = lane.complaints()
        finally:
            await lane.down()
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps([asdict(s) for s in run.samples]))
    return report(run, complaints, arguments)


def report(run: Soak, complaints: Sequence[str], arguments: argparse.Namespace) -> int:
    """Print what came out; gives the exit status."""
    first, last = run.samples[0], run.samples[-1]
    warm = [s for s in run.samples if s.seconds >= last.seconds * WARM_UP_SHARE]
    watches = {s.watches for s in warm}
    grows = slope(run.samples)
    print(f"rollouts     {arguments.rollouts} for {last.seconds / 60:.0f} min, {run.releases} releases")
    print(
        f"memory       {first.rss:.0f} MiB at first, {last.rss:.0f} MiB at last; {grows:+.1f} MiB/h after the warm-up"
    )
    print(f"watches      {min(watches)} to {max(watches)} open after the warm-up")
    print(f"CPU          {100 * (last.cpu - first.cpu) / (last.seconds - first.seconds):.0f} % of a core")
    print(f"late         {len(run.late)}; exceptions in the log: {len(complaints)}")
    for line in [*run.late[:5], *complaints[:5]]:
        print(f"  {line[:300]}")
    print(f"samples      {arguments.json}")
    return 1 if run.late or complaints or len(watches) > 1 or grows >= MOST_SLOPE else 0


def main() -> int:
    """Do what the command line says; gives the exit status."""
    parser = argparse.ArgumentParser(prog="hack/soak", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=500, help="how many (default 500)")
    parser.add_argument("--minutes", type=float, default=60, help="for how long (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default 1)")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "campaigns" / "soak.json", help="the samples")
    parser.add_argument("--name", default="soak", help="name of the light cluster (default soak)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    arguments = parser.parse_args()
    arguments.folder = ROOT / "build" / "soak" / arguments.name
    cluster: Cluster | None = None
    try:
        cluster = Cluster.up(arguments.name, 3)
        cluster.install()
        return asyncio.run(soak(cluster, arguments))
    except Trouble as trouble:
        print(f"hack/soak: {trouble}", file=sys.stderr)
        return 1
    finally:
        if cluster is not None and not arguments.keep:
            cluster.down()


if __name__ == "__main__":
    sys.exit(main())
