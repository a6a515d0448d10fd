"""Releases behind each router on a real API server with the routers' own CRDs; the tests play their controllers."""

from __future__ import annotations

import copy
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.api.cluster import ROOT, LightCluster
from tests.api.conftest import operating
from tests.api.kube import Json, Kube
from tests.api.operator_process import OperatorProcess
from tests.api.prometheus import Prometheus
from tests.api.router_definitions import established
from tests.api.shop import Shop, gate, gates, replica_sets, rollouts, services
from tests.unit.router_example import Example, examples

CONTOUR = "github.com/projectcontour/contour"
PAUSED: list[Json] = [{"setWeight": 50}, {"pause": {}}]
BASELINE = "shop-baseline"
SHARED: list[Json] = [
    {"setWeight": 50},
    {
        "experiment": {
            "variants": [{"name": "baseline", "specRef": "Stable", "service": BASELINE, "weight": 10}],
            "gate": {"ref": {"name": "compared"}},
        }
    },
]
WEIGHTS = (0, 1, 50, 99, 100)
PATCH = "application/json-patch+json"
HELD_FOR = 2.0
"""Seconds, of which the settle time is a twentieth."""
CREATED = 201
OK = 200


def module_folder(module: str) -> Path:
    """Where the source of a Go module is, in the version that the tools pin."""
    command = ["go", "mod", "download", "-json", module]
    said = subprocess.run(command, cwd=ROOT / "hack" / "tools", capture_output=True, text=True, check=True).stdout
    return Path(json.loads(said)["Dir"])


@pytest.fixture(scope="module")
def operator(
    light_cluster: LightCluster, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """Yield an operator that is set up for all routers whose CRDs there are; the Gateway API's are in every cluster."""
    crds = module_folder(CONTOUR) / "examples" / "contour" / "01-crds.yaml"
    light_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crds))
    established(light_cluster, "httpproxies.projectcontour.io")
    folder = tmp_path_factory.mktemp("operator")
    with operating(light_cluster, prometheus, folder, routers=["gatewayAPI", "contour"]) as process:
        yield process


# --------------------------------------------------------------------------------------------------------------------
# What is written is what the routers' own schemas take
# --------------------------------------------------------------------------------------------------------------------

REAL = [example for example in examples() if example.router in {"gatewayAPI", "gatewayAPI.grpcRoutes", "contour"}]


@pytest.mark.parametrize("example", REAL, ids=lambda example: example.id)
def test_the_routers_schema_takes_what_is_written(kube: Kube, namespace: str, example: Example) -> None:
    """The example of the conformance suite is one of the real API, and so is what becomes of it at each weight."""
    resource = example.subject.resource
    path = f"/apis/{resource.group}/{resource.version}/namespaces/{namespace}/{resource.plural}"
    body = {
        "apiVersion": f"{resource.group}/{resource.version}",
        "kind": resource.kind,
        "metadata": {"name": example.target.name, "annotations": example.obj["metadata"].get("annotations", {})},
        "spec": json.loads(
            json.dumps(example.obj["spec"]).replace('"namespace": "shop"', f'"namespace": "{namespace}"')
        ),
    }
    code, stored = kube.request("POST", f"{path}?fieldValidation=Strict", body)
    assert code == CREATED, stored
    where = f"{path}/{example.target.name}"
    for weight in (*WEIGHTS, *reversed(WEIGHTS)):
        before = kube.must_get(where)
        code, answer = kube.request(
            "PATCH", f"{where}?fieldValidation=Strict", example.set_weight(before, weight), PATCH
        )
        assert code == OK, answer
        after = kube.must_get(where)
        assert (example.read(after).weight, example.read(after).problem) == (weight, "")
        assert example.without_weights(after)["spec"] == example.without_weights(before)["spec"]


# --------------------------------------------------------------------------------------------------------------------
# Whole releases
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One kind of route, in the words of a release."""

    name: str
    api: str
    plural: str
    routing: Callable[[str], Json]
    spec: Callable[[str], Json]
    backends: Callable[[Json], list[Json]]
    status: Callable[[Json, Json], Json]
    """What its controller answers, from the object and a condition that lacks its type."""


PARENT = {"name": "mesh", "group": "", "kind": "Service", "port": 80}


def _grpc_spec(name: str) -> Json:
    backends = [{"name": name, "port": 80, "weight": 100}, {"name": f"{name}-canary", "port": 80, "weight": 0}]
    method = {"service": "shop.Checkout"}
    return {"parentRefs": [PARENT], "rules": [{"matches": [{"method": method}], "backendRefs": backends}]}


def _grpc_status(_: Json, condition: Json) -> Json:
    conditions = [condition | {"type": kind, "reason": kind} for kind in ("Accepted", "ResolvedRefs")]
    return {"parents": [{"controllerName": "test.example/mesh", "parentRef": PARENT, "conditions": conditions}]}


def _proxy_spec(name: str) -> Json:
    canary = {"name": f"{name}-canary", "port": 80, "weight": 0}
    route = {
        "conditions": [{"prefix": "/"}],
        "timeoutPolicy": {"response": "10s"},
        "services": [{"name": name, "port": 80, "weight": 100}, canary],
    }
    health = {"conditions": [{"prefix": "/health"}], "services": [{"name": "health", "port": 80}]}
    return {"virtualhost": {"fqdn": f"{name}.example.test"}, "routes": [health, route]}


def _proxy_status(_: Json, condition: Json) -> Json:
    return {"currentStatus": "valid", "conditions": [condition | {"type": "Valid", "reason": "Valid"}]}


KINDS = [
    Kind(
        "GRPCRoute",
        "gateway.networking.k8s.io/v1",
        "grpcroutes",
        lambda name: {"gatewayAPI": {"grpcRoutes": [{"name": name}]}},
        _grpc_spec,
        lambda obj: list(obj["spec"]["rules"][0]["backendRefs"]),
        _grpc_status,
    ),
    Kind(
        "HTTPProxy",
        "projectcontour.io/v1",
        "httpproxies",
        lambda name: {"contour": {"httpProxies": [{"name": name}]}},
        _proxy_spec,
        lambda obj: list(obj["spec"]["routes"][1]["services"]),
        _proxy_status,
    ),
]


@dataclass
class Routed(Shop):
    """An application behind such a route, whose controller is the test's."""

    kind: Kind = KINDS[0]
    answering: threading.Event = field(default_factory=threading.Event)

    @property
    def place(self) -> str:
        """Where the API server has the route."""
        return f"/apis/{self.kind.api}/namespaces/{self.namespace}/{self.kind.plural}/{self.name}"

    def rollout(self, version: int = 1) -> Json:
        """Return the Rollout, behind this kind of route."""
        made = super().rollout(version)
        made["spec"]["strategy"]["canary"]["trafficRouting"] = self.kind.routing(self.name)
        return made

    def deploy_surroundings(self) -> None:
        """Create all but the Rollout."""
        for name in (self.name, self.canary_name):
            self.kube.create(services(self.namespace), self.service(name))
        route = {"apiVersion": self.kind.api, "kind": self.kind.name, "metadata": {"name": self.name}}
        self.kube.create(self.place.rpartition("/")[0], route | {"spec": self.kind.spec(self.name)})

    def weight(self) -> int:
        """Read the canary's weight in the route."""
        backends = self.kind.backends(self.kube.must_get(self.place))
        return next(int(b["weight"]) for b in backends if b["name"] == self.canary_name)

    def expect_untouched(self) -> None:
        """Nothing of the route but weights is other than it was written, and they are as at the beginning."""
        found = self.kube.must_get(self.place)["spec"]
        wanted = copy.deepcopy(self.kind.spec(self.name))
        assert _covers(found, wanted), f"{found} instead of {wanted}"

    def answer(self) -> None:
        """Say of the present generation that it is served, if that was not said yet."""
        obj = self.kube.get(self.place)
        if obj is None:
            return
        generation = obj["metadata"]["generation"]
        condition = {
            "status": "True",
            "message": "",
            "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status = self.kind.status(obj, condition)
        if obj.get("status") != status:
            self.kube.request("PATCH", f"{self.place}/status", {"status": status}, "application/merge-patch+json")


def _covers(found: Any, wanted: Any) -> bool:
    """All that is wanted is there; the server adds defaults."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_covers(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_covers, found, wanted))
    return bool(found == wanted)


@contextmanager
def controlled(shop: Routed) -> Iterator[Routed]:
    """Play the controller, as long as `answering` is set."""
    ended = threading.Event()
    shop.answering.set()

    def play() -> None:
        while not ended.wait(0.1):
            if shop.answering.is_set():
                shop.answer()

    thread = threading.Thread(target=play, name="controller")
    thread.start()
    try:
        yield shop
    finally:
        ended.set()
        thread.join()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def shop(request: pytest.FixtureRequest, kube: Kube, namespace: str) -> Iterator[Routed]:
    """Yield an application behind each kind of route, whose first version is stable."""
    with controlled(Routed(kube, namespace, steps=PAUSED, kind=request.param)) as made:
        made.deploy_healthy()
        yield made


def test_a_release_is_promoted(shop: Routed) -> None:
    """Its weights are shifted in the route, and in the end nothing else of it is other than before."""
    shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    assert [b["weight"] for b in shop.kind.backends(shop.kube.must_get(shop.place))] == [50, 50]
    assert shop.act("promote")[0] == "Accepted"
    shop.expect_promoted(2)
    shop.expect_untouched()


def test_a_release_is_taken_back(shop: Routed) -> None:
    """After an abort the canary gets nothing, and the route is as it was written."""
    shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    assert shop.act("abort")[0] == "Accepted"
    shop.expect_phase("Degraded")
    assert shop.weight() == 0
    shop.expect_untouched()


def test_a_weight_that_is_not_confirmed_is_waited_for(shop: Routed) -> None:
    """The step is not over before the controller has answered for the generation with the weight."""
    shop.answering.clear()
    shop.change(2)
    shop.expect("the weight is written", lambda: shop.weight() == 50)
    end = time.monotonic() + HELD_FOR
    while time.monotonic() < end:
        assert shop.status()["currentStepIndex"] == 0, shop.story()
    shop.answering.set()
    shop.expect_at(2, step=1, weight=50)


def test_a_rollout_that_goes_leaves_everything_on_stable(shop: Routed) -> None:
    """Deleted in the middle of a release, it gives its share back before it is gone."""
    shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    shop.kube.delete(rollouts(shop.namespace, shop.name))
    shop.expect("it is gone", lambda: shop.kube.get(shop.path) is None)
    shop.expect_untouched()


# --------------------------------------------------------------------------------------------------------------------
# Shares of variants
# --------------------------------------------------------------------------------------------------------------------


@contextmanager
def sharing(kube: Kube, namespace: str) -> Iterator[Routed]:
    """Yield an application behind a GRPCRoute in whose release a variant has a share while a gate waits for data."""
    with controlled(Routed(kube, namespace, steps=SHARED, kind=KINDS[0])) as made:
        kube.create(services(namespace), made.service(BASELINE))
        kube.create(gates(namespace), gate("compared", count=2))
        first = made.deploy_healthy()
        made.change(2)
        made.expect("the variant has its share", lambda: shares_of(made) == [40, 50, 10])
        (entry,) = (one for one in made.kind.backends(kube.must_get(made.place)) if one["name"] == BASELINE)
        assert (entry["port"], entry["kind"]) == (80, "Service")
        chosen = kube.must_get(services(namespace, BASELINE))["spec"]["selector"]["headgate.dev/revision"]
        assert chosen not in (first, made.pod_hash(2))
        assert made.pods_of(chosen) == 1
        yield made
        made.expect_untouched()
        made.expect("the variant is gone", lambda: kube.get(replica_sets(namespace, f"shop-{chosen}")) is None)


def shares_of(shop: Routed) -> list[int]:
    """Read the weights in the route, in their order."""
    return [int(one["weight"]) for one in shop.kind.backends(shop.kube.must_get(shop.place))]


def test_a_variant_has_its_share_while_its_gate_judges(kube: Kube, namespace: str, prometheus: Prometheus) -> None:
    """Then the step is over, and the route as it was written."""
    with sharing(kube, namespace) as shop:
        prometheus.values[namespace] = 0
        shop.expect_promoted(2)


def test_a_variants_share_goes_with_an_abort(kube: Kube, namespace: str) -> None:
    """With the weight, also while the gate knows nothing."""
    with sharing(kube, namespace) as shop:
        assert shop.act("abort")[0] == "Accepted"
        shop.expect_phase("Degraded")
        assert shares_of(shop) == [100, 0]


def test_a_variants_share_goes_with_its_rollout(kube: Kube, namespace: str) -> None:
    """Deleted in the middle of the experiment, and with it the selector's key of the variant's Service."""
    with sharing(kube, namespace) as shop:
        kube.delete(rollouts(namespace, shop.name))
        shop.expect("it is gone", lambda: kube.get(shop.path) is None)
        assert kube.must_get(services(namespace, BASELINE))["spec"]["selector"] == {"app": "shop"}
