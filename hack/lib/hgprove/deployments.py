"""`hack/campaign`: many short releases at a time, each with a fault drawn by seed and one end that is right."""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from aiohttp import web

from hack.lib.hgbench.cluster import Cluster, Trouble
from hack.lib.hgprove.campaign import ROOT, Record, Result, lower_bound
from hack.lib.hgprove.faults.calls import Call
from hack.lib.hgprove.faults.judging import Judge
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.plans import concerns
from hack.lib.hgprove.faults.proxy import Exchange
from hack.lib.hgprove.faults.runner import FROM_KOPF, Prover, prover
from hack.lib.hgprove.faults.scenarios import BAD, GATED, GOOD, PAUSED, App, Late
from hack.lib.hgprove.faults.streams import STREAMS, ruled
from hack.lib.hgprove.faults.writes import CRASHES, TREATMENTS, RequestRule

OUTCOMES = ("good", "bad", "unanswerable", "aborted")
DEADLINE = 90.0
"""Seconds for each thing that is waited for, its fault among them: the slowest of a hundred took 25 for all of them."""
SETTLE = 1.5
"""Seconds after the end in which nothing may change any more."""
GRACE = 30.0
"""Seconds in which what is heard of late, or cleared away after the end, has to be in order."""
CLEARING = 60.0
"""Seconds in which a deleted Rollout has to be gone: a list that hangs, be it for another release of the same
operator, takes a quarter of that."""
STORY_LINES = 60
LOG_LINES = 15
RESOURCES = ("rollouts", "replicasets", "services", "httproutes", "controllerrevisions", "endpointslices")
CRASH_SHARE, STREAM_SHARE, WHILE_SHARE = 0.02, 0.05, 0.25
"""How often a crash, a disturbed stream, and a fault that lasts are drawn: the first two meet all of an operator's."""
STREAM_SECONDS = 3.0
WRITES = {"good": 21, "bad": 18, "unanswerable": 13, "aborted": 17}
"""Writes that a release of a kind has at least, those of its deployment among them."""
NO_FAULT = "no fault met"
INTERRUPTED = 130
SAY_EVERY = 15.0


@dataclass(frozen=True, slots=True)
class Draw:
    """What one seed says."""

    seed: int
    outcome: str
    fault: str
    occurrence: int
    """Which write of the release meets it."""
    seconds: float
    """How long the following writes meet it, too."""
    resource: str
    """Whose streams meet it; empty for a fault of a write."""

    @classmethod
    def of(cls, seed: int) -> Draw:
        """The same seed draws the same."""
        rand = random.Random(seed)
        outcome = OUTCOMES[rand.randrange(len(OUTCOMES))]
        occurrence = rand.randint(1, WRITES[outcome])
        kind = rand.random()
        if kind < CRASH_SHARE:
            return cls(seed, outcome, rand.choice(sorted(CRASHES)), occurrence, 0.0, "")
        if kind < CRASH_SHARE + STREAM_SHARE:
            resource = rand.choice(RESOURCES)
            return cls(seed, outcome, rand.choice(sorted(STREAMS)), occurrence, STREAM_SECONDS, resource)
        lasting = rand.uniform(1, 5) if rand.random() < WHILE_SHARE else 0.0
        return cls(seed, outcome, rand.choice(sorted(TREATMENTS)), occurrence, lasting, "")

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        where = f" at the streams of {self.resource}" if self.resource else ""
        return f"{self.outcome}: {self.fault}{where} from write {self.occurrence} on{lasting}"


@dataclass
class Deployments:
    """Carries runs out on the operators that there are."""

    made: Prover
    lanes: list[Lane]
    traced: bool = False
    _read: dict[str, int] = field(default_factory=dict)
    _complaints: dict[str, list[str]] = field(default_factory=dict)
    _beside: set[asyncio.Task[None]] = field(default_factory=set)
    _trouble: Trouble | None = None
    crashes: int = 0

    async def run(self, draw: Draw, lane: Lane) -> Result:
        """One release: its first version, its fault, its second version, its end."""
        began = time.monotonic()
        name = f"w{draw.seed}"
        story = self.made.history.follow(lane.name, name)
        steps = PAUSED if draw.outcome == "aborted" else GATED
        app = App(self.made.site.client, story, self.made.site.answers, steps, DEADLINE)
        app.answers[app.canary] = {"bad": BAD, "unanswerable": None}.get(draw.outcome, GOOD)
        rule = self._rule(draw, lane, app)
        problems: list[str] = []
        async with ruled(lane.proxy, rule):
            try:
                async with asyncio.timeout(3 * DEADLINE):
                    await app.deploy()
                    await app.healthy(1)
                    await app.change(2)
                    await self._release(draw, app)
            except (Late, Trouble, TimeoutError) as error:
                problems.append(str(error) or f"not at its end; it is {app.where()}")
        problems += await self._judged(draw, app, at_its_end=not problems)
        self._read_logs(lane)
        problems += [f"the operator's log: {line[:400]}" for line in self._complaints.pop(f"{lane.name}/{name}", [])]
        self.made.history.require()
        told = [str(draw), *self._story(lane, app)] if problems or self.traced else []
        problems += await self._clear(app)
        kind = f"{draw.outcome}|{draw.fault}" if rule.fired.is_set() else NO_FAULT
        took = round(time.monotonic() - began, 1)
        return Result(str(draw.seed), not problems, "; ".join(problems), told, took, kind)

    async def _release(self, draw: Draw, app: App) -> None:
        """Do what people do, and wait for the one right end.

        Raises:
            Late: if it does not come.
        """
        if draw.outcome == "aborted":
            await app.paused_at(2, 1, 50)
            await app.act("abort", 2)
        what, holds = _right_end(draw, app)
        await app.expect(what, holds)

    async def _judged(self, draw: Draw, app: App, *, at_its_end: bool) -> list[str]:
        """The rules that were broken on the way, and what is not in order at the end when it has had its time."""
        _, holds = _right_end(draw, app)
        ends = time.monotonic() + (GRACE if at_its_end else 0.0)
        if at_its_end:
            await asyncio.sleep(SETTLE)
        while True:
            judge = Judge(app.story)
            broken = [f"rule {breach}" for breach in judge.breaches()]
            found = [f"rule {breach}" for breach in judge.at_rest()] if at_its_end else []
            if at_its_end and not holds():
                found.append(f"the end was left again; it is {app.where()}")
            if not found or time.monotonic() >= ends:
                return broken + found
            await asyncio.sleep(0.5)

    def _rule(self, draw: Draw, lane: Lane, app: App) -> RequestRule:
        def matches(call: Call) -> bool:
            return concerns(app, call)

        if draw.resource:

            async def disturbed(exchange: Exchange) -> web.StreamResponse:
                self._begin(self._disturb(draw, lane))
                return await exchange.respond(await exchange.forward())

            return RequestRule(matches, disturbed, draw.fault, occurrence=draw.occurrence)
        if draw.fault in CRASHES:
            return RequestRule(
                matches, CRASHES[draw.fault](lambda: self._crash(lane)), draw.fault, occurrence=draw.occurrence
            )
        treatment = TREATMENTS[draw.fault]
        return RequestRule(matches, treatment, draw.fault, occurrence=draw.occurrence, seconds=draw.seconds)

    async def _disturb(self, draw: Draw, lane: Lane) -> None:
        try:
            await STREAMS[draw.fault](lane.proxy, [draw.resource], draw.seconds)
        except TimeoutError:
            # The streams did not come back as the fault waited for, e.g. because the operator was killed meanwhile.
            _say(f"{draw.seed}: {draw.fault} ended early")

    def _crash(self, lane: Lane) -> None:
        lane.operator.kill()
        self.crashes += 1
        self._begin(self._restart(lane))

    async def _restart(self, lane: Lane) -> None:
        crashes = self.crashes
        try:
            await lane.restart()
        except Trouble as trouble:
            # One that was killed again meanwhile is started again by whoever killed it.
            if crashes == self.crashes:
                self._trouble = trouble

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _read_logs(self, lane: Lane) -> None:
        """Take the new exceptions of the operator's log down, by release."""
        size = lane.logged()
        for line in lane.complaints(self._read.get(lane.name, 0), size):
            found = re.search(rf"\b{lane.name}/w\d+\b", line)
            if FROM_KOPF not in line:
                self._complaints.setdefault(found[0] if found else "", []).append(line)
        self._read[lane.name] = size

    def loose(self) -> list[str]:
        """Exceptions that no run answers for: those that name no release, and those after a release's end."""
        for lane in self.lanes:
            self._read_logs(lane)
        return [line for lines in self._complaints.values() for line in lines]

    def _story(self, lane: Lane, app: App) -> list[str]:
        calls = [call for call in lane.proxy.recorded.calls if concerns(app, call)]
        start = calls[0].at if calls else 0.0
        said = [f"{c.at - start:6.2f}s {app.masked(c.what)} {c.fault} -> {c.code or 'no answer'}" for c in calls]
        for version in app.story.of("Rollout"):
            status = version.obj.get("status") or {}
            told = f"{status.get('decision')}: {status.get('phase')}: {app.masked(str(status.get('message')))}"
            said.append(f"{version.at - start:6.2f}s {told}")
        return (
            said[-STORY_LINES:]
            + [app.masked(line)[:400] for line in lane.log_of(f"{lane.name}/{app.name}")][-LOG_LINES:]
        )

    async def _clear(self, app: App) -> list[str]:
        """Clear the application away; gives what went wrong in that."""
        await app.delete()
        gone = await app.story.until(lambda: app.story.get("Rollout", app.name) is None, CLEARING)
        where = app.where()
        await app.remove()
        if not gone:
            # It must not keep the operator busy for the rest of the campaign.
            await app.client.try_patch(app.path, {"metadata": {"finalizers": None}})
        self.made.history.forget(app.story)
        app.answers.pop(app.canary, None)
        return [] if gone else [f"deleted, and not gone after {CLEARING:.0f} s; it is {where}"]

    async def carry_out(
        self, seeds: Iterator[int], took: Callable[[Result], None], *, parallel: int, seconds: float
    ) -> None:
        """Start the operators, run seed after seed, so many at a time, and begin no more after some seconds.

        Raises:
            Trouble: if an operator does not start, or one that was killed does not come back.
        """
        try:
            await asyncio.gather(*(lane.up() for lane in self.lanes))
            ends = time.monotonic() + seconds
            workers = [self.lanes[n % len(self.lanes)] for n in range(parallel)]
            await asyncio.gather(*(self._work(lane, seeds, took, ends) for lane in workers))
        finally:
            await asyncio.gather(*(lane.down() for lane in self.lanes))

    async def _work(self, lane: Lane, seeds: Iterator[int], took: Callable[[Result], None], ends: float) -> None:
        for seed in seeds:
            took(await self.run(Draw.of(seed), lane))
            if self._trouble is not None:
                raise self._trouble
            kept = lane.proxy.recorded
            del kept.calls[:-20_000]
            kept.lines.clear()
            if time.monotonic() >= ends:
                return


def _right_end(draw: Draw, app: App) -> tuple[str, Callable[[], bool]]:
    """What has to come, and whether it has."""
    if draw.outcome == "good":
        return "version 2 alone serves", lambda: app.is_healthy(2)
    if draw.outcome == "unanswerable":
        return (
            "version 2 is held",
            lambda: app.is_at(2, 1, 50) and any(g.get("held") for g in app.status.get("gates") or ()),
        )
    return "version 2 is taken back", lambda: app.is_taken_back(2)


class Progress:
    """Keeps results, and says how it goes."""

    def __init__(self, record: Record, total: int) -> None:
        self._record = record
        self._total = total
        self._began = self._said = time.monotonic()
        self._count = 0

    def took(self, result: Result) -> None:
        """Take one."""
        self._record.add(result)
        self._count += 1
        now = time.monotonic()
        if not result.ok:
            _say(f"WRONG {result.item}: {result.problem[:500]}")
        elif now - self._said >= SAY_EVERY:
            self._said = now
            rate = 60 * self._count / (now - self._began)
            wrong = len(self._record.failures())
            _say(f"{len(self._record.results)} of {self._total} runs, {wrong} wrong, {rate:.0f} in a minute")


async def campaign(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Run what was asked for; gives the exit status."""
    record = Record(arguments.record, resume=arguments.resume)
    seeds = arguments.run or range(arguments.first, arguments.first + arguments.runs)
    progress = Progress(record, len(seeds))
    todo = iter([seed for seed in seeds if not record.done(str(seed))])
    async with prover(cluster, arguments.folder, while_seconds=0.0) as made:
        # A name of its own: what an interrupted campaign left in the cluster is nobody's in this one.
        name = f"campaign-{secrets.token_hex(2)}"
        lanes = [Lane(made.site, f"{name}-{number}") for number in range(arguments.operators)]
        deployments = Deployments(made, lanes, traced=arguments.trace)
        _say(f"{arguments.parallel} releases at a time at {len(lanes)} operators")
        await deployments.carry_out(
            todo, progress.took, parallel=arguments.parallel, seconds=arguments.seconds or float("inf")
        )
        loose = deployments.loose()
    return report(record, loose, deployments.crashes, trace=arguments.trace)


def report(record: Record, loose: list[str], crashes: int, *, trace: bool) -> int:
    """Print what came out; gives the exit status."""
    runs = [r for r in record.results.values() if r.kind != NO_FAULT or not r.ok]
    wrong = [r for r in runs if not r.ok]
    for result in [*(record.results.values() if trace else wrong)]:
        print(f"\nseed {result.item}: {result.problem or 'as it must be'}")
        print(f"  again: hack/campaign --run {result.item} --trace")
        for line in result.story:
            print(f"    {line}")
    kinds = Counter(r.kind.partition("|")[0] for r in runs)
    print(f"runs         {len(runs)} with a fault: {', '.join(f'{n} {k}' for k, n in sorted(kinds.items()))}")
    print(f"             and {len(record.results) - len(runs)} that ended before the write that was to meet one")
    print(f"wrong        {len(wrong)}")
    print(f"success      at least {100 * lower_bound(len(runs) - len(wrong), len(runs)):.3f} % (95 % confidence)")
    print(f"operators    killed {crashes} times in this session; exceptions that no run answers for: {len(loose)}")
    for line in loose[:5]:
        print(f"  {line[:400]}")
    print(f"record       {record.path}")
    return 1 if wrong or loose else 0


def main() -> int:
    """Do what the command line says; gives the exit status."""
    parser = argparse.ArgumentParser(prog="hack/campaign", description=__doc__)
    parser.add_argument("--runs", type=int, default=3000, help="how many (default 3000)")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the first seed (default 1)")
    parser.add_argument("--run", type=int, action="append", metavar="SEED", help="only this run; repeatable")
    parser.add_argument("--trace", action="store_true", help="print the story of each run, not of wrong ones only")
    parser.add_argument("--resume", action="store_true", help="skip what the record holds already")
    parser.add_argument("--parallel", type=int, default=32, help="releases at the same time (default 32)")
    parser.add_argument("--operators", type=int, default=4, help="operators, each behind its proxy (default 4)")
    parser.add_argument("--seconds", type=float, help="begin nothing new after this time")
    parser.add_argument("--record", type=Path, default=ROOT / "build" / "campaigns" / "deployments.jsonl")
    parser.add_argument("--name", default="campaign", help="name of the light cluster (default campaign)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    arguments = parser.parse_args()
    arguments.folder = ROOT / "build" / "campaign" / arguments.name
    if arguments.run:
        arguments.record = arguments.folder / "single.jsonl"
    signal.signal(signal.SIGTERM, _interrupt)
    cluster: Cluster | None = None
    try:
        cluster = Cluster.up(arguments.name, 3)
        cluster.install()
        return asyncio.run(campaign(cluster, arguments))
    except Trouble as trouble:
        print(f"hack/campaign: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hack/campaign: interrupted; --resume goes on", file=sys.stderr)
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
