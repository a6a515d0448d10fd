"""What a run under a fault must have in common with the clean run of the same scenario, and what it may not show."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hack.lib.hgbench.client import Json
from hack.lib.hgprove.faults.judging import Judge
from hack.lib.hgprove.faults.plans import Point
from hack.lib.hgprove.faults.scenarios import App, weight_of

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UNORDERED = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "deletionTimestamp")
NUMBERS = frozenset({
    # How often something was looked at depends on how long the run took, and a fault makes it longer.
    "decision", "asked", "passes", "unknowns", "errors", "consecutiveErrors",
    # A gate that could not be known begins its window again.
    "window",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What is left of one run, comparable with that of another application."""

    points: list[Point]
    end: dict[str, Any]
    """The objects at the end, by kind and name, masked."""
    changes: Counter[str]
    """Creations and deletions by object."""
    weights: list[int]
    """The canary's weights in the route, one after the other."""
    seconds: float = 0.0
    breaches: list[str] = field(default_factory=list)


def run_of(app: App, points: list[Point], seconds: float) -> Run:
    """Take down what is left of a run."""
    story = app.story
    changes = Counter(
        app.masked(f"{version.type.lower()} {version.kind}/{version.name}")
        for version in story.versions
        if version.type in ("ADDED", "DELETED") and version.kind in ("ReplicaSet", "ControllerRevision")
    )
    weights: list[int] = []
    for version in story.of("HTTPRoute"):
        weight = weight_of(version.obj, app.canary)
        if weights[-1:] != [weight]:
            weights.append(weight)
    judge = Judge(story)
    breaches = [app.masked(breach) for breach in judge.breaches() + judge.at_rest()]
    return Run(points, _end(app), changes, weights, seconds, breaches)


def differences(clean: Run, run: Run, *, home_allowed: bool = False, loss_allowed: bool = False) -> list[str]:
    """In what a run is not as the clean one, in sentences.

    Args:
        clean: the run without a fault.
        run: the run with one.
        home_allowed: the fault took a kind away. Whoever sees no route or no Service takes the traffic home, which is
            always allowed, and brings it back when the kind is there again.
        loss_allowed: the operator may have ended between taking traffic back and writing down why. The next one
            takes the version back all the same, and says that the verdict is lost.
    """
    found = [f"rule {breach}" for breach in run.breaches]
    for key in sorted(clean.end.keys() | run.end.keys()):
        mine, theirs = run.end.get(key), clean.end.get(key)
        if loss_allowed and mine is not None and theirs is not None and _verdict_is_lost(mine):
            mine, theirs = _less_why(mine), _less_why(theirs)
        if mine != theirs:
            found.append(f"{key} ends otherwise: {_first_difference(theirs, mine)}")
    found += [
        f"{what} happened {run.changes[what]} times instead of {clean.changes[what]}"
        for what in sorted(clean.changes.keys() | run.changes.keys())
        if clean.changes[what] != run.changes[what]
    ]
    if clean.weights != run.weights and not (home_allowed and _with_ways_home(clean.weights, run.weights)):
        found.append(f"the weights were {run.weights} instead of {clean.weights}")
    return found


def _verdict_is_lost(end: Json) -> bool:
    conditions = (end.get("status") or {}).get("conditions") or ()
    return any((c.get("type"), c.get("reason")) == ("Rejected", "VerdictLost") for c in conditions)


def _less_why(end: Json) -> Json:
    """A Rollout that has taken a version back, less all that says why."""
    told = {k: v for k, v in end["status"].items() if k not in ("message", "gates")}
    for listed in ("conditions", "rejected", "history"):
        told[listed] = [
            {k: v for k, v in one.items() if k not in ("reason", "message")} for one in told.get(listed) or ()
        ]
    return end | {"status": told}


def _with_ways_home(clean: list[int], found: list[int]) -> bool:
    """Whether these are the clean weights with ways home (w, 0, w) in between, of which the clean run may have some."""
    return clean == found or any(
        found[at + 1] == 0 and found[at] == found[at + 2] and _with_ways_home(clean, found[:at] + found[at + 2 :])
        for at in range(len(found) - 2)
    )


def _end(app: App) -> dict[str, Any]:
    found = {}
    for (kind, name), obj in app.story.objects.items():
        text = TIME.sub("TIME", app.masked(json.dumps(_kept(kind, obj))))
        found[app.masked(f"{kind}/{name}")] = json.loads(text)
    return found


def _kept(kind: str, obj: Json) -> Json:
    meta = {k: v for k, v in obj["metadata"].items() if k not in UNORDERED}
    meta["ownerReferences"] = [{**o, "uid": ""} for o in meta.get("ownerReferences", [])]
    kept: Json = {"metadata": meta}
    if kind in ("Rollout", "RolloutAction"):
        kept |= {"spec": obj.get("spec"), "status": _status(obj.get("status") or {})}
    elif kind == "Service":
        kept["selector"] = obj["spec"].get("selector")
    elif kind == "ControllerRevision":
        kept["data"] = obj.get("data")
    else:
        kept["spec"] = obj.get("spec")
    return kept


def _status(status: Json) -> Json:
    """Less what says how long something took."""
    kept: Json = _without(status)
    for gate in kept.get("gates") or ():
        for check in gate.get("checks") or ():
            check["measurements"] = sorted({m["verdict"] for m in check.get("measurements") or ()})
        gate["message"] = re.sub(r"\d+", "N", gate.get("message", ""))
    for action in kept.get("actions") or ():
        action["uid"] = ""
    return kept


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without(v) for k, v in value.items() if k not in NUMBERS}
    if isinstance(value, list):
        return [_without(v) for v in value]
    return value


def _first_difference(expected: Any, found: Any, where: str = "") -> str:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            if expected.get(key) != found.get(key):
                return _first_difference(expected.get(key), found.get(key), f"{where}.{key}")
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            if one != other:
                return _first_difference(one, other, f"{where}[{number}]")
    return f"{where or 'it'} is {json.dumps(found)[:300]} instead of {json.dumps(expected)[:300]}"
