"""What became of the users of one strategy: how its releases ended, after how long, and which requests that cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

PROPERTY = "released"
"""What a test's report calls an account."""
OUTCOMES = {"Promoted": "promoted", "Rejected": "taken_back"}
COLUMNS = ("promoted in", "taken back in", "requests", "failed by the shifting")


@dataclass
class Account:
    """One strategy, behind one router."""

    strategy: str
    promoted: list[float] = field(default_factory=list)
    """Seconds from the change of the template to the end of the release, of each release that was promoted."""
    taken_back: list[float] = field(default_factory=list)
    """The same of those that were taken back."""
    requests: int = 0
    lost: int = 0
    """Requests that failed, but for answers of versions that are bad."""

    def ended(self, outcome: str, seconds: float) -> None:
        """Note the end of a release."""
        if kind := OUTCOMES.get(outcome):
            getattr(self, kind).append(seconds)

    def told(self) -> dict[str, Any]:
        """It in values that test reports can carry from one process to another."""
        return asdict(self)

    def __add__(self, other: Self) -> Account:
        """Both together, of one strategy."""
        return Account(
            self.strategy,
            self.promoted + other.promoted,
            self.taken_back + other.taken_back,
            self.requests + other.requests,
            self.lost + other.lost,
        )


def table(told: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each strategy, below the names of the columns; none if nothing was told."""
    found: dict[str, Account] = {}
    for each in told:
        one = Account(**each)
        found[one.strategy] = found[one.strategy] + one if one.strategy in found else one
    if not found:
        return []
    rows = [("strategy", *COLUMNS)] + [
        (one.strategy, _seconds(one.promoted), _seconds(one.taken_back), str(one.requests), str(one.lost))
        for one in found.values()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _seconds(each: list[float]) -> str:
    return ", ".join(f"{one:.0f}" for one in each) + " s" if each else "-"
