"""The DaemonSet controller by the rules of the real one (1.34): a pod on each node, of the template as it is then."""

from __future__ import annotations

import hashlib

import orjson

from tests.simulation.shell.cluster import Agenda, Cluster, owner_of
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.stateful_sets import HASH, KUBELET
from tests.simulation.shell.store import Change, Key, Object, copied, seconds_of

ACTOR = "daemonset-controller"


class DaemonSets:
    """Pods by node; with `OnDelete` none of them is ended, whatever the template is."""

    def __init__(self, cluster: Cluster, nodes: list[str]) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._nodes = nodes
        self._agenda = Agenda(cluster, self._reconcile, shortest=0.01, longest=0.4)
        self._start = cluster.chance.uniform(0.3, 3.0)
        cluster.store.listen(self._heard, "DaemonSet", "Pod")

    def look(self) -> None:
        """Nodes have come or gone."""
        for found in self._store.all("DaemonSet"):
            self._agenda.add((found["metadata"]["namespace"], found["metadata"]["name"]))

    def _heard(self, change: Change) -> None:
        if change.kind.kind == "DaemonSet":
            self._agenda.add(change.key)
            return
        owner = owner_of(change.after)
        if owner is None or owner[0] != "DaemonSet":
            return
        self._agenda.add((change.key[0], owner[1]))
        meta = change.after["metadata"]
        if change.type == "MODIFIED" and meta.get("deletionTimestamp"):
            delay = self._cluster.chance.uniform(0.1, 1.5)
            self._cluster.loop.call_later(delay, self._gone, meta["namespace"], meta["name"], meta["uid"])

    def _gone(self, namespace: str, name: str, uid: str) -> None:
        pod = self._store.get("Pod", namespace, name)
        if pod is not None and pod["metadata"]["uid"] == uid:
            self._store.remove("Pod", pod, actor=KUBELET)

    def _pods(self, found: Object) -> dict[str, Object]:
        meta = found["metadata"]
        mine = [p for p in self._store.all("Pod", meta["namespace"]) if (owner_of(p) or ("", "", ""))[2] == meta["uid"]]
        return {str(p["spec"]["nodeName"]): p for p in mine}

    def _reconcile(self, key: Key) -> None:
        found = self._store.get("DaemonSet", *key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        new = _hash(found)
        pods = self._pods(found)
        for node in [n for n in self._nodes if n not in pods]:
            self._create(found, node, new)
        for node, pod in pods.items():
            if node not in self._nodes:
                self._end(pod)
        pods = self._pods(found)
        self._report(found, [pods[n] for n in self._nodes], new)
        if (found["spec"].get("updateStrategy") or {}).get("type") != "OnDelete" and all(map(is_ready, pods.values())):
            old = next((pods[n] for n in self._nodes if pods[n]["metadata"]["labels"][HASH] != new), None)
            if old is not None:
                self._end(old)

    def _create(self, owner: Object, node: str, revision: str) -> None:
        meta, template = owner["metadata"], copied(owner["spec"]["template"])
        reference = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": meta["name"], "uid": meta["uid"]}
        name = f"{meta['name']}-{self._cluster.letters(5)}"
        pod: Object = {
            "metadata": {
                "name": name,
                "namespace": meta["namespace"],
                "labels": {**(template.get("metadata") or {}).get("labels", {}), HASH: revision},
                "ownerReferences": [reference | {"controller": True, "blockOwnerDeletion": True}],
            },
            "spec": {**(template.get("spec") or {}), "nodeName": node},
            "status": {"phase": "Pending"},
        }
        made = self._store.add("Pod", pod, actor=ACTOR)
        if "broken" not in str(pod["spec"]["containers"][0].get("image")):
            delay = self._start * self._cluster.chance.uniform(0.8, 1.2)
            self._cluster.loop.call_later(delay, self._started, meta["namespace"], name, made["metadata"]["uid"])

    def _started(self, namespace: str, name: str, uid: str) -> None:
        pod = self._store.get("Pod", namespace, name)
        if pod is None or pod["metadata"]["uid"] != uid or pod["metadata"].get("deletionTimestamp"):
            return

        def report(fresh: Object) -> None:
            fresh["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

        self._store.change("Pod", namespace, name, report, actor=KUBELET)

    def _end(self, pod: Object) -> None:
        if pod["metadata"].get("deletionTimestamp"):
            return

        def going(fresh: Object) -> None:
            fresh["metadata"]["deletionTimestamp"] = seconds_of(self._cluster.loop.wall())

        self._store.change("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], going, actor=ACTOR)

    def _report(self, found: Object, pods: list[Object], new: str) -> None:
        # One that is on its way out counts until it is gone, and as ready: the kubelet reports it so for a while.
        ready = sum(c.get("type") == "Ready" for p in pods for c in (p.get("status") or {}).get("conditions") or ())
        status: Object = {
            "observedGeneration": found["metadata"]["generation"],
            "desiredNumberScheduled": len(self._nodes),
            "currentNumberScheduled": len(pods),
            "updatedNumberScheduled": sum(p["metadata"]["labels"][HASH] == new for p in pods),
            "numberReady": ready,
            "numberAvailable": ready,
        }

        def report(fresh: Object) -> None:
            fresh["status"] = status

        self._store.change("DaemonSet", found["metadata"]["namespace"], found["metadata"]["name"], report, actor=ACTOR)


def _hash(found: Object) -> str:
    template = orjson.dumps(found["spec"]["template"], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(template).hexdigest()[:10]
