"""The operator's turn with each fate of each of its writes, in the order in which the engine carries a decision out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from headgate.decide import types as t
from tests.simulation.model import rules
from tests.simulation.model.journals import NOW, Journals
from tests.simulation.model.objects import Objects
from tests.simulation.model.state import Row, State
from tests.simulation.model.views import Sight, Views, sight
from tests.simulation.model.worlds import COST, World

Event = tuple[str, State, int]
"""What happens, the state after it, and what of the budget it takes."""
Decide = Callable[[t.Snapshot, float], t.Decision]
Step = Callable[[State, str], tuple[State, bool]]
"""One write with a fate: the state after it, and whether the turn goes on."""
SHUFFLED = 8
"""Each decision of so many is taken again on the same things in another order."""


class Choice(NamedTuple):
    """A decision and the number of its journal."""

    decision: t.Decision
    journal: int


class Operator:
    """The operator of one world."""

    def __init__(self, world: World, views: Views, journals: Journals, objects: Objects, decide: Decide) -> None:
        self._world = world
        self._decide = decide
        self._views = views
        self._journals = journals
        self._objects = objects
        self._choices: dict[Sight, Choice] = {}
        self._rules = rules.Rules(world, views, journals)

    @property
    def decisions(self) -> int:
        """Sights that were decided on."""
        return len(self._choices)

    def choice(self, seen: Sight) -> Choice:
        """What is decided on a sight."""
        found = self._choices.get(seen)
        if found is None:
            snapshot = self._views.snapshot(seen)
            decision = self._decide(snapshot, NOW)
            if len(self._choices) % SHUFFLED == 0:
                rules.same(decision, self._decide(self._views.shuffled(snapshot), NOW))
            self._rules.decision(snapshot, decision)
            number = self._journals.number(decision.status)
            # Of the status its normal form is kept: there are far fewer of these than decisions.
            kept = replace(decision, status=self._journals.status(number), events=())
            found = self._choices[seen] = Choice(kept, number)
        return found

    def turns(self, state: State) -> Iterator[Event]:
        """One turn with each fate."""
        seen = sight(state)
        chosen = self.choice(seen)
        if chosen.decision.write:
            yield from self._fates(state, seen, chosen, write=True)
            return
        yield from self._fates(state, seen, chosen, write=False)
        if chosen.journal != seen.wanted.journal:
            # Evidence is written at times: half a minute after the last write.
            yield from self._fates(state, seen, chosen, write=True)

    def _fates(self, state: State, seen: Sight, chosen: Choice, *, write: bool) -> Iterator[Event]:
        decision = chosen.decision
        action = decision.action and self._views.stored(seen, decision.action)

        def act(before: State, fate: str) -> tuple[State, bool]:
            assert action is not None
            return self._act(before, seen, chosen, action, fate), True

        def note(before: State, fate: str) -> tuple[State, bool]:
            return self._note(before, seen, chosen, fate)

        steps: list[tuple[str, Step]] = [("", note)] if write else []
        if action is not None:
            # What lowers exposure waits for nothing; everything else waits for the journal.
            steps.insert(0 if action.exposure == "lower" else len(steps), (self._objects.told(action), act))
        label = " + ".join(name or "journal" for name, _ in steps) or "asks"
        if state.doubt and action is not None and action.exposure != "lower":
            again = self._objects.read_again(state)
            yield f"operator: reads {', '.join(state.doubt)} again", self._asked(again, decision), 0
            return
        yield from self._carried(state, decision, label, steps)

    def _carried(
        self,
        state: State,
        decision: t.Decision,
        label: str,
        steps: list[tuple[str, Step]],
    ) -> Iterator[Event]:
        limits = self._world.budget
        before = state
        for index, (name, step) in enumerate(steps):
            what = name or "journal"
            for fate in ("conflict", "lost"):
                if fate in limits:
                    after, goes_on = step(before, fate)
                    after = self._rest(after, steps[index + 1 :] if goes_on else [])
                    yield f"operator: {label} ({what}: {fate})", self._asked(after, decision), COST[fate]
            before, goes_on = step(before, "")
            if not goes_on:
                break
            if "crash" in limits and index + 1 < len(steps):
                yield f"operator: {label} (killed after {what})", self._objects.killed(before), COST["crash"]
        yield f"operator: {label}", self._asked(before, decision), 0

    @staticmethod
    def _rest(state: State, steps: list[tuple[str, Step]]) -> State:
        for _, step in steps:
            state, goes_on = step(state, "")
            if not goes_on:
                break
        return state

    @staticmethod
    def _asked(state: State, decision: t.Decision) -> State:
        if not decision.questions:
            return state
        known = {a[:2] for a in state.answers}
        asked = tuple(sorted({*state.asked, *((q.key, q.number) for q in decision.questions)} - known))
        return state if asked == state.asked else state._replace(asked=asked)

    # ------------------------------------------------------------------------------------------------ journal

    def _note(self, state: State, seen: Sight, chosen: Choice, fate: str) -> tuple[State, bool]:
        """The write of the status; whether the turn goes on."""
        if state.seen.wanted is not None or fate == "conflict":
            # Refused for its version; the Rollout is read, so that it is seen as it is.
            return state._replace(seen=state.seen._replace(wanted=None)), False
        before = state.wanted
        self._rules.journal(state, seen, chosen.decision)
        written = before._replace(journal=chosen.journal)
        if fate == "lost":
            unseen = state.seen._replace(wanted=before)
            return self._recorded(state._replace(wanted=written, seen=unseen), chosen.decision, keep=True), False
        return self._recorded(state._replace(wanted=written), chosen.decision, keep=False), True

    def _recorded(self, state: State, decision: t.Decision, *, keep: bool) -> State:
        """Answers are forgotten once a status that was written records them; those to an earlier gate are none."""
        gates = decision.status.gates
        prefixes = tuple(f"uid/{g.name}/{g.step}/{g.pod_hash}/{g.attempt}/{g.window}/" for g in gates)
        undecided = tuple(p for p, g in zip(prefixes, gates, strict=True) if g.verdict not in ("Pass", "Fail"))
        return state._replace(
            asked=tuple(a for a in state.asked if a[0].startswith(prefixes)),
            answers=state.answers if keep else (),
            proof=tuple(p for p in state.proof if p.startswith(undecided)),
        )

    # ------------------------------------------------------------------------------------------------ action

    def _act(self, state: State, seen: Sight, chosen: Choice, action: t.Action, fate: str) -> State:
        key = action.key
        if state.row is not None and state.row.barred and state.row.key == key:
            return state  # It failed lately; nothing is sent.
        if state.route.refuses and isinstance(action, t.SetWeight):
            return _failed(state, key, refused=True)
        if fate == "conflict" or not self._objects.current(state, action):
            return self._objects.learned(state, action)
        stands = not chosen.decision.write or state.wanted.journal == chosen.journal
        self._rules.action(state, seen, chosen.decision, stands=stands)
        after = self._objects.applied(state, action)
        if fate == "lost":
            return _failed(self._objects.unlearned(state, after, action), key, refused=False)
        row = state.row
        if row is not None and row.key == key:
            row = None
        elif row is not None and row.last:
            row = row._replace(last=False) if row.barred or state.route.refuses else None
        return self._objects.learned(after, action)._replace(row=row)


def _failed(state: State, key: str, *, refused: bool) -> State:
    row = state.row
    if row is None or row.key != key:
        return state._replace(row=Row(key, refused, 0, spread=False, times=1, barred=True, last=True))
    return state._replace(
        row=row._replace(
            refused=refused, spread=row.spread or row.age > 0, times=min(6, row.times + 1), barred=True, last=True
        )
    )
