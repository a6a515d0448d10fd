"""What must always hold, each rule once: asked before our own writes, of every modelled state, of recorded histories.

The rules speak of `Truth`, which anybody can fill who sees a cluster: the operator from its snapshot, a simulation from
what really is, a checker of histories from recorded versions of objects. Numbers and names are for people: they stand
in stories, in the condition that a broken rule becomes, and in docs/reliability.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from enum import Enum

from headgate.api.common import FINALIZER, PERCENT, portion
from headgate.api.gate import GateRun
from headgate.api.rollout import RolloutStatus
from headgate.api.values import dataclass
from headgate.decide import experiment
from headgate.decide.canary import allowance, staying
from headgate.decide.in_place import CLOSED, new_pods
from headgate.decide.journal import GATES_LIMIT, is_rejected, number_after, running
from headgate.decide.managed import is_share, keys_of, leading, names_of, service_of, shares, to_canary
from headgate.decide.mover import WantedVariant, floor_of, led, need, observed_weight, pods_for, selected
from headgate.decide.pool import Bounds, bounds, split
from headgate.decide.rolling import allowance as batches
from headgate.decide.rolling import opened
from headgate.decide.types import (
    Action,
    CreateReplicaSet,
    DeleteReplicaSet,
    EvictPod,
    HoldTemplate,
    Plan,
    PlanView,
    ScaleReplicaSet,
    SetFinalizer,
    SetPartition,
    SetSelector,
    SetWeight,
    Snapshot,
)


class Rule(Enum):
    """One rule: its number and its sentence."""

    WEIGHTS_SUM = 1, "weights of a route are integers from 0 to 100 that sum to 100, or to maxTrafficWeight"
    STEP_ALLOWS = 2, "the canary's weight is never above what the present step allows"
    CAPACITY_FIRST = 3, "a version gets a share of the requests only while it has the ready pods for it"
    WEIGHT_FIRST_DOWN = 4, "no pods are taken from a version while requests can reach it"
    STABLE_FLOOR = (
        5,
        "the stable version keeps its pods until the promotion is final: for the full load, or where chosen its share",
    )
    LOWER_FIRST = 6, "after a failed verdict or an abort no write raises that version's share again"
    NOTHING_REFERS = 7, "after a rollback nothing refers to the version that was taken back"
    ONLY_PASS_PASSES = 8, "a version is promoted only past gates that passed, or that a person overrode"
    OWN_VERDICT = 9, "a verdict counts for its own revision and attempt only"
    STEPS_IN_ORDER = 10, "steps run in order, none skipped or done twice, and exposure waits for the journal"
    PAUSE_HOLDS = 13, "while paused, or held by a timeout, nothing raises exposure"
    NEWEST_WINS = 18, "at the end the journal speaks of the newest spec"
    NOT_THE_OTHERS = 19, "only the revision that is being released gets requests"
    NOTHING_LEFT = 25, "nothing is left behind after the end"
    SEQUENCE = 26, "every decision has a number of its own, the one after the last"
    HOME_BEFORE_GONE = 29, "the traffic is with the stable Service before the finalizer goes"
    REASONS = 33, "every condition says why"
    OWN_STEP = 34, "a variant of an experiment comes and stays for its own step of its own attempt"

    @property
    def number(self) -> int:
        """Its number."""
        return self.value[0]

    @property
    def sentence(self) -> str:
        """What must hold."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken rule and how it is broken."""

    rule: Rule
    how: str

    def __str__(self) -> str:
        return f"{self.rule.number}: {self.how} ({self.rule.sentence})"


@dataclass(frozen=True, slots=True)
class Truth:
    """The part of a cluster that the rules speak of."""

    replicas: int
    """Pods that carry the full load."""
    weight: int
    """The canary's weight in percent; the greatest, if there are several routes."""
    selects: tuple[str, str]
    """Pod hashes that the stable and the canary Service select; empty where a Service selects no particular one."""
    wanted: Mapping[str, int] = field(default_factory=dict)
    """`spec.replicas` by pod hash."""
    ready: Mapping[str, int] = field(default_factory=dict)
    """Pods that can serve, by pod hash."""
    services: tuple[str, str] = ("", "")
    """Names of the two Services."""
    routed: bool = True
    """There is a route that can be written to."""
    paused: bool = False
    """`spec.paused`."""
    partition: int | None = None
    """Of a workload that is released in place, whose pods of a lower ordinal stay old; None for any other."""
    held: str | None = None
    """Of a DaemonSet, what pods that are made now are called, or nothing where anybody may have written the template;
    None for any other."""
    stable_mark: str = ""
    """What the pods of its stable revision are called."""
    all_ready: bool = True
    """All its pods are ready."""
    new: int = 0
    """Its pods that are not of the revision that all had last."""
    budget: bool = True
    """Every PodDisruptionBudget of its pods allows a disruption."""
    deleting: bool = False
    routes: tuple[str, ...] = ()
    """Keys of the routes by header, for sessions and the mirrors that lead to the canary Service, and of shares."""
    uid: str = ""
    """The Rollout's."""
    variants: Mapping[str, int] = field(default_factory=dict)
    """Pods that can serve, by the pod hash of each variant that is there."""
    variant_services: Mapping[str, str] = field(default_factory=dict)
    """Pod hashes that the Services of variants select, by their names; empty where one selects no particular one."""
    pool: Bounds | None = None
    """The pods behind one Service are the weight, within these bounds."""
    floor: int = 0
    """Pods that a version has at least while it gets requests."""
    total: int = PERCENT
    """What the weights are a part of."""
    least: int | None = None
    """The least of the weights, if there are several routes."""
    excused: bool = False
    """It may go without handing back: route and Services are another Rollout's, or the whole namespace goes."""

    @property
    def in_place(self) -> bool:
        """Its pods are replaced in place."""
        return self.partition is not None or self.held is not None

    @property
    def closed(self) -> bool:
        """No pod of a workload that is released in place becomes new."""
        return self.held == self.stable_mark if self.held is not None else (self.partition or 0) >= CLOSED

    def share(self, pod_hash: str) -> int:
        """The part of the requests that can reach a revision; of those of a route by header nobody knows how many."""
        if self.pool is not None:
            there = {h: min(n, self.wanted.get(h, 0)) for h, n in self.ready.items()}
            return round(100 * there.get(pod_hash, 0) / sum(there.values())) if any(there.values()) else 0
        least = self.weight if self.least is None else self.least
        stable = self.total - least if self.selects[0] in ("", pod_hash) else 0
        canary = max(self.weight, 1 if to_canary(self.routes) else 0)
        return min(self.total, stable + (canary if self.selects[1] in ("", pod_hash) else 0))

    def said(self, weight: int) -> str:
        """A weight for people."""
        return portion(weight, self.total)

    def needs(self, weight: int) -> int:
        """Pods that a version needs for its share."""
        return pods_for(self.replicas, weight, self.floor, self.total)


def seen(snapshot: Snapshot) -> Truth:
    """The truth as far as a snapshot shows it."""
    owned = [r for r in snapshot.replica_sets if r.owned and not r.deleting]
    variants = {r.pod_hash: r.available if r.settled else 0 for r in snapshot.variants if r.owned and not r.deleting}
    variant_services = {name: selected(s) for name, s in snapshot.variant_services.items() if s.found}
    workload = snapshot.workload
    place = workload.in_place if workload is not None and workload.found else None
    if workload is not None and place is not None:
        return Truth(
            replicas=workload.replicas,
            weight=0,
            selects=("", ""),
            routed=False,
            paused=snapshot.spec.paused,
            partition=place.partition if place.held is None else None,
            held=None if place.held is None else (place.next if place.held.sure else ""),
            stable_mark=place.now,
            all_ready=place.ready == workload.available == workload.pods == workload.replicas,
            new=new_pods(snapshot, workload, place),
            budget=all(b.allowed for b in snapshot.budgets),
            deleting=snapshot.meta.deleting,
            uid=snapshot.meta.uid,
            variants=variants,
            variant_services=variant_services,
            excused=bool(snapshot.contenders) or snapshot.namespace_terminating,
        )
    canary = snapshot.spec.strategy.canary
    return Truth(
        pool=bounds(snapshot.spec, canary) if canary is not None and canary.traffic_routing is None else None,
        replicas=snapshot.spec.replicas,
        weight=observed_weight(snapshot),
        routes=led(snapshot),
        selects=(selected(snapshot.stable_service), selected(snapshot.canary_service)),
        wanted={r.pod_hash: r.replicas for r in owned},
        ready={r.pod_hash: r.available for r in owned if r.settled},
        services=(snapshot.stable_service.name, snapshot.canary_service.name),
        uid=snapshot.meta.uid,
        variants=variants,
        variant_services=variant_services,
        routed=any(r.found and not r.problem for r in snapshot.routes),
        floor=floor_of(snapshot.spec),
        total=snapshot.spec.total,
        least=min((r.weight for r in snapshot.routes), default=0),
        paused=snapshot.spec.paused,
        deleting=snapshot.meta.deleting,
        excused=bool(snapshot.contenders) or snapshot.namespace_terminating,
    )


def plan_under_way(plans: Iterable[PlanView], journal: RolloutStatus) -> Plan | None:
    """The plan of the attempt that a journal says is under way."""
    run = running(journal)
    if run is None:
        return None
    return next((p.plan for p in plans if (p.revision, p.attempt) == (run.revision, run.attempt)), None)


def guard(snapshot: Snapshot, action: Action, journal: RolloutStatus) -> list[Breach]:
    """What the operator's own write would break, as far as it sees; asked once more before the write is sent.

    A write that lowers exposure waits for nothing. The journal of any other stands when this is asked.
    """
    if action.exposure == "lower":
        return []
    return before_write(seen(snapshot), action, journal, plan_under_way(snapshot.plans, journal), stands=True)


# --------------------------------------------------------------------------------------------------------------------
# One write
# --------------------------------------------------------------------------------------------------------------------


def before_write(
    truth: Truth, action: Action, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> list[Breach]:
    """What one write would break.

    Args:
        truth: how things are at the moment of the write.
        action: the write.
        journal: the journal of the same decision.
        plan: the plan of the attempt under way, if there is one.
        stands: that journal was written.
    """
    of_variant = _of_variant(truth, action, journal, plan, stands=stands)
    return list(_broken_by(truth, action, journal, plan, stands=stands) if of_variant is None else of_variant)


def _broken_by(
    truth: Truth, action: Action, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> Iterator[Breach]:
    match action:
        case SetWeight():
            if not 0 <= action.weight <= truth.total:
                yield Breach(Rule.WEIGHTS_SUM, f"weight {action.weight}")
            keys = keys_of(action.routes)
            if action.exposure == "raise" or action.weight > truth.weight or not set(keys) <= set(truth.routes):
                yield from _raise(truth, action.weight, journal, plan, stands=stands, keys=keys)
            elif truth.selects[1] != truth.selects[0] and (
                action.weight < truth.weight or set(keys) < set(truth.routes)
            ):
                yield from _take_back(truth, action.weight, journal)
        case SetSelector():
            yield from _select(truth, action, journal, plan, stands=stands)
        case SetPartition() | HoldTemplate() | EvictPod():
            yield from _in_place(truth, action, journal, plan, stands=stands)
        case ScaleReplicaSet():
            pod_hash = next((h for h in truth.wanted if action.name.endswith(f"-{h}")), "")
            yield from _scale(truth, pod_hash, action.replicas, journal)
            yield from _pool(truth, pod_hash, action.replicas, journal, plan, stands=stands)
        case DeleteReplicaSet():
            pod_hash = next((h for h in truth.wanted if action.name.endswith(f"-{h}")), "")
            yield from _scale(truth, pod_hash, 0, journal)
        case CreateReplicaSet():
            if action.replicas < 0:
                yield Breach(Rule.STABLE_FLOOR, f"{action.replicas} pods for {action.pod_hash}")
            yield from _pool(truth, action.pod_hash, action.replicas, journal, plan, stands=stands)
        case SetFinalizer() if not action.present:
            yield from _let_go(truth, journal)


def _raise(
    truth: Truth,
    weight: int,
    journal: RolloutStatus,
    plan: Plan | None,
    *,
    stands: bool,
    keys: tuple[str, ...] = (),
) -> Iterator[Breach]:
    canary, run = truth.selects[1], running(journal)
    what = f"weight {weight}" + (f" and the routes {names_of(keys)}" if keys else "")
    there, wanted = truth.ready.get(canary, 0), max(truth.needs(weight), _led(truth, keys, journal, plan))
    # What raises the shares of variants alone asks nothing of the canary.
    if there < wanted and not (weight <= truth.weight and set(to_canary(keys)) <= set(truth.routes)):
        yield Breach(Rule.CAPACITY_FIRST, f"{what} for {canary or 'no revision'} with {there} of {wanted} pods")
    if not stands:
        yield Breach(Rule.STEPS_IN_ORDER, f"{what} before the journal stands")
    if truth.paused or journal.paused is not None:
        yield Breach(Rule.PAUSE_HOLDS, f"{what} while paused")
    if journal.step_timer is not None and journal.step_timer.ran_out == "Hold":
        yield Breach(Rule.PAUSE_HOLDS, f"{what} while a step that took too long is held")
    if run is None:
        yield Breach(Rule.LOWER_FIRST, f"{what} while nothing is released")
        return
    if run.pod_hash != canary:
        yield Breach(Rule.NOT_THE_OTHERS, f"{what} for {canary or 'all'} while {run.pod_hash} is released")
    record = is_rejected(journal, run.revision)
    if record is not None and record.attempt >= run.attempt:
        yield Breach(Rule.LOWER_FIRST, f"{what} for {run.pod_hash}, which was taken back: {record.reason}")
    if plan is None:
        yield Breach(Rule.STEP_ALLOWS, f"{what} without a plan")
    elif not run.fast and plan.steps:
        index = min(journal.current_step_index, len(plan.steps) - 1)
        allowed = allowance(plan.steps, index, truth.replicas)
        past = journal.current_step_index >= len(plan.steps)
        if weight > allowed.weight and not past:
            yield Breach(Rule.STEP_ALLOWS, f"{what} at step {index + 1}, which allows {allowed.weight}")
        routes = leading(plan, run, allowed.weight or int(past), allowed.routes)
        strangers = set(keys) - set(keys_of((*routes, *(() if past else shares(plan.steps[index])))))
        if strangers:
            how = f"the routes {names_of(sorted(strangers))} at step {index + 1}, which does not allow them"
            yield Breach(Rule.STEP_ALLOWS, how)

    yield from _share(truth, keys, journal, plan)


def _share(truth: Truth, keys: tuple[str, ...], journal: RolloutStatus, plan: Plan | None) -> Iterator[Breach]:
    """A variant gets requests when all its pods are there, and its Service leads to them."""
    variants = {one.service: one for one in experiment.wanted(truth.uid, journal, plan)}
    for key in keys:
        if not is_share(key) or key in truth.routes:
            continue
        one = variants.get(service_of(key))
        there = truth.variants.get(one.pod_hash, 0) if one is not None else 0
        if one is None or there < one.replicas:
            wanted = one.replicas if one is not None else "no"
            yield Breach(Rule.CAPACITY_FIRST, f"{names_of((key,))} gets a share with {there} of {wanted} pods")
        elif truth.variant_services.get(one.service) != one.pod_hash:
            yield Breach(Rule.CAPACITY_FIRST, f"{names_of((key,))} gets a share and leads elsewhere than to {one.name}")


def _variant(
    truth: Truth,
    what: str,
    wanted: Callable[[WantedVariant], bool],
    journal: RolloutStatus,
    plan: Plan | None,
    *,
    stands: bool,
) -> Iterator[Breach]:
    """A variant comes up or is led to in its own step, when the journal says that, and not while paused."""
    if not stands:
        yield Breach(Rule.STEPS_IN_ORDER, f"{what} before the journal stands")
    if truth.paused or journal.paused is not None:
        yield Breach(Rule.PAUSE_HOLDS, f"{what} while paused")
    if not any(map(wanted, experiment.wanted(truth.uid, journal, plan))):
        yield Breach(Rule.OWN_STEP, f"{what}, which the present step has not")


def _pods_wanted(truth: Truth, pod_hash: str, journal: RolloutStatus, plan: Plan | None) -> int:
    """Pods that the variant with this pod hash has at the present step; none if the step does not have it."""
    return sum(one.replicas for one in experiment.wanted(truth.uid, journal, plan) if one.pod_hash == pod_hash)


def _of_variant(
    truth: Truth, action: Action, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> Iterator[Breach] | None:
    """What a write of a variant breaks; None of any other write."""
    if isinstance(action, CreateReplicaSet) and action.variant:
        return _variant_comes(truth, action, journal, plan, stands=stands)
    if isinstance(action, SetSelector) and action.name in truth.variant_services:
        return _lead_to_variant(truth, action, journal, plan, stands=stands)
    if isinstance(action, (ScaleReplicaSet, DeleteReplicaSet)):
        pod_hash = next((h for h in truth.variants if action.name.endswith(f"-{h}")), "")
        return _variant_goes(truth, action, pod_hash, journal, plan) if pod_hash else None
    return None


def _variant_comes(
    truth: Truth, action: CreateReplicaSet, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> Iterator[Breach]:
    what = f"{action.replicas} pods are made of variant {action.variant}, {action.pod_hash}"

    def is_it(one: WantedVariant) -> bool:
        return (one.pod_hash, one.replicas) == (action.pod_hash, action.replicas)

    yield from _variant(truth, what, is_it, journal, plan, stands=stands)


def _lead_to_variant(
    truth: Truth, action: SetSelector, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> Iterator[Breach]:
    present = {one.service for one in experiment.wanted(truth.uid, journal, plan)}
    led_to = {service_of(key) for key in truth.routes if is_share(key)}
    if not action.pod_hash and (truth.deleting or action.name not in present | led_to):
        return  # It is handed back.
    if journal.stable is not None and action.pod_hash == journal.stable.pod_hash:
        return  # The way back of a share that cannot be taken back waits for nothing.
    what = f"{action.name} is pointed at {action.pod_hash or 'all'}"

    def is_it(one: WantedVariant) -> bool:
        return (one.pod_hash, one.service) == (action.pod_hash, action.name)

    yield from _variant(truth, what, is_it, journal, plan, stands=stands)
    there, wanted = truth.variants.get(action.pod_hash, 0), _pods_wanted(truth, action.pod_hash, journal, plan)
    if there < wanted:
        yield Breach(Rule.CAPACITY_FIRST, f"{what} with {there} of {wanted} pods")
    if any(is_share(key) and service_of(key) == action.name for key in truth.routes):
        yield Breach(Rule.WEIGHT_FIRST_DOWN, f"{what} while it has a share of the requests")


def _variant_goes(
    truth: Truth,
    action: ScaleReplicaSet | DeleteReplicaSet,
    pod_hash: str,
    journal: RolloutStatus,
    plan: Plan | None,
) -> Iterator[Breach]:
    wanted = _pods_wanted(truth, pod_hash, journal, plan)
    if isinstance(action, ScaleReplicaSet) and wanted and action.replicas >= wanted:
        return
    if wanted and not truth.deleting:
        yield Breach(Rule.OWN_STEP, f"{action.name} loses its pods while its step lasts")
    if (truth.paused or journal.paused is not None) and not truth.deleting:
        yield Breach(Rule.PAUSE_HOLDS, f"{action.name} loses its pods while paused")
    led_to = [service_of(key) for key in truth.routes if is_share(key)]
    if any(truth.variant_services.get(service) == pod_hash for service in led_to):
        yield Breach(Rule.WEIGHT_FIRST_DOWN, f"{action.name} loses its pods with a share of the requests")


def _led(truth: Truth, keys: tuple[str, ...], journal: RolloutStatus, plan: Plan | None) -> int:
    """Pods for what routes lead: how many requests come by them nobody knows, but for those of who stays."""
    run = running(journal)
    stay = plan is not None and run is not None and set(keys).intersection(keys_of(leading(plan, run, 1, ())))
    index = journal.current_step_index
    least = staying(plan, index, truth.replicas, truth.total) if plan is not None and stay else 0
    return max(least, min(1, truth.replicas) if to_canary(keys) else 0)


def _restart(truth: Truth, action: EvictPod, journal: RolloutStatus) -> Iterator[Breach]:
    """Pods are replaced only while nothing else goes on, and only where most of them serve."""
    if running(journal) is not None:
        yield Breach(Rule.STABLE_FLOOR, f"{action.name} is evicted while a revision is released")
    if truth.paused:
        yield Breach(Rule.PAUSE_HOLDS, f"{action.name} is evicted while paused")


def _take_back(truth: Truth, weight: int, journal: RolloutStatus) -> Iterator[Breach]:
    """Where the stable version has given pods away it gets no more requests than the pods that it has can take."""
    if journal.stable is None or not journal.weights.stable_follows or truth.deleting:
        return
    stable = journal.stable.pod_hash
    there, wanted = truth.ready.get(stable, 0), truth.needs(truth.total - weight)
    lost = there and not truth.ready.get(truth.selects[1], 0)
    if there < wanted and not lost:
        share = truth.said(truth.total - weight)
        yield Breach(Rule.CAPACITY_FIRST, f"{share} for stable {stable} with {there} of {wanted} pods")


def _in_place(
    truth: Truth,
    action: SetPartition | HoldTemplate | EvictPod,
    journal: RolloutStatus,
    plan: Plan | None,
    *,
    stands: bool,
) -> Iterator[Breach]:
    if not truth.in_place:
        if isinstance(action, EvictPod):
            yield from _restart(truth, action, journal)
        return
    if isinstance(action, SetPartition):
        yield from _open(truth, action, truth.partition or 0, journal, plan, stands=stands)
    elif isinstance(action, HoldTemplate):
        yield from _hold(truth, action, journal, plan, stands=stands)
    elif action.exposure == "raise":
        yield from _replace(truth, action, journal, plan, stands=stands)
    elif not truth.closed:
        how = f"under a partition of {truth.partition}" if truth.held is None else "while its template is not stable"
        yield Breach(Rule.STEPS_IN_ORDER, f"{action.name} is evicted {how}")


def _open(
    truth: Truth, action: SetPartition, partition: int, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> Iterator[Breach]:
    if action.partition >= partition or truth.deleting:
        return
    yield from _more(truth, opened(action.partition, truth.replicas), journal, plan, stands=stands)


def _hold(
    truth: Truth, action: HoldTemplate, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> Iterator[Breach]:
    """What opens a DaemonSet for pods that are new."""
    if journal.stable is None or action.revision in (truth.stable_mark, truth.held) or truth.deleting:
        return
    run = running(journal)
    if run is not None and action.revision != run.pod_hash:
        yield Breach(Rule.NOT_THE_OTHERS, f"pods become {action.revision} while {run.pod_hash} is released")
    yield from _more(truth, min(truth.new + 1, truth.replicas), journal, plan, stands=stands)


def _replace(
    truth: Truth, action: EvictPod, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> Iterator[Breach]:
    run = running(journal)
    if run is None or truth.held != run.pod_hash:
        yield Breach(Rule.STEPS_IN_ORDER, f"{action.name} is evicted to become new, and would not")
    yield from _more(truth, truth.new + 1, journal, plan, stands=stands)


def _more(truth: Truth, pods: int, journal: RolloutStatus, plan: Plan | None, *, stands: bool) -> Iterator[Breach]:
    """So many pods may be new from now on."""
    run = running(journal)
    if not stands:
        yield Breach(Rule.STEPS_IN_ORDER, f"{pods} pods may be new before the journal stands")
    if truth.paused or journal.paused is not None:
        yield Breach(Rule.PAUSE_HOLDS, f"{pods} pods may be new while paused")
    if not truth.all_ready:
        yield Breach(Rule.CAPACITY_FIRST, f"{pods} pods may be new before all that are there are ready")
    if not truth.budget:
        yield Breach(Rule.CAPACITY_FIRST, f"{pods} pods may be new while a PodDisruptionBudget allows no disruption")
    if run is None:
        yield Breach(Rule.LOWER_FIRST, f"{pods} pods may be new while nothing is released")
        return
    record = is_rejected(journal, run.revision)
    if record is not None and record.attempt >= run.attempt:
        yield Breach(Rule.LOWER_FIRST, f"pods may be of {run.pod_hash}, which was taken back: {record.reason}")
    if plan is None:
        yield Breach(Rule.STEP_ALLOWS, f"{pods} pods may be new without a plan")
    elif journal.current_step_index < len(plan.steps):
        index = journal.current_step_index
        allowed = batches(plan.steps, index, truth.replicas).replicas
        if pods > allowed:
            yield Breach(Rule.STEP_ALLOWS, f"{pods} pods may be new at step {index + 1}, which allows {allowed}")


def _select(
    truth: Truth, action: SetSelector, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> Iterator[Breach]:
    back = journal.stable is None or action.pod_hash == journal.stable.pod_hash
    if back and action.name == truth.services[0]:
        yield from _take_back(truth, truth.weight if truth.least is None else truth.least, journal)
    if (action.exposure == "lower" and back) or truth.deleting or not action.pod_hash:
        return
    there = truth.ready.get(action.pod_hash, 0)
    if action.name == truth.services[0]:
        if there < truth.replicas:
            how = f"{action.name} is pointed at {action.pod_hash} with {there} of {truth.replicas} pods"
            yield Breach(Rule.CAPACITY_FIRST, how)
        allowed = {r.pod_hash for r in (journal.stable, journal.current) if r is not None}
        if action.pod_hash not in allowed:
            yield Breach(Rule.NOT_THE_OTHERS, f"{action.name} is pointed at {action.pod_hash}, which is not released")
        elif journal.stable is not None and action.pod_hash != journal.stable.pod_hash:
            if any(map(is_share, truth.routes)):
                how = f"{action.name} is pointed at {action.pod_hash} while variants get requests"
                yield Breach(Rule.OWN_STEP, how)
            yield from _raise(truth, truth.total, journal, plan, stands=stands)
    elif (truth.weight or truth.routes) and action.pod_hash != truth.selects[1]:
        wanted = max(need(truth.replicas, truth.weight, truth.total), min(1, truth.replicas))
        if there < wanted:
            under = f"under {truth.said(truth.weight)} with {there} of {wanted} pods"
            how = f"{action.name} is pointed at {action.pod_hash} {under}"
            yield Breach(Rule.CAPACITY_FIRST, how)


def _scale(truth: Truth, pod_hash: str, replicas: int, journal: RolloutStatus) -> Iterator[Breach]:
    if replicas >= truth.wanted.get(pod_hash, 0) or truth.pool is not None:
        return
    share = truth.share(pod_hash) if pod_hash in truth.selects else 0
    if replicas < truth.needs(share):
        yield Breach(
            Rule.WEIGHT_FIRST_DOWN, f"{pod_hash} is scaled to {replicas} with {truth.said(share)} of the requests"
        )
    stable = journal.stable
    follows = bool(journal.weights.stable_follows) and running(journal) is not None
    fixed = stable is not None and stable.pod_hash == pod_hash and not follows
    if stable is not None and fixed and replicas < truth.replicas and not truth.deleting:
        yield Breach(Rule.STABLE_FLOOR, f"stable {pod_hash} is scaled to {replicas} of {truth.replicas}")


def _pool(
    truth: Truth, pod_hash: str, replicas: int, journal: RolloutStatus, plan: Plan | None, *, stands: bool
) -> Iterator[Breach]:
    """Where the pods are the weight: never too few or too many in all, no more new ones than the step allows."""
    if truth.pool is None:
        return
    have, run = truth.wanted.get(pod_hash, 0), running(journal)
    total = sum(truth.wanted.values()) - have + replicas
    one_more = run is not None and truth.replicas == 1
    if replicas > have and total > truth.pool.most + one_more:
        yield Breach(Rule.CAPACITY_FIRST, f"{total} pods in all, and {truth.pool.most} are the most")
    there = {h: min(n, truth.wanted.get(h, 0)) for h, n in truth.ready.items()}
    left = sum(there.values()) - max(0, there.get(pod_hash, 0) - replicas)
    if left < sum(there.values()) and left < truth.pool.least and not truth.deleting:
        yield Breach(Rule.STABLE_FLOOR, f"{left} pods are left of {truth.pool.least} by scaling {pod_hash}")
    if run is None or journal.stable is None or replicas <= have or pod_hash == journal.stable.pod_hash:
        return
    if not stands:
        yield Breach(Rule.STEPS_IN_ORDER, f"{replicas} pods of {pod_hash} before the journal stands")
    if pod_hash != run.pod_hash:
        yield Breach(Rule.NOT_THE_OTHERS, f"{replicas} pods of {pod_hash} while {run.pod_hash} is released")
    if truth.paused or journal.paused is not None:
        yield Breach(Rule.PAUSE_HOLDS, f"{replicas} pods of {pod_hash} while paused")
    over = plan is not None and journal.current_step_index >= len(plan.steps)
    if plan is not None and plan.steps and not (run.fast or over):
        allowed = split(truth.replicas, allowance(plan.steps, journal.current_step_index, truth.replicas).weight)[1]
        if replicas > allowed:
            how = f"{replicas} pods of {pod_hash} at step {journal.current_step_index + 1}, which allows {allowed}"
            yield Breach(Rule.STEP_ALLOWS, how)


def _let_go(truth: Truth, journal: RolloutStatus) -> Iterator[Breach]:
    if journal.stable is None or truth.excused:
        return
    if truth.variants:
        yield Breach(Rule.NOTHING_LEFT, f"the finalizer goes while the variant {min(truth.variants)} is there")
    if truth.partition and truth.partition < CLOSED:
        yield Breach(Rule.HOME_BEFORE_GONE, f"the finalizer goes with a partition of {truth.partition}")
    if truth.held and not truth.closed:
        yield Breach(Rule.HOME_BEFORE_GONE, f"the finalizer goes while pods become {truth.held}")
    if truth.in_place:
        return
    if truth.routed and truth.weight:
        yield Breach(Rule.HOME_BEFORE_GONE, f"the finalizer goes with {truth.said(truth.weight)} on the canary")
    if truth.routed and truth.routes:
        yield Breach(Rule.HOME_BEFORE_GONE, f"the finalizer goes with the routes {names_of(truth.routes)}")
    strangers = [h for h in truth.selects if h not in ("", journal.stable.pod_hash)]
    if strangers:
        yield Breach(Rule.HOME_BEFORE_GONE, f"the finalizer goes while a Service selects {strangers[0]}")


# --------------------------------------------------------------------------------------------------------------------
# One journal after the other
# --------------------------------------------------------------------------------------------------------------------


def journal_step(before: RolloutStatus, after: RolloutStatus, plan: Plan | None) -> list[Breach]:
    """What is wrong in the way from one written journal to the next; `plan` is that of the attempt under way before."""
    return [*_order(before, after), *_verdicts(before, after, plan), *_reasons(after)]


def _order(before: RolloutStatus, after: RolloutStatus) -> Iterator[Breach]:
    if after.decision not in (before.decision, number_after(before.decision)):
        yield Breach(Rule.SEQUENCE, f"decision {before.decision} is followed by {after.decision}")
    old, new = running(before), running(after)
    same = old is not None and new is not None and (old.revision, old.attempt) == (new.revision, new.attempt)
    if same and after.current_step_index - before.current_step_index not in (0, 1):
        how = f"step {before.current_step_index} is followed by {after.current_step_index}"
        yield Breach(Rule.STEPS_IN_ORDER, how)
    if new is not None and not same and after.current_step_index and not new.fast:
        yield Breach(Rule.STEPS_IN_ORDER, f"{new.pod_hash} begins at step {after.current_step_index}")


def _verdicts(before: RolloutStatus, after: RolloutStatus, plan: Plan | None) -> Iterator[Breach]:
    run = running(before) or running(after)
    for gate in after.gates:
        strangers = run is not None and running(after) is not None and gate.pod_hash != run.pod_hash
        if strangers and gate not in before.gates and (gate.pod_hash, gate.attempt) != _of(after):
            yield Breach(Rule.OWN_VERDICT, f"{gate.name} judges {gate.pod_hash} while {_of(after)[0]} is released")
    promoted = (
        after.stable is not None and before.stable is not None and after.stable.revision != before.stable.revision
    )
    if not promoted or plan is None or after.stable is None or run is None or run.fast:
        return
    gates: dict[tuple[str, int], GateRun | None] = {(g.name, g.step): g for g in (*before.gates, *after.gates)}
    needed = [(s.judged_by.ref.name, i) for i, s in enumerate(plan.steps) if s.judged_by is not None]
    needed += [(name, -1) for name in plan.background_gates]
    if len(needed) > GATES_LIMIT:
        return  # The journal keeps the newest only.
    for name, step in needed:
        found = gates.get((name, step))
        if not _passed(found, after.stable.pod_hash, after.stable.attempt):
            verdict = found.verdict if found else "no verdict"
            yield Breach(Rule.ONLY_PASS_PASSES, f"{after.stable.pod_hash} is promoted with {verdict} of {name}")


def _of(journal: RolloutStatus) -> tuple[str, int]:
    run = journal.current
    return (run.pod_hash, run.attempt) if run is not None else ("", 0)


def _passed(gate: GateRun | None, pod_hash: str, attempt: int) -> bool:
    if gate is None or (gate.pod_hash, gate.attempt) != (pod_hash, attempt):
        return False
    return gate.verdict == "Pass" or bool(gate.overridden)


def _reasons(journal: RolloutStatus) -> Iterator[Breach]:
    for condition in journal.conditions:
        if not condition.reason or not condition.message:
            yield Breach(Rule.REASONS, f"{condition.type} is {condition.status} without a reason and a message")
    if journal.phase in ("Held", "Degraded", "Paused") and not journal.message:
        yield Breach(Rule.REASONS, f"{journal.phase} without a message")


# --------------------------------------------------------------------------------------------------------------------
# States
# --------------------------------------------------------------------------------------------------------------------


def at_rest(truth: Truth, journal: RolloutStatus, generation: int, *, swept: bool = False) -> list[Breach]:
    """What is wrong at the end of a release; with `swept` after its scale-down delays, too."""
    found = list(_unrest(truth, journal, generation, swept=swept))
    if swept and truth.variants:
        found.append(Breach(Rule.NOTHING_LEFT, f"at rest the variant {min(truth.variants)} is still there"))
    return found


def _unrest(truth: Truth, journal: RolloutStatus, generation: int, *, swept: bool) -> Iterator[Breach]:
    stable = journal.stable
    if stable is None:
        yield Breach(Rule.STABLE_FLOOR, "nothing is stable")
        return
    if truth.in_place:
        if not truth.closed or truth.new:
            how = f"partition of {truth.partition}" if truth.held is None else f"template of {truth.held or 'anybody'}"
            yield Breach(Rule.NOTHING_REFERS, f"at rest with {truth.new} pods that are not stable, under a {how}")
        if not truth.all_ready:
            yield Breach(Rule.STABLE_FLOOR, "at rest with pods that are not ready")
        if journal.observed_generation != generation:
            how = f"generation {generation}, and the journal speaks of {journal.observed_generation}"
            yield Breach(Rule.NEWEST_WINS, how)
        return
    if truth.weight:
        yield Breach(Rule.NOTHING_REFERS, f"at rest with {truth.said(truth.weight)} on the canary")
    if truth.routes:
        yield Breach(Rule.NOTHING_REFERS, f"at rest with the routes {names_of(truth.routes)}")
    strangers = [h for h in truth.selects if h != stable.pod_hash and truth.pool is None]
    if strangers:
        yield Breach(
            Rule.NOTHING_REFERS, f"at rest a Service selects {strangers[0] or 'all'} instead of {stable.pod_hash}"
        )
    if truth.ready.get(stable.pod_hash, 0) < truth.replicas:
        there = truth.ready.get(stable.pod_hash, 0)
        yield Breach(Rule.STABLE_FLOOR, f"at rest with {there} of {truth.replicas} stable pods")
    left = [h for h, count in truth.wanted.items() if count and h != stable.pod_hash]
    if swept and left:
        yield Breach(Rule.NOTHING_LEFT, f"at rest {left[0]} still has pods")
    if journal.observed_generation != generation:
        yield Breach(
            Rule.NEWEST_WINS, f"generation {generation}, and the journal speaks of {journal.observed_generation}"
        )


def gone(truth: Truth, *, selectors_ours: bool, records: int, finalizers: tuple[str, ...]) -> list[Breach]:
    """What is left behind of a Rollout that is gone."""
    found = []
    if truth.routed and truth.weight:
        found.append(Breach(Rule.HOME_BEFORE_GONE, f"it is gone with {truth.said(truth.weight)} on the canary"))
    if truth.routes:
        found.append(Breach(Rule.NOTHING_LEFT, f"it is gone and leaves the routes {names_of(truth.routes)}"))
    if truth.variants:
        found.append(Breach(Rule.NOTHING_LEFT, f"it is gone and the variant {min(truth.variants)} is left"))
    if selectors_ours or any(truth.variant_services.values()):
        found.append(Breach(Rule.NOTHING_LEFT, "it is gone and a Service still selects one revision"))
    if records:
        found.append(Breach(Rule.NOTHING_LEFT, f"it is gone and {records} of its records are left"))
    if FINALIZER in finalizers:
        found.append(Breach(Rule.HOME_BEFORE_GONE, "it is gone with its finalizer"))
    return found


def weights_add_up(weights: tuple[int, ...], total: int = PERCENT) -> list[Breach]:
    """Whether the weights of one stored route rule make a whole."""
    right = sum(weights) == total and all(0 <= w <= total for w in weights)
    return [] if right else [Breach(Rule.WEIGHTS_SUM, f"weights {weights}")]


class Monotone:
    """Follows the share of the revisions that were taken back: it never rises again while nothing is released."""

    def __init__(self) -> None:
        self._share: dict[str, int] = {}

    def look(self, truth: Truth, journal: RolloutStatus) -> list[Breach]:
        """After each write: who was taken back and gets more than before."""
        found = []
        for record in journal.rejected:
            share = truth.share(record.pod_hash) if journal.stable else 0
            if share > self._share.get(record.pod_hash, share) and not running(journal):
                found.append(
                    Breach(Rule.LOWER_FIRST, f"the share of {record.pod_hash}, taken back, rose to {truth.said(share)}")
                )
            self._share[record.pod_hash] = share
        return found


__all__ = [
    "Breach",
    "Monotone",
    "Rule",
    "Truth",
    "at_rest",
    "before_write",
    "gone",
    "guard",
    "journal_step",
    "plan_under_way",
    "seen",
    "weights_add_up",
]
