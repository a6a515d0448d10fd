"""The engine around a server in memory, with decisions to order: for tests of what the engine itself does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headgate.act.events import Recorder
from headgate.act.kube import Kube
from headgate.api.config import OperatorConfig
from headgate.decide.types import Decision, EventNote, RolloutMeta, Snapshot
from headgate.engine.cache import Cache
from headgate.engine.checks_runner import ChecksRunner
from headgate.engine.cycle import Cycle, Guard, Parts
from headgate.engine.intake import Intake, build_indexes
from headgate.engine.ledger import Ledger
from headgate.engine.queue import Key, WorkQueue
from headgate.engine.reads import Reads
from headgate.observe.reading import Models
from headgate.observe.references import References
from headgate.observe.snapshot import Observer
from headgate.traffic.registry import ROUTERS
from tests.unit.fake_api import FakeAPI, Object

KEY = Key("shop", "checkout")
ROLLOUT = "/apis/headgate.dev/v1alpha1/namespaces/shop/rollouts/checkout"
STABLE = "/api/v1/namespaces/shop/services/checkout"
SETS = "/apis/apps/v1/namespaces/shop/replicasets"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/checkout"


class Notes(Recorder):
    """A recorder that keeps notes."""

    def __init__(self, kube: Kube) -> None:
        super().__init__(kube, instance="test", now=lambda: 0.0)
        self.notes: list[EventNote] = []

    def record(self, meta: RolloutMeta, note: EventNote) -> None:
        """Keep it."""
        assert meta.name == KEY.name
        self.notes.append(note)


@dataclass
class World:
    """Everything, with a leader that may write unless it is said otherwise."""

    api: FakeAPI = field(default_factory=FakeAPI)
    decide: Callable[[Snapshot, float], Decision] = lambda s, _now: Decision(status=s.status, write=False)
    guard: Guard = lambda *_: []
    """Decisions to order need not be good ones."""
    may_write: bool = True
    snapshots: list[Snapshot] = field(default_factory=list)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        routers = tuple(ROUTERS.values())
        self.kube = Kube(self.api)
        self.cache = Cache(monotonic=loop.time)
        self.queue = WorkQueue(rand=lambda: 0.0)
        models = Models()
        references = References(models, routers)
        build_indexes(self.cache, references)
        self.intake = Intake(self.cache, self.queue, references, monotonic=loop.time)
        self.checks = ChecksRunner({}, now=self.now, on_answer=self.queue.add)
        self.ledger = Ledger(monotonic=loop.time)
        self.recorder = Notes(self.kube)
        self.observer = Observer(self.cache, OperatorConfig(), routers, models, references)
        self.cycle = Cycle(
            Parts(
                kube=self.kube,
                cache=self.cache,
                intake=self.intake,
                queue=self.queue,
                observer=self.observer,
                routers=ROUTERS,
                checks=self.checks,
                reads=Reads(self.kube, on_answer=self.queue.add, monotonic=loop.time),
                recorder=self.recorder,
                ledger=self.ledger,
                decide=self._decide,
                guard=lambda s, a, j: self.guard(s, a, j),  # noqa: PLW0108  a test may set another one later
                now=self.now,
                may_write=lambda: self.may_write,
            )
        )

    @staticmethod
    def now() -> float:
        """API-server time."""
        return 1_000_000 + asyncio.get_running_loop().time()

    def _decide(self, snapshot: Snapshot, now: float) -> Decision:
        self.snapshots.append(snapshot)
        return self.decide(snapshot, now)

    def put(self, kind: str, path: str, obj: Object) -> Object:
        """Store an object at the server and let the watch tell at once."""
        stored = self.api.put(path, obj)
        self.intake.take(kind, stored)
        return stored

    async def pass_over(self) -> None:
        """Take the next key and evaluate it, as a worker would."""
        key = await self.queue.get()
        try:
            await self.cycle.evaluate(key)
        finally:
            self.queue.done(key)


def rollout(**spec: Any) -> Object:
    """A Rollout that can be read."""
    return {
        "metadata": {"name": "checkout", "namespace": "shop", "generation": 1, "uid": "rollout-uid"},
        "spec": {
            "replicas": 2,
            "template": {"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": []}},
            "strategy": {
                "canary": {
                    "stableService": "checkout",
                    "canaryService": "checkout-canary",
                    "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}},
                    "steps": [{"setWeight": 10}],
                }
            },
        }
        | spec,
    }


def service(selector: dict[str, str] | None = None) -> Object:
    """A Service."""
    return {"spec": {"selector": {"app": "checkout"} | (selector or {})}}
