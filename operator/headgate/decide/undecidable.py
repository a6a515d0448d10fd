"""What a Rollout says of itself while nothing is decided about it: conditions beside a journal that stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.api.common import Condition
from headgate.api.values import dataclass
from headgate.decide import journal

MOST_CONDITIONS = 12


@dataclass(frozen=True, slots=True)
class Why:
    """A reason for conditions, and a sentence for people."""

    reason: str
    message: str


def unreadable(problem: str) -> Why:
    """The status is there and is none that this operator knows."""
    return Why(
        "StatusUnreadable",
        f"{problem}; nothing is done about this Rollout until its status can be read: put that field right with "
        "`kubectl edit --subresource=status`, or, if a newer operator wrote it, let a newer one run",
    )


def refused(problem: str) -> Why:
    """The server does not take the status that was decided."""
    return Why(
        "StatusRefused",
        f"the API server refuses the status that was decided: {problem}; nothing is raised until it takes it: put what "
        "it names right with `kubectl edit --subresource=status`, or find the policy that refuses it",
    )


def defect(name: str) -> Why:
    """Deciding raised an error."""
    return Why(
        "OperatorDefect",
        f"nothing can be decided about this Rollout ({name}), and nothing is done about it; this is a defect of the "
        "operator, report it with its log",
    )


def conditions(old: Sequence[Condition], why: Why, generation: int, now: float) -> list[Condition]:
    """The conditions with what this means for those that other tools wait for; the rest stays as it was last seen."""
    rows = [
        ("Ready", "False", why.reason, why.message),
        ("Reconciling", "False", why.reason, why.message),
        ("Stalled", "True", why.reason, why.message),
    ]
    told = {kind for kind, *_ in rows}
    kept = [c for c in old if c.type not in told][: MOST_CONDITIONS - len(rows)]
    return [*kept, *journal.merge_conditions(list(old), rows, generation, now)]


def fields(old: Sequence[Condition], why: Why, generation: int, now: float) -> Mapping[str, Any]:
    """What changes in the status as it is stored; the journal itself does not."""
    found = [c.model_dump(mode="json", by_alias=True) for c in conditions(old, why, generation, now)]
    return {"observedGeneration": generation, "message": why.message[:1024], "conditions": found}
