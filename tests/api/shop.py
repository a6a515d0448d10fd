"""One application with its Rollout, in the words of a test: deploy, change, act, expect."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.decide.revision import pod_hash_of, revision_of
from tests.api.cluster import until
from tests.api.kube import Json, Kube

PATIENCE = 60.0
"""Seconds; most things take two, on a machine that has nothing else to do."""
STABLE, CANARY = "stable", "canary"
_numbers = itertools.count(1)


def rollouts(namespace: str, name: str = "") -> str:
    """Path of the Rollouts of a namespace, or of one."""
    return f"/apis/headgate.dev/v1alpha1/namespaces/{namespace}/rollouts" + (f"/{name}" if name else "")


def gates(namespace: str) -> str:
    """Path of the QualityGates of a namespace."""
    return f"/apis/headgate.dev/v1alpha1/namespaces/{namespace}/qualitygates"


def actions(namespace: str, name: str = "") -> str:
    """Path of the RolloutActions of a namespace, or of one."""
    return f"/apis/headgate.dev/v1alpha1/namespaces/{namespace}/rolloutactions" + (f"/{name}" if name else "")


def services(namespace: str, name: str = "") -> str:
    """Path of the Services of a namespace, or of one."""
    return f"/api/v1/namespaces/{namespace}/services" + (f"/{name}" if name else "")


def routes(namespace: str, name: str = "") -> str:
    """Path of the HTTPRoutes of a namespace, or of one."""
    return f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes" + (f"/{name}" if name else "")


def replica_sets(namespace: str, name: str = "") -> str:
    """Path of the ReplicaSets of a namespace, or of one."""
    return f"/apis/apps/v1/namespaces/{namespace}/replicasets" + (f"/{name}" if name else "")


def gate(name: str, template: str = "errors", provider: str = "up", **spec: Any) -> Json:
    """Return a QualityGate with one check: at most 1."""
    check = {
        "name": "check",
        "prometheus": {"provider": provider, "query": {"template": template}},
        "pass": {"max": 1},
    }
    return {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "QualityGate",
        "metadata": {"name": name},
        "spec": {"interval": "1s", "checks": [check]} | spec,
    }


@dataclass
class Shop:
    """An application in a namespace that is there already."""

    kube: Kube
    namespace: str
    name: str = "shop"
    replicas: int = 2
    steps: Sequence[Mapping[str, Any]] = field(default_factory=lambda: [{"setWeight": 50}])
    spec: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the Rollout's spec."""
    canary: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the canary strategy."""
    blue_green: Mapping[str, Any] | None = None
    """More fields of the blue-green strategy, where it is that; without trafficRouting there is no route then."""

    # ------------------------------------------------------------------------------------------------ objects

    @property
    def path(self) -> str:
        """Where the API server has the Rollout."""
        return rollouts(self.namespace, self.name)

    @property
    def routed(self) -> bool:
        """A route leads to the two Services."""
        return self.blue_green is None or "trafficRouting" in self.blue_green

    @property
    def canary_name(self) -> str:
        """The name of the second Service."""
        return f"{self.name}-canary"

    def template(self, version: int) -> Json:
        """Return the pod template of a version."""
        container = {"name": "app", "image": f"registry.example/{self.name}:v{version}"}
        return {"metadata": {"labels": {"app": self.name}}, "spec": {"containers": [container]}}

    def pod_hash(self, version: int) -> str:
        """Return the pod hash that a version will have."""
        return pod_hash_of(revision_of(self.template(version)))

    def service(self, name: str, app: str = "") -> Json:
        """Return a Service that selects the application."""
        spec = {"selector": {"app": app or self.name}, "ports": [{"port": 80}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}

    def route(self) -> Json:
        """Return the HTTPRoute, all of it to the stable Service."""
        backends = [
            {"name": self.name, "port": 80, "weight": 100},
            {"name": self.canary_name, "port": 80, "weight": 0},
        ]
        return {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": self.name},
            "spec": {
                "parentRefs": [{"name": "headgate-gateway", "namespace": "gateway-system"}],
                "rules": [{"name": "main", "backendRefs": backends}],
            },
        }

    def rollout(self, version: int = 1) -> Json:
        """Return the Rollout."""
        canary = {
            "stableService": self.name,
            "canaryService": self.canary_name,
            "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": self.name, "rule": "main"}]}},
            "steps": list(self.steps),
            "scaleDownDelaySeconds": 0,
            "abortScaleDownDelaySeconds": 0,
        } | dict(self.canary)
        strategy: Json = {"canary": canary}
        if self.blue_green is not None:
            services = {"activeService": self.name, "previewService": self.canary_name}
            delays = {"scaleDownDelaySeconds": 0, "abortScaleDownDelaySeconds": 0}
            strategy = {"blueGreen": services | delays | dict(self.blue_green)}
        spec = {"replicas": self.replicas, "template": self.template(version), "strategy": strategy}
        return {
            "apiVersion": "headgate.dev/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": self.name},
            "spec": spec | dict(self.spec),
        }

    # ------------------------------------------------------------------------------------------------ doing

    def deploy_surroundings(self) -> None:
        """Create all but the Rollout."""
        for name in (self.name, self.canary_name):
            self.kube.create(services(self.namespace), self.service(name))
        if self.routed:
            self.kube.create(routes(self.namespace), self.route())

    def deploy(self) -> None:
        """Create everything, without waiting."""
        self.deploy_surroundings()
        self.kube.create(rollouts(self.namespace), self.rollout())

    def deploy_healthy(self) -> str:
        """Create everything and wait for the first version; gives its pod hash."""
        self.deploy()
        return self.expect_promoted(1)

    def change(self, version: int) -> str:
        """Want another version, without waiting; gives its pod hash."""
        self.kube.patch(self.path, {"spec": {"template": self.template(version)}})
        return self.pod_hash(version)

    def pause_by_spec(self, *, paused: bool) -> None:
        """Set spec.paused."""
        self.kube.patch(self.path, {"spec": {"paused": paused}})

    def act(self, verb: str, *, pod_hash: str = "", attempt: int = 0, **more: str) -> tuple[str, str]:
        """Act as a person who sees the present state (or says which); gives the phase and message of the answer."""
        seen = self.status().get("current") or {}
        name = f"{self.name}-{verb}-{next(_numbers)}"
        spec = {
            "rollout": self.name,
            "verb": verb,
            "revision": pod_hash or seen["podHash"],
            "attempt": attempt or seen.get("attempt", 1),
            "author": "carol",
            "reason": "the test says so",
        } | more
        body = {
            "apiVersion": "headgate.dev/v1alpha1",
            "kind": "RolloutAction",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.kube.create(actions(self.namespace), body)

        def answer() -> Json:
            found: Json = self.kube.must_get(actions(self.namespace, name)).get("status") or {}
            return found

        until(lambda: bool(answer().get("phase")), seconds=PATIENCE, what=f"{verb} is answered; {self.story()}")
        return answer()["phase"], answer()["message"]

    # ------------------------------------------------------------------------------------------------ looking

    def object(self) -> Json:
        """Read the Rollout."""
        return self.kube.must_get(self.path)

    def status(self) -> Json:
        """Read its status."""
        found: Json = self.object().get("status") or {}
        return found

    def condition(self, kind: str) -> Json:
        """Read one of its conditions; empty if it is not there."""
        return next((c for c in self.status().get("conditions") or () if c["type"] == kind), {})

    def weight(self) -> int:
        """Read the canary's weight in the route; without one nothing gives it any."""
        if not self.routed:
            return 0
        rule = self.kube.must_get(routes(self.namespace, self.name))["spec"]["rules"][0]
        return next(int(b["weight"]) for b in rule["backendRefs"] if b["name"] == self.canary_name)

    def selected(self, which: str = STABLE) -> str:
        """Read the pod hash that a Service selects; empty if none in particular."""
        name = self.name if which == STABLE else self.canary_name
        found = self.kube.must_get(services(self.namespace, name))["spec"]["selector"]
        return str(found.get("headgate.dev/revision", ""))

    def pods_of(self, pod_hash: str) -> int:
        """Read how many pods a revision is to have; 0 without a ReplicaSet."""
        found = self.kube.get(replica_sets(self.namespace, f"{self.name}-{pod_hash}"))
        return int(found["spec"]["replicas"]) if found else 0

    def versions(self) -> dict[str, str]:
        """Read the resourceVersions of what others wrote and the operator may change: route and Services."""
        paths = [routes(self.namespace, self.name)]
        paths += [services(self.namespace, name) for name in (self.name, self.canary_name)]
        found = {path: self.kube.get(path) for path in paths}
        # The status of a route is the gateway's: its generation alone counts.
        return {
            path: str(obj["metadata"].get("generation") or obj["metadata"]["resourceVersion"])
            for path, obj in found.items()
            if obj is not None
        }

    def story(self) -> str:
        """Say where the Rollout stands, for a failed expectation."""
        found = self.kube.get(self.path)
        status = (found or {}).get("status") or {}
        return f"{self.namespace}/{self.name}: {status.get('phase')}: {status.get('message')}" if found else "gone"

    # ------------------------------------------------------------------------------------------------ expecting

    def expect(self, what: str, check: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait for something; a failure says where the Rollout stands."""
        try:
            until(check, seconds=seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.story()}") from None

    def expect_promoted(self, version: int) -> str:
        """Wait until a version is stable and nothing else is left of the release; gives its pod hash."""

        def promoted() -> bool:
            status = self.status()
            return (
                status.get("phase") == "Healthy"
                and (status.get("stable") or {}).get("podHash") == self.pod_hash(version)
                and (status.get("current") or {}).get("podHash") == self.pod_hash(version)
            )

        self.expect(f"version {version} is promoted", promoted)
        pod_hash = self.pod_hash(version)
        assert self.selected(STABLE) == self.selected(CANARY) == pod_hash
        assert self.weight() == 0
        return pod_hash

    def expect_phase(self, *phases: str) -> None:
        """Wait until it is in one of these phases."""
        self.expect(f"it is {' or '.join(phases)}", lambda: self.status().get("phase") in phases)

    def expect_at(self, version: int, step: int, weight: int) -> None:
        """Wait until a release has come to a step (counted from 0) with this weight in force."""

        def there() -> bool:
            status = self.status()
            weights = status.get("weights") or {}
            return (
                (status.get("current") or {}).get("podHash") == self.pod_hash(version)
                and status.get("currentStepIndex") == step
                and weights.get("desired") == weight == self.weight()
            )

        self.expect(f"version {version} is at step {step} with weight {weight}", there)

    def expect_condition(self, kind: str, status: str, reason: str) -> str:
        """Wait for a condition; gives its message."""

        def holds() -> bool:
            found = self.condition(kind)
            return (found.get("status"), found.get("reason")) == (status, reason)

        self.expect(f"{kind}={status} because of {reason}", holds)
        return str(self.condition(kind)["message"])
