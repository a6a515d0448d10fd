"""One cycle for one Rollout: snapshot, decision, journal, at most one write, and what follows from its outcome.

The order is the safety of the whole: an action that raises exposure, scales down or deletes is sent only after the
journal of the same decision was written; one that lowers exposure is sent first and waits for nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from headgate.act import carry, status
from headgate.act.context import Context
from headgate.act.errors import MAYBE_DONE, ApiError, Conflict, Invalid, NotFound, TooManyRequests
from headgate.act.events import Recorder
from headgate.act.kube import Kube, Object
from headgate.act.resources import ROLLOUTS, SERVICES
from headgate.api.rollout import Canary, RolloutStatus
from headgate.api.values import dataclass
from headgate.decide import managed, strategies, undecidable
from headgate.decide.invariants import Breach
from headgate.decide.journal import AT_REST
from headgate.decide.types import (
    Action,
    CreateConfigCopy,
    Decision,
    DeleteConfigCopy,
    EventNote,
    EvictPod,
    OutcomeKind,
    SetFinalizer,
    SetSelector,
    Snapshot,
)
from headgate.engine.cache import Cache
from headgate.engine.checks_runner import ChecksRunner
from headgate.engine.intake import Intake
from headgate.engine.ledger import CONFLICTS, LOOK_EVERY, Entry, Ledger
from headgate.engine.queue import FIRST_BACKOFF, Key, WorkQueue
from headgate.engine.reads import Reads
from headgate.engine.telling import tell
from headgate.observe import views
from headgate.observe.reading import Unreadable, part, readable_conditions
from headgate.observe.snapshot import Known, Observer
from headgate.telemetry import metrics
from headgate.telemetry.logs import logger
from headgate.traffic.protocol import Resource, Router

CONFLICT_PAUSE = 0.05
"""Seconds until the next try after a conflict: whoever wrote is often not done yet."""


log = logger(__name__)
Decide = Callable[[Snapshot, float], Decision]
Guard = Callable[[Snapshot, Action, RolloutStatus], list[Breach]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a cycle works with."""

    kube: Kube
    cache: Cache
    intake: Intake
    queue: WorkQueue
    observer: Observer
    routers: Mapping[str, Router]
    checks: ChecksRunner
    reads: Reads
    recorder: Recorder
    ledger: Ledger
    decide: Decide
    guard: Guard
    """What a decided write would break; it is the decision's own preconditions, looked at a second time."""
    now: Callable[[], float]
    may_write: Callable[[], bool]


class Cycle:
    """Evaluates Rollouts, one at a time for each key."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def evaluate(self, key: Key) -> None:
        """Look at one Rollout and do the next thing about it.

        Raises:
            Unreadable: if its journal cannot be read. Whatever keeps it from being decided about is raised, and told
                in its conditions before.
        """
        parts = self._parts
        if not parts.may_write():
            return  # Everything is marked dirty when this replica leads.
        now = parts.now()
        entry = self._entry(key)
        parts.ledger.looked_at(key)
        barred = parts.ledger.barred(key)
        try:
            snapshot = parts.observer.snapshot(key.namespace, key.name, now, self._known(key, entry, barred))
            if snapshot is None:
                self._forget(key)
                return
            decision = parts.decide(snapshot, now)
        except Exception as error:
            unread = isinstance(error, Unreadable)
            await self._explain(
                key, undecidable.unreadable(str(error)) if unread else undecidable.defect(type(error).__name__)
            )
            raise
        entry.poison = ""
        entry.active = decision.status.phase not in AT_REST
        if entry.active:
            parts.queue.add_after(key, LOOK_EVERY)
        if decision.wake_at is not None:
            # What cannot be written down now can so much less at the next moment.
            least = FIRST_BACKOFF if entry.conflicts else CONFLICT_PAUSE
            parts.queue.add_after(key, max(least, decision.wake_at - now))
        for remaining in barred.values():
            parts.queue.add_after(key, remaining)  # The decision may have taken something else in its place.
        if snapshot.meta.deleting and not snapshot.namespace_terminating:
            parts.reads.ask_namespace(key)
        await self._carry_through(key, snapshot, decision)
        parts.checks.ask(key, decision.questions)
        parts.reads.ask(key, decision.reads)

    async def _carry_through(self, key: Key, snapshot: Snapshot, decision: Decision) -> None:
        action, entry = decision.action, self._parts.ledger.of(key)
        looked, entry.looked = entry.looked, False  # What was read counts for the very next decision.
        if action is not None and action.exposure == "lower":
            await self._act(key, snapshot, action, decision.status)
            action = None
        if action is not None and await self._in_doubt(key):
            return
        if action is not None and not decision.write and not await self._journal_stands(key, snapshot, action):
            return
        if decision.write:
            written = await self._write(key, snapshot, decision)
            if written is None:
                return
            if isinstance(action, SetFinalizer):
                # The same object: the journal of this very cycle has just given it a new version.
                action = dataclasses.replace(action, resource_version=written["metadata"]["resourceVersion"])
        for note in decision.events:
            self._parts.recorder.record(snapshot.meta, note)
        if action is not None and (looked or not _looks(action) or not await self._look(key, snapshot, action)):
            await self._act(key, snapshot, action, decision.status)

    # ------------------------------------------------------------------------------------------------ journal

    async def _write(self, key: Key, snapshot: Snapshot, decision: Decision) -> Object | None:
        """Write the journal; None if it was not surely written, and the key comes again."""
        parts = self._parts
        if not parts.may_write():
            return None
        try:
            written = await status.write(parts.kube, snapshot.meta, decision.status)
        except ApiError as error:
            await self._not_written(key, snapshot, error)
            return None
        parts.observer.models.wrote_status(written, decision.status)
        parts.intake.take("Rollout", written)
        parts.checks.recorded(key, snapshot.answers)
        entry = parts.ledger.of(key)
        entry.conflicts, entry.journal_known = 0, True
        tell(key, snapshot.status, decision.status, decision.waiting, snapshot.spec.total)
        if decision.action is None:
            parts.queue.forget(key)
        return written

    async def _journal_stands(self, key: Key, snapshot: Snapshot, action: Action) -> bool:
        """Whether the journal that was decided from is the newest one; if not, the key comes again.

        A replica that begins to lead may have heard of the other objects, but not yet of what its predecessor wrote
        last: going on from an older journal it would expose again what was taken back. So it reads once.
        """
        parts = self._parts
        entry = parts.ledger.of(key)
        if entry.journal_known or isinstance(action, SetFinalizer):  # That one is refused if the Rollout changed.
            return True
        try:
            found = await parts.kube.get(ROLLOUTS, key.namespace, key.name)
        except ApiError as error:
            await self._not_written(key, snapshot, error)
            return False
        entry.journal_known = True
        if found["metadata"].get("resourceVersion") == snapshot.meta.resource_version:
            return True
        parts.intake.take("Rollout", found)
        parts.queue.add(key)
        return False

    async def _not_written(self, key: Key, snapshot: Snapshot, error: ApiError) -> None:
        parts = self._parts
        entry = parts.ledger.of(key)
        entry.journal_known = False
        if isinstance(error, NotFound):
            parts.intake.gone("Rollout", key.namespace, key.name, snapshot.meta.uid)
            parts.queue.add(key)
            return
        if isinstance(error, (Conflict, *MAYBE_DONE)):
            await self._read_rollout(key, snapshot)
        if isinstance(error, Conflict) and entry.conflicts < CONFLICTS:
            entry.conflicts += 1
            parts.queue.add_after(key, CONFLICT_PAUSE * entry.conflicts)
            return
        entry.conflicts += 1
        if isinstance(error, Invalid) and entry.conflicts > 1:  # Not by chance: it comes to the same each time.
            await self._explain(key, undecidable.refused(error.message))
        wait = error.retry_after if isinstance(error, TooManyRequests) else 0.0
        delay = parts.queue.add_rate_limited(key, wait)
        log.warning("status not written", rollout=str(key), reason=error.reason, message=error.message, retry_in=delay)

    async def _explain(self, key: Key, why: undecidable.Why) -> None:
        """Say in the conditions, once, why nothing is decided; what else the status holds stays as it is."""
        parts = self._parts
        obj = parts.cache.get("Rollout", *key)
        if obj is None or not parts.may_write():
            return
        meta, raw = views.rollout_meta(obj), part(obj, "status") or {}
        said = undecidable.fields(readable_conditions(raw), why, meta.generation, parts.now())
        if all(raw.get(name) == value for name, value in said.items()):
            return
        try:
            written = await status.write_raw(parts.kube, meta, {**raw, **said})
        except ApiError as error:
            log.warning("status not written", rollout=str(key), reason=error.reason, message=error.message)
            return
        parts.intake.take("Rollout", written)
        parts.recorder.record(meta, EventNote("Warning", why.reason, why.message))

    async def _read_rollout(self, key: Key, snapshot: Snapshot) -> None:
        parts = self._parts
        try:
            found = await parts.kube.get(ROLLOUTS, key.namespace, key.name)
        except NotFound:
            parts.intake.gone("Rollout", key.namespace, key.name, snapshot.meta.uid)
        except ApiError:
            return  # The watch will tell.
        else:
            parts.intake.take("Rollout", found)

    # ------------------------------------------------------------------------------------------------ action

    async def _in_doubt(self, key: Key) -> bool:
        """Whether an object may be another one than the cache says, because a write of it ended nobody knows how.

        It is read, and the key comes again. Until then only what lowers exposure is sent: a weight that is taken for
        0 and is not would be given to whatever the canary Service is pointed at next.
        """
        parts, doubts = self._parts, self._parts.ledger.of(key).doubts
        if not doubts:
            return False
        for (kind, name), resource in list(doubts.items()):
            reading = await self._read(key, resource, name)
            # A kind that was given up is listed anew when it is there again.
            given_up = kind in parts.cache.missing and parts.cache.get(kind, key.namespace, name) is None
            if reading.failed and not given_up:
                delay = parts.queue.add_rate_limited(key)
                log.warning("not known how a write ended", rollout=str(key), kind=kind, name=name, retry_in=delay)
                return True
            del doubts[kind, name]
        parts.queue.add(key)
        return True

    async def _look(self, key: Key, snapshot: Snapshot, action: Action) -> bool:
        """Whether routes and Services are read before this write; if so, the key comes again.

        A watch may not have told yet what somebody else has just put there.
        """
        parts = self._parts
        if snapshot.contenders or snapshot.namespace_terminating or parts.ledger.barred_for(key, action) > 0:
            return False
        services = (snapshot.stable_service, snapshot.canary_service)
        places = {(SERVICES, service.name) for service in services if service.found}
        routed = [(parts.routers[r.router].resource, r.name) for r in snapshot.routes if r.found]
        places |= {(resource, name) for resource, name in routed if resource.served}
        for resource, name in sorted(places, key=lambda place: (place[0].kind, place[1])):
            reading = await self._read(key, resource, name)
            if reading.failed and not (isinstance(action, SetFinalizer) and not action.patient):
                delay = parts.queue.add_rate_limited(key)
                log.warning("not read before a write", rollout=str(key), kind=resource.kind, name=name, retry_in=delay)
                return True
        parts.ledger.of(key).looked = True
        parts.queue.add(key)
        return True

    async def _read(self, key: Key, resource: Resource, name: str) -> carry.Reading:
        """Read one object for the cache."""
        reading = await carry.read(self._parts.kube, resource, key.namespace, name)
        self._learn(key, reading, self._uid(resource.kind, key.namespace, name))
        return reading

    def _learn(self, key: Key, found: carry.Result | carry.Reading, uid: str) -> None:
        """Give the cache what an answer told; `uid` is that of the target before."""
        for kind, obj in found.learned:
            self._parts.intake.take(kind, obj)
        for kind, name in found.gone:
            known = uid or self._uid(kind, key.namespace, name)
            if known:
                self._parts.intake.gone(kind, key.namespace, name, known)

    async def _act(self, key: Key, snapshot: Snapshot, action: Action, journal: RolloutStatus) -> None:
        parts = self._parts
        barred = parts.ledger.barred_for(key, action)
        if barred > 0:
            parts.queue.add_after(key, barred)
            return
        if not parts.may_write() or self._broken(key, snapshot, action, journal):
            return
        context = Context(
            parts.kube,
            parts.cache,
            parts.routers,
            snapshot.meta,
            _routed(snapshot),
            parts.now(),
        )
        name = str(getattr(action, "name", ""))
        uid = next((u for k in self._kinds(action) if (u := self._uid(k, key.namespace, name))), "")
        result = await carry.carry_out(context, action)
        self._learn(key, result, uid)
        if result.doubt is not None:
            parts.ledger.of(key).doubts[result.doubt.kind, name] = result.doubt
        if isinstance(action, EvictPod):
            parts.reads.forget_pods(key)  # Whatever became of it, what was read of them is of the time before.
        if isinstance(action, (CreateConfigCopy, DeleteConfigCopy)):
            parts.reads.wrote_config(key, action.kind, action.name, result.kind, result.view)
        if result.namespace_terminating:
            parts.reads.found(key).namespace_terminating = True
        outcome = parts.ledger.note(key, action, result.kind, result.reason, result.message, parts.now())
        report = log.info if result.kind is OutcomeKind.DONE else log.warning
        report(
            "write",
            rollout=str(key),
            action=action.key,
            exposure=action.exposure,
            outcome=str(result.kind),
            reason=result.reason,
            message=result.message,
            decision=journal.decision,
            row=outcome.count,
        )
        self._requeue(key, action, result)

    def _broken(self, key: Key, snapshot: Snapshot, action: Action, journal: RolloutStatus) -> bool:
        """Whether a write would break an invariant. Then it is not sent, and counts as refused: the status says so."""
        parts = self._parts
        breaches = parts.guard(snapshot, action, journal)
        if not breaches:
            return False
        for breach in breaches:
            metrics.invariant_broken(breach.rule.number)
        message = (
            f"it would break invariant {'; '.join(map(str, breaches))}. It was not sent; this is a defect of the "
            "operator, report it with its log"
        )
        parts.ledger.note(key, action, OutcomeKind.REFUSED, "InvariantBroken", message, parts.now())
        log.error("an invariant would break", rollout=str(key), action=action.key, message=message)
        parts.queue.add_after(key, parts.ledger.barred_for(key, action))
        return True

    def _requeue(self, key: Key, action: Action, result: carry.Result) -> None:
        """Look again: at once after a success, after a pause otherwise. Events only make it sooner."""
        parts = self._parts
        if result.kind is OutcomeKind.DONE:
            if parts.ledger.repeats(key, action):
                log.warning("an action is repeated without effect", rollout=str(key), action=action.key)
                parts.queue.add_rate_limited(key)
                return
            parts.queue.forget(key)
            parts.queue.add(key)
        elif result.kind is OutcomeKind.CONFLICT and parts.ledger.of(key).conflicts <= CONFLICTS:
            parts.queue.add_after(key, CONFLICT_PAUSE)
        elif result.kind is OutcomeKind.CONFLICT:
            parts.queue.add_rate_limited(key)
        else:
            parts.queue.add_after(key, max(result.retry_after, parts.ledger.barred_for(key, action), CONFLICT_PAUSE))

    # ------------------------------------------------------------------------------------------------ memory

    def _entry(self, key: Key) -> Entry:
        """What is remembered of this Rollout; of an earlier one of the same name it is forgotten."""
        ledger = self._parts.ledger
        obj = self._parts.cache.get("Rollout", *key)
        uid = str(obj["metadata"]["uid"]) if obj else ""
        entry = ledger.of(key)
        if entry.uid and uid and entry.uid != uid:
            self._forget(key, entry.uid)
            entry = ledger.of(key)
        entry.uid = uid or entry.uid
        return entry

    def _known(self, key: Key, entry: Entry, barred: Iterable[str]) -> Known:
        found = self._parts.reads.found(key)
        return Known(
            outcome=entry.outcome,
            barred=frozenset(barred),
            doubtful=frozenset(entry.doubts),
            written=entry.written,
            answers=self._parts.checks.answers(key),
            autoscalers=found.autoscalers,
            pod_causes=found.pod_causes,
            pods=found.pods,
            configuration=dict(found.configuration),
            namespace_terminating=found.namespace_terminating,
        )

    def _forget(self, key: Key, uid: str = "") -> None:
        parts = self._parts
        entry = parts.ledger.drop(key)
        parts.checks.drop(key)
        parts.reads.drop(key)
        parts.queue.drop(key)
        parts.observer.drop(uid or (entry.uid if entry else ""))
        metrics.rollout_gone(*key)

    def _uid(self, kind: str, namespace: str, name: str) -> str:
        obj = self._parts.cache.get(kind, namespace, name)
        return str(obj["metadata"]["uid"]) if obj else ""

    @staticmethod
    def _kinds(action: Action) -> tuple[str, ...]:
        resource, _ = carry.FAMILIES[type(action)]
        return (resource.kind if resource else str(getattr(action, "kind", "")),)


def _looks(action: Action) -> bool:
    """It counts on what others may have changed: after it nobody would take their requests back, or not at once."""
    return action.looks if isinstance(action, SetSelector) else isinstance(action, SetFinalizer) and not action.present


def _routed(snapshot: Snapshot) -> Canary | None:
    """What routers work with, as `observe` has read their objects by it."""
    canary = strategies.of(snapshot.spec).routed
    return managed.recorded(canary, snapshot.plans) if canary is not None else None


__all__ = ["Cycle", "Decide", "Parts", "Unreadable"]
