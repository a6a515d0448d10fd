"""Where the objects are tried: applications in namespaces of a real API server, looked at a namespace at a time."""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack.lib.hgprove.generated import bases
from hack.lib.hgprove.generated.schema import Json
from headgate.api.common import API_VERSION, FINALIZER, LABEL_REVISION, LABEL_ROLLOUT
from tests.api.kube import MERGE, Kube, Refused
from tests.api.prometheus import Prometheus
from tests.api.shop import Shop, gates, replica_sets, rollouts, routes, services

CONFLICT = 409
REFUSED = 400
STRICT = "?dryRun=All&fieldValidation=Strict"
LAX = "?dryRun=All"
BUSY = (429, 500, 503, 504)
"""Says nothing about the object, unless it says so again and again."""
BUSY_TRIES = 20
QUOTA_PODS = 12
"""Where a case wants ten thousand pods, this is what it gets."""
_numbers = itertools.count(1)


@dataclass(slots=True)
class Plot:
    """One application, and the version that it rests on."""

    shop: Shop
    version: int = 1
    latest: int = 1
    """Versions are never used twice, so that none is remembered as taken back."""

    @property
    def name(self) -> str:
        """The Rollout's name."""
        return self.shop.name

    @property
    def where(self) -> str:
        """Namespace and name, as the operator's log has them."""
        return f"{self.shop.namespace}/{self.shop.name}"

    def next_version(self) -> int:
        """A version that was never there."""
        self.latest += 1
        return self.latest


@dataclass(slots=True)
class Sight:
    """What one look at the namespaces found, by namespace and name."""

    objects: dict[str, dict[str, Json]] = field(default_factory=dict)

    def rollout(self, plot: Plot) -> Json:
        """The Rollout."""
        return self.objects["Rollout"].get(plot.where, {})

    def status(self, plot: Plot) -> Json:
        """Its status."""
        found: Json = self.rollout(plot).get("status") or {}
        return found

    def condition(self, plot: Plot, kind: str) -> Json:
        """One of its conditions; empty if it is not there."""
        return next((c for c in self.status(plot).get("conditions") or () if c.get("type") == kind), {})

    def weights(self, plot: Plot) -> dict[str, int]:
        """The weights in the route, by Service."""
        rules = self.objects["HTTPRoute"].get(plot.where, {}).get("spec", {}).get("rules") or [{}]
        return {b["name"]: int(b.get("weight", 1)) for b in rules[0].get("backendRefs") or ()}

    def selector(self, plot: Plot, service: str) -> str:
        """The revision that a Service selects."""
        found = self.objects["Service"].get(f"{plot.shop.namespace}/{service}", {})
        return str(found.get("spec", {}).get("selector", {}).get(LABEL_REVISION, ""))

    def sets(self, plot: Plot) -> dict[str, Json]:
        """The ReplicaSets, by pod hash."""
        mine = (
            (o["metadata"]["labels"].get(LABEL_REVISION, ""), o)
            for o in self.objects["ReplicaSet"].values()
            if o["metadata"]["namespace"] == plot.shop.namespace
            and (o["metadata"].get("labels") or {}).get(LABEL_ROLLOUT) == plot.name
        )
        return dict(mine)

    def data_plane(self, plot: Plot) -> Json:
        """All that decides where a request goes, and how many pods are to answer."""
        return {
            "weights": self.weights(plot),
            "selectors": {s: self.selector(plot, s) for s in (plot.name, plot.shop.canary_name)},
            "pods": {h: o["spec"]["replicas"] for h, o in self.sets(plot).items()},
        }

    def end(self, plot: Plot) -> Json:
        """The state in which a Rollout comes to rest, less what tells how it came there."""
        status, plane = self.status(plot), self.data_plane(plot)
        plane["pods"] = {h: n for h, n in plane["pods"].items() if n}
        return {
            **plane,
            "phase": status.get("phase"),
            "stable": (status.get("stable") or {}).get("podHash"),
            "current": (status.get("current") or {}).get("podHash"),
            "desired": (status.get("weights") or {}).get("desired"),
            "paused": status.get("paused"),
            "conditions": {c["type"]: (c["status"], c["reason"]) for c in status.get("conditions") or ()},
        }

    def unserved(self, plot: Plot) -> str:
        """Where traffic goes that nobody answers; empty if there is no such place."""
        if not self.rollout(plot).get("spec", {}).get("replicas"):
            return ""
        ready = {h: int((o.get("status") or {}).get("readyReplicas") or 0) for h, o in self.sets(plot).items()}
        for service, weight in self.weights(plot).items():
            chosen = self.selector(plot, service)
            if weight and chosen and not ready.get(chosen):
                return f"{weight} of 100 requests go to {service}, which selects {chosen}: no pod of it is ready"
        return ""


class World:
    """The namespaces of one run."""

    def __init__(self, kube: Kube, prometheus: Prometheus, log: Path) -> None:
        self.kube = kube
        self.prometheus = prometheus
        self._log = log
        self._read = log.stat().st_size
        self._run = secrets.token_hex(2)
        self.spaces: list[str] = []

    # ------------------------------------------------------------------------------------------------ making

    def space(self, *, quota: bool = False) -> str:
        """A new namespace; with a quota where many pods may be wanted."""
        name = f"generated-{self._run}-{next(_numbers)}"
        self.kube.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        if quota:
            body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
            path = f"/api/v1/namespaces/{name}/resourcequotas"
            self.kube.create(path, body | {"spec": {"hard": {"pods": str(QUOTA_PODS)}}})
        self.prometheus.values[name] = 1.0
        self.spaces.append(name)
        return name

    def plot(self, space: str) -> Plot:
        """A new application, deployed with a good Rollout, without waiting."""
        shop = Shop(self.kube, space, f"app-{next(_numbers)}")
        shop.deploy_surroundings()
        self.kube.create(gates(space), bases.gate(shop.name))
        self.kube.create(rollouts(space), bases.good(shop.name, 1))
        return Plot(shop)

    def clear(self) -> None:
        """Delete what was made, at once: whoever comes next finds no operator's work of this run left."""
        for name in self.spaces:
            for obj in self.kube.must_get(rollouts(name))["items"]:
                self.remove(rollouts(name, obj["metadata"]["name"]))
            self.kube.delete(f"/api/v1/namespaces/{name}")

    # ------------------------------------------------------------------------------------------------ looking

    def look(self, plots: Iterable[Plot]) -> Sight:
        """Look at all that belongs to these."""
        sight = Sight()
        kinds: Mapping[str, Callable[[str], str]] = {
            "Rollout": rollouts,
            "HTTPRoute": routes,
            "Service": services,
            "ReplicaSet": replica_sets,
        }
        for space in {p.shop.namespace for p in plots}:
            for kind, path in kinds.items():
                found = sight.objects.setdefault(kind, {})
                for obj in self.kube.must_get(path(space))["items"]:
                    found[f"{space}/{obj['metadata']['name']}"] = obj
        return sight

    def complaints(self) -> list[tuple[str, str]]:
        """Errors and tracebacks in the operator's log since the last time: the Rollout, if it is said, and what."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        whole = text.rfind(b"\n") + 1
        self._read += whole
        found = []
        for raw in text[:whole].decode(errors="replace").splitlines():
            line = _parsed(raw)
            if line is None:
                found.append(("", f"no line of JSON: {raw[:300]}"))
            elif line.get("level") in ("error", "critical") or "exception" in line:
                found.append((str(line.get("rollout") or ""), _told(line)))
        return found

    # ------------------------------------------------------------------------------------------------ writing

    def offer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """Send an object; a server that is busy is asked again."""
        for _ in range(BUSY_TRIES):
            code, found = self.kube.request(method, path, body)
            if code not in BUSY:
                return code, found
            time.sleep(1)
        return self.kube.request(method, path, body)

    def remove(self, path: str) -> None:
        """Delete an object for good, whatever finalizers were forged onto it."""
        live = self.kube.get(path)
        if live is None:
            return
        self.kube.delete(path)
        if live["metadata"].get("finalizers"):
            self.kube.request("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)  # It may be gone already.

    def put(self, path: str, body: Json, suffix: str = "") -> tuple[int, Json]:
        """Replace an object as its author would: what the operator added to its metadata stays."""
        while True:
            live = self.kube.must_get(path)
            sent = dict(body)
            meta = body.get("metadata")
            if isinstance(meta, dict):
                kept = {k: live["metadata"][k] for k in ("resourceVersion", "finalizers") if k in live["metadata"]}
                sent["metadata"] = kept | meta
                if "finalizers" in meta and isinstance(meta["finalizers"], list):
                    sent["metadata"]["finalizers"] = sorted({*kept.get("finalizers", ()), *meta["finalizers"]})
            code, found = self.offer("PUT", path + suffix, sent)
            if code != CONFLICT:
                return code, found

    def restore(self, path: str, body: Json) -> None:
        """Put a good object there, less everything that was forged into its metadata."""
        while True:
            live = self.kube.must_get(path)["metadata"]
            own = [f for f in live.get("finalizers") or () if f == FINALIZER]
            meta = {**body["metadata"], "resourceVersion": live["resourceVersion"], "finalizers": own}
            code, found = self.kube.request("PUT", path, {**body, "metadata": meta})
            if code == CONFLICT:
                continue
            if code >= REFUSED:
                raise Refused(f"a good object is refused: {found.get('message')}")
            return


def _parsed(raw: str) -> Json | None:
    try:
        found = json.loads(raw)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _told(line: Mapping[str, Any]) -> str:
    """A line of the log for people: what was said, and where the fault was raised."""
    trace = line.get("exception")
    where = ""
    if isinstance(trace, list) and trace:
        frames = trace[-1].get("frames") or [{}]
        last = frames[-1]
        where = (
            f" ({trace[-1].get('exc_type')}: {trace[-1].get('exc_value')}"
            f" at {last.get('filename')}:{last.get('lineno')})"
        )
    return f"{line.get('message')}{where}"


__all__ = ["API_VERSION", "LAX", "REFUSED", "STRICT", "Plot", "Sight", "World"]
