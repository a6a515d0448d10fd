"""What is wrong with a Rollout that no schema can refuse: sentences that name the field and say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.api.common import GROUP, LABEL_REVISION
from headgate.api.rollout import GateStep
from headgate.api.values import dataclass
from headgate.decide import configuration, experiment, group, queries, restarting, strategies
from headgate.decide.mover import selected
from headgate.decide.roles import asked
from headgate.decide.types import Outcome, OutcomeKind, ServiceView, Snapshot

CONFLICT = "Conflict"
"""An older Rollout claims the same: this one writes nothing at all."""
OURS = f"{GROUP}/"
"""How keys of labels begin that are the operator's."""
REFUSALS = 3
"""Refusals of one write in a row after which a person is told."""
FAILURES = 6
"""Failures of one write in a row that are no refusals (a server or a webhook that is down), likewise."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the spec cannot be worked with."""

    reason: str
    message: str
    blocks_running: bool = True
    """False: what is wrong concerns the next attempt only, because the one under way has pinned its plan."""
    blocks_pods: bool = False
    """True: not even which pods are wanted can be known, so that those that are there stay as they are. Whatever else
    is wrong keeps nobody from having the pods for the load."""


def find(snapshot: Snapshot) -> list[Problem]:
    """All problems, most basic first."""
    found = [Problem("InvalidSpec", text, blocks_pods=True) for text in snapshot.problems]
    if found:
        return found
    found += [
        Problem("KindMissing", f"the cluster does not serve {kind}; install its CRD, the Rollout goes on by itself")
        for kind in snapshot.missing_kinds
    ]
    routed = strategies.of(snapshot.spec).routed
    found += [
        Problem(
            "RouterDisabled",
            strategies.told(snapshot.spec, f"spec.strategy.canary.trafficRouting.{field}: ")
            + f"this operator is not set up for it; let an admin add {name} to routers in the operator's "
            "configuration, or use another router",
        )
        for field, name in (routed.routing.named() if routed is not None else ())
        if name not in snapshot.config.routers
    ]
    found += [Problem(CONFLICT, text) for text in snapshot.contenders]
    found += _disabled(snapshot) or [*_workload(snapshot), *_in_place(snapshot)]
    found += _services(snapshot)
    found += [Problem("InvalidSpec", route.problem) for route in snapshot.routes if route.problem]
    found += [Problem("InvalidSpec", r.unable, blocks_running=False) for r in snapshot.routes if r.unable]
    found += _variants(snapshot)
    found += _roles(snapshot)
    found += _configuration(snapshot)
    found += _restarts(snapshot)
    found += _gates(snapshot)
    wrong = [*group.faults(snapshot), *group.missing(snapshot)]
    found += [Problem("InvalidSpec", text, blocks_running=False) for text in wrong]
    return found


def refusal(outcome: Outcome) -> str:
    """What does not succeed again and again; empty if it was not tried often enough to say so."""
    if outcome.kind is OutcomeKind.REFUSED and outcome.count >= REFUSALS:
        return f"{outcome.action} is refused: {outcome.message}"
    if outcome.kind is OutcomeKind.UNKNOWN and outcome.count >= FAILURES:
        return f"{outcome.action} fails again and again: {outcome.message}"
    return ""


def _workload(snapshot: Snapshot) -> list[Problem]:
    ref = snapshot.spec.workload_ref
    if ref is None or snapshot.template is not None:
        return []
    return [
        Problem(
            "InvalidSpec",
            f'spec.workloadRef.name: there is no {ref.kind} "{ref.name}" in this namespace; create it or correct it',
        )
    ]


def _disabled(snapshot: Snapshot) -> list[Problem]:
    """That this operator does not look at such workloads, so that nothing else is known of them."""
    ref = snapshot.spec.workload_ref
    if ref is None or not strategies.of(snapshot.spec).in_place or ref.kind in snapshot.config.rolling_kinds:
        return []
    text = (
        f"spec.workloadRef.kind: this operator is not set up to release a {ref.kind} in place; let an admin add "
        f"{ref.kind} to rollingKinds in the operator's configuration"
    )
    return [Problem("KindDisabled", text)]


def _roles(snapshot: Snapshot) -> list[Problem]:
    """Labels by role that would take pods away from those who look for them; what runs has its own."""
    canary = snapshot.spec.strategy.canary
    labels = ((snapshot.template or {}).get("metadata") or {}).get("labels") or {}
    services = (snapshot.stable_service, snapshot.canary_service)
    found = []
    for field, metadata in asked(canary).items() if canary is not None else ():
        for key in sorted(metadata.labels):
            where = f"spec.strategy.canary.{field}.labels: {key}"
            named = [f"Service {service.name} selects by" for service in services if key in service.selector]
            whose = "the pod template has" if key in labels else next(iter(named), "")
            if whose:
                text = f"{where} is a label that {whose}; choose another key, because pods keep it when the role ends"
                found.append(Problem("InvalidSpec", text, blocks_running=False))
    return found


def _configuration(snapshot: Snapshot) -> list[Problem]:
    """What keeps copies of the configuration from being made; what runs has its own."""
    kind = configuration.not_set_up(snapshot)
    if kind:
        text = (
            f"spec.configSnapshots: this operator is not set up to copy a {kind}; let an admin add {kind} to "
            "snapshotKinds in the operator's configuration"
        )
        return [Problem("KindDisabled", text, blocks_running=False)]
    reason, text = configuration.trouble(snapshot)
    return [Problem(reason, text, blocks_running=False)] if text else []


def _restarts(snapshot: Snapshot) -> list[Problem]:
    """Pods are to be replaced, and that is not allowed; one that was done once is nobody's trouble."""
    if not restarting.open_in_spec(snapshot) or snapshot.config.restarts:
        return []
    text = (
        "spec.restartAt: this operator is not set up to evict pods; let an admin set restarts in the operator's "
        "configuration, or remove it"
    )
    return [Problem("RestartsDisabled", text, blocks_running=False)]


def _in_place(snapshot: Snapshot) -> list[Problem]:
    """What keeps a workload from being released in place."""
    ref, workload = snapshot.spec.workload_ref, snapshot.workload
    if ref is None or workload is None or workload.in_place is None:
        return []
    if workload.in_place.unfit:
        return [Problem("InvalidSpec", f"spec.workloadRef.name: {ref.kind} {ref.name} {workload.in_place.unfit}")]
    if workload.replicas == 1:
        more = "scale it to 2 at least" if workload.in_place.held is None else "let it run on 2 nodes at least"
        text = (
            f"spec.workloadRef.name: {ref.kind} {ref.name} has one pod, of which no batch could be tried with a way "
            f"back; {more}"
        )
        return [Problem("InvalidSpec", text, blocks_running=False)]
    return []


def _variants(snapshot: Snapshot) -> list[Problem]:
    """Services of variants that cannot lead to them; a release that has come so far waits, and any other needs none."""
    found, labels = [], _labels(snapshot.template)
    for field, name in experiment.services(snapshot.spec):
        service = snapshot.variant_services.get(name)
        there = service is not None and service.found
        text = _unfit(field, service, labels) if service and there else _absent(field, name)
        if text:
            found.append(Problem("InvalidSpec", text, blocks_running=False))
    return found


def _services(snapshot: Snapshot) -> list[Problem]:
    strategy, found, labels = strategies.of(snapshot.spec), [], _labels(snapshot.template)
    views = (snapshot.stable_service, snapshot.canary_service)
    for (field, name), service in zip(strategy.services, views, strict=False):
        if not service.found:
            found.append(Problem("InvalidSpec", _absent(field, name)))
            continue
        if strategy.pooled and selected(service):
            found.append(
                Problem(
                    "InvalidSpec",
                    f'{field}: Service "{name}" selects one revision; without trafficRouting it must lead to the '
                    f"pods of all: remove the key {LABEL_REVISION} from its selector",
                )
            )
            continue
        wrong = _unfit(field, service, labels)
        if wrong:
            found.append(Problem("InvalidSpec", wrong))
    return found


def _absent(field: str, name: str) -> str:
    return f'{field}: there is no Service "{name}" in this namespace; create it or correct the name'


def _unfit(field: str, service: ServiceView, labels: Mapping[str, Any] | None) -> str:
    """Why a Service would not lead to pods with these labels; empty if it does."""
    wrong = _unmatched(service, labels)
    if not wrong:
        return ""
    return (
        f'{field}: Service "{service.name}" selects {wrong}, which the pod template does not carry as a label; '
        "correct the Service's selector or the template's labels"
    )


def _unmatched(service: ServiceView, labels: Mapping[str, Any] | None) -> str:
    own = {k: v for k, v in service.selector.items() if not k.startswith(OURS)}
    if not own:
        return "nothing" if not service.selector else ""
    if labels is None:
        return ""
    wrong = [item for item in own.items() if labels.get(item[0]) != item[1]]
    return "=".join(min(wrong)) if wrong else ""


def _labels(template: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The labels of a template; None without one."""
    if template is None:
        return None
    metadata = template.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return labels if isinstance(labels, Mapping) else {}


def _gates(snapshot: Snapshot) -> list[Problem]:
    uses: list[tuple[str, str, GateStep | None]] = [
        (f"spec.gates[{i}]", gate.ref.name, None) for i, gate in enumerate(snapshot.spec.gates)
    ]
    uses += [(where, gate.ref.name, gate) for where, gate in strategies.of(snapshot.spec).gates]
    found = []
    seen = set()
    for where, name, step in uses:
        field, given = f"{where}.ref.name", tuple((a.name, a.value) for a in (step and step.arguments) or ())
        if name in snapshot.broken_gates:
            text = f'{field}: QualityGate "{name}" cannot be used: {snapshot.broken_gates[name]}'
        elif name not in snapshot.gates:
            text = f'{field}: there is no QualityGate "{name}" in this namespace; create it or correct the name'
        elif (name, given) in seen:
            continue
        else:
            text = _wrong(snapshot, where, name, step)
        seen.add((name, given))
        if text:
            found.append(Problem("InvalidSpec", text, blocks_running=False))
    return found


def _wrong(snapshot: Snapshot, where: str, name: str, step: GateStep | None) -> str:
    """What keeps a gate from being asked with the arguments of its step; empty if nothing does."""
    gate, config = snapshot.gates[name], snapshot.config
    misgiven = queries.misgiven(gate, step, config)
    if misgiven:
        return experiment.told(snapshot.spec, f"{where}.{misgiven[0]}")
    used = queries.for_step(gate, step, config)
    wrong = queries.problems_of(used, config)
    if strategies.of(snapshot.spec).pooled:
        wrong = wrong or queries.undivided(used, config)
    return f'{where}.ref.name: QualityGate "{name}": {wrong[0]}' if wrong else ""
