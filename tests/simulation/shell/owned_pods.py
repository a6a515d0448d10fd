"""What controllers of pods that are replaced in place have in common: pods come, are ready some time later, and go."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import orjson

from tests.simulation.shell.cluster import Agenda, Cluster, owner_of
from tests.simulation.shell.store import Change, Key, Object, copied, seconds_of

KUBELET = "kubelet"
HASH = "controller-revision-hash"


def digest(found: Object) -> str:
    """A short name of the present template."""
    template = orjson.dumps(found["spec"]["template"], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(template).hexdigest()[:10]


class OwnedPods:
    """A controller that looks at its workloads when they or their pods change."""

    kind: ClassVar[str]
    actor: ClassVar[str]

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._agenda = Agenda(cluster, self.reconcile, shortest=0.01, longest=0.4)
        self._start = cluster.chance.uniform(0.3, 3.0)
        cluster.store.listen(self._heard, self.kind, "Pod")

    def reconcile(self, key: Key) -> None:
        """Do what is to be done for one workload."""
        raise NotImplementedError

    def _heard(self, change: Change) -> None:
        if change.kind.kind == self.kind:
            self._agenda.add(change.key)
            return
        owner = owner_of(change.after)
        if owner is None or owner[0] != self.kind:
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

    def mine(self, found: Object) -> list[Object]:
        """The pods of a workload."""
        meta = found["metadata"]
        return [p for p in self._store.all("Pod", meta["namespace"]) if (owner_of(p) or ("", "", ""))[2] == meta["uid"]]

    def create(self, owner: Object, name: str, revision: str, template: Object, **spec: Any) -> None:
        """Make a pod of a template; it is ready after a while, unless it is broken."""
        meta, template = owner["metadata"], copied(template)
        reference = {"apiVersion": "apps/v1", "kind": self.kind, "name": meta["name"], "uid": meta["uid"]}
        pod: Object = {
            "metadata": {
                "name": name,
                "namespace": meta["namespace"],
                "labels": {**(template.get("metadata") or {}).get("labels", {}), HASH: revision},
                "ownerReferences": [reference | {"controller": True, "blockOwnerDeletion": True}],
            },
            "spec": {**(template.get("spec") or {}), **spec},
            "status": {"phase": "Pending"},
        }
        made = self._store.add("Pod", pod, actor=self.actor)
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

    def end(self, pod: Object) -> None:
        """Delete a pod, which is gone some time later."""
        if pod["metadata"].get("deletionTimestamp"):
            return

        def going(fresh: Object) -> None:
            fresh["metadata"]["deletionTimestamp"] = seconds_of(self._cluster.loop.wall())

        self._store.change("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], going, actor=self.actor)

    def report(self, found: Object, status: Object) -> None:
        """Say how it stands with a workload."""

        def write(fresh: Object) -> None:
            fresh["status"] = status

        self._store.change(
            self.kind, found["metadata"]["namespace"], found["metadata"]["name"], write, actor=self.actor
        )
