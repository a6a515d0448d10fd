"""Several Rollouts of one release group: each a small world of its own, one clock for all; they hear late of others.

What must hold of a group is checked at every journal that is written, on the journals as they are, not as they are
seen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from headgate.api.common import to_epoch
from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.decide import group
from headgate.decide import types as t
from headgate.decide.journal import running
from tests.simulation.rolling_world import RollingWorld
from tests.simulation.world import START, Faults, World, spec

NAMESPACE = "sim"
LATE = 2.0
"""Seconds by which a member may hear of another one late; within `group.TOGETHER`."""


def member(
    name: str, steps: list[dict[str, Any]], *, after: Sequence[str] = (), **more: Any
) -> tuple[str, RolloutSpec]:
    """A canary in the group `checkout`."""
    named = {"name": "checkout", "after": [{"name": a} for a in after]}
    return name, spec(steps, group=named, **more)


class Member(World):
    """One Rollout; the others are seen as they were."""

    def __init__(self, seed: int, name: str, rollout: RolloutSpec, of: Group) -> None:
        super().__init__(seed, rollout)
        self.name = name
        self.of = of
        self.journals: list[tuple[float, RolloutStatus]] = [(START, RolloutStatus())]
        """Every journal that was written, and when."""
        self.advanced: list[tuple[float, str, int]] = []
        """When a step began, of which attempt."""

    def snapshot(self) -> t.Snapshot:
        """What the operator sees, the other members among it."""
        seen = super().snapshot()
        meta = replace(seen.meta, name=self.name, uid=self.name)
        return replace(seen, meta=meta, group=self.of.seen_by(self) if self.spec.group is not None else None)

    def _write_status(self, decision: t.Decision) -> bool:
        before = self.status
        written = super()._write_status(decision)
        if self.status is not before:
            self.journals.append((self.now, self.status))
            self.of.check(self, before, self.status)
        return written

    def forget_more(self) -> None:
        """A process that begins lists everything anew."""
        self.of.heard[self.name] = {}

    def attempt(self) -> str:
        """The attempt under way that takes steps; empty without one."""
        run = running(self.status)
        return f"{run.pod_hash}/{run.attempt}" if run is not None and not run.fast else ""

    @property
    def takes_part(self) -> bool:
        """It is in the group, and stays."""
        return self.spec.group is not None and not (self.deleting or self.gone)

    def outcomes(self) -> list[str]:
        """How its attempts ended, the first revision aside."""
        return [str(h.outcome) for h in self.status.history][1:]


class RollingMember(Member, RollingWorld):
    """One whose pods are replaced in place."""


class Group:
    """The members, and what must hold of them together."""

    def __init__(self, seed: int, *members: tuple[str, RolloutSpec], late: float = 0.0) -> None:
        self.random = random.Random(f"{seed}/group")
        self.late = late
        self.members: dict[str, Member] = {}
        for i, (name, rollout) in enumerate(members):
            made = Member if rollout.strategy.rolling is None else RollingMember
            self.members[name] = made(seed + i, name, rollout, self)
        self.heard: dict[str, dict[str, int]] = {name: {} for name in self.members}
        """By member, how many journals of each other one it has heard of."""
        self.broken: dict[str, str] = {}
        """Members whose status somebody has spoiled."""
        self.problem = ""
        """Why nobody knows the others."""
        self.met: dict[tuple[str, str], set[tuple[str, str]]] = {}
        """By attempt, which attempts it was released with."""

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return next(iter(self.members.values())).now

    # -- what is seen -------------------------------------------------------------------------------------------------

    def seen_by(self, me: Member) -> t.GroupView:
        """The others as a member sees them: at most `late` seconds old, and never older than before."""
        if self.problem:
            return t.GroupView(problem=self.problem)
        peers = []
        for name, other in self.members.items():
            if other is me or other.gone or other.spec.group is None:
                continue
            known = self._known(me, other)
            named = group.key_of(NAMESPACE, other.spec.group)
            if name in self.broken:
                peers.append(t.PeerView(NAMESPACE, name, broken=self.broken[name]))
                continue
            seen = group.peer(NAMESPACE, name, other.spec, known, named)
            peers.append(group.leaving(seen) if other.deleting else seen)
        return t.GroupView(tuple(peers))

    def _known(self, me: Member, other: Member) -> RolloutStatus:
        count = len(other.journals)
        least = sum(1 for at, _ in other.journals if at <= me.now - self.late) or 1
        least = max(least, self.heard[me.name].get(other.name, count if self.late else 1))
        self.heard[me.name][other.name] = least
        return other.journals[least - 1][1]

    # -- what must hold -----------------------------------------------------------------------------------------------

    def check(self, me: Member, before: RolloutStatus, after: RolloutStatus) -> None:
        """One journal after the other, with those of all others as they are now."""
        old, new = running(before), running(after)
        others = [m for m in self.members.values() if m is not me and m.attempt() and m.takes_part]
        mine = f"{old.pod_hash}/{old.attempt}" if old is not None else ""
        if old is not None and not old.fast:
            me_now = (me.name, mine)
            for other in others:
                self.met.setdefault(me_now, set()).add((other.name, other.attempt()))
        same = old is not None and new is not None and (old.revision, old.attempt) == (new.revision, new.attempt)
        if me.spec.group is None or old is None or old.fast:
            return
        if same and after.current_step_index > before.current_step_index:
            self._in_step(me, after, others)
        if after.stable != before.stable and after.stable is not None:
            self._promoted(me, before, others)

    def _heard_of(self, me: Member, other: Member) -> bool:
        """It has had the time to hear that the other one has begun."""
        run = running(other.status)
        return run is not None and to_epoch(run.since) < me.now - self.late - 0.5

    def _in_step(self, me: Member, after: RolloutStatus, others: list[Member]) -> None:
        for other in others:
            if not self._heard_of(me, other):
                continue
            said = other.status.group
            through = said is not None and said.through
            count = max(other.status.current_step_index, said.finished if said is not None else 0)
            needed = min(after.current_step_index, other.status.step_count)
            mine = after.group
            if mine is not None and mine.through:
                continue
            if count < needed and not through:
                me.fail(f"group: step {after.current_step_index} begins, and {other.name} has finished {count}")
            first = me.spec.group.after if me.spec.group is not None else []
            ahead = min(after.current_step_index + 1, other.status.step_count)
            if other.name in [a.name for a in first] and count < ahead and not through:
                me.fail(f"group: step {after.current_step_index} begins before {other.name} has finished its own")

    def _promoted(self, me: Member, before: RolloutStatus, others: list[Member]) -> None:
        run, said = running(before), before.group
        if run is None or said is None or not said.through:
            return
        for other in others:
            theirs = running(other.status)
            if theirs is None or to_epoch(theirs.since) > to_epoch(said.through):
                continue  # It began when this one was through.
            if other.status.group is None or not other.status.group.voted:
                me.fail(f"group: promoted before {other.name} was ready")

    def check_ends(self) -> None:
        """No attempt was promoted while another one of the same joint release was taken back."""
        for (name, attempt), others in self.met.items():
            mine = self._ending(name, attempt)
            if mine is None or mine[0] != "Promoted":
                continue
            for other, theirs in others:
                ending = self._ending(other, theirs)
                if ending is None or ending[0] != "Rejected":
                    continue
                _, started, ended, through = mine
                _, their_start, their_end, their_through = ending
                meets = started <= min(their_through, their_end) and their_start <= min(through, ended)
                if meets:
                    self.fail(f"group: {name} {attempt} was promoted, and {other} {theirs} was taken back")

    def _ending(self, name: str, attempt: str) -> tuple[str, float, float, float] | None:
        found = self.members[name]
        for entry in found.status.history:
            if f"{entry.pod_hash}/{entry.attempt}" == attempt:
                through = float("inf")
                for _, journal in found.journals:
                    run, said = running(journal), journal.group
                    same = run is not None and f"{run.pod_hash}/{run.attempt}" == attempt
                    if same and said is not None and said.through:
                        through = to_epoch(said.through)
                return entry.outcome, to_epoch(entry.started_at), to_epoch(entry.finished_at), through
        return None

    def fail(self, what: str) -> None:
        """Stop with the stories of all."""
        for each in self.members.values():
            each.story = each.story[-40:]
        lines = sorted(
            (float(line[:8]), f"{line[:8]} {each.name}:{line[8:]}")
            for each in self.members.values()
            for line in each.story
        )
        first = next(iter(self.members.values()))
        first.story = [text for _, text in lines]
        first.fail(what)

    # -- time ---------------------------------------------------------------------------------------------------------

    def run_for(self, length: float) -> None:
        """Let time pass for all of them."""
        end = self.now + length
        while self.now < end:
            self._turns()
            self._advance(end)

    def settle(self, limit: float, until: tuple[str, ...] = ("Healthy", "Degraded")) -> None:
        """Until all are in one of these phases, or fail after so many seconds."""
        end, left = self.now + limit, list(self.members.values())
        while self.now < end:
            self._turns()
            left = [m for m in self.members.values() if not m.gone and (m.status.phase not in until or m.people)]
            if not left and not any(m._moving() for m in self.members.values() if not m.gone):
                return
            self._advance(end)
        self.fail(f"22: not {until} within {limit} s: {[(m.name, m.status.message) for m in left]}")

    def _turns(self) -> None:
        acted, turns = True, 0
        while acted:
            acted = False
            order = [m for m in self.members.values() if not m.gone]
            self.random.shuffle(order)
            for each in order:
                acted = each.turn() or acted
            turns += 1
            if turns > 200:
                self.fail("20: it does not come to rest")

    def _advance(self, limit: float) -> None:
        here = list(self.members.values())
        ahead = [at for m in here for at in m.moments() if at > self.now]
        ahead += [at + self.late for m in here for at, _ in m.journals[-3:] if at + self.late > self.now]
        to = min([*ahead, self.now + 30.0, limit])
        for each in here:
            each.now = to
            each._answer()

    # -- people -------------------------------------------------------------------------------------------------------

    def release(self, version: str, *names: str, **more: Any) -> None:
        """Change the templates of these members, or of all."""
        for name in names or self.members:
            self.members[name].release(version, **more)

    def faults(self, faults: Faults) -> None:
        """Let things go wrong for all."""
        for each in self.members.values():
            each.faults = faults
