"""Reads on demand what is not worth watching: why pods do not come up, who scales a workload, what pods are to read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.act.errors import ApiError, Forbidden, NotFound, one_line
from headgate.act.kube import Kube, Object
from headgate.act.resources import AUTOSCALERS, CONFIG_KINDS, NAMESPACES, PODS
from headgate.api.common import LABEL_REVISION, LABEL_ROLLOUT
from headgate.decide.types import AutoscalerView, ConfigView, OutcomeKind, PodsView, ReadKind, ReadQuestion
from headgate.engine.queue import Key
from headgate.observe import views
from headgate.telemetry.logs import logger

EVERY = 30.0
"""Seconds between two reads of the same thing."""
KEPT = 900.0
"""Seconds that what was read of the configuration is known, unless it is read again."""
PODS_LOOKED_AT = 20
NAMESPACE = "Namespace"

log = logger(__name__)


@dataclass(slots=True)
class Found:
    """What was read for one Rollout."""

    pod_causes: dict[str, str] = field(default_factory=dict)
    autoscalers: tuple[AutoscalerView, ...] | None = None
    pods: PodsView | None = None
    configuration: dict[str, ConfigView] = field(default_factory=dict)
    """By `kind/name`; of Secrets, too, so it holds digests and no more."""
    namespace_terminating: bool = False
    _at: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Reads:
    """What was read on demand, by Rollout."""

    def __init__(
        self,
        kube: Kube,
        *,
        on_answer: Callable[[Key], None],
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._kube = kube
        self._now = now
        self._on_answer = on_answer
        self._monotonic = monotonic
        self._found: dict[Key, Found] = {}

    def found(self, key: Key) -> Found:
        """What is known about a Rollout."""
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = Found()
        return found

    def ask(self, key: Key, questions: Iterable[ReadQuestion]) -> None:
        """Read what was not read lately; does not wait."""
        for question in questions:
            self._start(key, str(question.kind), question.target, question.labels, question.occasion)

    def ask_namespace(self, key: Key) -> None:
        """Look whether the namespace is being deleted; does not wait."""
        self._start(key, NAMESPACE, "")

    def forget_pods(self, key: Key) -> None:
        """Take that a workload's pods are not any more what was read of them."""
        found = self.found(key)
        found.pods = None
        found._at = {k: at for k, at in found._at.items() if k[0] != ReadKind.WORKLOAD_PODS}  # noqa: SLF001

    def wrote_config(self, key: Key, kind: str, name: str, became: OutcomeKind, written: Object | None) -> None:
        """Take what became of a write of a ConfigMap or Secret; if nobody knows, what was read counts no more."""
        found = self.found(key)
        if became is OutcomeKind.REFUSED:
            return
        if became is OutcomeKind.DONE:
            now, known = self._now(), f"{kind}/{name}"
            gone = ConfigView(kind, name, now)
            found.configuration[known] = views.config(kind, written, now) if written is not None else gone
            return
        found.configuration.clear()
        found._at = {k: at for k, at in found._at.items() if k[0] != ReadKind.CONFIG}  # noqa: SLF001

    def drop(self, key: Key) -> None:
        """Forget a Rollout."""
        found = self._found.pop(key, None)
        for task in found._tasks if found else ():  # noqa: SLF001  its own record
            task.cancel()

    def _start(self, key: Key, kind: str, target: str, labels: str = "", occasion: str = "") -> None:
        found = self.found(key)
        now = self._monotonic()
        if kind == ReadKind.WORKLOAD_PODS:
            # Each version of the workload is a target of its own.
            found._at = {k: at for k, at in found._at.items() if k[0] != kind or k[1] == target}  # noqa: SLF001
        if kind == ReadKind.CONFIG:
            _forget_old(found, now)
        if now - found._at.get((kind, target, occasion), float("-inf")) < EVERY:  # noqa: SLF001
            return
        found._at[kind, target, occasion] = now  # noqa: SLF001
        task = asyncio.get_running_loop().create_task(self._read(key, found, kind, target, labels), name=f"read {key}")
        found._tasks.add(task)  # noqa: SLF001
        task.add_done_callback(found._tasks.discard)  # noqa: SLF001

    async def _read(self, key: Key, found: Found, kind: str, target: str, labels: str) -> None:
        if kind == ReadKind.CONFIG:
            await self._read_config(key, found, target)
            return
        before = (dict(found.pod_causes), found.autoscalers, found.pods, found.namespace_terminating)
        try:
            if kind == ReadKind.PODS:
                found.pod_causes[target] = await self._why(key, target, labels)
            elif kind == ReadKind.WORKLOAD_PODS:
                listing = await self._kube.list(PODS, key.namespace, labels=labels)
                found.pods = PodsView(target, tuple(views.pod(p) for p in listing.items))
            elif kind == ReadKind.AUTOSCALERS:
                found.autoscalers = await self._scalers(key, target)
            else:
                obj = await self._kube.get(NAMESPACES, None, key.namespace)
                found.namespace_terminating = bool((obj.get("metadata") or {}).get("deletionTimestamp"))
        except ApiError as error:
            log.warning("read on demand failed", kind=kind, rollout=str(key), reason=error.reason)
            return
        if before != (found.pod_causes, found.autoscalers, found.pods, found.namespace_terminating):
            self._on_answer(key)

    async def _read_config(self, key: Key, found: Found, target: str) -> None:
        kind, _, name = target.partition("/")
        at = self._now()
        try:
            obj = await self._kube.get(CONFIG_KINDS[kind], key.namespace, name)
        except NotFound:
            view = ConfigView(kind, name, at)
        except Forbidden as error:
            view = ConfigView(kind, name, at, problem=error.message)
        except ApiError as error:
            log.warning("read on demand failed", kind=kind, rollout=str(key), reason=error.reason)
            return
        else:
            view = views.config(kind, obj, at)
        known = found.configuration.get(target)
        if known is None or known.at <= at:  # Else it was read again, or written, meanwhile.
            found.configuration[target] = view
        self._on_answer(key)

    async def _why(self, key: Key, pod_hash: str, labels: str) -> str:
        labels = labels or f"{LABEL_ROLLOUT}={key.name},{LABEL_REVISION}={pod_hash}"
        listing = await self._kube.list(PODS, key.namespace, labels=labels, limit=PODS_LOOKED_AT)
        causes: dict[str, int] = {}
        for pod in listing.items:
            cause = cause_of(pod)
            if cause:
                causes[cause] = causes.get(cause, 0) + 1
        if not causes:
            return "" if listing.items else f"no pods of {pod_hash} were created yet"
        cause, count = max(causes.items(), key=lambda c: (c[1], c[0]))
        return f"{count} of {len(listing.items)} pods of {pod_hash}: {cause}"

    async def _scalers(self, key: Key, name: str) -> tuple[AutoscalerView, ...]:
        listing = await self._kube.list(AUTOSCALERS, key.namespace)
        names = []
        for obj in listing.items:
            target = (obj.get("spec") or {}).get("scaleTargetRef") or {}
            if target.get("kind") == "Deployment" and target.get("name") == name:
                names.append(str(obj["metadata"]["name"]))
        return tuple(AutoscalerView(n) for n in sorted(names))


def _forget_old(found: Found, now: float) -> None:
    """What was read for revisions that are long gone is not kept."""
    found._at = {k: at for k, at in found._at.items() if k[0] != ReadKind.CONFIG or now - at < KEPT}  # noqa: SLF001
    read = {k[1] for k in found._at if k[0] == ReadKind.CONFIG}  # noqa: SLF001
    for target in [t for t in found.configuration if t not in read]:
        del found.configuration[target]


def cause_of(pod: Mapping[str, Any]) -> str:
    """Why a pod is not ready, in Kubernetes' words; never in the words of the program in it."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return one_line(f"{condition.get('reason')}: {condition.get('message')}", 200)
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        cause = _container_cause(container)
        if cause:
            return f"container {container.get('name')}: {cause}"
    ready: Mapping[str, Any] = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), {})
    if status.get("phase") == "Running" and ready.get("status") == "False":
        return "running, but the readiness probe does not pass"
    return ""


def _container_cause(container: Mapping[str, Any]) -> str:
    state, last = container.get("state") or {}, container.get("lastState") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or last.get("terminated") or {}
    died = f"{ended.get('reason')}, exit code {ended.get('exitCode')}" if ended.get("exitCode") else ""
    reason = str(waiting.get("reason") or "")
    if reason == "CrashLoopBackOff" and died:
        return f"CrashLoopBackOff ({died})"
    if reason and reason not in ("ContainerCreating", "PodInitializing"):
        return one_line(f"{reason}: {waiting.get('message') or ''}".rstrip(": "), 200)
    return died
