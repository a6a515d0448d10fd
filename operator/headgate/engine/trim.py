"""What the cache keeps of each kind: only what observing needs, because a cluster holds far more than it releases.

Big parts that are rarely read (pod templates, what models are made of) are kept as JSON bytes, a fifth of the memory of
the dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from headgate.api.common import DAEMON_ANNOTATIONS, MANAGER, MANAGER_TAKES_BACK

Object = dict[str, Any]
METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
)
OWNED_METADATA = (*METADATA, "labels", "annotations", "ownerReferences")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ORPHAN = "orphan"
"""The server's finalizer on an object that is deleted with `--cascade=orphan`."""
ORPHANED = "orphaned"
"""Key in the metadata of a Rollout that once had it."""
TAKEN_BACK = "takenBack"
"""Key in the metadata of a Service, ReplicaSet or router's object: the attempt that its last write took back."""
SIGNED = "signed"
"""Key in the metadata of the same, and of workloads: the operator has written a field of it that is its still."""
PACKED = "packed"
"""Key of the part that is kept as JSON bytes."""


def _pick(found: Any, keys: tuple[str, ...]) -> Object:
    return {k: found[k] for k in keys if k in found} if isinstance(found, Mapping) else {}


def _packed(found: Any) -> bytes:
    """The part as JSON; `null`, which nobody can work with, if it is nested so deep that it is none of Kubernetes'."""
    try:
        return orjson.dumps(found)
    except TypeError:
        return b"null"


def _lean(found: Any) -> Any:
    """The part as JSON, with sorted keys, so that equal parts are equal bytes; as it is, if it is nested too deep."""
    try:
        return orjson.dumps(found, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return found


def _rollout(obj: Object, before: Object | None) -> Object:
    """Whole, less what others keep in metadata; once there are models of the spec and the status, few look at these."""
    metadata = _pick(obj.get("metadata"), (*METADATA, "labels", "finalizers"))
    # The server takes this finalizer off long before the hand-back is over, and nothing else tells of it then.
    if ORPHAN in (metadata.get("finalizers") or ()) or (before or {}).get("metadata", {}).get(ORPHANED):
        metadata[ORPHANED] = True
    annotations = (obj.get("metadata") or {}).get("annotations")
    if isinstance(annotations, Mapping):
        metadata["annotations"] = {k: v for k, v in annotations.items() if k.startswith("headgate.dev/")}
    kept = {"metadata": metadata, "spec": _lean(obj.get("spec")), "status": _lean(obj.get("status"))}
    # Its peers are looked for with each change of it, its status included.
    group = _pick(obj.get("spec"), ("group",))
    return kept | group


def _spec_only(obj: Object) -> Object:
    return {"metadata": _pick(obj.get("metadata"), METADATA), "spec": obj.get("spec")}


def _action(obj: Object) -> Object:
    return _spec_only(obj) | {"status": obj.get("status")}


def _deployment(obj: Object) -> Object:
    spec = obj.get("spec") or {}
    status = _pick(
        obj.get("status"), ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    )
    return {
        "metadata": _shifted(obj),
        "spec": _pick(spec, ("replicas",)),
        "status": status,
        PACKED: _packed(spec.get("template") or {}),
    }


def _stateful_set(obj: Object) -> Object:
    spec = obj.get("spec") or {}
    counts = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    revisions = ("currentReplicas", "currentRevision", "updateRevision")
    return {
        "metadata": _shifted(obj),
        "spec": _pick(spec, ("replicas", "updateStrategy", "selector", "serviceName")),
        "status": _pick(obj.get("status"), (*counts, *revisions)),
        PACKED: _packed(spec.get("template") or {}),
    }


def _daemon_set(obj: Object) -> Object:
    spec = obj.get("spec") or {}
    scheduled = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled")
    metadata, annotations = _shifted(obj), (obj.get("metadata") or {}).get("annotations")
    if isinstance(annotations, Mapping):
        metadata["annotations"] = _pick(annotations, DAEMON_ANNOTATIONS)
    return {
        "metadata": metadata,
        "spec": _pick(spec, ("updateStrategy", "selector")),
        "status": _pick(obj.get("status"), ("observedGeneration", *scheduled, "numberReady", "numberAvailable")),
        PACKED: _packed(spec.get("template") or {}),
    }


def _budget(obj: Object) -> Object:
    status = _pick(obj.get("status"), ("observedGeneration", "disruptionsAllowed"))
    return _spec_only(obj) | {"status": status}


def _replica_set(obj: Object) -> Object:
    status = _pick(
        obj.get("status"), ("observedGeneration", "replicas", "readyReplicas", "availableReplicas", "conditions")
    )
    return {
        "metadata": _shifted(obj, OWNED_METADATA),
        "spec": _pick(obj.get("spec"), ("replicas", "minReadySeconds")),
        "status": status,
    }


def _controller_revision(obj: Object) -> Object:
    return {
        "metadata": _pick(obj.get("metadata"), OWNED_METADATA),
        "revision": obj.get("revision"),
        PACKED: _packed(obj.get("data")),
    }


def _service(obj: Object) -> Object:
    return {"metadata": _shifted(obj), "spec": _pick(obj.get("spec"), ("selector",))}


def _shifted(obj: Object, kept: tuple[str, ...] = METADATA) -> Object:
    """The metadata of an object that leads traffic, or is scaled."""
    metadata = _pick(obj.get("metadata"), kept)
    for entry in (obj.get("metadata") or {}).get("managedFields") or ():
        manager = str(entry.get("manager"))
        if manager.startswith(MANAGER_TAKES_BACK):
            metadata[TAKEN_BACK] = manager.removeprefix(MANAGER_TAKES_BACK)
        if manager == MANAGER:
            metadata[SIGNED] = True
    return metadata


def _endpoint_slice(obj: Object) -> Object:
    """The Service, and the names of its pods that are ready."""
    labels = (obj.get("metadata") or {}).get("labels") or {}
    ready = []
    for endpoint in obj.get("endpoints") or ():
        target = endpoint.get("targetRef") or {}
        # Absent means ready, says the API.
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            ready.append(str(target.get("name") or ""))
    return {
        "metadata": _pick(obj.get("metadata"), METADATA),
        "service": str(labels.get("kubernetes.io/service-name") or ""),
        "ready": ready,
    }


def _ingress(obj: Object) -> Object:
    """The spec, and the annotations that lead requests: the others hold snippets of configuration and what not."""
    metadata = _shifted(obj)
    annotations = (obj.get("metadata") or {}).get("annotations")
    if isinstance(annotations, Mapping):
        metadata["annotations"] = {k: v for k, v in annotations.items() if "/canary" in k or "/actions." in k}
    return {"metadata": metadata, "spec": obj.get("spec")}


def _other(obj: Object) -> Object:
    """A router's object: its adapter alone knows what it needs, but nobody needs kubectl's copy of it all."""
    kept = {k: v for k, v in obj.items() if k not in ("metadata", "apiVersion", "kind")}
    metadata, annotations = _shifted(obj), (obj.get("metadata") or {}).get("annotations")
    if isinstance(annotations, Mapping):
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
    return {"metadata": metadata, **kept}


TRIMMERS: Mapping[str, Callable[[Object], Object]] = {
    "QualityGate": _spec_only,
    "Environment": _spec_only,
    "RolloutAction": _action,
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "PodDisruptionBudget": _budget,
    "ReplicaSet": _replica_set,
    "ControllerRevision": _controller_revision,
    "Service": _service,
    "EndpointSlice": _endpoint_slice,
    "Ingress": _ingress,
}


def trim(kind: str, obj: Object, before: Object | None = None) -> Object:
    """The part of an object that the cache keeps; `before` is what it kept of the same object until now."""
    if kind == "Rollout":
        return _rollout(obj, before)
    return TRIMMERS.get(kind, _other)(obj)
