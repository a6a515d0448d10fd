"""The API server in memory answers as a real one: the same requests to both, and what they must agree on.

The simulation of the whole shell stands on that server. What it would get wrong, the simulation would prove of a world
that does not exist.
"""

from __future__ import annotations

import difflib
import itertools
import secrets
from collections.abc import Callable, Iterator

import pytest

from headgate.api.common import MANAGER_TAKES_BACK as MANAGER
from tests.api.both_servers import MERGE, NAMES_ONLY, FakeApi, Json, RealApi, Session
from tests.api.cluster import ROOT, LightCluster
from tests.api.kube import Kube

Script = Callable[[Session], None]
MISSING = "11111111-2222-3333-4444-555555555555"
_run = secrets.token_hex(2)
_numbers = itertools.count(1)
REQUESTS: list[str] = []
"""What was compared in this run."""


def maps(s: Session, name: str = "") -> str:
    """Path of the ConfigMaps, or of one."""
    return f"/api/v1/namespaces/{s.namespace}/configmaps" + (f"/{name}" if name else "")


def rollouts(s: Session, name: str = "") -> str:
    """Path of the Rollouts, or of one."""
    return f"/apis/headgate.dev/v1alpha1/namespaces/{s.namespace}/rollouts" + (f"/{name}" if name else "")


def config_map(name: str, labels: Json | None = None, **meta: object) -> Json:
    """A ConfigMap."""
    found = {"name": name, **({"labels": labels} if labels else {}), **meta}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": found, "data": {"a": "1"}}


def rollout(name: str, **spec: object) -> Json:
    """A Rollout that nobody works on."""
    canary = {
        "stableService": "s",
        "canaryService": "c",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "r"}]}},
        "steps": [{"setWeight": 10}],
    }
    body = {"replicas": 1, "template": {"metadata": {"labels": {"a": "b"}}}, "strategy": {"canary": canary}}
    return {"apiVersion": "headgate.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": name}, "spec": body | spec}


def put(path: str, value: object, op: str = "add") -> Json:
    """One operation of a JSON patch."""
    return {"op": op, "path": path, "value": value}


def version(value: str) -> Json:
    """The operation that makes a JSON patch conditional."""
    return put("/metadata/resourceVersion", value, "replace")


# --------------------------------------------------------------------------------------------------------------------
# What is played
# --------------------------------------------------------------------------------------------------------------------


def creating(s: Session) -> None:
    """Names are taken once, and must be where the request says."""
    s.get(maps(s, "a"))
    s.create(maps(s), config_map("a"))
    s.get(maps(s, "a"))
    s.create(maps(s), config_map("a"))
    s.create(maps(s), config_map(""))
    s.create(maps(s), config_map("b", namespace="another"))
    s.create(maps(s), config_map("b", resourceVersion="5"))
    s.create(maps(s), config_map("b") | {"kind": "Secret"})
    s.create(maps(s), b"{")
    s.create("/api/v1/namespaces/no-such-namespace/configmaps", config_map("b"))
    s.get("/apis/example.com/v1/things")
    s.send("DELETE", "/api/v1/namespaces/" + s.namespace + "/status")


def not_served(s: Session) -> None:
    """A kind that is not served is told otherwise than an object that is not there, whatever is asked of it."""
    group = f"/apis/example.com/v1/namespaces/{s.namespace}/things"
    for path in (group, f"/apis/headgate.dev/v1alpha1/namespaces/{s.namespace}/things"):
        s.get(path)
        s.get(f"{path}/a")
        s.create(path, config_map("a"))
        s.json_patch(f"{path}/a", put("/data/b", "2"))
        s.json_patch(f"{path}/a/status", put("/status", {}))
        s.delete(f"{path}/a")
    for path in (maps(s, "a"), rollouts(s, "a")):
        s.get(path)
        s.json_patch(path, put("/data/b", "2"))
        s.delete(path)
    s.json_patch(rollouts(s, "a") + "/status", put("/status", {}))
    s.create(rollouts(s), rollout("b"))
    s.create(maps(s), config_map("b"))
    for path in (rollouts(s, "a"), rollouts(s, "b"), maps(s, "b"), maps(s)):
        s.json_patch(path + "/nothing", put("/status", {}))
        s.json_patch(path + "/nothing/more", put("/status", {}))


def locking(s: Session) -> None:
    """A JSON patch with a version is a condition, answered before anything else."""
    made = s.create(maps(s), config_map("a"))
    old = made["metadata"]["resourceVersion"]
    s.json_patch(maps(s, "a"), version(old), put("/data/b", "2"))
    s.json_patch(maps(s, "a"), version(old), put("/data/c", "3"))
    s.json_patch(maps(s, "a"), version(old), put("/data/not a key !", "3"))
    s.json_patch(maps(s, "a"), put("/data/a", "1", "test"), put("/data/d", "4"))
    s.json_patch(maps(s, "a"), put("/data/a", "another", "test"), put("/data/e", "5"))
    s.json_patch(maps(s, "a"), {"op": "remove", "path": "/data/none"})
    s.json_patch(maps(s, "a"), put("/no/such/path", "1"))
    before = s.get(maps(s, "a"))["metadata"]["resourceVersion"]
    after = s.json_patch(maps(s, "a"), put("/data/d", "4"))["metadata"]["resourceVersion"]
    s.note("a patch that changes nothing leaves the version", before == after)
    s.json_patch(maps(s, "none"), put("/data/d", "4"))
    s.json_patch(maps(s, "a"), put("/metadata/uid", MISSING, "replace"))
    s.send("PATCH", maps(s, "a"), {"data": {"x": "y"}}, "application/json")


def merging(s: Session) -> None:
    """A merge patch takes out what is null, and may be conditional too."""
    made = s.create(maps(s), config_map("a", {"x": "y"}))
    s.merge(maps(s, "a"), {"data": {"a": None, "b": "2"}, "metadata": {"labels": {"x": None}}})
    s.merge(maps(s, "a"), {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"c": "3"}})
    s.merge(maps(s, "a"), {"metadata": {"annotations": {"k": "v"}}})
    s.merge(maps(s, "none"), {"data": {"a": "1"}})
    s.send("PATCH", maps(s, "a"), [1, 2], MERGE)


def replacing(s: Session) -> None:
    """PUT is conditional if it names a version."""
    made = s.create(maps(s), config_map("a"))
    s.send("PUT", maps(s, "a"), config_map("a") | {"data": {"z": "9"}})
    s.send("PUT", maps(s, "a"), made)
    s.send("PUT", maps(s, "a"), config_map("b"))
    s.send("PUT", maps(s, "none"), config_map("none") | {"metadata": {"name": "none", "uid": MISSING}})


def deleting(s: Session) -> None:
    """Conditions of a deletion hold or it does not happen."""
    made = s.create(maps(s), config_map("a"))
    meta = made["metadata"]
    s.delete(maps(s, "a"), preconditions={"uid": MISSING})
    s.delete(maps(s, "a"), preconditions={"resourceVersion": "1"})
    both = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    s.delete(maps(s, "a"), preconditions=both, propagationPolicy="Background")
    s.delete(maps(s, "a"))
    s.get(maps(s, "a"))
    again = s.create(maps(s), config_map("a"))
    s.note("another uid", again["metadata"]["uid"] != meta["uid"])
    s.note("a later version", int(again["metadata"]["resourceVersion"]) > int(meta["resourceVersion"]))


def finalizing(s: Session) -> None:
    """A finalizer holds an object that is deleted, and the last one takes it along."""
    s.create(maps(s), config_map("a", finalizers=["example.com/one", "example.com/two"]))
    s.delete(maps(s, "a"), propagationPolicy="Background")
    s.delete(maps(s, "a"))
    s.create(maps(s), config_map("a"))
    s.json_patch(maps(s, "a"), put("/metadata/finalizers/-", "example.com/three"))
    s.json_patch(maps(s, "a"), put("/data/b", "2"))
    s.json_patch(maps(s, "a"), put("/metadata/finalizers", ["example.com/two"]))
    s.json_patch(maps(s, "a"), put("/metadata/finalizers", []))
    s.get(maps(s, "a"))


def selecting(s: Session) -> None:
    """Label selectors of every form."""
    for name, labels in (("a", {"x": "1", "y": "1"}), ("b", {"x": "2"}), ("c", None)):
        s.create(maps(s), config_map(name, labels))
    forms = ("x=1", "x==1", "x!=1", "x", "!x", "x+in+(1,2),y", "x+notin+(2)", "x=1,y=2", "x=")
    for form in forms:
        s.get(f"{maps(s)}?labelSelector={form},who!=kube-root-ca&fieldSelector=metadata.name!=kube-root-ca.crt")
    s.get(f"{maps(s)}?labelSelector=x+in")


def paging(s: Session) -> None:
    """Pages of one version, and names only."""
    for name in "abcde":
        s.create(maps(s), config_map(name, {"page": "me"}))
    path = f"{maps(s)}?labelSelector=page%3Dme&limit=2"
    first = s.get(path)
    s.create(maps(s), config_map("aa", {"page": "me"}))
    second = s.get(f"{path}&continue={first['metadata']['continue']}")
    third = s.get(f"{path}&continue={second['metadata']['continue']}")
    s.note("one version", len({p["metadata"]["resourceVersion"] for p in (first, second, third)}))
    s.get(f"{maps(s)}?labelSelector=page%3Dme", accept=NAMES_ONLY)
    s.get(f"{path}&continue=nonsense")
    s.get(f"{rollouts(s)}?limit=500")


def watching(s: Session) -> None:
    """What a watch is told, also of an object whose labels leave its selector."""
    since = s.create(maps(s), config_map("a", {"seen": "yes"}))["metadata"]["resourceVersion"]
    s.json_patch(maps(s, "a"), put("/data/b", "2"))
    s.json_patch(maps(s, "a"), put("/data/b", "2"))
    s.create(maps(s), config_map("b"))
    s.merge(maps(s, "a"), {"metadata": {"labels": {"seen": "no"}}})
    s.json_patch(maps(s, "a"), put("/data/c", "3"))
    s.merge(maps(s, "a"), {"metadata": {"labels": {"seen": "yes"}}})
    s.merge(maps(s, "b"), {"metadata": {"labels": {"seen": "yes"}, "finalizers": ["example.com/one"]}})
    s.delete(maps(s, "b"))
    s.merge(maps(s, "b"), {"metadata": {"finalizers": None}})
    s.delete(maps(s, "a"))
    s.watch(maps(s), since)
    s.watch(maps(s), since, "seen%3Dyes")
    s.watch(maps(s), since, "seen%3Dno")
    s.watch(rollouts(s), since)


def custom(s: Session) -> None:
    """Generation counts changes of the spec; the status is written apart; the schema prunes, fills in and refuses."""
    made = s.create(rollouts(s), rollout("a", nonsense=1) | {"status": {"phase": "Healthy"}})
    s.merge(rollouts(s, "a"), {"spec": {"replicas": 2}})
    s.merge(rollouts(s, "a"), {"metadata": {"labels": {"x": "y"}}})
    s.merge(rollouts(s, "a"), {"spec": {"replicas": 2}})
    s.json_patch(rollouts(s, "a") + "/status", put("/status", {"phase": "Healthy", "nonsense": 1}))
    s.json_patch(rollouts(s, "a") + "/status", put("/spec/replicas", 9), put("/metadata/labels/z", "1"))
    s.merge(rollouts(s, "a"), {"status": {"phase": "Degraded"}, "spec": {"replicas": 3}})
    s.get(rollouts(s, "a") + "/status")
    old = made["metadata"]["resourceVersion"]
    s.json_patch(rollouts(s, "a") + "/status", version(old), put("/status", {"phase": "Paused"}))
    s.json_patch(rollouts(s, "a") + "/status", put("/status/decision", "many"))
    s.json_patch(rollouts(s, "a") + "/status", put("/status/phase", "Nowhere"))
    s.merge(rollouts(s, "a"), {"spec": {"replicas": -1}})
    s.merge(rollouts(s, "a"), {"spec": {"strategy": None}})
    s.create(rollouts(s), {"apiVersion": "headgate.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "b"}})
    s.send("PUT", rollouts(s, "a"), rollout("a"))
    s.merge(rollouts(s, "a"), {"metadata": {"finalizers": ["headgate.dev/hand-back"]}})
    s.delete(rollouts(s, "a"), propagationPolicy="Background")
    s.merge(rollouts(s, "a"), {"spec": {"replicas": 5}})
    s.json_patch(rollouts(s, "a"), put("/metadata/finalizers", []))
    s.get(rollouts(s, "a"))
    s.create("/apis/headgate.dev/v1alpha1/environments", {"metadata": {"name": "x"}, "spec": 1})


def without_status(s: Session) -> None:
    """A kind without the status subresource."""
    path = f"/apis/headgate.dev/v1alpha1/namespaces/{s.namespace}/qualitygates"
    check = {"name": "c", "prometheus": {"query": {"template": "t"}}, "pass": {"min": 1}}
    body = {"apiVersion": "headgate.dev/v1alpha1", "kind": "QualityGate", "metadata": {"name": "g"}}
    s.create(path, body | {"spec": {"checks": [check]}})
    s.json_patch(f"{path}/g/status", put("/status", {}))
    s.merge(f"{path}/g", {"spec": {"interval": "7s"}})
    s.merge(f"{path}/g", {"spec": {"interval": "soon"}})
    s.merge(f"{path}/g", {"spec": {"checks": []}})


def leases(s: Session) -> None:
    """What leader election does."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{s.namespace}/leases"
    s.get(f"{path}/l")
    spec = {"holderIdentity": "one", "leaseDurationSeconds": 6, "renewTime": "2026-01-01T00:00:00.000000Z"}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": spec}
    made = s.create(path, body)
    s.create(path, body)
    old = made["metadata"]["resourceVersion"]
    s.json_patch(f"{path}/l", version(old), put("/spec/holderIdentity", "two"))
    s.json_patch(f"{path}/l", version(old), put("/spec/holderIdentity", "three"))


def owning(s: Session) -> None:
    """The garbage collector: what has no owner goes, what has one stays, and an orphan is let go."""

    def owner(made: Json) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": made["metadata"]["name"],
            "uid": made["metadata"]["uid"],
        }

    one, two, three = (s.create(maps(s), config_map(n)) for n in ("one", "two", "three"))
    s.create(maps(s), config_map("child", ownerReferences=[owner(one)]))
    s.create(maps(s), config_map("shared", ownerReferences=[owner(one), owner(two)]))
    s.create(maps(s), config_map("orphan", ownerReferences=[owner(three)]))
    s.create(maps(s), config_map("nobodys", ownerReferences=[owner(one) | {"name": "gone", "uid": MISSING}]))
    s.until(maps(s, "nobodys"), lambda code, _: code == 404, "collected")
    s.delete(maps(s, "one"), propagationPolicy="Background")
    s.delete(maps(s, "three"), propagationPolicy="Orphan")
    s.until(maps(s, "child"), lambda code, _: code == 404, "collected")
    s.until(maps(s, "shared"), lambda _, o: len(o["metadata"].get("ownerReferences") or ()) == 1, "let go by one")
    s.until(maps(s, "orphan"), lambda _, o: not o["metadata"].get("ownerReferences"), "let go")
    s.until(maps(s, "three"), lambda code, _: code == 404, "gone")
    s.delete(maps(s, "two"), propagationPolicy="Foreground")
    s.until(maps(s, "shared"), lambda code, _: code == 404, "collected")
    s.until(maps(s, "two"), lambda code, _: code == 404, "gone")
    s.get(f"{maps(s)}?fieldSelector=metadata.name!=kube-root-ca.crt")


def terminating(s: Session) -> None:
    """Nothing is created in a namespace that goes, and what is there may still be changed."""
    s.create(maps(s), config_map("held", finalizers=["example.com/one"]))
    s.delete(f"/api/v1/namespaces/{s.namespace}")
    s.until(maps(s, "held"), lambda _, o: bool(o["metadata"].get("deletionTimestamp")), "being deleted")
    s.create(maps(s), config_map("new"))
    s.json_patch(maps(s, "held"), put("/data/b", "2"))
    s.json_patch(maps(s, "held"), put("/metadata/finalizers", []))
    s.until(f"/api/v1/namespaces/{s.namespace}", lambda code, _: code == 404, "gone")
    s.create(maps(s), config_map("new"))


def taking_back(s: Session) -> None:
    """A weight that a verdict lowers is known as such until its rules are written again, whoever writes them."""
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{s.namespace}/httproutes"

    def weight(value: int) -> Json:
        return put("/spec/rules/0/backendRefs/1/weight", value)

    def taken(answer: Json) -> None:
        found = [m["manager"] for m in answer["metadata"]["managedFields"] if m["manager"].startswith(MANAGER)]
        s.note("taken back", found)

    backends = [{"name": name, "port": 80, "weight": 50} for name in ("a", "b")]
    meta = {"name": "r", "annotations": {"headgate.dev/stand-in": "off"}}
    kind = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": meta}
    s.create(path, kind | {"spec": {"rules": [{"backendRefs": backends}]}})
    for _ in range(2):
        taken(s.json_patch(f"{path}/r?fieldManager={MANAGER}uid:abc:1", weight(0)))
        taken(s.json_patch(f"{path}/r", put("/metadata/annotations/somebody", "was here")))
        taken(s.json_patch(f"{path}/r", weight(0)))
        taken(s.json_patch(f"{path}/r", weight(20)))


def evicting(s: Session) -> None:
    """A pod is evicted if it is there, and still the one that was meant; one that never ran needs no budget."""
    pods = f"/api/v1/namespaces/{s.namespace}/pods"
    # One that no node takes, so that it stays as it is.
    spec: Json = {"containers": [{"name": "a", "image": "a"}], "nodeSelector": {"no": "such"}}
    spec["terminationGracePeriodSeconds"] = 0
    s.create(pods, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
    s.notes.pop()  # The real one fills in a great deal.

    def evict(name: str, **preconditions: str) -> None:
        body: Json = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        s.create(f"{pods}/{name}/eviction", body | {"deleteOptions": {"preconditions": preconditions}})

    evict("none", uid=MISSING)
    evict("a", uid=MISSING)
    evict("a")


SCRIPTS: tuple[Script, ...] = (
    taking_back,
    creating,
    not_served,
    locking,
    merging,
    replacing,
    deleting,
    finalizing,
    selecting,
    paging,
    watching,
    custom,
    without_status,
    leases,
    owning,
    terminating,
    evicting,
)


# --------------------------------------------------------------------------------------------------------------------
# The comparison
# --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(light_cluster: LightCluster, kube: Kube) -> RealApi:
    """The real server, with Headgate's kinds."""
    light_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    light_cluster.kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=headgate")
    return RealApi(kube._port)


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    """The server in memory, empty."""
    made = FakeApi()
    yield made
    made.close()


def play(script: Script, api: FakeApi | RealApi, namespace: str) -> list[str]:
    """What one server says."""
    session = Session(api, namespace)
    session.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    session.notes.clear()
    script(session)
    session.delete(f"/api/v1/namespaces/{namespace}")
    session.notes.pop()
    return session.notes


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_both_servers_answer_alike(script: Script, fake: FakeApi, real: RealApi) -> None:
    """Codes, reasons, details, and what the answers hold, request by request."""
    namespace = f"alike-{_run}-{next(_numbers)}"
    told, said = play(script, fake, namespace), play(script, real, namespace)
    REQUESTS.extend(told)
    difference = "\n".join(difflib.unified_diff(said, told, "the real server", "the one in memory", lineterm="", n=0))
    assert not difference, f"{script.__doc__}\n{difference}"


def test_a_version_that_is_compacted_away_cannot_be_watched(fake: FakeApi, real: RealApi) -> None:
    """The watch is told 410 in its stream, and has to list again."""
    answers = []
    for api in (fake, real):
        session = Session(api, f"alike-{_run}-old")
        session.create("/api/v1/namespaces", {"metadata": {"name": session.namespace}})
        session.create(rollouts(session), rollout("a"))
        if isinstance(api, FakeApi):
            api.cluster.store.compact()
        session.notes.clear()
        # What the real server's cache of this kind began with is later than its first version of all.
        session.watch(rollouts(session), "1")
        answers.append(list(session.notes))
        session.delete(f"/api/v1/namespaces/{session.namespace}")
    assert answers[0] == answers[1]
    assert '"ERROR"' in answers[0][0]


def test_enough_was_compared() -> None:
    """A table that lost its rows would compare nothing."""
    if len(REQUESTS) < 1:
        pytest.skip("none of the scripts ran in this run")
    assert len(REQUESTS) >= 100
