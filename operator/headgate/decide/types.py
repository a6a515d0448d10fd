"""The values that `decide` takes and gives: snapshot in, decision out; nothing here does anything.

Times are seconds since the epoch in API-server time; lengths are seconds; weights are percent of the requests for the
canary, or parts of maxTrafficWeight. A `pod_hash` is the short form of a revision, the value of the label
`headgate.dev/revision`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Literal

from headgate.api.config import OperatorConfig
from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import RolloutSpec, RolloutStatus, Step
from headgate.api.routes import SessionAffinity
from headgate.api.values import dataclass
from headgate.decide.managed import ManagedRoute

# --------------------------------------------------------------------------------------------------------------------
# What is observed
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RolloutMeta:
    """Identity of the Rollout that is decided about."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created_at: float
    deleting: bool = False
    orphaning: bool = False
    """Deleted with `--cascade=orphan`: what it owns is to stay."""
    finalizers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaSetView:
    """One ReplicaSet with the label of this Rollout, whoever owns it."""

    name: str
    uid: str
    resource_version: str
    pod_hash: str
    revision: str
    """The full revision from its annotation; empty where it has none."""
    owned: bool
    """Its controller is this Rollout, by uid."""
    deleting: bool
    replicas: int
    """`spec.replicas`."""
    pods: int
    ready: int
    available: int
    settled: bool
    """`status.observedGeneration` is its generation: the counts speak of the present spec."""
    min_ready_seconds: int
    created_at: float
    failure: str = ""
    """Reason and message of its condition `ReplicaFailure`, e.g. an exceeded quota."""
    taken_back: str = ""
    """`ScaleReplicaSet.takes_back` of the write that its size is from; empty if another write was the last one."""
    copies: tuple[ConfigCopy, ...] = ()
    """What its pods read in the place of what the template named."""
    mark: str = ""
    """A digest of what its template has of `canaryMetadata` or `stableMetadata`; empty if that is nothing."""
    variant: str = ""
    """The name of the variant of an experiment whose pods it has; empty for one of a revision."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One Service and what its EndpointSlices hold."""

    name: str
    found: bool
    resource_version: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)
    ready: Mapping[str, int] = field(default_factory=dict)
    """Serving endpoints by pod hash; pods of nobody that this Rollout knows count under the empty string."""
    since: float = 0.0
    """Since when this process has seen it hold pods of just these revisions, and select as it does; drain delays run
    from there."""
    taken_back: str = ""
    """`SetSelector.takes_back` of the write that its selector is from; empty if another write was the last one."""
    signed: bool = False
    """The server has the operator down as the owner of a field of it."""


@dataclass(frozen=True, slots=True)
class RouteView:
    """One claimed place in a router, as read back."""

    router: str
    """Key of the router in the registry, e.g. `gatewayAPI`."""
    kind: str
    name: str
    rule: str = ""
    found: bool = False
    resource_version: str = ""
    problem: str = ""
    """Why it cannot be worked with, naming the field; empty if it can."""
    weight: int = 0
    """The canary's weight as stored."""
    settled: bool = False
    """The router reports the stored version as served (all parents, this generation)."""
    settled_since: float | None = None
    """Since when this process has seen it so."""
    message: str = ""
    """What the router says while it is not served."""
    taken_back: str = ""
    """`SetWeight.takes_back` of the write that its rules are from; empty if another write was the last one."""
    signed: bool = False
    """The server has the operator down as the owner of a field of it."""
    blind: bool = False
    """The router reports nothing back: what is stored counts as settled, and as served after the settle time."""
    managed: tuple[str, ...] = ()
    """`ManagedRoute.key` of the routes by header, mirrors and sessions that are there for it, in their order."""
    unable: str = ""
    """What of the steps of the spec the router cannot do, naming the step and what to do; empty if it can do all."""


@dataclass(frozen=True, slots=True)
class HeldTemplate:
    """Whether the template of a DaemonSet is the one that was meant, and which pods get it."""

    on_delete: bool
    """Pods get it only when they are made anew."""
    generation: int = 0
    """The server's count of the changes of the template."""
    noted: int | None = None
    """What that count was to be after the operator's last write; None if the operator does not hold the template."""

    @property
    def ours(self) -> bool:
        """Nobody else has changed the template since."""
        return self.noted == self.generation

    @property
    def sure(self) -> bool:
        """And no pod gets it by itself."""
        return self.ours and self.on_delete

    @property
    def unchanged(self) -> bool:
        """What was written last was there already, so the server did not count it; nothing came after it either."""
        return self.noted == self.generation + 1


@dataclass(frozen=True, slots=True)
class InPlace:
    """What is special about a workload whose pods are replaced in place."""

    partition: int
    """Pods of a lower ordinal keep the revision `now`; a great number closes the update."""
    now: str = ""
    """What the workload calls the revision that all pods had when it was last complete: `status.currentRevision`. Of a
    DaemonSet, what the pods of the stable revision are called."""
    next: str = ""
    """And the one of its present template: `status.updateRevision`."""
    current: int = 0
    """Pods of the revision `now` that are not on their way out."""
    ready: int = 0
    labels: str = ""
    """Label selector of its pods."""
    service: str = ""
    """Its governing Service."""
    unfit: str = ""
    """Why its update cannot be held by a partition, naming the field; empty if it can."""
    taken_back: str = ""
    """`SetPartition.takes_back` of the write that the partition is from; empty if another write was the last one."""
    held: HeldTemplate | None = None
    """Of a DaemonSet, whose template stands for the partition: 0, or closed while it is the stable one."""


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod of a workload that is released in place, or of the stable ReplicaSet."""

    name: str
    uid: str
    ordinal: int
    revision: str
    """Its label `controller-revision-hash`."""
    ready: bool
    going: bool
    created_at: float = 0.0
    mark: str = ""
    """What it is called as a pod of a DaemonSet: its label `headgate.dev/revision`, or `daemon.UNMARKED`."""
    node: str = ""


@dataclass(frozen=True, slots=True)
class PodsView:
    """The pods of a workload, or of a ReplicaSet, as they were read on demand."""

    version: str
    """They were read after this resourceVersion of the workload or ReplicaSet had been seen."""
    pods: tuple[PodView, ...]


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A PodDisruptionBudget that speaks of the workload's pods."""

    name: str
    allowed: int
    """Disruptions that it allows now; 0 while its controller has not seen its present spec."""


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """The workload of workloadRef."""

    name: str
    found: bool
    kind: str = field(default="Deployment", kw_only=True)
    resource_version: str = ""
    uid: str = ""
    generation: int = 0
    observed_generation: int = 0
    replicas: int = 0
    updated: int = 0
    available: int = 0
    pods: int = 0
    template: Mapping[str, Any] = field(default_factory=dict)
    in_place: InPlace | None = None
    """For a workload whose pods are replaced in place."""
    signed: bool = False
    """The server has the operator down as the owner of a field of it."""


@dataclass(frozen=True, slots=True, order=True)
class ConfigCopy:
    """What stands for a ConfigMap or Secret in the pods of a revision."""

    kind: str
    source: str
    """The name in the template as Git wrote it."""
    name: str
    """The name of the copy, which follows from what it holds."""

    @property
    def key(self) -> str:
        """As `Snapshot.configuration` names the copy."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class ConfigView:
    """One ConfigMap or Secret, as it was read on demand; what it holds is known by its digest alone."""

    kind: str
    name: str
    at: float
    """When it was read."""
    found: bool = False
    problem: str = ""
    """Why it cannot be read; empty if it can."""
    uid: str = ""
    resource_version: str = ""
    digest: str = field(default="", repr=False)
    source: str = ""
    """What it says that it is a copy of."""
    owners: tuple[str, ...] = ()
    """By uid."""
    immutable: bool = False
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps and resolved gates as they were when an attempt began; stored in a ControllerRevision, never changed."""

    steps: tuple[Step, ...]
    step_gates: Mapping[str, QualityGateSpec]
    """By name, for the gates that steps refer to."""
    background_gates: Mapping[str, QualityGateSpec]
    """By name, with the Rollout's interval already in place."""
    session: SessionAffinity | None = None
    """How users keep the version that they have met."""


@dataclass(frozen=True, slots=True)
class PlanView:
    """One ControllerRevision of this Rollout."""

    name: str
    uid: str
    resource_version: str
    revision: str
    pod_hash: str
    attempt: int
    template: Mapping[str, Any]
    plan: Plan
    copies: tuple[ConfigCopy, ...] = ()
    """What its pods read in the place of what the template names."""
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ActionView:
    """One RolloutAction that has no answer yet."""

    uid: str
    name: str
    resource_version: str
    created_at: float
    verb: str
    pod_hash: str
    attempt: int
    author: str
    reason: str
    to_revision: str = ""


@dataclass(frozen=True, slots=True)
class AutoscalerView:
    """A HorizontalPodAutoscaler that scales the adopted workload."""

    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a metric provider answered to one question; numbers only."""

    question: str
    """`Question.key`."""
    number: int
    """`Question.number`."""
    at: float
    value: float | None = None
    sample: float | None = None
    error: str = ""
    """CamelCase code if it could not be asked: Timeout, Unreachable, QueryRefused, ServerError, TooLarge, …"""
    no_data: str = ""
    """CamelCase code if it answered without a usable number: NoData, NaN, ManySeries …"""


@dataclass(frozen=True, slots=True)
class PeerRun:
    """The release under way of another member of the group, as its journal tells; ways back are none."""

    since: float
    finished: int
    """Steps."""
    steps: int
    """How many it has."""
    through: float | None = None
    voted: bool = False


@dataclass(frozen=True, slots=True)
class PeerVerdict:
    """The last attempt of another member that was taken back."""

    member: str
    """Whose verdict that was, as `namespace/name`."""
    reason: str
    since: float
    until: float
    """Who began by then was released with it."""
    over: float
    """When the verdict fell."""


@dataclass(frozen=True, slots=True)
class PeerView:
    """Another member of the group."""

    namespace: str
    name: str
    after: tuple[tuple[str, str], ...] = ()
    """Namespace and name of its predecessors."""
    run: PeerRun | None = None
    verdict: PeerVerdict | None = None
    phase: str = ""
    reason: str = ""
    """Why it does not go on, in one CamelCase word; empty if it does."""
    stalled: bool = False
    """It needs a person."""
    broken: str = ""
    """Why its journal cannot be read; empty if it can."""


@dataclass(frozen=True, slots=True)
class GroupView:
    """The release group of a Rollout."""

    peers: tuple[PeerView, ...] = ()
    """The other members."""
    problem: str = ""
    """Why they cannot be known, naming the field; empty if they are."""


class OutcomeKind(StrEnum):
    """What became of a write."""

    DONE = "Done"
    CONFLICT = "Conflict"
    REFUSED = "Refused"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the last action."""

    action: str
    """`Action.key` of what was tried."""
    kind: OutcomeKind
    reason: str = ""
    """CamelCase, e.g. Forbidden, Invalid, AlreadyExists, NotFound, NotServed, Timeout, Unreachable, NameConflict."""
    message: str = ""
    at: float = 0.0
    first_at: float = 0.0
    """When the unbroken row of the same refusals of the same action began."""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Written:
    """What this process wrote last to a place that somebody else may write, too."""

    value: int | str
    """What a route gives to the canary (`mover.stored`), the pod hash that a Service selects."""
    at: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a decision may depend on."""

    meta: RolloutMeta
    spec: RolloutSpec
    status: RolloutStatus
    """As last written (or read); the journal."""
    config: OperatorConfig
    template: Mapping[str, Any] | None
    """The raw pod template that is wanted: the inline one or the workload's; None if it cannot be had."""
    revision: str
    """`headgate.decide.revision.revision_of(template)`; empty without one, or while `unread` says why."""
    unread: str = ""
    """What must be read before it is known which revision is wanted."""
    configuration: Mapping[str, ConfigView] = field(default_factory=dict)
    """By `kind/name`, what was asked for of ConfigMaps and Secrets."""
    selector: Mapping[str, str] = field(default_factory=dict)
    replica_sets: tuple[ReplicaSetView, ...] = ()
    """Those of revisions."""
    variants: tuple[ReplicaSetView, ...] = ()
    """Those of variants, of whatever experiment."""
    plans: tuple[PlanView, ...] = ()
    stable_service: ServiceView = field(default_factory=lambda: ServiceView("", found=False))
    canary_service: ServiceView = field(default_factory=lambda: ServiceView("", found=False))
    variant_services: Mapping[str, ServiceView] = field(default_factory=dict)
    """By name, those that the spec or a record names for a variant."""
    routes: tuple[RouteView, ...] = ()
    workload: WorkloadView | None = None
    gates: Mapping[str, QualityGateSpec] = field(default_factory=dict)
    """The QualityGates of the namespace that this Rollout refers to, as far as they exist."""
    broken_gates: Mapping[str, str] = field(default_factory=dict)
    """QualityGates that exist and cannot be read: name to reason."""
    problems: tuple[str, ...] = ()
    """What observing found that no decision can work with, each naming its field (e.g. a spec that does not parse)."""
    contenders: tuple[str, ...] = ()
    """Claims of an older Rollout on the same route rule, Service or workload, as sentences."""
    missing_kinds: tuple[str, ...] = ()
    """Kinds that this Rollout needs and the cluster does not serve, e.g. `HTTPRoute`."""
    actions: tuple[ActionView, ...] = ()
    answers: tuple[Answer, ...] = ()
    """Answers that no written status records yet, oldest first."""
    autoscalers: tuple[AutoscalerView, ...] | None = None
    """Of the workload; None if they were not asked for yet."""
    pod_causes: Mapping[str, str] = field(default_factory=dict)
    """pod hash to why its pods do not come up, as a sentence; only what was asked for."""
    budgets: tuple[BudgetView, ...] = ()
    """Of a workload that is released in place."""
    pods: PodsView | None = None
    """Likewise; None if they were not asked for yet."""
    outcome: Outcome | None = None
    barred: frozenset[str] = frozenset()
    """Keys of actions that failed lately and are not tried again yet."""
    doubtful: frozenset[tuple[str, str]] = frozenset()
    """Kind and name of objects that may be others than is seen here: nobody knows how a write of them ended, and they
    could not be read since."""
    written: Mapping[str, Written] = field(default_factory=dict)
    """By the key of the action, where this process has written and knows how that ended."""
    namespace_terminating: bool = False
    group: GroupView | None = None
    """Of a Rollout that is in one."""


# --------------------------------------------------------------------------------------------------------------------
# What is decided
# --------------------------------------------------------------------------------------------------------------------

Exposure = Literal["raise", "lower", "neutral"]


@dataclass(frozen=True, slots=True)
class Action:
    """One mutating request. `key` names it for outcomes and logs; `resource_version` is the target's."""

    exposure: Exposure = field(default="neutral", kw_only=True)

    @property
    def key(self) -> str:
        """The action's identity: its kind and target, without the value."""
        return f"{type(self).__name__}/{getattr(self, 'name', '')}"


@dataclass(frozen=True, slots=True)
class SetFinalizer(Action):
    """Add or remove the hand-back finalizer on the Rollout.

    Before it is removed the routes and Services are read, as nobody looks after them any more.
    """

    name: str
    resource_version: str
    present: bool
    patient: bool = True
    """It waits until they can be read."""


@dataclass(frozen=True, slots=True)
class CreatePlan(Action):
    """Create the ControllerRevision that pins an attempt. Nothing owns it."""

    name: str
    revision: str
    pod_hash: str
    attempt: int
    template: Mapping[str, Any]
    plan: Plan
    copies: tuple[ConfigCopy, ...] = ()


@dataclass(frozen=True, slots=True)
class DeletePlan(Action):
    """Delete a ControllerRevision that no kept ReplicaSet needs."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class CreateConfigCopy(Action):
    """Copy a ConfigMap or Secret, if it still holds what the copy's name says; owned by the Rollout and a record."""

    kind: str
    name: str
    source: str
    pod_hash: str
    anchor_name: str
    anchor_uid: str

    @property
    def key(self) -> str:
        """The action's identity: one per copy."""
        return f"CreateConfigCopy/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class DeleteConfigCopy(Action):
    """Delete a copy that no record needs."""

    kind: str
    name: str
    uid: str
    resource_version: str

    @property
    def key(self) -> str:
        """The action's identity: one per copy."""
        return f"DeleteConfigCopy/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class CreateReplicaSet(Action):
    """Create the ReplicaSet of a revision or a variant.

    It is owned by the Rollout (controller) and by the first ControllerRevision of the revision whose template it has.
    """

    name: str
    revision: str
    pod_hash: str
    collision: int
    replicas: int
    min_ready_seconds: int
    template: Mapping[str, Any]
    anchor_name: str
    anchor_uid: str
    copies: tuple[ConfigCopy, ...] = ()
    """What the template refers to by now."""
    mark: str = ""
    """As in `ReplicaSetView`."""
    variant: str = ""
    """The same."""


@dataclass(frozen=True, slots=True)
class Dress:
    """Metadata for pods that are still to start."""

    mark: str
    """As in `ReplicaSetView`."""
    metadata: Mapping[str, Any]
    """The whole metadata of the ReplicaSet's template."""


@dataclass(frozen=True, slots=True)
class ScaleReplicaSet(Action):
    """Set `spec.replicas` (and minReadySeconds, if it differs) of a ReplicaSet, and what its next pods carry."""

    name: str
    resource_version: str
    replicas: int
    min_ready_seconds: int
    takes_back: str = ""
    """As in `SetSelector`, where the pods are the weight."""
    dress: Dress | None = None
    """None leaves it as it is."""


@dataclass(frozen=True, slots=True)
class DeleteReplicaSet(Action):
    """Delete an old revision's ReplicaSet, which has no pods, or a variant's, whose pods end with it."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class SetSelector(Action):
    """Point a Service at one revision; an empty hash drops the key and so hands the Service back."""

    name: str
    resource_version: str
    pod_hash: str
    takes_back: str = ""
    """The attempt that a verdict of this very decision takes back: the journal of it comes later, and may be lost."""
    looks: bool = False
    """It counts on no request going to what was taken back: before it the routes and Services are read."""


@dataclass(frozen=True, slots=True)
class SetWeight(Action):
    """Set what one claimed place of a router gives to the canary: its weight, stable gets the rest; its routes.

    The routes by header and the mirrors are these and no others.
    """

    router: str
    kind: str
    name: str
    rule: str
    resource_version: str
    weight: int
    routes: tuple[ManagedRoute, ...] = field(default=(), kw_only=True)
    takes_back: str = ""
    """As in `SetSelector`."""

    @property
    def key(self) -> str:
        """The action's identity: one per claimed place."""
        return f"SetWeight/{self.kind}/{self.name}/{self.rule}"


@dataclass(frozen=True, slots=True)
class ScaleWorkload(Action):
    """Set `spec.replicas` of the adopted Deployment."""

    name: str
    resource_version: str
    replicas: int


@dataclass(frozen=True, slots=True)
class SetPartition(Action):
    """Say from which ordinal on the pods of a StatefulSet get its present template."""

    name: str
    resource_version: str
    partition: int
    takes_back: str = ""
    """As in `SetSelector`."""


@dataclass(frozen=True, slots=True)
class HoldTemplate(Action):
    """Give a DaemonSet the template that pods which are made from now on are to have, and let it end none by itself."""

    name: str
    resource_version: str
    revision: str
    """What pods of it are called."""
    template: Mapping[str, Any] | None = None
    """None leaves the one that is there."""
    takes_back: str = ""
    """As in `SetSelector`."""


@dataclass(frozen=True, slots=True)
class ReleaseTemplate(Action):
    """Let a DaemonSet update its pods as it did before its template was held."""

    name: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class EvictPod(Action):
    """Evict one pod, which a PodDisruptionBudget may refuse; its workload makes it anew."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Disown(Action):
    """Take the operator off the owners of what was handed back; no field of the object changes."""

    kind: str
    name: str
    resource_version: str
    router: str = ""
    """Whose object it is; empty for what is no router's."""

    @property
    def key(self) -> str:
        """The action's identity: one per object."""
        return f"Disown/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class AnswerAction(Action):
    """Write the status of a RolloutAction."""

    name: str
    resource_version: str
    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class RenderedQuery:
    """A query as it will be sent."""

    text: str
    step: float | None = None
    """Seconds between points of a range query; None asks for an instant."""
    window: float = 0.0
    """Length of a range query in seconds, ending at the instant of asking."""
    reduce: Literal["Last", "Mean", "Min", "Max"] = "Last"


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a metric provider."""

    key: str
    """Unique per gate run, window and check; with `number` unique for ever."""
    number: int
    provider: str
    query: RenderedQuery
    sample_query: RenderedQuery | None = None
    timeout: float = 10.0


class ReadKind(StrEnum):
    """What may be read on demand, because watching it would cost more than it tells."""

    PODS = "Pods"
    AUTOSCALERS = "Autoscalers"
    WORKLOAD_PODS = "WorkloadPods"
    CONFIG = "Config"


@dataclass(frozen=True, slots=True)
class ReadQuestion:
    """A read of the API server: why the pods of `target` (a pod hash) do not come up, or who scales it (a workload).

    Of `WORKLOAD_PODS` the target is the resourceVersion that the workload or ReplicaSet has been seen in, of `CONFIG`
    it is `kind/name`.
    """

    kind: ReadKind
    target: str
    labels: str = ""
    """Label selector of the pods, where they do not carry the operator's labels."""
    occasion: str = ""
    """What was read for another occasion is read again, however lately that was."""


@dataclass(frozen=True, slots=True)
class EventNote:
    """A Kubernetes Event to record, best effort."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The journal as it should be, and what to do about the world."""

    status: RolloutStatus
    write: bool
    """The status must be written (journal changed), or may be (evidence is due)."""
    action: Action | None = None
    questions: tuple[Question, ...] = ()
    reads: tuple[ReadQuestion, ...] = ()
    wake_at: float | None = None
    events: tuple[EventNote, ...] = ()
    waiting: str = ""
    """What is waited for, for the log."""
