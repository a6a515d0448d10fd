"""The fleet: N Rollouts with their own Services and HTTPRoute each, and the moment at which each of them is healthy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hack.lib.hgbench.client import Client, Json
from hack.lib.hgbench.cluster import Trouble
from hack.lib.hgbench.gateway import OFF

WEIGHTS = (20, 40, 60, 80, 100)
REPLICAS = 2
SCALE_DOWN_DELAY = 5
ROLLOUTS = "/apis/headgate.dev/v1alpha1/rollouts"
AT_ONCE = 16
PREFIX = "bench-"
"""Of the namespaces that belong to a fleet."""


@dataclass(slots=True)
class Member:
    """One Rollout."""

    namespace: str
    name: str
    generation: int = 0
    """Of the spec that it is to become healthy with."""
    changed_at: float = 0.0
    healthy_at: float = 0.0
    phase: str = ""
    message: str = ""

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return f"/apis/headgate.dev/v1alpha1/namespaces/{self.namespace}/rollouts/{self.name}"

    def objects(self, version: int) -> list[tuple[str, Json]]:
        """Its objects by path; the Rollout last."""
        core = f"/api/v1/namespaces/{self.namespace}/services"
        routes = f"/apis/gateway.networking.k8s.io/v1/namespaces/{self.namespace}/httproutes"
        canary = f"{self.name}-canary"
        return [
            (f"{core}/{self.name}", self._service(self.name)),
            (f"{core}/{canary}", self._service(canary)),
            (f"{routes}/{self.name}", self._route(canary)),
            (self.path, self._rollout(canary, version)),
        ]

    def _meta(self, name: str) -> Json:
        return {"name": name, "namespace": self.namespace}

    def _service(self, name: str) -> Json:
        spec = {"selector": {"app": self.name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": self._meta(name), "spec": spec}

    def _route(self, canary: str) -> Json:
        backends = [{"name": self.name, "port": 80, "weight": 100}, {"name": canary, "port": 80, "weight": 0}]
        return {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": self._meta(self.name) | {"annotations": OFF},
            "spec": {
                "parentRefs": [{"name": "headgate-gateway", "namespace": "gateway-system"}],
                "hostnames": [f"{self.name}.example"],
                "rules": [{"name": "main", "backendRefs": backends}],
            },
        }

    def _rollout(self, canary: str, version: int) -> Json:
        return {
            "apiVersion": "headgate.dev/v1alpha1",
            "kind": "Rollout",
            "metadata": self._meta(self.name),
            "spec": {
                "replicas": REPLICAS,
                "template": template(self.name, version),
                "strategy": {
                    "canary": {
                        "stableService": self.name,
                        "canaryService": canary,
                        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": self.name, "rule": "main"}]}},
                        "steps": [{"setWeight": weight} for weight in WEIGHTS],
                        "scaleDownDelaySeconds": SCALE_DOWN_DELAY,
                    }
                },
            },
        }


def template(name: str, version: int) -> Json:
    """A pod template of the size that real ones have."""
    return {
        "metadata": {"labels": {"app": name, "team": "bench"}, "annotations": {"example.com/owner": "bench"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "app",
                    "image": f"registry.example/{name}:v{version}",
                    "args": ["serve", "--port=8080"],
                    "env": [{"name": f"SETTING_{number}", "value": f"value {number}"} for number in range(8)],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
                }
            ],
        },
    }


@dataclass
class Fleet:
    """All members, and a watch that notes when each one is healthy."""

    client: Client
    members: list[Member]
    say: Callable[[str], None]
    _by_place: dict[tuple[str, str], Member] = field(default_factory=dict)
    _waiting: int = 0

    @classmethod
    def of(cls, client: Client, count: int, namespaces: int, say: Callable[[str], None]) -> Fleet:
        """A fleet of this size, spread evenly over namespaces."""
        members = [Member(f"{PREFIX}{number % namespaces:02d}", f"app-{number:03d}") for number in range(count)]
        fleet = cls(client, members, say)
        fleet._by_place = {(m.namespace, m.name): m for m in members}
        return fleet

    @property
    def namespaces(self) -> list[str]:
        """Where the members live."""
        return sorted({member.namespace for member in self.members})

    async def deploy(self, version: int) -> None:
        """Make all the objects."""
        for name in self.namespaces:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await self.client.apply(f"/api/v1/namespaces/{name}", body)

        async def one(member: Member) -> None:
            for path, obj in member.objects(version):
                answer = await self.client.apply(path, obj)
                member.generation = int(answer["metadata"].get("generation") or 0)
            member.changed_at, member.healthy_at = time.monotonic(), 0.0

        await _many(self.members, one)

    async def remove(self, seconds: float) -> int:
        """Delete the namespaces of any fleet, of an earlier run too; gives how many Rollouts were handed back.

        Raises:
            Trouble: if some are still there in the end.
        """
        ends = time.monotonic() + seconds
        before = len((await self.client.get(ROLLOUTS))["items"])
        while True:
            spaces = (await self.client.get("/api/v1/namespaces"))["items"]
            left = [s for s in spaces if s["metadata"]["name"].startswith(PREFIX)]
            if not left:
                return before
            if time.monotonic() > ends:
                raise Trouble(f"{len(left)} namespaces of the fleet are still there after {seconds:.0f} s")
            for space in left:
                if not space["metadata"].get("deletionTimestamp"):
                    await self.client.delete(f"/api/v1/namespaces/{space['metadata']['name']}")
            await asyncio.sleep(0.5)

    async def change(self, version: int) -> None:
        """Give all of them another template, as fast as the API server takes it."""
        for member in self.members:
            member.healthy_at = 0.0
            # No status of an earlier spec counts while the change is on its way.
            member.generation += 1

        async def one(member: Member) -> None:
            member.changed_at = time.monotonic()
            patch = {"spec": {"template": template(member.name, version)}}
            answer = await self.client.patch(member.path, patch)
            if int(answer["metadata"]["generation"]) != member.generation:
                raise Trouble(f"{member.path}: somebody else changes its spec; was it deployed by another run?")

        await _many(self.members, one)

    async def wait_healthy(self, seconds: float) -> None:
        """Watch until all are healthy with their present spec.

        Raises:
            Trouble: if some are not in time; it names them and says where they stand.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._watch()
        except TimeoutError:
            late = self.late
            named = "\n".join(f"  {m.namespace}/{m.name}: {m.phase}: {m.message}" for m in late[:10])
            raise Trouble(
                f"{len(late)} of {len(self.members)} Rollouts were not healthy within {seconds:.0f} s:\n{named}"
            ) from None

    @property
    def late(self) -> list[Member]:
        """Those that are not healthy yet."""
        return [member for member in self.members if not member.healthy_at]

    async def _watch(self) -> None:
        shown = 0.0
        while self.late:
            listing = await self.client.get(f"{ROLLOUTS}?resourceVersion=0")
            for item in listing["items"]:
                self._note(item)
            left = len(self.late)
            if not left:
                return
            async for event in self.client.watch(ROLLOUTS, listing["metadata"]["resourceVersion"]):
                if event["type"] == "ERROR":
                    break
                left -= self._note(event["object"])
                if not left:
                    return
                if time.monotonic() - shown > 10:
                    shown = time.monotonic()
                    self.say(f"{len(self.members) - left} of {len(self.members)} are healthy")

    def _note(self, obj: dict[str, Any]) -> bool:
        meta, status = obj["metadata"], obj.get("status") or {}
        member = self._by_place.get((meta["namespace"], meta["name"]))
        if member is None:
            return False
        member.phase, member.message = str(status.get("phase") or "Pending"), str(status.get("message") or "")
        stable, current = status.get("stable") or {}, status.get("current") or {}
        done = (
            member.phase == "Healthy"
            and int(status.get("observedGeneration") or 0) >= member.generation
            and stable.get("revision") == current.get("revision")
        )
        if not done or member.healthy_at:
            return False
        member.healthy_at = time.monotonic()
        return True


async def _many(members: Iterable[Member], do: Callable[[Member], Awaitable[None]]) -> None:
    """Do something with all of them, a few at a time."""
    left = iter(members)

    async def worker() -> None:
        for member in left:
            await do(member)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
