"""One history of a StatefulSet that is released in place by the real shell: releases, people, faults, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import orjson
import structlog

from headgate.act.resources import path
from headgate.act.transport import Request, Response
from headgate.api.common import LABEL_REVISION
from headgate.api.rollout import RolloutStatus
from headgate.decide import strategies
from headgate.decide.in_place import CLOSED
from headgate.decide.journal import running
from headgate.decide.rolling import allowance, opened
from headgate.observe.reading import Models
from headgate.traffic.protocol import Resource
from tests.simulation.shell import process
from tests.simulation.shell.clock import BEGIN, VirtualLoop
from tests.simulation.shell.cluster import Change, Cluster
from tests.simulation.shell.controllers import Collector
from tests.simulation.shell.faults import Faults
from tests.simulation.shell.kinds import BY_NAME
from tests.simulation.shell.oracle import Violation
from tests.simulation.shell.owned_pods import HASH
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.process import CONFIG, LEASE, Process, Surroundings
from tests.simulation.shell.scenario import GATE, NAME, NAMESPACE, template
from tests.simulation.shell.stateful_sets import Budgets, StatefulSets
from tests.simulation.shell.traffic import QUALITY, Gateway, Prometheus, Traffic

Object = dict[str, Any]
WRITTEN = frozenset({"Rollout", "RolloutAction", "ControllerRevision", "Pod", "Event", "Lease"})
GOOD_ENDS = ("Healthy", "Degraded")


class PodTraffic(Traffic):
    """Every pod that is ready gets requests, whatever its revision."""

    def requests(self, revision: str, _since: float) -> float:
        """Some for each pod."""
        return 10.0 * sum(is_ready(p) for p in _of(self._cluster, revision))


class PodQuality(Prometheus):
    """Answers what the pods of a revision do, by their own label."""

    def _quality(self, revision: str) -> float | None:
        for pod in _of(self._cluster, revision):
            image = str(pod["spec"]["containers"][0]["image"])
            return next((value for word, value in QUALITY.items() if word in image), 100.0)
        return None


def _of(cluster: Cluster, revision: str) -> list[Object]:
    pods = cluster.store.all("Pod", NAMESPACE)
    return [p for p in pods if revision in (p["metadata"]["labels"].get(label) for label in (HASH, LABEL_REVISION))]


class InPlace:
    """The cluster, the operators in it, and what must hold at each of their writes."""

    kind = "StatefulSet"

    def __init__(self, seed: int, steps: list[Object], *, pods: int = 3, strength: float = 0.0) -> None:
        self.loop = VirtualLoop()
        process.track_tasks(self.loop)
        self.cluster = Cluster(self.loop, seed)
        self.store = self.cluster.store
        self.faults = Faults(seed, strength)
        self.chance = random.Random(f"{seed}/in place")
        self.steps, self.pods = steps, pods
        self.work_on()
        for controller in (Budgets, Collector):
            controller(self.cluster)
        traffic = PodTraffic(self.cluster, Gateway(self.cluster), (NAMESPACE, NAME))
        config = CONFIG.model_copy(update={"rolling_kinds": (self.kind,)})
        self._around = Surroundings(
            self.cluster, self.faults, traffic, seed, self._sent, self._ended, config, prometheus=PodQuality
        )
        self.alive: Process | None = None
        self.lives = 0
        self.story: list[str] = []
        self.moves: list[str] = []
        """Partitions and names of evicted pods, in order."""
        self.writes = 0
        self.evictions = 0
        """Requests, whatever came of them."""
        self.failure: Violation | None = None
        self._acts = 0

    def work_on(self) -> None:
        """Start the controller of the workload."""
        StatefulSets(self.cluster)

    def objects(self) -> list[tuple[str, Object]]:
        """The specs of the workload and of its Rollout."""
        spec = {
            "replicas": self.pods,
            "selector": {"matchLabels": {"app": NAME}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": template("v1"),
        }
        return [("StatefulSet", spec), ("Rollout", self.rollout())]

    def rollout(self) -> Object:
        """The spec of the Rollout."""
        return {
            "workloadRef": {"kind": self.kind, "name": NAME},
            "strategy": {"rolling": {"steps": self.steps}},
            "progressDeadlineSeconds": 60,
        }

    # ---------------------------------------------------------------------------------------------- running

    def run(self, happen: Callable[[InPlace], Any]) -> None:
        """Let it happen.

        Raises:
            Violation: the first thing that was wrong, with the story.
        """
        try:
            with self._logs():
                self.loop.run_until_complete(self._happen(happen))
        except Violation as violation:
            raise Violation(f"{violation}\n" + "\n".join(self.story[-80:])) from None
        finally:
            with self._logs(), contextlib.suppress(Exception):
                self.failure = Violation("over")
                if self.alive is not None:
                    self.alive.dead = self.alive.wire.dead = True
                for task in asyncio.all_tasks(self.loop):
                    task.cancel()
                self.loop.run_until_complete(asyncio.sleep(20))
            self.loop.close()

    async def _happen(self, happen: Callable[[InPlace], Any]) -> None:
        for space in (NAMESPACE, LEASE[0]):
            self.request("POST", "Namespace", "", body={"metadata": {"name": space}})
        check = {"name": "success", "prometheus": {"query": {"template": "success"}}, "pass": {"min": 99}}
        gate = {"interval": "5s", "consecutiveErrorLimit": 4, "checks": [check]}
        self.request("POST", "QualityGate", body={"metadata": {"name": GATE}, "spec": gate})
        for kind, spec in self.objects():
            self.request("POST", kind, body={"metadata": {"name": NAME}, "spec": spec})
        self._start()
        await happen(self)

    def _start(self) -> None:
        self.lives += 1
        self.alive = Process(self._around, 1, self.lives)
        self.alive.start()

    def _ended(self, one: Process, problem: BaseException | None) -> None:
        if problem is not None:
            self.fail(f"{one.name} ended: {problem!r}")
        self.tell(f"{one.name} is gone")
        if self.failure is None:
            self.loop.call_later(self.chance.uniform(0.3, 5.0), self._start)

    async def wait(self, seconds: float) -> None:
        """Let time pass; whatever was found meanwhile ends the history."""
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            await asyncio.sleep(min(1.0, end - self.loop.time()))
            if self.failure is not None:
                raise self.failure

    async def until(self, what: str, holds: Callable[[], bool], limit: float = 400.0) -> None:
        """Wait for something."""
        end = self.loop.time() + limit
        while not holds():
            if self.loop.time() > end:
                message = f"22: not {what} within {limit} s: {self.status().phase}: {self.status().message}"
                raise Violation(message)
            await self.wait(0.25)

    async def settle(self, limit: float = 900.0) -> None:
        """Wait for the end of what is under way, and see that it is kept without a write."""
        await self.until("at rest", self._rests, limit)
        await self.wait(60.0)
        before = self.writes
        await self.wait(300.0)
        if self.writes != before:
            raise Violation(f"14: {self.writes - before} writes at rest")

    def _rests(self) -> bool:
        status, pods = self.status(), self.images()
        home = self.closed() and len(set(pods)) == 1 and len(pods) == self.pods
        return status.phase in GOOD_ENDS and home and all(map(is_ready, self.store.all("Pod", NAMESPACE)))

    # ---------------------------------------------------------------------------------------------- people

    def request(
        self, method: str, kind: str, namespace: str = NAMESPACE, name: str = "", body: Object | None = None
    ) -> Response:
        """Send a request as a person."""
        of = BY_NAME[kind]
        where = path(Resource(of.group, of.version, of.plural, of.kind), namespace or None, name or None)
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        if method == "POST":
            body = {"apiVersion": of.api_version, "kind": of.kind, **(body or {})}
        response = self.cluster.server.send(
            Request(method, where, orjson.dumps(body) if body else None, content_type=content), "people"
        )
        assert response.code < 400, response.body
        return response

    def release(self, version: str) -> None:
        """Change the template."""
        self.tell(f"> release {version}")
        self.request("PATCH", "StatefulSet", name=NAME, body={"spec": {"template": template(version)}})

    def act(self, verb: str) -> None:
        """Somebody acts on what is shown now."""
        status = self.status()
        self._acts += 1
        seen = status.rejected[-1] if verb == "retry" and status.rejected else status.current
        spec: Object = {"rollout": NAME, "verb": verb, "author": "ann", "reason": "because"}
        spec |= {"revision": seen.pod_hash if seen else "none", "attempt": seen.attempt if seen else 1}
        self.tell(f"> {verb}")
        self.request("POST", "RolloutAction", body={"metadata": {"name": f"{verb}-{self._acts}"}, "spec": spec})

    # ---------------------------------------------------------------------------------------------- looking

    def status(self) -> RolloutStatus:
        """The journal."""
        found = self.store.get("Rollout", NAMESPACE, NAME)
        return RolloutStatus.model_validate((found or {}).get("status") or {})

    def stateful_set(self) -> Object:
        """The StatefulSet."""
        return self.store.get("StatefulSet", NAMESPACE, NAME) or {}

    def closed(self) -> bool:
        """No pod becomes new."""
        return self.partition() == CLOSED

    def partition(self) -> int:
        """How far its update may go."""
        return int(self.stateful_set()["spec"]["updateStrategy"]["rollingUpdate"]["partition"])

    def images(self) -> list[str]:
        """The versions of its pods, by ordinal."""
        pods = self.store.all("Pod", NAMESPACE)
        return [str(p["spec"]["containers"][0]["image"]).rpartition(":")[2] for p in pods]

    def tell(self, line: str) -> None:
        """Add to the story."""
        self.story.append(f"{self.loop.time() - BEGIN:9.3f} {line}")

    def fail(self, what: str) -> None:
        """Note a finding; the first one counts."""
        if self.failure is None:
            self.tell(f"!! {what}")
            self.failure = Violation(what)

    @contextlib.contextmanager
    def _logs(self) -> Iterator[None]:
        before = structlog.get_config()
        structlog.configure(
            processors=[self._heard],
            wrapper_class=structlog.make_filtering_bound_logger(40),
            logger_factory=structlog.ReturnLoggerFactory(),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.configure(**before)

    def _heard(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        one = process.current()
        if one is not None and not one.dead:
            self.fail(f"an error is logged: {dict(event)}")
        return ""

    # ---------------------------------------------------------------------------------------------- what must hold

    def _sent(self, actor: str, request: Request, response: Response, changes: list[Change], _at: float) -> None:
        if request.method == "GET":
            return
        self.evictions += request.path.endswith("/eviction")
        for change in changes:
            kind = change.kind.kind
            if change.actor == "server" or kind in ("Lease", "Event"):
                continue
            self.writes += 1
            self.tell(f"{actor} {request.method} {request.path} {response.code}")
            if kind not in WRITTEN and kind != self.kind:
                self.fail(f"16: {actor} writes a {kind}")
            elif kind == self.kind:
                self.written(change)
            elif kind == "Pod":
                self.evicted(change)

    def written(self, change: Change) -> None:
        """What must hold when the workload is written."""
        before, after = change.before or {}, change.after
        old, new = (int(o["spec"]["updateStrategy"]["rollingUpdate"]["partition"]) for o in (before, after))
        if {**before["spec"], "updateStrategy": 0} != {**after["spec"], "updateStrategy": 0}:
            self.fail("16: more of the StatefulSet was changed than its partition")
        self.moves.append(str(new))
        self.tell(f"partition {new}")
        if new >= old:
            return
        status, pods = self.status(), self.store.all("Pod", NAMESPACE)
        replicas = int(after["spec"]["replicas"])
        if sum(map(is_ready, pods)) < replicas:
            self.fail(f"3: partition {new} while {sum(map(is_ready, pods))} of {replicas} pods are ready")
        if status.paused is not None:
            self.fail(f"13: partition {new} while it is paused")
        if running(status) is None:
            self.fail(f"6: partition {new} while nothing is released")
        spec, _ = Models().spec(self.store.get("Rollout", NAMESPACE, NAME) or {})
        steps = strategies.of(spec).steps if spec is not None else ()
        allowed = allowance(steps, status.current_step_index, replicas).replicas
        if opened(new, replicas) > allowed and status.current_step_index < len(steps):
            self.fail(f"2: partition {new} at step {status.current_step_index + 1}, which allows {allowed} pods")

    def evicted(self, change: Change) -> None:
        """What must hold when a pod is evicted."""
        pod, pods = change.before or {}, self.store.all("Pod", NAMESPACE)
        self.moves.append(str(pod["metadata"]["name"]))
        stable = self.stateful_set()["status"]["currentRevision"]
        if pod["metadata"]["labels"][HASH] == stable:
            self.fail(f"16: {pod['metadata']['name']} is evicted, and it is stable")
        if self.partition() < CLOSED:
            self.fail(f"10: {pod['metadata']['name']} is evicted before the update is closed")
        others = sum(is_ready(p) for p in pods if p["metadata"]["uid"] != pod["metadata"]["uid"])
        if is_ready(pod) and others < self.pods - 1:
            self.fail(f"3: {pod['metadata']['name']} serves and is evicted before the others are back")
