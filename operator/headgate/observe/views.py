"""Turns trimmed raw objects into the views that decisions are taken on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from headgate.api.common import (
    ANNOTATION_COPIES,
    ANNOTATION_COPY_OF,
    ANNOTATION_HELD,
    ANNOTATION_MARK,
    ANNOTATION_REVISION,
    ANNOTATION_TEMPLATE_GENERATION,
    LABEL_REVISION,
    LABEL_VARIANT,
    to_epoch,
)
from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import Step
from headgate.api.routes import SessionAffinity
from headgate.decide import daemon
from headgate.decide.configuration import digest_of, from_text
from headgate.decide.types import (
    ActionView,
    BudgetView,
    ConfigCopy,
    ConfigView,
    HeldTemplate,
    InPlace,
    Plan,
    PlanView,
    PodView,
    ReplicaSetView,
    RolloutMeta,
    ServiceView,
    WorkloadView,
)

Object = Mapping[str, Any]


def rollout_meta(obj: Object) -> RolloutMeta:
    """Identity of a Rollout."""
    meta = obj["metadata"]
    finalizers = tuple(meta.get("finalizers") or ())
    return RolloutMeta(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=int(meta.get("generation") or 0),
        created_at=to_epoch(meta["creationTimestamp"]),
        deleting=bool(meta.get("deletionTimestamp")),
        # The server puts this finalizer on an object that is deleted with `--cascade=orphan`, and soon takes it off.
        orphaning="orphan" in finalizers or bool(meta.get("orphaned")),
        finalizers=finalizers,
    )


def replica_set(obj: Object, rollout_uid: str, *, rollout_deleting: bool = False) -> ReplicaSetView:
    """A ReplicaSet with the label of a Rollout.

    While a Rollout is deleted with `--cascade=foreground`, the garbage collector takes it out of the owners, because
    the record still stands: then the record is what tells that the ReplicaSet is ours.
    """
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    owners = meta.get("ownerReferences") or ()
    failure = next((c for c in status.get("conditions") or () if c.get("type") == "ReplicaFailure"), None)
    failed = failure is not None and failure.get("status") == "True"
    return ReplicaSetView(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        pod_hash=(meta.get("labels") or {}).get(LABEL_REVISION, ""),
        revision=(meta.get("annotations") or {}).get(ANNOTATION_REVISION, ""),
        owned=any(o.get("controller") and o.get("uid") == rollout_uid for o in owners)
        or (rollout_deleting and any(o.get("kind") == "ControllerRevision" for o in owners)),
        deleting=bool(meta.get("deletionTimestamp")),
        # Absent means one, says the API.
        replicas=int(spec.get("replicas", 1)),
        pods=int(status.get("replicas") or 0),
        ready=int(status.get("readyReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        settled=int(status.get("observedGeneration") or 0) >= int(meta.get("generation") or 0),
        min_ready_seconds=int(spec.get("minReadySeconds") or 0),
        created_at=to_epoch(meta["creationTimestamp"]),
        failure=f"{failure.get('reason', '')}: {failure.get('message', '')}" if failure and failed else "",
        taken_back=str(meta.get("takenBack") or ""),
        copies=from_text(str((meta.get("annotations") or {}).get(ANNOTATION_COPIES) or "")),
        mark=str((meta.get("annotations") or {}).get(ANNOTATION_MARK) or ""),
        variant=str((meta.get("labels") or {}).get(LABEL_VARIANT) or ""),
    )


def signed(obj: Object, rollout_uid: str) -> bool:
    """The operator owns a field of it, for this Rollout as far as the owner's name tells."""
    meta = obj["metadata"]
    return bool(meta.get("signed")) or str(meta.get("takenBack") or "").startswith(f"{rollout_uid}:")


def service(
    name: str, obj: Object | None, slices: Iterable[Object], hashes: Mapping[str, str], rollout_uid: str = ""
) -> ServiceView:
    """A Service and its ready endpoints; `hashes` are the pod hashes by name of their ReplicaSet."""
    if obj is None:
        return ServiceView(name, found=False)
    # A pod counts once, even if a dual-stack Service lists it in a slice for each family.
    pods = {pod for one in slices for pod in one.get("ready") or ()}
    ready: dict[str, int] = {}
    for pod in pods:
        # The name of a pod is that of its ReplicaSet and five letters; a Rollout's name is short enough for that.
        pod_hash = hashes.get(pod.rpartition("-")[0], "")
        ready[pod_hash] = ready.get(pod_hash, 0) + 1
    return ServiceView(
        name=name,
        found=True,
        resource_version=obj["metadata"]["resourceVersion"],
        selector=(obj.get("spec") or {}).get("selector") or {},
        ready=dict(sorted(ready.items())),
        taken_back=str(obj["metadata"].get("takenBack") or ""),
        signed=signed(obj, rollout_uid),
    )


def workload(name: str, obj: Object | None) -> WorkloadView:
    """The Deployment of workloadRef."""
    if obj is None or obj["metadata"].get("deletionTimestamp"):
        return WorkloadView(name, found=False)
    meta, status = obj["metadata"], obj.get("status") or {}
    return WorkloadView(
        name=name,
        found=True,
        resource_version=meta["resourceVersion"],
        uid=meta["uid"],
        generation=int(meta.get("generation") or 0),
        observed_generation=int(status.get("observedGeneration") or 0),
        replicas=int((obj.get("spec") or {}).get("replicas", 1)),
        updated=int(status.get("updatedReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        pods=int(status.get("replicas") or 0),
        template=orjson.loads(obj["packed"]),
    )


def stateful_set(name: str, obj: Object) -> WorkloadView:
    """A StatefulSet, which is released in place."""
    view = workload(name, obj)
    if not view.found:
        return replace(view, kind="StatefulSet")
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    update = spec.get("updateStrategy") or {}
    kind = str(update.get("type") or "RollingUpdate")
    unfit = (
        f"has updateStrategy.type {kind}, which no partition holds; make it RollingUpdate"
        if kind != "RollingUpdate"
        else ""
    )
    place = InPlace(
        partition=int((update.get("rollingUpdate") or {}).get("partition") or 0),
        now=str(status.get("currentRevision") or ""),
        next=str(status.get("updateRevision") or ""),
        current=int(status.get("currentReplicas") or 0),
        ready=int(status.get("readyReplicas") or 0),
        labels=selector_text(spec.get("selector")),
        service=str(spec.get("serviceName") or ""),
        unfit=unfit,
        taken_back=str(obj["metadata"].get("takenBack") or ""),
    )
    return replace(view, kind="StatefulSet", in_place=place)


def daemon_set(name: str, obj: Object) -> WorkloadView:
    """A DaemonSet, which is released in place. What its pods are depends on the journal: `daemon.placed` adds that."""
    view = workload(name, obj)
    if not view.found:
        return replace(view, kind="DaemonSet")
    spec, status, annotations = obj.get("spec") or {}, obj.get("status") or {}, obj["metadata"].get("annotations") or {}
    noted = str(annotations.get(ANNOTATION_HELD) or "")
    held = HeldTemplate(
        on_delete=(spec.get("updateStrategy") or {}).get("type") == "OnDelete",
        generation=int(annotations.get(ANNOTATION_TEMPLATE_GENERATION) or 0),
        # Somebody's hand may have made something else of it.
        noted=int(noted) if noted.isdecimal() else (-1 if noted else None),
    )
    place = InPlace(
        partition=0,
        next=daemon.mark_of(labels_of(view.template)),
        ready=int(status.get("numberReady") or 0),
        labels=selector_text(spec.get("selector")),
        taken_back=str(obj["metadata"].get("takenBack") or ""),
        held=held,
    )
    return replace(
        view,
        kind="DaemonSet",
        replicas=int(status.get("desiredNumberScheduled") or 0),
        updated=int(status.get("updatedNumberScheduled") or 0),
        available=int(status.get("numberAvailable") or 0),
        pods=int(status.get("currentNumberScheduled") or 0),
        in_place=place,
    )


WORKLOADS = {"Deployment": workload, "StatefulSet": stateful_set, "DaemonSet": daemon_set}
"""What makes a view of a workload, by its kind."""


def pod(obj: Object) -> PodView:
    """A pod of a workload that is released in place, or of a ReplicaSet."""
    meta, status, labels = obj["metadata"], obj.get("status") or {}, obj["metadata"].get("labels") or {}
    ordinal = meta["name"].rpartition("-")[2]
    conditions = status.get("conditions") or ()
    return PodView(
        name=meta["name"],
        uid=meta["uid"],
        ordinal=int(ordinal) if ordinal.isdecimal() else 0,
        revision=str(labels.get("controller-revision-hash") or ""),
        ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions),
        going=bool(meta.get("deletionTimestamp")),
        created_at=to_epoch(meta["creationTimestamp"]) if meta.get("creationTimestamp") else 0.0,
        mark=daemon.mark_of(labels),
        node=str((obj.get("spec") or {}).get("nodeName") or ""),
    )


def budget(obj: Object) -> BudgetView:
    """A PodDisruptionBudget; until its controller has seen its spec it allows nothing."""
    meta, status = obj["metadata"], obj.get("status") or {}
    seen = int(status.get("observedGeneration") or 0) >= int(meta.get("generation") or 0)
    return BudgetView(meta["name"], int(status.get("disruptionsAllowed") or 0) if seen else 0)


def config(kind: str, obj: Object, at: float) -> ConfigView:
    """A ConfigMap or Secret that was read at `at`; of what it holds only a digest leaves this place."""
    meta = obj["metadata"]
    return ConfigView(
        kind=kind,
        name=meta["name"],
        at=at,
        found=True,
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        digest=digest_of(obj),
        source=str((meta.get("annotations") or {}).get(ANNOTATION_COPY_OF) or ""),
        owners=tuple(str(o.get("uid")) for o in meta.get("ownerReferences") or ()),
        immutable=obj.get("immutable") is True,
        deleting=bool(meta.get("deletionTimestamp")),
    )


def labels_of(template: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels that a template's pods carry."""
    metadata = template.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return labels if isinstance(labels, Mapping) else {}


def selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a label selector, as objects hold it, selects these labels; an empty one does, none at all does not."""
    if not isinstance(selector, Mapping):
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_fits(one, labels) for one in selector.get("matchExpressions") or ())


def _fits(one: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(str(one.get("key"))), one.get("values") or ()
    fits = {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    return fits.get(str(one.get("operator")), False)


def selector_text(selector: Any) -> str:
    """A label selector as the API takes it in a query."""
    if not isinstance(selector, Mapping):
        return ""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or ():
        key, values = one.get("key"), ",".join(one.get("values") or ())
        texts = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": f"{key}",
            "DoesNotExist": f"!{key}",
        }
        parts.append(texts[str(one.get("operator"))])
    return ",".join(parts)


def plan(obj: Object) -> PlanView | None:
    """What a ControllerRevision pins (written by `act/records`); None if it is none of ours, or cannot be read."""
    data = orjson.loads(obj["packed"])
    if not isinstance(data, Mapping) or "plan" not in data:
        return None
    try:
        return _plan(obj["metadata"], data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # Somebody else's with our label must not keep the Rollout from being looked at.


def _plan(meta: Object, data: Object) -> PlanView:
    raw = data["plan"]
    return PlanView(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        revision=data["revision"],
        pod_hash=data["podHash"],
        attempt=int(data["attempt"]),
        template=data["template"],
        plan=Plan(
            steps=tuple(Step.model_validate(s) for s in raw["steps"]),
            step_gates={n: QualityGateSpec.model_validate(g) for n, g in raw["stepGates"].items()},
            background_gates={n: QualityGateSpec.model_validate(g) for n, g in raw["backgroundGates"].items()},
            session=SessionAffinity.model_validate(raw["sessionAffinity"]) if "sessionAffinity" in raw else None,
        ),
        copies=tuple(ConfigCopy(c["kind"], c["source"], c["name"]) for c in data.get("copies") or ()),
        created_at=to_epoch(meta["creationTimestamp"]) if meta.get("creationTimestamp") else 0.0,
    )


def action(obj: Object) -> ActionView | None:
    """A RolloutAction; None if it has its answer."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    if (obj.get("status") or {}).get("phase") or meta.get("deletionTimestamp"):
        return None
    return ActionView(
        uid=meta["uid"],
        name=meta["name"],
        resource_version=meta["resourceVersion"],
        created_at=to_epoch(meta["creationTimestamp"]),
        verb=spec["verb"],
        pod_hash=spec["revision"],
        attempt=int(spec["attempt"]),
        author=spec["author"],
        reason=spec.get("reason") or "",
        to_revision=spec.get("toRevision") or "",
    )
