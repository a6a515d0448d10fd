"""The variants of an experiment in the model: their ReplicaSets, and the one Service that leads to some of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headgate.decide import types as t

SERVICE = "shop-trial"
"""The Service that the worlds name for a variant."""


class Variant(NamedTuple):
    """One ReplicaSet: its pod hash and name, the version whose template it has, and its pods as of `state.Sets`."""

    pod_hash: str
    name: str
    version: str
    replicas: int
    ready: int
    settled: bool


class Trial(NamedTuple):
    """What there is of experiments: the variants, and the pod hash that the Service selects, and still holds."""

    variants: tuple[Variant, ...] = ()
    selected: str = ""
    held: str = ""

    def find(self, name: str) -> Variant | None:
        """The variant with this name of a ReplicaSet."""
        return next((v for v in self.variants if name.endswith(f"-{v.pod_hash}")), None)

    def ready(self, pod_hash: str) -> int:
        """Ready pods with this hash."""
        return sum(v.ready for v in self.variants if v.pod_hash == pod_hash)


def after(trial: Trial, action: t.Action, version: str) -> Trial:
    """What there is after a write; `version` is the one of the template, where a variant is made."""
    if isinstance(action, t.SetSelector):
        return trial._replace(selected=action.pod_hash)
    if isinstance(action, t.CreateReplicaSet):
        made = Variant(action.pod_hash, action.variant, version, action.replicas, 0, settled=False)
        return trial._replace(variants=tuple(sorted((*trial.variants, made))))
    found = trial.find(str(getattr(action, "name", "")))
    others = tuple(v for v in trial.variants if v is not found)
    if isinstance(action, t.ScaleReplicaSet) and found is not None:
        others = tuple(sorted((*others, found._replace(replicas=action.replicas, settled=False))))
    return trial._replace(variants=others)


def following(trial: Trial, *, lossy: bool) -> Iterator[tuple[str, Trial, str]]:
    """How pods and endpoints follow: label, what there is then, and what of the budget it takes."""
    for v in trial.variants:
        if not v.settled:
            label, now = (
                f"variant {v.name}: {v.replicas} pods",
                v._replace(ready=min(v.ready, v.replicas), settled=True),
            )
            yield label, _with(trial, v, now), ""
        elif v.ready < v.replicas:
            label = f"variant {v.name}: {v.ready + 1} of {v.replicas} pods ready"
            yield label, _with(trial, v, v._replace(ready=v.ready + 1)), ""
        if lossy and v.settled and v.ready:
            label = f"variant {v.name}: a pod is not ready any more, {v.ready - 1} of {v.replicas} are"
            yield label, _with(trial, v, v._replace(ready=v.ready - 1)), "loss"
    if trial.held != trial.selected:
        yield "the endpoints of the variant's Service follow", trial._replace(held=trial.selected), ""


def _with(trial: Trial, old: Variant, new: Variant) -> Trial:
    return trial._replace(variants=tuple(new if v is old else v for v in trial.variants))
