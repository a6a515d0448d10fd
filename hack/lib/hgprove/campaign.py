"""One campaign: which of its items are next, until when, and what came out of each, kept so that it can go on later.

A slice in the test command begins at another place with each commit, so that the whole set is looked at in turn.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[3]
Item = TypeVar("Item")


def rotation(total: int) -> int:
    """Where a slice of this commit begins: a number below `total`, another one with each commit.

    `HEADGATE_ROTATION` (any integer) takes the place of the commit, to repeat a slice exactly.
    """
    chosen = os.environ.get("HEADGATE_ROTATION")
    if not chosen:
        said = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        # Outside of a repository (a source archive) there is one slice, the first.
        chosen = str(int(said.stdout.strip() or "0", 16))
    return int(chosen) % max(1, total)


def half(items: range) -> range:
    """Every other one of them, which ones says the commit, as with `rotation`."""
    return items[rotation(2) :: 2]


def in_turn(items: Sequence[Item], *, start: int = 0, seconds: float | None = None) -> Iterator[Item]:
    """The items from `start` on, round once, until they are through or the time (monotonic) is over."""
    end = time.monotonic() + seconds if seconds is not None else None
    for offset in range(len(items)):
        if end is not None and time.monotonic() >= end:
            return
        yield items[(start + offset) % len(items)]


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of one item."""

    item: str
    """Seed, plan or object: the name by which it can be repeated alone."""
    ok: bool
    problem: str = ""
    """What went wrong, in a sentence; empty if nothing did."""
    story: list[str] = field(default_factory=list)
    seconds: float = 0.0
    kind: str = ""
    """A group for the report's table."""
    figure: float | None = None
    """What was measured of it, if anything was."""


class Record:
    """Results as JSON lines in a file; written at once, so that a campaign that was interrupted loses nothing."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.results: dict[str, Result] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if resume and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    found = Result(**json.loads(line))
                except (json.JSONDecodeError, TypeError):
                    continue  # The last line of a campaign that was killed while it wrote.
                self.results[found.item] = found
        else:
            path.write_text("", encoding="utf-8")

    def done(self, item: str) -> bool:
        """Whether an item has a result already, which a campaign that goes on need not get again."""
        return item in self.results

    def add(self, result: Result) -> None:
        """Keep a result."""
        self.results[result.item] = result
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def failures(self) -> list[Result]:
        """The results that are not as they must be."""
        return [r for r in self.results.values() if not r.ok]


def lower_bound(successes: int, runs: int, confidence: float = 0.95) -> float:
    """The one-sided lower bound of a success rate (Clopper and Pearson, 1934): 2,995 of 2,995 show 99.9 %."""
    if runs == 0 or successes == 0:
        return 0.0
    if successes == runs:
        return float((1 - confidence) ** (1 / runs))
    low, high = 0.0, successes / runs
    for _ in range(60):
        middle = (low + high) / 2
        if _tail(successes, runs, middle) < 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def _tail(successes: int, runs: int, rate: float) -> float:
    """P(at least this many successes) at a rate; the failures are few, so their terms are summed."""
    term = rate**runs
    total = term
    for failures in range(1, runs - successes + 1):
        term *= (runs - failures + 1) / failures * (1 - rate) / rate if rate else 0.0
        total += term
    return min(1.0, total)
