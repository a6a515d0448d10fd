"""One replica of the operator: the real one, on the virtual clock, which can be killed at any moment."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from headgate.api.config import OperatorConfig
from headgate.engine.host import Host
from headgate.engine.operator import Operator
from headgate.engine.options import Options
from headgate.traffic.registry import ROUTERS
from tests.simulation.shell.clock import VirtualLoop
from tests.simulation.shell.cluster import Cluster
from tests.simulation.shell.faults import Faults
from tests.simulation.shell.traffic import SETTLE, Prometheus, Traffic
from tests.simulation.shell.watches import Watches
from tests.simulation.shell.wire import Sent, Wire

DRAIN = 3.0
LEASE = ("headgate-system", "headgate")
ROUTER = {"gatewayAPI": ROUTERS["gatewayAPI"]}
"""The one that the world has; with more watches each known seed would tell another story."""
CONFIG = OperatorConfig.model_validate(
    {
        "routeSettleSeconds": SETTLE,
        "drainSeconds": DRAIN,
        "workers": 2,
        "metricProviders": {"default": {"address": "http://prometheus:9090", "timeoutSeconds": 5}},
        "queryTemplates": {
            "success": {"query": 'success{revision="{{canaryRevision}}"}[{{window}}]'},
            "compared": {"query": 'compared{one="{{baseline}}",other="{{trial}}"}'},
        },
    }
)
COPYING = CONFIG.model_copy(update={"snapshot_kinds": ("ConfigMap",)})
"""Set up for Rollouts that want copies of ConfigMaps."""

_inside: contextvars.ContextVar[Process | None] = contextvars.ContextVar("inside a process", default=None)


def current() -> Process | None:
    """The process whose code runs now."""
    return _inside.get()


def track_tasks(loop: VirtualLoop) -> None:
    """Let each process know its tasks: they inherit its context."""

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        process = _inside.get()
        if process is not None:
            process.tasks[task] = None
            task.add_done_callback(lambda t: process.tasks.pop(t, None))
        return task

    loop.set_task_factory(factory)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every process of a history shares."""

    cluster: Cluster
    faults: Faults
    traffic: Traffic
    seed: int
    sent: Sent
    ended: Callable[[Process, BaseException | None], None]
    config: OperatorConfig = CONFIG
    prometheus: type[Prometheus] = Prometheus


class Process:
    """One life of one replica."""

    def __init__(self, around: Surroundings, replica: int, life: int) -> None:
        self.name = f"operator-{replica}.{life}"
        self.replica = replica
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.operator: Operator | None = None
        self.dead = False
        self._around = around
        self._main: asyncio.Task[None] | None = None
        self._seed = f"{around.seed}/{self.name}"
        self.prometheus = around.prometheus(
            around.cluster, around.traffic, random.Random(f"{self._seed}/prometheus"), around.faults.check
        )
        self.wire = Wire(
            around.cluster, around.faults, actor=self.name, seed=self._seed, kill=self.kill, sent=around.sent
        )

    def start(self) -> None:
        """Begin to run."""
        context = contextvars.copy_context()
        context.run(_inside.set, self)
        context.run(self._begin)

    def _begin(self) -> None:
        self._main = self._around.cluster.loop.create_task(self._run(), name=self.name)

    def kill(self) -> None:
        """As SIGKILL: nothing that it still does reaches anybody."""
        if self.dead:
            return
        self.dead = self.wire.dead = True
        for task in list(self.tasks):
            task.cancel()
        self._around.ended(self, None)

    def stop(self) -> None:
        """As SIGTERM: it gives the Lease back and ends."""
        if self.operator is not None and not self.dead:
            self.operator._stopping.set()

    async def _run(self) -> None:
        loop, chance = self._around.cluster.loop, random.Random(f"{self._seed}/host")
        skew = chance.uniform(-300.0, 300.0)
        host = Host(
            monotonic=loop.time,
            wall=lambda: loop.wall() + skew,
            rand=chance.random,
            token=lambda length: chance.randbytes(length).hex(),
            listens=False,
        )
        options = Options(
            config=self._around.config,
            kubeconfig=None,
            context=None,
            log_level="error",
            log_format="text",
            port=0,
            lease_name=LEASE[1],
            lease_namespace=LEASE[0],
            identity=self.name,
        )
        self.operator = operator = Operator(options, self.wire, ROUTER, {"default": self.prometheus}, host)
        watches = Watches(
            self._around.cluster,
            self._around.faults,
            operator.kube,
            operator.intake,
            operator.sources,
            operator.sweep_all,
        )
        problem: BaseException | None = None
        try:
            await operator.run(watches)
        except asyncio.CancelledError:
            return  # Killed.
        except Exception as error:  # noqa: BLE001  whatever ended it is the finding
            problem = error
        if not self.dead:
            self.dead = self.wire.dead = True
            self._around.ended(self, problem)
