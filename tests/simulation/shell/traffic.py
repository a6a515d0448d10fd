"""The data plane: a gateway that follows the routes after a while, a count of who gets the requests, a Prometheus."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from headgate.api.common import LABEL_REVISION
from headgate.api.rollout import SESSION, STABLE_SESSION
from headgate.decide.types import Answer, Question
from tests.simulation.shell.cluster import Cluster
from tests.simulation.shell.controllers import service_of
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.scenario import TRIALS, roles
from tests.simulation.shell.store import Change, Key, Object

GATEWAY = "gateway"
SETTLE = 2.0
"""What the operator is configured to give a gateway that reported a route as accepted."""
OWN = "headgate."
"""How the operator calls its own rules; the canary Service follows, and what the steps call the rule."""
SPECIAL = 0.05
"""The part of the requests that a route by header takes, or a mirror copies."""
STAYING = 0.4
"""The part of them that come from users who stay with the canary; those of who stays on stable count by weight."""
NOWHERE = "!"
"""In the place of a revision: requests that no pod answered."""


@dataclass(frozen=True, slots=True)
class Span:
    """The shares of the requests by revision, from a moment on."""

    since: float
    shares: dict[str, float]
    weighed: dict[str, float]
    """Of those that no route by header leads, and without copies."""


class Gateway:
    """Reports a route as accepted, and serves it a little earlier or later than it says."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._delay = cluster.chance.uniform(0.05, 1.5)
        self.served: dict[Key, list[tuple[str, int]]] = {}
        """By route: Service and weight, as it is served."""
        self.led: dict[Key, dict[str, bool]] = {}
        """By route: the operator's own rules in it that are served, and whether they copy only."""
        self.on_served: list[Callable[[], None]] = []
        cluster.store.listen(self._heard, "HTTPRoute")

    def _heard(self, change: Change) -> None:
        if change.type == "DELETED":
            self.served.pop(change.key, None)
            self.led.pop(change.key, None)
            return
        generation = change.after["metadata"]["generation"]
        if change.before is not None and change.before["metadata"]["generation"] == generation:
            return
        chance = self._cluster.chance
        accepted = self._delay * chance.uniform(0.5, 1.5)
        served = max(0.01, accepted + chance.uniform(-1.0, SETTLE - 0.5))
        self._cluster.loop.call_later(accepted, self._accept, change.key, generation)
        self._cluster.loop.call_later(served, self._serve, change.key, change.after)

    def _accept(self, key: Key, generation: int) -> None:
        def report(fresh: Object) -> None:
            parents = []
            for parent in fresh["spec"].get("parentRefs") or ():
                conditions = [
                    {"type": t, "status": "True", "reason": t, "observedGeneration": generation}
                    for t in ("Accepted", "ResolvedRefs")
                ]
                parents.append({"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions})
            fresh["status"] = {"parents": parents}

        found = self._store.get("HTTPRoute", *key)
        if found is not None and found["metadata"]["generation"] == generation:
            self._store.change("HTTPRoute", *key, report, actor=GATEWAY)

    def _serve(self, key: Key, route: Object) -> None:
        found = self._store.get("HTTPRoute", *key)
        if found is None or found["metadata"]["generation"] < route["metadata"]["generation"]:
            return
        if found["metadata"]["generation"] > route["metadata"]["generation"]:
            return  # A newer one is on its way.
        self.served[key] = weights_of(route)
        self.led[key] = routes_of(route)
        for callback in self.on_served:
            callback()


def weights_of(route: Object) -> list[tuple[str, int]]:
    """Service and weight of the claimed rule."""
    return [(b["name"], int(b.get("weight", 1))) for b in claimed(route)["backendRefs"]]


def shares_of(route: Object) -> dict[str, int]:
    """The parts of the requests that variants have, by their Services."""
    return {name: weight for name, weight in weights_of(route) if name in TRIALS}


def claimed(route: Object) -> Object:
    """The rule that is not the operator's own."""
    found: Object = next(rule for rule in route["spec"]["rules"] if not is_own(rule))
    return found


def is_own(rule: Object) -> bool:
    """The operator has put this rule in, and takes it out."""
    return str(rule.get("name") or "").startswith(OWN)


def routes_of(route: Object) -> dict[str, bool]:
    """The operator's own rules by their name in the steps, and whether they only copy."""
    own = [rule for rule in route["spec"]["rules"] if is_own(rule)]
    return {str(rule["name"]).rpartition(".")[2]: len(rule["backendRefs"]) > 1 for rule in own}


def cookies_of(backend: Object) -> list[str]:
    """What the operator has the answers of a backend say in `Set-Cookie`."""
    changes = [found.get("responseHeaderModifier") or {} for found in backend.get("filters") or ()]
    added = [header for change in changes for header in change.get("add") or ()]
    return [str(h["value"]) for h in added if h["name"] == "Set-Cookie" and "=headgate." in str(h["value"])]


def without_cookies(backend: Object) -> Object:
    """A backend without the operator's cookies; it has no filters of others."""
    return {k: v for k, v in backend.items() if k != "filters" or not cookies_of(backend)}


class Traffic:
    """Who gets the requests of one route, or of one Service, at every moment: the counting router."""

    def __init__(self, cluster: Cluster, gateway: Gateway, route: Key, service: str = "") -> None:
        self._cluster = cluster
        self._service = service
        """Where the requests go if no route leads them."""
        self.preview: Traffic | None = None
        """Other requests, which are measured like these."""
        self._gateway = gateway
        self._route = route
        self.spans: list[Span] = []
        self.on_change: list[Callable[[Span], None]] = []
        gateway.on_served.append(self._look)
        cluster.store.listen(lambda _: self._look(), "EndpointSlice")

    def _look(self) -> None:
        weighed = self._shares()
        shares = self._with_routes(weighed)
        if not self.spans or (self.spans[-1].shares, self.spans[-1].weighed) != (shares, weighed):
            self.spans.append(Span(self._cluster.loop.time(), shares, weighed))
            for callback in self.on_change:
                callback(self.spans[-1])

    def _shares(self) -> dict[str, float]:
        backends = [(self._service, 1)] if self._service else self._gateway.served.get(self._route, ())
        whole = sum(weight for _, weight in backends)
        found: dict[str, float] = {}
        for service, weight in backends:
            if not weight:
                continue
            ready = self.endpoints(service)
            if not ready:
                found[NOWHERE] = found.get(NOWHERE, 0.0) + weight / whole
            count = sum(ready.values())
            for pod_hash, pods in ready.items():
                found[pod_hash] = found.get(pod_hash, 0.0) + weight / whole * pods / count
        return found

    def _with_routes(self, weighed: dict[str, float]) -> dict[str, float]:
        """The same with what the operator's own rules lead to the canary; nobody waits for an answer to a copy."""
        routes = {} if self._service else self._gateway.led.get(self._route, {})
        if not routes:
            return weighed
        ready = self.endpoints(self._canary())
        parts = {name: STAYING if name == SESSION else SPECIAL for name in routes if name != STABLE_SESSION}
        part = sum(parts[name] for name in parts if not routes[name])
        found = {pod_hash: share * (1 - part) for pod_hash, share in weighed.items()}
        if part and not ready:
            found[NOWHERE] = found.get(NOWHERE, 0.0) + part
        for pod_hash, pods in ready.items():
            found[pod_hash] = found.get(pod_hash, 0.0) + sum(parts.values()) * pods / sum(ready.values())
        return found

    def _canary(self) -> str:
        return roles(self._cluster.store.get("Rollout", *self._route) or {})[1]

    def endpoints(self, service: str) -> dict[str, int]:
        """Ready endpoints of a Service by revision, as the slices have them."""
        found: dict[str, int] = {}
        for one in self._cluster.store.all("EndpointSlice", self._route[0]):
            if service_of(one) != service:
                continue
            for endpoint in one["endpoints"]:
                if endpoint["conditions"]["ready"]:
                    name = endpoint["targetRef"]["name"]
                    pod = self._cluster.store.get("Pod", self._route[0], name)
                    labels = (pod or {}).get("metadata", {}).get("labels") or {}
                    pod_hash = labels.get(LABEL_REVISION, "")
                    found[pod_hash] = found.get(pod_hash, 0) + 1
        return found

    def share(self, pod_hash: str) -> float:
        """The part of the requests that a revision gets now, 0 to 1."""
        return self.spans[-1].shares.get(pod_hash, 0.0) if self.spans else 0.0

    def by_weight(self, pod_hash: str) -> float:
        """The part that a revision gets now by weight of those requests that no route by header leads."""
        return self.spans[-1].weighed.get(pod_hash, 0.0) if self.spans else 0.0

    def without_since(self, pod_hash: str) -> float:
        """Since when a revision has got no request; infinity if it gets some, minus infinity if it never got one."""
        since = math.inf
        for span in reversed(self.spans):
            if span.shares.get(pod_hash):
                return since
            since = span.since
        return -math.inf

    def lately(self, pod_hash: str, since: float) -> list[float]:
        """The parts that a revision got by weight since a moment, the newest first."""
        found = []
        for span in reversed(self.spans):
            found.append(span.weighed.get(pod_hash, 0.0))
            if span.since <= since:
                break
        return found

    def requests(self, pod_hash: str, since: float) -> float:
        """How many requests a revision got, at 100 in a second."""
        end, count = self._cluster.loop.time(), 0.0
        for span in reversed(self.spans):
            count += span.shares.get(pod_hash, 0.0) * max(0.0, end - max(span.since, since)) * 100
            end = span.since
            if end <= since:
                break
        return count + (self.preview.requests(pod_hash, since) if self.preview else 0.0)


_QUERY = re.compile(r'revision="(?P<revision>[^"]*)".*\[(?P<window>\d+)s\]')
_COMPARED = re.compile(r'compared\{one="([^"]*)",other="([^"]*)"\}')
QUALITY = {"bad": 60.0, "silent": None}
"""Percent of the requests that succeed, by a word in the image; None is measured by nobody. All others are good."""


class Prometheus:
    """Answers what the data plane did to a revision. One for each process, so that one that is dead hears nothing."""

    def __init__(self, cluster: Cluster, traffic: Traffic, chance: random.Random, fails: Callable[[], str]) -> None:
        self._cluster = cluster
        self._traffic = traffic
        self._chance = chance
        self._fails = fails
        self.asked: list[tuple[float, str]] = []

    async def ask(self, question: Question) -> Answer:
        """The success rate of a revision in the window of the query."""
        self.asked.append((self._cluster.loop.time(), question.key))
        await asyncio.sleep(self._chance.uniform(0.005, 0.3))
        error = self._fails()
        if error == "Timeout":
            await asyncio.sleep(question.timeout)
        if error:
            return Answer(question.key, question.number, 0.0, error=error)
        compared = _COMPARED.search(question.query.text)
        if compared is not None:
            return self._worse(question, compared.groups())
        found = _QUERY.search(question.query.text)
        if found is None:
            return Answer(question.key, question.number, 0.0, error="QueryRefused")
        since = self._cluster.loop.time() - int(found["window"])
        count = self._traffic.requests(found["revision"], since)
        quality = self._quality(found["revision"])
        if not count or quality is None:
            return Answer(question.key, question.number, 0.0, no_data="NoData")
        return Answer(question.key, question.number, 0.0, value=quality, sample=count)

    def _worse(self, question: Question, hashes: tuple[str, ...]) -> Answer:
        """How the worse of two variants does; nothing is known of one without a pod."""
        pods = [p for p in self._cluster.store.all("Pod") if is_ready(p)]
        there = {(p["metadata"].get("labels") or {}).get(LABEL_REVISION) for p in pods}
        values = [value for value in map(self._quality, hashes) if value is not None]
        if not there.issuperset(hashes) or len(values) < len(hashes):
            return Answer(question.key, question.number, 0.0, no_data="NoData")
        return Answer(question.key, question.number, 0.0, value=min(values), sample=100.0)

    async def close(self) -> None:
        """Nothing to give back."""

    def _quality(self, pod_hash: str) -> float | None:
        for found in self._cluster.store.all("ReplicaSet"):
            if (found["metadata"].get("labels") or {}).get(LABEL_REVISION) == pod_hash:
                image = str(found["spec"]["template"]["spec"]["containers"][0]["image"])
                return next((value for word, value in QUALITY.items() if word in image), 100.0)
        return None
