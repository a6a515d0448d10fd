"""The DaemonSet controller by the rules of the real one (1.34): a pod on each node, of the template as it is then."""

from __future__ import annotations

from tests.simulation.shell.cluster import Cluster
from tests.simulation.shell.owned_pods import HASH, OwnedPods, digest
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.store import Key, Object


class DaemonSets(OwnedPods):
    """Pods by node; with `OnDelete` none of them is ended, whatever the template is."""

    kind = "DaemonSet"
    actor = "daemonset-controller"

    def __init__(self, cluster: Cluster, nodes: list[str]) -> None:
        self._nodes = nodes
        super().__init__(cluster)

    def look(self) -> None:
        """Nodes have come or gone."""
        for found in self._store.all("DaemonSet"):
            self._agenda.add((found["metadata"]["namespace"], found["metadata"]["name"]))

    def _pods(self, found: Object) -> dict[str, Object]:
        return {str(p["spec"]["nodeName"]): p for p in self.mine(found)}

    def reconcile(self, key: Key) -> None:
        """Create what is missing, and end one that is old where the update is its own."""
        found = self._store.get("DaemonSet", *key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        new = digest(found)
        pods = self._pods(found)
        for node in [n for n in self._nodes if n not in pods]:
            self._create(found, node, new)
        for node, pod in pods.items():
            if node not in self._nodes:
                self.end(pod)
        pods = self._pods(found)
        self._report(found, [pods[n] for n in self._nodes], new)
        if (found["spec"].get("updateStrategy") or {}).get("type") != "OnDelete" and all(map(is_ready, pods.values())):
            old = next((pods[n] for n in self._nodes if pods[n]["metadata"]["labels"][HASH] != new), None)
            if old is not None:
                self.end(old)

    def _create(self, owner: Object, node: str, revision: str) -> None:
        name = f"{owner['metadata']['name']}-{self._cluster.letters(5)}"
        self.create(owner, name, revision, owner["spec"]["template"], nodeName=node)

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

        self.report(found, status)
