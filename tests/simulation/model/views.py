"""What the operator sees of a state: the snapshot that it decides on, older than the truth where that is not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from headgate.api.common import FINALIZER, LABEL_REVISION
from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.decide import daemon, ping_pong
from headgate.decide import types as t
from headgate.decide.planning import plan_of_spec
from headgate.decide.revision import pod_hash_of, revision_of
from tests.simulation.model import nodes
from tests.simulation.model.journals import NOW, Journals
from tests.simulation.model.nodes import DaemonSet, Read
from tests.simulation.model.state import (
    CLAIMED,
    DELETING,
    NEW,
    Act,
    Deployment,
    Ends,
    Plan,
    Route,
    Row,
    Sets,
    State,
    Wanted,
    ends_of,
    other_way,
    selected_of,
)
from tests.simulation.model.trials import SERVICE, Trial, Variant
from tests.simulation.model.worlds import TICK, World

T = TypeVar("T")
NAMES = ("shop", "shop-canary")
VALUES = {"Pass": 100.0, "Fail": 50.0}


class Sight(NamedTuple):
    """The part of a state that a decision depends on; equal sights give equal decisions."""

    wanted: Wanted
    sets: tuple[Sets, ...]
    deployment: Deployment | None
    plans: tuple[Plan, ...]
    selected: tuple[str, str]
    ends: Ends
    ages: tuple[int, int]
    route: Route
    acts: tuple[Act, ...]
    answers: tuple[tuple[str, int, str], ...]
    row: Row | None
    doubtful: bool
    """The route may be another one."""
    daemon: DaemonSet | None
    known: tuple[Read, ...] | None
    """The pods of the DaemonSet, as they were read."""
    trial: Trial

    def exchanged(self) -> Sight:
        """The same with the two Services in each other's role."""
        return self._replace(
            selected=self.selected[::-1], ends=self.ends[::-1], ages=self.ages[::-1], route=other_way(self.route)
        )


def sight(state: State) -> Sight:
    """What the operator sees."""
    seen = state.seen
    stable, canary = state.services
    return Sight(
        wanted=seen.wanted or state.wanted,
        sets=state.sets if seen.sets is None else seen.sets,
        deployment=seen.deployment or state.deployment,
        plans=state.plans if seen.plans is None else seen.plans,
        selected=seen.selected or selected_of(state),
        ends=seen.ends or ends_of(state),
        ages=(stable.age, canary.age),
        route=seen.route or state.route,
        acts=state.acts if seen.acts is None else seen.acts,
        answers=state.answers,
        row=state.row,
        doubtful="route" in state.doubt,
        daemon=seen.daemon or state.daemon,
        known=state.nodes.known,
        trial=seen.trial or state.trial,
    )


class Once:
    """Values by their arguments, made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Any] = {}

    def get(self, make: Callable[..., T], *arguments: object) -> T:
        """The value of a function of hashable arguments."""
        key = (make.__name__, *arguments)
        found: T | None = self._made.get(key)
        if found is None:
            found = self._made[key] = make(*arguments)
        return found


class Views:
    """Snapshots of one world."""

    def __init__(self, world: World, journals: Journals) -> None:
        self.world = world
        self._config = world.config
        self._journals = journals
        self._once = Once()
        self.templates = {v: {"metadata": {"labels": {"app": "shop"}}, "spec": {"image": v}} for v in world.versions}
        self.revisions = {v: revision_of(template) for v, template in self.templates.items()}
        self.hashes = {v: pod_hash_of(r) for v, r in self.revisions.items()}
        self.version_of = {h: v for v, h in self.hashes.items()} | {"": ""}
        self.plans = tuple(self._plan(variant) for variant in range(len(world.specs)))

    def _meta(self, life: int) -> t.RolloutMeta:
        return t.RolloutMeta(
            "model",
            "shop",
            "uid",
            "1",
            1,
            NOW,
            deleting=life == DELETING,
            finalizers=() if life == NEW else (FINALIZER,),
        )

    def _plan(self, variant: int) -> t.Plan:
        bare = t.Snapshot(
            self._meta(CLAIMED),
            self.world.specs[variant],
            RolloutStatus(),
            self._config,
            None,
            "",
            gates=self.world.gates,
        )
        return plan_of_spec(bare)

    def turned(self, wanted: Wanted) -> bool:
        """By this journal the second Service is the stable one."""
        pair = ping_pong.pair(self.world.specs[wanted.variant])
        return pair is not None and self._journals.status(wanted.journal).stable_ping_pong == "Pong"

    def stored(self, seen: Sight, action: t.Action) -> t.Action:
        """An action as the objects have it, in which a weight is the second Service's, whatever its role."""
        if isinstance(action, t.SetWeight) and self.turned(seen.wanted):
            return replace(action, weight=100 - action.weight)
        return action

    def _spec(self, variant: int, turned: bool) -> RolloutSpec:  # noqa: FBT001  a part of the key
        spec = self.world.specs[variant]
        return ping_pong.resolved(spec, RolloutStatus(stable_ping_pong="Pong")) if turned else spec

    def snapshot(self, seen: Sight) -> t.Snapshot:
        """What is decided on."""
        get = self._once.get
        wanted, turned, names = seen.wanted, self.turned(seen.wanted), NAMES
        if turned:
            seen, names = seen.exchanged(), NAMES[::-1]
        stable, canary = (get(self._service, names[i], seen.selected[i], seen.ends[i], seen.ages[i]) for i in (0, 1))
        snapshot = t.Snapshot(
            meta=get(self._meta, wanted.life),
            spec=get(self._spec, wanted.variant, turned),
            status=self._journals.status(wanted.journal),
            config=self._config,
            template=self.templates[wanted.template],
            revision=self.revisions[wanted.template],
            replica_sets=get(self._sets, seen.sets),
            variants=get(self._variants, seen.trial) if seen.trial.variants else (),
            variant_services={SERVICE: get(self._trial_service, seen.trial)} if self.world.tries else {},
            plans=get(self._plans, seen.plans),
            stable_service=stable,
            canary_service=canary,
            routes=get(self._routes, seen.route) if self.world.routed else (),
            workload=get(self._workload, seen.deployment) if seen.deployment is not None else None,
            autoscalers=(),
            gates=self.world.gates,
            actions=get(self._acts, seen.acts),
            answers=get(self._answers, seen.answers),
            outcome=get(self._outcome, seen.row) if seen.row is not None and seen.row.last else None,
            barred=frozenset((seen.row.key,)) if seen.row is not None and seen.row.barred else frozenset(),
            doubtful=frozenset((r.kind, r.name) for r in get(self._routes, seen.route))
            if seen.doubtful
            else frozenset(),
        )
        return snapshot if seen.daemon is None else self._on_nodes(snapshot, seen.daemon, seen.known)

    def _on_nodes(self, base: t.Snapshot, found: DaemonSet, known: tuple[Read, ...] | None) -> t.Snapshot:
        """The same where a DaemonSet is released: no Service, no ReplicaSet, and its template until it is adopted."""
        get = self._once.get
        absent, adopted = t.ServiceView("", found=False), base.status.stable is not None
        return replace(
            base,
            spec=get(self._numbered, self.world.specs.index(base.spec)),
            template=base.template if adopted else self.templates[found.template.version],
            revision=base.revision if adopted else self.revisions[found.template.version],
            stable_service=absent,
            canary_service=absent,
            workload=daemon.placed(get(self._daemon_set, found), base.status),
            pods=get(self._pods, known) if known is not None else None,
        )

    def _numbered(self, variant: int) -> RolloutSpec:
        return self.world.specs[variant].model_copy(update={"replicas": self.world.nodes})

    def _daemon_set(self, found: DaemonSet) -> t.WorkloadView:
        template = found.template
        mark = self.hashes.get(template.mark, daemon.UNMARKED)
        return nodes.workload_view(found, self.world.nodes, self.templates[template.version], mark)

    def templated(self, action: t.Action) -> nodes.Template | None:
        """What pods of the template that is held are; None where it stays as it is."""
        if not isinstance(action, t.HoldTemplate) or action.template is None:
            return None
        mark = nodes.mark_in(action.template)
        return nodes.Template(
            action.template["spec"]["image"], "" if mark == daemon.UNMARKED else self.version_of[mark]
        )

    def _pods(self, known: tuple[Read, ...]) -> t.PodsView | None:
        return nodes.pods_view(known, self.hashes)

    def shuffled(self, snapshot: t.Snapshot) -> t.Snapshot:
        """The same with everything that has no order in another one."""

        def turned(service: t.ServiceView) -> t.ServiceView:
            return replace(
                service, ready=_reversed(service.ready.items()), selector=_reversed(service.selector.items())
            )

        return replace(
            snapshot,
            replica_sets=snapshot.replica_sets[::-1],
            variants=snapshot.variants[::-1],
            plans=snapshot.plans[::-1],
            actions=snapshot.actions[::-1],
            answers=snapshot.answers[::-1],
            gates=_reversed(snapshot.gates.items()),
            stable_service=turned(snapshot.stable_service),
            canary_service=turned(snapshot.canary_service),
            pods=snapshot.pods and replace(snapshot.pods, pods=snapshot.pods.pods[::-1]),
        )

    def _sets(self, sets: tuple[Sets, ...]) -> tuple[t.ReplicaSetView, ...]:
        return tuple(self._set(s, self.hashes[s.version], s.version) for s in sets)

    def _variants(self, trial: Trial) -> tuple[t.ReplicaSetView, ...]:
        return tuple(self._set(v, v.pod_hash, v.pod_hash, v.name) for v in trial.variants)

    def _set(self, of: Sets | Variant, pod_hash: str, uid: str, variant: str = "") -> t.ReplicaSetView:
        """The ReplicaSet of a version, or of a variant of it."""
        return t.ReplicaSetView(
            name=f"shop-{pod_hash}",
            uid=uid,
            resource_version="1",
            pod_hash=pod_hash,
            revision=self.revisions[of.version],
            owned=True,
            deleting=False,
            replicas=of.replicas,
            pods=of.replicas if of.settled else max(of.replicas, of.ready),
            ready=of.ready,
            available=of.ready,
            settled=of.settled,
            min_ready_seconds=0,
            created_at=NOW,
            variant=variant,
        )

    @staticmethod
    def _trial_service(trial: Trial) -> t.ServiceView:
        chosen, ready = trial.selected, trial.ready(trial.held)
        return t.ServiceView(
            SERVICE,
            found=True,
            resource_version="1",
            selector={"app": "shop"} | ({LABEL_REVISION: chosen} if chosen else {}),
            ready={trial.held: ready} if trial.held and ready else {},
        )

    def _plans(self, plans: tuple[Plan, ...]) -> tuple[t.PlanView, ...]:
        return tuple(self._once.get(self._record, *plan) for plan in plans)

    @staticmethod
    def _workload(deployment: Deployment) -> t.WorkloadView:
        replicas, ready, settled = deployment
        return t.WorkloadView(
            "shop",
            found=True,
            resource_version="1",
            uid="deployment",
            generation=1,
            observed_generation=int(settled),
            replicas=replicas,
            updated=replicas if settled else ready,
            available=ready,
            pods=replicas if settled else max(replicas, ready),
        )

    def _record(self, version: str, attempt: int, variant: int) -> t.PlanView:
        name = f"shop-{self.hashes[version]}-{attempt}"
        return t.PlanView(
            name,
            name,
            "1",
            self.revisions[version],
            self.hashes[version],
            attempt,
            self.templates[version],
            self.plans[variant],
        )

    def _service(self, name: str, selected: str, ready: tuple[tuple[str, int], ...], age: int) -> t.ServiceView:
        return t.ServiceView(
            name,
            found=True,
            resource_version="1",
            selector={"app": "shop"} | ({LABEL_REVISION: self.hashes[selected]} if selected else {}),
            ready={self.hashes.get(version, ""): count for version, count in ready},
            since=NOW - age * TICK,
        )

    def _routes(self, route: Route) -> tuple[t.RouteView, ...]:
        if route.gone:
            return (t.RouteView(router="gatewayAPI", kind="HTTPRoute", name="shop", problem="there is no HTTPRoute"),)
        return (
            t.RouteView(
                router="gatewayAPI",
                kind="HTTPRoute",
                name="shop",
                found=True,
                resource_version="1",
                weight=route.weight,
                managed=route.led,
                settled=route.settled,
                settled_since=NOW - route.age * TICK if route.settled else None,
            ),
        )

    def _acts(self, acts: tuple[Act, ...]) -> tuple[t.ActionView, ...]:
        return tuple(
            t.ActionView(uid_of(a), uid_of(a), "1", NOW, a.verb, self.hashes[a.version], a.attempt, "ann", "because")
            for a in acts
        )

    @staticmethod
    def _answers(answers: tuple[tuple[str, int, str], ...]) -> tuple[t.Answer, ...]:
        return tuple(
            t.Answer(
                key,
                number,
                NOW,
                value=VALUES.get(verdict),
                no_data="NoData" if verdict == "Unknown" else "",
                error="Timeout" if verdict == "Error" else "",
            )
            for key, number, verdict in answers
        )

    @staticmethod
    def _outcome(row: Row) -> t.Outcome:
        first = NOW - row.age * TICK
        # Only whether the row of failures is long matters, and how many they are.
        at = first + TICK if row.spread else first
        kind = t.OutcomeKind.REFUSED if row.refused else t.OutcomeKind.UNKNOWN
        return t.Outcome(row.key, kind, "Forbidden" if row.refused else "Timeout", "no", at, first, row.times)


def uid_of(act: Act) -> str:
    """The identity of a RolloutAction."""
    return f"{act.verb}-{act.number}"


def _reversed(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(list(items)))
