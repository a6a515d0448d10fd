"""The working space of one decision: the snapshot, the journal as it becomes, and what is to be asked and said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from headgate.api.rollout import RolloutStatus
from headgate.decide import journal
from headgate.decide.mover import Move, replica_set
from headgate.decide.problems import Problem
from headgate.decide.types import EventNote, Question, ReadQuestion, Snapshot


@dataclass(slots=True)
class Cycle:
    """Mutable only inside one call of `decide`, so the call as a whole stays a function."""

    snapshot: Snapshot
    now: float
    status: RolloutStatus
    problems: list[Problem] = field(default_factory=list)
    events: list[EventNote] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    reads: list[ReadQuestion] = field(default_factory=list)
    wakes: list[float] = field(default_factory=list)
    move: Move = field(default_factory=Move)
    stalled: tuple[str, str] | None = None
    """Reason and message of what a person must do."""
    adoption_wait: str = ""
    left_out: str = ""
    """Pod hash of the release that goes on without all the pods of its step."""
    waits: str = ""
    """What the release group holds the release for, at whatever step."""

    @property
    def ways_back(self) -> int:
        """How many promoted revisions the history must keep: the present one and all within the rollback window."""
        window = self.snapshot.spec.rollback_window
        return max(journal.WAYS_BACK, window.revisions + 1 if window is not None else 0)

    def change(self, **updates: Any) -> None:
        """Replace fields of the journal."""
        self.status = journal.change(self.status, **updates)

    def note(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Record an Event."""
        self.events.append(EventNote(kind, reason, message[:1024]))

    def wake(self, at: float | None) -> None:
        """Decide again at this time at the latest."""
        if at is not None:
            self.wakes.append(at)

    @property
    def short_of(self) -> str:
        """Pod hash whose pods are missing, waited for or not; empty if none are."""
        return self.move.short_of or self.left_out

    def missing_pods(self) -> str:
        """Why pods are missing, whether they are waited for or not; empty if none are, or nobody knows.

        What another process read is in the journal, and stands until this one has read it, too.
        """
        pod_hash = self.short_of
        if not pod_hash:
            return ""
        found = replica_set(self.snapshot, pod_hash)
        if found is not None and found.failure:
            return found.failure
        journaled = self.status.hold_message if f"pods of {pod_hash}" in self.status.hold_message else ""
        return self.snapshot.pod_causes.get(pod_hash, journaled)

    def stall(self, reason: str, message: str) -> None:
        """Say what a person must do; the first reason stands."""
        if self.stalled is None:
            self.stalled = (reason, message)
