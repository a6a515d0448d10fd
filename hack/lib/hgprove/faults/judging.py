"""The invariants over a recorded history: all stored versions of the objects, in the order of the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hack.lib.hgbench.client import Json
from hack.lib.hgprove.faults.history import Story, Version
from hack.lib.hgprove.faults.scenarios import REPLICAS, weight_of
from headgate.api.common import FINALIZER, LABEL_REVISION
from headgate.api.rollout import RolloutStatus
from headgate.decide import invariants
from headgate.decide.invariants import Breach, Monotone, Truth
from headgate.decide.journal import running
from headgate.decide.types import Action, Plan, ScaleReplicaSet, SetFinalizer, SetSelector, SetWeight
from headgate.engine.trim import trim
from headgate.observe.views import plan as plan_view


@dataclass
class Judge:
    """Goes through a story once, and keeps what is true after each version."""

    story: Story
    now: dict[tuple[str, str], Json] = field(default_factory=dict)
    journal: RolloutStatus = field(default_factory=RolloutStatus)
    monotone: Monotone = field(default_factory=Monotone)

    @property
    def canary(self) -> str:
        """The canary Service."""
        return f"{self.story.name}-canary"

    def breaches(self) -> list[str]:
        """Every broken rule, with the version at which it broke."""
        found = []
        for version in sorted(self.story.versions, key=lambda v: v.version):
            at = f"at {version.type} {version.kind} {version.name}"
            found += [f"{breach} {at}" for breach in self._look(version)]
        return found

    def _look(self, version: Version) -> Iterator[Breach]:
        key = (version.kind, version.name)
        before = self.now.get(key)
        if before is not None and version.type != "ADDED":
            for action in self._actions(version, before):
                yield from invariants.before_write(self.truth(), action, self.journal, self._plan(), stands=True)
        if version.kind == "HTTPRoute":
            for rule in version.obj["spec"]["rules"]:
                yield from invariants.weights_add_up(tuple(b["weight"] for b in rule["backendRefs"]))
        if version.kind == "Rollout" and version.type != "DELETED" and version.obj.get("status"):
            journal = RolloutStatus.model_validate(version.obj["status"])
            yield from invariants.journal_step(self.journal, journal, self._plan())
            self.journal = journal
        if version.type == "DELETED":
            self.now.pop(key, None)
        else:
            self.now[key] = version.obj
        yield from self.monotone.look(self.truth(), self.journal)

    def _actions(self, version: Version, before: Json) -> Iterator[Action]:
        """What was written, as the operator would call it."""
        name, stale = version.name, str(before["metadata"]["resourceVersion"])
        if version.kind == "HTTPRoute":
            weight, old = weight_of(version.obj, self.canary), weight_of(before, self.canary)
            if weight != old:
                exposure = "raise" if weight > old else "lower"
                yield SetWeight("gatewayAPI", "HTTPRoute", name, "main", stale, weight, exposure=exposure)  # type: ignore[arg-type]
        elif version.kind == "Service":
            chosen = _selected(version.obj)
            if chosen != _selected(before):
                yield SetSelector(name, stale, chosen)
        elif version.kind == "ReplicaSet":
            replicas = 0 if version.type == "DELETED" else int(version.obj["spec"]["replicas"])
            # With its Rollout it goes by the garbage collector, when the traffic is with the stable Service.
            if replicas != int(before["spec"]["replicas"]) and ("Rollout", self.story.name) in self.now:
                yield ScaleReplicaSet(name, stale, replicas, 0)
        elif version.kind == "Rollout" and _held(before) and (version.type == "DELETED" or not _held(version.obj)):
            yield SetFinalizer(name, stale, present=False)

    def truth(self) -> Truth:
        """What is true after the versions so far."""
        rollout = self.now.get(("Rollout", self.story.name)) or {}
        sets = [obj for (kind, _), obj in self.now.items() if kind == "ReplicaSet"]
        by_hash = {str(obj["metadata"]["labels"].get(LABEL_REVISION)): obj for obj in sets}
        return Truth(
            replicas=REPLICAS,
            weight=weight_of(self.now.get(("HTTPRoute", self.story.name)) or {}, self.canary),
            selects=(self._selects(self.story.name), self._selects(self.canary)),
            wanted={h: int(obj["spec"]["replicas"]) for h, obj in by_hash.items()},
            ready={h: int((obj.get("status") or {}).get("availableReplicas") or 0) for h, obj in by_hash.items()},
            services=(self.story.name, self.canary),
            routed=("HTTPRoute", self.story.name) in self.now,
            paused=bool((rollout.get("spec") or {}).get("paused")),
            deleting=bool((rollout.get("metadata") or {}).get("deletionTimestamp")),
        )

    def at_rest(self) -> list[str]:
        """What is wrong at the end."""
        rollout = self.now.get(("Rollout", self.story.name))
        truth = self.truth()
        if rollout is None:
            ours = any(truth.selects)
            records = len([k for k in self.now if k[0] in ("ControllerRevision", "ReplicaSet")])
            return [str(b) for b in invariants.gone(truth, selectors_ours=ours, records=records, finalizers=())]
        if running(self.journal) is not None:
            return []  # Held, as it must be; what holds then is in the equality with the clean run.
        found = invariants.at_rest(truth, self.journal, int(rollout["metadata"]["generation"]), swept=True)
        return [str(breach) for breach in found]

    def _selects(self, service: str) -> str:
        return _selected(self.now.get(("Service", service)) or {})

    def _plan(self) -> Plan | None:
        run = running(self.journal)
        if run is None:
            return None
        record = self.now.get(("ControllerRevision", f"{self.story.name}-{run.pod_hash}-{run.attempt}"))
        found = plan_view(trim("ControllerRevision", record)) if record is not None else None
        return found.plan if found is not None else None


def _held(rollout: Json) -> bool:
    return FINALIZER in (rollout["metadata"].get("finalizers") or ())


def _selected(service: Json) -> str:
    return str(service.get("spec", {}).get("selector", {}).get(LABEL_REVISION, ""))
