"""Carries plans out: scenarios on lanes, several at a time, each judged against the clean run of its scenario."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from hack.lib.hgbench.client import Client
from hack.lib.hgbench.cluster import Cluster, Trouble
from hack.lib.hgprove.campaign import Result
from hack.lib.hgprove.faults.calls import Call
from hack.lib.hgprove.faults.history import History
from hack.lib.hgprove.faults.lane import Lane, Site
from hack.lib.hgprove.faults.oracles import Run, differences, run_of
from hack.lib.hgprove.faults.plans import Plan, concerns, plans_of, points_of
from hack.lib.hgprove.faults.prometheus import provider
from hack.lib.hgprove.faults.proxy import Exchange
from hack.lib.hgprove.faults.scenarios import SCENARIOS, App, Late, Scenario
from hack.lib.hgprove.faults.streams import LONG, STREAMS, WHOLE, StreamFault, ruled
from hack.lib.hgprove.faults.writes import CRASHES, TREATMENTS, RequestRule

GRACE = 30.0
"""Seconds that a run may take beyond the clean run and the length of its fault."""
SETTLE = 1.5
"""Seconds after the end in which nothing may change any more."""
CLEAN_PATIENCE = 60.0
TOGETHER = 8
"""Plans that share one operator at the same time, where their faults are theirs alone."""
STORY_LINES = 60
FROM_KOPF = '"logger": "kopf.'
"""kopf ends all its watches over an error that it knows no answer to, and says so by an exception; the operator starts
them anew in the same process, which is what the rest of the judgement looks at."""


@dataclass
class Prover:
    """All that plans need, and the clean runs that they are judged by."""

    site: Site
    history: History
    while_seconds: float
    clean: dict[str, Run] = field(default_factory=dict)
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # ------------------------------------------------------------------------------------------------ clean runs

    async def record(self, scenarios: Iterable[Scenario], lane: Lane) -> list[Plan]:
        """Run scenarios without faults, twice each; gives the plans for what happened in both.

        Raises:
            Trouble: if a clean run is not clean.
        """
        chosen = list(scenarios)
        runs = await asyncio.gather(*(self._clean(scenario, lane) for scenario in chosen for _ in range(2)))
        found: list[Plan] = []
        for scenario, (first, second) in zip(chosen, _pairs(runs), strict=True):
            problems = first.breaches + differences(first, second)
            if problems:
                raise Trouble(f"{scenario.name} without a fault: {'; '.join(problems)}")
            self.clean[scenario.name] = Run(
                first.points, first.end, first.changes, first.weights, max(first.seconds, second.seconds)
            )
            found += plans_of(scenario.name, [p for p in first.points if p in second.points])
        return found

    async def _clean(self, scenario: Scenario, lane: Lane) -> Run:
        app = await self.begin(scenario, lane, CLEAN_PATIENCE)
        calls = _Calls(lane, app)
        began = time.monotonic()
        await scenario.play(app)
        seconds = time.monotonic() - began
        await asyncio.sleep(SETTLE)
        run = run_of(app, points_of(app, calls.since()), seconds)
        await self.clear(app)
        return run

    # ------------------------------------------------------------------------------------------------ plans

    async def carry_out(self, plan: Plan, lane: Lane) -> Result:
        """Run one plan and judge it."""
        scenario = SCENARIOS[plan.scenario]
        began = time.monotonic()
        patience = self.clean[plan.scenario].seconds + plan.seconds(self.while_seconds) + GRACE
        try:
            app = await self.begin(scenario, lane, CLEAN_PATIENCE)
        except (Late, Trouble) as trouble:
            return Result(plan.id, ok=False, problem=f"before the fault: {trouble}", kind=plan.kind)
        app.patience = patience
        calls = _Calls(lane, app)
        problems: list[str] = []
        injection = _Injection(plan, lane, app, self.while_seconds)
        async with injection.armed():
            try:
                async with asyncio.timeout(2 * patience):
                    await scenario.play(app)
                await injection.over()
                await asyncio.sleep(SETTLE)
            except (Late, TimeoutError) as late:
                problems.append(str(late) or f"not at its end within {2 * patience:.0f} s; it is {app.where()}")
        if not injection.fired:
            problems.append("the fault was never injected: its point was not reached")
        problems += await self._compared(plan, app, calls, time.monotonic() - began)
        problems += [
            f"the operator's log shows an exception: {line[:300]}"
            for line in calls.complaints()
            if not (plan.ends_watch and FROM_KOPF in line)
        ]
        self.history.require()
        story = calls.told() + _versions(app) if problems else []
        await self.clear(app)
        return Result(
            plan.id,
            ok=not problems,
            problem="; ".join(problems),
            story=story,
            seconds=round(time.monotonic() - began, 1),
            kind=plan.kind,
        )

    async def _compared(self, plan: Plan, app: App, calls: _Calls, seconds: float) -> list[str]:
        """How the run differs from the clean one, when it has had its time.

        Evidence alone (the text of a condition) is written at most every 30 s, and an end that is a hold may be left
        and has to be come back to: only what is still otherwise after the grace is a difference.
        """
        clean, ends = self.clean[plan.scenario], time.monotonic() + GRACE + SETTLE
        while True:
            run = run_of(app, points_of(app, calls.since()), seconds)
            found = differences(clean, run, home_allowed=plan.takes_kind_away, loss_allowed=plan.ends_operator)
            if run.end == clean.end or time.monotonic() >= ends:
                return found
            await asyncio.sleep(1)

    async def begin(self, scenario: Scenario, lane: Lane, patience: float) -> App:
        """Give a scenario an application on a lane; its first version serves, if the scenario wants that."""
        story = self.history.follow(lane.name, f"w{next(self._names)}")
        app = App(self.site.client, story, self.site.answers, scenario.steps, patience)
        self.site.answers[app.canary] = scenario.value
        if scenario.deployed:
            await app.deploy()
            await app.healthy(1)
        return app

    async def clear(self, app: App) -> None:
        """Clear an application away."""
        await app.delete()
        await app.story.until(lambda: app.story.get("Rollout", app.name) is None, 15)
        await app.remove()
        self.history.forget(app.story)
        self.site.answers.pop(app.canary, None)


@dataclass
class _Calls:
    """What an operator said about one application since a moment."""

    lane: Lane
    app: App
    first: int = 0
    logged: int = 0

    def __post_init__(self) -> None:
        self.first = len(self.lane.proxy.recorded.calls)
        self.logged = self.lane.logged()

    def since(self) -> list[Call]:
        return self.lane.proxy.recorded.calls[self.first :]

    def complaints(self) -> list[str]:
        """What the operator's log shows of exceptions, less what is about other applications."""
        lines = self.lane.complaints(self.logged)
        return [line for line in lines if re.search(rf"\b{self.app.name}\b", line) or not re.search(r"/w\d", line)]

    def told(self) -> list[str]:
        """The writes, for a story."""
        start = self.since()[0].at if self.since() else 0.0
        return [
            f"{call.at - start:6.2f}s {self.app.masked(call.what)} {call.fault or ''} -> {call.code or 'no answer'}"
            for call in self.since()
            if concerns(self.app, call)
        ][-STORY_LINES:]


def _versions(app: App) -> list[str]:
    said: list[str] = []
    for version in app.story.of("Rollout"):
        status = version.obj.get("status") or {}
        text = f"{status.get('decision')}: {status.get('phase')}: {status.get('message')}"
        if said[-1:] != [text]:
            said.append(text)
    return [app.masked(text) for text in said][-STORY_LINES:]


class _Injection:
    """One plan's fault on its way into a lane."""

    def __init__(self, plan: Plan, lane: Lane, app: App, while_seconds: float) -> None:
        self._plan = plan
        self._lane = lane
        self._app = app
        self._seconds = while_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._rule = self._made()

    @property
    def fired(self) -> bool:
        """Whether it was injected."""
        return self._rule.fired.is_set()

    @contextlib.asynccontextmanager
    async def armed(self) -> AsyncIterator[None]:
        """Inject it when its point comes."""
        async with ruled(self._lane.proxy, self._rule):
            try:
                yield
            finally:
                await self.over()

    async def over(self) -> None:
        """Wait until it has passed."""
        await asyncio.gather(*self._tasks)

    def _made(self) -> RequestRule:
        plan, fault = self._plan, self._plan.fault
        if plan.stream:
            return RequestRule(self._matches, self._begin_stream, "", occurrence=plan.point.occurrence)
        if fault in CRASHES:
            return RequestRule(self._matches, CRASHES[fault](self._crash), fault, occurrence=plan.point.occurrence)
        once = fault.removesuffix("-while")
        seconds = self._seconds if once != fault else 0.0
        return RequestRule(self._matches, TREATMENTS[once], fault, occurrence=plan.point.occurrence, seconds=seconds)

    def _matches(self, call: Call) -> bool:
        return concerns(self._app, call) and self._app.masked(call.what) == self._plan.point.what

    def _crash(self) -> None:
        self._lane.operator.kill()
        self._tasks.append(asyncio.create_task(self._lane.restart()))

    async def _begin_stream(self, exchange: Exchange) -> web.StreamResponse:
        fault = {**WHOLE, **STREAMS, **LONG}[self._plan.fault]
        self._tasks.append(asyncio.create_task(self._streams_meet(fault)))
        return await exchange.respond(await exchange.forward())

    async def _streams_meet(self, fault: StreamFault) -> None:
        seconds = self._plan.seconds(0) if self._plan.fault in LONG else self._seconds
        await fault(self._lane.proxy, self._plan.resources, seconds)


def _pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    return list(zip(runs[::2], runs[1::2], strict=True))


# --------------------------------------------------------------------------------------------------------------------
# Several at a time
# --------------------------------------------------------------------------------------------------------------------


def in_mixed_order(plans: Iterable[Plan]) -> list[Plan]:
    """The same order each time, in which neighbours have nothing in common: any slice is a sample of all."""
    return sorted(plans, key=lambda plan: sha256(plan.id.encode()).digest())


def batches_of(plans: Iterable[Plan]) -> list[list[Plan]]:
    """What is run together: plans whose faults concern one application only share an operator."""
    found: list[list[Plan]] = []
    shared: list[Plan] = []
    for plan in plans:
        if plan.alone:
            found.append([plan])
            continue
        if len(shared) % TOGETHER == 0:
            shared = []
            found.append(shared)
        shared.append(plan)
    return found


@dataclass
class Pool:
    """Lanes that take batches in turn."""

    prover: Prover
    prefix: str
    """Of the namespaces."""
    count: int
    on_result: Callable[[Result], None]
    lanes: list[Lane] = field(default_factory=list)

    async def up(self) -> None:
        """Start all lanes."""
        self.lanes = [Lane(self.prover.site, f"{self.prefix}-{number}") for number in range(self.count)]
        await asyncio.gather(*(lane.up() for lane in self.lanes))

    async def down(self) -> None:
        """End all lanes."""
        await asyncio.gather(*(lane.down() for lane in self.lanes))

    async def run(self, batches: Iterator[list[Plan]]) -> None:
        """Carry out what there is."""
        await asyncio.gather(*(self._work(lane, batches) for lane in self.lanes))

    async def _work(self, lane: Lane, batches: Iterator[list[Plan]]) -> None:
        fresh = True
        for batch in batches:
            if not fresh:
                # What an earlier fault did to this operator is not to be judged again.
                await lane.restart()
                lane.proxy.recorded.clear()
            fresh = not any(plan.alone for plan in batch)
            for result in await asyncio.gather(*(self.prover.carry_out(plan, lane) for plan in batch)):
                fresh = fresh and result.ok
                self.on_result(result)


@contextlib.asynccontextmanager
async def prover(
    cluster: Cluster, folder: Path, *, while_seconds: float, provider_port: int = 0
) -> AsyncIterator[Prover]:
    """Everything that plans need, on a cluster that runs."""
    answers: dict[str, float | None] = {}
    async with Client(cluster.kubeconfig) as client, provider(answers, provider_port) as address:
        history = History(client)
        await history.start()
        try:
            yield Prover(Site(cluster, client, answers, address, folder), history, while_seconds)
        finally:
            await history.stop()
