"""`hack/campaign`: many short releases at a time, each with a fault drawn by seed and one end that is right."""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from hack.lib.hgbench.cluster import Cluster, Trouble
from hack.lib.hgprove.campaign import ROOT, Record, Result, lower_bound
from hack.lib.hgprove.faults.calls import Call
from hack.lib.hgprove.faults.judging import Judge
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.plans import concerns
from hack.lib.hgprove.faults.proxy import Exchange
from hack.lib.hgprove.faults.runner import Prover, prover
from hack.lib.hgprove.faults.scenarios import BAD, GATED, GOOD, PAUSED, App, Late
from hack.lib.hgprove.faults.streams import STREAMS, ruled
from hack.lib.hgprove.faults.writes import CRASHES, TREATMENTS, RequestRule

OUTCOMES = ("good", "bad", "unanswerable", "aborted")
DEADLINE = 120.0
"""Seconds for each thing that is waited for, its fault among them, on a machine that does many releases at once."""
CLEAN = 0.0
STORY_LINES = 40
RESOURCES = ("rollouts", "replicasets", "services", "httproutes", "controllerrevisions", "endpointslices")
CRASH_SHARE, STREAM_SHARE, WHILE_SHARE = 0.02, 0.05, 0.25
"""How often a crash, a disturbed stream, and a fault that lasts are drawn: the first two meet all of an operator's."""
LAST_WRITE = 14
"""A release of this kind has at least so many writes, its deployment among them."""


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
        occurrence = rand.randint(1, LAST_WRITE)
        kind = rand.random()
        if kind < CRASH_SHARE:
            return cls(seed, outcome, rand.choice(sorted(CRASHES)), occurrence, CLEAN, "")
        if kind < CRASH_SHARE + STREAM_SHARE:
            return cls(seed, outcome, rand.choice(sorted(STREAMS)), occurrence, 3.0, rand.choice(RESOURCES))
        lasting = rand.uniform(1, 5) if rand.random() < WHILE_SHARE else CLEAN
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
    _restarts: set[asyncio.Future[None]] = field(default_factory=set)
    restarted: Counter[str] = field(default_factory=Counter)
    """Crashes of each operator."""

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
                    await self._end(draw, app)
            except (Late, Trouble, TimeoutError) as error:
                problems.append(str(error) or f"not at its end; it is {app.where()}")
        judge = Judge(story)
        problems += [f"rule {breach}" for breach in judge.breaches()]
        if draw.outcome != "unanswerable" and not problems:
            problems += [f"rule {breach}" for breach in judge.at_rest()]
        problems += [f"the operator's log: {line[:400]}" for line in self.complaints(lane).pop(name, [])]
        told = [str(draw), *self._story(lane, app)] if problems or self.traced else []
        await self._clear(app)
        kind = draw.outcome if rule.fired.is_set() else "no fault met"
        took = round(time.monotonic() - began, 1)
        return Result(str(draw.seed), not problems, "; ".join(problems), told, took, kind)

    async def _end(self, draw: Draw, app: App) -> None:
        """Wait for the one right end.

        Raises:
            Late: if it does not come.
        """
        if draw.outcome == "good":
            await app.healthy(2)
        elif draw.outcome == "bad":
            await app.expect("version 2 is taken back", lambda: app.is_taken_back(2))
        elif draw.outcome == "aborted":
            await app.paused_at(2, 1, 50)
            await app.act("abort", 2)
            await app.expect("version 2 is taken back", lambda: app.is_taken_back(2))
        else:

            def held() -> bool:
                return app.is_at(2, 1, 50) and any(g.get("held") for g in app.status.get("gates") or ())

            await app.expect("version 2 is held", held)

    def _rule(self, draw: Draw, lane: Lane, app: App) -> RequestRule:
        def matches(call: Call) -> bool:
            return concerns(app, call)

        if draw.resource:

            async def disturbed(exchange: Exchange) -> web.StreamResponse:
                self._begin(STREAMS[draw.fault](lane.proxy, [draw.resource], draw.seconds))
                return await exchange.respond(await exchange.forward())

            return RequestRule(matches, disturbed, draw.fault, occurrence=draw.occurrence)
        if draw.fault in CRASHES:
            return RequestRule(
                matches, CRASHES[draw.fault](lambda: self._crash(lane)), draw.fault, occurrence=draw.occurrence
            )
        treatment = TREATMENTS[draw.fault]
        return RequestRule(matches, treatment, draw.fault, occurrence=draw.occurrence, seconds=draw.seconds)

    def _crash(self, lane: Lane) -> None:
        lane.operator.kill()
        self.restarted[lane.name] += 1
        self._begin(lane.restart())

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    def complaints(self, lane: Lane) -> dict[str, list[str]]:
        """Exceptions in the operator's log, by release; what names none stands under the empty name."""
        size = lane.logged()
        for line in lane.complaints(self._read.get(lane.name, 0)):
            found = re.search(rf"\b{lane.name}/(w\d+)\b", line)
            if '"logger": "kopf.' not in line:
                self._complaints.setdefault(found[1] if found else "", []).append(line)
        self._read[lane.name] = size
        return self._complaints

    def _story(self, lane: Lane, app: App) -> list[str]:
        calls = [call for call in lane.proxy.recorded.calls if concerns(app, call)]
        start = calls[0].at if calls else 0.0
        said = [f"{c.at - start:6.2f}s {app.masked(c.what)} {c.fault} -> {c.code or 'no answer'}" for c in calls]
        for version in app.story.of("Rollout"):
            status = version.obj.get("status") or {}
            said.append(f"{status.get('decision')}: {status.get('phase')}: {app.masked(str(status.get('message')))}")
        return said[-STORY_LINES:]

    async def _clear(self, app: App) -> None:
        await app.delete()
        await app.story.until(lambda: app.story.get("Rollout", app.name) is None, 20)
        await app.remove()
        self.made.history.forget(app.story)
        app.answers.pop(app.canary, None)

    async def work(self, lane: Lane, seeds: Iterator[int], record: Record, ends: float) -> None:
        """One of those that carry out run after run."""
        for seed in seeds:
            if time.monotonic() >= ends:
                return
            result = await self.run(Draw.of(seed), lane)
            record.add(result)
            if not result.ok:
                _say(f"WRONG {seed}: {result.problem[:500]}")
            elif len(record.results) % 50 == 0:
                _say(f"{len(record.results)} runs")
            kept = lane.proxy.recorded
            del kept.calls[:-20_000]
            kept.lines.clear()
            self.made.history.require()


async def campaign(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Run what was asked for; gives the exit status."""
    record = Record(arguments.record, resume=arguments.resume)
    seeds = arguments.run or range(arguments.first, arguments.first + arguments.runs)
    todo = iter([seed for seed in seeds if not record.done(str(seed))])
    ends = time.monotonic() + (arguments.seconds or float("inf"))
    async with prover(cluster, arguments.folder, while_seconds=CLEAN) as made:
        # A name of its own: what an interrupted campaign left in the cluster is nobody's in this one.
        name = f"campaign-{secrets.token_hex(2)}"
        lanes = [Lane(made.site, f"{name}-{number}") for number in range(arguments.operators)]
        deployments = Deployments(made, lanes, traced=arguments.trace)
        try:
            await asyncio.gather(*(lane.up() for lane in lanes))
            _say(f"{arguments.parallel} releases at a time at {len(lanes)} operators")
            workers = [lanes[n % len(lanes)] for n in range(arguments.parallel)]
            await asyncio.gather(*(deployments.work(lane, todo, record, ends) for lane in workers))
        finally:
            await asyncio.gather(*(lane.down() for lane in lanes))
        loose = deployments.complaints(lanes[0]).get("", [])
        crashes = sum(deployments.restarted.values())
    return report(record, loose, crashes, trace=arguments.trace)


def report(record: Record, loose: list[str], crashes: int, *, trace: bool) -> int:
    """Print what came out; gives the exit status."""
    runs = [r for r in record.results.values() if r.kind != "no fault met" or not r.ok]
    wrong = [r for r in runs if not r.ok]
    for result in [*(record.results.values() if trace else wrong)]:
        print(f"\nseed {result.item}: {result.problem or 'as it must be'}")
        print(f"  again: hack/campaign --run {result.item} --trace")
        for line in result.story:
            print(f"    {line}")
    kinds = Counter(r.kind for r in runs)
    print(f"runs         {len(runs)} with a fault: {', '.join(f'{n} {k}' for k, n in sorted(kinds.items()))}")
    print(f"             and {len(record.results) - len(runs)} that ended before the write that was to meet one")
    print(f"wrong        {len(wrong)}")
    print(f"success      at least {100 * lower_bound(len(runs) - len(wrong), len(runs)):.3f} % (95 % confidence)")
    print(f"operators    killed {crashes} times in this session; exceptions that name no release: {len(loose)}")
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
    parser.add_argument("--parallel", type=int, default=24, help="releases at the same time (default 24)")
    parser.add_argument("--operators", type=int, default=2, help="operators, each behind its proxy (default 2)")
    parser.add_argument("--seconds", type=float, help="begin nothing new after this time")
    parser.add_argument("--record", type=Path, default=ROOT / "build" / "campaigns" / "deployments.jsonl")
    parser.add_argument("--name", default="campaign", help="name of the light cluster (default campaign)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    arguments = parser.parse_args()
    arguments.folder = ROOT / "build" / "campaign" / arguments.name
    if arguments.run:
        arguments.record = arguments.folder / "single.jsonl"
    cluster: Cluster | None = None
    try:
        cluster = Cluster.up(arguments.name, 3)
        cluster.install()
        return asyncio.run(campaign(cluster, arguments))
    except Trouble as trouble:
        print(f"hack/campaign: {trouble}", file=sys.stderr)
        return 1
    finally:
        if cluster is not None and not arguments.keep:
            cluster.down()


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
