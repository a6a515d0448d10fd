"""Builds the snapshot that one decision about one Rollout is taken on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from headgate.api.common import LABEL_REVISION, to_epoch
from headgate.api.config import OperatorConfig
from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import Canary, RolloutSpec, RolloutStatus
from headgate.decide import configuration, daemon, experiment, managed, ping_pong, strategies
from headgate.decide.mover import stored
from headgate.decide.revision import revision_of, with_contents
from headgate.decide.types import (
    ActionView,
    Answer,
    AutoscalerView,
    BudgetView,
    ConfigView,
    Outcome,
    PlanView,
    PodsView,
    ReplicaSetView,
    RolloutMeta,
    RouteView,
    ServiceView,
    Snapshot,
    WorkloadView,
    Written,
)
from headgate.observe import groups, views
from headgate.observe.reading import NOTHING, Models, Once
from headgate.observe.references import References
from headgate.observe.store import BY_NAMESPACE, BY_ROLLOUT, BY_SERVICE, Store, owner
from headgate.traffic.protocol import Router, Target

Object = Mapping[str, Any]


@dataclass(slots=True)
class Known:
    """What this process knows about one Rollout and no object holds."""

    outcome: Outcome | None = None
    barred: frozenset[str] = frozenset()
    doubtful: frozenset[tuple[str, str]] = frozenset()
    written: Mapping[str, Written] = field(default_factory=dict)
    answers: Sequence[Answer] = ()
    autoscalers: tuple[AutoscalerView, ...] | None = None
    pod_causes: Mapping[str, str] = field(default_factory=dict)
    pods: PodsView | None = None
    configuration: Mapping[str, ConfigView] = field(default_factory=dict)
    namespace_terminating: bool = False


class Observer:
    """Makes snapshots from the cache."""

    def __init__(
        self, store: Store, config: OperatorConfig, routers: Sequence[Router], models: Models, references: References
    ) -> None:
        self._store = store
        self._config = config
        self._routers = routers
        self.models = models
        self._references = references
        self._plans: dict[str, dict[str, tuple[str, PlanView | None]]] = {}
        """By Rollout, of the records that there are: each attempt has another one, and the last ones' go again."""
        self._workloads: Once[tuple[WorkloadView, str]] = Once()
        self._templates: Once[str] = Once()
        self._sets: Once[ReplicaSetView] = Once()
        self._places: Once[RouteView] = Once()
        self._settled: dict[tuple[str, str, str, str], tuple[object, float]] = {}
        """Since when a claimed place is seen as served, by Rollout and place, for one stored version of it."""
        self._held: dict[tuple[str, str], tuple[tuple[frozenset[str], str | None], float]] = {}
        """Since when a Service is seen to hold pods of just these revisions and to select so, by Rollout and name."""

    def snapshot(self, namespace: str, name: str, now: float, known: Known) -> Snapshot | None:
        """Everything that a decision may depend on; None if there is no such Rollout.

        Raises:
            Unreadable: if its status cannot be read.
        """
        obj = self._store.get("Rollout", namespace, name)
        if obj is None:
            return None
        meta = views.rollout_meta(obj)
        written, problem = self.models.usable_spec(obj)
        status = self.models.status(obj)
        spec = ping_pong.resolved(written, status)
        strategy = strategies.of(spec)
        belonging = owner(namespace, name)
        sets = tuple(self._replica_set(o, meta) for o in self._store.by("ReplicaSet", BY_ROLLOUT, belonging))
        hashes = {s.name: s.pod_hash for s in sets}
        plans = self._plans_of(meta.uid, belonging)
        workload, template, revision = self._template(obj, namespace, spec, status)
        held, unread = configuration.contents(template, spec, known.configuration)
        revision = "" if unread else with_contents(revision, held)
        if workload is not None and workload.in_place is not None:
            # The workload alone says how many.
            spec = spec.model_copy(update={"replicas": workload.replicas})
        services = [self._service(meta, service, hashes, now) for _, service in strategy.services]
        # What was a variant's once may be a version's by now.
        apart = sorted(experiment.service_names(spec, plans).difference(name for _, name in strategy.services))
        stable_service, canary_service = (*services, *[ServiceView("", found=False)] * 2)[:2]
        gates, broken = self._gates(namespace, spec)
        return Snapshot(
            meta=meta,
            spec=spec,
            status=status,
            config=self._config,
            template=template,
            revision=revision,
            unread=unread,
            configuration=known.configuration,
            replica_sets=tuple(s for s in sets if not s.variant),
            variants=tuple(s for s in sets if s.variant),
            plans=plans,
            stable_service=stable_service,
            canary_service=canary_service,
            variant_services={n: self._service(meta, n, hashes, now) for n in apart},
            # With a spec that was readable before, traffic can still be lowered.
            routes=() if spec is NOTHING else self._routes(namespace, meta.uid, spec, status, plans, now),
            workload=workload,
            gates=gates,
            broken_gates=broken,
            problems=(problem,) if problem else self._unselected(namespace, spec),
            contenders=self._references.contenders(self._store, obj, spec),
            missing_kinds=self._missing(spec),
            actions=self._actions(belonging),
            answers=tuple(known.answers),
            autoscalers=known.autoscalers,
            pod_causes=dict(known.pod_causes),
            budgets=self._budgets(namespace, workload),
            pods=known.pods,
            outcome=known.outcome,
            barred=known.barred,
            doubtful=known.doubtful,
            written=known.written,
            namespace_terminating=known.namespace_terminating,
            group=groups.view(self._store, self.models, obj, spec),
        )

    def drop(self, uid: str) -> None:
        """Forget a Rollout that is gone."""
        self.models.drop(uid)
        self._references.drop(uid)
        self._templates.drop(uid)
        self._plans.pop(uid, None)
        for place in [p for p in self._settled if p[0] == uid]:
            del self._settled[place]
        for held in [p for p in self._held if p[0] == uid]:
            del self._held[held]

    def _template(
        self, rollout: Object, namespace: str, spec: RolloutSpec, status: RolloutStatus
    ) -> tuple[WorkloadView | None, Mapping[str, Any] | None, str]:
        if spec.workload_ref is None:
            return None, *self._inline(rollout, spec)
        name, kind = spec.workload_ref.name, spec.workload_ref.kind
        obj = self._store.get(kind, namespace, name)
        if obj is None:
            return WorkloadView(name, found=False, kind=kind), None, ""
        owner_uid = rollout["metadata"]["uid"]
        version = (obj["metadata"]["resourceVersion"], owner_uid)
        view, revision = self._workloads.get(
            obj["metadata"]["uid"], version, lambda: self._workload(kind, name, obj, owner_uid)
        )
        if view.in_place is None or view.in_place.held is None:
            return view, view.template if view.found else None, revision
        # What it runs when it is adopted is what is stable; from then on its template is the operator's to write.
        wanted = (view.template, revision) if status.stable is None else self._inline(rollout, spec)
        return daemon.placed(view, status), *wanted

    def _inline(self, rollout: Object, spec: RolloutSpec) -> tuple[Mapping[str, Any] | None, str]:
        """The template that stands in the Rollout, and its revision."""
        template, meta = spec.template, rollout["metadata"]
        if template is None:
            return None, ""
        return template, self._templates.get(meta["uid"], meta["generation"], lambda: revision_of(template))

    def _unselected(self, namespace: str, spec: RolloutSpec) -> tuple[str, ...]:
        """That a DaemonSet would not know the pods of the template in its Rollout, which the server refuses."""
        ref, template = spec.workload_ref, spec.template
        obj = self._store.get(ref.kind, namespace, ref.name) if ref is not None else None
        if ref is None or ref.kind != "DaemonSet" or template is None or obj is None:
            return ()
        selector = obj["spec"].get("selector")
        if views.selects(selector, views.labels_of(template)):
            return ()
        text = (
            f"spec.template.metadata.labels: DaemonSet {ref.name} selects its pods by {views.selector_text(selector)}"
        )
        return (f"{text}, which the template does not carry; give it these labels",)

    def _workload(self, kind: str, name: str, obj: Object, rollout_uid: str) -> tuple[WorkloadView, str]:
        view = views.WORKLOADS[kind](name, obj)
        view = replace(view, signed=view.found and views.signed(obj, rollout_uid))
        if not view.found:
            return view, ""
        # Its counts change often, its template seldom.
        revision = self._templates.get(view.uid, view.generation, lambda: revision_of(view.template))
        return view, revision

    def _budgets(self, namespace: str, workload: WorkloadView | None) -> tuple[BudgetView, ...]:
        if workload is None or workload.in_place is None:
            return ()
        labels = views.labels_of(workload.template)
        found = self._store.by("PodDisruptionBudget", BY_NAMESPACE, namespace)
        return tuple(views.budget(o) for o in found if views.selects(o["spec"].get("selector"), labels))

    def _replica_set(self, obj: Object, meta: RolloutMeta) -> ReplicaSetView:
        version = (obj["metadata"]["resourceVersion"], meta.uid, meta.deleting)
        return self._sets.get(
            obj["metadata"]["uid"], version, lambda: views.replica_set(obj, meta.uid, rollout_deleting=meta.deleting)
        )

    def _service(self, meta: RolloutMeta, name: str, hashes: Mapping[str, str], now: float) -> ServiceView:
        slices = self._store.by("EndpointSlice", BY_SERVICE, owner(meta.namespace, name))
        view = views.service(name, self._store.get("Service", meta.namespace, name), slices, hashes, meta.uid)
        # Slices come late: of pods that are ready for a moment only, between two switches, they may never have told.
        leads, place = (frozenset(view.ready), view.selector.get(LABEL_REVISION)), (meta.uid, name)
        seen, since = self._held.get(place, (None, now))
        if seen != leads:
            since = now
            self._held[place] = (leads, since)
        return replace(view, since=since)

    def _plans_of(self, uid: str, belonging: str) -> tuple[PlanView, ...]:
        before, found = self._plans.get(uid, {}), {}
        for obj in self._store.by("ControllerRevision", BY_ROLLOUT, belonging):
            meta = obj["metadata"]
            if meta.get("deletionTimestamp"):
                continue
            version, known = meta["resourceVersion"], before.get(meta["uid"])
            found[meta["uid"]] = known if known and known[0] == version else (version, views.plan(obj))
        self._plans[uid] = found
        return tuple(view for _, view in found.values() if view is not None)

    def _actions(self, belonging: str) -> tuple[ActionView, ...]:
        found = [views.action(o) for o in self._store.by("RolloutAction", BY_ROLLOUT, belonging)]
        return tuple(sorted((a for a in found if a is not None), key=lambda a: (a.created_at, a.uid)))

    def _gates(self, namespace: str, spec: RolloutSpec) -> tuple[dict[str, QualityGateSpec], dict[str, str]]:
        names = {g.ref.name for g in spec.gates}
        names |= {gate.ref.name for _, gate in strategies.of(spec).gates}
        good: dict[str, QualityGateSpec] = {}
        broken: dict[str, str] = {}
        for name in sorted(names):
            obj = self._store.get("QualityGate", namespace, name)
            if obj is None:
                continue
            parsed, problem = self.models.gate(obj)
            if parsed is not None:
                good[name] = parsed
            else:
                broken[name] = problem
        return good, broken

    def _missing(self, spec: RolloutSpec) -> tuple[str, ...]:
        canary = strategies.of(spec).routed
        needed = {r.resource.kind for r in self._routers if canary is not None and r.targets(canary)}
        return tuple(sorted(needed.intersection(self._store.missing)))

    def _routes(
        self,
        namespace: str,
        uid: str,
        spec: RolloutSpec,
        status: RolloutStatus,
        plans: tuple[PlanView, ...],
        now: float,
    ) -> tuple[RouteView, ...]:
        canary = strategies.of(spec).routed
        if canary is None:
            return ()
        found, recorded = [], managed.recorded(canary, plans)
        for router in self._routers:
            for target in router.targets(canary):
                obj = self._store.get(router.resource.kind, namespace, target.name)
                place = (uid, router.key, target.name, target.rule)
                version = obj["metadata"].get("resourceVersion") if obj is not None else None
                read = partial(_read, router, canary, recorded, obj, target)
                view = self._places.get(place, (version, canary, recorded), read)
                taken_back = str(obj["metadata"].get("takenBack") or "") if obj is not None else ""
                since = self._since(place, view, obj, status, now)
                found.append(
                    replace(
                        view,
                        settled_since=since,
                        taken_back=taken_back,
                        signed=obj is not None and views.signed(obj, uid),
                        problem=strategies.told(spec, view.problem),
                        unable=strategies.told(spec, view.unable),
                    )
                )
        return tuple(found)

    def _since(
        self,
        place: tuple[str, str, str, str],
        view: RouteView,
        obj: Object | None,
        status: RolloutStatus,
        now: float,
    ) -> float | None:
        if obj is None or not view.settled:
            self._settled[place] = (None, now)
            return None
        # Some routers that report nothing back are told by annotations, which change no generation.
        told = stored(view.weight, view.managed) if view.blind else None
        version = (obj["metadata"].get("uid"), obj["metadata"].get("generation"), told)
        first_sight = place not in self._settled
        seen, since = self._settled.get(place, (None, now))
        if seen != version:
            since = now
            weights = status.weights
            wanted = stored(weights.desired, tuple(weights.routes or ()))
            same = wanted == stored(view.weight, view.managed)
            if first_sight and weights.applied and same and status.written_at:
                # A restart: the journal says that it was served so already, and it is still the same weight.
                since = min(now, to_epoch(status.written_at))
            self._settled[place] = (version, since)
        return since


def _read(router: Router, canary: Canary, recorded: Canary, obj: Object | None, target: Target) -> RouteView:
    """A claimed place, and what of the steps of the spec cannot be done there; routes are known by recorded ones."""
    view, unable = router.read(recorded, obj, target), router.unable(canary, obj, target)
    return replace(view, unable=unable) if unable else view
