"""Looks at every write of an operator as it is carried out, against the truth and not against what the operator saw.

The numbers in the findings are those of the table of invariants.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from headgate.act.transport import Request
from headgate.api.common import FINALIZER, LABEL_REVISION, LABEL_ROLLOUT, LABEL_VARIANT
from headgate.api.rollout import SESSION, STABLE_SESSION
from headgate.decide.experiment import hash_of
from headgate.decide.invariants import weights_add_up
from tests.simulation.shell.cluster import Change, Cluster
from tests.simulation.shell.journal import Journal
from tests.simulation.shell.pods import is_ready
from tests.simulation.shell.process import DRAIN
from tests.simulation.shell.scenario import CANARY, NAME, NAMESPACE, TRIALS, roles
from tests.simulation.shell.traffic import (
    NOWHERE,
    OWN,
    Span,
    Traffic,
    claimed,
    cookies_of,
    is_own,
    routes_of,
    shares_of,
    weights_of,
    without_cookies,
)
from tests.simulation.shell.truth import selector

Object = dict[str, Any]
CLOCK = 1.0
"""What the operator may be off the server's clock by, whose `Date` has whole seconds."""
HEARD = ("HTTPRoute", "Service", "ReplicaSet", "Lease", "Rollout", "ControllerRevision")
WRITTEN = frozenset(
    {
        "Rollout",
        "RolloutAction",
        "ControllerRevision",
        "ReplicaSet",
        "Service",
        "HTTPRoute",
        "Deployment",
        "ConfigMap",
        "Event",
        "Lease",
    }
)


class Violation(AssertionError):  # noqa: N818  it is a finding about the operator, not a fault of the world
    """An invariant does not hold."""


class Oracle:
    """What has been seen, and the first thing that was wrong."""

    def __init__(self, cluster: Cluster, traffic: Traffic, tell: Callable[[str], None]) -> None:
        self.written = WRITTEN
        """Kinds that an operator may write to."""
        self._cluster = cluster
        self._store = cluster.store
        self._traffic = traffic
        self._tell = tell
        self.violation: Violation | None = None
        self.at_rest = False
        self.disturbed_until = 0.0
        """Until then others have just broken what the invariants promise."""
        self.disturbed_at = 0.0
        """When others last did."""
        self._sent_at = 0.0
        """When the write was sent that is looked at."""
        self.roles = (NAME, CANARY)
        """The names of the stable and of the canary Service, as the Rollout had them last."""
        self.stable_at_deletion = ""
        self.served_at_deletion = True
        """The stable revision had its ReplicaSet; what somebody took away before cannot stay."""
        self.orphaned = False
        """The journal said at the deletion that everything is to stay."""
        self.kept_at_deletion = ""
        """The stable revision that goes on serving although the Rollout is gone."""
        self.journal = Journal(cluster, traffic, self.fail, self._disturbed)
        self._weightless: dict[str, float] = {}
        """Since when no stored weight or selector leads to a revision."""
        self._must_leave: dict[str, float] = {}
        """Revisions that were just taken back, and the share that they had: the next write takes it away."""
        self._holders: list[str] = []
        """Who held the Lease, one after the other."""
        self._last_writer: dict[tuple[str, str], int] = {}
        traffic.on_change.append(self._requests)
        cluster.store.listen(self._heard, *HEARD)

    def fail(self, what: str) -> None:
        """Note a finding; the first one counts."""
        if self.violation is None:
            self._tell(f"!! {what}")
            self.violation = Violation(what)

    # ---------------------------------------------------------------------------------------------- truth

    def rollout(self) -> Object:
        """The Rollout as it is stored; empty if it is gone."""
        return self._store.get("Rollout", NAMESPACE, NAME) or {}

    def _status(self) -> Object:
        return self.rollout().get("status") or {}

    def _disturbed(self) -> bool:
        return self._cluster.loop.time() < self.disturbed_until

    def _deleting(self) -> bool:
        space = self._store.get("Namespace", "", NAMESPACE)
        going = space is None or bool(space["metadata"].get("deletionTimestamp"))
        return going or not self.rollout() or bool(self.rollout()["metadata"].get("deletionTimestamp"))

    def _selector(self, service: str) -> str:
        return selector(self._store, service)

    def _canary_weight(self) -> int:
        route = self._store.get("HTTPRoute", NAMESPACE, NAME)
        return dict(weights_of(route)).get(self.roles[1], 0) if route else 0

    def _routes(self) -> dict[str, bool]:
        route = self._store.get("HTTPRoute", NAMESPACE, NAME)
        return routes_of(route) if route else {}

    def _stored_share(self, pod_hash: str) -> int:
        """Percent of the requests that the stored objects give to a revision."""
        weight = self._canary_weight()
        # A Service that selects no revision leads to whatever has pods.
        found = self._store.get("ReplicaSet", NAMESPACE, f"{NAME}-{pod_hash}")
        leading = ("", pod_hash) if found is not None and found["spec"]["replicas"] else (pod_hash,)
        stable = 100 - weight if self._selector(self.roles[0]) in leading else 0
        # How many requests a route by header takes nobody knows.
        return stable + ((weight or (1 if self._routes() else 0)) if self._selector(self.roles[1]) in leading else 0)

    def _ready(self, pod_hash: str) -> int:
        return sum(
            is_ready(p)
            for p in self._store.all("Pod", NAMESPACE)
            if (p["metadata"].get("labels") or {}).get(LABEL_REVISION) == pod_hash
        )

    def _replicas(self) -> int:
        """Pods that the full load needs, as the operator has said that it knows."""
        return self.journal.replicas_at(self._status().get("observedGeneration", 0))

    def _heard(self, change: Change) -> None:
        if change.kind.kind in ("HTTPRoute", "Service", "ReplicaSet"):
            for found in self._store.all("ReplicaSet", NAMESPACE):
                pod_hash = (found["metadata"].get("labels") or {}).get(LABEL_REVISION, "")
                if self._stored_share(pod_hash):
                    self._weightless.pop(pod_hash, None)
                else:
                    self._weightless.setdefault(pod_hash, self._cluster.loop.time())
            if not change.actor.startswith("operator"):
                self._remember_shares()
        if change.kind.kind == "Lease":
            holder = str(change.after["spec"].get("holderIdentity") or "").partition("_")[0]
            if holder and (not self._holders or self._holders[-1] != holder):
                self._holders.append(holder)
        if change.kind.kind == "Rollout":
            self.roles = roles(change.after)
            self.journal.rollout_changed(change)
        elif change.kind.kind == "ControllerRevision":
            self.journal.recorded(change)

    def _requests(self, span: Span) -> None:
        if span.shares.get(NOWHERE) and self._status().get("stable") and not (self._deleting() or self._disturbed()):
            self.fail(f"4: {span.shares[NOWHERE]:.0%} of the requests reach no pod")
        if self.at_rest and not (self._deleting() or self._disturbed()):
            stable = (self._status().get("stable") or {}).get("podHash", "")
            if set(span.shares) - {stable}:
                self.fail(f"7: after the end requests reach {sorted(set(span.shares) - {stable})}")

    # ---------------------------------------------------------------------------------------------- writes

    def sent(self, actor: str, request: Request, changes: list[Change], at: float) -> None:
        """Take a request of an operator that was carried out, and was sent at this time."""
        self._sent_at = at
        if not changes:
            return
        for change in changes:
            kind = change.kind.kind
            if kind not in self.written:
                self.fail(f"16: {actor} writes a {kind}")
            if kind in ("Lease", "Event"):
                continue
            self._conditional(request, change)
            self._single_writer(actor, change)
            check = _CHECKS.get(kind)
            if check is not None:
                check(self, change)

    def _conditional(self, request: Request, change: Change) -> None:
        """16: what exists is changed only as it was seen."""
        if change.before is None:
            return
        body = orjson.loads(request.body or b"null")
        version = change.before["metadata"]["resourceVersion"]
        if isinstance(body, list):
            said = [o.get("value") for o in body if o["path"] == "/metadata/resourceVersion"]
        elif request.method == "DELETE":
            said = [((body or {}).get("preconditions") or {}).get("resourceVersion")]
        elif request.path.endswith("/eviction"):
            # Its status changes all the time; which pod it is does not.
            version = change.before["metadata"]["uid"]
            said = [((body.get("deleteOptions") or {}).get("preconditions") or {}).get("uid")]
        else:
            said = [((body or {}).get("metadata") or {}).get("resourceVersion")]
        if said != [version]:
            self.fail(f"16: {request.method} {request.path} without the version that was seen")

    def _single_writer(self, actor: str, change: Change) -> None:
        """17: nobody who led earlier writes over what a later leader wrote."""
        epochs = [i for i, holder in enumerate(self._holders) if holder == actor]
        if not epochs:
            self.fail(f"17: {actor} writes {change.kind.kind} {change.key[1]} and never held the Lease")
            return
        place = (change.kind.kind, change.key[1])
        if self._last_writer.get(place, -1) > epochs[-1]:
            self.fail(f"17: {actor} writes {place} over a later leader's write")
        self._last_writer[place] = max(self._last_writer.get(place, -1), epochs[-1])

    def _status_written(self, change: Change) -> None:
        before, after = change.before or {}, change.after
        allowed = {"status"} if change.type == "MODIFIED" and before.get("status") != after.get("status") else set()
        changed = {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)} - {"metadata"}
        if changed - allowed:
            self.fail(f"16: {changed} of the {change.kind.kind} were changed")

    def _rollout(self, change: Change) -> None:
        self._status_written(change)
        before, after = change.before or {}, change.after
        had, has = (FINALIZER in (o.get("metadata", {}).get("finalizers") or ()) for o in (before, after))
        if had and (change.type == "DELETED" or not has):
            self._let_go(before)
        self.journal.written(before.get("status") or {}, after.get("status") or {})
        for record in (after.get("status") or {}).get("rejected") or ():
            known = [r["at"] for r in (before.get("status") or {}).get("rejected") or ()]
            share = self._stored_share(record["podHash"])
            if record["at"] not in known and share and record["podHash"] != self._stable():
                self._must_leave[record["podHash"]] = share

    def _stable(self) -> str:
        return str((self._status().get("stable") or {}).get("podHash", ""))

    def _let_go(self, before: Object) -> None:
        """29: the finalizer goes last."""
        space = self._store.get("Namespace", "", NAMESPACE)
        if space is None or space["metadata"].get("deletionTimestamp"):
            return
        stable = ((before.get("status") or {}).get("stable") or {}).get("podHash", "")
        self.stable_at_deletion = stable
        self.served_at_deletion = self._store.get("ReplicaSet", NAMESPACE, f"{NAME}-{stable}") is not None
        self.orphaned = bool((before.get("status") or {}).get("orphaned"))
        if not stable:
            return
        if self._canary_weight():
            self.fail(f"29: the finalizer goes while the canary has {self._canary_weight()}%")
        if self._routes():
            self.fail(f"29: the finalizer goes while requests are led by {sorted(self._routes())}")
        for service in (NAME, CANARY):
            if self._selector(service) not in ("", stable):
                self.fail(f"29: the finalizer goes while {service} selects {self._selector(service)}")
        if self._selector(self.roles[0]) == stable:
            self.kept_at_deletion = stable

    def _route(self, change: Change) -> None:
        before, after = change.before or {}, change.after
        weights = [weight for _, weight in weights_of(after)]
        for breach in weights_add_up(tuple(weights)):
            self.fail(str(breach))
        self._shares(before, after)
        if _foreign(before) != _foreign(after):
            self.fail("16: more of the route was changed than weights and the operator's own rules")
        self._own(after)
        self._stay(after)
        old, new = (dict(weights_of(o))[self.roles[1]] for o in (before, after))
        led, leads = routes_of(before).keys(), routes_of(after).keys()
        self._exposed(prepares=new == old and leads < led and self._lacks_pods())
        added = sorted(leads - led)
        if new < old or leads < led:
            self._given_back(100 - new)
        if new > old or added:
            self._raised(new, added=added)
            run = self.journal.running(self._status()) or {}
            taken = [str(m["manager"]) for m in before["metadata"].get("managedFields") or ()]
            if any(m.endswith(f":{run.get('podHash')}:{run.get('attempt')}") for m in taken):
                self.fail(f"6: the weight is raised to {new} for an attempt that a verdict took back")

    def _follows(self) -> bool:
        """The stable version has given pods away for a canary."""
        return bool((self._status().get("weights") or {}).get("stableFollows"))

    def _lacks_pods(self) -> bool:
        """The weight cannot go back yet: the stable version gave pods away, and has not those for the full load."""
        full = max(self._replicas(), int(self.rollout()["spec"]["replicas"]))
        return self._follows() and self._ready(self._stable()) < full

    def _floor(self, share: float) -> int:
        """Pods that a version has at least while it gets requests."""
        canary = self.rollout()["spec"]["strategy"].get("canary") or {}
        return min(self._replicas(), canary.get("minPodsPerReplicaSet") or 0) if share else 0

    def _given_back(self, share: int) -> None:
        """3: where the stable version has given pods away, no more requests come back than the pods can take."""
        stable, canary = self._selector(self.roles[0]), self._selector(self.roles[1])
        if not self._follows() or canary == stable or self._deleting() or self._disturbed():
            return
        there, need = self._ready(stable), max(math.ceil(self._replicas() * share / 100), self._floor(share))
        if there < need and not (there and not self._ready(canary)):
            self.fail(f"3: {share}% go back to {stable}, which has {there} ready pods of {need}")

    def _own(self, route: Object) -> None:
        """The operator's own rules come first, lead to the canary, and share out as the claimed rule does."""
        own = [is_own(rule) for rule in route["spec"]["rules"]]
        if own != sorted(own, reverse=True):
            self.fail("16: a rule of the operator's stands behind the claimed one")
        for rule in route["spec"]["rules"]:
            backends = {b["name"] for b in rule["backendRefs"]}
            kept = str(rule.get("name")).endswith(f".{STABLE_SESSION}")
            if is_own(rule) and backends != {self.roles[0 if kept else 1]}:
                mirrors = [f["requestMirror"]["backendRef"]["name"] for f in rule["filters"] if "requestMirror" in f]
                shared = [(b["name"], b["weight"]) for b in rule["backendRefs"]]
                if mirrors != [self.roles[1]] or shared != weights_of(route):
                    self.fail(f"1: the mirror {rule['name']} leads to {shared} and copies to {mirrors}")

    def _stay(self, route: Object) -> None:
        """A Service sets a cookie while there is a rule for who comes back with it, and no other one."""
        found = {b["name"]: cookies_of(b) for b in claimed(route)["backendRefs"]}
        run = self.journal.running(self._status()) or {}
        for service, name, end in ((self.roles[1], SESSION, ""), (self.roles[0], STABLE_SESSION, ".stable")):
            rules = [r for r in route["spec"]["rules"] if str(r.get("name")) == f"{OWN}{self.roles[1]}.{name}"]
            asked = [h["value"] for r in rules for m in r["matches"] for h in m["headers"] if h["name"] == "Cookie"]
            if len(found[service]) != len(rules):
                self.fail(f"16: {len(rules)} rules {name}, and answers set {found[service]}")
            for regex, cookie in zip(asked, found[service], strict=False):
                value = cookie.partition(";")[0]
                if not re.fullmatch(regex, f"a=b; {value}; c=d") or re.fullmatch(regex, f"{value}.0"):
                    self.fail(f"9: who has {cookie} is not led by {regex}")
                if run and not value.endswith(f".{run['podHash']}.{run['attempt']}{end}"):
                    self.fail(f"9: {cookie} is set while {run['podHash']}, attempt {run['attempt']} is released")

    def _raised(self, weight: int, *, by_switch: str = "", added: Sequence[str] = ()) -> None:
        status, target = self._status(), by_switch or self._selector(self.roles[1])
        run = self.journal.running(status)
        if run is None:
            self.fail(f"6: the weight is raised to {weight} while nothing is released")
            return
        if status.get("paused"):
            self.fail(f"13: the weight is raised to {weight} while it is paused")
        spec = self.rollout()["spec"]
        if spec.get("paused") and status.get("observedGeneration") == self.rollout()["metadata"]["generation"]:
            self.fail(f"13: the weight is raised to {weight} while spec.paused is set")
        if target != run["podHash"]:
            self.fail(f"6: the weight is raised to {weight} for {target}, and {run['podHash']} is released")
        allowed = self.journal.allowed(run, int(status.get("currentStepIndex") or 0))
        if "pingPong" in (spec["strategy"].get("canary") or {}) and self.journal.past(run, status):
            allowed = 100  # The promotion is a weight, too.
        if (allowed is None or weight > allowed) and not (by_switch and run.get("fast")):
            self.fail(f"2: weight {weight}, the step allows {allowed}")
        strangers = set(added) - self.journal.routes(run, int(status.get("currentStepIndex") or 0))
        if strangers:
            self.fail(f"2: requests are led by {sorted(strangers)}, which the step does not allow")
        replicas = self._replicas()
        if added and replicas and not self._ready(target) and not self._disturbed():
            self.fail(f"3: requests are led by {added} to {target}, which has no ready pod")
        stay = SESSION in self._routes() and not by_switch
        least = self.journal.for_who_stays(run, int(status.get("currentStepIndex") or 0)) if stay else 0
        for pod_hash, share in ((target, max(weight, least)), (self._selector(self.roles[0]), 100 - weight)):
            need = max(math.ceil(replicas * share / 100), self._floor(share))
            if self._ready(pod_hash) < need and not self._disturbed():
                self.fail(f"3: {share}% for {pod_hash}, which has {self._ready(pod_hash)} ready pods of {need}")

    def _exposed(self, *, prepares: bool = False) -> None:
        """6: after a verdict the next write of the data plane takes the share away, and none gives it back.

        One may go before it: the stable Service, if somebody pointed it elsewhere, has to be put right before what is
        taken away can go to it. And routes by header leave a weight that waits for stable pods: whom they led is shared
        out by that weight then, and stable has the pods for its part of all requests.
        """
        for pod_hash, share in list(self._must_leave.items()):
            now = self._stored_share(pod_hash)
            if now >= share and not self._runs(pod_hash):
                if prepares:
                    continue
                self.fail(f"6: {pod_hash} was taken back and has {now}% after the next write")
            del self._must_leave[pod_hash]
        for pod_hash, share in self.journal.shares_of_rejected.items():
            if self._stored_share(pod_hash) > share and not self._runs(pod_hash) and pod_hash != self._stable():
                self.fail(f"6: {pod_hash} was taken back, and its share rises to {self._stored_share(pod_hash)}%")
        self._remember_shares()

    def _remember_shares(self) -> None:
        for record in self._status().get("rejected") or ():
            self.journal.shares_of_rejected[record["podHash"]] = self._stored_share(record["podHash"])

    def _runs(self, pod_hash: str) -> bool:
        run = self.journal.running(self._status())
        return run is not None and run["podHash"] == pod_hash

    def _shares(self, before: Object, after: Object) -> None:
        """3: a variant gets requests in its own step, when all its pods are there and its Service leads to them."""
        had, run = shares_of(before), self.journal.running(self._status()) or {}
        present = {v.get("service"): v for v in self._present()}
        for service, weight in shares_of(after).items():
            if had.get(service) == weight:
                continue
            wanted = present.get(service, {})
            if wanted.get("weight") != weight or self._status().get("paused"):
                self.fail(
                    f"34: Service {service} gets {weight}%, which {run.get('podHash')} at this step does not allow"
                )
                continue
            pod_hash = self._hash(run, wanted["name"])
            if self._selector(service) != pod_hash:
                self.fail(f"3: Service {service} gets {weight}% and does not lead to the variant {wanted['name']}")
            if self._ready(pod_hash) < wanted["replicas"] and not self._disturbed():
                self.fail(f"3: {weight}% for {wanted['name']}, which has {self._ready(pod_hash)} ready pods")

    def _present(self) -> list[Object]:
        """The variants of the present step."""
        run = self.journal.running(self._status())
        index = int(self._status().get("currentStepIndex") or 0)
        return self.journal.variants(run, index) if run is not None and not run.get("fast") else []

    def _hash(self, run: Object, name: str) -> str:
        index, uid = int(self._status().get("currentStepIndex") or 0), self.rollout()["metadata"]["uid"]
        return hash_of(uid, run["podHash"], run["attempt"], index, name)

    def _variant(self, change: Change) -> None:
        """34: a variant comes and stays for its own step of its own attempt, and goes when nothing leads to it."""
        pod_hash, status = change.after["metadata"]["labels"][LABEL_REVISION], self._status()
        run = self.journal.running(status) or {}
        present = {self._hash(run, v["name"]): v for v in self._present()}
        if change.before is None:
            if pod_hash not in present or change.after["spec"]["replicas"] != present[pod_hash]["replicas"]:
                self.fail(f"34: the variant {pod_hash} is made, and the step has {sorted(present)}")
            if status.get("paused"):
                self.fail(f"13: the variant {pod_hash} is made while it is paused")
            if LABEL_ROLLOUT in change.after["spec"]["template"]["metadata"]["labels"]:
                self.fail(f"34: pods of the variant {pod_hash} count as the Rollout's")
            return
        if change.type != "DELETED" and change.after["spec"]["replicas"] >= change.before["spec"]["replicas"]:
            return
        if pod_hash in present and not self._deleting():
            self.fail(f"34: the variant {pod_hash} goes in its own step")
        if status.get("paused") and not self._deleting():
            self.fail(f"13: the variant {pod_hash} goes while it is paused")
        route = self._store.get("HTTPRoute", NAMESPACE, NAME)
        led = [name for name in (shares_of(route) if route else {}) if self._selector(name) == pod_hash]
        if self._sent_at >= self.disturbed_at and (led or self._traffic.share(pod_hash)):
            self.fail(f"4: the variant {pod_hash} goes with requests by {led}")

    def _variant_service(self, change: Change, was: str, is_: str) -> None:
        """34: a Service of a variant leads to the pods of the present step's, and is handed back at the end.

        To what is stable it may be led at any time: a share that cannot be taken back goes home so.
        """
        if was == is_ or is_ == self._stable() or (not is_ and self._deleting()):
            return
        run = self.journal.running(self._status()) or {}
        wanted = {self._hash(run, v["name"]) for v in self._present() if v.get("service") == change.key[1]}
        if not is_ and not wanted and f'"{change.key[1]}"' not in orjson.dumps(self.rollout()["spec"]).decode():
            return  # No step names it any more, and it is handed back.
        if is_ not in wanted:
            self.fail(f"34: the Service {change.key[1]} is led to {is_ or 'all'}, and the step has {wanted}")
        route = self._store.get("HTTPRoute", NAMESPACE, NAME)
        if route and change.key[1] in shares_of(route) and not self._disturbed():
            self.fail(f"4: the Service {change.key[1]} is led elsewhere while it has a share")

    def _service(self, change: Change) -> None:
        before, after = change.before or {}, change.after
        old, new = (dict((o.get("spec") or {}).get("selector") or {}) for o in (before, after))
        was, is_ = old.pop(LABEL_REVISION, ""), new.pop(LABEL_REVISION, "")
        if old != new or {**(before.get("spec") or {}), "selector": 0} != {**after["spec"], "selector": 0}:
            self.fail(f"16: more of the Service {change.key[1]} was changed than the revision")
        if change.key[1] in TRIALS:
            self._variant_service(change, was, is_)
            return
        self._exposed(prepares=change.key[1] == self.roles[0] and was != is_ == self._stable())
        if self._deleting() or was == is_:
            return
        stable, replicas = self._stable(), self._replicas()
        if change.key[1] == self.roles[0] and is_ != stable:
            need = math.ceil(replicas * (100 - self._canary_weight()) / 100)
            if self._ready(is_) < need and not self._disturbed():
                self.fail(f"3: the stable Service selects {is_}, which has {self._ready(is_)} ready pods of {need}")
            if stable and "blueGreen" in self.rollout()["spec"]["strategy"]:
                self._raised(100, by_switch=is_)
        if change.key[1] == self.roles[1] and is_ != stable and self._canary_weight() and not self._disturbed():
            self.fail(f"3: the canary Service is switched to {is_} under {self._canary_weight()}%")
        if change.key[1] == self.roles[1] and is_ != stable and self._routes() and not self._disturbed():
            self.fail(f"3: the canary Service is switched to {is_} while requests are led by {sorted(self._routes())}")

    def _replica_set(self, change: Change) -> None:
        before, after = change.before, change.after
        pod_hash = after["metadata"]["labels"].get(LABEL_REVISION, "")
        if after["metadata"]["labels"].get(LABEL_ROLLOUT) != NAME:
            self.fail(f"16: the ReplicaSet {change.key[1]} is not the Rollout's")
        if LABEL_VARIANT in after["metadata"]["labels"]:
            self._variant(change)
            return
        if before is None:
            for volume in after["spec"]["template"]["spec"].get("volumes") or ():
                name = volume["configMap"]["name"]
                if not (self._store.get("ConfigMap", NAMESPACE, name) or {}).get("immutable"):
                    self.fail(f"the pods of {pod_hash} would read {name}, which is no copy")
            return
        old, new = before["spec"]["replicas"], 0 if change.type == "DELETED" else after["spec"]["replicas"]
        if change.type == "DELETED" and (old or pod_hash == self._stable()):
            self.fail(f"5: the ReplicaSet of {pod_hash} is deleted with {old} replicas")
        if new >= old:
            return
        if self._deleting():
            if self._stored_share(pod_hash) and pod_hash != self._stable():
                self.fail(f"29: {pod_hash} loses pods with {self._stored_share(pod_hash)}% of the requests")
            return
        self._shrunk(pod_hash, new)

    def _config_map(self, change: Change) -> None:
        name, uid = change.key[1], self.rollout().get("metadata", {}).get("uid")
        owners = [o["uid"] for o in change.after["metadata"].get("ownerReferences") or ()]
        if uid not in owners or not change.after.get("immutable") or change.type == "MODIFIED":
            self.fail(f"16: the ConfigMap {name} is written, and is no copy")
        if change.type == "DELETED":
            sets = self._store.all("ReplicaSet", NAMESPACE)
            users = [s["metadata"]["name"] for s in sets if f'"{name}"' in orjson.dumps(s["spec"]).decode()]
            if users:
                self.fail(f"25: the copy {name} is deleted, and {users} read it")

    def _shrunk(self, pod_hash: str, new: int) -> None:
        replicas = self._replicas()
        shrinks = self._follows() and self.journal.running(self._status()) is not None
        if pod_hash == self._stable() and new < replicas and not shrinks:
            self.fail(f"5: stable is scaled to {new} of {replicas}")
        stored, served = self._stored_share(pod_hash), self._traffic.by_weight(pod_hash) * 100
        need = math.ceil(replicas * max(stored, served - 1e-6) / 100)
        # How many pods those need that come by header the steps have to say, because nobody knows how many they are.
        need = max(need, 1 if replicas and self._traffic.share(pod_hash) else 0, self._floor(stored))
        if self._sent_at < self.disturbed_at:
            return  # It was under way when somebody led requests there, and could not know of it.
        if new < need:
            self.fail(f"4: {pod_hash} is scaled to {new} with {max(stored, served):.0f}% of the requests")
        if new == 0:
            # Either nothing led there for long enough, or nobody went there: its pods may never have been ready.
            since = min(self._weightless.get(pod_hash, math.inf), self._traffic.without_since(pod_hash))
            free = self._cluster.loop.time() - since
            if free < DRAIN - CLOCK:
                self.fail(f"4: {pod_hash} is scaled to 0, {free:.1f} s after the last request was led to it")

    def _deployment(self, change: Change) -> None:
        before, after = change.before or {}, change.after
        if {**before["spec"], "replicas": 0} != {**after["spec"], "replicas": 0}:
            self.fail("16: more of the Deployment was changed than replicas")
        if after["spec"]["replicas"] < before["spec"]["replicas"] and self._selector(self.roles[0]) == "":
            self.fail("4: the Deployment is scaled down while the stable Service selects its pods")


def _share(backend: Object) -> bool:
    return backend["name"] in TRIALS


def _foreign(route: Object) -> Object:
    """All but weights, shares and the operator's own rules."""
    rules = [
        {**rule, "backendRefs": [{**without_cookies(b), "weight": 0} for b in rule["backendRefs"] if not _share(b)]}
        for rule in route["spec"]["rules"]
        if not is_own(rule)
    ]
    kept = {k: v for k, v in route["metadata"].items() if k not in ("resourceVersion", "generation", "managedFields")}
    return {**route, "metadata": kept, "spec": {**route["spec"], "rules": rules}}


_CHECKS: dict[str, Callable[[Oracle, Change], None]] = {
    "Rollout": Oracle._rollout,
    "RolloutAction": Oracle._status_written,
    "HTTPRoute": Oracle._route,
    "Service": Oracle._service,
    "ReplicaSet": Oracle._replica_set,
    "Deployment": Oracle._deployment,
    "ConfigMap": Oracle._config_map,
}
