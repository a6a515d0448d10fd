"""Each router's own definitions on a real API server: what is written there is accepted, and stored as it was meant.

The objects are the examples of the conformance suite, so that what it shows is shown of objects that can exist.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import jsonpatch
import pytest

from headgate.decide.managed import all_of, keys_of, shares
from headgate.decide.types import RouteView
from headgate.traffic.protocol import JSONPatch
from headgate.traffic.registry import ROUTERS
from tests.api.cluster import LightCluster, until
from tests.api.kube import Kube
from tests.api.router_definitions import definition, established
from tests.unit.router_example import Example, Object, at, examples, experiment, leaves, made, put, step

NAMESPACE = f"router-schemas-{secrets.token_hex(2)}"
"""On a cluster that was kept, that of the run before may still be going."""
JSON_PATCH = "application/json-patch+json"
EXAMPLES = tuple(example for example in examples() if example.router in ROUTERS)
"""A router of another package has definitions of its own."""
BUILT_IN = {"Ingress"}
OF_THE_SERVER = ("resourceVersion", "generation", "managedFields", "creationTimestamp", "uid")


@pytest.fixture(scope="module", autouse=True)
def definitions(light_cluster: LightCluster) -> Iterator[None]:
    """Install what the cluster does not have, and take it away again: other tests look at clusters without routers."""
    light_cluster.kubectl("create", "namespace", NAMESPACE)
    resources = {router.resource for router in ROUTERS.values() if router.resource.kind not in BUILT_IN}
    crds = [(resource, definition(resource.kind)) for resource in sorted(resources, key=lambda r: r.kind)]
    ours = []
    for resource, crd in crds:
        name = f"{resource.plural}.{resource.group}"
        assert crd["metadata"]["name"] == name
        if light_cluster.kubectl("get", "crd", name, check=False).returncode:
            light_cluster.kubectl("create", "-f", "-", stdin=json.dumps(crd))
            ours.append(name)
    for resource, _ in crds:
        established(light_cluster, f"{resource.plural}.{resource.group}")
    yield
    light_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    if ours:
        light_cluster.kubectl("delete", "crd", *ours, "--timeout=30s")


@dataclass
class Place:
    """An example's object on the server."""

    kube: Kube
    example: Example
    path: str

    def stored(self) -> Object:
        """As the server has it."""
        return self.kube.must_get(self.path)

    def read(self) -> RouteView:
        """What the router makes of it."""
        return self.example.read(self.stored())

    def send(self, obj: Object, patch: JSONPatch) -> tuple[int, Object]:
        """The patch, if the object is still this one, as the operator sends it."""
        version = {"op": "replace", "path": "/metadata/resourceVersion", "value": obj["metadata"]["resourceVersion"]}
        return self.kube.request("PATCH", f"{self.path}?fieldValidation=Strict", [version, *patch], JSON_PATCH)

    def store_status(self) -> None:
        """The example's status, told of the present generation."""
        obj = self.stored()
        status = json.loads(json.dumps(self.example.obj["status"]))
        for place in list(leaves(status)):
            if place[-1] == "observedGeneration" and str(at(status, place)) == "7":
                put(status, place, obj["metadata"]["generation"])
            if place[-1] == "type":
                put(status, (*place[:-1], "lastTransitionTime"), "2026-01-01T00:00:00Z")
        self.kube.patch(f"{self.path}/status", {"status": status})


@pytest.fixture(params=EXAMPLES, ids=lambda example: example.id)
def place(request: pytest.FixtureRequest, kube: Kube) -> Iterator[Place]:
    """Yield each example's object, created with strict validation."""
    example: Example = request.param
    resource = example.subject.resource
    # Names within the example say its namespace.
    text = json.dumps({k: v for k, v in example.obj.items() if k != "status"})
    obj = json.loads(
        text.replace(".shop.svc", f".{NAMESPACE}.svc").replace('"namespace": "shop"', f'"namespace": "{NAMESPACE}"')
    )
    assert obj["apiVersion"] == f"{resource.group}/{resource.version}"
    # The light cluster's stand-in for the gateway would answer in between.
    annotations = obj["metadata"]["annotations"] | {"headgate.dev/stand-in": "off"}
    obj["metadata"] = {"name": example.target.name, "annotations": annotations}
    folder = f"/apis/{resource.group}/{resource.version}/namespaces/{NAMESPACE}/{resource.plural}"

    def created() -> bool:
        code, answer = kube.request("POST", f"{folder}?fieldValidation=Strict", obj)
        assert code in {201, 404}, answer["message"]
        return code == 201

    # A definition is established a moment before every part of the server knows it.
    until(created, seconds=10, what=f"the server takes a {resource.kind}")
    found = Place(kube, example, f"{folder}/{example.target.name}")
    yield found
    kube.delete(found.path)
    until(lambda: kube.get(found.path) is None, seconds=10, what="the object is gone")


def test_weights_are_accepted_and_stored(place: Place) -> None:
    """Each step of a release: the server holds what the patch says, and nothing else has changed."""
    start = place.stored()
    for weight in (0, 1, 50, 99, 100, 50, 0):
        before = place.stored()
        patch = place.example.set_weight(before, weight)
        code, after = place.send(before, patch)
        assert code == 200, after
        assert (place.read().weight, place.read().problem) == (weight, "")
        assert bare(after) == bare(jsonpatch.apply_patch(before, patch))
    assert bare(place.example.without_weights(place.stored())) == bare(place.example.without_weights(start))


def test_routes_are_accepted_and_stored(place: Place) -> None:
    """By header and mirrored: the server holds what the patch says, it is read back, and nothing is left behind."""
    example = place.example
    for kind in sorted(example.routes):
        asked = step(kind, "<&>")  # The server stores these escaped.
        strategy, routes = example.strategy(steps=[asked]), all_of([made(asked)])
        assert place.send(place.stored(), example.set_weight(place.stored(), 20))[0] == 200
        start = place.stored()
        patch = example.subject.set_weight(strategy, start, example.target, 20, routes)
        code, answer = place.send(start, patch)
        assert code == 200, answer.get("message")
        view = example.subject.read(strategy, place.stored(), example.target)
        assert (view.weight, view.managed, view.problem) == (20, keys_of(routes), "")
        code, answer = place.send(place.stored(), example.subject.set_weight(strategy, answer, example.target, 20))
        assert code == 200, answer.get("message")
        assert bare(place.stored()) == bare(start)


SHARED = experiment(baseline=10, control=5)


def test_shares_are_accepted_and_stored(place: Place) -> None:
    """Beside a mirror and without: the server holds the entries, they are read back, and nothing is left behind."""
    example = place.example
    if not example.shares:
        assert "can have no share" in example.subject.unable(
            example.strategy(steps=[SHARED]), place.stored(), example.target
        )
        return
    mirror = step("setMirrorRoute")
    strategy, parts = example.strategy(steps=[mirror, SHARED]), shares(made(SHARED))
    assert place.send(place.stored(), example.set_weight(place.stored(), 20))[0] == 200
    start = place.stored()
    for routes in ((), all_of([made(mirror)])):
        for wanted in ((*routes, *parts), routes, parts, (*routes, *parts[:1])):
            before = place.stored()
            code, answer = place.send(before, example.subject.set_weight(strategy, before, example.target, 20, wanted))
            assert code == 200, answer.get("message")
            stored = place.stored()
            view = example.subject.read(strategy, stored, example.target)
            assert (view.weight, view.managed, view.problem) == (20, keys_of(wanted), "")
            # What the server has filled in is no change: the same once more writes what is there.
            again = jsonpatch.apply_patch(
                stored, example.subject.set_weight(strategy, stored, example.target, 20, wanted)
            )
            assert again == stored
    before = place.stored()
    assert place.send(before, example.subject.set_weight(strategy, before, example.target, 20))[0] == 200
    assert bare(place.stored()) == bare(start)


def test_a_patch_for_another_version_is_refused(place: Place) -> None:
    """The version that was read is the condition of the write."""
    before = place.stored()
    patch = place.example.set_weight(before, 5)
    assert place.send(before, patch)[0] == 200
    assert place.send(before, patch)[0] == 409
    assert place.read().weight == 5


def test_a_patch_for_what_has_moved_is_refused(place: Place) -> None:
    """The tests on names hold on the server, too, whatever the version says."""
    assert place.example.moved is not None
    patch = place.example.set_weight(place.stored(), 5)
    obj = place.stored()
    place.example.moved(obj)
    code, moved = place.kube.request("PUT", place.path, obj)
    assert code == 200, moved.get("message")
    code, answer = place.send(moved, patch)
    assert code == 422
    # What a schema refuses is listed; a test that fails is just said to be an error in the request.
    assert "causes" not in answer.get("details", {}), answer
    assert bare(place.stored()) == bare(moved)


def test_what_the_router_reports_is_read_back(place: Place) -> None:
    """The schema of the status keeps what is looked for: it counts of this generation, and not of the one before."""
    if not place.example.unserved:
        assert place.read().blind
        return
    place.store_status()
    assert (place.read().settled, place.read().blind) == (True, False)
    place.send(place.stored(), place.example.set_weight(place.stored(), 5))
    view = place.read()
    assert not view.settled
    assert "generation" in view.message


def bare(obj: Object) -> Object:
    """The object without what the server keeps for itself."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in OF_THE_SERVER}
    return {**obj, "metadata": metadata}
