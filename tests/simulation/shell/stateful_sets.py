"""The StatefulSet controller by the rules of the real one (1.34, OrderedReady), and the one of PodDisruptionBudgets."""

from __future__ import annotations

from tests.simulation.shell.cluster import Agenda, Cluster
from tests.simulation.shell.owned_pods import HASH, OwnedPods, digest
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.store import Change, Key, Object


class StatefulSets(OwnedPods):
    """Pods by ordinal; an update goes from the highest one down to the partition, each ready before the next."""

    kind = "StatefulSet"
    actor = "statefulset-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._templates: dict[str, Object] = {}
        """By revision; what the controller keeps in ControllerRevisions."""
        super().__init__(cluster)

    def revision(self, found: Object) -> str:
        """What the present template is called."""
        name = f"{found['metadata']['name']}-{digest(found)}"
        self._templates.setdefault(name, found["spec"]["template"])
        return name

    def _pods(self, found: Object) -> dict[int, Object]:
        return {int(p["metadata"]["name"].rpartition("-")[2]): p for p in self.mine(found)}

    def reconcile(self, key: Key) -> None:
        """Create and end pods, one at a time."""
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
            self.end(old)

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
            self.end(pods[max(condemned)])
            return False
        return True

    def _next(self, found: Object, pods: dict[int, Object], new: str) -> Object | None:
        """The next pod that the update replaces."""
        ordinals = range(int(found["spec"].get("replicas", 1)) - 1, _partition(found) - 1, -1)
        return next((pods[o] for o in ordinals if pods[o]["metadata"]["labels"][HASH] != new), None)

    def _create(self, owner: Object, ordinal: int, revision: str) -> None:
        self.create(owner, f"{owner['metadata']['name']}-{ordinal}", revision, self._templates[revision])

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

        self.report(found, status)


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
