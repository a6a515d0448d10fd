"""Plans: one scenario, one point in it, one fault; made from what the operator was recorded to do in clean runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hack.lib.hgprove.faults.calls import Call
from hack.lib.hgprove.faults.scenarios import App
from hack.lib.hgprove.faults.streams import SILENCE, STREAMS, WHOLE
from hack.lib.hgprove.faults.writes import CRASHES, SLOW_SECONDS, THROTTLE_SECONDS

OPERATOR_TIMEOUT = 10.0
"""After which the operator gives a request up."""
INACTIVITY = 80.0
"""After which the operator has surely left a stream that says nothing, not even a bookmark; kopf leaves after 70."""
WHILE = ("conflict", "forbidden", "unavailable")
"""Faults of writes that are also injected for a while: the same write meets them again and again."""
ONCE = (
    "conflict",
    "invalid",
    "throttled-1",
    "throttled-long",
    "failed",
    "failed-applied",
    "unavailable",
    "gateway-timeout",
    "refused",
    "timeout",
    "timeout-applied",
    "slow",
    "body-cut",
    "forbidden",
)
WATCHED = (
    "rollouts",
    "qualitygates",
    "rolloutactions",
    "replicasets",
    "controllerrevisions",
    "services",
    "endpointslices",
    "httproutes",
)
ALL_BUT_ROLLOUTS = "all-but-rollouts"
EVERYTHING = "everything"
OUT_OF_STEP = "watch-delayed"
GATED = ("promote", "gate-fails", "gate-unknown")
ACTED = ("abort", "new-revision", "pause-resume")
USED_BY = {"qualitygates": GATED, "rolloutactions": ACTED}
"""Streams that only some scenarios depend on."""


@dataclass(frozen=True, slots=True)
class Point:
    """One write of a scenario, whatever the application is called: what, and which one of the same."""

    what: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.what}#{self.occurrence}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is injected where."""

    scenario: str
    point: Point
    """The write that meets the fault, or at which the fault of a stream begins."""
    fault: str
    stream: str = ""
    """Resource whose streams meet it; empty for a fault of the write itself."""

    @property
    def id(self) -> str:
        """The name by which it can be repeated: `promote|patch httproutes/APP#2|timeout`."""
        return "|".join([self.scenario, str(self.point), *([self.stream] if self.stream else []), self.fault])

    @property
    def alone(self) -> bool:
        """Whether it needs an operator for itself: a crash, or a fault that others would feel."""
        return bool(self.stream) or self.fault in CRASHES

    @property
    def resources(self) -> Sequence[str]:
        """Whose streams."""
        if self.stream == ALL_BUT_ROLLOUTS:
            return [resource for resource in WATCHED if resource != "rollouts"]
        return [self.stream]

    @property
    def takes_kind_away(self) -> bool:
        """Whether the server says that it does not know a kind."""
        return self.fault == "unserved" or self.fault.startswith("list-not-found")

    @property
    def ends_watch(self) -> bool:
        """Whether kopf has no answer to it but to end: a list that is not found or gone, an ERROR, a broken line."""
        named = ("watch-error", "watch-truncated", "unserved")
        return self.fault in named or self.fault.startswith(("list-not-found", "list-gone"))

    @property
    def ends_operator(self) -> bool:
        """Whether the process may end in it: it is killed, or has no API server for as long as its Lease lasts."""
        return self.fault in CRASHES or self.stream == EVERYTHING

    @property
    def kind(self) -> str:
        """The group in the report."""
        return self.fault

    def seconds(self, while_seconds: float) -> float:
        """How long its fault lasts."""
        if self.fault == SILENCE:
            return INACTIVITY
        if self.fault.endswith("-while") or (self.stream and not self.fault.endswith("-once")):
            return while_seconds * (4 if self.fault == OUT_OF_STEP else 1)
        once = {"slow": SLOW_SECONDS, "throttled-long": THROTTLE_SECONDS, "throttled-1": 1.0}
        return (
            OPERATOR_TIMEOUT if "timeout" in self.fault and "gateway" not in self.fault else once.get(self.fault, 0.0)
        )


def points_of(app: App, calls: Iterable[Call]) -> list[Point]:
    """The writes of one application, in order."""
    seen: Counter[str] = Counter()
    found = []
    for call in calls:
        if concerns(app, call):
            what = app.masked(call.what)
            seen[what] += 1
            found.append(Point(what, seen[what]))
    return found


def concerns(app: App, call: Call) -> bool:
    """Whether a request is an effective write on an application's objects."""
    if not call.effective or call.namespace != app.namespace:
        return False
    return (call.name or call.body_name).partition("-")[0] == app.name


def plans_of(scenario: str, points: Sequence[Point]) -> list[Plan]:
    """All plans of a scenario."""
    found = [
        Plan(scenario, point, fault)
        for point in points
        for fault in (*CRASHES, *ONCE, *(f"{fault}-while" for fault in WHILE))
    ]
    middle = points[len(points) // 2]
    used = [stream for stream in WATCHED if scenario in USED_BY.get(stream, (scenario,))]
    found += [Plan(scenario, middle, fault, stream) for stream in used for fault in STREAMS]
    found += [Plan(scenario, point, OUT_OF_STEP, ALL_BUT_ROLLOUTS) for point in (points[0], middle)]
    found += [Plan(scenario, point, fault, EVERYTHING) for point in points for fault in WHOLE]
    return found
