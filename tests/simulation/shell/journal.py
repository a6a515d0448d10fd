"""What the journal of a Rollout may become: steps in order, verdicts of its own, promotions that are earned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from headgate.api.common import seconds, to_epoch
from headgate.api.rollout import SESSION, STABLE_SESSION, RolloutStatus
from headgate.decide.invariants import journal_step
from tests.simulation.shell.clock import EPOCH
from tests.simulation.shell.cluster import Change, Cluster
from tests.simulation.shell.scenario import NAME, NAMESPACE
from tests.simulation.shell.traffic import QUALITY, Traffic
from tests.simulation.shell.truth import plan_of

Object = dict[str, Any]
CLOCK = 1.0
"""What the operator may be off the server's clock by, whose `Date` has whole seconds."""


class Journal:
    """Follows the statuses that operators write."""

    def __init__(
        self, cluster: Cluster, traffic: Traffic, fail: Callable[[str], None], disturbed: Callable[[], bool]
    ) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._traffic = traffic
        self._fail = fail
        self._disturbed = disturbed
        self._plans: dict[tuple[str, int], Object] = {}
        self._replicas: dict[int, int] = {}
        """By generation."""
        self.shares_of_rejected: dict[str, int] = {}
        self._last: tuple[Object, RolloutStatus] = ({}, RolloutStatus())
        self._overridden: set[tuple[str, int]] = set()
        """Attempts in which somebody let a gate pass."""

    def rollout_changed(self, change: Change) -> None:
        """Remember what was wanted at each generation; of one that is created anew nothing is known."""
        if change.type == "ADDED":
            self._replicas.clear()
            self._plans.clear()
            self.shares_of_rejected.clear()
        self._replicas[change.after["metadata"]["generation"]] = change.after["spec"]["replicas"]

    def replicas_at(self, generation: int) -> int:
        """`spec.replicas` at a generation."""
        return self._replicas.get(generation, 0)

    @staticmethod
    def running(status: Object) -> Object | None:
        """The attempt that is under way."""
        stable, current = status.get("stable"), status.get("current")
        if not stable or not current or stable["revision"] == current["revision"]:
            return None
        found: Object = current
        return found

    def recorded(self, change: Change) -> None:
        """Remember what was recorded for an attempt: an operator may not have heard yet that somebody deleted it."""
        data = change.after.get("data") or {}
        if "plan" in data:
            self._plans[data["revision"], data["attempt"]] = data

    def plan(self, run: Object) -> Object | None:
        """What was recorded for an attempt."""
        return self._plans.get((run["revision"], run["attempt"]))

    def allowed(self, run: Object, index: int) -> int | None:
        """The greatest weight that the steps up to this one name last; None if there is no record."""
        plan = self.plan(run)
        if plan is None:
            return None
        weight = 0
        for step in plan["plan"]["steps"][: index + 1]:
            weight = step.get("setWeight", weight)
        return weight

    def past(self, run: Object, status: Object) -> bool:
        """No step is left for this attempt, or none is asked for."""
        plan = self.plan(run)
        over = plan is not None and int(status.get("currentStepIndex") or 0) >= len(plan["plan"]["steps"])
        return over or bool(run.get("fast"))

    def routes(self, run: Object, index: int) -> set[str]:
        """The names of the routes by header and mirrors that the steps up to this one have set and not taken out."""
        plan, found = self.plan(run), set[str]()
        for step in plan["plan"]["steps"][: index + 1] if plan else ():
            route = step.get("setHeaderRoute") or step.get("setMirrorRoute") or {}
            if route.get("match"):
                found.add(route["name"])
            elif route:
                found.discard(route["name"])
        past = plan is not None and index >= len(plan["plan"]["steps"])
        stay = self.stay(run)
        if stay is not None and (self.allowed(run, index) or past):
            found |= {SESSION, STABLE_SESSION} if stay["stayOnStable"] else {SESSION}
        return found

    def variants(self, run: Object, index: int) -> list[Object]:
        """The variants of the experiment that this step is."""
        plan = self.plan(run)
        steps = plan["plan"]["steps"] if plan is not None else []
        found: list[Object] = steps[index].get("experiment", {}).get("variants", []) if index < len(steps) else []
        return found

    def stay(self, run: Object) -> Object | None:
        """How users stay while this attempt is released; None if they do not."""
        plan = self.plan(run)
        found: Object | None = plan["plan"].get("sessionAffinity") if plan is not None else None
        return found

    def for_who_stays(self, run: Object, index: int) -> int:
        """Percent of the requests that may come by a session: all, or no more than the greatest weight so far."""
        plan, stay = self.plan(run), self.stay(run)
        if plan is None or stay is None:
            return 0
        steps = plan["plan"]["steps"][: index + 1]
        return max(step.get("setWeight", 0) for step in steps) if stay["stayOnStable"] else 100

    def written(self, before: Object, after: Object) -> None:
        """Look at one change of the status."""
        if before == after:
            return
        was, is_ = self.running(before), self.running(after)
        recorded = self.plan(was) if was else None
        plan = plan_of(recorded) if recorded else None
        for breach in journal_step(self._model(before), self._model(after), plan):
            self._fail(str(breach))
        if was and is_ and _attempt(was) == _attempt(is_):
            self._same_attempt(before, after)
        if is_:
            self._verdicts(before, after, is_)
        if before.get("stable") and (before["stable"]["revision"] != after["stable"]["revision"]):
            self._promoted(before, after)

    def _model(self, status: Object) -> RolloutStatus:
        """The status as a model; that of the last write is kept, because the next one begins from it."""
        if self._last[0] is not status:
            self._last = (status, RolloutStatus.model_validate(status))
        return self._last[1]

    def _same_attempt(self, before: Object, after: Object) -> None:
        index = int(before.get("currentStepIndex") or 0)
        by = int(after.get("currentStepIndex") or 0) - index
        run = self.running(after)
        plan = self.plan(run) if run else None
        if by == 1 and run is not None and plan is not None:
            self._step_ended(before, after, run, plan["plan"]["steps"], index)

    def _step_ended(self, before: Object, after: Object, run: Object, steps: list[Object], index: int) -> None:
        step = steps[index] if index < len(steps) else {}
        if "pause" in step and not self._promoted_by_hand(before, after):
            length = step["pause"].get("duration")
            lasted = self._cluster.loop.time() + EPOCH - to_epoch(before["stepStartedAt"])
            if step.get("onTimeout") == "Promote":
                length = length or step["timeout"]
            if length is None:
                self._fail(f"12: nobody ended the pause at step {index}")
            elif lasted < seconds(length) - CLOCK:
                self._fail(f"12: the pause of {length} at step {index} lasted {lasted:.1f} s")
        judged = step.get("gate") or step.get("experiment", {}).get("gate")
        if judged:
            name = judged["ref"]["name"]
            gate = next((g for g in after["gates"] if (g["name"], g["step"]) == (name, index)), None)
            if gate is None or not (gate["verdict"] == "Pass" or gate.get("overridden")):
                self._fail(f"8: step {index} ends with the gate {gate and gate['verdict']}")
        if "setWeight" in step and self._traffic.spans:
            since = to_epoch(before["stepStartedAt"]) - EPOCH - CLOCK
            self._weight_was_served(run, step["setWeight"], index, since)

    def _weight_was_served(self, run: Object, weight: int, index: int, since: float) -> None:
        # The next weight may be lower and then goes first, long before the journal can say so.
        if self._disturbed():
            return
        shares = self._traffic.lately(run["podHash"], since)
        if not any(math.isclose(share * 100, weight, abs_tol=1e-6) for share in shares):
            self._fail(f"10: step {index} ends with {shares} served of {weight}%")

    @staticmethod
    def _promoted_by_hand(before: Object, after: Object) -> bool:
        known = {a["uid"] for a in before.get("actions") or ()}
        fresh = [a for a in after.get("actions") or () if a["uid"] not in known]
        return any(a["verb"] == "promote" and a["accepted"] for a in fresh)

    def _verdicts(self, before: Object, after: Object, run: Object) -> None:
        known = {_window(g): g for g in before.get("gates") or ()}
        for gate in after.get("gates") or ():
            if gate.get("overridden"):
                self._overridden.add(_attempt(run))
            if gate["verdict"] != "Pass" or known.get(_window(gate), {}).get("verdict") == "Pass":
                continue
            if (gate["podHash"], gate["attempt"]) != (run["podHash"], run["attempt"]):
                self._fail(f"9: {gate['name']} passes for {gate['podHash']}, and {run['podHash']} is released")
            quality = self.quality(gate["podHash"])
            if quality != "good":
                self._fail(f"8: {gate['name']} passes for {gate['podHash']}, which is {quality}")
            began = to_epoch(gate["startedAt"])
            for check in gate["checks"]:
                if any(to_epoch(m["at"]) < began - 0.001 for m in check.get("measurements") or ()):
                    self._fail(f"9: {gate['name']} counts a measurement from before its window")
            here = int(before.get("currentStepIndex") or 0) == gate["step"] and self.running(before) is not None
            if gate["step"] >= 0 and began < to_epoch((before if here else after)["stepStartedAt"]) - 0.001:
                self._fail(f"9: {gate['name']} judges a window that began before step {gate['step']}")

    def _promoted(self, before: Object, after: Object) -> None:
        run, name = self.running(before), after["stable"]["podHash"]
        if run is None or run["podHash"] != name:
            self._fail(f"10: {name} becomes stable, and {run and run['podHash']} was released")
            return
        if run.get("fast"):
            promoted = any(h["podHash"] == name and h["outcome"] in ("Promoted", "Adopted") for h in before["history"])
            if not promoted:
                self._fail(f"10: {name} is promoted as a way back and was never stable")
            return
        plan = self.plan(run)
        steps = plan["plan"]["steps"] if plan else []
        index, over = int(before.get("currentStepIndex") or 0), len(steps)
        strategy = self._strategy()
        if index == over - 1 and ("blueGreen" in strategy or "pingPong" in strategy.get("canary", {})):
            # After the switch nothing is left to be done: the last step and the promotion are one decision.
            self._step_ended(before, after, run, steps, index)
        elif index < over:
            self._fail(f"10: {name} is promoted at step {before.get('currentStepIndex')} of {len(steps)}")
        judged = bool(plan and plan["plan"]["backgroundGates"]) or any("gate" in s or "experiment" in s for s in steps)
        if judged and self.quality(name) != "good" and _attempt(run) not in self._overridden:
            self._fail(f"8: {name} is promoted, which is {self.quality(name)}")

    def _strategy(self) -> Object:
        found: Object = (self._store.get("Rollout", NAMESPACE, NAME) or {}).get("spec", {}).get("strategy", {})
        return found

    def quality(self, pod_hash: str) -> str:
        """What a revision is by its image: good, bad or silent."""
        for found in self._store.all("ReplicaSet", NAMESPACE):
            if (found["metadata"].get("labels") or {}).get("headgate.dev/revision") == pod_hash:
                image = str(found["spec"]["template"]["spec"]["containers"][0]["image"])
                return next((word for word in QUALITY if word in image), "good")
        return "good"


def _attempt(run: Object) -> tuple[str, int]:
    return run["revision"], run["attempt"]


def _window(gate: Object) -> tuple[str, int, str, int, int]:
    return gate["name"], gate["step"], gate["podHash"], gate["attempt"], gate["window"]
