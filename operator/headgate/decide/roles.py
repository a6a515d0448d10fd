"""What pods carry as the canary or as what is stable: labels and annotations in the template of their ReplicaSet.

A pod keeps what it started with. Changing pods that run would take a write for each of them, and the right to change
pods, which nothing else here needs; the ReplicaSet takes one write, most often with one that is made in any case.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headgate.api.common import LABEL_REVISION, LABEL_ROLLOUT
from headgate.api.rollout import Canary, PodMetadata, RolloutStatus
from headgate.decide import journal
from headgate.decide.mover import anchor, replica_set
from headgate.decide.types import Action, CreateReplicaSet, Dress, ReplicaSetView, ScaleReplicaSet

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle

FIELDS = (("canaryMetadata", "canary_metadata"), ("stableMetadata", "stable_metadata"))


def asked(canary: Canary) -> dict[str, PodMetadata]:
    """What the spec asks for, by the name of its field."""
    found = {field: getattr(canary, name) for field, name in FIELDS}
    return {field: metadata for field, metadata in found.items() if metadata is not None}


def metadata_of(canary: Canary | None, status: RolloutStatus, pod_hash: str) -> PodMetadata:
    """What pods of this revision are to carry; the first one is stable from its beginning."""
    stable = status.stable is None or status.stable.pod_hash == pod_hash
    found = (canary.stable_metadata if stable else canary.canary_metadata) if canary is not None else None
    return found or PodMetadata()


def mark(metadata: PodMetadata) -> str:
    """A digest of it, by which a ReplicaSet tells what its pods carry; empty for nothing."""
    if not metadata.labels and not metadata.annotations:
        return ""
    text = json.dumps([metadata.labels, metadata.annotations], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def worn(template: Mapping[str, Any], metadata: PodMetadata) -> dict[str, Any]:
    """The metadata of a pod template with this besides. What the template has of its own is left as it is."""
    found = {k: v for k, v in (template.get("metadata") or {}).items() if k != "creationTimestamp"}
    for key, more in (("labels", metadata.labels), ("annotations", metadata.annotations)):
        if more or found.get(key):
            found[key] = {**more, **(found.get(key) or {})}
    return found


def dressed(cycle: Cycle, action: Action | None) -> Action | None:
    """The action, which lets a ReplicaSet give its pods what they are to carry; at rest one for that alone."""
    if isinstance(action, CreateReplicaSet) and action.variant:
        return action  # It is neither of the two, and who counts by role is not to count it.
    if isinstance(action, CreateReplicaSet):
        metadata = metadata_of(cycle.snapshot.spec.strategy.canary, cycle.status, action.pod_hash)
        template = {**action.template, "metadata": worn(action.template, metadata)}
        return replace(action, template=template, mark=mark(metadata)) if mark(metadata) else action
    if isinstance(action, ScaleReplicaSet):
        found = next((r for r in cycle.snapshot.replica_sets if r.name == action.name), None)
        dress = _dress(cycle, found) if found is not None and action.replicas > found.replicas else None
        return replace(action, dress=dress) if dress is not None else action
    stable, status = cycle.status.stable, cycle.status
    resting = journal.running(status) is None and status.phase in journal.AT_REST and cycle.move.reached
    if action is not None or stable is None or not resting or cycle.problems:
        return action
    found = replica_set(cycle.snapshot, stable.pod_hash)
    dress = _dress(cycle, found)
    if found is None or dress is None:
        return None
    return ScaleReplicaSet(found.name, found.resource_version, found.replicas, found.min_ready_seconds, dress=dress)


def _dress(cycle: Cycle, found: ReplicaSetView | None) -> Dress | None:
    """What the ReplicaSet lacks; None if it has it, or its template is recorded nowhere."""
    if found is None or not found.owned:
        return None
    metadata = metadata_of(cycle.snapshot.spec.strategy.canary, cycle.status, found.pod_hash)
    first = anchor(cycle.snapshot, found.revision)
    if first is None or mark(metadata) == found.mark:
        return None
    wanted = worn(first.template, metadata)
    own = {LABEL_ROLLOUT: cycle.snapshot.meta.name, LABEL_REVISION: found.pod_hash}
    return Dress(mark(metadata), wanted | {"labels": {**(wanted.get("labels") or {}), **own}})
