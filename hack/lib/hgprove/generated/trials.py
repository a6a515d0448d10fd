"""Tries cases, many at a time: each is refused by the API server, answered by a condition, or valid; or an alarm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hack.lib.hgprove.campaign import Result
from hack.lib.hgprove.generated import bases
from hack.lib.hgprove.generated.cases import Case
from hack.lib.hgprove.generated.schema import Json
from hack.lib.hgprove.generated.world import LAX, REFUSED, STRICT, Plot, Sight, World
from headgate.decide.journal import AT_REST
from tests.api.kube import Refused
from tests.api.shop import Shop, actions, gates, rollouts

ANSWER = 180.0
"""Seconds until every changed object has its answer: some, but the machine may have other things to do."""
SETTLE = 12.0
"""Seconds after which a release that still goes on has shown enough."""
UNDER_WAY = "wait for the end of the release, or abort it"
"""What the API server says where a strategy is not to change under a release."""
BACK = 240.0
"""Seconds until all is as it was before: most of it is a release, or several that wait for the machine."""
LOOK = 0.8
ENVIRONMENTS = "/apis/headgate.dev/v1alpha1/environments"
RESTING = ("Healthy", "Degraded", "Paused", "Held")
MANY = 100
"""Pods from which a case needs a quota."""


@dataclass(slots=True)
class Trial:
    """One case on one application."""

    case: Case
    plot: Plot
    story: list[str] = field(default_factory=list)
    problem: str = ""
    kind: str = ""
    generation: int = 0
    began: float = field(default_factory=time.monotonic)
    before: Json = field(default_factory=dict)
    plane: Json = field(default_factory=dict)
    answered: bool = False
    unserved: str = ""
    changed_at: float = 0.0
    seen: str = ""

    def alarm(self, problem: str) -> None:
        """Note what is not as it must be; the first thing stands."""
        self.problem = self.problem or problem

    def result(self) -> Result:
        """What came out."""
        took = time.monotonic() - self.began
        story = [f"hack/generated --case '{self.case.id}'", *self.story]
        return Result(self.case.id, not self.problem, self.problem, story if self.problem else [], took, self.kind)


class Trials:
    """Tries cases in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._plots: list[Plot] = []
        self._space = world.space()
        self._sample = world.plot(self._space)
        self._neighbour = world.plot(self._space)
        self._act = self._some_action()

    # ------------------------------------------------------------------------------------------------ refusals

    def refusal(self, case: Case) -> Result | None:
        """What the API server says of a case without storing it; None if it would take it."""
        began = time.monotonic()

        def result(problem: str = "", message: str = "") -> Result:
            story = [f"hack/generated --case '{case.id}'", f"the API server said: {message}"]
            return Result(case.id, not problem, problem, story if problem else [], time.monotonic() - began, "refused")

        if case.value is not None and case.value.what == "unknown-field":
            code, said = self._offer(case, STRICT)
            if code < REFUSED or not case.names_field(str(said.get("message"))):
                return result("an unknown field is not refused by name", str(said.get("message")))
        code, said = self._offer(case, LAX)
        message = str(said.get("message") or "")
        if code >= 500:
            return result(f"the API server failed with {code}", message)
        if code >= REFUSED:
            return result("" if case.names_field(message) else "the refusal does not name the field", message)
        if case.must_be_refused:
            return result("the API server takes what its schema must refuse")
        return None

    def _offer(self, case: Case, suffix: str) -> tuple[int, Json]:
        name = f"{self._sample.name}-offer"
        if case.of_status and case.kind == "Rollout":
            return self.world.put(f"{self._sample.shop.path}/status", case.build(self._sample.name, 1), suffix)
        if case.of_status:
            return self.world.put(f"{self._act}/status", self._forged(case), suffix)
        paths: dict[str, Callable[[], str]] = {
            "Rollout": lambda: rollouts(self._space),
            "QualityGate": lambda: gates(self._space),
            "RolloutAction": lambda: actions(self._space),
            "Environment": lambda: ENVIRONMENTS,
        }
        return self.world.offer("POST", paths[case.kind]() + suffix, case.build(name, 1))

    def _some_action(self) -> str:
        """An action that nobody answers, whose status is there to be forged."""
        body = bases.action(f"{self._sample.name}-nobody")
        self.world.kube.create(actions(self._space), {**body, "status": None})
        return actions(self._space, body["metadata"]["name"])

    def _forged(self, case: Case) -> Json:
        return case.build(f"{self._sample.name}-nobody", 2)

    # ------------------------------------------------------------------------------------------------ a batch

    def batch(self, cases: Sequence[Case]) -> list[Result]:
        """Try cases that the API server takes, all at the same time, and go back to the last good object."""
        trials = [Trial(case, self._plot_for(case)) for case in cases]
        self.begin(trials)
        neighbour = self._release_neighbour()
        self._apply(trials)
        self._answers(trials)
        self._settle(trials)
        self._judge(trials)
        self.go_back(trials)
        others = self._others(trials, neighbour)
        for trial in trials:
            # An application that is not as it was is not used again, and what nobody uses costs every look.
            if not trial.problem and not trial.case.of_status and trial.plot.shop.namespace == self._space:
                self._plots.append(trial.plot)
            else:
                self.world.remove(trial.plot.shop.path)
        return [*(t.result() for t in trials), *others]

    def environment(self, case: Case) -> Result:
        """Create an Environment that the API server takes; nobody answers it, so it must only do no harm."""
        began = time.monotonic()
        obj = case.build(f"{self._sample.shop.namespace}-{time.monotonic_ns()}", 1)
        code, said = self.world.kube.request("POST", ENVIRONMENTS, obj)
        if code < REFUSED:
            self.world.remove(f"{ENVIRONMENTS}/{said['metadata']['name']}")
        problem = "" if code < REFUSED else f"it was taken at first, and refused then: {said.get('message')}"
        return Result(case.id, not problem, problem, [], time.monotonic() - began, "valid")

    def apart(self, case: Case) -> Result:
        """Create a Rollout that no other one may become, and expect an answer and no traffic that nobody answers."""
        shop = Shop(self.world.kube, self._space, f"apart-{time.monotonic_ns()}")
        trial = Trial(case, Plot(shop))
        shop.deploy_surroundings()
        self.world.kube.create(gates(shop.namespace), bases.gate(shop.name))
        trial.plane = self.world.look([trial.plot]).data_plane(trial.plot)
        code, said = self.world.kube.request("POST", rollouts(shop.namespace), case.build(shop.name, 1))
        if code >= REFUSED:
            trial.alarm(f"it was taken at first, and refused then: {said.get('message')}")
            return trial.result()
        trial.generation = int(said["metadata"]["generation"])
        self._answers([trial])
        self._judge([trial])
        self.world.remove(shop.path)
        return trial.result()

    def plot(self) -> Plot:
        """An application that is as it was, or a new one."""
        return self._plots.pop() if self._plots else self.world.plot(self._space)

    def begin(self, trials: Sequence[Trial]) -> None:
        """Wait until all applications are at rest, and note how that looks."""
        self.world.complaints()
        sight = self._healthy([*(t.plot for t in trials), self._neighbour])
        for trial in trials:
            trial.before, trial.plane = sight.end(trial.plot), sight.data_plane(trial.plot)

    def _plot_for(self, case: Case) -> Plot:
        value = case.value.value if case.value else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= MANY and case.place[-1] == "replicas":
            return self.world.plot(self.world.space(quota=True))
        return self.plot()

    def _healthy(self, plots: Sequence[Plot]) -> Sight:
        return self._until(
            plots, ANSWER, "the first versions are healthy", lambda s: all(_at_rest(s, p) for p in plots)
        )

    def _until(self, plots: Iterable[Plot], seconds: float, what: str, done: Callable[[Sight], bool]) -> Sight:
        plots = list(plots)
        end = time.monotonic() + seconds
        while True:
            sight = self.world.look(plots)
            if done(sight):
                return sight
            late = [p.where for p in plots if not _at_rest(sight, p)]
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:.0f} s: {what}; not at rest: {late}")
            time.sleep(LOOK)

    def _release_neighbour(self) -> int:
        version = self._neighbour.next_version()
        self.world.restore(self._neighbour.shop.path, bases.good(self._neighbour.name, version))
        return version

    # ------------------------------------------------------------------------------------------------ applying

    def _apply(self, trials: Sequence[Trial]) -> None:
        paused = [t for t in trials if t.case.kind == "RolloutAction"]
        for trial in paused:
            self._want(trial, bases.waiting(trial.plot.name, trial.plot.next_version()))
        if paused:
            self._wait_paused(paused)
        for trial in trials:
            try:
                self._apply_one(trial)
            except Refused as error:
                trial.alarm(f"it was taken at first, and refused then: {error}")

    def _wait_paused(self, paused: Sequence[Trial]) -> None:
        end = time.monotonic() + ANSWER
        while True:
            sight = self.world.look(t.plot for t in paused)
            late = [t for t in paused if sight.status(t.plot).get("phase") != "Paused"]
            if not late:
                return
            if time.monotonic() > end:
                for trial in late:
                    trial.alarm(f"a good release did not come to its pause: {sight.status(trial.plot).get('message')}")
                return
            time.sleep(LOOK)

    def _apply_one(self, trial: Trial) -> None:
        case, plot, kube = trial.case, trial.plot, self.world.kube
        if case.kind == "RolloutAction":
            self._act_on(trial)
            return
        version = plot.next_version()
        if case.kind == "QualityGate":
            obj = case.build(plot.name, version)
            self._put(f"{gates(plot.shop.namespace)}/{plot.name}-{bases.GATE}", obj)
            self._want(trial, bases.good(plot.name, version))
        elif case.of_status:
            obj = case.build(plot.name, plot.version)
            live = kube.must_get(plot.shop.path)["status"]
            # What is not looked at stays true: it is one field of a real journal that is forged.
            obj["status"] = _overlaid(live, obj.get("status") or {}, case)
            self._put(f"{plot.shop.path}/status", obj)
            trial.story.append("its status was forged, then another version wanted")
            self._want(trial, bases.good(plot.name, version))
        else:
            if case.base == "referring":
                self._deploy_workload(plot, version)
            self._want(trial, case.build(plot.name, version))

    def _want(self, trial: Trial, body: Json) -> None:
        found = self._put(trial.plot.shop.path, body)
        trial.generation = int(found["metadata"]["generation"])
        trial.story.append(f"applied as generation {trial.generation}")

    def _put(self, path: str, body: Json) -> Json:
        code, found = self.world.put(path, body)
        if code >= REFUSED:
            raise Refused(str(found.get("message")))
        return found

    def _act_on(self, trial: Trial) -> None:
        plot = trial.plot
        obj = trial.case.build(plot.name, plot.latest)
        if trial.case.of_status:
            self._put(f"{self._act}/status", self._forged(trial.case))
            trial.answered = True
            return
        self.world.kube.create(actions(plot.shop.namespace), obj)

    def _deploy_workload(self, plot: Plot, version: int) -> None:
        template = bases.template(plot.name, version)
        spec = {"replicas": 0, "selector": {"matchLabels": {"app": plot.name}}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": plot.name}, "spec": spec}
        path = f"/apis/apps/v1/namespaces/{plot.shop.namespace}/deployments"
        self.world.kube.delete(f"{path}/{plot.name}")
        self.world.kube.create(path, body)

    # ------------------------------------------------------------------------------------------------ judging

    def _answers(self, trials: Sequence[Trial]) -> None:
        end = time.monotonic() + ANSWER
        while time.monotonic() < end and not all(t.answered or t.problem for t in trials):
            sight = self._watch(trials)
            for trial in trials:
                trial.answered = trial.answered or self._is_answered(trial, sight)
            time.sleep(LOOK)
        for trial in trials:
            if not trial.answered:
                trial.alarm(f"no answer within {ANSWER:.0f} s")

    def _is_answered(self, trial: Trial, sight: Sight) -> bool:
        if trial.case.kind == "RolloutAction":
            name = f"{trial.plot.name}-act"
            found = self.world.kube.get(actions(trial.plot.shop.namespace, name)) or {}
            if found.get("spec", {}).get("rollout") != trial.plot.name:
                return True  # It is about no Rollout that there is.
            status = found.get("status") or {}
            return bool(status.get("phase") and status.get("message"))
        return int(sight.status(trial.plot).get("observedGeneration") or 0) >= trial.generation

    def _watch(self, trials: Sequence[Trial]) -> Sight:
        """Look, and note traffic that nobody answers whenever it is seen twice in a row."""
        sight = self.world.look(t.plot for t in trials)
        for trial in trials:
            unserved = sight.unserved(trial.plot)
            if unserved and trial.unserved == unserved:
                trial.alarm(unserved)
            trial.unserved = unserved
            seen = str(sight.end(trial.plot))
            if seen != trial.seen:
                trial.seen, trial.changed_at = seen, time.monotonic()
        return sight

    def _settle(self, trials: Sequence[Trial]) -> None:
        end = time.monotonic() + SETTLE
        while time.monotonic() < end:
            sight = self._watch(trials)
            if all(t.problem or _rests(sight, t) for t in trials):
                return
            time.sleep(LOOK)

    def _judge(self, trials: Sequence[Trial]) -> None:
        sight = self._watch(trials)
        for trial in trials:
            status, ready = sight.status(trial.plot), sight.condition(trial.plot, "Ready")
            trial.story.append(f"{status.get('phase')}: {status.get('message')}; Ready={ready.get('status')}")
            if not (ready.get("status") and ready.get("reason") and ready.get("message")):
                trial.alarm("there is no Ready condition with a reason and a message")
            trial.kind = "valid" if ready.get("status") == "True" else "answered"
            if trial.kind == "answered" and sight.data_plane(trial.plot) != trial.plane:
                trial.alarm(
                    f"not ready, and yet the data plane changed: {trial.plane} -> {sight.data_plane(trial.plot)}"
                )
            if trial.kind == "valid" and status.get("phase") != "Healthy" and not status.get("message"):
                trial.alarm(f"it is {status.get('phase')}, and nothing says why")

    # ------------------------------------------------------------------------------------------------ going back

    def go_back(self, trials: Sequence[Trial]) -> None:
        """Put the last good objects back, and expect the state that was there before."""
        for trial in trials:
            plot = trial.plot
            self.world.restore(f"{gates(plot.shop.namespace)}/{plot.name}-{bases.GATE}", bases.gate(plot.name))
            self._restore(plot)
            self.world.remove(actions(plot.shop.namespace, f"{plot.name}-act"))
        end = time.monotonic() + BACK
        # Whoever forges what the operator remembers is owed no way back, but traffic that is answered.
        left = [t for t in trials if not t.case.of_status]
        while left and time.monotonic() < end:
            sight = self.world.look(t.plot for t in left)
            left = [t for t in left if sight.end(t.plot) != t.before]
            time.sleep(LOOK if left else 0)
        if left:
            sight = self.world.look(t.plot for t in left)
            for trial in left:
                now = sight.end(trial.plot)
                differing = {k: (v, now[k]) for k, v in trial.before.items() if now[k] != v}
                trial.alarm(f"back at the last good object it does not end as before: {differing}")
                trial.story.append(f"in the end: {sight.status(trial.plot).get('message')}")

    def _restore(self, plot: Plot) -> None:
        """Put the good Rollout back; where a release keeps its strategy until its end, abort it as its author would."""
        good = bases.good(plot.name, plot.version)
        try:
            self.world.restore(plot.shop.path, good)
        except Refused as refused:
            if UNDER_WAY not in str(refused):
                raise
            plot.shop.act("abort")
            self._until([plot], BACK, "an aborted release is over", lambda s: s.status(plot).get("phase") in AT_REST)
            self.world.restore(plot.shop.path, good)

    def note_complaints(self, trials: Sequence[Trial]) -> list[str]:
        """Charge what the operator complained of to the cases; gives what belongs to none of them."""
        by_place = {t.plot.where: t for t in trials}
        loose = []
        for where, said in self.world.complaints():
            trial = by_place.get(where)
            if trial is None:
                loose.append(f"{where}: {said}")
            else:
                trial.alarm(f"the operator's log: {said}")
        return loose

    def _others(self, trials: Sequence[Trial], neighbour: int) -> list[Result]:
        """What concerns nobody's case: the log, and the neighbour."""
        loose = self.note_complaints(trials)
        results = []
        cases = [t.case.id for t in trials]
        if loose:
            results.append(Result(f"log/{cases[0]}", ok=False, problem=loose[0], story=[*loose, *cases], kind="log"))
        shop = self._neighbour.shop
        try:
            shop.expect_promoted(neighbour)
            self._neighbour.version = neighbour
        except AssertionError as error:
            problem = f"the neighbour was disturbed: {error}"
            results.append(Result(f"neighbour/{cases[0]}", ok=False, problem=problem, story=cases, kind="neighbour"))
        return results


def _at_rest(sight: Sight, plot: Plot) -> bool:
    status = sight.status(plot)
    stable, current = status.get("stable") or {}, status.get("current") or {}
    return (
        status.get("phase") == "Healthy"
        and stable.get("podHash") == current.get("podHash") == plot.shop.pod_hash(plot.version)
        and status.get("observedGeneration") == sight.rollout(plot)["metadata"]["generation"]
        and sight.condition(plot, "Available").get("status") == "True"
        and sight.condition(plot, "TrafficInSync").get("status") == "True"
        and {h for h, o in sight.sets(plot).items() if o["spec"]["replicas"]} == {stable.get("podHash")}
    )


def _rests(sight: Sight, trial: Trial) -> bool:
    """Whether nothing more is to come: it is at rest or refused, and has not changed for a while."""
    calm = time.monotonic() - trial.changed_at
    resting = sight.status(trial.plot).get("phase") in RESTING
    refused = sight.condition(trial.plot, "Ready").get("status") != "True"
    return (resting or refused) and calm > 1.5


def _overlaid(live: Json, forged: Json, case: Case) -> Json:
    """The live status with the top field that a case is about taken from the forged one."""
    if len(case.place) == 1:
        unknown = {k: v for k, v in forged.items() if k == "noSuchField"}
        return live | unknown if unknown else forged
    top = str(case.place[1])
    kept = {k: v for k, v in live.items() if k != top}
    return kept | ({top: forged[top]} if top in forged else {})
