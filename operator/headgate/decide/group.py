"""Release groups: members go in lockstep, are promoted together or not at all, and are taken back together.

Nobody leads a group, and no write is made for it: each member says in its own journal how far it has come, and reads
the others'. What it relies on only ever grows within an attempt, so that what is read late holds a member longer and
never lets it go too far. A promotion is a vote: who is ready says so, from then on nothing but another member's verdict
takes it back, and it is promoted when all have said so.

Released together are those whose attempts meet: each began before the other had come through its steps and gates. Ways
back take no steps, and so take no part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.api.common import to_epoch, to_time
from headgate.api.group import GroupProgress, GroupVerdict, ReleaseGroup
from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.api.values import dataclass
from headgate.decide import journal
from headgate.decide.types import PeerRun, PeerVerdict, PeerView, Snapshot

if TYPE_CHECKING:
    from headgate.decide.cycle import Cycle

TOGETHER = 5.0
"""Seconds for which the first step waits for those whose templates change with this one, and a promotion for those that
began while the steps went on still and were not heard of yet."""
MOST_MEMBERS = 32
TAKEN_BACK = "GroupTakenBack"
"""Reason of an attempt that was taken back with another one."""
WAITING = "GroupWaiting"
HELD = "GroupHeld"
"""The member that is waited for needs a person."""


def key_of(namespace: str, group: ReleaseGroup) -> str:
    """What the members of a group have in common; no namespace begins with a capital."""
    return key(namespace, group.environment or "", group.name)


def key(namespace: str, environment: str, name: str) -> str:
    """The same from its parts; `environment` may be empty."""
    return f"Environment/{environment}/{name}" if environment else f"{namespace}/{name}"


# --------------------------------------------------------------------------------------------------------------------
# What others see of a member
# --------------------------------------------------------------------------------------------------------------------


def peer(namespace: str, name: str, spec: RolloutSpec | None, status: RolloutStatus, group: str) -> PeerView:
    """A member as the others see it; `spec` is None if it cannot be read, `group` is the key of the group."""
    after = spec.group.after if spec is not None and spec.group is not None else []
    said = status.group if status.group is not None and status.group.group == group else None
    stalled = next((c for c in status.conditions if c.type == "Stalled" and c.status == "True"), None)
    paused = next((c for c in status.conditions if c.type == "Paused" and c.status == "True"), None)
    # Who waits for others needs nobody: two that wait for each other would need a person for ever.
    stalled = None if stalled is not None and stalled.reason == HELD else stalled
    told = stalled or paused
    return PeerView(
        namespace,
        name,
        after=tuple((a.namespace or namespace, a.name) for a in after),
        run=_run_of(status, said),
        verdict=_verdict_of(said),
        phase=status.phase,
        reason=told.reason if told is not None else "",
        stalled=stalled is not None,
    )


def leaving(seen: PeerView) -> PeerView:
    """The same of one that is deleted: it is not waited for, but what was said of it stands."""
    return replace(seen, run=None)


def _run_of(status: RolloutStatus, said: GroupProgress | None) -> PeerRun | None:
    run = journal.running(status)
    if run is None or run.fast:
        return None
    return PeerRun(
        since=to_epoch(run.since),
        finished=max(status.current_step_index, said.finished if said is not None else 0),
        steps=status.step_count,
        through=to_epoch(said.through) if said is not None and said.through else None,
        voted=said is not None and said.voted,
    )


def _verdict_of(said: GroupProgress | None) -> PeerVerdict | None:
    found = said.taken_back if said is not None else None
    if found is None:
        return None
    over = to_epoch(found.over)
    until = min(over, to_epoch(found.through)) if found.through else over
    return PeerVerdict(found.member, found.reason, to_epoch(found.since), until, over)


# --------------------------------------------------------------------------------------------------------------------
# What is wrong with a group
# --------------------------------------------------------------------------------------------------------------------


def faults(snapshot: Snapshot) -> list[str]:
    """Why this Rollout cannot take part, each naming its field."""
    view, group = snapshot.group, snapshot.spec.group
    if view is None or group is None:
        return []
    if view.problem:
        return [view.problem]
    if len(view.peers) >= MOST_MEMBERS:
        text = (
            f"spec.group.name: the group has {len(view.peers) + 1} members, and {MOST_MEMBERS} are the most; divide it"
        )
        return [text]
    return _cycle(snapshot, group)


def missing(snapshot: Snapshot) -> list[str]:
    """Predecessors that are not in the group, each naming its field."""
    view, group = snapshot.group, snapshot.spec.group
    if view is None or group is None or view.problem:
        return []
    there, mine = {(p.namespace, p.name) for p in view.peers}, (snapshot.meta.namespace, snapshot.meta.name)
    found = []
    for i, (space, name) in enumerate(_predecessors(snapshot)):
        if (space, name) not in there and (space, name) != mine:
            found.append(
                f'spec.group.after[{i}]: there is no Rollout "{_called(snapshot, space, name)}" in the group '
                f'"{group.name}"; put it into the group, or correct the name'
            )
    return found


def _predecessors(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    group = snapshot.spec.group
    return tuple((a.namespace or snapshot.meta.namespace, a.name) for a in group.after) if group is not None else ()


def _cycle(snapshot: Snapshot, group: ReleaseGroup) -> list[str]:
    """Whether it comes after itself, by way of others or not."""
    mine = (snapshot.meta.namespace, snapshot.meta.name)
    after = {(p.namespace, p.name): p.after for p in snapshot.group.peers} if snapshot.group is not None else {}
    after[mine] = _predecessors(snapshot)
    way: dict[tuple[str, str], tuple[str, str]] = {}
    todo = [mine]
    while todo:
        one = todo.pop()
        for before in after.get(one, ()):
            if before == mine:
                names = [mine]
                while one != mine:
                    names.append(one)
                    one = way[one]
                chain = " comes after ".join(_called(snapshot, *n) for n in [*names[:1], *reversed(names[1:]), mine])
                return [f'spec.group.after: {chain}, in the group "{group.name}"; remove one of them from after']
            if before not in way:
                way[before] = one
                todo.append(before)
    return []


def _called(snapshot: Snapshot, namespace: str, name: str) -> str:
    return name if namespace == snapshot.meta.namespace else f"{namespace}/{name}"


# --------------------------------------------------------------------------------------------------------------------
# Who is released together
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Span:
    """Between these two moments an attempt meets others."""

    since: float
    until: float

    def meets(self, other: _Span) -> bool:
        """Each began before the other was through."""
        return self.since <= other.until and other.since <= self.until


def _span(run: PeerRun) -> _Span:
    return _Span(run.since, math.inf if run.through is None else run.through)


def _mine(cycle: Cycle) -> _Span | None:
    """That of this Rollout; None if it takes no part now."""
    run = _run_of(cycle.status, cycle.status.group)
    return _span(run) if run is not None and cycle.status.group is not None else None


def _together(cycle: Cycle) -> Iterator[tuple[PeerView, PeerRun]]:
    """The others that are released with this one, by way of others, too."""
    mine, view = _mine(cycle), cycle.snapshot.group
    if mine is None or view is None:
        return
    left = [(p, p.run) for p in view.peers if p.run is not None]
    reached = [mine]
    while reached:
        span = reached.pop()
        for one in [o for o in left if span.meets(_span(o[1]))]:
            left.remove(one)
            reached.append(_span(one[1]))
            yield one


def _verdict(cycle: Cycle, mine: _Span) -> PeerVerdict | None:
    """The first verdict that was said of what is released with an attempt."""
    view = cycle.snapshot.group
    found = [p.verdict for p in view.peers if p.verdict is not None] if view is not None else []
    hit = [v for v in found if mine.meets(_Span(v.since, v.until))]
    return min(hit, key=lambda v: (v.over, v.member), default=None)


# --------------------------------------------------------------------------------------------------------------------
# What a member says
# --------------------------------------------------------------------------------------------------------------------


def enter(cycle: Cycle) -> None:
    """Keep what is said in step with the group that the spec names."""
    if cycle.snapshot.problems:
        return  # What it names is not known.
    group, known = cycle.snapshot.spec.group, cycle.status.group
    if group is None:
        if known is not None:
            cycle.change(group=None)
        return
    named = key_of(cycle.snapshot.meta.namespace, group)
    if known is None or known.group != named:
        cycle.change(group=GroupProgress(group=named))


def _say(cycle: Cycle, **updates: object) -> None:
    if cycle.status.group is not None:
        cycle.change(group=cycle.status.group.model_copy(update=updates))


def _takes_part(cycle: Cycle) -> GroupProgress | None:
    """What was said of the attempt under way; None if it takes no part."""
    run = journal.running(cycle.status)
    return cycle.status.group if run is not None and not run.fast else None


def finished(cycle: Cycle) -> int:
    """How many steps were said to be finished."""
    said = _takes_part(cycle)
    return said.finished if said is not None else 0


def finish(cycle: Cycle, count: int) -> bool:
    """Say that so many steps are finished; False if it takes no part. What was said before stands."""
    said = _takes_part(cycle)
    if said is not None and said.finished < count:
        _say(cycle, finished=count)
    return said is not None


def voted(cycle: Cycle) -> bool:
    """Others may have been promoted because of what it said: only the verdict of one of them takes it back."""
    said = _takes_part(cycle)
    return said is not None and said.voted


def verdict(cycle: Cycle, reason: str, cause: PeerVerdict | None = None) -> GroupVerdict | None:
    """What the others are told of an attempt that is taken back now, by itself or because of another member."""
    said, run = _takes_part(cycle), cycle.status.current
    if said is None or run is None:
        return None
    meta = cycle.snapshot.meta
    return GroupVerdict(
        member=cause.member if cause is not None else f"{meta.namespace}/{meta.name}",
        reason=cause.reason if cause is not None else reason,
        pod_hash=run.pod_hash,
        attempt=run.attempt,
        since=run.since,
        through=said.through,
        over=to_time(cause.over if cause is not None else cycle.now),
    )


def taken_back(cycle: Cycle) -> PeerVerdict | None:
    """The verdict of another member with which this attempt is taken back."""
    mine = _mine(cycle)
    return _verdict(cycle, mine) if mine is not None else None


def why_taken_back(cycle: Cycle, cause: PeerVerdict) -> str:
    """The same for people."""
    group = cycle.snapshot.spec.group
    namespace, _, name = cause.member.rpartition("/")
    name = _called(cycle.snapshot, namespace, name)
    return f'{name} was taken back ({cause.reason}), and the group "{group.name if group else ""}" goes back together'


# --------------------------------------------------------------------------------------------------------------------
# What a member waits for
# --------------------------------------------------------------------------------------------------------------------


def fault(cycle: Cycle) -> str:
    """Why nothing may be raised at any step: the group cannot be worked with. Empty if it can, or takes no part."""
    wrong = faults(cycle.snapshot) if _takes_part(cycle) is not None else []
    return wrong[0] if wrong else ""


def waits_to_begin(cycle: Cycle) -> str:
    """What an attempt waits for that has made nothing yet."""
    run = cycle.status.current
    if _takes_part(cycle) is None or run is None:
        return ""
    waits, ends = _before(cycle, 0), to_epoch(run.since) + TOGETHER
    if waits or cycle.now >= ends:
        return waits
    cycle.wake(ends)
    return f"it begins {TOGETHER:g} s later, with what else of its group is released"


def waits_for_step(cycle: Cycle, index: int) -> str:
    """What step `index` (counted from 0, their number being the promotion) waits for; the one before it is finished."""
    before = finished(cycle)
    if not finish(cycle, index):
        return ""
    waits = _before(cycle, index)
    if waits and before < index:
        cycle.note("Normal", WAITING, f"step {index} is done: {waits}")
    return waits


def waits_to_switch(cycle: Cycle, *, irrevocable: bool) -> str:
    """What the promotion waits for; all steps and gates have passed.

    Args:
        cycle: the decision.
        irrevocable: nothing leads back once it has begun, so the vote comes first.
    """
    said = _takes_part(cycle)
    if said is None or (said.voted and not irrevocable):
        return ""
    if said.through is None:
        said = said.model_copy(update={"through": to_time(cycle.now)})
        cycle.change(group=said)
    others = list(_together(cycle))
    waits = _until(cycle, lambda _, run: run.through is not None, "come through its steps and gates")
    if waits:
        return waits
    known = max([to_epoch(said.through or ""), *(run.through or 0.0 for _, run in others)])
    if cycle.now < known + TOGETHER:
        cycle.wake(known + TOGETHER)
        return f"all that is released together is through, and is promoted {TOGETHER:g} s later"
    if irrevocable:
        return waits_to_promote(cycle)
    first = _predecessors(cycle.snapshot)
    return _until(
        cycle, lambda one, run: run.voted or (one.namespace, one.name) not in first, "switch, which comes before this"
    )


def waits_to_promote(cycle: Cycle) -> str:
    """What is waited for by one that has switched, or is ready to if it cannot go back."""
    said = _takes_part(cycle)
    if said is None:
        return ""
    if not said.voted:
        _say(cycle, voted=True)
    waits = _until(cycle, lambda _, run: run.voted, "be ready for the promotion of all")
    if waits and not said.voted:
        cycle.note("Normal", WAITING, f"ready to be promoted: {waits}")
    return waits


def _before(cycle: Cycle, index: int) -> str:
    """What a step waits for: that all have finished the one before, and its predecessors the same."""
    first = _predecessors(cycle.snapshot)
    waits = _until(cycle, lambda _, run: run.finished >= min(index, run.steps), f"finish step {index}")
    return waits or _until(
        cycle,
        lambda one, run: (one.namespace, one.name) not in first or run.finished >= min(index + 1, run.steps),
        f"finish step {index + 1}, which comes before this one's",
    )


def _until(cycle: Cycle, done: Callable[[PeerView, PeerRun], bool], what: str) -> str:
    """Which of those that are released together is waited for, and why; the first needs a person most."""
    view = cycle.snapshot.group
    broken = [p for p in view.peers if p.broken] if view is not None else []
    if broken:
        text = f"waiting for {_named(cycle, broken)}, whose status cannot be read: {broken[0].broken}"
        cycle.stall(HELD, f"{text}; put it right, or take it out of the group")
        return text
    together = list(_together(cycle))
    doomed = [one for one, run in together if _verdict(cycle, _span(run)) is not None]
    if doomed:
        return f"{_named(cycle, doomed)} is about to be taken back"
    late = [one for one, run in together if not done(one, run)]
    if not late:
        return ""
    late.sort(key=lambda one: not one.stalled)
    state = late[0].phase + (f", {late[0].reason}" if late[0].reason else "")
    text = f"waiting for {_named(cycle, late)} to {what} ({state})"
    if late[0].stalled:
        cycle.stall(HELD, f"{text}; see to that one, or abort it, which takes back all that is released together")
    return text


def _named(cycle: Cycle, peers: list[PeerView]) -> str:
    more = f" and {len(peers) - 1} more" if len(peers) > 1 else ""
    return _called(cycle.snapshot, peers[0].namespace, peers[0].name) + more
