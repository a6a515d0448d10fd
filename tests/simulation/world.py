"""A small world for the pure core: pods that start, a gateway that takes its time, a Prometheus with a script, faults.

One integer seed decides everything. The world carries out the core's actions with the API's rules (resourceVersion,
conflict, lost answers), and checks the invariants on the truth at every write, not on what the core saw.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headgate.api.common import FINALIZER, LABEL_REVISION, seconds
from headgate.api.config import OperatorConfig
from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.decide import contest, experiment, invariants, ping_pong, strategies
from headgate.decide import types as t
from headgate.decide.managed import keys_of
from headgate.decide.revision import pod_hash_of, revision_of
from headgate.decide.rollout import decide

START = 1_800_000_000.0
INFINITE = math.inf


class Violation(AssertionError):  # noqa: N818 - it is a finding about the core, not an error of the world
    """An invariant does not hold; the message is the story so far."""


@dataclass
class SimReplicaSet:
    """A ReplicaSet and when each of its pods is ready."""

    name: str
    pod_hash: str
    revision: str
    replicas: int
    created_at: float
    pods: list[float] = field(default_factory=list)
    version: int = 1
    taken_back: str = ""
    copies: tuple[t.ConfigCopy, ...] = ()
    mark: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Of its template."""
    pod_spec: Mapping[str, Any] = field(default_factory=dict)
    """The same."""
    variant: str = ""

    def dressed(self, action: t.ScaleReplicaSet) -> None:
        """Take what the write says besides the number of pods."""
        self.taken_back = action.takes_back
        if action.dress is not None:
            self.mark, self.metadata = action.dress.mark, action.dress.metadata


@dataclass
class Faults:
    """Chances per write or decision."""

    conflict: float = 0.0
    lost_applied: float = 0.0
    lost_unapplied: float = 0.0
    crash: float = 0.0
    status_fails: float = 0.0
    provider_error: float = 0.0


def template(version: str, *, broken: bool = False) -> dict[str, Any]:
    """A pod template of one version."""
    return {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"image": version, "broken": broken}]}}


GATE = QualityGateSpec.model_validate(
    {
        "interval": "5s",
        "checks": [
            {"name": "success", "prometheus": {"query": {"template": "success"}}, "pass": {"min": 99}},
        ],
    }
)
CONFIG = OperatorConfig.model_validate(
    {
        "metricProviders": {"default": {"address": "http://prometheus:9090"}},
        "queryTemplates": {
            "success": {"query": 'success{service="{{canaryService}}"}'},
            "by-route": {"query": 'success{service="{{canaryService}}",route="{{route}}"}'},
            "compared": {"query": 'compared{one="{{baseline}}",other="{{canary}}"}'},
            "apart": {"query": 'success{service="{{canaryService}}",revision="{{canaryRevision}}"}'},
        },
    }
)


MAIN = ("shop", "shop-canary")
"""The Services of the two versions."""
TURNS = {"pingService": "shop", "pongService": "shop-canary"}


def spec(
    steps: list[dict[str, Any]],
    *,
    replicas: int = 4,
    gates: bool = False,
    canary: dict[str, Any] | None = None,
    turns: bool = False,
    **more: Any,
) -> RolloutSpec:
    """A canary with these steps; `canary` holds what else it says, and `turns` that its Services take turns."""
    services = {"stableService": "shop", "canaryService": "shop-canary"}
    return RolloutSpec.model_validate(
        {
            "replicas": replicas,
            "template": {},
            "strategy": {
                "canary": {
                    **({"pingPong": TURNS} if turns else services),
                    "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
                    "steps": steps,
                    **(canary or {}),
                }
            },
            "gates": [{"ref": {"name": "golden"}}] if gates else [],
            **more,
        }
    )


def blue_green(
    *, replicas: int = 4, gates: bool = False, strategy: dict[str, Any] | None = None, **more: Any
) -> RolloutSpec:
    """A blue-green Rollout; the active Service has the name of a canary's stable one, the preview that of its other."""
    return RolloutSpec.model_validate(
        {
            "replicas": replicas,
            "template": {},
            "strategy": {
                "blueGreen": {"activeService": "shop", "previewService": "shop-canary", **(strategy or {})},
            },
            "gates": [{"ref": {"name": "golden"}}] if gates else [],
            **more,
        }
    )


def ratio(
    steps: list[dict[str, Any]], *, replicas: int = 4, canary: dict[str, Any] | None = None, **more: Any
) -> RolloutSpec:
    """A canary without a router, whose pods are behind one Service."""
    strategy = {"canary": {"stableService": "shop", "steps": steps, **(canary or {})}}
    return RolloutSpec.model_validate({"replicas": replicas, "template": {}, "strategy": strategy, **more})


class World:
    """The truth, and the operator's memory beside it."""

    def __init__(self, seed: int, rollout: RolloutSpec, faults: Faults | None = None) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.spec = rollout
        self.faults = faults or Faults()
        self.template = template("v1")
        self._hashed: tuple[dict[str, Any], str, str] = ({}, "", "")
        self.generation = 1
        self.status = RolloutStatus()
        self.status_version = 1
        self.finalizers: tuple[str, ...] = ()
        self.deleting = False
        self.gone = False
        self.sets: dict[str, SimReplicaSet] = {}
        self.deployment: int | None = None
        """Replicas of an adopted Deployment, whose pods are ready at once; None without workloadRef."""
        self.orphaning = False
        names = (*MAIN, *sorted(experiment.service_names(rollout, ())))
        self.selectors = dict.fromkeys(names, "")
        self.service_versions = dict.fromkeys(names, 1)
        self.selector_changed = dict.fromkeys(names, START)
        self.weight = 0
        self.routes: tuple[str, ...] = ()
        """The keys of the routes by header and of the mirrors."""
        self.route_version = 1
        self.taken_back = ""
        self.turned_back = dict.fromkeys(names, "")
        self.route_written = START
        self.plans: dict[str, t.PlanView] = {}
        self.people: dict[str, t.ActionView] = {}
        self.answered: dict[str, tuple[bool, str]] = {}
        self.gates = {"golden": APART if strategies.of(rollout).pooled else GATE}
        self.quality: dict[str, float | None] = {}
        """Success rate by pod hash; None answers nothing."""
        self.story: list[str] = []
        self.writes: list[str] = []
        self.memory: dict[tuple[str, int], t.Answer] = {}
        self.outcome: t.Outcome | None = None
        self.written: Mapping[str, t.Written] = {}
        self.settled_seen: tuple[int, float] | None = None
        self.pending: dict[tuple[str, int], tuple[float, t.Question]] = {}
        self.start_delay = self.random.uniform(0.5, 3.0)
        self.gateway_delay = self.random.uniform(0.05, 1.5)
        self.slice_delay = self.random.uniform(0.0, 0.8)
        self.monotone = invariants.Monotone()
        self.turns = 0

    @property
    def turned(self) -> bool:
        """The second Service is the stable one just now."""
        return ping_pong.pair(self.spec) is not None and self.status.stable_ping_pong == "Pong"

    @property
    def roles(self) -> tuple[str, str]:
        """The names of the stable and of the canary Service."""
        return ("shop-canary", "shop") if self.turned else ("shop", "shop-canary")

    @property
    def given(self) -> int:
        """What the route gives to the canary Service; `weight` is what it gives to the second one."""
        return self.spec.total - self.weight if self.turned else self.weight

    @property
    def pooled(self) -> bool:
        """The pods are the weight."""
        return strategies.of(self.spec).pooled

    # -- what is seen -------------------------------------------------------------------------------------------------

    def wanted(self) -> tuple[str, str]:
        """The revision of the present template, and its pod hash."""
        if self._hashed[0] is not self.template:
            revision = revision_of(self.template)
            self._hashed = (self.template, revision, pod_hash_of(revision))
        return self._hashed[1:]

    def ready(self, found: SimReplicaSet) -> int:
        """Pods that are ready now."""
        return len([at for at in found.pods if at <= self.now])

    def endpoints(self, service: str) -> dict[str, int]:
        """Ready endpoints by pod hash; slices follow a selector with a delay."""
        chosen = self.selectors[service]
        if self.now < self.selector_changed[service] + self.slice_delay:
            return {"stale": 1}
        found = {
            s.pod_hash: self.ready(s) for s in self.sets.values() if (not chosen or s.pod_hash == chosen) and s.pods
        }
        return found if chosen or not self.deployment else found | {"": self.deployment}

    def _workload(self) -> t.WorkloadView | None:
        if self.deployment is None:
            return None
        count = self.deployment
        return t.WorkloadView(
            "shop", found=True, resource_version="1", replicas=count, updated=count, available=count, pods=count
        )

    def snapshot(self) -> t.Snapshot:
        """What the operator sees now."""
        settled = self.now >= self.route_written + self.gateway_delay
        routed = strategies.of(self.spec).routed is not None
        if settled and (self.settled_seen is None or self.settled_seen[0] != self.route_version):
            self.settled_seen = (self.route_version, self.now)
        revision = self.wanted()[0]
        seen = t.Snapshot(
            meta=t.RolloutMeta(
                namespace="sim",
                name="shop",
                uid="uid",
                resource_version=str(self.status_version),
                generation=self.generation,
                created_at=START,
                deleting=self.deleting,
                orphaning=self.orphaning,
                finalizers=self.finalizers,
            ),
            spec=self.spec,
            status=self.status,
            config=CONFIG,
            template=self.template,
            revision=revision,
            replica_sets=tuple(self._set(s, self.ready(s)) for s in self.sets.values() if not s.variant),
            variants=tuple(self._set(s, self.ready(s)) for s in self.sets.values() if s.variant),
            plans=tuple(self.plans.values()),
            stable_service=self._service("shop"),
            canary_service=self._service("shop-canary") if not self.pooled else t.ServiceView("", found=False),
            variant_services={n: self._service(n) for n in self.selectors if n not in MAIN},
            routes=(
                t.RouteView(
                    router="gatewayAPI",
                    kind="HTTPRoute",
                    name="shop",
                    found=True,
                    resource_version=str(self.route_version),
                    weight=self.weight,
                    managed=self.routes,
                    taken_back=self.taken_back,
                    settled=settled,
                    settled_since=self.settled_seen[1] if settled and self.settled_seen else None,
                ),
            )
            if routed
            else (),
            workload=self._workload(),
            autoscalers=(),
            gates=self.gates,
            actions=tuple(self.people.values()),
            answers=tuple(self.memory.values()),
            outcome=self.outcome,
            written=self.written,
        )
        return ping_pong.turned(seen) if self.turned else seen

    @staticmethod
    def _set(found: SimReplicaSet, ready: int) -> t.ReplicaSetView:
        return t.ReplicaSetView(
            name=found.name,
            uid=found.name,
            resource_version=str(found.version),
            pod_hash=found.pod_hash,
            revision=found.revision,
            owned=True,
            deleting=False,
            replicas=found.replicas,
            pods=len(found.pods),
            ready=ready,
            available=ready,
            settled=True,
            min_ready_seconds=0,
            created_at=found.created_at,
            taken_back=found.taken_back,
            copies=found.copies,
            mark=found.mark,
            variant=found.variant,
        )

    def _service(self, name: str) -> t.ServiceView:
        chosen = self.selectors[name]
        selector = {"app": "shop"} | ({LABEL_REVISION: chosen} if chosen else {})
        return t.ServiceView(
            name=name,
            found=True,
            resource_version=str(self.service_versions[name]),
            selector=selector,
            ready=self.endpoints(name),
            taken_back=self.turned_back[name],
        )

    # -- one turn of the operator -------------------------------------------------------------------------------------

    def turn(self) -> bool:
        """One decision carried out; False if nothing is to be done before time passes."""
        if self.random.random() < self.faults.crash:
            self._crash()
        seen = self.snapshot()
        decision = decide(seen, self.now)
        self.turns += 1
        if self.turns % 8 == 0 and decision != decide(seen, self.now):
            self.fail("the same snapshot gave two decisions")
        lowering = decision.action is not None and decision.action.exposure == "lower"
        journal_stands = True
        if decision.write and not lowering:
            journal_stands = self._write_status(decision)
        acted = False
        if decision.action is not None and (journal_stands or lowering):
            self._act(decision.action, decision.status)
            acted = True
        if decision.write and lowering:
            self._write_status(decision)
        for question in decision.questions:
            key = (question.key, question.number)
            if key not in self.pending and key not in self.memory:
                self.pending[key] = (self.now + self.random.uniform(0.01, 0.5), question)
        self.look_up(decision.reads)
        self.wake_at = decision.wake_at
        self.waiting = decision.waiting
        return acted or decision.write

    def look_up(self, reads: tuple[t.ReadQuestion, ...]) -> None:
        """What is asked of the API server; here everything is known already."""

    def _crash(self) -> None:
        self.tell("the operator is killed and starts again")
        self.memory, self.outcome, self.settled_seen, self.pending = {}, None, None, {}
        self.written = {}
        self.forget_more()

    def forget_more(self) -> None:
        """Lose with a process what only another kind of world remembers."""

    def _write_status(self, decision: t.Decision) -> bool:
        if self.random.random() < self.faults.status_fails:
            self.tell("the status write fails")
            return False
        plan = invariants.plan_under_way(self.plans.values(), self.status)
        self.require(invariants.journal_step(self.status, decision.status, plan))
        self.status = decision.status
        self.status_version += 1
        self.writes.append("status")
        self.memory = {k: a for k, a in self.memory.items() if not self._recorded(k)}
        self.tell(f"journal: {self.status.phase} step {self.status.step} {self.status.message[:90]}")
        if self.random.random() < self.faults.crash:
            self._crash()
            return False
        return True

    def _recorded(self, key: tuple[str, int]) -> bool:
        return any(
            key[0].endswith(f"/{check.name}") and check.asked >= key[1] and f"/{gate.window}/" in key[0]
            for gate in self.status.gates
            for check in gate.checks
        )

    # -- writes -------------------------------------------------------------------------------------------------------

    def _act(self, action: t.Action, status: RolloutStatus) -> None:
        chance = self.random.random()
        if chance < self.faults.conflict:
            self._note_outcome(action, t.OutcomeKind.CONFLICT, "Conflict")
            return
        if chance < self.faults.conflict + self.faults.lost_unapplied:
            self._note_outcome(action, t.OutcomeKind.UNKNOWN, "Timeout")
            return
        self.check(action, status)
        self._apply(action)
        self.writes.append(action.key)
        self.tell(f"write: {action.key} {getattr(action, 'weight', '')}{getattr(action, 'replicas', '')}")
        self.check_truth()
        if chance < self.faults.conflict + self.faults.lost_unapplied + self.faults.lost_applied:
            self._note_outcome(action, t.OutcomeKind.UNKNOWN, "Timeout")
            return
        self._note_outcome(action, t.OutcomeKind.DONE, "")
        if self.random.random() < self.faults.crash:
            self._crash()

    def _note_outcome(self, action: t.Action, kind: t.OutcomeKind, reason: str) -> None:
        if kind is not t.OutcomeKind.DONE:
            self.tell(f"{action.key}: {kind}")
        self.outcome = t.Outcome(action.key, kind, reason, at=self.now, first_at=self.now)
        self.written = contest.remember(self.written, action, kind, self.now)

    def _apply(self, action: t.Action) -> None:
        match action:
            case t.SetFinalizer():
                self.finalizers = (FINALIZER,) if action.present else ()
                self.gone = self.deleting and not action.present
            case t.CreatePlan():
                self.plans[action.name] = t.PlanView(
                    action.name,
                    action.name,
                    "1",
                    action.revision,
                    action.pod_hash,
                    action.attempt,
                    action.template,
                    action.plan,
                    action.copies,
                    self.now,
                )
            case t.DeletePlan():
                del self.plans[action.name]
            case t.CreateReplicaSet():
                if action.name in self.sets:
                    self.fail(f"{action.name} is created twice")
                self.sets[action.name] = SimReplicaSet(action.name, action.pod_hash, action.revision, 0, self.now)
                self.sets[action.name].variant = action.variant
                self.sets[action.name].copies = action.copies
                self.sets[action.name].mark = action.mark
                self.sets[action.name].metadata = action.template.get("metadata") or {}
                self.sets[action.name].pod_spec = action.template.get("spec") or {}
                self._scale(self.sets[action.name], action.replicas)
            case t.ScaleReplicaSet():
                self.sets[action.name].dressed(action)
                self._scale(self.sets[action.name], action.replicas)
            case t.DeleteReplicaSet():
                del self.sets[action.name]
            case t.SetSelector():
                self.selectors[action.name] = action.pod_hash
                self.turned_back[action.name] = action.takes_back
                self.service_versions[action.name] += 1
                self.selector_changed[action.name] = self.now
            case t.SetWeight():
                self.weight, self.taken_back = action.weight, action.takes_back
                self.weight = self.given  # By the roles of the journal, as the operator meant it.
                self.routes = keys_of(action.routes)
                self.route_version += 1
                self.route_written = self.now
            case t.ScaleWorkload():
                self.deployment = action.replicas
            case t.AnswerAction():
                self.answered[action.name] = (action.accepted, action.message)
                self.people.pop(action.name, None)
            case _:
                self.apply_more(action)

    def apply_more(self, action: t.Action) -> None:
        """Carry out what only another kind of world knows."""
        self.fail(f"nobody knows how to {action}")

    def _scale(self, found: SimReplicaSet, replicas: int) -> None:
        found.replicas = replicas
        found.version += 1
        broken = self.broken(found.pod_hash)
        while len(found.pods) < replicas:
            found.pods.append(INFINITE if broken else self.now + self.start_delay * self.random.uniform(0.8, 1.2))
        found.pods.sort()
        del found.pods[replicas:]

    def broken(self, pod_hash: str) -> bool:
        """The pods of this revision never come up."""
        revisions = {s.revision for s in self.sets.values() if s.pod_hash == pod_hash}
        plan = next((p for p in self.plans.values() if p.pod_hash == pod_hash or p.revision in revisions), None)
        return bool(plan and plan.template["spec"]["containers"][0].get("broken"))

    # -- invariants ---------------------------------------------------------------------------------------------------

    def truth(self) -> invariants.Truth:
        """How things really are, whatever the operator sees of it."""
        return replace(
            invariants.seen(self.snapshot()),
            weight=self.given,
            routes=self.routes,
            selects=(self.selectors[self.roles[0]], self.selectors[self.roles[1]]),
            wanted={s.pod_hash: s.replicas for s in self.sets.values() if not s.variant},
            ready={s.pod_hash: self.ready(s) for s in self.sets.values() if not s.variant},
            variants={s.pod_hash: self.ready(s) for s in self.sets.values() if s.variant},
            variant_services={name: chosen for name, chosen in self.selectors.items() if name not in MAIN},
        )

    def share(self, pod_hash: str) -> int:
        """Percent of the requests that can reach a revision."""
        return self.truth().share(pod_hash)

    def check(self, action: t.Action, status: RolloutStatus) -> None:
        """Preconditions of one write, on the truth."""
        plan = invariants.plan_under_way(self.plans.values(), status)
        stands = self.status.decision >= status.decision
        self.require(invariants.before_write(self.truth(), action, status, plan, stands=stands))

    def check_truth(self) -> None:
        """What must hold after every write."""
        self.require(invariants.weights_add_up((self.spec.total - self.weight, self.weight), self.spec.total))
        self.require(self.monotone.look(self.truth(), self.status))

    def check_rest(self) -> None:
        """At rest nothing refers to anything but stable."""
        self.require(invariants.at_rest(self.truth(), self.status, self.generation))

    def require(self, breaches: list[invariants.Breach]) -> None:
        """Stop with the story if a rule is broken."""
        if breaches:
            self.fail("; ".join(str(b) for b in breaches))

    # -- time ---------------------------------------------------------------------------------------------------------

    def settle(self, limit: float, until: tuple[str, ...] = ("Healthy", "Degraded")) -> None:
        """Run until the phase is one of these and nothing is left to do, or fail after `limit` seconds."""
        end = self.now + limit
        while self.now < end:
            turns = 0
            while self.turn():
                turns += 1
                if turns > 200:
                    self.fail("20: it does not come to rest")
            resting = until != ("Healthy", "Degraded") or not self._moving()
            if self.gone or (self.status.phase in until and not self.people and resting):
                return
            self.advance()
        self.fail(
            f"22: not {' or '.join(until)} within {limit} s: {self.status.phase}, {self.status.message}; {self.waiting}"
        )

    def _moving(self) -> bool:
        if self.pooled:
            stable = self.status.stable.pod_hash if self.status.stable else ""
            there = {h: n for h, n in self.endpoints("shop").items() if n}
            return there != ({stable: self.spec.replicas} if self.spec.replicas else {})
        variants = any(s.variant for s in self.sets.values())
        return self.given != 0 or bool(self.routes) or variants or len({self.selectors[n] for n in MAIN}) > 1

    def run_for(self, length: float) -> None:
        """Let time pass, deciding whenever something changes."""
        end = self.now + length
        while self.now < end and not self.gone:
            turns = 0
            while self.turn():
                turns += 1
                if turns > 200:
                    self.fail("20: it does not come to rest")
            self.advance(end)

    def advance(self, limit: float = INFINITE) -> None:
        """To the next moment at which something changes."""
        ahead = [m for m in self.moments() if m > self.now]
        self.now = min(*ahead, self.now + 30.0, limit) if ahead else min(self.now + 30.0, limit)
        self._answer()

    def moments(self) -> list[float]:
        """When something changes by itself."""
        moments = [at for s in self.sets.values() for at in s.pods if at > self.now and at < INFINITE]
        moments += [at for at, _ in self.pending.values()]
        moments += [self.route_written + self.gateway_delay, self.wake_at or INFINITE]
        return moments + [at + self.slice_delay for at in self.selector_changed.values()]

    def _answer(self) -> None:
        for key, (at, question) in sorted(self.pending.items()):
            if at > self.now:
                continue
            del self.pending[key]
            if self.random.random() < self.faults.provider_error:
                self.memory[key] = t.Answer(*key, at=self.now, error="Timeout")
                continue
            value, reached = self._measured(question)
            no_data = "NoData" if value is None or not reached else ""
            self.memory[key] = t.Answer(*key, at=self.now, value=None if no_data else value, no_data=no_data)

    def _measured(self, question: t.Question) -> tuple[float | None, bool]:
        """What the users of the Service in the query saw, and whether there were any."""
        if self.pooled:
            new = next((h for h in self.quality if h in question.query.text), "")
            return self.quality.get(new, 100.0), bool(self.endpoints("shop").get(new))
        if "compared{" in question.query.text:
            return self._compared(question)
        if self.spec.strategy.blue_green is None:
            return self.quality.get(self.selectors[self.roles[1]], 100.0), bool(self.given or self.routes)
        # The preview has its users, too: those who try it.
        service = "shop" if 'service="shop"' in question.query.text else "shop-canary"
        return self.quality.get(self.selectors[service], 100.0), True

    def _compared(self, question: t.Question) -> tuple[float | None, bool]:
        """How the worse of two variants does, where each has a pod; by their hashes or Services."""
        names = re.findall('"([^"]*)"', question.query.text)
        hashes = [self.selectors.get(name, name) for name in names]
        sets = [s for s in self.sets.values() if s.variant and s.pod_hash in hashes and self.ready(s)]
        of = {p.revision: p.pod_hash for p in self.plans.values()}
        found = [self.quality.get(of[s.revision], 100.0) for s in sets]
        return min((q for q in found if q is not None), default=None), len(sets) == len(names)

    # -- people -------------------------------------------------------------------------------------------------------

    def release(self, version: str, *, quality: float | None = 100.0, broken: bool = False) -> str:
        """Change the template; gives back its pod hash."""
        self.template = template(version, broken=broken)
        self.generation += 1
        self.status_version += 1
        pod_hash = self.wanted()[1]
        self.quality[pod_hash] = quality
        self.tell(f"the template becomes {version} ({pod_hash}, success {quality})")
        return pod_hash

    def person(self, verb: str, **more: Any) -> str:
        """Somebody creates a RolloutAction for what is current."""
        name = f"{verb}-{len(self.answered) + len(self.people)}"
        current = self.status.current
        view = t.ActionView(
            uid=name,
            name=name,
            resource_version="1",
            created_at=self.now,
            verb=verb,
            pod_hash=current.pod_hash if current else "",
            attempt=current.attempt if current else 1,
            author="ann",
            reason="because",
        )
        self.people[name] = replace(view, **more)
        return name

    def change_spec(self, **updates: Any) -> None:
        """Edit the spec."""
        self.spec = self.spec.model_copy(update=updates)
        self.generation += 1
        self.status_version += 1

    def tell(self, line: str) -> None:
        """Add to the story."""
        self.story.append(f"{self.now - START:8.2f} {line}")

    def fail(self, what: str) -> None:
        """Stop with the story."""
        raise Violation(what + "\n" + "\n".join(self.story[-60:]))


APART = GATE.model_copy(
    update={
        "checks": [
            GATE.checks[0].model_copy(
                update={
                    "prometheus": GATE.checks[0].prometheus.model_copy(
                        update={"query": GATE.checks[0].prometheus.query.model_copy(update={"template": "apart"})}
                    )
                }
            )
        ]
    }
)
"""The same gate with a query that tells the versions apart."""

__all__ = [
    "APART",
    "CONFIG",
    "GATE",
    "START",
    "Faults",
    "Violation",
    "World",
    "blue_green",
    "ratio",
    "seconds",
    "spec",
    "template",
]


def comes_to_rest(world: World, rounds: int = 40, afterwards: float = 120) -> None:
    """Faults are off, and a person answers what waits for one: the end is reached."""
    for _ in range(rounds):
        world.run_for(60)
        if world.status.paused:
            world.person("resume")
        elif world.status.phase == "Held":
            world.person("abort")
        elif "until someone promotes" in world.status.message:
            world.person("promote")
        elif world.status.phase in ("Healthy", "Degraded") and not world.people:
            break
    world.run_for(afterwards)
    if world.status.phase not in ("Healthy", "Degraded"):
        world.fail(f"22: it ends as {world.status.phase}: {world.status.message}")
    world.check_rest()


def stays_at_rest(world: World) -> None:
    """Ten minutes without work for the operator."""
    before = len(world.writes)
    world.run_for(600)
    if len(world.writes) > before + 6:
        world.fail(f"14: {world.writes[before:]} at rest")
