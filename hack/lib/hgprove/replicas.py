"""`hack/replicas`: two replicas with one Lease; the leader is frozen, killed, cut off or held up in mid-release.

Each replica speaks through a proxy of its own, so that it is known which of them made which accepted write, and when
the Lease changed hands.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import yaml
from aiohttp import web

from hack.lib.hgbench.cluster import ROOT, SYSTEM, Cluster, Trouble
from hack.lib.hgprove.campaign import Record, Result
from hack.lib.hgprove.faults.calls import Call
from hack.lib.hgprove.faults.judging import Judge
from hack.lib.hgprove.faults.lane import Site
from hack.lib.hgprove.faults.plans import concerns
from hack.lib.hgprove.faults.process import Operator
from hack.lib.hgprove.faults.prometheus import TEMPLATE
from hack.lib.hgprove.faults.proxy import Cut, Exchange, FaultProxy, free_port
from hack.lib.hgprove.faults.runner import Prover, prover
from hack.lib.hgprove.faults.scenarios import GATED, GOOD, App, Late
from hack.lib.hgprove.faults.streams import ruled
from hack.lib.hgprove.faults.writes import RequestRule

WAYS = ("killed", "frozen", "cut-off", "held-up")
"""What happens to the leader: SIGKILL; SIGSTOP past its Lease; no connection; a connection that carries all late."""
LOSING = ("killed", "cut-off")
"""Those in which nothing more comes of the request that is under way."""
HELD_BACK = 0.5
"""How often the server has not heard of that request yet: it does when the leader is back."""
PAST_THE_LEASE = 9.0
"""Seconds for which the leader is away: the Lease ends after 6, and the standby looks every 2."""
PATIENCE = 90.0
LIMIT = 10.0
"""Seconds from the leader's death to the other's first decision that must be enough at the 99th percentile."""
STRUCK_AT, BACK_AT = 11, 9
"""By which of its writes, drawn up to these, a release has the leader struck, and the next one has it back; the release
has more, so that there is something left to decide."""
SETTLE = 0.5
"""Seconds after the end of a release until all watches have told of it."""
INTERRUPTED = 130


class Replica:
    """One operator and its proxy."""

    def __init__(self, site: Site, namespace: str, letter: str) -> None:
        self.letter = letter
        self.proxy = FaultProxy.before(site.cluster.operator_kubeconfig)
        folder = site.folder / f"{namespace}-{letter}"
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "routeSettleSeconds": 0.1,
            "drainSeconds": 0.2,
            "metricProviders": {"up": {"address": site.provider, "timeoutSeconds": 5}},
            "queryTemplates": {"errors": {"query": TEMPLATE}},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        environment = {
            "KUBECONFIG": str(self.proxy.kubeconfig(folder / "kubeconfig")),
            "PYTHONPATH": str(ROOT / "operator"),
            "HEADGATE_CONFIG": str(folder / "config.yaml"),
            "HEADGATE_LEASE": namespace,
            "HEADGATE_PORT": str(free_port()),
            "POD_NAME": f"{namespace}-{letter}",
            "POD_NAMESPACE": SYSTEM,
        }
        log = folder / "operator.log"
        log.unlink(missing_ok=True)
        self.operator = Operator(["--namespace", namespace], environment, log)

    def accepted(self) -> list[Call]:
        """The writes that the server carried out, Leases among them."""
        return [c for c in self.proxy.recorded.calls if c.applied and (c.effective or holds(c))]

    def renewed(self) -> float:
        """When it last held the Lease for sure; 0 for never."""
        return max((c.ended for c in self.accepted() if holds(c)), default=0.0)

    def watching(self) -> bool:
        """Whether its cache is filled and kept: it could take over."""
        return self.operator.running and bool(self.proxy.streams_of("rollouts"))


def holds(call: Call) -> bool:
    """Whether a request takes or keeps the Lease."""
    given_back = b'"holderIdentity":""' in call.body or b'"value":""' in call.body
    return call.resource == "leases" and call.verb in ("create", "patch") and call.applied and not given_back


def in_order(replicas: Sequence[Replica]) -> list[tuple[Replica, Call]]:
    """What the replicas wrote, in the order of the server, which numbers all that it stores, Leases among them.

    A deletion has no number. It stands behind all that had been answered when it was.
    """
    rows = sorted(((r, c) for r in replicas for c in r.accepted()), key=lambda row: row[1].ended)
    placed, newest = [], 0
    for replica, call in rows:
        newest = max(newest, call.version)
        placed.append((call.version or newest, call.ended, replica, call))
    return [(replica, call) for _, _, replica, call in sorted(placed, key=lambda row: row[:2])]


def violations(replicas: Sequence[Replica]) -> list[str]:
    """Accepted writes of a replica that does not lead any more over what the one that leads had written."""
    found = []
    leader: Replica | None = None
    written: dict[tuple[str, str, str], Call] = {}
    """By object: what the present leader wrote since it took the Lease."""
    for replica, call in in_order(replicas):
        if holds(call):
            if replica is not leader:
                leader, written = replica, {}
        elif call.effective and (leader is None or replica is leader):
            written[_object(call)] = call
        elif call.effective and leader is not None and (over := written.get(_object(call))) is not None:
            late = call.ended - over.ended
            found.append(f"{replica.letter} wrote {call.what} {late:.3f} s after {leader.letter}'s {over.what}")
    return found


def _object(call: Call) -> tuple[str, str, str]:
    return call.resource, call.namespace, call.name or call.body_name


class Mishap:
    """What happens to the leader at one of its writes."""

    def __init__(self, strike: Callable[[], None], *, lost: bool, held_back: bool) -> None:
        self._strike = strike
        self._lost = lost
        self._held_back = held_back
        self.at = 0.0
        """When (monotonic) it was struck."""
        self.over = asyncio.Event()

    def struck(self) -> bool:
        """Whether it has happened."""
        return bool(self.at)

    async def treat(self, exchange: Exchange) -> web.StreamResponse:
        """Strike; the server hears of the write now, or when the leader is back, or never."""
        answer = None if self._held_back else await exchange.forward()
        self.at = time.monotonic()
        self._strike()
        if self._lost:
            raise Cut
        await self.over.wait()
        return await exchange.respond(answer or await exchange.forward())


@dataclass
class Pair:
    """Two replicas, one application, and what happens to them."""

    made: Prover
    namespace: str
    replicas: list[Replica] = field(default_factory=list)
    app: App | None = None
    judge: Judge | None = None
    version: int = 1

    async def up(self) -> App:
        """Start both, deploy the application and wait for its first version.

        Raises:
            Trouble: if that one does not come to serve.
        """
        site = self.made.site
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        await site.client.apply(f"/api/v1/namespaces/{self.namespace}", body)
        await self._drop_lease()
        self.replicas = [Replica(site, self.namespace, letter) for letter in "ab"]
        for replica in self.replicas:
            await replica.proxy.start()
            replica.operator.start()
        story = self.made.history.follow(self.namespace, "w1")
        self.app, self.judge = App(site.client, story, site.answers, GATED, PATIENCE), Judge(story)
        site.answers[self.app.canary] = GOOD
        try:
            await self.app.deploy()
            await self.app.healthy(1)
        except Late as late:
            raise Trouble(f"{self.namespace}, before anything happened to it: {late}") from None
        return self.app

    async def down(self) -> None:
        """End both."""
        for replica in self.replicas:
            await asyncio.to_thread(replica.operator.stop)
            await replica.proxy.stop()
        if self.app is not None:
            self.made.history.forget(self.app.story)
        await self._drop_lease()
        await self.made.site.client.delete(f"/api/v1/namespaces/{self.namespace}")

    async def operation(self, seed: int) -> Result:
        """One mishap of the leader in a release, its return in the next; its figure: until the other decided."""
        began, rand = time.monotonic(), random.Random(seed)
        self._forget(began)
        way = WAYS[seed % len(WAYS)]
        problems: list[str] = []
        decided: float | None = None
        try:
            decided = await self._mishap(way, rand)
        except Late as late:
            problems.append(str(late))
        problems += violations(self.replicas) + await self._breaches()
        told = self._story(began) if problems else []
        took = round(time.monotonic() - began, 1)
        return Result(f"{seed}", not problems, "; ".join(problems), told, took, way, decided)

    async def _breaches(self) -> list[str]:
        """The rules that were broken since the last operation."""
        await asyncio.sleep(SETTLE)
        app, judge = self._app(), self.judge
        found = [f"rule {breach}" for breach in judge.breaches()] if judge is not None else []
        app.story.versions.clear()
        return found

    def _forget(self, now: float) -> None:
        """Forget what was asked before; of the Lease what tells who leads."""
        for replica in self.replicas:
            calls = replica.proxy.recorded.calls
            held = max((c for c in calls if c.applied and holds(c)), key=lambda c: c.version, default=None)
            under_way = [c for c in calls if not c.ended or c.ended > now]
            calls[:] = [*([held] if held is not None and held not in under_way else []), *under_way]
            replica.proxy.recorded.lines.clear()

    async def _mishap(self, way: str, rand: random.Random) -> float:
        app = self._app()
        await self._until("both replicas are ready", lambda: all(r.watching() for r in self.replicas))
        leader, other = sorted(self.replicas, key=lambda r: -r.renewed())
        mishap = Mishap(lambda: self._strike(way, leader), lost=way in LOSING, held_back=rand.random() < HELD_BACK)
        at = rand.randint(1, STRUCK_AT)
        rule = RequestRule(lambda call: concerns(app, call), mishap.treat, f"leader {way}", occurrence=at)
        try:
            async with ruled(leader.proxy, rule):
                await app.change(self._next())
                await self._until(f"the leader makes write {at}", mishap.struck)

            def decisions() -> list[Call]:
                return [c for c in other.accepted() if concerns(app, c) and c.ended > mishap.at]

            await self._until("the other decides", lambda: bool(decisions()))
            decided = decisions()[0].ended - mishap.at
            await app.healthy(self.version)
            await asyncio.sleep(max(0.0, mishap.at + PAST_THE_LEASE - time.monotonic()))
            # The one that was away comes back in the middle of a release.
            await app.change(self._next())
            before, back = len(decisions()), rand.randint(0, BACK_AT)
            await self._until(f"the other makes write {back}", lambda: len(decisions()) >= before + back)
        finally:
            if mishap.struck():
                self._heal(way, leader)
            mishap.over.set()
        await app.healthy(self.version)
        return round(decided, 2)

    def _strike(self, way: str, leader: Replica) -> None:
        {
            "killed": leader.operator.kill,
            "frozen": leader.operator.freeze,
            "cut-off": leader.proxy.partition,
            "held-up": leader.proxy.pause,
        }[way]()

    def _heal(self, way: str, leader: Replica) -> None:
        {
            "killed": leader.operator.start,
            "frozen": leader.operator.thaw,
            "cut-off": leader.proxy.heal,
            "held-up": leader.proxy.resume,
        }[way]()

    def _next(self) -> int:
        self.version = 3 if self.version == 2 else 2
        return self.version

    def _app(self) -> App:
        if self.app is None:
            raise Trouble(f"{self.namespace} was not started")
        return self.app

    async def _until(self, what: str, holds: Callable[[], bool]) -> None:
        ends = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > ends:
                raise Late(f"not within {PATIENCE:.0f} s: {what}; it is {self._app().where()}")
            await asyncio.sleep(0.05)

    def _story(self, began: float) -> list[str]:
        rows = in_order(self.replicas)
        told = [
            f"{c.ended - began:6.2f}s {c.version} {r.letter}: {c.what}"
            for before, (r, c) in zip([None, *(r for r, _ in rows)], rows, strict=False)
            if c.effective or r is not before  # Renewals of the Lease tell nothing.
        ]
        return told[-120:]

    async def _drop_lease(self) -> None:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/{self.namespace}"
        await self.made.site.client.delete(path)


class Progress:
    """Keeps results, and says how it goes."""

    def __init__(self, record: Record, total: int) -> None:
        self._record = record
        self._total = total

    def took(self, result: Result) -> None:
        """Take one."""
        self._record.add(result)
        if not result.ok:
            _say(f"WRONG {result.item} ({result.kind}): {result.problem[:500]}")
        after = f", decided after {result.figure:.1f} s" if result.figure is not None else ""
        _say(f"{len(self._record.results)} of {self._total}: {result.kind}, {result.seconds:.0f} s{after}")


async def operate(made: Prover, progress: Progress, seeds: Iterator[int], name: str, ends: float) -> None:
    """Let one pair carry out operation after operation; another takes its place if something was wrong."""
    for number in range(sys.maxsize):
        pair = Pair(made, f"{name}-{number}")
        try:
            await pair.up()
            for seed in seeds:
                result = await pair.operation(seed)
                progress.took(result)
                made.history.require()
                if time.monotonic() >= ends:
                    return
                if not result.ok:
                    break
            else:
                return
        finally:
            await pair.down()


async def campaign(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Carry out what was asked for; gives the exit status."""
    record = Record(arguments.record, resume=arguments.resume)
    seeds = iter([s for s in range(arguments.operations) if not record.done(str(s))])
    progress = Progress(record, arguments.operations)
    ends = time.monotonic() + (arguments.seconds or float("inf"))
    async with prover(cluster, arguments.folder, while_seconds=0.0) as made:
        # A name of its own: what an interrupted campaign left in the cluster is nobody's in this one.
        name = f"replicas-{secrets.token_hex(2)}"
        pairs = [f"{name}-{number}" for number in range(arguments.parallel)]
        await asyncio.gather(*(operate(made, progress, seeds, pair, ends) for pair in pairs))
    return report(record)


def report(record: Record) -> int:
    """Print what came out; gives the exit status."""
    wrong = record.failures()
    for result in wrong:
        print(f"\noperation {result.item} ({result.kind}): {result.problem}")
        for line in result.story:
            print(f"    {line}")
    print(f"operations   {len(record.results)}")
    print(f"wrong        {len(wrong)}")
    slow = False
    for way in WAYS:
        times = [r.figure for r in record.results.values() if r.kind == way and r.figure is not None]
        if len(times) > 1:
            ranks = statistics.quantiles(times, n=100, method="inclusive")
            told = f"p50 {ranks[49]:.1f} s, p99 {ranks[98]:.1f} s, most {max(times):.1f} s"
            print(f"decision     leader {way}: {told} ({len(times)} times)")
            slow = slow or ranks[98] >= LIMIT
    print(f"record       {record.path}")
    return 1 if wrong or slow else 0


def main() -> int:
    """Do what the command line says; gives the exit status."""
    parser = argparse.ArgumentParser(prog="hack/replicas", description=__doc__)
    parser.add_argument("--operations", type=int, default=200, help="how many mishaps of a leader (default 200)")
    parser.add_argument("--parallel", type=int, default=6, help="pairs of replicas at the same time (default 6)")
    parser.add_argument("--resume", action="store_true", help="skip what the record holds already")
    parser.add_argument("--seconds", type=float, help="begin nothing new after this time")
    parser.add_argument("--record", type=Path, default=ROOT / "build" / "campaigns" / "replicas.jsonl")
    parser.add_argument("--name", default="replicas", help="name of the light cluster (default replicas)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    arguments = parser.parse_args()
    arguments.folder = ROOT / "build" / "replicas" / arguments.name
    signal.signal(signal.SIGTERM, _interrupt)
    cluster: Cluster | None = None
    try:
        cluster = Cluster.up(arguments.name, 3)
        cluster.install()
        return asyncio.run(campaign(cluster, arguments))
    except Trouble as trouble:
        print(f"hack/replicas: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hack/replicas: interrupted; --resume goes on", file=sys.stderr)
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
