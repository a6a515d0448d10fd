"""A model of the world small enough to look at every state: the pure core with pods, a gateway, answers and faults.

Breadth-first over everything that can happen next: the operator's turn with each fate of its write, a pod that becomes
ready, endpoints that follow a selector, the gateway that serves a route, each answer of a check, people, and time. All
delays are zero, so that time stands still but for `tick`; what takes time in the world is an event that may come late.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from headgate.api.common import FINALIZER, LABEL_REVISION
from headgate.api.config import OperatorConfig
from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.decide import types as t
from headgate.decide.canary import allowance
from headgate.decide.journal import change, running
from headgate.decide.planning import plan_of_spec
from headgate.decide.revision import pod_hash_of, revision_of
from headgate.decide.rollout import decide

NOW = 1_800_000_000.0
TICK = 5.0
CONFIG = OperatorConfig.model_validate(
    {
        "metricProviders": {"default": {"address": "http://prometheus:9090"}},
        "queryTemplates": {"success": {"query": 'success{service="{{canaryService}}"}'}},
        "routeSettleSeconds": 0,
        "drainSeconds": 0,
    }
)
GATE = QualityGateSpec.model_validate(
    {
        "interval": "5s",
        "consecutiveErrorLimit": 0,
        "checks": [{"name": "success", "prometheus": {"query": {"template": "success"}}, "pass": {"min": 99}}],
    }
)
SPEC = RolloutSpec.model_validate(
    {
        "replicas": 3,
        "template": {},
        "progressDeadlineSeconds": 86400,
        "strategy": {
            "canary": {
                "stableService": "shop",
                "canaryService": "shop-canary",
                "scaleDownDelaySeconds": 0,
                "abortScaleDownDelaySeconds": 0,
                "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
                "steps": [{"setWeight": 20}, {"gate": {"ref": {"name": "golden"}, "count": 1}}, {"setWeight": 60}],
            }
        },
    }
)
TEMPLATES = {v: {"metadata": {"labels": {"app": "shop"}}, "spec": {"image": v}} for v in ("v1", "v2", "v3")}
REVISIONS = {v: revision_of(template) for v, template in TEMPLATES.items()}
HASHES = {v: pod_hash_of(r) for v, r in REVISIONS.items()}
VERSION_OF = {h: v for v, h in HASHES.items()} | {"": ""}


class Budget(NamedTuple):
    """How much may still go wrong or be done by people."""

    faults: int
    crashes: int
    releases: int
    aborts: int
    ticks: int


class Sets(NamedTuple):
    """One ReplicaSet: version, wanted pods, ready pods, version number of the object."""

    version: str
    replicas: int
    ready: int


class State(NamedTuple):
    """Everything; hashable, so that it is looked at once."""

    template: str
    status: str
    """Canonical JSON of the journal, without its running number."""
    claimed: bool
    sets: tuple[Sets, ...]
    plans: tuple[tuple[str, int], ...]
    selectors: tuple[str, str]
    """Versions that the stable and the canary Service select."""
    synced: tuple[bool, bool]
    """The endpoints follow the selector already."""
    held: tuple[str, str]
    """Versions that the endpoints held before, while not synced."""
    weight: int
    settled: bool
    abort: tuple[str, int] | None
    """Revision and attempt of an abort that has no answer yet."""
    asked: tuple[tuple[str, int], ...]
    answers: tuple[tuple[str, int, str], ...]
    time: int
    budget: Budget


def initial(budget: Budget) -> State:
    """Nothing was done yet."""
    status = encode(RolloutStatus())
    return State("v1", status, False, (), (), ("", ""), (True, True), ("", ""), 0, True, None, (), (), 0, budget)


def encode(status: RolloutStatus) -> str:
    """Canonical text of a journal. The running number and what is only for people is left out: it decides nothing."""
    bare = change(status, decision=0, message="", conditions=[], written_at=None, hold_message="", actions=[])
    # Interned: many states share a journal.
    return sys.intern(bare.model_dump_json(by_alias=True, exclude_defaults=True))


@lru_cache(maxsize=200_000)
def decode(text: str) -> RolloutStatus:
    """The journal of a text."""
    return RolloutStatus.model_validate_json(text)


@lru_cache(maxsize=1)
def _plan() -> t.Plan:
    meta = t.RolloutMeta("model", "shop", "uid", "1", 1, NOW)
    bare = t.Snapshot(meta, SPEC, RolloutStatus(), CONFIG, None, "", gates={"golden": GATE})
    return plan_of_spec(bare)


@lru_cache(maxsize=64)
def _plan_view(version: str, attempt: int) -> t.PlanView:
    name = f"shop-{HASHES[version]}-{attempt}"
    return t.PlanView(name, name, "1", REVISIONS[version], HASHES[version], attempt, TEMPLATES[version], _plan())


def endpoints(state: State, which: int) -> dict[str, int]:
    """Ready endpoints of a Service by pod hash."""
    chosen = state.selectors[which] if state.synced[which] else state.held[which]
    return {HASHES[s.version]: s.ready for s in state.sets if chosen in ("", s.version) and s.ready}


def snapshot(state: State) -> t.Snapshot:
    """What the operator sees."""
    verdicts = {"Pass": 100.0, "Fail": 50.0}
    answers = tuple(
        t.Answer(
            key,
            number,
            now_of(state),
            value=verdicts.get(verdict),
            no_data="NoData" if verdict == "Unknown" else "",
            error="Timeout" if verdict == "Error" else "",
        )
        for key, number, verdict in state.answers
    )
    abort = state.abort
    actions = (
        (t.ActionView("abort", "abort", "1", NOW, "abort", HASHES[abort[0]], abort[1], "ann", "because"),)
        if abort
        else ()
    )
    services = [
        t.ServiceView(
            name,
            found=True,
            resource_version="1",
            selector={"app": "shop"} | ({LABEL_REVISION: HASHES[chosen]} if chosen else {}),
            ready=endpoints(state, which),
        )
        for which, (name, chosen) in enumerate(zip(("shop", "shop-canary"), state.selectors, strict=True))
    ]
    return t.Snapshot(
        meta=t.RolloutMeta("model", "shop", "uid", "1", 1, NOW, finalizers=(FINALIZER,) if state.claimed else ()),
        spec=SPEC,
        status=decode(state.status),
        config=CONFIG,
        template=TEMPLATES[state.template],
        revision=REVISIONS[state.template],
        replica_sets=tuple(
            t.ReplicaSetView(
                name=f"shop-{HASHES[s.version]}",
                uid=s.version,
                resource_version="1",
                pod_hash=HASHES[s.version],
                revision=REVISIONS[s.version],
                owned=True,
                deleting=False,
                replicas=s.replicas,
                pods=s.replicas,
                ready=s.ready,
                available=s.ready,
                settled=True,
                min_ready_seconds=0,
                created_at=NOW,
            )
            for s in state.sets
        ),
        plans=tuple(_plan_view(v, a) for v, a in state.plans),
        stable_service=services[0],
        canary_service=services[1],
        routes=(
            t.RouteView(
                router="gatewayAPI",
                kind="HTTPRoute",
                name="shop",
                found=True,
                resource_version="1",
                weight=state.weight,
                settled=state.settled,
                settled_since=NOW if state.settled else None,
            ),
        ),
        gates={"golden": GATE},
        actions=actions,
        answers=answers,
    )


def now_of(state: State) -> float:
    """The time in a state."""
    return NOW + state.time * TICK


class Violation(Exception):  # noqa: N818 - a finding about the core
    """An invariant does not hold."""


def share(state: State, version: str) -> int:
    """Percent of the requests that reach a version."""
    stable = 100 - state.weight if state.selectors[0] in ("", version) else 0
    return stable + (state.weight if state.selectors[1] in ("", version) else 0)


def _check_write(state: State, action: t.Action, journal: RolloutStatus) -> None:
    if isinstance(action, t.SetWeight) and action.weight > state.weight:
        canary = next((s for s in state.sets if s.version == state.selectors[1]), None)
        if canary is None or canary.ready < math.ceil(SPEC.replicas * action.weight / 100):
            raise Violation(f"3: weight {action.weight} without the pods for it")
        run = running(journal)
        if run is None:
            raise Violation("6: the weight is raised while nothing is released")
        if run.pod_hash != HASHES[state.selectors[1]]:
            raise Violation("19: the weight is raised for another revision than the journal's")
        index = min(journal.current_step_index, len(_plan().steps) - 1)
        if action.weight > allowance(_plan().steps, index, SPEC.replicas).weight:
            raise Violation(f"2: weight {action.weight} is above step {index}")
    if isinstance(action, t.ScaleReplicaSet):
        version = VERSION_OF[action.name.removeprefix("shop-")]
        found = next(s for s in state.sets if s.version == version)
        if action.replicas < found.replicas and share(state, version) and version in state.selectors:
            raise Violation(f"4: {version} loses pods with {share(state, version)}% of the requests")
    if isinstance(action, t.SetSelector) and action.name == "shop" and action.exposure == "raise":
        version = VERSION_OF[action.pod_hash]
        serving = next((s for s in state.sets if s.version == version), None)
        if serving is None or serving.ready < SPEC.replicas:
            raise Violation(f"3: the stable Service is pointed at {version} without its pods")


def _check_journal(state: State, after: RolloutStatus) -> None:
    before = decode(state.status)
    old, new = running(before), running(after)
    if old and new and old == new and after.current_step_index - before.current_step_index not in (0, 1):
        raise Violation("10: a step is skipped")
    if after.stable and before.stable and after.stable.revision != before.stable.revision:
        gate = next((g for g in after.gates if g.step == 1), None)
        gates = [*before.gates, *after.gates]
        if not any(g.step == 1 and g.verdict == "Pass" and g.pod_hash == after.stable.pod_hash for g in gates):
            raise Violation(f"8: {after.stable.pod_hash} is promoted without a Pass: {gate}")


def apply(state: State, action: t.Action) -> State:
    """The world after a write."""
    match action:
        case t.SetFinalizer():
            return state._replace(claimed=action.present)
        case t.CreatePlan():
            plan = (VERSION_OF[action.pod_hash], action.attempt)
            return state._replace(plans=tuple(sorted({*state.plans, plan})))
        case t.DeletePlan():
            return state._replace(plans=tuple(p for p in state.plans if _plan_view(*p).name != action.name))
        case t.CreateReplicaSet():
            version = VERSION_OF[action.pod_hash]
            if any(s.version == version for s in state.sets):
                return state  # AlreadyExists
            return state._replace(sets=tuple(sorted((*state.sets, Sets(version, action.replicas, 0)))))
        case t.ScaleReplicaSet():
            version = VERSION_OF[action.name.removeprefix("shop-")]
            return state._replace(
                sets=tuple(
                    Sets(version, action.replicas, min(s.ready, action.replicas)) if s.version == version else s
                    for s in state.sets
                )
            )
        case t.DeleteReplicaSet():
            return state._replace(sets=tuple(s for s in state.sets if f"shop-{HASHES[s.version]}" != action.name))
        case t.SetSelector():
            which = 0 if action.name == "shop" else 1
            chosen, synced, held = list(state.selectors), list(state.synced), list(state.held)
            held[which] = chosen[which] if synced[which] else held[which]
            chosen[which], synced[which] = VERSION_OF[action.pod_hash], False
            return state._replace(
                selectors=(chosen[0], chosen[1]), synced=(synced[0], synced[1]), held=(held[0], held[1])
            )
        case t.SetWeight():
            return state._replace(weight=action.weight, settled=False)
        case t.AnswerAction():
            return state._replace(abort=None)
    raise Violation(f"nobody knows how to {action}")


_NO_BUDGET = Budget(0, 0, 0, 0, 0)


@lru_cache(maxsize=500_000)
def _decision(state: State) -> t.Decision:
    """The decision in a state; what may still go wrong is no part of what the operator sees."""
    return decide(snapshot(state), now_of(state))


def operator_turns(state: State) -> Iterator[tuple[str, State, bool]]:
    """The operator's turn with each fate: label, state after it, whether something went wrong."""
    decision = _decision(state._replace(budget=_NO_BUDGET))
    action = decision.action
    lowering = action is not None and action.exposure == "lower"
    if action is not None:
        _check_write(state, action, decision.status)
    if decision.write:
        _check_journal(state, decision.status)
    asked = tuple(
        sorted({*state.asked, *((q.key, q.number) for q in decision.questions)} - {a[:2] for a in state.answers})
    )

    def journalled(world: State) -> State:
        text = encode(decision.status)
        return world._replace(status=text, answers=()) if decision.write else world

    calm = state._replace(asked=asked)
    done = journalled(apply(calm, action) if action is not None else calm)
    label = f"operator: {action.key if action else 'journal' if decision.write else 'asks'}"
    if done != state:
        yield label, done, False
    budget = state.budget
    if budget.faults and action is not None:
        fewer = budget._replace(faults=budget.faults - 1)
        refused = calm if lowering and not decision.write else journalled(calm)
        yield f"{label} (conflict)", refused._replace(budget=fewer), True
    if budget.faults and decision.write and not lowering:
        yield f"{label} (status refused)", calm._replace(budget=budget._replace(faults=budget.faults - 1)), True
    if budget.crashes:
        fewer = budget._replace(crashes=budget.crashes - 1)
        yield f"{label} (killed before)", state._replace(budget=fewer, asked=(), answers=()), True
        if decision.write and action is not None:
            between = apply(calm, action) if lowering else journalled(calm)
            yield f"{label} (killed between its writes)", between._replace(budget=fewer, asked=(), answers=()), True
        if done != state:
            yield f"{label} (killed after)", done._replace(budget=fewer, asked=(), answers=()), True


def world_turns(state: State) -> Iterator[tuple[str, State, bool]]:
    """What the world does by itself: label, state, whether it is more than what must come."""
    for s in state.sets:
        if s.ready < s.replicas:
            # One at a time for the first, then the rest at once: the order of equal pods is no difference.
            ready = s.ready + 1 if s.ready == 0 else s.replicas
            sets = tuple(x if x != s else s._replace(ready=ready) for x in state.sets)
            yield f"{s.version}: {ready} pods ready", state._replace(sets=sets), False
    for which, name in enumerate(("stable", "canary")):
        if not state.synced[which]:
            synced = (True, state.synced[1]) if which == 0 else (state.synced[0], True)
            yield f"the endpoints of the {name} Service follow", state._replace(synced=synced), False
    if not state.settled:
        yield "the gateway serves the route", state._replace(settled=True), False
    for question in state.asked:
        rest = tuple(q for q in state.asked if q != question)
        for verdict in ("Pass", "Fail", "Unknown", "Error"):
            answers = tuple(sorted((*state.answers, (*question, verdict))))
            yield f"the answer is {verdict}", state._replace(asked=rest, answers=answers), verdict != "Pass"


def people_turns(state: State) -> Iterator[tuple[str, State, bool]]:
    """What people and time do."""
    budget, status = state.budget, decode(state.status)
    if budget.ticks:
        yield "time passes", state._replace(time=state.time + 1, budget=budget._replace(ticks=budget.ticks - 1)), False
    if status.stable is None:
        return
    if budget.releases:
        for version in TEMPLATES:
            if version != state.template:
                fewer = budget._replace(releases=budget.releases - 1)
                yield f"the template becomes {version}", state._replace(template=version, budget=fewer), True
    run = running(status)
    if budget.aborts and state.abort is None and run is not None:
        fewer = budget._replace(aborts=budget.aborts - 1)
        yield "somebody aborts", state._replace(abort=(VERSION_OF[run.pod_hash], run.attempt), budget=fewer), True


def successors(state: State) -> Iterator[tuple[str, State, bool]]:
    """Everything that can happen next."""
    yield from operator_turns(state)
    yield from world_turns(state)
    yield from people_turns(state)


def is_rest(state: State) -> bool:
    """The right end: one version serves with all its pods, the other has none, and nothing is under way."""
    status = decode(state.status)
    if status.stable is None or running(status) is not None or status.phase not in ("Healthy", "Degraded"):
        return False
    stable = VERSION_OF[status.stable.pod_hash]
    wanted = state.template == stable or any(r.revision == REVISIONS[state.template] for r in status.rejected)
    serving = next((s for s in state.sets if s.version == stable), None)
    return (
        wanted
        and state.weight == 0
        and state.settled
        and state.selectors == (stable, stable)
        and serving is not None
        and serving.ready == SPEC.replicas
        and all(s.replicas == 0 for s in state.sets if s.version != stable)
    )
