"""What a Rollout goes through while faults are injected: short releases with every kind of end, driven by a person.

A person acts on what the API server has, never on time: however slow a fault makes the operator, the person waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hack.lib.hgbench.client import Client, Json
from hack.lib.hgprove.faults.history import Story
from headgate.decide.revision import pod_hash_of, revision_of

REPLICAS = 2
GATE = "golden"
GOOD, BAD = 0.5, 7.0


class Late(Exception):  # noqa: N818  it is a finding about the operator, told by its text
    """Something did not come about in time."""


@dataclass(eq=False)
class App:
    """One application in the namespace of an operator, as its people see it."""

    client: Client
    story: Story
    answers: dict[str, float | None]
    """What the metric provider says, by canary Service."""
    steps: Sequence[Mapping[str, Any]]
    patience: float
    """Seconds for each thing that is waited for."""
    _acts: int = 0
    _hashes: dict[int, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """Where it is."""
        return self.story.namespace

    @property
    def name(self) -> str:
        """The Rollout, the stable Service and the route."""
        return self.story.name

    @property
    def canary(self) -> str:
        """The canary Service."""
        return f"{self.name}-canary"

    @property
    def path(self) -> str:
        """Where the API server has the Rollout."""
        return f"/apis/headgate.dev/v1alpha1/namespaces/{self.namespace}/rollouts/{self.name}"

    def template(self, version: int) -> Json:
        """The pod template of a version."""
        container = {"name": "app", "image": f"registry.example/{self.name}:v{version}"}
        spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
        return {"metadata": {"labels": {"app": self.name}}, "spec": spec}

    def pod_hash(self, version: int) -> str:
        """The pod hash of a version."""
        if version not in self._hashes:
            self._hashes[version] = pod_hash_of(revision_of(self.template(version)))
        return self._hashes[version]

    def masked(self, text: str) -> str:
        """Text with what differs from application to application replaced by its part in the play."""
        for version in (1, 2, 3):
            text = text.replace(revision_of(self.template(version)), f"revision{version}")
            text = text.replace(self.pod_hash(version), f"v{version}")
        return text.replace(self.namespace, "NAMESPACE").replace(self.name, "APP")

    # ------------------------------------------------------------------------------------------------ doing

    async def deploy(self) -> None:
        """Create everything."""
        gates = f"/apis/headgate.dev/v1alpha1/namespaces/{self.namespace}/qualitygates"
        await self.client.apply(f"{gates}/{GATE}", self._gate())
        services = f"/api/v1/namespaces/{self.namespace}/services"
        for name in (self.name, self.canary):
            await self.client.apply(f"{services}/{name}", self._service(name))
        routes = f"/apis/gateway.networking.k8s.io/v1/namespaces/{self.namespace}/httproutes"
        await self.client.apply(f"{routes}/{self.name}", self._route())
        await self.client.apply(self.path, self._rollout())

    async def change(self, version: int) -> None:
        """Want another version."""
        await self.client.patch(self.path, {"spec": {"template": self.template(version)}})

    async def act(self, verb: str, version: int, attempt: int = 1) -> None:
        """Act as a person, and wait for the answer.

        Raises:
            Late: if it is not accepted.
        """
        self._acts += 1
        name = f"{self.name}-{verb}-{self._acts}"
        where = f"/apis/headgate.dev/v1alpha1/namespaces/{self.namespace}/rolloutactions/{name}"
        spec = {
            "rollout": self.name,
            "verb": verb,
            "revision": self.pod_hash(version),
            "attempt": attempt,
            "author": "carol",
            "reason": "the scenario says so",
        }
        meta = {"name": name, "namespace": self.namespace}
        body = {"apiVersion": "headgate.dev/v1alpha1", "kind": "RolloutAction", "metadata": meta, "spec": spec}
        await self.client.apply(where, body)

        def answer() -> Json:
            found: Json = (self.story.get("RolloutAction", name) or {}).get("status") or {}
            return found

        await self.expect(f"{verb} is answered", lambda: bool(answer().get("phase")))
        if answer()["phase"] != "Accepted":
            raise Late(f"{verb} was not accepted: {answer().get('message')}")

    async def delete(self) -> None:
        """Delete the Rollout."""
        await self.client.delete(self.path)

    async def remove(self) -> None:
        """Delete everything; what was handed back to people is theirs to clear away."""
        await self.client.delete(self.path)
        services = f"/api/v1/namespaces/{self.namespace}/services"
        for name in (self.name, self.canary):
            await self.client.delete(f"{services}/{name}")
        await self.client.delete(
            f"/apis/gateway.networking.k8s.io/v1/namespaces/{self.namespace}/httproutes/{self.name}"
        )

    # ------------------------------------------------------------------------------------------------ looking

    @property
    def status(self) -> Json:
        """The Rollout's status; empty while there is none."""
        found: Json = (self.story.get("Rollout", self.name) or {}).get("status") or {}
        return found

    @property
    def weight(self) -> int:
        """The canary's weight in the route."""
        return weight_of(self.story.get("HTTPRoute", self.name) or {}, self.canary)

    def selected(self, service: str) -> int:
        """The version that a Service selects; 0 for none in particular."""
        found = (self.story.get("Service", service) or {}).get("spec", {}).get("selector", {})
        chosen = found.get("headgate.dev/revision", "")
        return next((v for v in (1, 2, 3) if self.pod_hash(v) == chosen), 0)

    def pods(self, version: int) -> int:
        """How many pods a version is to have; 0 without a ReplicaSet."""
        found = self.story.get("ReplicaSet", f"{self.name}-{self.pod_hash(version)}")
        return int(found["spec"]["replicas"]) if found else 0

    def where(self) -> str:
        """Where the Rollout stands."""
        status = self.status
        return f"{status.get('phase')}, step {status.get('step')}, weight {self.weight}: {status.get('message')}"

    # ------------------------------------------------------------------------------------------------ expecting

    async def expect(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait for something.

        Raises:
            Late: if it does not come.
        """
        if not await self.story.until(holds, self.patience):
            raise Late(f"not within {self.patience:.0f} s: {what}; it is {self.where()}")

    async def healthy(self, version: int) -> None:
        """Wait until a version alone serves and the others have no pods."""
        await self.expect(f"version {version} alone serves", lambda: self.is_healthy(version))

    def is_healthy(self, version: int) -> bool:
        """Whether a version alone serves, the others have no pods, and the status speaks of the present spec."""
        pod_hash, status = self.pod_hash(version), self.status
        both = [(status.get(which) or {}).get("podHash") for which in ("stable", "current")]
        return (
            status.get("phase") == "Healthy"
            and both == [pod_hash, pod_hash]
            and self.selected(self.name) == self.selected(self.canary) == version
            and self.weight == 0
            and all(self.pods(other) == 0 for other in (1, 2, 3) if other != version)
            and self.pods(version) == REPLICAS
            and self.is_observed()
        )

    def is_taken_back(self, version: int) -> bool:
        """Whether a version is rejected, has neither traffic nor pods, and the first version serves."""
        return (
            self.status.get("phase") == "Degraded"
            and [r["podHash"] for r in self.status.get("rejected") or ()] == [self.pod_hash(version)]
            and self.selected(self.name) == self.selected(self.canary) == 1
            and self.weight == 0
            and self.pods(version) == 0
            and self.pods(1) == REPLICAS
            and self.is_observed()
        )

    def is_observed(self) -> bool:
        """Whether the status speaks of the present spec."""
        obj = self.story.get("Rollout", self.name)
        return obj is not None and self.status.get("observedGeneration") == obj["metadata"]["generation"]

    def is_at(self, version: int, step: int, weight: int) -> bool:
        """Whether a release has come to a step with this weight in force."""
        status = self.status
        return (
            (status.get("current") or {}).get("podHash") == self.pod_hash(version)
            and status.get("currentStepIndex") == step
            and (status.get("weights") or {}).get("desired") == weight == self.weight
        )

    async def paused_at(self, version: int, step: int, weight: int) -> None:
        """Wait until a release pauses at a step."""
        await self.expect(
            f"version {version} pauses at step {step} with weight {weight}",
            lambda: self.status.get("phase") == "Paused" and self.is_at(version, step, weight),
        )

    # ------------------------------------------------------------------------------------------------ objects

    def _meta(self, name: str) -> Json:
        return {"name": name, "namespace": self.namespace}

    def _service(self, name: str) -> Json:
        spec = {"selector": {"app": self.name}, "ports": [{"port": 80}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": self._meta(name), "spec": spec}

    def _route(self) -> Json:
        backends = [{"name": self.name, "port": 80, "weight": 100}, {"name": self.canary, "port": 80, "weight": 0}]
        return {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": self._meta(self.name),
            "spec": {
                "parentRefs": [{"name": "headgate-gateway", "namespace": "gateway-system"}],
                "rules": [{"name": "main", "backendRefs": backends}],
            },
        }

    def _gate(self) -> Json:
        check = {"name": "check", "prometheus": {"provider": "up", "query": {"template": "errors"}}, "pass": {"max": 1}}
        return {
            "apiVersion": "headgate.dev/v1alpha1",
            "kind": "QualityGate",
            "metadata": self._meta(GATE),
            "spec": {"interval": "1s", "checks": [check]},
        }

    def _rollout(self) -> Json:
        canary = {
            "stableService": self.name,
            "canaryService": self.canary,
            "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": self.name, "rule": "main"}]}},
            "steps": list(self.steps),
            "scaleDownDelaySeconds": 0,
            "abortScaleDownDelaySeconds": 0,
        }
        return {
            "apiVersion": "headgate.dev/v1alpha1",
            "kind": "Rollout",
            "metadata": self._meta(self.name),
            "spec": {"replicas": REPLICAS, "template": self.template(1), "strategy": {"canary": canary}},
        }


def weight_of(route: Json, canary: str) -> int:
    """The canary's weight in a route; 0 if it is not there."""
    for rule in route.get("spec", {}).get("rules", ()):
        for backend in rule.get("backendRefs", ()):
            if backend["name"] == canary:
                return int(backend.get("weight", 1))
    return 0


# --------------------------------------------------------------------------------------------------------------------
# The scenarios
# --------------------------------------------------------------------------------------------------------------------

Play = Callable[[App], Awaitable[None]]
WEIGHTS: tuple[Json, ...] = ({"setWeight": 50}, {"setWeight": 100})
PAUSED: tuple[Json, ...] = ({"setWeight": 50}, {"pause": {}})
GATED: tuple[Json, ...] = ({"setWeight": 50}, {"gate": {"ref": {"name": GATE}}}, {"setWeight": 100})


@dataclass(frozen=True, slots=True)
class Scenario:
    """One release and how it ends."""

    name: str
    steps: tuple[Json, ...]
    play: Play
    """Begins when the first version serves, ends when the end is reached."""
    value: float | None = GOOD
    """What the metric provider answers."""
    deployed: bool = True
    """Whether the first version serves before the play begins."""


async def _deploy(app: App) -> None:
    await app.deploy()
    await app.healthy(1)


async def _promote(app: App) -> None:
    await app.change(2)
    await app.healthy(2)


async def _gate_fails(app: App) -> None:
    await app.change(2)
    await app.expect("version 2 is taken back", lambda: app.is_taken_back(2))


async def _gate_unknown(app: App) -> None:
    await app.change(2)

    def held() -> bool:
        return app.is_at(2, 1, 50) and any(g.get("held") for g in app.status.get("gates") or ())

    await app.expect("the gate holds version 2", held)


async def _abort(app: App) -> None:
    await app.change(2)
    await app.paused_at(2, 1, 50)
    await app.act("abort", 2)
    await app.expect("version 2 is taken back", lambda: app.is_taken_back(2))


async def _new_revision(app: App) -> None:
    await app.change(2)
    await app.paused_at(2, 1, 50)
    await app.change(3)
    await app.paused_at(3, 1, 50)
    await app.act("promote", 3)
    await app.healthy(3)


async def _pause_resume(app: App) -> None:
    await app.change(2)
    await app.paused_at(2, 1, 50)
    await app.act("pause", 2)
    await app.expect("a person's pause is in force", lambda: "paused" in app.status)
    await app.act("resume", 2)
    await app.expect("it is over", lambda: "paused" not in app.status)
    await app.act("promote", 2)
    await app.healthy(2)


async def _delete(app: App) -> None:
    await app.change(2)
    await app.paused_at(2, 1, 50)
    await app.delete()

    def handed_back() -> bool:
        return (
            app.story.get("Rollout", app.name) is None
            and app.weight == 0
            and not app.story.all("ReplicaSet")
            and app.selected(app.name) == app.selected(app.canary) == 0
        )

    await app.expect("everything is handed back", handed_back)


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("deploy", WEIGHTS, _deploy, deployed=False),
        Scenario("promote", GATED, _promote),
        Scenario("gate-fails", GATED, _gate_fails, value=BAD),
        Scenario("gate-unknown", GATED, _gate_unknown, value=None),
        Scenario("abort", PAUSED, _abort),
        Scenario("new-revision", PAUSED, _new_revision),
        Scenario("pause-resume", PAUSED, _pause_resume),
        Scenario("delete", PAUSED, _delete),
    )
}
"""By name. Promotion from one Environment to the next joins them when Environments promote."""
