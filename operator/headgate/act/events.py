"""Records Kubernetes Events, best effort: bounded, repeated ones counted into a series, and never in anybody's way."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from headgate.act.errors import ApiError, NotFound, one_line
from headgate.act.kube import Kube
from headgate.act.resources import EVENTS, ROLLOUTS, api_version
from headgate.api.values import dataclass
from headgate.decide.types import EventNote, RolloutMeta
from headgate.telemetry.logs import logger

CONTROLLER = "headgate.dev/operator"
QUEUED = 1000
PER_MINUTE = 10
"""New Events for one Rollout in a minute; what is beyond is dropped, the log and the status have it."""
SERIES_SECONDS = 360.0
"""For how long the same Event counts as a repetition of the first one."""
REMEMBERED = 2000
LONGEST = 1000
"""The server takes 1,024 characters."""

log = logger(__name__)


@dataclass(slots=True)
class _Series:
    name: str
    count: int
    at: float


@dataclass(frozen=True, slots=True)
class _Pending:
    meta: RolloutMeta
    note: EventNote
    at: float


class Recorder:
    """Takes notes at once, sends them later."""

    def __init__(
        self,
        kube: Kube,
        *,
        instance: str,
        now: Callable[[], float],
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._kube = kube
        self._instance = instance[:128]
        self._now = now
        self._token = token
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue(QUEUED)
        self._series: OrderedDict[tuple[str, str, str, str], _Series] = OrderedDict()
        self._recent: OrderedDict[str, deque[float]] = OrderedDict()
        self.dropped = 0

    def record(self, meta: RolloutMeta, note: EventNote) -> None:
        """Take a note; never waits."""
        at = self._now()
        if not self._admit(meta.uid, at):
            self.dropped += 1
            return
        try:
            self._queue.put_nowait(_Pending(meta, note, at))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Send notes for ever; one that cannot be sent is dropped."""
        while True:
            pending = await self._queue.get()
            try:
                await self._send(pending)
            except ApiError as error:
                self.dropped += 1
                log.debug("event not recorded", reason=error.reason)

    async def _send(self, pending: _Pending) -> None:
        note = pending.note
        message = one_line(note.message, LONGEST)
        identity = (pending.meta.uid, note.type, note.reason, message)
        series = self._series.get(identity)
        if series is not None and pending.at - series.at < SERIES_SECONDS:
            series.count += 1
            series.at = pending.at
            patch = {"series": {"count": series.count, "lastObservedTime": _micro_time(pending.at)}}
            try:
                await self._kube.merge_patch(EVENTS, pending.meta.namespace, series.name, patch)
            except NotFound:
                del self._series[identity]
            else:
                return
        name = f"{pending.meta.name}.{self._token(8)}"
        await self._kube.create(EVENTS, pending.meta.namespace, self._body(pending, name, message))
        self._series[identity] = _Series(name, 1, pending.at)
        self._series.move_to_end(identity)
        if len(self._series) > REMEMBERED:
            self._series.popitem(last=False)

    def _body(self, pending: _Pending, name: str, message: str) -> dict[str, Any]:
        meta = pending.meta
        return {
            "apiVersion": api_version(EVENTS),
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": meta.namespace},
            "eventTime": _micro_time(pending.at),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "action": "Release",
            "type": pending.note.type,
            "reason": pending.note.reason[:128],
            "note": message,
            "regarding": {
                "apiVersion": api_version(ROLLOUTS),
                "kind": ROLLOUTS.kind,
                "namespace": meta.namespace,
                "name": meta.name,
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
            },
        }

    def _admit(self, uid: str, at: float) -> bool:
        recent = self._recent.setdefault(uid, deque())
        self._recent.move_to_end(uid)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        while recent and at - recent[0] > 60:  # noqa: PLR2004  a minute
            recent.popleft()
        if len(recent) >= PER_MINUTE:
            return False
        recent.append(at)
        return True


def _micro_time(epoch: float) -> str:
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
