"""Reads raw objects of a cluster into what is shown: the Rollout, its pinned plan, its ReplicaSets and pods."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from headgate.api.common import LABEL_REVISION, LABEL_VARIANT, PERCENT, Model, portion
from headgate.api.gate import GateRun, QualityGateSpec
from headgate.api.rollout import RevisionRef, RolloutSpec, RolloutStatus, Step
from headgate.cli.client import Json
from headgate.cli.errors import CliError
from headgate.decide import strategies

M = TypeVar("M", bound=Model)
ROUNDS = 5
"""Removing a part can reveal another fault; after so many rounds the object is given up."""


@dataclass(frozen=True)
class RolloutView:
    """One Rollout, as far as this version of the command understands it."""

    namespace: str
    name: str
    uid: str
    generation: int
    created_at: str
    deleting: bool
    spec: RolloutSpec | None
    status: RolloutStatus
    notes: tuple[str, ...] = ()
    """What was not understood."""

    @property
    def strategy(self) -> strategies.Strategy | None:
        """Its strategy, where that is not a canary, whose steps need no more words."""
        if self.spec is None or self.spec.strategy.canary is not None:
            return None
        return strategies.of(self.spec)

    @property
    def total(self) -> int:
        """What its weights are a part of."""
        return self.spec.total if self.spec is not None else PERCENT

    def part(self, weight: int) -> str:
        """A weight for people."""
        return portion(weight, self.total)

    @property
    def in_place(self) -> bool:
        """The workload's own pods are replaced."""
        return self.strategy is not None and self.strategy.in_place

    @property
    def running(self) -> RevisionRef | None:
        """The revision that is being released; None while the first one comes up and at rest."""
        stable, current = self.status.stable, self.status.current
        if stable is None or current is None or current.revision == stable.revision:
            return None
        return current

    @property
    def seen(self) -> bool:
        """The operator has read the present spec."""
        return self.status.observed_generation >= self.generation


@dataclass(frozen=True)
class PodView:
    """One pod."""

    name: str
    pod_hash: str
    ready: bool
    restarts: int
    reason: str
    """Why it is not up, in a word or two; empty if it is."""
    created_at: str


@dataclass(frozen=True)
class SetView:
    """One ReplicaSet with its pods."""

    name: str
    pod_hash: str
    wanted: int
    present: int
    ready: int
    pods: tuple[PodView, ...]
    variant: str = ""
    """The name of the variant of an experiment whose pods it has; empty for one of a revision."""


@dataclass(frozen=True)
class Picture:
    """All that `status` shows, at one moment."""

    rollout: RolloutView
    sets: tuple[SetView, ...] = ()
    steps: tuple[Step, ...] = ()
    pinned: bool = False
    """The steps are those of the attempt under way, not the ones that the spec has now."""
    step_gates: Mapping[str, QualityGateSpec] = field(default_factory=dict)
    """The QualityGates of the steps as they were pinned for the attempt under way, by name."""
    background_gates: Mapping[str, QualityGateSpec] = field(default_factory=dict)
    """The same for the gates in the background."""
    workload_generation: int | None = None
    notes: tuple[str, ...] = ()

    def limits(self, run: GateRun) -> QualityGateSpec | None:
        """The QualityGate that a run judges by."""
        return (self.background_gates if run.step < 0 else self.step_gates).get(run.name)

    @property
    def up_to_date(self) -> bool:
        """The operator has seen the present spec and, where there is one, the present Deployment."""
        workload = self.rollout.status.workload
        if self.workload_generation is not None and (
            workload is None or workload.observed_generation < self.workload_generation
        ):
            return False
        return self.rollout.seen


def read_rollout(raw: Json) -> RolloutView:
    """One Rollout from its JSON; what this version does not understand is left out and named in `notes`."""
    metadata = raw.get("metadata") or {}
    spec, of_spec = lenient(RolloutSpec, raw.get("spec"), "spec")
    status, of_status = lenient(RolloutStatus, raw.get("status") or {}, "status")
    if status is None:
        raise CliError(
            f"the status of Rollout {metadata.get('name')} cannot be read by this version of the command; "
            "use the operator's, or -o yaml"
        )
    return RolloutView(
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation") or 0),
        created_at=str(metadata.get("creationTimestamp", "")),
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        status=status,
        notes=(*of_spec, *of_status),
    )


def lenient(model: type[M], data: Any, place: str) -> tuple[M | None, tuple[str, ...]]:
    """The model of some JSON without the parts that it cannot hold, and a note for each of these.

    An operator may be newer than the command of a person, who still needs to see what can be seen.
    """
    data, notes = copy.deepcopy(data), list[str]()
    for _ in range(ROUNDS):
        try:
            return model.model_validate(data), tuple(notes)
        except ValidationError as error:
            places = {tuple(fault["loc"]) for fault in error.errors(include_url=False, include_context=False)}
        removed = [place for place in sorted(places, key=_backwards) if _remove(data, place)]
        notes += [f"{'.'.join(map(str, (place, *path)))} is not understood by this version" for path in removed]
        if not removed:
            break
    return None, (*notes, f"{place} is not understood by this version")


def _backwards(path: Sequence[int | str]) -> tuple[tuple[int, str], ...]:
    # Later items of a list go first, or removing one would shift the others.
    return tuple((-part, "") if isinstance(part, int) else (0, part) for part in path)


def _remove(data: Any, path: Sequence[int | str]) -> bool:
    """Remove the deepest part of a path that exists; never the whole."""
    for length in range(len(path), 0, -1):
        parent = data
        try:
            for part in path[: length - 1]:
                parent = parent[part]
            del parent[path[length - 1]]
        except (KeyError, IndexError, TypeError):
            continue
        return True
    return False


def picture(
    raw: Json,
    plans: Iterable[Json] = (),
    replica_sets: Iterable[Json] = (),
    pods: Iterable[Json] = (),
    workload: Json | None = None,
    notes: Sequence[str] = (),
) -> Picture:
    """All that `status` shows, from the raw objects."""
    rollout = read_rollout(raw)
    plan = _plan(rollout, plans)
    all_pods = sorted((read_pod(pod) for pod in pods), key=lambda pod: (pod.created_at, pod.name))
    steps, of_steps = _steps(rollout, plan)
    return Picture(
        rollout=rollout,
        sets=tuple(_read_set(item, all_pods) for item in replica_sets),
        steps=steps,
        pinned=plan is not None,
        step_gates=_gates(plan, "stepGates"),
        background_gates=_gates(plan, "backgroundGates"),
        workload_generation=int((workload.get("metadata") or {}).get("generation") or 0) if workload else None,
        notes=(*rollout.notes, *of_steps, *notes),
    )


def _plan(rollout: RolloutView, plans: Iterable[Json]) -> Json | None:
    """The plan that was pinned when the attempt under way began."""
    run = rollout.running
    for item in plans:
        data = item.get("data") or {}
        found = (data.get("podHash"), data.get("attempt"))
        if run and found == (run.pod_hash, run.attempt) and isinstance(data.get("plan"), dict):
            return dict(data["plan"])
    return None


def _steps(rollout: RolloutView, plan: Json | None) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    if plan is None:
        return strategies.of(rollout.spec).steps if rollout.spec else (), ()
    steps, notes = list[Step](), list[str]()
    for index, raw in enumerate(plan.get("steps") or []):
        step, of_step = lenient(Step, raw, f"plan.steps.{index}")
        steps.append(step or Step())
        notes += of_step
    return tuple(steps), tuple(notes)


def _gates(plan: Json | None, key: str) -> dict[str, QualityGateSpec]:
    read = {str(name): lenient(QualityGateSpec, raw, name)[0] for name, raw in ((plan or {}).get(key) or {}).items()}
    return {name: gate for name, gate in read.items() if gate is not None}


def read_pod(raw: Json) -> PodView:
    """One pod, with the reason why it is not up as kubectl would name it."""
    metadata, status = raw.get("metadata") or {}, raw.get("status") or {}
    containers = status.get("containerStatuses") or []
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or [])
    return PodView(
        name=str(metadata.get("name", "")),
        pod_hash=str((metadata.get("labels") or {}).get(LABEL_REVISION, "")),
        ready=ready and "deletionTimestamp" not in metadata,
        restarts=sum(int(c.get("restartCount") or 0) for c in containers),
        reason=_why_not_up(metadata, status, ready=ready),
        created_at=str(metadata.get("creationTimestamp", "")),
    )


def _why_not_up(metadata: Json, status: Json, *, ready: bool) -> str:
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if ready:
        return ""
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state = container.get("state") or {}
        ended = state.get("terminated") or {}
        if reason := (state.get("waiting") or {}).get("reason"):
            return str(reason)
        if ended and (ended.get("exitCode") or ended.get("reason") != "Completed"):
            return str(ended.get("reason") or f"exit code {ended.get('exitCode')}")
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason') or 'Unschedulable'}: {condition.get('message') or ''}".rstrip(": ")
    phase = str(status.get("reason") or status.get("phase") or "Pending")
    return "not ready" if phase == "Running" else phase


def _read_set(raw: Json, pods: Iterable[PodView]) -> SetView:
    metadata, status = raw.get("metadata") or {}, raw.get("status") or {}
    pod_hash = str((metadata.get("labels") or {}).get(LABEL_REVISION, ""))
    return SetView(
        name=str(metadata.get("name", "")),
        pod_hash=pod_hash,
        wanted=int((raw.get("spec") or {}).get("replicas") or 0),
        present=int(status.get("replicas") or 0),
        ready=int(status.get("readyReplicas") or 0),
        pods=tuple(pod for pod in pods if pod.pod_hash == pod_hash),
        variant=str((metadata.get("labels") or {}).get(LABEL_VARIANT, "")),
    )
