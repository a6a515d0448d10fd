"""The named worlds of the model check: what a Rollout wants there, what may happen to it, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.api.config import OperatorConfig
from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import RolloutSpec
from headgate.decide import experiment, ping_pong, strategies
from tests.simulation.model.trials import SERVICE

TICK = 30.0
"""Seconds of one tick. The delays of the worlds are none, one tick or longer than everything."""

KINDS = (
    "",
    "crash",
    "conflict",
    "lost",
    "stale",
    "release",
    "change",
    "person",
    "delete",
    "bad",
    "loss",
    "rewrite",
    "outage",
    "missing",
    "deleted",
)
"""What is budgeted; the first stands for what costs nothing, because it comes by itself.

crash: the operator is killed, between any two of its writes. conflict: somebody touched the object. lost: a write was
carried out and its answer did not arrive. stale: a change is not seen yet. release: the template changes. change: the
rest of the spec changes. person: somebody acts. delete: the Rollout is deleted. bad: an answer that is no Pass. loss: a
pod is not ready any more, one of a DaemonSet dies. rewrite: somebody else changes the weight, or the template of a
DaemonSet, or scales the adopted Deployment up. outage: the router's writes are refused. missing: somebody deletes the
route, and creates it again. deleted: somebody deletes a ReplicaSet.
"""
NODES = 3
"""Nodes of the worlds in which a DaemonSet is released."""
COST = {kind: number for number, kind in enumerate(KINDS)}
LONG = 86400


def spec(
    steps: list[dict[str, Any]],
    *,
    replicas: int = 3,
    delay: float = 0,
    gates: tuple[str, ...] = (),
    adopts: bool = False,
    pods: dict[str, Any] | None = None,
    turns: bool = False,
    **more: Any,
) -> RolloutSpec:
    """A canary with these steps, whose Services take turns or do not.

    With `delay` before old pods go; `pods` is what else it says of them.
    """
    services = {"stableService": "shop", "canaryService": "shop-canary"}
    canary = {
        **({"pingPong": {"pingService": "shop", "pongService": "shop-canary"}} if turns else services),
        "scaleDownDelaySeconds": int(delay),
        "abortScaleDownDelaySeconds": int(delay),
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
        "steps": steps,
        **(pods or {}),
    }
    return RolloutSpec.model_validate(
        {
            "replicas": replicas,
            **({"workloadRef": {"name": "shop"}} if adopts else {"template": {}}),
            "progressDeadlineSeconds": LONG,
            "strategy": {"canary": canary},
            "gates": [{"ref": {"name": name}} for name in gates],
            **more,
        }
    )


def blue_green(strategy: dict[str, Any], *, replicas: int = 3, gates: tuple[str, ...] = (), **more: Any) -> RolloutSpec:
    """A blue-green Rollout behind the same two Services, and without a route, unless the strategy names one."""
    delays = {"scaleDownDelaySeconds": 0, "abortScaleDownDelaySeconds": 0}
    services = {"activeService": "shop", "previewService": "shop-canary"}
    return RolloutSpec.model_validate(
        {
            "replicas": replicas,
            "template": {},
            "progressDeadlineSeconds": LONG,
            "strategy": {"blueGreen": services | delays | strategy},
            "gates": [{"ref": {"name": name}} for name in gates],
            **more,
        }
    )


def rolling(steps: list[dict[str, Any]], *, gates: tuple[str, ...] = (), **more: Any) -> RolloutSpec:
    """A DaemonSet in batches."""
    return RolloutSpec.model_validate(
        {
            "workloadRef": {"kind": "DaemonSet", "name": "shop"},
            "template": {},
            "progressDeadlineSeconds": LONG,
            "strategy": {"rolling": {"steps": steps}},
            "gates": [{"ref": {"name": name}} for name in gates],
            **more,
        }
    )


def gate(**more: Any) -> QualityGateSpec:
    """A gate with one check; strict, if nothing else is said."""
    check = {"name": "success", "prometheus": {"query": {"template": "success"}}, "pass": {"min": 99}}
    return QualityGateSpec.model_validate({"interval": "30s", "consecutiveErrorLimit": 0, "checks": [check], **more})


def config(delay: float = 0) -> OperatorConfig:
    """The operator's; `delay` for what was served to settle and for connections to drain."""
    return OperatorConfig.model_validate(
        {
            "metricProviders": {"default": {"address": "http://prometheus:9090"}},
            "queryTemplates": {
                "success": {"query": 'success{service="{{canaryService}}"}'},
                "compared": {"query": 'compared{one="{{baseline}}"}'},
            },
            "routeSettleSeconds": delay,
            "drainSeconds": delay,
            "rollingKinds": ["DaemonSet"],
        }
    )


@dataclass(frozen=True)
class World:
    """One bounded world."""

    name: str
    tells: str
    """What is looked at here, in a sentence."""
    budget: Mapping[str, int]
    """How often what may happen, at most, all in one history."""
    slice: Mapping[str, int]
    """The same for the small world of the test command."""
    specs: tuple[RolloutSpec, ...]
    """The first holds at the beginning; a change of the spec leads to another one."""
    versions: tuple[str, ...] = ("v1", "v2")
    gates: Mapping[str, QualityGateSpec] = field(default_factory=lambda: {"golden": gate()})
    verbs: tuple[str, ...] = ()
    """What people do."""
    delay: float = 0
    """Seconds for settling and draining; 0 or one tick."""
    timed: bool = False
    """How long a step has lasted makes a difference: a pause with a duration, or a short deadline."""

    @property
    def routed(self) -> bool:
        """A router shifts the traffic."""
        return strategies.of(self.specs[0]).routed is not None

    @property
    def switches(self) -> bool:
        """One write may be the release, or the last step all that a promotion does: all requests are led at once."""
        return (not self.routed and not self.nodes) or ping_pong.pair(self.specs[0]) is not None

    @property
    def tries(self) -> bool:
        """A step is an experiment."""
        return any(experiment.service_names(spec, ()) for spec in self.specs)

    @property
    def adopts(self) -> bool:
        """The template is a Deployment's."""
        ref = self.specs[0].workload_ref
        return ref is not None and ref.kind == "Deployment"

    @property
    def nodes(self) -> int:
        """Nodes on which a DaemonSet is released; none where it is another workload."""
        ref = self.specs[0].workload_ref
        return NODES if ref is not None and ref.kind == "DaemonSet" else 0

    @property
    def config(self) -> OperatorConfig:
        """The operator's configuration."""
        return config(self.delay)


THREE: list[dict[str, Any]] = [
    {"setWeight": 20},
    {"gate": {"ref": {"name": "golden"}, "count": 1}},
    {"setWeight": 60},
]
PAUSES: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": "30s"}}]
HURRIED: list[dict[str, Any]] = [
    {"setWeight": 20},
    {"pause": {"duration": "30s"}},
    {"setWeight": 60},
    {"gate": {"ref": {"name": "golden"}}},
    {"pause": {"duration": "30s"}},
]
SCALED: list[dict[str, Any]] = [{"setCanaryScale": {"replicas": 2}}, {"setWeight": 50}, {"setWeight": 100}]
LATE: list[dict[str, Any]] = [
    {"setWeight": 40, "timeout": "60s", "onTimeout": "Abort"},
    {"pause": {}, "timeout": "30s", "onTimeout": "Promote"},
    {"gate": {"ref": {"name": "golden"}, "count": 1}, "timeout": "30s"},
    {"pause": {}, "timeout": "30s", "onTimeout": "Notify"},
]
BY_HEADER: dict[str, Any] = {
    "setHeaderRoute": {"name": "beta", "match": [{"headerName": "x", "headerValue": {"exact": "1"}}]}
}
LED: list[dict[str, Any]] = [
    BY_HEADER,
    {"gate": {"ref": {"name": "golden"}, "count": 1}},
    {"setWeight": 40},
    {"setHeaderRoute": {"name": "beta"}},
    {"setWeight": 70},
]
FEW: list[dict[str, Any]] = [{"setWeight": 40}, {"gate": {"ref": {"name": "golden"}}}]
FOLLOWED: list[dict[str, Any]] = [{"setWeight": 40}, {"setWeight": 100}, FEW[1], {"setWeight": 20}]
STAYED: list[dict[str, Any]] = [{"setWeight": 40}, FEW[1], {"setWeight": 70}]


def staying(**more: Any) -> dict[str, Any]:
    """What a canary says whose users stay."""
    routes = {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}}
    return {"trafficRouting": {**routes, "sessionAffinity": {"cookieName": "stay", **more}}}


PARTLY: list[dict[str, Any]] = [
    {"setCanaryScale": {"replicas": 3}},
    BY_HEADER,
    {"setWeight": 40},
    FEW[1],
    {"setWeight": 70},
]
ENOUGH: dict[str, Any] = {"replicaProgressThreshold": {"type": "Pod", "value": 2}}
FOLLOWS: dict[str, Any] = {"dynamicStableScale": True}
FLOORED: dict[str, Any] = {"dynamicStableScale": True, "minPodsPerReplicaSet": 2}
JUDGED: list[dict[str, Any]] = [{"ref": {"name": "golden"}}]
SWITCHED: dict[str, Any] = {"prePromotionGates": JUDGED, "postPromotionGates": JUDGED}
SWITCHED_LATE: dict[str, Any] = {
    "prePromotionGates": [{**JUDGED[0], "count": 1, "timeout": "60s"}],
    "autoPromotionEnabled": False,
    "promotionTimeout": "30s",
    "onPromotionTimeout": "Promote",
    "postPromotionGates": [{**JUDGED[0], "count": 1, "timeout": "60s", "onTimeout": "Abort"}],
}
BY_ROUTE: dict[str, Any] = {"trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}}}
COPIED: dict[str, Any] = BY_ROUTE | {
    "previewReplicaCount": 1,
    "mirror": {"percentage": 60, "gates": [{**JUDGED[0], "count": 1}]},
    "postPromotionGates": [{**JUDGED[0], "count": 1}],
}
BY_HAND: dict[str, Any] = {"previewReplicaCount": 1, "autoPromotionEnabled": False, "postPromotionGates": JUDGED}

COMPARED = gate(
    checks=[{"name": "success", "prometheus": {"query": {"template": "compared"}}, "pass": {"min": 99}}],
)


def trial(*, weight: int | None = None, replicas: int = 1, alone: bool = True) -> dict[str, Any]:
    """An experiment with a fresh baseline behind its Service, and a variant of the canary unless it is alone."""
    arguments = [{"name": "baseline", "value": "Service" if weight else "Revision"}]
    said = {"service": SERVICE, "replicas": replicas, "gateArguments": arguments}
    baseline = {"name": "baseline", "specRef": "Stable", **said, **({"weight": weight} if weight else {})}
    others = [] if alone else [{"name": "canary", "specRef": "Canary"}]
    return {"experiment": {"variants": [baseline, *others], "gate": {"ref": {"name": "compared"}, "count": 1}}}


BATCHES: list[dict[str, Any]] = [{"setBatch": 1}, {"gate": {"ref": {"name": "golden"}, "count": 1}}]

WORLDS: tuple[World, ...] = (
    World(
        name="gate",
        tells="three steps with a gate that answers in all four ways",
        budget={"release": 2, "bad": 3, "crash": 1},
        slice={"release": 1, "bad": 2},
        specs=(spec(THREE),),
        versions=("v1", "v2", "v3"),
    ),
    World(
        name="tolerant",
        tells="a gate of two measurements that tolerates one of each kind and extends once, in the background, too",
        budget={"release": 1, "bad": 3, "crash": 1, "person": 1},
        slice={"release": 1, "bad": 2},
        specs=(spec(FEW, gates=("golden",)),),
        gates={
            "golden": gate(count=2, failureLimit=1, inconclusiveLimit=1, consecutiveErrorLimit=1, onUnknown="Extend")
        },
        verbs=("override", "abort"),
    ),
    World(
        name="pause",
        tells="pauses of steps and of people, and what people do about them",
        budget={"release": 1, "person": 3, "crash": 1},
        slice={"release": 1, "person": 2},
        specs=(spec(PAUSES),),
        verbs=("promote", "pause", "resume", "abort"),
        timed=True,
    ),
    World(
        name="people",
        tells="abort, retry, undo and override, one after the other",
        budget={"release": 1, "person": 3, "bad": 1, "lost": 1},
        slice={"release": 1, "person": 2},
        specs=(spec(FEW),),
        verbs=("abort", "retry", "undo", "override"),
    ),
    World(
        name="hotfix",
        tells="a release that somebody cannot wait for, over a stable version that loses pods and is not waited for",
        budget={"release": 1, "person": 3, "bad": 1, "crash": 1, "loss": 1},
        slice={"release": 1, "person": 1, "bad": 1, "loss": 1},
        specs=(spec(HURRIED, unhealthyStable="FixForward"),),
        verbs=("hotfix", "pause", "resume", "abort"),
        timed=True,
    ),
    World(
        name="faults",
        tells="every write conflicts, loses its answer, or is the last one before a crash",
        budget={"release": 1, "crash": 2, "conflict": 2, "lost": 2, "bad": 1},
        slice={"release": 1, "crash": 1, "lost": 1},
        specs=(spec(THREE),),
    ),
    World(
        name="stale",
        tells="decisions on ReplicaSets, endpoints, routes and Rollouts that have changed since",
        budget={"release": 1, "stale": 2, "crash": 1, "bad": 1},
        slice={"release": 1, "stale": 1},
        specs=(spec(THREE),),
    ),
    World(
        name="change",
        tells="the spec changes in mid-run: more or fewer pods, other steps, paused; with setCanaryScale",
        budget={"release": 1, "change": 2, "crash": 1},
        slice={"release": 1, "change": 1},
        specs=(spec(SCALED), spec(SCALED, replicas=2), spec(THREE, replicas=4), spec(SCALED, paused=True)),
    ),
    World(
        name="scale",
        tells="the Rollout is scaled to nothing, to one pod and back in mid-run",
        budget={"release": 1, "change": 2, "crash": 1},
        slice={"release": 1, "change": 1},
        specs=(spec(FEW), spec(FEW, replicas=0), spec(FEW, replicas=1)),
    ),
    World(
        name="policy",
        tells="a new revision in mid-run waits, is refused, or takes the place of the one under way",
        budget={"release": 2, "change": 1, "person": 1, "bad": 1},
        slice={"release": 2},
        specs=(spec(FEW, onNewRevision="Queue"), spec(FEW, onNewRevision="Reject"), spec(FEW)),
        versions=("v1", "v2", "v3"),
        verbs=("abort", "retry"),
    ),
    World(
        name="delete",
        tells="the Rollout is deleted in any state",
        budget={"release": 1, "delete": 1, "crash": 1, "lost": 1, "conflict": 1, "bad": 1},
        slice={"release": 1, "delete": 1, "crash": 1},
        specs=(spec(FEW),),
    ),
    World(
        name="loss",
        tells="pods stop being ready while traffic shifts",
        budget={"release": 1, "loss": 3, "crash": 1},
        slice={"release": 1, "loss": 1},
        specs=(spec([{"setWeight": 40}, {"setWeight": 70}]),),
    ),
    World(
        name="contested",
        tells="somebody else rewrites the weight",
        budget={"release": 1, "rewrite": 4, "bad": 1, "person": 1},
        slice={"release": 1, "rewrite": 1},
        specs=(spec(FEW),),
        verbs=("resume", "abort"),
    ),
    World(
        name="refused",
        tells="the router's writes are refused for a while",
        budget={"release": 1, "outage": 2, "bad": 1, "person": 1, "crash": 1},
        slice={"release": 1, "outage": 1, "bad": 1},
        specs=(spec(FEW),),
        verbs=("abort",),
    ),
    World(
        name="missing",
        tells="the route goes and comes back, while ReplicaSets are deleted and other numbers of pods are wanted",
        budget={"release": 1, "missing": 2, "deleted": 1, "change": 1, "crash": 1},
        slice={"release": 1, "missing": 1, "deleted": 1},
        specs=(spec(FEW), spec(FEW, replicas=4), spec(FEW, replicas=2)),
    ),
    World(
        name="missing-follow",
        tells="the same with a stable version that gives pods away, a route by header, and verdicts",
        budget={"release": 1, "missing": 1, "deleted": 1, "change": 1, "bad": 1},
        slice={"release": 1, "missing": 1, "change": 1},
        specs=(spec([BY_HEADER, *FEW], pods=FOLLOWS), spec([BY_HEADER, *FEW], replicas=4, pods=FOLLOWS)),
    ),
    World(
        name="deadline",
        tells="a step that makes no progress within the deadline",
        budget={"release": 1, "loss": 2, "crash": 1, "person": 1},
        slice={"release": 1, "crash": 1},
        specs=(spec([{"setWeight": 40}, {"setWeight": 70}], progressDeadlineSeconds=60),),
        verbs=("abort", "retry"),
        timed=True,
    ),
    World(
        name="timeouts",
        tells="steps that take too long: taken back, ended, held until a person goes on, or only told of",
        budget={"release": 1, "person": 3, "loss": 1, "bad": 1, "crash": 1},
        slice={"release": 1, "person": 2, "bad": 1},
        specs=(spec(LATE),),
        verbs=("promote", "pause", "resume", "abort", "override"),
        timed=True,
    ),
    World(
        name="delays",
        tells="routes settle, connections drain and old pods stay for a tick each",
        budget={"release": 1, "crash": 1, "bad": 1, "delete": 1},
        slice={"release": 1, "bad": 1},
        specs=(spec(FEW, delay=TICK),),
        delay=TICK,
    ),
    World(
        name="history",
        tells="nothing old is kept: ReplicaSets and records are deleted as soon as they are not needed",
        budget={"release": 2, "crash": 1, "person": 1},
        slice={"release": 2},
        specs=(spec([{"setWeight": 50}], revisionHistoryLimit=0),),
        versions=("v1", "v2", "v3"),
        verbs=("undo", "abort"),
    ),
    World(
        name="window",
        tells="the last version but one is gone back to without steps, also without its pods, and no other is",
        budget={"release": 4, "crash": 1, "bad": 1},
        slice={"release": 2},
        specs=(spec([{"setWeight": 50}, *FEW[1:]], rollbackWindow={"revisions": 1}),),
        versions=("v1", "v2", "v3"),
    ),
    World(
        name="adopt",
        tells="the template is a Deployment's, which is scaled down, up again by somebody, and gets its traffic back",
        budget={"release": 1, "delete": 1, "crash": 1, "lost": 1, "rewrite": 1},
        slice={"release": 1, "delete": 1, "crash": 1},
        specs=(spec(FEW, adopts=True),),
    ),
    World(
        name="header",
        tells="requests are led by header before a gate, besides a weight, and then no more",
        budget={"release": 2, "bad": 1, "crash": 1, "lost": 1, "delete": 1, "person": 1},
        slice={"release": 1, "bad": 1, "lost": 1},
        specs=(spec(LED),),
        versions=("v1", "v2", "v3"),
        verbs=("abort",),
    ),
    World(
        name="header-stale",
        tells="decisions on routes by header that have changed since, and writes of them that conflict or are refused",
        budget={"release": 1, "stale": 2, "conflict": 1, "outage": 1, "bad": 1},
        slice={"release": 1, "stale": 1, "bad": 1},
        specs=(spec(LED),),
    ),
    World(
        name="sessions",
        tells="users stay with the version that they have met, and are taken home by a verdict, a person, a deletion",
        budget={"release": 2, "bad": 1, "crash": 1, "lost": 1, "delete": 1, "person": 1},
        slice={"release": 1, "bad": 1, "lost": 1, "person": 1},
        specs=(spec(STAYED, pods=staying()),),
        versions=("v1", "v2", "v3"),
        verbs=("abort",),
    ),
    World(
        name="sessions-stale",
        tells="those of stable stay, too: decisions on what has changed since, writes that conflict or are refused",
        budget={"release": 1, "stale": 2, "conflict": 1, "outage": 1, "bad": 1, "change": 1},
        slice={"release": 1, "stale": 1, "bad": 1, "change": 1},
        specs=(spec(STAYED, pods=staying(stayOnStable=True)), spec(STAYED), spec(STAYED, paused=True)),
    ),
    World(
        name="enough",
        tells="a step goes on with two of three pods, and what needs more than those waits: weights, and the promotion",
        budget={"release": 1, "bad": 1, "crash": 1, "change": 1, "person": 1},
        slice={"release": 1, "bad": 1, "change": 1},
        specs=(spec(PARTLY, pods=ENOUGH), spec(PARTLY)),
        verbs=("abort",),
    ),
    World(
        name="follow",
        tells="the stable version gives pods away as the canary's share grows, and gets them back before its share",
        budget={"release": 2, "bad": 1, "crash": 1, "lost": 1, "delete": 1, "person": 1},
        slice={"release": 1, "bad": 1, "crash": 1, "delete": 1},
        specs=(spec(FOLLOWED, pods=FLOORED),),
        versions=("v1", "v2", "v3"),
        verbs=("abort",),
    ),
    World(
        name="follow-change",
        tells="the same, decided on what has changed since, and while the spec says so no more, or of other numbers",
        budget={"release": 1, "stale": 1, "change": 2, "conflict": 1, "bad": 1},
        slice={"release": 1, "change": 1},
        specs=(
            spec(FOLLOWED, pods=FOLLOWS),
            spec(FOLLOWED),
            spec(FOLLOWED, replicas=2, pods=FLOORED),
            spec(FOLLOWED, pods=FOLLOWS, paused=True),
        ),
    ),
    World(
        name="follow-loss",
        tells="the same while pods stop being ready, the weight is rewritten, or its writes are refused",
        budget={"release": 1, "loss": 2, "rewrite": 1, "outage": 1, "person": 1},
        slice={"release": 1, "loss": 1, "rewrite": 1},
        specs=(spec(FOLLOWED, pods=FLOORED),),
        verbs=("abort",),
    ),
    World(
        name="follow-lost",
        tells="the same with an abort after a write whose answer was lost: what is doubtful stays so over other writes",
        budget={"release": 1, "bad": 1, "lost": 1, "person": 1},
        slice={"release": 1, "lost": 1},
        specs=(spec([{"setWeight": 40}, FEW[1], {"setWeight": 70}], pods=FOLLOWS),),
        versions=("v1", "v2", "v3"),
        verbs=("abort",),
    ),
    World(
        name="turn",
        tells="two Services take turns: each promotion exchanges them, with verdicts, a restart, a deletion",
        budget={"release": 2, "bad": 1, "crash": 1, "delete": 1},
        slice={"release": 1, "bad": 1, "delete": 1},
        specs=(spec(FEW, turns=True),),
        versions=("v1", "v2", "v3"),
    ),
    World(
        name="turn-people",
        tells="the same, and what people do about it, before a promotion is final and after it",
        budget={"release": 2, "bad": 1, "person": 2},
        slice={"release": 2, "person": 1},
        specs=(spec(FEW, turns=True),),
        verbs=("abort", "undo", "pause", "resume"),
    ),
    World(
        name="turn-lost",
        tells="the same with a write whose answer is lost, such as the journal of a turn",
        budget={"release": 2, "lost": 1},
        slice={"release": 1, "lost": 1},
        specs=(spec([{"setWeight": 40}], turns=True),),
    ),
    World(
        name="turn-stale",
        tells="the same, decided on what has changed since, while writes conflict or are refused, or fewer are wanted",
        budget={"release": 1, "stale": 2, "conflict": 1, "outage": 1, "bad": 1, "change": 1},
        slice={"release": 1, "stale": 1, "bad": 1},
        specs=(spec(FEW, turns=True), spec(FEW, turns=True, paused=True), spec(FEW, turns=True, replicas=2)),
    ),
    World(
        name="turn-delays",
        tells="the same with users who stay, while routes settle and old connections last for a tick",
        budget={"release": 2, "crash": 1, "bad": 1, "delete": 1},
        slice={"release": 1, "bad": 1},
        specs=(spec(STAYED, turns=True, delay=TICK, pods=staying()),),
        delay=TICK,
    ),
    World(
        name="turn-follow",
        tells="the same with a stable version that gives pods away, pods that stop being ready, and rewrites",
        budget={"release": 1, "bad": 1, "loss": 1, "rewrite": 1, "person": 1},
        slice={"release": 1, "bad": 1, "loss": 1},
        specs=(spec(FOLLOWED, turns=True, pods=FOLLOWS),),
        verbs=("abort",),
    ),
    World(
        name="contract",
        tells="three steps, three pods of each revision, crashes, stale reads, a change of the spec, all verdicts",
        budget={"release": 1, "crash": 2, "stale": 2, "change": 1, "bad": 1},
        slice={"release": 1, "crash": 1, "change": 1},
        specs=(spec(THREE), spec(THREE, replicas=2)),
    ),
    World(
        name="switch",
        tells="blue-green: a gate before and one after the switch that answer in all four ways",
        budget={"release": 2, "bad": 2, "crash": 1, "lost": 1},
        slice={"release": 1, "bad": 2},
        specs=(blue_green(SWITCHED),),
        versions=("v1", "v2", "v3"),
    ),
    World(
        name="switch-hand",
        tells="blue-green: a small preview that a person promotes, pauses or aborts, and a gate in the background",
        budget={"release": 1, "person": 3, "bad": 1, "crash": 1},
        slice={"release": 1, "person": 2},
        specs=(blue_green(BY_HAND, gates=("golden",)),),
        verbs=("promote", "pause", "resume", "abort", "retry", "undo", "override"),
    ),
    World(
        name="switch-late",
        tells="blue-green: gates and a wait for a person that take too long, and what people do about it",
        budget={"release": 1, "person": 2, "bad": 2, "crash": 1},
        slice={"release": 1, "person": 1, "bad": 1},
        specs=(blue_green(SWITCHED_LATE),),
        verbs=("promote", "pause", "resume", "abort", "override"),
        timed=True,
    ),
    World(
        name="switch-stale",
        tells="blue-green: decisions on what has changed since, writes that conflict, a deletion",
        budget={"release": 1, "stale": 2, "conflict": 1, "crash": 1, "bad": 1, "delete": 1},
        slice={"release": 1, "stale": 1, "delete": 1},
        specs=(blue_green(SWITCHED),),
    ),
    World(
        name="switch-contested",
        tells="blue-green: somebody else changes the selector of the active Service",
        budget={"release": 1, "rewrite": 4, "bad": 1, "person": 1},
        slice={"release": 1, "rewrite": 2},
        specs=(blue_green(SWITCHED),),
        verbs=("resume", "abort"),
    ),
    World(
        name="switch-change",
        tells="blue-green: more or fewer pods, another preview, paused in mid-run, and pods that stop being ready",
        budget={"release": 1, "change": 2, "loss": 1, "crash": 1},
        slice={"release": 1, "change": 1},
        specs=(
            blue_green(SWITCHED),
            blue_green(SWITCHED | {"previewReplicaCount": 1}, replicas=2),
            blue_green(SWITCHED, replicas=0),
            blue_green(SWITCHED, paused=True),
        ),
    ),
    World(
        name="switch-route",
        tells="blue-green by a router: a gate before and one after the switch, faults, and an abort",
        budget={"release": 2, "bad": 2, "crash": 1, "lost": 1, "person": 1},
        slice={"release": 1, "bad": 1},
        specs=(blue_green(SWITCHED | BY_ROUTE),),
        versions=("v1", "v2", "v3"),
        verbs=("abort",),
    ),
    World(
        name="switch-route-stale",
        tells="blue-green by a router: decisions on what has changed since, rewrites, refusals, a deletion",
        budget={"release": 1, "stale": 2, "rewrite": 1, "outage": 1, "crash": 1, "delete": 1},
        slice={"release": 1, "stale": 1},
        specs=(blue_green(SWITCHED | BY_ROUTE),),
    ),
    World(
        name="switch-mirror",
        tells="blue-green by a router: requests are copied to a small preview, judged, and switched after that",
        budget={"release": 2, "bad": 2, "crash": 1, "lost": 1, "delete": 1, "loss": 1},
        slice={"release": 1, "bad": 1},
        specs=(blue_green(COPIED),),
        versions=("v1", "v2", "v3"),
    ),
    World(
        name="trial",
        tells="an experiment of two variants between two weights: verdicts, a newer version in any state, crashes",
        budget={"release": 2, "bad": 1, "crash": 1, "lost": 1, "person": 1},
        slice={"release": 1, "bad": 1, "crash": 1},
        specs=(spec([{"setWeight": 40}, trial(alone=False), {"setWeight": 70}], replicas=2),),
        versions=("v1", "v2", "v3"),
        verbs=("abort",),
        gates={"compared": COMPARED},
    ),
    World(
        name="trial-share",
        tells="a variant with a share of the requests, in the first step: an abort, a deletion, lost answers",
        budget={"release": 1, "bad": 1, "crash": 1, "lost": 1, "delete": 1},
        slice={"release": 1, "bad": 1, "delete": 1},
        specs=(spec([trial(weight=20), {"setWeight": 40}], replicas=2),),
        gates={"compared": COMPARED},
    ),
    World(
        name="trial-stale",
        tells="the same, decided on what has changed since, with writes that conflict or are refused",
        budget={"release": 1, "stale": 2, "conflict": 1, "outage": 1, "bad": 1},
        slice={"release": 1, "stale": 1, "bad": 1},
        specs=(spec([trial(weight=20), {"setWeight": 40}], replicas=2),),
        gates={"compared": COMPARED},
    ),
    World(
        name="trial-change",
        tells="the same while the spec is paused, has no experiment any more, or another strategy, and pods are lost",
        budget={"release": 1, "change": 2, "bad": 1, "loss": 1, "person": 1},
        slice={"release": 1, "change": 1, "bad": 1},
        specs=(
            spec([{"setWeight": 40}, trial(weight=20)], replicas=2),
            spec([{"setWeight": 40}, trial(weight=20)], replicas=2, paused=True),
            spec([{"setWeight": 40}], replicas=2),
            blue_green(BY_ROUTE, replicas=2),
        ),
        verbs=("pause", "resume", "abort"),
        gates={"compared": COMPARED},
    ),
    World(
        name="trial-delays",
        tells="the same with two experiments in a row by one Service, while routes settle and connections drain",
        budget={"release": 1, "crash": 1, "bad": 1, "delete": 1, "person": 1},
        slice={"release": 1, "bad": 1},
        specs=(spec([trial(weight=20), trial(weight=20)], replicas=2, delay=TICK),),
        verbs=("abort",),
        delay=TICK,
        gates={"compared": COMPARED},
    ),
    World(
        name="nodes",
        tells="a DaemonSet in batches with a gate between: verdicts, a newer version in any state, crashes",
        budget={"release": 2, "bad": 1, "crash": 1},
        slice={"release": 1, "bad": 1},
        specs=(rolling(BATCHES),),
        versions=("v1", "v2", "v3"),
    ),
    World(
        name="nodes-lost",
        tells="the same where each write may lose its answer",
        budget={"release": 1, "bad": 1, "crash": 1, "lost": 1},
        slice={"release": 1, "lost": 1},
        specs=(rolling(BATCHES),),
    ),
    World(
        name="nodes-people",
        tells="the same with an abort at any moment",
        budget={"release": 1, "bad": 1, "crash": 1, "person": 1},
        slice={"release": 1, "person": 1},
        specs=(rolling(BATCHES),),
        verbs=("abort",),
    ),
    World(
        name="nodes-stale",
        tells="the same, decided on counts and templates that have changed since, writes that conflict, a deletion",
        budget={"release": 1, "stale": 2, "conflict": 1, "crash": 1, "bad": 1, "delete": 1},
        slice={"release": 1, "stale": 1, "bad": 1},
        specs=(rolling(BATCHES),),
    ),
    World(
        name="nodes-loss",
        tells="the same while a pod dies, and with a deletion at any moment",
        budget={"release": 1, "loss": 1, "delete": 1},
        slice={"release": 1, "loss": 1},
        specs=(rolling(BATCHES),),
    ),
    World(
        name="nodes-change",
        tells="the same while it is paused by its spec, or is to be kept at a deletion",
        budget={"release": 1, "change": 1, "delete": 1},
        slice={"release": 1, "change": 1},
        specs=(rolling(BATCHES), rolling(BATCHES, onDelete="Keep"), rolling(BATCHES, paused=True)),
    ),
    World(
        name="nodes-contested",
        tells="the same while somebody else writes the template, or lets the DaemonSet update its pods by itself",
        budget={"release": 1, "rewrite": 1, "delete": 1},
        slice={"release": 1, "rewrite": 1},
        specs=(rolling(BATCHES),),
    ),
)
BY_NAME = {world.name: world for world in WORLDS}
