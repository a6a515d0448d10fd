"""The one place that moves traffic and capacity: given a goal, the next safe write, or what it has to wait for.

Every invariant on traffic is a precondition here: capacity before weight on the way up, weight before capacity on the
way down, no selector switch under traffic, lowering at any time. The strategies only say where they want to be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

from headgate.api.common import LABEL_REVISION, PERCENT, portion
from headgate.api.rollout import RolloutSpec
from headgate.api.values import dataclass
from headgate.decide import apart, configuration
from headgate.decide.managed import ManagedRoute, awaited, is_share, keys_of, service_of, to_canary
from headgate.decide.types import (
    Action,
    CreateReplicaSet,
    Exposure,
    OutcomeKind,
    PlanView,
    ReadQuestion,
    ReplicaSetView,
    RouteView,
    ScaleReplicaSet,
    ServiceView,
    SetSelector,
    SetWeight,
    Snapshot,
)

REFUSED_WEIGHT_PATIENCE = 10.0
"""Seconds that a refused weight 0 is retried before the canary Service is pointed at stable instead."""


@dataclass(frozen=True, slots=True)
class WantedVariant:
    """One variant of the experiment of the present step."""

    name: str
    pod_hash: str
    """What its pods are labelled with; no variant of another attempt or step has the same."""
    of: str
    """Pod hash of the version whose template it has."""
    replicas: int
    service: str = ""
    """The Service that is to lead to its pods; empty if none is."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Where traffic and capacity should be."""

    stable: str
    """Pod hash that the stable Service must select."""
    canary: str
    """Pod hash that the canary Service must select."""
    weight: int
    """The canary's weight. Never exceeded; reached only if capacity is there."""
    replicas: Mapping[str, int]
    """Wanted pods by pod hash; every other ReplicaSet is to go to 0."""
    proven: bool
    """`stable` is a revision that was promoted before: pointing the stable Service at it is the way back."""
    routes: tuple[ManagedRoute, ...] = ()
    """By header, mirrors and for sessions, that lead to the canary besides, and shares of variants; no other does."""
    variants: tuple[WantedVariant, ...] = ()
    """They come up besides; those that are not wanted any more are not this one's business."""
    hold: bool = False
    """Only lowering is allowed: paused, held, or something is not as it must be."""
    hold_reason: str = ""
    frozen: bool = False
    """Held, and not even pods may be added: which are wanted cannot be known."""
    keep: frozenset[str] = frozenset()
    """Pod hashes that must not lose capacity yet."""
    follows: str = ""
    """Pod hash of the stable revision, where it has the pods for its share only, whatever `replicas` says."""
    careful: bool = False
    """The stable revision may have too few pods for the full load: they come back before the weight does."""
    fought: bool = False
    """Somebody else writes the weights again and again: what is behind them changes instead."""
    names: tuple[str, str] = ("stable Service", "canary Service")
    """What people call the two Services."""


@dataclass(frozen=True, slots=True)
class Move:
    """What to do next. `reached`: traffic and capacity are as the goal wants them, as read back."""

    action: Action | None = None
    waiting: str = ""
    reached: bool = False
    served: bool = False
    """The router serves the goal's weight, whatever else is still to come; under a hold, too."""
    short_of: str = ""
    """Pod hash whose pods are waited for."""
    settle_at: float | None = None
    """When a settle or drain time ends."""
    reads: tuple[ReadQuestion, ...] = ()
    """What must be read before it goes on."""
    trouble: str = ""
    """What a person must see to."""


def need(replicas: int, weight: int, total: int = PERCENT) -> int:
    """Pods that `weight` of `total` parts of the full load need."""
    return math.ceil(replicas * weight / total)


def floor_of(spec: RolloutSpec) -> int:
    """Pods that each side has at least while it gets requests, if the spec says so."""
    canary = spec.strategy.canary
    return min(spec.replicas, canary.min_pods_per_replica_set or 0) if canary is not None else 0


def needs(spec: RolloutSpec, weight: int) -> int:
    """Pods that a side with this weight needs; none without any."""
    return pods_for(spec.replicas, weight, floor_of(spec), spec.total)


def pods_for(replicas: int, weight: int, floor: int, total: int = PERCENT) -> int:
    """Pods for `weight` of `total` parts of what `replicas` pods carry, and `floor` at least while there is any."""
    return max(need(replicas, weight, total), min(floor, replicas)) if weight else 0


def enough(spec: RolloutSpec, pods: int) -> int:
    """How many of the pods that a step asks for it waits for; what gets requests needs its own, whatever this is."""
    threshold = spec.strategy.canary.replica_progress_threshold if spec.strategy.canary is not None else None
    if threshold is None:
        return pods
    return min(pods, threshold.value) if threshold.type == "Pod" else need(pods, threshold.value)


def selected(service: ServiceView) -> str:
    """The pod hash that a Service selects; empty if it selects no particular revision."""
    return service.selector.get(LABEL_REVISION, "")


def replica_set(snapshot: Snapshot, pod_hash: str) -> ReplicaSetView | None:
    """The live ReplicaSet of ours with this pod hash, which may be a variant's."""
    everyone = chain(snapshot.replica_sets, snapshot.variants)
    return next((r for r in everyone if r.pod_hash == pod_hash and r.owned and not r.deleting), None)


def available(snapshot: Snapshot, pod_hash: str) -> int:
    """Available pods of a revision."""
    found = replica_set(snapshot, pod_hash)
    return found.available if found and found.settled else 0


def holds_only(service: ServiceView, pod_hash: str) -> bool:
    """The Service's endpoints are all of this revision."""
    return all(h == pod_hash or not count for h, count in service.ready.items())


def anchor(snapshot: Snapshot, revision: str) -> PlanView | None:
    """The first ControllerRevision of a revision."""
    plans = sorted((p for p in snapshot.plans if p.revision == revision), key=lambda p: p.attempt)
    return plans[0] if plans else None


def observed_weight(snapshot: Snapshot) -> int:
    """The greatest weight that any claimed place gives to the canary."""
    return max((route.weight for route in snapshot.routes), default=0)


def led(snapshot: Snapshot) -> tuple[str, ...]:
    """The keys of the routes of ours that lead to the canary or to a variant in any claimed place."""
    return tuple(sorted({key for route in snapshot.routes for key in route.managed}))


def in_step(snapshot: Snapshot, keys: tuple[str, ...]) -> bool:
    """Every claimed place has just these routes of ours."""
    return all(route.managed == keys for route in snapshot.routes)


def stored(weight: int, keys: tuple[str, ...]) -> int | str:
    """What a place gives to the canary, as one value."""
    return " ".join((str(weight), *keys)) if keys else weight


def next_move(snapshot: Snapshot, goal: Goal, now: float) -> Move:
    """The next safe write towards the goal."""
    lowering = _lower(snapshot, goal)
    if lowering is not None:
        # What waits for pods must not keep them from being asked for, e.g. if spec.replicas grew in mid-promotion.
        growth = None if lowering.action is not None else _capacity_up(snapshot, goal, now)
        if growth is not None and growth.action is not None and not (goal.frozen and growth.short_of != goal.stable):
            return growth
        return _making_room(snapshot, goal, lowering, now)
    if goal.hold:
        growth = None if goal.frozen else _capacity_up(snapshot, goal, now)
        reads = growth.reads if growth else ()
        held = growth if growth and growth.action else Move(waiting=goal.hold_reason, reads=reads)
        return replace(held, served=unsettled(snapshot, goal.weight, keys_of(goal.routes), now) is None)
    for stage in (_capacity_up, _canary_selector, _stable_selector, _variants_up, _raise):
        move = stage(snapshot, goal, now)
        if move is not None:
            return _making_room(snapshot, goal, move, now)
    # What is left over may go in its own time; it is no part of being there.
    left_over = _capacity_down(snapshot, goal, now)
    return replace(left_over or Move(), reached=True, served=True)


def at_home(snapshot: Snapshot, stable: str) -> bool:
    """Both Services lead to what is stable, and no route to anything else."""
    services = (snapshot.stable_service, snapshot.canary_service)
    return all(selected(s) == stable for s in services) and observed_weight(snapshot) == 0 and not led(snapshot)


def relieves(snapshot: Snapshot, stable: str) -> bool:
    """The stable Service leads to this revision, and to no pod that nobody knows."""
    service = snapshot.stable_service
    return selected(service) == stable and not any(n for h, n in service.ready.items() if not h)


def _lower(snapshot: Snapshot, goal: Goal) -> Move | None:
    stable, canary = snapshot.stable_service, snapshot.canary_service
    if goal.proven and _strays(snapshot, goal.stable) and available(snapshot, goal.stable):
        share = snapshot.spec.total - min((_surely(snapshot, r) for r in snapshot.routes if r.found), default=0)
        if goal.careful and available(snapshot, goal.stable) < needs(snapshot.spec, share):
            return _returning(snapshot, goal)
        return Move(SetSelector(stable.name, stable.resource_version, goal.stable, exposure="lower"))
    away = goal.careful and selected(canary) != goal.stable
    bearable = least_bearable(snapshot, goal.stable, selected(canary)) if away else 0
    short: Move | None = None
    # A place that refuses is tried again and does not keep the others waiting.
    for route in sorted(snapshot.routes, key=lambda r: place_of(r) in snapshot.barred):
        move = _lower_one(snapshot, goal, route, bearable)
        if move is not None and (move.action is not None or not bearable):
            return move
        short = short or move
    return short


def _surely(snapshot: Snapshot, route: RouteView) -> int:
    """The weight that a place has at least: where nobody knows whether a write took it away, none."""
    last = snapshot.outcome
    lost = last is not None and last.kind is OutcomeKind.UNKNOWN and last.action == place_of(route)
    return 0 if lost or (route.kind, route.name) in snapshot.doubtful else route.weight


def _lower_one(snapshot: Snapshot, goal: Goal, route: RouteView, bearable: int) -> Move | None:
    """The same for one place, whose weight is to stay at `bearable` until more pods of stable are there."""
    stable, canary = snapshot.stable_service, snapshot.canary_service
    weight, routes = (goal.weight, goal.routes) if selected(canary) == goal.canary else (0, ())
    kept = _kept(route, routes)
    home = share_home(snapshot, route, goal.stable, kept) if goal.proven else None
    # Where somebody else rewrites them again and again, the routes stay with Services that lead home.
    surplus = len(kept) < len(route.managed) and not (goal.fought and selected(canary) == goal.stable and not home)
    if not route.found or not (route.weight > weight or surplus):
        return None
    # Who was led by header goes where the weight sends him: how many they are nobody knows, so that the stable revision
    # must have the pods for all that the weight leaves it.
    if bearable > route.weight if surplus else _waits(route, weight, bearable):
        return _returning(snapshot, goal)
    if route.problem:
        # Its weight cannot be written, so what is behind it changes.
        if goal.proven and canary.found and selected(canary) != goal.stable and not bearable:
            return Move(SetSelector(canary.name, canary.resource_version, goal.stable, exposure="lower"))
        if surplus and place_of(route) not in snapshot.barred:
            return Move(_set(route, route.weight, (), "lower"))
        return home
    helpless = not bearable and (goal.fought or lowering_fails(snapshot, route))
    if helpless and goal.proven and canary.found and selected(canary) != goal.stable:
        return Move(SetSelector(canary.name, canary.resource_version, goal.stable, exposure="lower"))
    if helpless and home is not None:
        return home
    if selected(canary) == goal.stable and not goal.hold:
        # The canary Service serves what is to stay: its share may move only to a stable Service that can take it.
        if selected(stable) != goal.stable:
            return None
        waiting = not_serving(stable, goal.stable, snapshot.spec.replicas, goal.names[0])
        if waiting:
            return Move(waiting=waiting, short_of=goal.stable)
    return Move(_set(route, min(route.weight, max(weight, bearable)), kept, "lower"))


def share_home(snapshot: Snapshot, route: RouteView, stable: str, kept: tuple[ManagedRoute, ...] = ()) -> Move | None:
    """What is behind a share changes, where that cannot be taken back: the variant may be of the bad version."""
    for key in route.managed:
        service = snapshot.variant_services.get(service_of(key)) if is_share(key) and key not in keys_of(kept) else None
        if service is not None and service.found and selected(service) != stable:
            return Move(SetSelector(service.name, service.resource_version, stable, exposure="lower"))
    return None


def _waits(route: RouteView, weight: int, bearable: int) -> bool:
    """Whether none of a weight can go back yet. A part may when the part before is served: that bounds the writes."""
    if route.problem:
        return bearable > 0
    return bearable > weight and (bearable >= route.weight or not route.settled)


def least_bearable(snapshot: Snapshot, stable: str, canary: str) -> int:
    """The least weight under which the stable revision gets no more than its ready pods can take.

    From a canary that has no pod left everything goes back: there it is lost in any case.
    """
    full = snapshot.spec.replicas
    there = min(available(snapshot, stable), snapshot.stable_service.ready.get(stable, 0))
    found = replica_set(snapshot, canary)
    if there >= full or (there and (found is None or not found.available)):
        return 0
    total = snapshot.spec.total
    return total - total * there // full if there >= floor_of(snapshot.spec) else total


def _making_room(snapshot: Snapshot, goal: Goal, move: Move, now: float) -> Move:
    """The move; where it waits, pods go that a side needs no more: those that are waited for may need their place."""
    stable, leaving = snapshot.stable_service, selected(snapshot.canary_service)
    if move.action is not None or not goal.careful or goal.hold or selected(stable) != goal.stable:
        return move
    if not all(route.settled for route in snapshot.routes):
        return move  # The gateway may still serve a weight under which they are needed.
    wanted = dict(wanted_pods(snapshot, goal)) if goal.follows == goal.stable else {}
    if leaving != goal.stable and not stable.ready.get(leaving, 0):
        least = needs(snapshot.spec, observed_weight(snapshot) or min(1, len(to_canary(led(snapshot)))))
        wanted[leaving] = max(least, goal.replicas.get(leaving, 0))
    for pod_hash in sorted(wanted.keys() - goal.keep):
        found = replica_set(snapshot, pod_hash)
        if found is None or found.replicas <= wanted[pod_hash]:
            continue
        waits = draining(snapshot, pod_hash, now)
        if waits is not None:
            ends = [at for at in (move.settle_at, waits.settle_at) if at is not None]
            return replace(move, settle_at=min(ends, default=None))
        action = ScaleReplicaSet(found.name, found.resource_version, wanted[pod_hash], found.min_ready_seconds)
        return replace(move, action=action)
    return move


def _returning(snapshot: Snapshot, goal: Goal) -> Move:
    there, full = available(snapshot, goal.stable), snapshot.spec.replicas
    text = f"waiting for the pods of {goal.stable}, which are to take the requests back: {there} of {full} available"
    return Move(waiting=text, short_of=goal.stable)


def _kept(route: RouteView, wanted: tuple[ManagedRoute, ...]) -> tuple[ManagedRoute, ...]:
    """Those of the wanted routes that the place has."""
    return tuple(one for one in wanted if one.key in route.managed) if route.managed else ()


def _strays(snapshot: Snapshot, stable: str) -> bool:
    """The stable Service sends requests elsewhere: it selects another revision, or all, and there are such pods.

    They need not be ready: when they are, it is too late.
    """
    service = snapshot.stable_service
    chosen = selected(service)
    if not service.found or chosen == stable:
        return False
    return bool(chosen) or others_run(snapshot, stable) or not holds_only(service, stable)


def others_run(snapshot: Snapshot, pod_hash: str) -> bool:
    """Some other revision, or a variant, has pods or is to have some."""
    everyone = chain(snapshot.replica_sets, snapshot.variants)
    return any(r.owned and not r.deleting and r.replicas and r.pod_hash != pod_hash for r in everyone)


def place_of(route: RouteView) -> str:
    """The key of every write of this place."""
    return _set(route, 0, (), "neutral").key


def lowering_fails(snapshot: Snapshot, route: RouteView) -> bool:
    """The weight could not be lowered for too long: it is refused, or a webhook in front of it is down."""
    outcome = snapshot.outcome
    return (
        outcome is not None
        and outcome.kind in (OutcomeKind.REFUSED, OutcomeKind.UNKNOWN)
        and outcome.action == place_of(route)
        and outcome.at - outcome.first_at >= REFUSED_WEIGHT_PATIENCE
    )


def _set(route: RouteView, weight: int, routes: tuple[ManagedRoute, ...], exposure: Exposure) -> SetWeight:
    return SetWeight(
        router=route.router,
        kind=route.kind,
        name=route.name,
        rule=route.rule,
        resource_version=route.resource_version,
        weight=weight,
        routes=routes,
        exposure=exposure,
    )


def wanted_pods(snapshot: Snapshot, goal: Goal) -> Mapping[str, int]:
    """Pods by pod hash. What follows its share has those for the greater of what it gets and what it is to get.

    Where a route is missing, or what it says nobody can read, that may be everything.
    """
    if goal.follows not in goal.replicas:
        return goal.replicas
    service, found = snapshot.stable_service, replica_set(snapshot, goal.follows)
    least = min((route.weight if route.found and not route.problem else 0 for route in snapshot.routes), default=0)
    if goal.stable == goal.follows:
        least = min(least, goal.weight if selected(snapshot.canary_service) == goal.canary else 0)
    elif selected(service) == goal.stable:
        # The promotion has switched the Service: as many as are left stay until it is final.
        return {**goal.replicas, goal.follows: found.replicas if found is not None else 0}
    return {**goal.replicas, goal.follows: needs(snapshot.spec, snapshot.spec.total - least)}


def _capacity_up(snapshot: Snapshot, goal: Goal, _now: float) -> Move | None:
    replicas = wanted_pods(snapshot, goal)
    # The stable side first: it carries the load.
    for pod_hash in sorted(replicas, key=lambda h: (h != goal.stable, h)):
        wanted = replicas[pod_hash]
        found = replica_set(snapshot, pod_hash)
        if found is None and goal.hold and not wanted:
            continue  # It has time until there is something to run.
        if found is None:
            return create(snapshot, pod_hash, wanted)
        if found.replicas < wanted:
            # Where the weight waits for them, these pods are the way back, which waits for nothing else.
            back: Exposure = "lower" if goal.careful and goal.proven and pod_hash == goal.stable else "neutral"
            minimum = snapshot.spec.min_ready_seconds
            return Move(
                ScaleReplicaSet(found.name, found.resource_version, wanted, minimum, exposure=back), short_of=pod_hash
            )
    return None


def create(snapshot: Snapshot, pod_hash: str, replicas: int, variant: WantedVariant | None = None) -> Move:
    """The write that makes the ReplicaSet of a revision, or of a variant of it, or what is waited for before that."""
    plan = min((p for p in snapshot.plans if p.pod_hash == pod_hash), key=lambda p: p.attempt, default=None)
    if plan is None:
        return Move(waiting=f"waiting for the record of revision {pod_hash}")
    first = anchor(snapshot, plan.revision) or plan
    label = pod_hash if variant is None else variant.pod_hash
    name = f"{snapshot.meta.name}-{label}"
    # One that carries our label is watched, so its end will be heard of. Any other is tried again, and refused.
    blocker = next((r for r in (*snapshot.replica_sets, *snapshot.variants) if r.name == name and r.pod_hash), None)
    if blocker is not None:
        return Move(waiting=f"waiting for ReplicaSet {name} of an earlier owner to go")
    making = configuration.make(snapshot, plan)
    if making is not None:
        return Move(making.action, waiting=making.waiting, reads=making.reads)
    return Move(
        CreateReplicaSet(
            name=name,
            revision=plan.revision,
            pod_hash=label,
            collision=snapshot.status.collision_count,
            replicas=replicas,
            min_ready_seconds=snapshot.spec.min_ready_seconds,
            template=apart.kept(
                configuration.rewritten(plan.template, plan.copies),
                # A variant is neither of the versions, and would keep both from the nodes that it is on.
                apart.asked(snapshot.spec.strategy) if variant is None else None,
                snapshot.meta.name,
                pod_hash,
            ),
            anchor_name=first.name,
            anchor_uid=first.uid,
            copies=plan.copies,
            variant="" if variant is None else variant.name,
        ),
        short_of=label,
    )


def _canary_selector(snapshot: Snapshot, goal: Goal, now: float) -> Move | None:
    service = snapshot.canary_service
    if selected(service) == goal.canary:
        return None
    waiting = unsettled(snapshot, 0, (), now)
    if waiting is not None:
        return waiting
    return Move(SetSelector(service.name, service.resource_version, goal.canary))


def _stable_selector(snapshot: Snapshot, goal: Goal, _now: float) -> Move | None:
    service = snapshot.stable_service
    if selected(service) == goal.stable:
        return None
    there = available(snapshot, goal.stable)
    if there < snapshot.spec.replicas:
        return Move(
            waiting=f"waiting for the pods of {goal.stable}: {there} of {snapshot.spec.replicas} available",
            short_of=goal.stable,
        )
    return Move(SetSelector(service.name, service.resource_version, goal.stable, exposure="raise"))


def _variants_up(snapshot: Snapshot, goal: Goal, now: float) -> Move | None:
    """The next write that lets a variant serve, or what is waited for; None if all serve, each with all its pods."""
    for one in goal.variants:
        found = replica_set(snapshot, one.pod_hash)
        if found is None:
            return create(snapshot, one.of, one.replicas, one)
        if found.replicas < one.replicas:
            minimum = snapshot.spec.min_ready_seconds
            scale = ScaleReplicaSet(found.name, found.resource_version, one.replicas, minimum)
            return Move(scale, short_of=one.pod_hash)
    for one in goal.variants:
        waiting = variant_waits(snapshot, one, one.replicas)
        service = snapshot.variant_services.get(one.service)
        led_to = service is None or not service.found or selected(service) == one.pod_hash
        if available(snapshot, one.pod_hash) >= one.replicas and service is not None and not led_to:
            return Move(SetSelector(service.name, service.resource_version, one.pod_hash, exposure="raise"))
        if waiting:
            served = unsettled(snapshot, goal.weight, keys_of(goal.routes), now) is None
            return Move(waiting=waiting, short_of=one.pod_hash, served=served)
    return None


def variant_waits(snapshot: Snapshot, one: WantedVariant, wanted: int) -> str:
    """Why a variant does not serve with so many pods; empty if it does."""
    there = available(snapshot, one.pod_hash)
    if there < wanted:
        return f"waiting for the pods of variant {one.name}, {one.pod_hash}: {there} of {wanted} available"
    if not one.service:
        return ""
    service = snapshot.variant_services.get(one.service)
    if service is None or not service.found:
        return f'waiting for the Service "{one.service}" of variant {one.name}: there is none; create it'
    if selected(service) != one.pod_hash:
        return f"waiting for the Service {one.service} to lead to variant {one.name}"
    return not_serving(service, one.pod_hash, wanted, f"variant {one.name}'s Service")


def goes_forward(snapshot: Snapshot) -> bool:
    """A release does not wait for pods that the stable revision is short of: it can only take load off them."""
    return snapshot.spec.unhealthy_stable == "FixForward"


def _raise(snapshot: Snapshot, goal: Goal, now: float) -> Move | None:
    spec = snapshot.spec
    # Where both are one revision it takes the whole load, and there is nothing to go forward to.
    forward = goes_forward(snapshot) and goal.stable != goal.canary
    of_stable = 0 if forward else needs(spec, spec.total - goal.weight)
    stable_waiting = not_serving(snapshot.stable_service, goal.stable, of_stable, goal.names[0])
    keys = keys_of(goal.routes)
    ours = to_canary(keys)
    least = max(needs(spec, goal.weight or min(1, len(ours))), min(1, spec.replicas))
    if any(route.cookie for route in goal.routes):
        least = max(least, goal.replicas.get(goal.canary, 0))  # Where users stay it may get more than its weight.
    # How many requests a new route takes nobody knows: it waits for all the pods that it is to have, or as many of them
    # as somebody has said to be enough.
    of_route = max(least, enough(spec, goal.replicas.get(goal.canary, 0)))
    short = _short_of(snapshot, goal, least)
    for route in snapshot.routes:
        new, more = to_canary(route.managed) != ours, route.weight < goal.weight
        if route.managed == keys and not more:
            continue
        # A share asks nothing of the canary: its variant serves by now.
        missing = _short_of(snapshot, goal, of_route) if new else short if more else None
        if missing is not None:
            return missing
        if stable_waiting:
            return Move(waiting=stable_waiting, short_of=goal.stable)
        return Move(_set(route, goal.weight, goal.routes, "raise"))
    waits = unsettled(snapshot, goal.weight, keys, now)
    if waits is not None:
        return waits
    if snapshot.routes and (goal.weight or ours) and short is not None:
        # Somebody else wrote the weight before its pods were there, or they went since: it is served, and no more.
        return replace(short, served=True)
    if goal.stable == goal.canary and stable_waiting:
        return Move(waiting=stable_waiting, short_of=goal.stable)
    return None


def _short_of(snapshot: Snapshot, goal: Goal, wanted: int) -> Move | None:
    """What the canary waits for until it serves with so many pods; None if it does."""
    there = available(snapshot, goal.canary)
    waiting = f"waiting for the pods of {goal.canary}: {there} of {wanted} available" if there < wanted else ""
    waiting = waiting or not_serving(snapshot.canary_service, goal.canary, wanted, goal.names[1])
    return Move(waiting=waiting, short_of=goal.canary) if waiting else None


def not_serving(service: ServiceView, pod_hash: str, wanted: int, name: str) -> str:
    """Why a Service does not lead to so many pods of this revision alone; empty if it does."""
    ready = service.ready.get(pod_hash, 0)
    if ready < wanted:
        return f"waiting for the endpoints of the {name} {service.name}: {ready} of {wanted} of {pod_hash} are ready"
    if not holds_only(service, pod_hash):
        return f"waiting for the endpoints of the {name} {service.name} to hold only {pod_hash}"
    return ""


def unsettled(snapshot: Snapshot, weight: int, keys: tuple[str, ...], now: float) -> Move | None:
    """What is waited for until every router serves this weight and these routes; None if all do."""
    settle = snapshot.config.route_settle_seconds
    for route in snapshot.routes:
        label = f"{route.kind} {route.name}"
        if route.weight != weight:
            wished, now_it_is = (portion(part, snapshot.spec.total) for part in (weight, route.weight))
            return Move(waiting=f"waiting for {label} to give the canary {wished} (now {now_it_is})")
        if route.managed != keys:
            return Move(waiting=f"waiting for {label} to {awaited(keys, route.managed)}")
        if not route.settled or route.settled_since is None:
            return Move(waiting=f"waiting for the gateway to serve {label}: {route.message or 'not reported yet'}")
        if now < route.settled_since + settle:
            return Move(waiting=f"letting the change of {label} settle", settle_at=route.settled_since + settle)
    return None


def _capacity_down(snapshot: Snapshot, goal: Goal, now: float) -> Move | None:
    replicas = wanted_pods(snapshot, goal)
    for found in sorted(snapshot.replica_sets, key=lambda r: r.name):
        if not found.owned or found.deleting or found.pod_hash in goal.keep:
            continue
        wanted = replicas.get(found.pod_hash, 0)
        if found.replicas <= wanted:
            continue
        waiting = _still_serving(snapshot, goal, found.pod_hash, now)
        if waiting is not None:
            return waiting
        return Move(ScaleReplicaSet(found.name, found.resource_version, wanted, found.min_ready_seconds))
    return None


def _still_serving(snapshot: Snapshot, goal: Goal, pod_hash: str, now: float) -> Move | None:
    """Why a revision must keep its pods: traffic can still reach them."""
    if pod_hash not in (goal.stable, goal.canary):
        for service in (snapshot.stable_service, snapshot.canary_service):
            if selected(service) == pod_hash or service.ready.get(pod_hash, 0):
                return Move(waiting=f"waiting for the Service {service.name} to leave {pod_hash}")
    elif pod_hash != goal.stable and snapshot.stable_service.ready.get(pod_hash, 0):
        # It was switched back a moment ago: what the endpoints still hold gets requests.
        return Move(waiting=f"waiting for the Service {snapshot.stable_service.name} to leave {pod_hash}")
    return draining(snapshot, pod_hash, now)


def draining(snapshot: Snapshot, pod_hash: str, now: float) -> Move | None:
    """What is waited for until connections to a revision that gets no requests any more have had the time to end."""
    # Where nothing is read back, requests may go the old way until the settle time is over.
    settle = snapshot.config.route_settle_seconds
    moments = [(r.settled_since or now) + (settle if r.blind else 0) for r in snapshot.routes]
    # A selector that was switched drains, too, and no route tells of that.
    moments += [snapshot.stable_service.since, snapshot.canary_service.since]
    drained_at = max(moments) + snapshot.config.drain_seconds
    if now < drained_at:
        return Move(waiting=f"letting connections to {pod_hash} drain", settle_at=drained_at)
    return None
