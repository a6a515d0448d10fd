"""The other controllers of the cluster: endpoints of Services, Deployments, the garbage collector, namespaces."""

from __future__ import annotations

import hashlib

import orjson

from tests.simulation.shell.cluster import Agenda, Cluster
from tests.simulation.shell.kinds import BY_NAME, KINDS, Kind
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.store import Change, Key, Object, copied

SLICES = "endpointslice-controller"
DEPLOYMENTS = "deployment-controller"
COLLECTOR = "garbage-collector"
NAMESPACES = "namespace-controller"


class Slices:
    """One EndpointSlice for each Service; it follows pods and selector after a while."""

    def __init__(self, cluster: Cluster) -> None:
        self._store = cluster.store
        self._cluster = cluster
        longest = cluster.chance.uniform(0.02, 0.8)
        self._agenda = Agenda(cluster, self._reconcile, shortest=0.01, longest=longest)
        cluster.store.listen(self._heard, "Service", "Pod")

    def _heard(self, change: Change) -> None:
        if change.kind.kind == "Service":
            self._agenda.add(change.key)
        else:
            for service in self._store.all("Service", change.key[0]):
                if _selects(service, change.after):
                    self._agenda.add((change.key[0], service["metadata"]["name"]))

    def _reconcile(self, key: Key) -> None:
        namespace, name = key
        service = self._store.get("Service", namespace, name)
        if service is None:
            return
        endpoints = [_endpoint(p) for p in self._store.all("Pod", namespace) if _selects(service, p)]
        found = next((s for s in self._store.all("EndpointSlice", namespace) if service_of(s) == name), None)
        if found is None:
            owner = {"apiVersion": "v1", "kind": "Service", "name": name, "uid": service["metadata"]["uid"]}
            meta = {
                "name": f"{name}-{self._cluster.letters(5)}",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
                "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
            }
            made = {"metadata": meta, "addressType": "IPv4", "endpoints": endpoints}
            self._store.add("EndpointSlice", made, actor=SLICES)
        elif found["endpoints"] != endpoints:
            fresh = {**found, "metadata": dict(found["metadata"]), "endpoints": endpoints}
            fresh["metadata"]["generation"] += 1
            self._store.replace("EndpointSlice", fresh, actor=SLICES)


def service_of(one: Object) -> str:
    """The Service of an EndpointSlice."""
    return str((one["metadata"].get("labels") or {}).get("kubernetes.io/service-name") or "")


def _selects(service: Object, pod: Object) -> bool:
    wanted = (service.get("spec") or {}).get("selector") or {}
    labels = pod["metadata"].get("labels") or {}
    return bool(wanted) and all(labels.get(k) == v for k, v in wanted.items())


def _endpoint(pod: Object) -> Object:
    going = bool(pod["metadata"].get("deletionTimestamp"))
    ready = is_ready(pod)
    return {
        "addresses": ["10.0.0.1"],
        "conditions": {"ready": ready, "serving": ready, "terminating": going},
        "targetRef": {"kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"]},
    }


class Deployments:
    """A ReplicaSet for each template; the old ones go when the new one is up."""

    def __init__(self, cluster: Cluster) -> None:
        self._store = cluster.store
        self._agenda = Agenda(cluster, self._reconcile, shortest=0.01, longest=0.4)
        cluster.store.listen(self._heard, "Deployment", "ReplicaSet")

    def _heard(self, change: Change) -> None:
        if change.kind.kind == "Deployment":
            self._agenda.add(change.key)
        else:
            for ref in change.after["metadata"].get("ownerReferences") or ():
                if ref["kind"] == "Deployment":
                    self._agenda.add((change.key[0], ref["name"]))

    def _reconcile(self, key: Key) -> None:
        namespace, name = key
        found = self._store.get("Deployment", namespace, name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        template, uid = found["spec"]["template"], found["metadata"]["uid"]
        digest = hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]
        wanted = int(found["spec"].get("replicas", 1))
        mine = [s for s in self._store.all("ReplicaSet", namespace) if _owned_by(s, uid)]
        new = next((s for s in mine if s["metadata"]["name"] == f"{name}-{digest}"), None)
        if new is None:
            new = self._create(found, digest, wanted)
            mine.append(new)
        elif new["spec"]["replicas"] != wanted:
            self._scale(new, wanted)
        if _count(new, "availableReplicas") >= wanted:
            for old in mine:
                if old is not new and old["spec"]["replicas"]:
                    self._scale(old, 0)
        status: Object = {"observedGeneration": found["metadata"]["generation"]}
        counts = {
            "replicas": sum(_count(s, "replicas") for s in mine),
            "updatedReplicas": _count(new, "replicas"),
            "readyReplicas": sum(_count(s, "readyReplicas") for s in mine),
            "availableReplicas": sum(_count(s, "availableReplicas") for s in mine),
        }
        status |= {k: v for k, v in counts.items() if v}

        def report(fresh: Object) -> None:
            fresh["status"] = status

        self._store.change("Deployment", namespace, name, report, actor=DEPLOYMENTS)

    def _create(self, owner: Object, digest: str, replicas: int) -> Object:
        meta, template = owner["metadata"], copied(owner["spec"]["template"])
        labels = {**(template.get("metadata") or {}).get("labels", {}), "pod-template-hash": digest}
        template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"]}
        made = {
            "metadata": {
                "name": f"{meta['name']}-{digest}",
                "namespace": meta["namespace"],
                "labels": labels,
                "ownerReferences": [reference | {"controller": True, "blockOwnerDeletion": True}],
            },
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        }
        return self._store.add("ReplicaSet", made, actor=DEPLOYMENTS)

    def _scale(self, found: Object, replicas: int) -> None:
        def scale(fresh: Object) -> None:
            fresh["spec"]["replicas"] = replicas
            fresh["metadata"]["generation"] += 1

        meta = found["metadata"]
        self._store.change("ReplicaSet", meta["namespace"], meta["name"], scale, actor=DEPLOYMENTS)


def _owned_by(obj: Object, uid: str) -> bool:
    return any(r["uid"] == uid for r in obj["metadata"].get("ownerReferences") or ())


def _count(found: Object, field: str) -> int:
    return int((found.get("status") or {}).get(field) or 0)


class Collector:
    """Deletes what has no owner any more, and sees to `--cascade=foreground` and `orphan`."""

    def __init__(self, cluster: Cluster) -> None:
        self._store = cluster.store
        self._uids: dict[str, tuple[Kind, Key]] = {}
        self._dependents: dict[str, dict[tuple[Kind, Key], None]] = {}
        self._agenda = Agenda(cluster, self._look_at, shortest=0.02, longest=0.6)
        cluster.store.listen(self._heard)

    def _heard(self, change: Change) -> None:
        uid, place = change.after["metadata"]["uid"], (change.kind, change.key)
        for ref in change.after["metadata"].get("ownerReferences") or ():
            of = self._dependents.setdefault(ref["uid"], {})
            if change.type == "DELETED":
                of.pop(place, None)
                if ref["uid"] in self._uids:
                    self._agenda.add(self._uids[ref["uid"]])
            else:
                of[place] = None
                if ref["uid"] not in self._uids:
                    self._agenda.add(place)  # An owner that is gone, or never was.
        if change.type == "DELETED":
            self._uids.pop(uid, None)
            for dependent in self._dependents.pop(uid, {}):
                self._agenda.add(dependent)
        else:
            self._uids[uid] = place
            if change.after["metadata"].get("deletionTimestamp"):
                self._agenda.add(place)

    def _look_at(self, place: tuple[Kind, Key]) -> None:
        kind, key = place
        found = self._store.get(kind, *key)
        if found is None:
            return
        finalizers = found["metadata"].get("finalizers") or ()
        if "orphan" in finalizers:
            self._orphan(found)
            self._drop_finalizer(kind, key, "orphan")
        elif "foregroundDeletion" in finalizers:
            left = [d for d in self._dependents.get(found["metadata"]["uid"], ()) if self._store.get(d[0], *d[1])]
            for dependent in left:
                self._agenda.add(dependent)
            if not any(self._blocks(d, found["metadata"]["uid"]) for d in left):
                self._drop_finalizer(kind, key, "foregroundDeletion")
        else:
            self._without_owners(kind, found)

    def _without_owners(self, kind: Kind, found: Object) -> None:
        references = found["metadata"].get("ownerReferences") or []
        if not references:
            return
        solid = [r for r in references if r["uid"] in self._uids and not self._in_foreground(r["uid"])]
        if len(solid) == len(references):
            return
        if solid:

            def let_go(fresh: Object) -> None:
                fresh["metadata"]["ownerReferences"] = solid

            self._store.change(kind, *_key(found), let_go, actor=COLLECTOR)
        elif found["metadata"].get("finalizers"):
            return
        else:
            self._store.remove(kind, found, actor=COLLECTOR)

    def _in_foreground(self, uid: str) -> bool:
        kind, key = self._uids[uid]
        owner = self._store.get(kind, *key)
        meta = owner["metadata"] if owner else {}
        return bool(meta.get("deletionTimestamp")) and "foregroundDeletion" in (meta.get("finalizers") or ())

    def _blocks(self, dependent: tuple[Kind, Key], uid: str) -> bool:
        found = self._store.get(dependent[0], *dependent[1])
        references = (found or {}).get("metadata", {}).get("ownerReferences") or ()
        return any(r["uid"] == uid and r.get("blockOwnerDeletion") for r in references)

    def _orphan(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for kind, key in list(self._dependents.get(uid, ())):

            def let_go(fresh: Object) -> None:
                kept = [r for r in fresh["metadata"]["ownerReferences"] if r["uid"] != uid]
                fresh["metadata"]["ownerReferences"] = kept

            self._store.change(kind, *key, let_go, actor=COLLECTOR)
        self._dependents.pop(uid, None)

    def _drop_finalizer(self, kind: Kind, key: Key, name: str) -> None:
        found = self._store.get(kind, *key)
        if found is None:
            return
        fresh = copied(found)
        left = [f for f in fresh["metadata"]["finalizers"] if f != name]
        fresh["metadata"]["finalizers"] = left
        if left:
            self._store.replace(kind, fresh, actor=COLLECTOR)
        else:
            fresh["metadata"].pop("finalizers")
            self._store.remove(kind, fresh, actor=COLLECTOR)


def _key(obj: Object) -> Key:
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


class Namespaces:
    """Empties a namespace that is being deleted, in an order that nobody chose, and then lets it go."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._agenda = Agenda(cluster, self._reconcile, shortest=0.3, longest=1.0)
        cluster.store.listen(self._heard)

    def _heard(self, change: Change) -> None:
        if change.kind.kind == "Namespace" and change.type != "DELETED":
            if change.after["metadata"].get("deletionTimestamp"):
                self._agenda.add(change.key[1])
        elif change.type == "DELETED" and change.key[0]:
            space = self._store.get("Namespace", "", change.key[0])
            if space is not None and space["metadata"].get("deletionTimestamp"):
                self._agenda.add(change.key[0])

    def _reconcile(self, name: str) -> None:
        space = self._store.get("Namespace", "", name)
        if space is None:
            return
        kinds = [k for k in KINDS if k.namespaced]
        self._cluster.chance.shuffle(kinds)
        for kind in kinds:
            for obj in self._store.all(kind, name):
                self._delete(kind, obj)
        if any(self._store.all(kind, name) for kind in kinds):
            self._agenda.add(name)
        else:
            self._store.remove(BY_NAME["Namespace"], space, actor=NAMESPACES)

    def _delete(self, kind: Kind, obj: Object) -> None:
        if not obj["metadata"].get("finalizers"):
            self._store.remove(kind, obj, actor=NAMESPACES)
        elif not obj["metadata"].get("deletionTimestamp"):
            fresh = copied(obj)
            fresh["metadata"]["deletionTimestamp"] = fresh["metadata"]["creationTimestamp"]
            if "generation" in fresh["metadata"]:
                fresh["metadata"]["generation"] += 1
            self._store.replace(kind, fresh, actor=NAMESPACES)
