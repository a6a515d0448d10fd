"""ReplicaSets, their pods, and the machines that run them: pods come up after a while, broken images never."""

from __future__ import annotations

from typing import Any

from tests.simulation.shell.cluster import Agenda, Cluster, owner_of
from tests.simulation.shell.store import Change, Object, copied, seconds_of

ACTOR = "replicaset-controller"
KUBELET = "kubelet"


class ReplicaSets:
    """The ReplicaSet controller and the kubelets."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._agenda = Agenda(cluster, self._reconcile, shortest=0.01, longest=0.3)
        self._start = cluster.chance.uniform(0.3, 3.0)
        self._pods: dict[str, dict[str, None]] = {}
        """By uid of the ReplicaSet: the names of its pods that are not on their way out."""
        self.ready_at: dict[str, float] = {}
        """By uid of the pod."""
        cluster.store.listen(self._heard, "ReplicaSet", "Pod")

    def _heard(self, change: Change) -> None:
        if change.kind.kind == "ReplicaSet":
            self._agenda.add(change.key)
        else:
            owner = owner_of(change.after)
            if owner is None:
                return
            mine = self._pods.setdefault(owner[2], {})
            if change.type == "DELETED" or change.after["metadata"].get("deletionTimestamp"):
                mine.pop(change.after["metadata"]["name"], None)
            else:
                mine[change.after["metadata"]["name"]] = None
            self._agenda.add((change.key[0], owner[1]))

    def _reconcile(self, key: tuple[str, str]) -> None:
        found = self._store.get("ReplicaSet", *key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        namespace, _ = key
        names = list(self._pods.get(found["metadata"]["uid"], ()))
        pods = [p for p in (self._store.get("Pod", namespace, n) for n in names) if p is not None]
        wanted = int(found["spec"].get("replicas", 1))
        for _ in range(wanted - len(pods)):
            self._create(found)
        if len(pods) > wanted:
            pods.sort(key=lambda p: (is_ready(p), p["metadata"]["name"]))
            for pod in pods[: len(pods) - wanted]:
                self._end(pod)
        self._report(found, namespace)

    def _create(self, owner: Object) -> None:
        template, meta = owner["spec"]["template"], owner["metadata"]
        name = f"{meta['name']}-{self._cluster.letters(5)}"
        pod: Object = {
            "metadata": {
                "name": name,
                "namespace": meta["namespace"],
                "labels": dict((template.get("metadata") or {}).get("labels") or {}),
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "ReplicaSet",
                        "name": meta["name"],
                        "uid": meta["uid"],
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "spec": copied(template.get("spec") or {}),
            "status": {"phase": "Pending"},
        }
        made = self._store.add("Pod", pod, actor=ACTOR)
        delay = self._start * self._cluster.chance.uniform(0.8, 1.2)
        self._cluster.loop.call_later(delay, self._started, meta["namespace"], name, made["metadata"]["uid"])

    def _started(self, namespace: str, name: str, uid: str) -> None:
        pod = self._store.get("Pod", namespace, name)
        if pod is None or pod["metadata"]["uid"] != uid or pod["metadata"].get("deletionTimestamp"):
            return
        names = [v["configMap"]["name"] for v in pod["spec"].get("volumes") or ()]
        if any(self._store.get("ConfigMap", namespace, n) is None for n in names):
            self._cluster.loop.call_later(2.0, self._started, namespace, name, uid)
            return
        broken = "broken" in str(pod["spec"]["containers"][0].get("image"))
        now = self._cluster.loop.time()

        def report(fresh: Object) -> None:
            ready = {"type": "Ready", "status": "False" if broken else "True"}
            state: Any = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
            container = {"name": "app", "ready": not broken, "state": state if broken else {"running": {}}}
            phase = "Pending" if broken else "Running"
            fresh["status"] = {"phase": phase, "conditions": [ready], "containerStatuses": [container]}

        if not broken:
            self.ready_at[uid] = now
        self._store.change("Pod", namespace, name, report, actor=KUBELET)

    def _end(self, pod: Object) -> None:
        meta = pod["metadata"]
        self._store.change("Pod", meta["namespace"], meta["name"], self._going, actor=ACTOR)
        self._cluster.loop.call_later(
            self._cluster.chance.uniform(0.1, 1.5), self._gone, meta["namespace"], meta["name"], meta["uid"]
        )

    def _going(self, pod: Object) -> None:
        pod["metadata"]["deletionTimestamp"] = seconds_of(self._cluster.loop.wall())

    def _gone(self, namespace: str, name: str, uid: str) -> None:
        pod = self._store.get("Pod", namespace, name)
        if pod is not None and pod["metadata"]["uid"] == uid:
            self._store.remove("Pod", pod, actor=KUBELET)

    def _report(self, owner: Object, namespace: str) -> None:
        names = list(self._pods.get(owner["metadata"]["uid"], ()))
        pods = [p for p in (self._store.get("Pod", namespace, n) for n in names) if p is not None]
        ready = [p for p in pods if is_ready(p)]
        least, now = int(owner["spec"].get("minReadySeconds") or 0), self._cluster.loop.time()
        ages = [now - self.ready_at.get(p["metadata"]["uid"], now) for p in ready]
        status: Object = {"replicas": len(pods), "observedGeneration": owner["metadata"]["generation"]}
        if ready:
            status["readyReplicas"] = len(ready)
        if any(age >= least for age in ages):
            status["availableReplicas"] = sum(age >= least for age in ages)
        if any(age < least for age in ages):
            self._agenda.add((namespace, owner["metadata"]["name"]), least)

        def report(fresh: Object) -> None:
            fresh["status"] = status

        self._store.change("ReplicaSet", namespace, owner["metadata"]["name"], report, actor=ACTOR)


def is_ready(pod: Object) -> bool:
    """The pod can serve."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")
