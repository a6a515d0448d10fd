"""The StatefulSet controller by the rules of the real one (1.34, OrderedReady), and the one of PodDisruptionBudgets."""

from __future__ import annotations

import hashlib

import orjson

from tests.simulation.shell.cluster import Agenda, Cluster, owner_of
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.store import Change, Key, Object, copied, seconds_of

ACTOR = "statefulset-controller"
KUBELET = "kubelet"
HASH = "controller-revision-hash"


class StatefulSets:
    """Pods by ordinal; an update goes from the highest one down to the partition, each ready before the next."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._agenda = Agenda(cluster, self._reconcile, shortest=0.01, longest=0.4)
        self._start = cluster.chance.uniform(0.3, 3.0)
        self._templates: dict[str, Object] = {}
        """By revision; what the controller keeps in ControllerRevisions."""
        cluster.store.listen(self._heard, "StatefulSet", "Pod")

    def _heard(self, change: Change) -> None:
        if change.kind.kind == "StatefulSet":
            self._agenda.add(change.key)
        else:
            owner = owner_of(change.after)
            if owner is None or owner[0] != "StatefulSet":
                return
            self._agenda.add((change.key[0], owner[1]))
            if change.type == "MODIFIED" and change.after["metadata"].get("deletionTimestamp"):
                meta = change.after["metadata"]
                self._cluster.loop.call_later(
                    self._cluster.chance.uniform(0.1, 1.5), self._gone, meta["namespace"], meta["name"], meta["uid"]
                )

    def _gone(self, namespace: str, name: str, uid: str) -> None:
        pod = self._store.get("Pod", namespace, name)
        if pod is not None and pod["metadata"]["uid"] == uid:
            self._store.remove("Pod", pod, actor=KUBELET)

    def revision(self, found: Object) -> str:
        """What the present template is called."""
        template = orjson.dumps(found["spec"]["template"], option=orjson.OPT_SORT_KEYS)
        name = f"{found['metadata']['name']}-{hashlib.sha256(template).hexdigest()[:10]}"
        self._templates.setdefault(name, found["spec"]["template"])
        return name

    def _pods(self, found: Object) -> dict[int, Object]:
        meta = found["metadata"]
        pods = self._store.all("Pod", meta["namespace"])
        mine = [p for p in pods if (owner_of(p) or ("", "", ""))[2] == meta["uid"]]
        return {int(p["metadata"]["name"].rpartition("-")[2]): p for p in mine}

    def _reconcile(self, key: Key) -> None:
        found = self._store.get("StatefulSet", *key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        new = self.revision(found)
        current = (found.get("status") or {}).get("currentRevision") or new
        goes_on = self._keep_up(found, self._pods(found), current, new)
        pods = self._pods(found)
        old = self._next(found, pods, new) if goes_on else None
        # As the real one does: what it says was counted before it ends the next pod.
        self._report(found, pods, current, new, ended=old is not None)
        if old is not None:
            self._end(old)

    def _keep_up(self, found: Object, pods: dict[int, Object], current: str, new: str) -> bool:
        """Create what is missing and end what is too much; whether nothing of that keeps the update waiting."""
        wanted, partition = int(found["spec"].get("replicas", 1)), _partition(found)
        for ordinal in range(wanted):
            pod = pods.get(ordinal)
            if pod is None:
                self._create(found, ordinal, current if ordinal < partition else new)
                return False
            if not is_ready(pod):
                return False  # One that does not come up, or is on its way out, keeps all others waiting.
        condemned = [o for o in pods if o >= wanted]
        if condemned:
            self._end(pods[max(condemned)])
            return False
        return True

    def _next(self, found: Object, pods: dict[int, Object], new: str) -> Object | None:
        """The next pod that the update replaces."""
        ordinals = range(int(found["spec"].get("replicas", 1)) - 1, _partition(found) - 1, -1)
        return next((pods[o] for o in ordinals if pods[o]["metadata"]["labels"][HASH] != new), None)

    def _create(self, owner: Object, ordinal: int, revision: str) -> None:
        meta, template = owner["metadata"], copied(self._templates[revision])
        reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": meta["name"], "uid": meta["uid"]}
        name = f"{meta['name']}-{ordinal}"
        labels = {**(template.get("metadata") or {}).get("labels", {}), HASH: revision}
        pod: Object = {
            "metadata": {
                "name": name,
                "namespace": meta["namespace"],
                "labels": labels,
                "ownerReferences": [reference | {"controller": True, "blockOwnerDeletion": True}],
            },
            "spec": template.get("spec") or {},
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

    def _report(self, found: Object, pods: dict[int, Object], current: str, new: str, *, ended: bool) -> None:
        wanted = int(found["spec"].get("replicas", 1))
        staying = [p for p in pods.values() if not p["metadata"].get("deletionTimestamp")]
        ready, updated = sum(map(is_ready, pods.values())), _of(staying, new)
        if updated == ready == len(pods) == wanted:
            current = new
        status: Object = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": _of(staying, current) - ended,
            "updatedReplicas": updated,
            "currentRevision": current,
            "updateRevision": new,
        }

        def report(fresh: Object) -> None:
            fresh["status"] = status

        self._store.change(
            "StatefulSet", found["metadata"]["namespace"], found["metadata"]["name"], report, actor=ACTOR
        )


def _partition(found: Object) -> int:
    update = (found["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(update.get("partition") or 0)


def _of(pods: list[Object], revision: str) -> int:
    return sum(p["metadata"]["labels"][HASH] == revision for p in pods)


class Budgets:
    """How many disruptions each PodDisruptionBudget allows; a little behind the pods."""

    def __init__(self, cluster: Cluster) -> None:
        self._store = cluster.store
        self._agenda = Agenda(cluster, self._reconcile, shortest=0.01, longest=0.5)
        cluster.store.listen(self._heard, "PodDisruptionBudget", "Pod")

    def _heard(self, change: Change) -> None:
        if change.kind.kind == "PodDisruptionBudget":
            self._agenda.add(change.key)
        else:
            for found in self._store.all("PodDisruptionBudget", change.key[0]):
                self._agenda.add((change.key[0], found["metadata"]["name"]))

    def _reconcile(self, key: Key) -> None:
        found = self._store.get("PodDisruptionBudget", *key)
        if found is None:
            return
        wanted = (found["spec"]["selector"].get("matchLabels") or {}).items()
        pods = [p for p in self._store.all("Pod", key[0]) if wanted <= (p["metadata"].get("labels") or {}).items()]
        allowed = max(0, sum(map(is_ready, pods)) - int(found["spec"]["minAvailable"]))
        status = {"observedGeneration": found["metadata"]["generation"], "disruptionsAllowed": allowed}

        def report(fresh: Object) -> None:
            fresh["status"] = status

        self._store.change("PodDisruptionBudget", *key, report, actor="disruption-controller")
