"""`hack/soak`: many Rollouts, each changed every two minutes, faults at random; memory, watches and CPU over time."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from hack.lib.hgbench.cluster import Cluster, Trouble
from hack.lib.hgprove.campaign import ROOT
from hack.lib.hgprove.faults.calls import Call
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.process import Standing
from hack.lib.hgprove.faults.runner import Prover, prover
from hack.lib.hgprove.faults.scenarios import GATED, GOOD, App, Late
from hack.lib.hgprove.faults.writes import TREATMENTS, RequestRule

PATIENCE = 300.0
SAMPLE_EVERY = 5.0
SAY_EVERY = 30.0
WARM_UP_SHARE = 0.3
"""Of the time, in which memory may grow: each code path runs for the first time."""
WARM_UP_RELEASES = 400
"""In which memory may grow, too: the operator keeps some thousand of the texts and times that it wrote last."""
MOST_SLOPE = 1.0
"""MiB in an hour."""
PARTS = 8
"""Into how many the time after the warm-up is cut, to tell how sure a slope is."""
USUAL_SHARE = 0.9
"""Of the samples have the usual number of watches: the server ends each now and then, and it is opened again."""
DEPLOYED_AT_ONCE = 20
FAULT_SHARE = 0.01
"""Of the writes meet a fault."""
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
INTERRUPTED = 130
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """The operator at one moment."""

    seconds: float
    """Since the beginning, those aside in which it was frozen between two parts of a soak."""
    rss: float
    """MiB."""
    cpu: float
    """Seconds so far."""
    watches: int
    files: int
    """Open ones, connections among them."""
    releases: int
    """Finished so far."""


@dataclass
class State:
    """What another session needs to go on."""

    namespace: str
    rollouts: int
    pid: int = 0
    started: int = 0
    proxy_port: int = 0
    provider_port: int = 0
    logged: int = 0
    """How much of the operator's log was judged."""
    late: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State | None:
        """Read it; None if there is none."""
        if not path.exists():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**found | {"samples": [Sample(**sample) for sample in found["samples"]]})

    def save(self, path: Path) -> None:
        """Write it, wholly or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
        fresh.replace(path)


class Soak:
    """What runs, and what was seen."""

    def __init__(self, made: Prover, lane: Lane, state: State, path: Path, every: float) -> None:
        self.made = made
        self.lane = lane
        self.state = state
        self._path = path
        self._every = every
        self._before = state.samples[-1] if state.samples else None
        self._began = time.monotonic()
        self._releases = self._before.releases if self._before else 0
        self._deploying = asyncio.Semaphore(DEPLOYED_AT_ONCE)

    async def run(self, seconds: float, *, again: bool) -> None:
        """Let all Rollouts be released again and again, for some time.

        Raises:
            Trouble: if the operator ended.
        """
        ends = self._began + seconds
        followed = {
            number: self.made.history.follow(self.lane.name, f"w{number}")
            for number in range(1, self.state.rollouts + 1)
        }
        if again:
            await self.made.history.fill()
        apps = [
            App(self.made.site.client, story, self.made.site.answers, GATED, PATIENCE)
            for _, story in sorted(followed.items())
        ]
        work = asyncio.gather(*(self._keep_releasing(app, ends) for app in apps))
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._watch()), work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Trouble):
                    await task
            self._save()

    async def _keep_releasing(self, app: App, ends: float) -> None:
        """Deploy one application, unless it is there, and change it again and again."""
        app.answers[app.canary] = GOOD
        try:
            version = _version_of(app)
            if not version:
                version = 1
                async with self._deploying:
                    await app.deploy()
                    await app.healthy(1)
            # Spread over the interval, as the releases of many teams are.
            await _sleep_until(time.monotonic() + random.Random(app.name).uniform(0, self._every), ends)
            while time.monotonic() < ends:
                begun = time.monotonic()
                version = 3 if version == 2 else 2
                await app.change(version)
                await app.healthy(version)
                self._releases += 1
                app.story.versions.clear()
                await _sleep_until(begun + self._every, ends)
        except Late as late:
            self.state.late.append(f"{app.name}: {late}")

    async def _watch(self) -> None:
        """Take samples, forget what the proxy recorded, and say how it goes."""
        said = 0.0
        while True:
            if not self.lane.operator.running:
                raise Trouble(f"the operator ended; its log is {self.lane.operator.log}")
            sample = self._sample()
            self.state.samples.append(sample)
            self.lane.proxy.recorded.clear()
            self.made.history.require()
            if sample.seconds - said >= SAY_EVERY:
                said = sample.seconds
                self._save()
                _say(
                    f"{sample.seconds / 60:5.1f} min: {sample.releases} releases, {sample.rss:.1f} MiB, "
                    f"{sample.watches} watches, {sample.files} open files, {len(self.state.late)} late"
                )
            await asyncio.sleep(SAMPLE_EVERY)

    def _sample(self) -> Sample:
        rss, cpu, files = usage(self.lane.operator.pid)
        watches = len([s for s in self.lane.proxy.streams if not s.ended])
        before = self._before.seconds if self._before else 0.0
        return Sample(before + time.monotonic() - self._began, rss, cpu, watches, files, self._releases)

    def _save(self) -> None:
        size = self.lane.logged()
        self.state.complaints += self.lane.complaints(self.state.logged, size)
        self.state.logged = size
        self.state.save(self._path)


async def _sleep_until(moment: float, ends: float) -> None:
    await asyncio.sleep(max(0.0, min(moment, ends) - time.monotonic()))


def _version_of(app: App) -> int:
    """The version that a Rollout wants; 0 if it is not there."""
    rollout = app.story.get("Rollout", app.name)
    if rollout is None:
        return 0
    return int(rollout["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":v")[2])


def usage(pid: int) -> tuple[float, float, int]:
    """Memory in MiB, CPU seconds so far and open files of a process."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    return rss, (int(stat[11]) + int(stat[12])) / TICK, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


class Sometimes(RequestRule):
    """A fault for a few of the writes."""

    def __init__(self, fault: str, rand: random.Random, share: float) -> None:
        def matches(call: Call) -> bool:
            return call.effective and rand.random() < share

        super().__init__(matches, TREATMENTS[fault], fault, seconds=float("inf"))


# --------------------------------------------------------------------------------------------------------------------
# What the samples say
# --------------------------------------------------------------------------------------------------------------------


def warm(samples: Sequence[Sample]) -> list[Sample]:
    """What comes after the warm-up."""
    begins = samples[-1].seconds * WARM_UP_SHARE
    return [s for s in samples if s.seconds >= begins and s.releases >= WARM_UP_RELEASES]


def slope(samples: Sequence[Sample]) -> tuple[float, float]:
    """MiB in an hour after the warm-up, by least squares, and its standard error.

    Neighbours among the samples say the same: the error is told from the means of a few long parts.
    """
    rows = warm(samples)
    size = len(rows) // PARTS
    parts = [rows[n * size : (n + 1) * size] for n in range(PARTS)] if size else []
    if not parts:
        return 0.0, math.inf
    points = [(_mean([s.seconds / 3600 for s in part]), _mean([s.rss for s in part])) for part in parts]
    x_mean, y_mean = _mean([x for x, _ in points]), _mean([y for _, y in points])
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    grows = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    rest = sum((y - y_mean - grows * (x - x_mean)) ** 2 for x, y in points)
    return grows, math.sqrt(rest / (PARTS - 2) / spread)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def watches_vary(samples: Sequence[Sample]) -> str:
    """How the open watches are not constant, in a sentence; empty if they are."""
    rows = [s.watches for s in warm(samples)]
    if not rows:
        return ""
    thirds = [rows[: len(rows) // 3], rows[len(rows) // 3 : -len(rows) // 3], rows[-len(rows) // 3 :]]
    usual = [Counter(third).most_common(1)[0] for third in thirds if third]
    if len({number for number, _ in usual}) > 1:
        return f"usually {' then '.join(str(number) for number, _ in usual)}"
    share = sum(count for _, count in usual) / len(rows)
    return "" if share >= USUAL_SHARE else f"the usual number in {100 * share:.0f} % of the samples only"


# --------------------------------------------------------------------------------------------------------------------
# The command
# --------------------------------------------------------------------------------------------------------------------


async def soak(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Run; gives the exit status."""
    path = arguments.folder / "state.json"
    state, again = _state_of(path, arguments)
    async with prover(
        cluster, arguments.folder, while_seconds=0.0, provider_port=state.provider_port if again else 0
    ) as made:
        lane = Lane(made.site, state.namespace, process=Standing, port=state.proxy_port)
        operator = lane.operator
        if not isinstance(operator, Standing):
            raise TypeError("a soak's operator outlives the session")
        rand = random.Random(f"{arguments.seed} {len(state.samples)}")
        lane.proxy.rules.extend(Sometimes(fault, rand, FAULT_SHARE / len(FAULTS)) for fault in FAULTS)
        try:
            if again:
                if not await lane.go_on(state.pid, state.started):
                    raise Trouble("the operator of the soak is not there any more; begin anew without --resume.")
                _say(f"going on after {state.samples[-1].seconds / 60:.1f} min")
            else:
                await lane.up()
            state.pid, state.started = operator.pid, operator.started
            state.proxy_port, state.provider_port = lane.proxy.port, int(made.site.provider.rpartition(":")[2])
            await Soak(made, lane, state, path, arguments.every).run(60 * arguments.minutes, again=again)
        finally:
            if arguments.keep and operator.running and state.samples:
                operator.freeze()
                await lane.proxy.stop()
            else:
                await lane.down()
                path.unlink(missing_ok=True)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps([asdict(s) for s in state.samples]))
    return report(state, arguments)


def _state_of(path: Path, arguments: argparse.Namespace) -> tuple[State, bool]:
    """What to go on with, or what to begin with; whether it is the first."""
    state = State.load(path)
    if state is not None:
        left = Standing([], {}, path.with_name("left.log"))
        there = left.adopt(state.pid, state.started)
        if arguments.resume and there and state.samples:
            return state, True
        left.kill()
    return State(f"soak-{secrets.token_hex(2)}", arguments.rollouts), False


def report(state: State, arguments: argparse.Namespace) -> int:
    """Print what came out; gives the exit status."""
    if not state.samples:
        return 1
    first, last = state.samples[0], state.samples[-1]
    rows = warm(state.samples) or state.samples
    grows, error = slope(state.samples)
    vary = watches_vary(state.samples)
    rate = (rows[-1].releases - rows[0].releases) / max(1.0, rows[-1].seconds - rows[0].seconds)
    wanted = state.rollouts / arguments.every
    print(f"rollouts     {state.rollouts} for {last.seconds / 60:.1f} min, {last.releases} releases")
    print(f"pace         {60 * rate:.0f} releases in a minute after the warm-up, {60 * wanted:.0f} wanted")
    print(f"memory       {first.rss:.1f} MiB at first, {rows[0].rss:.1f} after the warm-up, {last.rss:.1f} at last")
    print(f"             {grows:+.1f} MiB/h after the warm-up, give or take {2 * error:.1f}")
    if 2 * error > MOST_SLOPE:
        print("             too short to tell it from noise: go on with --resume")
    counts = [s.watches for s in rows]
    print(f"watches      {min(counts)} to {max(counts)} open after the warm-up; {vary or 'constant'}")
    print(f"open files   {min(s.files for s in rows)} to {max(s.files for s in rows)} after the warm-up")
    print(f"CPU          {100 * (last.cpu - first.cpu) / max(1.0, last.seconds - first.seconds):.0f} % of a core")
    print(f"late         {len(state.late)}; exceptions in the log: {len(state.complaints)}")
    for line in [*state.late[:5], *state.complaints[:5]]:
        print(f"  {line[:300]}")
    print(f"samples      {arguments.json}")
    return 1 if state.late or state.complaints or vary or grows - 2 * error >= MOST_SLOPE else 0


def main() -> int:
    """Do what the command line says; gives the exit status."""
    parser = argparse.ArgumentParser(prog="hack/soak", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=500, help="how many (default 500)")
    parser.add_argument("--minutes", type=float, default=60, help="for how long, from now on (default 60)")
    parser.add_argument("--every", type=float, default=120, help="seconds between two releases of one (default 120)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default 1)")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "campaigns" / "soak.json", help="the samples")
    parser.add_argument("--name", default="soak", help="name of the light cluster (default soak)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up and the operator frozen, to go on")
    parser.add_argument("--resume", action="store_true", help="go on with what --keep left, if anything is")
    arguments = parser.parse_args()
    arguments.folder = ROOT / "build" / "soak" / arguments.name
    signal.signal(signal.SIGTERM, _interrupt)
    cluster: Cluster | None = None
    try:
        cluster = Cluster.up(arguments.name, 3)
        cluster.install()
        return asyncio.run(soak(cluster, arguments))
    except Trouble as trouble:
        print(f"hack/soak: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hack/soak: interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        if cluster is not None and not arguments.keep:
            cluster.down()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
