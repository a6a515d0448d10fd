"""One history: the scenario of a seed happens, faults stop, and it is seen whether everything ends as it must."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import structlog

from headgate.act.transport import Request, Response
from tests.simulation.shell import process
from tests.simulation.shell.clock import BEGIN, VirtualLoop
from tests.simulation.shell.cluster import Change, Cluster
from tests.simulation.shell.controllers import Collector, Deployments, Namespaces, Slices
from tests.simulation.shell.ends import End
from tests.simulation.shell.faults import Faults
from tests.simulation.shell.oracle import Oracle, Violation
from tests.simulation.shell.people import People
from tests.simulation.shell.pods import ReplicaSets
from tests.simulation.shell.process import Process, Surroundings
from tests.simulation.shell.scenario import CANARY, NAME, NAMESPACE, Scenario
from tests.simulation.shell.traffic import Gateway, Traffic


@dataclass
class Outcome:
    """What came of a history."""

    seed: int
    problem: str = ""
    story: list[str] = field(default_factory=list)
    phase: str = ""
    digest: str = ""
    """Of every write of the operators, in order and with its time."""
    writes: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    virtual: float = 0.0
    scenario: Scenario | None = None


class History:
    """One run of one scenario."""

    def __init__(self, of: Scenario, *, trace: bool = False) -> None:
        self.scenario = of
        self.begin = BEGIN
        self.loop = VirtualLoop()
        process.track_tasks(self.loop)
        self.cluster = Cluster(self.loop, of.seed)
        self.faults = Faults(of.seed, of.strength, of.without, unserved=of.unserved)
        self.gateway = Gateway(self.cluster)
        self.traffic = Traffic(self.cluster, self.gateway, (NAMESPACE, NAME), "" if of.by_route else NAME)
        if of.blue_green is not None:
            # The preview has its users, too: those who try it.
            self.traffic.preview = Traffic(self.cluster, self.gateway, (NAMESPACE, NAME), CANARY)
        for controller in (ReplicaSets, Slices, Deployments, Collector, Namespaces):
            controller(self.cluster)
        self.oracle = Oracle(self.cluster, self.traffic, self.tell)
        self.trace = trace
        self.story: list[str] = []
        self.chance = random.Random(f"{of.seed}/history")
        self.people = People(self)
        self.processes: dict[int, Process] = {}
        self.wanted: set[int] = {1}
        self.lives = 0
        self.writes = 0
        self.failure: Violation | None = None
        self._digest = hashlib.sha256()
        self._around = Surroundings(self.cluster, self.faults, self.traffic, of.seed, self._sent, self._ended)
        if of.config is not None:
            self._around = replace(self._around, config=process.COPYING)

    # ---------------------------------------------------------------------------------------------- running

    def run(self) -> Outcome:
        """Let it happen."""
        outcome = Outcome(self.scenario.seed, scenario=self.scenario)
        try:
            with self._logs():
                self.loop.run_until_complete(self._happen())
        except Violation as violation:
            outcome.problem = str(violation)
        finally:
            self._clear_away()
        outcome.story = self.story
        outcome.phase = str(self.status().get("phase", "gone"))
        outcome.digest = self._digest.hexdigest()
        outcome.writes = self.writes
        outcome.faults = dict(self.faults.happened)
        outcome.virtual = self.loop.time() - BEGIN
        return outcome

    def _clear_away(self) -> None:
        with self._logs(), contextlib.suppress(Exception):
            self.wanted.clear()
            for one in self.processes.values():
                one.dead = one.wire.dead = True
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(20))
        self.loop.close()

    async def _happen(self) -> None:
        self.people.deploy()
        self.start(1)
        for event in self.scenario.events:
            await self.until(event.at)
            self.tell(f"> {event.what} {event.arg}".rstrip())
            self.people.carry_out(event)
        await self.until(self.scenario.calm_at)
        self.tell("> from here on nothing goes wrong any more")
        self.faults.on = False
        await End(self).reach()

    async def until(self, at: float) -> None:
        """Wait until so many seconds from the beginning; whatever was found meanwhile ends the history."""
        while self.loop.time() < BEGIN + at:
            await asyncio.sleep(min(5.0, BEGIN + at - self.loop.time()))
            self.check()

    async def wait(self, seconds: float) -> None:
        """Wait so long."""
        await self.until(self.loop.time() - BEGIN + seconds)

    def check(self) -> None:
        """Stop if something was found.

        Raises:
            Violation: what was found first.
        """
        found = self.failure or self.oracle.violation
        if found is not None:
            raise found

    def fail(self, what: str) -> None:
        """Note a finding; the first one counts."""
        if self.failure is None and self.oracle.violation is None:
            self.tell(f"!! {what}")
            self.failure = Violation(what)

    # ---------------------------------------------------------------------------------------------- replicas

    def start(self, replica: int) -> None:
        """Let a replica begin another life, if it is wanted and not alive."""
        if replica not in self.wanted or replica in self.processes:
            return
        self.lives += 1
        self.processes[replica] = Process(self._around, replica, self.lives)
        self.tell(f"{self.processes[replica].name} starts")
        self.processes[replica].start()

    def _ended(self, one: Process, problem: BaseException | None) -> None:
        self.processes.pop(one.replica, None)
        if problem is not None:
            cause = problem.__cause__ or problem
            self.fail(f"{one.name} ended: {problem} ({type(cause).__name__}: {cause})")
            return
        self.tell(f"{one.name} is gone")
        self.loop.call_later(self.chance.uniform(0.3, 5.0), self.start, one.replica)

    # ---------------------------------------------------------------------------------------------- people

    # ---------------------------------------------------------------------------------------------- looking

    def rollout(self) -> dict[str, Any] | None:
        """The Rollout as it is stored."""
        return self.cluster.store.get("Rollout", NAMESPACE, NAME)

    def status(self) -> dict[str, Any]:
        """Its status."""
        return (self.rollout() or {}).get("status") or {}

    def tell(self, line: str) -> None:
        """Add to the story."""
        if self.trace:
            self.story.append(f"{self.loop.time() - BEGIN:9.3f} {line}")

    def _sent(self, actor: str, request: Request, response: Response, changes: list[Change], at: float) -> None:
        if request.method == "GET":
            return
        line = f"{self.loop.time():.6f} {actor} {request.method} {request.path} {response.code}"
        self._digest.update(line.encode())
        self._digest.update(request.body or b"")
        if self.trace and "/leases" not in request.path and "/events" not in request.path:
            said = "" if response.code < 400 else f" {orjson.loads(response.body).get('message', '')}"
            self.tell(f"{actor} {request.method} {request.path} {response.code}{said}{_what(request, changes)}")
        self.writes += sum(c.kind.kind not in ("Lease", "Event") for c in changes)
        self.oracle.sent(actor, request, changes, at)

    @contextlib.contextmanager
    def _logs(self) -> Iterator[None]:
        """Hear what the operators log: an error is a finding, the rest a part of the story."""
        before = structlog.get_config()
        level = 20 if self.trace else 40
        structlog.configure(
            processors=[self._heard],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.ReturnLoggerFactory(),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.configure(**before)

    def _heard(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        one = process.current()
        said = dict(event)
        what, cause = said.pop("event", ""), said.pop("exc_info", None)
        if one is None or one.dead:
            return ""
        if method in ("error", "critical", "exception"):
            self.fail(f"{one.name} logs an error: {what} {said} {cause!r}")
        elif self.trace and what not in ("decided", "write"):
            self.tell(f"{one.name} logs: {what} {said}")
        elif self.trace and what == "decided":
            shown = {k: said[k] for k in ("decision", "phase", "step", "weight", "why", "waiting") if said.get(k)}
            self.tell(f"{one.name} decided: {shown}")
        return ""


def _what(request: Request, changes: list[Change]) -> str:
    """What a write says, short."""
    if not changes or request.method == "DELETE":
        return ""
    body = orjson.loads(request.body or b"null")
    if not isinstance(body, list):
        return ""
    shown = []
    for one in body:
        if one["path"] in ("/metadata/resourceVersion", "/status") or one["op"] == "test":
            continue
        shown.append(f"{one['path']}={one.get('value', '')}")
    return f"  [{', '.join(shown)}]" if shown else ""


def run(of: Scenario, *, trace: bool = False) -> Outcome:
    """Let a scenario happen."""
    return History(of, trace=trace).run()


__all__ = ["History", "Outcome", "run"]
