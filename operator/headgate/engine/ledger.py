"""What this process remembers of each Rollout from cycle to cycle: the last outcome, and what not to try again yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headgate.decide import contest
from headgate.decide.types import Action, Outcome, OutcomeKind, Written
from headgate.engine.queue import FIRST_BACKOFF, LONGEST_BACKOFF, Key
from headgate.traffic.protocol import Resource

CONFLICTS = 3
"""Conflicts in a row that are retried at once."""
HASTE = 2.0
HASTY = 10
"""Lowering exposure is tried this often with at most `HASTE` seconds between, before it backs off like the rest."""
LOOK_EVERY = 60.0
"""Seconds after which a Rollout that is not at rest is looked at again, whether or not anything was heard of it."""
NEGLECTED_AFTER = 3 * LOOK_EVERY
ROW_SECONDS = 2 * LONGEST_BACKOFF
"""A failure longer ago than this has nothing to do with the next one."""
REPEATS = 10
"""The same action done so often within `REPEAT_SECONDS` is slowed down, whoever is to blame."""
REPEAT_SECONDS = 10.0


@dataclass(slots=True)
class Entry:
    """One Rollout."""

    uid: str = ""
    outcome: Outcome | None = None
    barred: dict[str, float] = field(default_factory=dict)
    """Action key to the monotonic time before which it is not tried again."""
    rows: dict[tuple[str, bool], Outcome] = field(default_factory=dict)
    """Action key, and whether it was a conflict, to its last failure in an unbroken row; what else was done in between
    does not break it."""
    conflicts: int = 0
    journal_known: bool = False
    """This process wrote the journal, or read it, since it leads: nobody else has written it later."""
    doubts: dict[tuple[str, str], Resource] = field(default_factory=dict)
    """Objects, by kind and name, that a write may have changed and that could not be read since."""
    looked: bool = False
    """Routes and Services were just read, for a write that counts on them."""
    active: bool = False
    """Something is under way, so that it must be looked at again and again."""
    at: float = float("-inf")
    """When (monotonic) it was last looked at."""
    poison: str = ""
    """What was last logged about it being undecidable."""
    done: list[tuple[str, float]] = field(default_factory=list)
    written: Mapping[str, Written] = field(default_factory=dict)
    """Action key to the weight or selector that was written last, where that is known."""


def _backoff(action: Action, tries: int) -> float:
    delay: float = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(tries - 1, 30))
    return min(delay, HASTE) if action.exposure == "lower" and tries <= HASTY else delay


class Ledger:
    """The entries of all Rollouts."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._entries: dict[Key, Entry] = {}

    def of(self, key: Key) -> Entry:
        """The entry of a Rollout."""
        found = self._entries.get(key)
        if found is None:
            found = self._entries[key] = Entry()
        return found

    def drop(self, key: Key) -> Entry | None:
        """Forget a Rollout."""
        return self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all: another replica has acted meanwhile."""
        self._entries.clear()

    def looked_at(self, key: Key) -> None:
        """Say that a Rollout is looked at now."""
        self.of(key).at = self._monotonic()

    def neglected(self) -> str:
        """Which Rollout nobody looks at any more although something is under way; empty if there is none.

        One that cannot be evaluated is not meant: it was looked at, and is again after its backoff.
        """
        now = self._monotonic()
        found = [(e.at, k) for k, e in self._entries.items() if e.active and now - e.at > NEGLECTED_AFTER]
        if not found:
            return ""
        at, key = min(found)
        return f"{key} was not looked at for {now - at:.0f} s ({len(found)} such Rollouts)"

    def barred_for(self, key: Key, action: Action) -> float:
        """Seconds for which this action is not to be tried again; 0 if it may be."""
        return max(0.0, self.of(key).barred.get(action.key, 0.0) - self._monotonic())

    def barred(self, key: Key) -> dict[str, float]:
        """Keys of the actions that are not to be tried again yet, and for how many seconds."""
        entry, now = self.of(key), self._monotonic()
        entry.barred = {k: until for k, until in entry.barred.items() if until > now}
        return {k: until - now for k, until in entry.barred.items()}

    def note(self, key: Key, action: Action, kind: OutcomeKind, reason: str, message: str, at: float) -> Outcome:
        """Remember an outcome; failures of one action in a row are counted."""
        entry = self.of(key)
        clash = kind is OutcomeKind.CONFLICT
        place = (action.key, clash)
        entry.rows = {k: row for k, row in entry.rows.items() if at - row.at < ROW_SECONDS}
        if kind is OutcomeKind.DONE:
            entry.rows = {k: row for k, row in entry.rows.items() if k[0] != action.key}
        last = entry.rows.get(place)
        count = last.count + 1 if last else 1
        entry.outcome = Outcome(
            action=action.key,
            kind=kind,
            reason=reason,
            message=message,
            at=at,
            first_at=last.first_at if last else at,
            count=count,
        )
        entry.written = contest.remember(entry.written, action, kind, at)
        entry.barred.pop(action.key, None)
        if kind is not OutcomeKind.DONE:
            entry.rows[place] = entry.outcome
            tries = count - CONFLICTS if clash else count
            if tries > 0:
                entry.barred[action.key] = self._monotonic() + _backoff(action, tries)
        entry.conflicts = entry.conflicts + 1 if clash else 0
        return entry.outcome

    def repeats(self, key: Key, action: Action) -> bool:
        """Note an action that was done; whether it was done suspiciously often just now."""
        entry, now = self.of(key), self._monotonic()
        entry.done = [(k, at) for k, at in entry.done if now - at < REPEAT_SECONDS]
        entry.done.append((action.key, now))
        return sum(k == action.key for k, _ in entry.done) > REPEATS
