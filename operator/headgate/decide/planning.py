"""What an attempt is pinned to: its steps and resolved gates, recorded once in a ControllerRevision."""

from __future__ import annotations

from headgate.api.rollout import RevisionRef, RolloutStatus
from headgate.decide import strategies
from headgate.decide.mover import anchor
from headgate.decide.types import CreatePlan, Plan, PlanView, Snapshot


def find_plan(snapshot: Snapshot, run: RevisionRef) -> PlanView | None:
    """The record of an attempt."""
    return next((p for p in snapshot.plans if (p.revision, p.attempt) == (run.revision, run.attempt)), None)


def next_attempt(snapshot: Snapshot, status: RolloutStatus, revision: str) -> int:
    """The number of the next try of a revision: none that was ever recorded is used again, whatever became of it."""
    known = [h.attempt for h in status.history if h.revision == revision]
    known += [r.attempt for r in status.rejected if r.revision == revision]
    known += [r.attempt for r in (status.stable, status.current) if r is not None and r.revision == revision]
    known += [p.attempt for p in snapshot.plans if p.revision == revision]
    return max(known, default=0) + 1


def plan_of_spec(snapshot: Snapshot) -> Plan:
    """The plan as the spec and the gates have it now."""
    spec = snapshot.spec
    background = {}
    for gate in spec.gates:
        resolved = snapshot.gates.get(gate.ref.name)
        if resolved is not None:
            background[gate.ref.name] = (
                resolved.model_copy(update={"interval": gate.interval}) if gate.interval else resolved
            )
    steps = strategies.of(spec).steps
    routed = strategies.of(spec).routed
    names = {s.judged_by.ref.name for s in steps if s.judged_by is not None}
    return Plan(
        steps=steps,
        step_gates={n: snapshot.gates[n] for n in sorted(names) if n in snapshot.gates},
        background_gates=background,
        session=routed.routing.session_affinity if routed is not None else None,
    )


def pin(snapshot: Snapshot, run: RevisionRef) -> CreatePlan | None:
    """The record to create for an attempt; None if its template is not to be had any more."""
    # Each attempt of a revision has the pods of the first one, and so what those read.
    first = anchor(snapshot, run.revision)
    template = snapshot.template if snapshot.revision == run.revision else None
    if template is None:
        template = first.template if first is not None else None
    if template is None:
        return None
    return CreatePlan(
        name=f"{snapshot.meta.name}-{run.pod_hash}-{run.attempt}",
        revision=run.revision,
        pod_hash=run.pod_hash,
        attempt=run.attempt,
        template=template,
        plan=plan_of_spec(snapshot),
        copies=first.copies if first is not None else (),
    )
