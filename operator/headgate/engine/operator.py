"""Puts the parts together, starts them in their order and stops them quickly: one process of the operator."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from headgate.act.events import Recorder
from headgate.act.kube import Call, Kube
from headgate.act.transport import Transport
from headgate.checks.protocol import CheckProvider
from headgate.decide.invariants import guard
from headgate.decide.rollout import decide
from headgate.engine.cache import Cache
from headgate.engine.checks_runner import ChecksRunner
from headgate.engine.clock import ServerClock
from headgate.engine.cycle import Cycle, Parts
from headgate.engine.heartbeat import STALE_SECONDS, Heartbeats
from headgate.engine.host import Host
from headgate.engine.intake import Intake, build_indexes
from headgate.engine.lease import Elector
from headgate.engine.ledger import Ledger
from headgate.engine.options import Options
from headgate.engine.queue import WorkQueue
from headgate.engine.reads import Reads
from headgate.engine.sources import watched
from headgate.engine.sync import Sync
from headgate.engine.worker import Worker
from headgate.observe.reading import Models
from headgate.observe.references import References
from headgate.observe.snapshot import Observer
from headgate.telemetry import metrics, web
from headgate.telemetry.logs import logger
from headgate.traffic.protocol import Router

STOP_SECONDS = 3.0
STATISTICS_SECONDS = 1.0

log = logger(__name__)


class Watches(Protocol):
    """What watches the cluster: it puts what it hears into the intake, and says which kinds it has listed."""

    def restart(self) -> None:
        """Begin anew, because there is something new to watch."""
        ...

    async def run(self) -> None:
        """Watch for ever."""
        ...


class Operator:
    """One process."""

    def __init__(
        self,
        options: Options,
        transport: Transport,
        routers: Mapping[str, Router],
        providers: Mapping[str, CheckProvider],
        host: Host | None = None,
    ) -> None:
        config = options.config
        host = host or Host()
        self.options = options
        self._host = host
        self.heartbeats = Heartbeats(monotonic=host.monotonic)
        self.clock = ServerClock(monotonic=host.monotonic, wall=host.wall)
        self.kube = Kube(transport, monotonic=host.monotonic)
        self.kube.observers.append(self._called)
        self.sources = watched(routers, config)
        self.cache = Cache(monotonic=host.monotonic)
        self.queue = WorkQueue(rand=host.rand)
        models = Models()
        references = References(models, tuple(routers.values()))
        build_indexes(self.cache, references)
        self.intake = Intake(self.cache, self.queue, references, monotonic=host.monotonic)
        self.sync = Sync(
            self.kube,
            self.cache,
            self.intake,
            self.sources,
            namespaces=config.namespaces,
            on_found=self._found,
            on_fresh=self._may_begin,
            beat=lambda: self.heartbeats.beat("sweep"),
            monotonic=host.monotonic,
            rand=host.rand,
        )
        self.elector = Elector(
            self.kube,
            namespace=options.lease_namespace,
            name=options.lease_name,
            identity=f"{options.identity}_{host.token(4)}",
            now=self.clock.now,
            monotonic=host.monotonic,
        )
        self.ledger = Ledger(monotonic=host.monotonic)
        self.checks = ChecksRunner(
            providers, now=self.clock.now, on_answer=self.queue.add, per_namespace=config.queries_per_namespace
        )
        self.recorder = Recorder(self.kube, instance=self.elector.identity, now=self.clock.now, token=host.token)
        self.cycle = Cycle(
            Parts(
                kube=self.kube,
                cache=self.cache,
                intake=self.intake,
                queue=self.queue,
                observer=Observer(self.cache, config, tuple(routers.values()), models, references),
                routers=routers,
                checks=self.checks,
                reads=Reads(self.kube, on_answer=self.queue.add, monotonic=host.monotonic, now=self.clock.now),
                recorder=self.recorder,
                ledger=self.ledger,
                decide=decide,
                guard=guard,
                now=self.clock.now,
                may_write=lambda: self.elector.may_write() and self.sync.fresh,
            )
        )
        self.workers: list[Worker] = []
        self.watches: Watches | None = None
        self._stopping = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.elector.on_started.append(self._started_leading)
        self.elector.on_stopped.append(self._stopped_leading)
        self.elector.on_turn.append(lambda: self.heartbeats.beat("lease"))
        self.heartbeats.watch(self._queue_problem)

    async def run(self, watches: Watches) -> None:
        """Run until a signal says stop.

        Raises:
            RuntimeError: if a part ended that never should.
        """
        self.watches = watches
        runner = None
        try:
            if self._host.listens:
                self.take_signals()
                app = web.application(health=self.heartbeats.problems, ready=self._not_ready)
                runner = await web.start(app, port=self.options.port)
                log.info("serving", port=self.options.port)
            self._start("events", self.recorder.run())
            self._start("statistics", self._measure())
            if await self._first_lists():
                self._start("lease", self.elector.run())
                for number in range(self.options.config.workers):
                    worker = Worker(number, self.queue, self.cycle, self.ledger, self.heartbeats, now=self.clock.now)
                    self.workers.append(worker)
                    self._start(f"worker {number}", worker.run())
                self._start("sweep", self.sync.run())
                self._start("watches", watches.run())
                await self._until_stopped()
        finally:
            await self._stop()
            if runner is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await runner.cleanup()

    def take_signals(self) -> None:
        """Let SIGTERM and SIGINT stop the operator; again whenever somebody else took them."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    def sweep_all(self) -> None:
        """Sweep every kind soon: nobody watched for a while."""
        for source in self.sources:
            self.intake.relisted.setdefault(source.kind, 0.0)

    # ------------------------------------------------------------------------------------------------ life

    async def _first_lists(self) -> bool:
        """Fill the cache; False if the operator is to stop before that is done."""
        self._start("first lists", self.sync.first_lists())
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        await asyncio.wait({self._tasks["first lists"], stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if self._stopping.is_set():
            return False
        self._tasks.pop("first lists").result()
        log.info("cache filled", rollouts=self.cache.count("Rollout"), missing=sorted(self.cache.missing))
        return True

    async def _until_stopped(self) -> None:
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        await asyncio.wait({stop, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for name, task in self._tasks.items():
            if task.done() and not task.cancelled():
                # Crash only: a standby takes over, and this process begins anew.
                raise RuntimeError(f"{name} ended") from task.exception()

    async def _stop(self) -> None:
        """The Lease first, so that a standby acts at once; then everything else, within a few seconds."""
        log.info("stopping")
        lease = self._tasks.pop("lease", None)
        if lease is not None:
            lease.cancel()
            await asyncio.wait({lease}, timeout=STOP_SECONDS)
            await self.elector.release()
        self.queue.close()
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=STOP_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self.checks.close()
                await self.kube.close()

    def _start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(coroutine, name=name)

    # ------------------------------------------------------------------------------------------------ wiring

    def _called(self, call: Call) -> None:
        metrics.api_request(call.method, call.plural, call.code)
        if call.date is not None:
            self.clock.observe(call.date, call.began, call.ended)

    def _started_leading(self) -> None:
        metrics.lease(held=True)
        # What another replica did meanwhile is in no memory of this one, and its watches may not have told it yet.
        self.ledger.clear()
        self.sync.look_anew()

    def _may_begin(self) -> None:
        self.intake.all_dirty()

    def _stopped_leading(self) -> None:
        metrics.lease(held=False)
        self.checks.drop_all()

    def _found(self, _kind: str) -> None:
        if self.watches is not None:
            self.watches.restart()

    def _not_ready(self) -> list[str]:
        if not self.cache.synced(s.kind for s in self.sources):
            waiting = self.sync.waiting or {"all kinds": "not listed yet"}
            return [f"{kind}: {why}" for kind, why in waiting.items()]
        return []

    def _queue_problem(self) -> str:
        if not self.elector.leading:
            return ""
        waited = self.queue.statistics().oldest_seconds
        if waited > STALE_SECONDS and self._all_busy_for_long():
            return f"a key waits for {waited:.0f} s"
        return self.ledger.neglected()

    def _all_busy_for_long(self) -> bool:
        # A long queue is load, not a fault; it is one if no worker took anything for a minute.
        return self.heartbeats.begun() >= len(self.workers)

    async def _measure(self) -> None:
        adds = retries = 0
        while True:
            found = self.queue.statistics()
            metrics.queue_depth(found.ready)
            for _ in range(found.adds - adds):
                metrics.queue_added()
            for _ in range(found.retries - retries):
                metrics.queue_retried()
            adds, retries = found.adds, found.retries
            await asyncio.sleep(STATISTICS_SECONDS)
