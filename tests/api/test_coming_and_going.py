"""A live workload is adopted, released and left again: what is there then is what would be there without Headgate.

Each application stands in two namespaces, with the same manifests and the same changes of them; only in one of them a
Rollout comes, releases and goes. Meanwhile Argo CD's own comparison looks at all that Git has.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jsonpatch
import pytest
import yaml

from headgate.decide.in_place import CLOSED
from headgate.decide.managed import shares
from tests.api.argo import Argo
from tests.api.cluster import ROOT, LightCluster
from tests.api.kube import Json, Kube
from tests.api.operator_process import OperatorProcess
from tests.api.shop import Shop
from tests.unit.router_example import examples, experiment

ROLLING_KINDS = ("StatefulSet",)
"""For the operator of `conftest.py`."""
REPLICAS = 2
PAUSED: list[Json] = [{"setWeight": 50}, {"pause": {}}]
ARGO = "argocd-controller"
"""The field manager of what Argo CD applies."""
KINDS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "ControllerRevision": "/apis/apps/v1/namespaces/{}/controllerrevisions",
    "Service": "/api/v1/namespaces/{}/services",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "Rollout": "/apis/headgate.dev/v1alpha1/namespaces/{}/rollouts",
}
"""All that Git holds or Headgate makes or writes to. RolloutActions are people's: they go with the Rollout if they say
so, as those of the command line do."""
OF_EACH = ("uid", "resourceVersion", "creationTimestamp", "generation", "namespace", "ownerReferences", "managedFields")
"""What is another one in any namespace and at any time. Of the owners the names are compared, of the fields whose they
are."""
CONTROLLERS_NOTES = ("deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas")
"""How big the Deployment was when its controller last sized a ReplicaSet."""
UNOWNED: dict[str, set[tuple[str, ...]]] = {
    "Deployment": {("f:spec", "f:replicas")},
    "StatefulSet": {("f:spec", "f:updateStrategy", "f:rollingUpdate", "f:partition")},
    "Service": {("f:spec", "f:selector")},
    "HTTPRoute": {("f:spec", "f:rules")},
}
"""What Headgate wrote nobody owns afterwards, until the next one who applies it."""
CASES: dict[str, Json] = {
    "canary by an HTTPRoute": {"kind": "Deployment", "routed": True, "strategy": "canary"},
    "blue-green by Services": {"kind": "Deployment", "routed": False, "strategy": "blueGreen"},
    "canary by the number of pods": {"kind": "Deployment", "routed": False, "strategy": "canary"},
    "StatefulSet in place": {"kind": "StatefulSet", "routed": False, "strategy": "rolling"},
}
_run = secrets.token_hex(2)
_numbers = itertools.count(1)


@dataclass
class Application:
    """What Git has of one application, with a Rollout in one namespace and without one in another."""

    cluster: LightCluster
    kube: Kube
    case: str
    released: str = ""
    plain: str = ""
    version: int = 1
    ours: dict[str, list[Json]] = field(default_factory=dict)
    """By stage, the pairs of manifest and live object."""

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.released, self.plain = f"released-{_run}-{number}", f"plain-{_run}-{number}"
        self.shop = Shop(self.kube, self.released, replicas=REPLICAS, steps=PAUSED)

    @property
    def kind(self) -> str:
        """Of the workload."""
        return str(CASES[self.case]["kind"])

    def workload(self) -> Json:
        """The manifest of the workload, at the version that Git has."""
        spec: Json = {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": self.shop.template(self.version),
        }
        if self.kind == "StatefulSet":
            spec |= {"serviceName": "shop", "updateStrategy": {"rollingUpdate": {"partition": 0}}}
        return {"apiVersion": "apps/v1", "kind": self.kind, "metadata": {"name": "shop"}, "spec": spec}

    def surroundings(self) -> list[Json]:
        """The manifests that do not change."""
        found = [self.shop.service("shop"), self.shop.service("shop-canary")]
        return [*found, self.shop.route()] if CASES[self.case]["routed"] else found

    def rollout(self) -> Json:
        """The manifest of the Rollout."""
        made = self.shop.rollout()
        of = CASES[self.case]
        strategy: Json = {}
        if of["strategy"] == "rolling":
            strategy = {"steps": [{"setBatch": 1}, {"pause": {}}]}
        elif of["strategy"] == "blueGreen":
            strategy = {"activeService": "shop", "previewService": "shop-canary", "autoPromotionEnabled": False}
        elif of["routed"]:
            strategy = made["spec"]["strategy"]["canary"]
        else:
            strategy = {"stableService": "shop", "steps": PAUSED}
        spec = {"workloadRef": {"kind": self.kind, "name": "shop"}, "strategy": {of["strategy"]: strategy}}
        made["spec"] = spec | ({} if of["strategy"] == "rolling" else {"replicas": REPLICAS})
        return made

    # ------------------------------------------------------------------------------------------------ doing

    def apply(self, namespace: str, *manifests: Json) -> None:
        """Apply as Argo CD does: by kubectl's three-way merge, under its own name."""
        placed = [m | {"metadata": m["metadata"] | {"namespace": namespace}} for m in manifests]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": placed})
        self.cluster.kubectl("apply", "--field-manager", ARGO, "-f", "-", stdin=text)

    def deploy(self) -> None:
        """Create both namespaces and what Git has, but no Rollout."""
        for namespace in (self.released, self.plain):
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            self.kube.create("/api/v1/namespaces", space)
            self.apply(namespace, *self.surroundings(), self.workload())

    def commit(self, version: int) -> None:
        """Git wants another version; a sync leaves alone what the rules ignore (RespectIgnoreDifferences)."""
        self.version = version
        manifest = self.workload()
        self.apply(self.plain, manifest)
        live = self.live(self.kind)
        respected = copy.deepcopy(manifest)
        if self.kind == "Deployment":
            respected["spec"]["replicas"] = live["spec"]["replicas"]
        else:
            respected["spec"]["updateStrategy"] = live["spec"]["updateStrategy"]
        self.apply(self.released, respected)

    # ------------------------------------------------------------------------------------------------ looking

    def live(self, kind: str, name: str = "shop", namespace: str = "") -> Json:
        """Read an object."""
        return self.kube.must_get(f"{KINDS[kind].format(namespace or self.released)}/{name}")

    def look(self, stage: str, *, rollout: bool = True) -> None:
        """Remember how Git and the cluster stand to each other."""
        manifests = [*self.surroundings(), self.workload(), *([self.rollout()] if rollout else [])]
        placed = [m | {"metadata": m["metadata"] | {"namespace": self.released}} for m in manifests]
        self.ours[stage] = [{"git": m, "live": self.live(m["kind"], m["metadata"]["name"])} for m in placed]

    def complete(self, namespace: str) -> bool:
        """The workload has all its pods, of the version that Git has, and nothing else."""
        found = self.live(self.kind, namespace=namespace)
        status = found.get("status") or {}
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        image = found["spec"]["template"]["spec"]["containers"][0]["image"]
        # A StatefulSet forgets the revision before with its last look.
        settled = status.get("currentRevision") == status.get("updateRevision")
        return seen and settled and counts == [REPLICAS] * 4 and image.endswith(f":v{self.version}")

    def objects(self, namespace: str) -> dict[str, Json]:
        """All that there is, by kind and name, less what is another one in any namespace."""
        return {
            f"{kind}/{found['metadata']['name']}": bare(found)
            for kind, path in KINDS.items()
            for found in self.kube.must_get(path.format(namespace))["items"]
        }

    def owners(self, namespace: str, kind: str, name: str) -> tuple[set[str], set[tuple[str, ...]]]:
        """Who owns fields of an object's spec and metadata, and which fields somebody owns."""
        entries = self.live(kind, name, namespace)["metadata"].get("managedFields") or []
        entries = [e for e in entries if not e.get("subresource")]
        owned = {path for entry in entries for path in paths(entry["fieldsV1"])}
        return {str(e["manager"]) for e in entries}, owned


def bare(obj: Mapping[str, Any]) -> Json:
    """An object as it would be anywhere."""
    kept = copy.deepcopy({k: v for k, v in obj.items() if k != "status"})
    meta = kept["metadata"]
    owners = [o["name"] for o in meta.get("ownerReferences") or ()]
    for key in OF_EACH:
        meta.pop(key, None)
    annotations = meta.get("annotations") or {}
    # Of what was applied last Argo CD writes what it was told to leave alone as it found it.
    applied = json.loads(annotations.pop("kubectl.kubernetes.io/last-applied-configuration", "{}"))
    applied.get("metadata", {}).pop("namespace", None)
    if applied.get("kind") in ("Deployment", "StatefulSet"):
        applied["spec"].pop("replicas", None)
        applied["spec"].pop("updateStrategy", None)
    if kept.get("kind") == "ReplicaSet" or owners:
        for key in CONTROLLERS_NOTES:
            annotations.pop(key, None)
    for key in ("clusterIP", "clusterIPs"):
        kept.get("spec", {}).pop(key, None)
    return kept | {"owners": owners, "applied": applied}


def paths(fields: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All fields of a set, each with those that it is in; `.` is how a field with others in it names itself."""
    for key, inner in fields.items():
        if key != ".":
            yield (*at, key)
            yield from paths(inner, (*at, key))


@pytest.fixture(scope="module")
def argo(light_cluster: LightCluster) -> Argo:
    """Argo CD's comparison with the chart's rules."""
    return Argo.of(light_cluster, "config.rollingKinds={StatefulSet}")


@pytest.fixture(scope="module")
def applications(
    light_cluster: LightCluster,
    kube: Kube,
    operator: OperatorProcess,  # noqa: ARG001  it releases
) -> Iterator[dict[str, Application]]:
    """Each was adopted, had a version taken back and the next one promoted, and was left; all at the same time."""
    found = {case: Application(light_cluster, kube, case) for case in CASES}
    everyone = list(found.values())
    adopt(everyone)
    release(everyone, 2, "abort", "Degraded")
    release(everyone, 3, "promote", "Healthy")
    leave(everyone)
    yield found
    for each, space in spaces(everyone):
        each.kube.delete(f"/api/v1/namespaces/{space}")


def spaces(everyone: Sequence[Application]) -> list[tuple[Application, str]]:
    """All namespaces, with whose they are."""
    return [(each, space) for each in everyone for space in (each.released, each.plain)]


def adopt(everyone: Sequence[Application]) -> None:
    """Deploy what Git has, and then the Rollouts."""
    for each in everyone:
        each.deploy()
    for each, space in spaces(everyone):
        each.shop.expect("it is up", partial(each.complete, space))
    for each in everyone:
        each.apply(each.released, each.rollout())
    for each in everyone:
        each.shop.expect_phase("Healthy")
        each.shop.expect("it is adopted", partial(is_adopted, each))
        each.look("adopted")


def release(everyone: Sequence[Application], version: int, verb: str, phase: str) -> None:
    """Commit a version, and do that with it in the middle of its release."""
    for each in everyone:
        each.commit(version)
    for each in everyone:
        each.shop.expect_phase("Paused")
        each.look(f"in the middle of version {version}")
        assert each.shop.act(verb)[0] == "Accepted"
    for each in everyone:
        each.shop.expect_phase(phase)
        each.look(f"at rest after version {version}")


def leave(everyone: Sequence[Application]) -> None:
    """Delete the Rollouts, and let all controllers come to rest."""
    for each in everyone:
        each.kube.delete(each.shop.path)
    for each in everyone:
        # The garbage collector has its own pace.
        with suppress(AssertionError):
            each.shop.expect("what was the Rollout's is collected", partial(collected, each))
        assert sorted(each.objects(each.released)) == sorted(each.objects(each.plain)), each.case
    for each, space in spaces(everyone):
        each.shop.expect("it has its pods", partial(each.complete, space))
    for each in everyone:
        each.look("left", rollout=False)


def is_adopted(each: Application) -> bool:
    """The workload is as Headgate wants it between releases."""
    spec = each.live(each.kind)["spec"]
    if each.kind == "StatefulSet":
        return bool(spec["updateStrategy"]["rollingUpdate"]["partition"] == CLOSED)
    return bool(spec["replicas"] == 0)


def collected(each: Application) -> bool:
    """What the Rollout owned is gone, and nothing else is."""
    return each.objects(each.released).keys() == each.objects(each.plain).keys()


STAGES = (
    "adopted",
    "in the middle of version 2",
    "at rest after version 2",
    "in the middle of version 3",
    "at rest after version 3",
    "left",
)


@pytest.mark.parametrize("case", CASES)
def test_argo_cd_finds_no_difference(applications: dict[str, Application], argo: Argo, case: str) -> None:
    """With the rules of the chart every object that Git has is in sync, at any time."""
    for stage in STAGES:
        pairs = [(pair["git"], pair["live"]) for pair in applications[case].ours[stage]]
        assert argo.differences(pairs) == [], stage


@pytest.mark.parametrize("case", CASES)
def test_after_leaving_the_rules_are_not_needed(applications: dict[str, Application], argo: Argo, case: str) -> None:
    """While a Rollout is there Argo CD needs them; once it is gone the objects are as Git has them."""
    by_stage = {
        stage: [(pair["git"], pair["live"]) for pair in applications[case].ours[stage]] for stage in ("adopted", "left")
    }
    assert argo.differences(by_stage["adopted"], ruled=False), "the rules are what keeps it in sync"
    assert argo.differences(by_stage["left"], ruled=False) == []


@pytest.mark.parametrize("case", CASES)
def test_all_is_as_if_no_rollout_had_been_there(applications: dict[str, Application], case: str) -> None:
    """Every object is the one of the other namespace, and there is no other object."""
    app = applications[case]
    assert app.objects(app.released) == app.objects(app.plain)


@pytest.mark.parametrize("case", CASES)
def test_the_operator_owns_no_field_any_more(applications: dict[str, Application], case: str) -> None:
    """Of what it wrote nobody is the owner until the next one who applies it; all others own what they owned."""
    app = applications[case]
    for pair in app.ours["left"]:
        kind, name = pair["git"]["kind"], pair["git"]["metadata"]["name"]
        managers, owned = app.owners(app.released, kind, name)
        others, all_fields = app.owners(app.plain, kind, name)
        assert managers <= others, f"{kind} {name}"
        assert owned - all_fields == set()
        unowned = {path for path in all_fields - owned if not any(path[: len(top)] == top for top in UNOWNED[kind])}
        assert unowned == set(), f"{kind} {name}"


def test_the_rule_that_the_page_names_leaves_out_a_variants_share(argo: Argo) -> None:
    """An entry of an experiment has no mark: the chart's rules show it, one that names its Service does not."""
    page = (ROOT / "docs" / "gitops.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"`'(\.spec\.rules\S* \| select\(\.name == \"checkout-baseline\"\))'`", page)
    example = next(one for one in examples() if one.id == "HTTPRoute")
    asked = example.strategy(steps=[experiment(baseline=10)])
    parts = shares(asked.steps[0])
    live = jsonpatch.apply_patch(example.obj, example.subject.set_weight(asked, example.obj, example.target, 20, parts))
    assert argo.differences([(example.obj, live)])
    (key,) = (key for key in argo.rules if key.endswith("ignoreDifferences.gateway.networking.k8s.io_HTTPRoute"))
    rules = yaml.safe_load(argo.rules[key])
    rules["jqPathExpressions"].append(named)
    told = copy.copy(argo)
    told.rules = {**argo.rules, key: yaml.safe_dump(rules)}
    assert told.differences([(example.obj, live)]) == []
