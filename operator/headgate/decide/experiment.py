"""Which variants the experiment of the present step has, and what its gate is told of them.

What a variant is called follows from the attempt and the step, so that the journal says nothing of it: whatever variant
is not one of the present step has to go, and `retention` sees to that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from headgate.api.common import LABEL_REVISION
from headgate.api.experiment import Variant
from headgate.api.rollout import Experiment, GateStep, RevisionRef, RolloutSpec, RolloutStatus, Step
from headgate.decide import journal, managed, mover
from headgate.decide.managed import ManagedRoute
from headgate.decide.mover import WantedVariant, selected
from headgate.decide.queries import EXAMPLE, with_values
from headgate.decide.revision import pod_hash_of
from headgate.decide.types import Plan, PlanView, ServiceView, Snapshot

FIELD = "spec.strategy.canary.steps"


# --------------------------------------------------------------------------------------------------------------------
# What is wanted
# --------------------------------------------------------------------------------------------------------------------


def wanted(uid: str, status: RolloutStatus, plan: Plan | None) -> tuple[WantedVariant, ...]:
    """The variants of the step that a journal is at; `uid` is the Rollout's, `plan` that of the attempt under way."""
    run, stable, index = journal.running(status), status.stable, status.current_step_index
    if plan is None or run is None or stable is None or run.fast or index >= len(plan.steps):
        return ()
    found = plan.steps[index].experiment
    if found is None:
        return ()
    return tuple(
        WantedVariant(
            name=variant.name,
            pod_hash=hash_of(uid, run.pod_hash, run.attempt, index, variant.name),
            of=stable.pod_hash if variant.spec_ref == "Stable" else run.pod_hash,
            replicas=variant.replicas,
            service=variant.service or "",
        )
        for variant in found.variants
    )


def hash_of(uid: str, pod_hash: str, attempt: int, index: int, name: str) -> str:
    """What the pods of a variant are labelled with: of a Rollout, an attempt and a step (counted from 0)."""
    return pod_hash_of(f"{uid}/{pod_hash}/{attempt}/{index}/{name}")


def shares(snapshot: Snapshot, step: Step, variants: Iterable[WantedVariant]) -> tuple[ManagedRoute, ...]:
    """The parts of the requests that the variants of a step have: of those to whose pods their Service leads.

    Whatever it led to before, or somebody else lets it lead to, is to get none of them.
    """
    there = {name: selected(service) for name, service in snapshot.variant_services.items()}
    led = {one.service for one in variants if there.get(one.service) == one.pod_hash}
    return tuple(share for share in managed.shares(step) if share.service in led)


def serving(snapshot: Snapshot, variants: Iterable[WantedVariant]) -> bool:
    """Each of them has all its pods, and its Service leads to them alone."""
    return not any(mover.variant_waits(snapshot, one, one.replicas) for one in variants)


def lost(snapshot: Snapshot, variants: Iterable[WantedVariant]) -> str:
    """What a gate has nothing to compare with any more: a variant without a pod, or whose Service leads elsewhere."""
    return next((one.name for one in variants if mover.variant_waits(snapshot, one, 1)), "")


def labels_of(snapshot: Snapshot, pod_hash: str) -> str:
    """A label selector of the pods of a variant, which do not carry the Rollout's label; empty for other pods."""
    return f"{LABEL_REVISION}={pod_hash}" if any(found.pod_hash == pod_hash for found in snapshot.variants) else ""


# --------------------------------------------------------------------------------------------------------------------
# What the gate is told
# --------------------------------------------------------------------------------------------------------------------


def gate_of(step: Step, uid: str, run: RevisionRef, index: int) -> GateStep | None:
    """The gate of a step as it is asked, with what its variants are called in this attempt."""
    if step.experiment is None:
        return step.gate
    variants = step.experiment.variants
    names = {one.name: hash_of(uid, run.pod_hash, run.attempt, index, one.name) for one in variants}
    return with_values(step.experiment.gate, tuple(_values(step.experiment, names)))


def example_of(found: Experiment) -> GateStep:
    """The same for judging a spec, before there is an attempt."""
    names = dict.fromkeys((variant.name for variant in found.variants), EXAMPLE.canary_revision)
    return with_values(found.gate, tuple(_values(found, names)))


def _values(found: Experiment, names: dict[str, str]) -> Iterator[tuple[str, str]]:
    for variant in found.variants:
        for argument in variant.gate_arguments:
            yield argument.name, (variant.service or "") if argument.value == "Service" else names[variant.name]


_ARGUMENT = re.compile(rf"{re.escape(FIELD)}\[(\d+)\]\.experiment\.gate\.arguments\[([^\]]*)\]")


def told(spec: RolloutSpec, text: str) -> str:
    """What is said of an argument of the gate, said of the field of the variant that gives it, where one does."""
    found, canary = _ARGUMENT.match(text), spec.strategy.canary
    if found is None or canary is None:
        return text
    number, argument = int(found[1]), found[2]
    step = canary.steps[number].experiment
    for variant in step.variants if step is not None else ():
        if any(given.name == argument for given in variant.gate_arguments):
            return f"{_field(number, variant)}.gateArguments[{argument}]{text.removeprefix(found[0])}"
    return text


# --------------------------------------------------------------------------------------------------------------------
# Services
# --------------------------------------------------------------------------------------------------------------------


def services(spec: RolloutSpec) -> tuple[tuple[str, str], ...]:
    """Field and name of each variant's Service that a spec names."""
    canary = spec.strategy.canary
    return tuple(
        (f"{_field(number, variant)}.service", variant.service)
        for number, step in enumerate(canary.steps if canary is not None else ())
        for variant in (step.experiment.variants if step.experiment is not None else ())
        if variant.service is not None
    )


def service_names(spec: RolloutSpec, plans: Iterable[PlanView]) -> frozenset[str]:
    """The names of all that the spec names, or the record of an attempt."""
    steps = [step for view in plans for step in view.plan.steps if step.experiment is not None]
    named = {variant.service for step in steps if step.experiment is not None for variant in step.experiment.variants}
    return frozenset({name for _, name in services(spec)} | {name for name in named if name is not None})


def led_by(snapshot: Snapshot, plan: PlanView) -> tuple[ServiceView, ...]:
    """The Services that lead to variants of this attempt, or led to them last, and that the spec names no more."""
    named = {name for _, name in services(snapshot.spec)}
    found = {}
    for index, step in enumerate(plan.plan.steps):
        for variant in step.experiment.variants if step.experiment is not None else ():
            service = snapshot.variant_services.get(variant.service or "")
            pod_hash = hash_of(snapshot.meta.uid, plan.pod_hash, plan.attempt, index, variant.name)
            if service is not None and service.name not in named and selected(service) == pod_hash:
                found[service.name] = service
    return tuple(found.values())


def unnamed(spec: RolloutSpec, variants: Iterable[WantedVariant]) -> bool:
    """Some of these have a Service that the spec names no more, so that nobody hears of what becomes of it."""
    named = {name for _, name in services(spec)}
    return any(one.service and one.service not in named for one in variants)


def _field(number: int, variant: Variant) -> str:
    return f"{FIELD}[{number}].experiment.variants[{variant.name}]"


# --------------------------------------------------------------------------------------------------------------------
# What leads to them
# --------------------------------------------------------------------------------------------------------------------


def shared(snapshot: Snapshot) -> frozenset[str]:
    """The names of the Services that have a share in any claimed place."""
    return frozenset(managed.service_of(key) for key in mover.led(snapshot) if managed.is_share(key))


def still_reached(snapshot: Snapshot, pod_hash: str) -> mover.Move | None:
    """What is waited for while a router leads requests to a variant, or may still; None if none does."""
    for name in sorted(shared(snapshot)):
        service = snapshot.variant_services.get(name)
        if service is not None and (selected(service) == pod_hash or service.ready.get(pod_hash, 0)):
            return mover.Move(waiting=f"waiting for the share of Service {name} to be taken back")
    for route in snapshot.routes:
        if route.found and not route.settled:
            return mover.Move(waiting=f"waiting for the gateway to serve {route.kind} {route.name}")
    return None
