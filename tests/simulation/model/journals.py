"""Journals in a normal form: what decides nothing is left out, and times are ages, so that they are finitely many."""

from __future__ import annotations

from typing import Any

from headgate.api.common import Condition, to_time
from headgate.api.gate import GateRun, Measurement
from headgate.api.rollout import RevisionRef, RolloutStatus
from headgate.decide.asking import BACKGROUND
from headgate.decide.journal import JOURNAL_CONDITIONS, change
from tests.simulation.model.worlds import TICK, World

NOW = 1_800_000_000.0
OLD = 2
"""Ticks after which nothing is older: longer than every delay of the worlds, and than the patience of a hand-back."""
TIMES = tuple(to_time(NOW - age * TICK) for age in range(OLD + 1))
AGES = {time: age for age, time in enumerate(TIMES)}
NOW_TEXT = TIMES[0]
LEFT_OUT = frozenset(
    {
        "decision",
        "message",
        "hold_message",
        "step",
        "step_count",
        "replicas",
        "ready_replicas",
        "available_replicas",
        "updated_replicas",
        "selector",
        "written_at",
        "restart",
        "restarted_at",
        "group",
    }
)
"""Fields of a journal that decide nothing, or whose part another event plays; no Rollout here is in a group."""
KEPT = frozenset(
    {
        "phase",
        "observed_generation",
        "stable",
        "stable_ping_pong",
        "current",
        "target",
        "current_step_index",
        "step_started_at",
        "step_timer",
        "progress_since",
        "weights",
        "paused",
        "hotfix",
        "collision_count",
        "workload",
        "orphaned",
        "conditions",
        "gates",
        "rejected",
        "actions",
        "history",
    }
)
"""Fields by which journals differ here."""
ENDLESS = 3
"""Measurements after which a background gate that passes asks no more. It may take them at any time."""


class Journals:
    """All journals of one exploration, each by a number."""

    def __init__(self, world: World) -> None:
        self._retains = world.delay > 0
        self._timed = world.timed
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._statuses: list[RolloutStatus] = []
        self._aged: dict[int, int] = {}
        self._outdated: dict[int, int] = {}
        self._forgotten: dict[tuple[int, str], int] = {}

    def __len__(self) -> int:
        return len(self._statuses)

    def status(self, number: int) -> RolloutStatus:
        """A journal as `decide` reads it."""
        return self._statuses[number]

    def number(self, status: RolloutStatus) -> int:
        """The number of a journal."""
        key = self._key(status)
        found = self._numbers.get(key)
        if found is None:
            found = len(self._statuses)
            self._numbers[key] = found
            self._statuses.append(self._normal(status))
        return found

    def aged(self, number: int) -> int:
        """The same journal a tick later."""
        found = self._aged.get(number)
        if found is None:
            found = self._aged[number] = self.number(_shifted(self._statuses[number]))
        return found

    def outdated(self, number: int) -> int:
        """The same journal after the spec has changed."""
        found = self._outdated.get(number)
        if found is None:
            found = self._outdated[number] = self.number(change(self._statuses[number], observed_generation=0))
        return found

    def forgotten(self, number: int, uid: str) -> int:
        """The same journal without an act that nobody can see any more."""
        found = self._forgotten.get((number, uid))
        if found is None:
            status = self._statuses[number]
            kept = [a for a in status.actions if a.uid != uid]
            found = self._forgotten[number, uid] = self.number(change(status, actions=kept))
        return found

    def _since(self, time: str | None, *, matters: bool) -> int:
        return -1 if time is None else AGES[time] if matters else 0

    def _lasts(self, status: RolloutStatus) -> bool:
        """How long the step lasts makes a difference."""
        return self._timed or status.phase == "Terminating"

    def _key(self, status: RolloutStatus) -> tuple[Any, ...]:
        lasts = self._lasts(status)
        return (
            status.phase,
            status.observed_generation,
            self._ref(status.stable),
            status.stable_ping_pong,
            self._ref(status.current),
            self._ref(status.target),
            status.current_step_index,
            self._since(status.step_started_at, matters=lasts),
            self._since(status.progress_since, matters=self._timed),
            status.step_timer
            and (
                status.step_timer.ran_out,
                self._since(status.step_timer.since, matters=status.step_timer.ran_out is None),
            ),
            (status.weights.desired, status.weights.observed, status.weights.applied, status.weights.reasserted),
            tuple(status.weights.routes or ()),
            status.weights.stable_follows,
            status.paused is not None,
            status.hotfix is not None,
            status.collision_count,
            status.workload and (status.workload.adopted, status.workload.reasserted, status.workload.revision),
            status.orphaned,
            tuple((c.type, c.status, c.reason) for c in status.conditions if c.type in JOURNAL_CONDITIONS),
            tuple(_gate_key(g) for g in status.gates),
            tuple((r.pod_hash, r.attempt, r.reason) for r in status.rejected),
            tuple((a.uid, a.accepted) for a in status.actions),
            tuple(
                (h.pod_hash, h.attempt, h.outcome, self._since(h.finished_at, matters=self._retains))
                for h in status.history
            ),
        )

    def _ref(self, ref: RevisionRef | None) -> tuple[Any, ...] | None:
        if ref is None:
            return None
        return ref.pod_hash, ref.attempt, ref.fast, self._since(ref.since, matters=self._retains)

    def _normal(self, status: RolloutStatus) -> RolloutStatus:
        lasts = self._lasts(status)
        ref = self._normal_ref
        return change(
            status,
            decision=0,
            message="because",
            stable=ref(status.stable),
            current=ref(status.current),
            target=ref(status.target),
            step_count=0,
            step="",
            step_started_at=status.step_started_at if lasts else status.step_started_at and NOW_TEXT,
            step_timer=status.step_timer
            and status.step_timer.model_copy(update={"since": NOW_TEXT} if status.step_timer.ran_out else {}),
            progress_since=status.progress_since if self._timed else status.progress_since and NOW_TEXT,
            hold_message="",
            weights=status.weights.model_copy(
                update={"reasserted_at": NOW_TEXT if status.weights.reasserted_at else None}
            ),
            paused=status.paused and status.paused.model_copy(update={"since": NOW_TEXT}),
            hotfix=status.hotfix and status.hotfix.model_copy(update={"since": NOW_TEXT}),
            replicas=0,
            ready_replicas=0,
            available_replicas=0,
            updated_replicas=0,
            selector="",
            conditions=[_bare(c) for c in status.conditions if c.type in JOURNAL_CONDITIONS],
            gates=[_normal_gate(g) for g in status.gates],
            rejected=[r.model_copy(update={"at": NOW_TEXT, "message": ""}) for r in status.rejected],
            actions=[a.model_copy(update={"at": NOW_TEXT, "message": ""}) for a in status.actions],
            history=[
                h.model_copy(
                    update={
                        "message": "",
                        "started_at": NOW_TEXT,
                        "finished_at": h.finished_at if self._retains else NOW_TEXT,
                    }
                )
                for h in status.history
            ],
            # Evidence alone is not due; that it may be at any time is an event of its own.
            written_at=NOW_TEXT,
        )

    def _normal_ref(self, ref: RevisionRef | None) -> RevisionRef | None:
        return ref if ref is None or self._retains else ref.model_copy(update={"since": NOW_TEXT})


def _bare(condition: Condition) -> Condition:
    return condition.model_copy(update={"message": "because", "last_transition_time": NOW_TEXT})


def _over(gate: GateRun) -> bool:
    return gate.verdict == "Fail" or (gate.verdict == "Pass" and gate.step != BACKGROUND)


def _gate_key(gate: GateRun) -> tuple[Any, ...]:
    name = (gate.name, gate.step, gate.pod_hash, gate.attempt, gate.window, gate.verdict)
    if _over(gate):
        return name
    return (
        *name,
        min(1, AGES[gate.started_at]),
        gate.extended,
        gate.held,
        bool(gate.overridden),
        tuple(
            (
                min(c.asked, ENDLESS) if gate.step == BACKGROUND else c.asked,
                -1 if c.asked_at is None else min(1, AGES[c.asked_at]),
                min(1, c.passes),
                c.failures,
                c.unknowns,
                c.errors,
                c.consecutive_errors,
                c.measurements[-1].verdict if c.measurements else "",
            )
            for c in gate.checks
        ),
    )


def _normal_gate(gate: GateRun) -> GateRun:
    if _over(gate):
        return gate.model_copy(
            update={"message": "", "checks": [], "started_at": NOW_TEXT, "decided_at": NOW_TEXT, "extended": False}
        )
    checks = [
        c.model_copy(
            update={
                "asked": min(c.asked, ENDLESS) if gate.step == BACKGROUND else c.asked,
                "asked_at": _young(c.asked_at),
                "passes": min(1, c.passes),
                "query": "",
                "measurements": [_plain(m) for m in c.measurements[-1:]],
            }
        )
        for c in gate.checks
    ]
    return gate.model_copy(
        update={
            "message": "",
            "checks": checks,
            "started_at": _young(gate.started_at),
            "decided_at": gate.decided_at and NOW_TEXT,
        }
    )


def _plain(measurement: Measurement) -> Measurement:
    return measurement.model_copy(update={"at": NOW_TEXT})


def _young(time: str | None) -> str | None:
    """A gate asks every tick: what is longer ago makes no difference."""
    return None if time is None else TIMES[min(1, AGES[time])]


def _shifted(status: RolloutStatus) -> RolloutStatus:
    def later(time: str | None) -> str | None:
        return None if time is None else TIMES[min(OLD, AGES[time] + 1)]

    def ref(found: RevisionRef | None) -> RevisionRef | None:
        return found and found.model_copy(update={"since": later(found.since)})

    gates = [
        g
        if g.step == BACKGROUND and g.verdict == "Pass" and all(c.asked >= ENDLESS for c in g.checks)
        else g.model_copy(
            update={
                "started_at": later(g.started_at),
                "checks": [c.model_copy(update={"asked_at": later(c.asked_at)}) for c in g.checks],
            }
        )
        for g in status.gates
    ]
    return change(
        status,
        stable=ref(status.stable),
        current=ref(status.current),
        target=ref(status.target),
        step_started_at=later(status.step_started_at),
        step_timer=status.step_timer and status.step_timer.model_copy(update={"since": later(status.step_timer.since)}),
        progress_since=later(status.progress_since),
        gates=gates,
        history=[h.model_copy(update={"finished_at": later(h.finished_at)}) for h in status.history],
    )
