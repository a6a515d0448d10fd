"""Follows one Rollout: every version of its status, with the time at which it came by."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from hack.lib.hgdemo.cluster import Cluster
from hack.lib.hgdemo.waiting import until
from headgate.api.gate import GateRun
from headgate.api.rollout import RolloutStatus

AT_REST = ("Healthy", "Degraded")


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of a Rollout."""

    at: float
    version: str
    generation: int
    deleted: bool
    status: RolloutStatus

    @property
    def line(self) -> str:
        """Where it is and why, for messages."""
        state = self.status
        return (
            f"{state.phase}, step {state.step or '-'}, weight {state.weights.observed} of {state.weights.desired}, "
            f"stable {state.stable.pod_hash if state.stable else '-'}, current "
            f"{state.current.pod_hash if state.current else '-'}: {state.message}"
        )

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        for each in self.status.conditions:
            if each.type == kind:
                return each.status, each.reason, each.message
        return "", "", ""


@dataclass
class Watch:
    """Reads a Rollout's watch stream in a thread of its own until it is closed."""

    cluster: Cluster
    namespace: str
    name: str
    seen: list[Seen] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _process: subprocess.Popen[str] | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._follow, daemon=True, name=f"watch-{self.namespace}")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        if self._thread is not None:
            self._thread.join(timeout=10)

    @property
    def last(self) -> Seen | None:
        """The newest version."""
        return self.seen[-1] if self.seen else None

    def until(self, what: str, check: Callable[[Seen], bool], *, timeout: float) -> Seen:
        """Wait until the newest version satisfies something.

        Raises:
            Trouble: if it does not in time; says where the Rollout is instead.
        """

        def look() -> Seen | None:
            newest = self.last
            return newest if newest is not None and not newest.deleted and check(newest) else None

        return until(
            f"{self.namespace}/{self.name}: {what}",
            look,
            timeout=timeout,
            seen=lambda: self.last.line if self.last else "no status at all",
            pause=0.1,
        )

    def at_rest(self, generation: int, *, timeout: float) -> Seen:
        """Wait until the release of the Deployment's generation has come to its end."""
        return self.until(f"the end of the release of generation {generation}", over(generation), timeout=timeout)

    def since(self, at: float) -> list[Seen]:
        """The versions that came by from this moment on."""
        return [each for each in tuple(self.seen) if each.at >= at]

    def gates(self, pod_hash: str) -> list[GateRun]:
        """The newest known state of every gate run of a revision; the status forgets a run when the next begins."""
        newest: dict[tuple[str, int, int, int], GateRun] = {}
        for each in tuple(self.seen):
            for run in each.status.gates:
                if run.pod_hash == pod_hash:
                    newest[run.name, run.step, run.attempt, run.window] = run
        return list(newest.values())

    # -- the stream ---------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        words = ["kubectl", "get", "rollouts.headgate.dev", f"--namespace={self.namespace}", "--watch"]
        words += [f"--field-selector=metadata.name={self.name}", "--output-watch-events", "-o", "json"]
        while not self._ended.is_set():
            self._process = subprocess.Popen(
                words,
                env=dict(self.cluster.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            with self._process as process:
                for event in _objects(process):
                    self._take(event)
            self._ended.wait(0.5)

    def _take(self, event: dict[str, Any]) -> None:
        found = event.get("object") or {}
        if found.get("kind") != "Rollout":
            return
        meta = found["metadata"]
        if any(each.version == meta["resourceVersion"] for each in self.seen[-3:]):
            return
        self.seen.append(
            Seen(
                at=time.time(),
                version=meta["resourceVersion"],
                generation=meta["generation"],
                deleted=event.get("type") == "DELETED",
                status=RolloutStatus.model_validate(found.get("status") or {}),
            )
        )


def over(generation: int) -> Callable[[Seen], bool]:
    """Whether the release of a generation of the Deployment has ended, and traffic is where it belongs."""

    def check(each: Seen) -> bool:
        workload = each.status.workload
        return workload is not None and workload.observed_generation >= generation and each.status.phase in AT_REST

    return check


def _objects(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream, as they come; each ends with a line."""
    text = ""
    assert process.stdout is not None  # noqa: S101 - it was asked for.
    for line in process.stdout:
        text += line
        try:
            found = json.loads(text)
        except json.JSONDecodeError:
            continue
        text = ""
        yield found
