"""One history of a DaemonSet that is released in place by the real shell: its template is held, and nodes join."""

from __future__ import annotations

from typing import Any

from headgate.api.common import ANNOTATION_HELD, ANNOTATION_TEMPLATE_GENERATION
from headgate.decide import strategies
from headgate.decide.journal import running
from headgate.decide.rolling import allowance
from headgate.observe.reading import Models
from tests.simulation.shell.cluster import Change
from tests.simulation.shell.daemon_sets import DaemonSets
from tests.simulation.shell.in_place import InPlace
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.scenario import NAME, NAMESPACE, template

Object = dict[str, Any]


def version_of(obj: Object) -> str:
    """What a pod or a template runs."""
    return str(obj["spec"]["containers"][0]["image"]).rpartition(":")[2]


class OnNodes(InPlace):
    """The same for a DaemonSet."""

    kind = "DaemonSet"

    def work_on(self) -> None:
        """Start the controller, with some nodes."""
        self.nodes = [f"node-{n}" for n in range(self.pods)]
        self.controller = DaemonSets(self.cluster, self.nodes)

    def objects(self) -> list[tuple[str, Object]]:
        """The template stands in both: what runs is what is wanted."""
        spec = {
            "selector": {"matchLabels": {"app": NAME}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": template("v1"),
        }
        return [("DaemonSet", spec), ("Rollout", self.rollout() | {"template": template("v1")})]

    def release(self, version: str) -> None:
        """Change the template of the Rollout."""
        self.tell(f"> release {version}")
        self.request("PATCH", "Rollout", name=NAME, body={"spec": {"template": template(version)}})

    def join(self) -> None:
        """Let a node join."""
        self.nodes.append(f"node-{len(self.nodes)}")
        self.pods = len(self.nodes)
        self.controller.look()

    def daemon_set(self) -> Object:
        """The DaemonSet."""
        return self.store.get("DaemonSet", NAMESPACE, NAME) or {}

    def present(self) -> str:
        """The version that pods which are made now are of."""
        return version_of(self.daemon_set()["spec"]["template"])

    def closed(self) -> bool:
        """Its template is held, and is that of most pods."""
        return held(self.daemon_set()) and set(self.images()) == {self.present()}

    def images(self) -> list[str]:
        """The versions of its pods, by node."""
        pods = self.store.all("Pod", NAMESPACE)
        return [version_of(p) for p in sorted(pods, key=lambda p: str(p["spec"]["nodeName"]))]

    def written(self, change: Change) -> None:
        """What must hold when the DaemonSet is written."""
        before, after = change.before or {}, change.after
        free = {"template": 0, "updateStrategy": 0}
        if {**before["spec"], **free} != {**after["spec"], **free}:
            self.fail("16: more of the DaemonSet was changed than its template and its updateStrategy")
        old, new = version_of(before["spec"]["template"]), version_of(after["spec"]["template"])
        self.moves.append(new)
        self.tell(f"template {new}")
        status = self.status()
        if new == old or running(status) is None or new == self._stable():
            return
        pods = self.store.all("Pod", NAMESPACE)
        if sum(map(is_ready, pods)) < self.pods:
            self.fail(f"3: template {new} while {sum(map(is_ready, pods))} of {self.pods} pods are ready")
        if status.paused is not None:
            self.fail(f"13: template {new} while it is paused")
        self._allowed(f"template {new}", new)

    def evicted(self, change: Change) -> None:
        """What must hold when a pod is evicted."""
        pod, pods, present = change.before or {}, self.store.all("Pod", NAMESPACE), self.present()
        self.moves.append(str(pod["spec"]["nodeName"]))
        if version_of(pod) == present:
            self.fail(f"16: {pod['spec']['nodeName']} is evicted to become what it is")
        others = sum(is_ready(p) for p in pods if p["metadata"]["uid"] != pod["metadata"]["uid"])
        if is_ready(pod) and others < self.pods - 1:
            self.fail(f"3: {pod['spec']['nodeName']} serves and is evicted before the others are back")
        if present != self._stable():
            self._allowed(f"{pod['spec']['nodeName']} is evicted", present)

    def _allowed(self, what: str, new: str) -> None:
        """One more pod may become new."""
        status = self.status()
        spec, _ = Models().spec(self.store.get("Rollout", NAMESPACE, NAME) or {})
        steps = strategies.of(spec).steps if spec is not None else ()
        allowed = allowance(steps, status.current_step_index, self.pods).replicas
        if running(status) is None:
            self.fail(f"6: {what} while nothing is released")
        elif status.current_step_index < len(steps) and self.images().count(new) + 1 > allowed:
            self.fail(f"2: {what} at step {status.current_step_index + 1}, which allows {allowed} pods")

    def _stable(self) -> str:
        """The version that is stable."""
        stable = self.status().stable
        for record in self.store.all("ControllerRevision", NAMESPACE):
            if stable is not None and record["data"]["revision"] == stable.revision:
                return version_of(record["data"]["template"])
        return ""


def held(found: Object) -> bool:
    """Nobody else has written the template since the operator did, and no pod gets it by itself."""
    annotations = found["metadata"].get("annotations") or {}
    counted = annotations.get(ANNOTATION_HELD) == annotations[ANNOTATION_TEMPLATE_GENERATION]
    return bool(counted and found["spec"]["updateStrategy"]["type"] == "OnDelete")
