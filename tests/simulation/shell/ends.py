"""The end of a history: without faults the right state is reached, and then kept without a write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headgate.api.common import LABEL_REVISION, LABEL_ROLLOUT, LABEL_VARIANT, MANAGER
from headgate.api.rollout import RolloutStatus
from headgate.decide.configuration import digest_of
from headgate.decide.invariants import at_rest
from headgate.decide.revision import revision_of, with_contents
from tests.simulation.shell.people import DISTURBED
from tests.simulation.shell.scenario import CANARY, CONFIG, CONFIGURING, FOREIGN, NAME, NAMESPACE, TRIALS, Event
from tests.simulation.shell.traffic import claimed, cookies_of, routes_of
from tests.simulation.shell.truth import selector, truth

if TYPE_CHECKING:
    from tests.simulation.shell.history import History

REST = ("Healthy", "Degraded")
BOUND = 1500.0
"""Seconds without faults within which everything must have come to its end."""
RESTED = 4
"""Looks in a row, 5 seconds apart, at which it must be at its end."""
SETTLED = 75.0
"""Seconds after the end in which old pods may still go and the last evidence be written."""
SEEN = 70.0
"""Seconds after which a change of the configuration is seen, where nothing goes wrong."""
QUIET = 75.0
"""Seconds of rest in which nothing may be written."""
WRITES, WRITES_PER_STEP, WRITES_PER_EXPERIMENT = 20, 3, 12
"""What a release may take in writes: once, and for each step. The most that was seen is a little over half of it."""
DONE = (
    "release",
    "act",
    "replicas",
    "steps",
    "delete",
    "create again",
    "spec.paused",
    "spec.resumed",
    *FOREIGN,
    *CONFIGURING,
)
LACKING = 300.0
"""Seconds in which the pods for the load are there, although no route is."""
LONG_QUIET = 900.0
"""The same in one of twenty histories: longer than between two sweeps."""


class End:
    """Sees a history to its end."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._store = history.cluster.store

    async def reach(self) -> None:
        """Wait for the end, and look at it.

        Raises:
            Violation: if it does not come, or is not as it must be.
        """
        history = self._history
        if history.scenario.lacking:
            await self._without_route()
        if history.rollout() is not None:
            history.people.restore()
            history.people.patch("Rollout", {"spec": {"paused": False}})
        if history.scenario.config is not None:
            await history.wait(SEEN)  # Nobody tells of what was put back.
        began, rested = history.loop.time(), 0
        while rested < RESTED:
            if history.loop.time() - began > BOUND:
                status = history.status()
                history.fail(f"22: after {BOUND:.0f} s it is {status.get('phase')}: {status.get('message')}")
            await history.wait(5.0)
            rested = rested + 1 if self._over() else 0
            self._help()
            self._healthy()
        history.tell("> the end is reached")
        history.oracle.at_rest = history.rollout() is not None
        await history.wait(SETTLED)
        before = len(self._store.log)
        await history.wait(LONG_QUIET if history.scenario.seed % 20 == 0 else QUIET)
        self._quiet(before)
        if history.rollout() is None:
            self._deleted()
        else:
            self._resting()
        self._few()
        history.check()

    async def _without_route(self) -> None:
        """5: while the route is missing what serves is made again if somebody deletes it, as large as is wanted now."""
        history = self._history
        history.people.restore()
        more = (history.rollout() or {}).get("spec", {}).get("replicas", 0) + 1
        for event in (Event(0.0, "route gone"), Event(0.0, "set deleted", "stable"), Event(0.0, "replicas", str(more))):
            if self._can_serve():
                history.tell(f"> {event.what} {event.arg}".rstrip())
                history.people.carry_out(event)
        began = history.loop.time()
        while self._can_serve() and not self._serves(history.rollout() or {}, history.status()):
            if history.loop.time() - began > LACKING:
                history.fail(f"5: {LACKING:.0f} s after its route has gone it has not the pods for the load")
            await history.wait(5.0)
        history.oracle.disturbed_until = history.loop.time() + DISTURBED

    def _can_serve(self) -> bool:
        """Something is stable, serves, has its record, and is not to go."""
        rollout, status = self._history.rollout() or {}, self._history.status()
        stable = (status.get("stable") or {}).get("podHash", "")
        serves = selector(self._store, self._history.oracle.roles[0]) == stable
        recorded = any(o["metadata"]["labels"][LABEL_REVISION] == stable for o in self._mine("ControllerRevision"))
        going = not rollout or bool(rollout["metadata"].get("deletionTimestamp"))
        return bool(stable) and serves and recorded and not going

    def _few(self) -> None:
        """15: so many writes for each thing that was done, and for each step; many more would be a loop."""
        of = self._history.scenario
        done = 1 + sum(e.what in DONE for e in of.events) + 3 * of.lacking
        for_steps = WRITES_PER_STEP * len(of.steps) + WRITES_PER_EXPERIMENT * of.experiments
        most = WRITES + done * (WRITES + for_steps)
        if self._history.writes > most:
            self._history.fail(f"15: {self._history.writes} writes, and {most} are enough for {done} things done")

    def _over(self) -> bool:
        rollout = self._history.rollout()
        if rollout is None:
            space = self._store.get("Namespace", "", NAMESPACE)
            return space is None or not space["metadata"].get("deletionTimestamp")
        if rollout["metadata"].get("deletionTimestamp"):
            return False
        status = rollout.get("status") or {}
        # 18: the newest intent is what it speaks of.
        current = status.get("observedGeneration") == rollout["metadata"]["generation"]
        if self._history.scenario.workload:
            deployment = self._store.get("Deployment", NAMESPACE, NAME)
            seen = (status.get("workload") or {}).get("observedGeneration")
            current = current and deployment is not None and seen == deployment["metadata"]["generation"]
        unanswered = any(not a.get("status") for a in self._store.all("RolloutAction", NAMESPACE))
        return bool(current and status.get("phase") in REST and not unanswered and self._serves(rollout, status))

    def _serves(self, rollout: dict[str, Any], status: dict[str, Any]) -> bool:
        """The operator may not have heard yet of what somebody deleted; a sweep tells it, at the latest."""
        stable = (status.get("stable") or {}).get("podHash", "")
        found = self._store.get("ReplicaSet", NAMESPACE, f"{NAME}-{stable}")
        return bool(found) and (found or {}).get("status", {}).get("readyReplicas") == rollout["spec"]["replicas"]

    def _help(self) -> None:
        """Do what only a person can."""
        history = self._history
        status = history.status()
        if any(not a.get("status") for a in self._store.all("RolloutAction", NAMESPACE)):
            return
        if any("Contested" in c["reason"] for c in status.get("conditions") or ()) or status.get("paused"):
            history.people.act("resume")
        elif status.get("phase") == "Held":
            history.people.act("abort")
        elif status.get("phase") == "Paused" and "until someone promotes" in str(_waits(status)):
            history.people.act("promote")
        elif (status.get("phase") == "Initializing" and _stalled(status)) or "its own rollout" in _waits(status):
            # There is nothing to go back to: somebody has to bring a version that comes up.
            kind = "Deployment" if history.scenario.workload else "Rollout"
            history.people.patch(kind, {"spec": {"template": history.people.template("v9-good")}})

    def _healthy(self) -> None:
        for one in self._history.processes.values():
            problems = one.operator.heartbeats.problems() if one.operator else []
            if problems:
                self._history.fail(f"28: {one.name} is not healthy: {problems}")

    def _quiet(self, before: int) -> None:
        written = [
            f"{c.actor} {c.type} {c.kind.kind} {c.key[1]}"
            for c in self._store.log[before:]
            if c.actor.startswith("operator") and c.kind.kind != "Lease"
        ]
        if written:
            self._history.fail(f"14: at rest {len(written)} writes: {written[:6]}")

    def _resting(self) -> None:
        history, status = self._history, self._history.status()
        if not self._over():
            history.fail(f"22: it did not stay at its end: {status.get('phase')}: {status.get('message')}")
        stable = (status.get("stable") or {}).get("podHash", "")
        rollout = history.rollout() or {}
        journal = RolloutStatus.model_validate(status)
        for breach in at_rest(truth(self._store, rollout), journal, rollout["metadata"]["generation"], swept=True):
            history.fail(f"at rest: {breach}")
        span = history.traffic.spans[-1].shares
        if set(span) != {stable}:
            history.fail(f"7: at rest the requests go to {span}, stable is {stable}")
        self._dressed(stable)
        self._left_over(stable)

    def _dressed(self, stable: str) -> None:
        """The next pods of what is stable carry what it is to carry, unless somebody deleted its record."""
        of = self._history.scenario
        if any(e.what == "record deleted" for e in of.events):
            return
        found = self._store.get("ReplicaSet", NAMESPACE, f"{NAME}-{stable}") or {}
        metadata = found["spec"]["template"]["metadata"]
        for field in ("labels", "annotations"):
            wanted = {"app": NAME, LABEL_ROLLOUT: NAME, LABEL_REVISION: stable} if field == "labels" else {}
            wanted |= ((of.canary or {}).get("stableMetadata") or {}).get(field) or {}
            if metadata.get(field, {}) != wanted:
                self._history.fail(f"at rest pods of {stable} start with the {field} {metadata.get(field)}")

    def _left_over(self, stable: str) -> None:
        history, status = self._history, self._history.status()
        uid = (history.rollout() or {})["metadata"]["uid"]
        # One that an earlier Rollout of this name left serving belongs to nobody, until somebody deletes it.
        mine = [s for s in self._mine("ReplicaSet") if any(r["uid"] == uid for r in s["metadata"]["ownerReferences"])]
        revisions = {o["metadata"]["annotations"]["headgate.dev/revision-hash"] for o in self._mine("ReplicaSet")}
        workload = self._store.get("Deployment", NAMESPACE, NAME)
        wanted = revision_of((workload or history.rollout() or {})["spec"]["template"])
        if (history.scenario.config or {}).get("configChangeTriggers"):
            source = self._store.get("ConfigMap", NAMESPACE, CONFIG) or {}
            wanted = with_contents(wanted, [f"ConfigMap/{CONFIG}={digest_of(source)}"])
        # One that was taken back before it had pods is still what the template wants.
        revisions |= {(status.get("current") or {}).get("revision"), wanted}
        used = self._copies_in_use()
        for plan in self._mine("ControllerRevision"):
            # It may own the copies of others.
            owns = [c["name"] for c in plan["data"].get("copies") or () if used.get(c["name"], 0) > 1]
            if plan["data"]["revision"] not in revisions and not owns:
                history.fail(f"25: the record {plan['metadata']['name']} belongs to nothing any more")
        left = [o["metadata"]["name"] for o in self._mine("ConfigMap") if o["metadata"]["name"] not in used]
        if left and not any(e.what == "record deleted" for e in history.scenario.events):
            history.fail(f"25: the copies {left} belong to nothing any more")
        wanted_hash = _image(history.rollout() or {}, self._store.get("Deployment", NAMESPACE, NAME))
        old = [o for o in mine if o["metadata"]["labels"][LABEL_REVISION] != stable and _image(o, None) != wanted_hash]
        if len(old) > history.scenario.history + bool(status.get("target")):
            history.fail(f"25: {len(old)} old ReplicaSets are left, revisionHistoryLimit is {history.scenario.history}")
        if history.scenario.workload:
            deployment = self._store.get("Deployment", NAMESPACE, NAME)
            if deployment is not None and deployment["spec"]["replicas"] and not self._contested():
                history.fail(f"25: the adopted Deployment still has {deployment['spec']['replicas']} replicas")

    def _copies_in_use(self) -> dict[str, int]:
        """How many revisions use each copy: by their records, and where somebody deleted that, by their ReplicaSets."""
        plans = self._mine("ControllerRevision")
        names = [c["name"] for plan in plans for c in plan["data"].get("copies") or ()]
        recorded = {plan["data"]["revision"] for plan in plans}
        for found in self._mine("ReplicaSet"):
            if found["metadata"]["annotations"]["headgate.dev/revision-hash"] not in recorded:
                pods = json.dumps(found["spec"]["template"])
                names += [copy for o in self._mine("ConfigMap") if (copy := o["metadata"]["name"]) in pods]
        return {name: names.count(name) for name in names}

    def _contested(self) -> bool:
        return _stalled(self._history.status())

    def _deleted(self) -> None:
        history = self._history
        orphaned = any(e.arg == "orphan" for e in history.scenario.events)
        kept = history.oracle.stable_at_deletion if orphaned else history.oracle.kept_at_deletion
        plans = [p["metadata"]["name"] for p in self._mine("ControllerRevision")]
        sets = [s["metadata"]["name"] for s in self._mine("ReplicaSet")]
        # One that began after the server had taken its finalizer off, before any had written it down, cannot know.
        restarts = history.scenario.strength or any(e.what == "stop and start" for e in history.scenario.events)
        known = (history.oracle.orphaned or not restarts) and history.oracle.served_at_deletion
        if orphaned and known and kept and f"{NAME}-{kept}" not in sets:
            history.fail(f"29: it was deleted with --cascade=orphan, and {NAME}-{kept} is gone")
        if (plans or sets) and not (kept or orphaned):
            history.fail(f"25: after the deletion there are {plans + sets}")
        copies = [o["metadata"]["name"] for o in self._mine("ConfigMap")]
        if copies and not (kept or orphaned):
            history.fail(f"25: after the deletion there are the copies {copies}")
        read = [v["configMap"]["name"] for s in self._mine("ReplicaSet") for v in _volumes(s) if s["spec"]["replicas"]]
        if set(read) - set(copies) - {CONFIG}:
            history.fail(f"29: after the deletion pods read {read}, and the copies are {copies}")
        if self._store.get("Namespace", "", NAMESPACE) is None:
            return
        route = self._store.get("HTTPRoute", NAMESPACE, NAME)
        if route is not None and routes_of(route):
            history.fail(f"25: after the deletion requests are led by {sorted(routes_of(route))}")
        if route is not None and any(map(cookies_of, claimed(route)["backendRefs"])):
            history.fail("25: after the deletion a cookie of a release is set")
        if not (history.scenario.strength or kept or orphaned):
            self._disowned()
        left = [s["metadata"]["name"] for s in self._mine("ReplicaSet") if LABEL_VARIANT in s["metadata"]["labels"]]
        left += [name for name in TRIALS if selector(self._store, name)]
        if left and not any(e.what == "record deleted" for e in history.scenario.events):
            history.fail(f"25: after the deletion {left} are left of experiments")
        for name in (NAME, CANARY):
            chosen = selector(self._store, name)
            # Before anything was stable, the first revision may serve already.
            if chosen and chosen != kept and not (orphaned and not kept and name == history.oracle.roles[0]):
                history.fail(f"25: after the deletion the Service {name} still selects {chosen}")

    def _disowned(self) -> None:
        """The operator owns no field of what it has handed back."""
        for kind in ("Deployment", "Service", "HTTPRoute", "StatefulSet"):
            for obj in self._store.all(kind, NAMESPACE):
                managers = [str(entry["manager"]) for entry in obj["metadata"].get("managedFields") or ()]
                if any(manager.startswith(MANAGER) for manager in managers):
                    self._history.fail(
                        f"25: after the deletion {managers} own fields of {kind} {obj['metadata']['name']}"
                    )

    def _mine(self, kind: str) -> list[dict[str, Any]]:
        return [
            o
            for o in self._store.all(kind, NAMESPACE)
            if (o["metadata"].get("labels") or {}).get(LABEL_ROLLOUT) == NAME
        ]


def _volumes(owner: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = owner["spec"]["template"]["spec"].get("volumes") or []
    return found


def _image(obj: dict[str, Any], workload: dict[str, Any] | None) -> str:
    template = (workload or obj)["spec"].get("template") or obj["spec"].get("template") or {}
    return str(template["spec"]["containers"][0]["image"]) if template else ""


def _stalled(status: dict[str, Any]) -> bool:
    return any((c["type"], c["status"]) == ("Stalled", "True") for c in status.get("conditions") or ())


def _waits(status: dict[str, Any]) -> str:
    return f"{status.get('message')} {[c.get('message') for c in status.get('conditions') or ()]}"
