"""What a release looked like from outside, second by second, for pictures and for looking at it afterwards."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from hack.lib.hgdemo.traffic import Request
from hack.lib.hgdemo.watching import Seen
from headgate.decide.journal import running


@dataclass(frozen=True, slots=True)
class Second:
    """One second of requests."""

    at: int
    """Seconds since the record began."""
    answered: dict[str, int]
    """Requests that each version answered well."""
    failed: int


@dataclass(frozen=True, slots=True)
class State:
    """One version of the status."""

    at: float
    """Seconds since the record began."""
    phase: str
    step: str
    weight: int
    """Percent of the requests, or for rolling of the pods, as observed."""
    new: int
    """Pods of the revision under way."""
    old: int
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """One application over the time of its releases."""

    name: str
    seconds: list[Second]
    states: list[State]

    @classmethod
    def of(cls, name: str, requests: list[Request], seen: list[Seen], began: float) -> Self:
        """Collect what users and a watch have noted since `began`, in seconds since the epoch."""
        answered: dict[int, Counter[str]] = {}
        failed: Counter[int] = Counter()
        for each in requests:
            if each.at < began:
                continue
            second = int(each.at - began)
            answered.setdefault(second, Counter())
            if each.failed:
                failed[second] += 1
            else:
                answered[second][each.version] += 1
        states = [_state(each, began) for each in seen if each.at >= began and not each.deleted]
        return cls(name, [Second(s, dict(n), failed[s]) for s, n in sorted(answered.items())], states)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote."""
        known = json.loads(file.read_text())
        return cls(known["name"], [Second(**s) for s in known["seconds"]], [State(**s) for s in known["states"]])

    def write(self, file: Path) -> None:
        """Keep it as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self)))


def _state(seen: Seen, began: float) -> State:
    status = seen.status
    new = status.updated_replicas if running(status) is not None else 0
    return State(
        at=round(seen.at - began, 2),
        phase=status.phase,
        step=status.step,
        weight=status.weights.observed,
        new=new,
        old=max(0, status.replicas - new),
        message=status.message,
    )
