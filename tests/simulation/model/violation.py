"""What the model check finds: an invariant that does not hold."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.decide import invariants


class Violation(Exception):  # noqa: N818 - a finding about the operator
    """An invariant does not hold."""


def demand(holds: bool, number: int, message: str) -> None:  # noqa: FBT001
    """Tell of an invariant that does not hold."""
    if not holds:
        raise Violation(f"{number}: {message}")


def none(breaches: Iterable[invariants.Breach]) -> None:
    """Tell of the first breach."""
    for breach in breaches:
        raise Violation(str(breach))
