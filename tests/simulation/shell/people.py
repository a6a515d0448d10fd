"""What people and the machinery around do in a history: deploy, release, act, delete, and disturb."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import orjson

from headgate.act.resources import path
from headgate.act.transport import Request, Response
from headgate.api.common import LABEL_REVISION, LABEL_ROLLOUT, LABEL_VARIANT
from headgate.traffic.protocol import Resource
from tests.simulation.shell import process, scenario
from tests.simulation.shell.kinds import BY_NAME
from tests.simulation.shell.scenario import CANARY, CONFIG, GATE, NAME, NAMESPACE, TRIALS, Event
from tests.simulation.shell.traffic import claimed, without_cookies

if TYPE_CHECKING:
    from tests.simulation.shell.history import History

DISTURBED = 60.0
"""Seconds for which a disturbance excuses what is not as it must be."""


class People:
    """Everybody but the operators and the controllers; no fault meets them."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._store = history.cluster.store
        self._acts = 0

    def deploy(self) -> None:
        """Create everything."""
        for space in (NAMESPACE, process.LEASE[0]):
            self.request("POST", "Namespace", "", body={"metadata": {"name": space}})
        for kind, obj in scenario.surroundings(self._history.scenario):
            self.request("POST", kind, body=obj)
        self.request("POST", "Rollout", body=scenario.rollout(self._history.scenario))

    def carry_out(self, event: Event) -> None:
        """Do what an event says."""
        if event.what in scenario.DISTURBING:
            history = self._history
            # While things go wrong nobody can say when the operator hears of it.
            until = max(history.loop.time(), history.begin + history.scenario.calm_at) + DISTURBED
            history.oracle.disturbed_until = until
            history.oracle.disturbed_at = history.loop.time()
        match event.what:
            case "release":
                kind = "Deployment" if self._history.scenario.workload else "Rollout"
                self.patch(kind, {"spec": {"template": self.template(event.arg)}})
            case "act":
                self.act(event.arg)
            case "replicas":
                self.patch("Rollout", {"spec": {"replicas": int(event.arg)}})
            case "spec.paused" | "spec.resumed":
                self.patch("Rollout", {"spec": {"paused": event.what == "spec.paused"}})
            case "steps":
                self._edit_steps(int(event.arg))
            case "delete":
                self._delete(event.arg)
            case "create again":
                self.request("POST", "Rollout", body=scenario.rollout(self._history.scenario))
            case "second replica" | "stop and start" | "compaction":
                self._machinery(event)
            case "config edited" | "config gone" | "config back":
                self._configure(event)
            case "variant deleted" | "variant selector":
                self._meddle(event)
            case _:
                self._disturb(event)

    def template(self, version: str) -> dict[str, Any]:
        """The pod template of a version."""
        return scenario.template(version, config=self._history.scenario.config)

    def _edit_steps(self, number: int) -> None:
        strategy: dict[str, Any] = {"canary": {"steps": [{"setWeight": number}]}}
        if self._history.scenario.blue_green is not None:
            strategy = {"blueGreen": {"previewReplicaCount": number, "postPromotionGates": []}}
        self.patch("Rollout", {"spec": {"strategy": strategy}})

    def _machinery(self, event: Event) -> None:
        if event.what in self._history.faults.without:
            return
        match event.what:
            case "second replica":
                self._history.wanted.add(2)
                self._history.start(2)
            case "stop and start":
                for one in list(self._history.processes.values()):
                    one.stop()
            case "compaction":
                self._store.compact()

    def _delete(self, way: str) -> None:
        if way == "namespace":
            self.request("DELETE", "Namespace", "", NAMESPACE)
        else:
            self.request("DELETE", "Rollout", name=NAME, body={"propagationPolicy": way.capitalize()})

    def act(self, verb: str) -> None:
        """Somebody acts on what is shown now."""
        current = self._history.status().get("current") or {}
        self._acts += 1
        spec = {
            "rollout": NAME,
            "verb": verb,
            "revision": current.get("podHash", "none"),
            "attempt": current.get("attempt", 1),
            "author": "ann",
            "reason": "because",
        }
        if verb == "retry":
            record = next(iter(reversed(self._history.status().get("rejected") or [])), None)
            if record:
                spec |= {"revision": record["podHash"], "attempt": record["attempt"]}
        self.request("POST", "RolloutAction", body={"metadata": {"name": f"{verb}-{self._acts}"}, "spec": spec})

    def patch(self, kind: str, patch: dict[str, Any]) -> None:
        """Somebody changes the object of this kind."""
        self.request("PATCH", kind, name=NAME, body=patch)

    def request(
        self, method: str, kind: str, namespace: str = NAMESPACE, name: str = "", body: dict[str, Any] | None = None
    ) -> Response:
        """Send a request as a person; faults are for operators only."""
        of = BY_NAME[kind]
        where = path(Resource(of.group, of.version, of.plural, of.kind), namespace or None, name or None)
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        if method == "POST" and body is not None:
            body = {"apiVersion": of.api_version, "kind": of.kind, **body}
        data = orjson.dumps(body) if body is not None else None
        return self._history.cluster.server.send(Request(method, where, data, content_type=content), "people")

    def _configure(self, event: Event) -> None:
        if event.what == "config gone":
            self.request("DELETE", "ConfigMap", name=CONFIG)
            return
        self.restore()
        if event.what == "config edited":
            self.request("PATCH", "ConfigMap", name=CONFIG, body={"data": {"value": event.arg}})

    def _disturb(self, event: Event) -> None:
        match event.what:
            case "foreign weight" | "foreign rules":
                self._route(event)
            case "foreign selector":
                self.patch("Service", {"spec": {"selector": {LABEL_REVISION: None}}})
            case "pod dies":
                self._end("Pod", self._mine("Pod", "stable"))
            case "set deleted":
                self._end_set(event.arg or "current")
            case "record deleted":
                self._end("ControllerRevision", self._mine("ControllerRevision", "current"))
            case "gate gone":
                self.request("DELETE", "QualityGate", name=GATE)
            case "gate back" | "route back":
                self.restore()
            case "route gone":
                self.request("DELETE", "HTTPRoute", name=NAME)
            case "actions cleared":
                for action in self._store.all("RolloutAction", NAMESPACE):
                    if action.get("status"):
                        self.request("DELETE", "RolloutAction", name=action["metadata"]["name"])

    def _meddle(self, event: Event) -> None:
        """Somebody takes a variant away, or leads its Service elsewhere."""
        if event.what == "variant selector":
            for name in TRIALS:
                self.request("PATCH", "Service", name=name, body={"spec": {"selector": {LABEL_REVISION: None}}})
            return
        sets = self._store.all("ReplicaSet", NAMESPACE)
        self._end("ReplicaSet", [o for o in sets if LABEL_VARIANT in (o["metadata"].get("labels") or {})])

    def _end_set(self, which: str) -> None:
        # Without its record nobody could ever make it again.
        if self._mine("ControllerRevision", which):
            self._end("ReplicaSet", self._mine("ReplicaSet", which))

    def restore(self) -> None:
        """Put back what is missing of the surroundings."""
        for kind, obj in scenario.surroundings(self._history.scenario):
            self.request("POST", kind, body=obj)

    def _route(self, event: Event) -> None:
        """Somebody writes other weights, or applies the file anew, in which the rules are his own alone."""
        route = copy.deepcopy(self._store.get("HTTPRoute", NAMESPACE, NAME))
        if route is None:
            return
        if event.what == "foreign rules":
            rule = claimed(route)
            route["spec"]["rules"] = [{**rule, "backendRefs": [without_cookies(b) for b in rule["backendRefs"]]}]
        backends = claimed(route)["backendRefs"]
        apart = [b for b in backends if b["name"] in TRIALS]
        for backend in apart:  # His file has the two Services only.
            backends.remove(backend)
            next(b for b in backends if b["name"] == NAME)["weight"] += backend["weight"]
        for backend in backends if event.arg else ():
            backend["weight"] = int(event.arg) if backend["name"] == CANARY else 100 - int(event.arg)
        self.patch("HTTPRoute", {"spec": route["spec"]})

    def _mine(self, kind: str, which: str) -> list[dict[str, Any]]:
        wanted = (self._history.status().get(which) or {}).get("podHash")
        labels = {LABEL_ROLLOUT: NAME, LABEL_REVISION: wanted}
        return [
            o for o in self._store.all(kind, NAMESPACE) if labels.items() <= (o["metadata"].get("labels") or {}).items()
        ]

    def _end(self, kind: str, found: list[dict[str, Any]]) -> None:
        if found:
            self.request("DELETE", kind, name=found[0]["metadata"]["name"])
