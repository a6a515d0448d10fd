"""What one seed stands for: an application, its releases, what people do meanwhile, and how much goes wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from headgate.api.rollout import BlueGreen
from headgate.decide.blue_green import Switching

Object = dict[str, Any]
NAMESPACE, NAME = "sim", "shop"
CANARY = f"{NAME}-canary"
GATE = "golden"
FOREIGN = (
    "foreign weight",
    "foreign selector",
    "pod dies",
    "set deleted",
    "record deleted",
    "gate gone",
    "gate back",
    "route gone",
    "route back",
    "actions cleared",
    "create again",
)
"""What others do to the objects that a release stands on."""
DISTURBING = (
    "foreign weight",
    "foreign rules",
    "foreign selector",
    "pod dies",
    "set deleted",
    "route gone",
    "route back",
    "variant deleted",
    "variant selector",
)
"""After these the truth may not be as the invariants want it, whoever is to blame; nothing may be raised then."""
BLUE_GREEN = 10_000_000
"""From this seed on the Rollout is a blue-green one; the seeds before it are what they always were."""
OPTIONS = 20_000_000
"""From this seed on it is a canary again, whose steps have timeouts, and that may have a rollback window."""
SNAPSHOTS = 40_000_000
"""From this seed on it is a canary whose pods read a ConfigMap, of which each revision has a copy."""
FOLLOWING = 50_000_000
"""From this seed on it is a canary with a say over the pods of both versions, e.g. whose stable one shrinks."""
STAYING = 60_000_000
"""From this seed on it is a canary whose users stay with the version that they have met, half of them with that say."""
TURNING = 70_000_000
"""From this seed on it is a canary whose Services take turns, with a say over pods, or with users who stay."""
ENOUGH = 80_000_000
"""From this seed on it is such a canary whose steps go on without all their pods, if enough of them are there."""
EXPERIMENT = 90_000_000
"""From this seed on it is a canary that compares variants of the two versions in a step or two."""
TRIALS = (f"{NAME}-baseline", f"{NAME}-trial")
"""The Services that lead to variants."""
COMPARED = "compared"
"""The QualityGate that compares them."""
LACKING = 100_000_000
"""From this seed on it is a canary whose route goes, also at the end, while its pods are deleted and others wanted."""
CONFIG = f"{NAME}-settings"
CONFIGURING = ("config edited", "config gone", "config back")
"""What others do to the ConfigMap."""
UNROUTED = {"foreign weight": "foreign selector", "route gone": "foreign selector", "route back": "spec.resumed"}
"""What happens to a Rollout without a route instead."""
VERBS = ("pause", "resume", "abort", "promote", "retry", "undo", "override")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people or the machinery around do at a moment."""

    at: float
    """Seconds from the beginning."""
    what: str
    arg: str = ""

    def __str__(self) -> str:
        return f"{self.at:7.2f} {self.what} {self.arg}".rstrip()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One history before it happens."""

    seed: int
    replicas: int
    steps: tuple[Object, ...]
    background: bool
    gate: Object
    on_new_revision: str
    workload: bool
    history: int
    """`revisionHistoryLimit`."""
    strength: float
    """The chance of a fault for each write, read and event of a watch."""
    events: tuple[Event, ...]
    calm_at: float
    """From here on nothing goes wrong any more."""
    without: frozenset[str] = frozenset()
    """Kinds of fault that are left out."""
    unserved: float = 0.0
    """The chance, at each request, that a whole kind is not served for a while from then on."""
    window: int | None = None
    """`rollbackWindow.revisions`."""
    blue_green: Object | None = None
    """The strategy, if it is not a canary; `steps` are those that are made of it."""
    canary: Object | None = None
    """What else the canary says."""
    config: Object | None = None
    """`configSnapshots`, where the pods read a ConfigMap."""
    lacking: bool = False
    """The end begins without the route."""

    @property
    def by_route(self) -> bool:
        """A route leads to the two Services."""
        return self.blue_green is None or "trafficRouting" in self.blue_green

    @property
    def experiments(self) -> int:
        """Steps that are experiments."""
        return sum("experiment" in step for step in self.steps)

    def describe(self) -> list[str]:
        """The scenario for people."""
        lines = [
            (
                f"seed {self.seed}: {self.replicas} replicas, {'a Deployment, ' if self.workload else ''}"
                f"{'a background gate, ' if self.background else ''}onNewRevision {self.on_new_revision}, "
                f"{self._within()}{self._copied()}{self._said()}onUnknown {self.gate['onUnknown']}, "
                f"faults {self.strength:g} until {self.calm_at:.0f} s"
            ),
            ("steps: " if self.blue_green is None else "blue-green: ") + ", ".join(_step(s) for s in self.steps),
            *(str(e) for e in self.events),
        ]
        if self.without:
            lines.append("without: " + ", ".join(sorted(self.without)))
        return lines

    def _within(self) -> str:
        return "" if self.window is None else f"rollbackWindow {self.window}, "

    def _copied(self) -> str:
        return "" if self.config is None else f"configSnapshots {self.config}, ".replace("'", "")

    def _said(self) -> str:
        return "" if self.canary is None else f"{self.canary}, ".replace("'", "")

    def less(self, *, event: Event | None = None, fault: str = "") -> Scenario:
        """The same with one thing less."""
        return replace(
            self,
            events=tuple(e for e in self.events if e is not event),
            without=self.without | {fault} if fault else self.without,
        )


def _step(step: Object) -> str:
    (kind, value), *more = step.items()
    said = f"{kind} {value}" if kind == "setWeight" else f"{kind} {value}".replace("'", "")
    return said + "".join(f" {name} {what}" for name, what in more)


def scenario(seed: int) -> Scenario:
    """The scenario of a seed."""
    if seed < BLUE_GREEN:
        return _canary(seed)
    if seed < OPTIONS:
        return _blue_green(_canary(seed))
    if seed < SNAPSHOTS:
        return _with_options(_canary(seed))
    if seed < FOLLOWING:
        return _configured(_canary(seed))
    if seed < STAYING:
        return _following(_canary(seed))
    if seed < TURNING:
        return _staying(_canary(seed))
    if seed < ENOUGH:
        return _turning(_canary(seed))
    if seed < EXPERIMENT:
        return _going_on(_canary(seed))
    return _experimenting(_canary(seed)) if seed < LACKING else _lacking(_canary(seed))


def _experimenting(of: Scenario) -> Scenario:
    """The same with experiments among the steps, and with people who meddle with their variants."""
    found, chance = _with_options(of), random.Random(f"{of.seed}/experiments")
    events = list(found.events)
    for event in found.events:
        if event.what == "release" and chance.random() < 0.4:
            what = chance.choice(["variant deleted", "variant deleted", "variant selector", "act", "act"])
            events.append(Event(event.at + chance.uniform(3.0, 40.0), what, "abort" if what == "act" else ""))
    turns = {"pingPong": in_turn(chance)} if chance.random() < 0.2 else {}
    return replace(
        found,
        steps=tuple(tried(chance, found.steps)),
        canary=turns or None,
        events=tuple(sorted(events, key=lambda e: e.at)),
        calm_at=found.calm_at + 40.0,
    )


def tried(chance: random.Random, steps: Sequence[Object]) -> list[Object]:
    """The steps with one or two experiments among them, at any place."""
    found = list(steps)
    for _ in range(chance.choice([1, 1, 2])):
        place = chance.randint(0, len(found))
        weights = [step["setWeight"] for step in found[:place] if "setWeight" in step]
        found.insert(place, _experiment(chance, 100 - (weights or [0])[-1]))
    return found


def _experiment(chance: random.Random, left: int) -> Object:
    """Two variants, each with a Service or without, and with a part of what is left of the requests, or with none."""
    variants: list[Object] = []
    for name, service, of in zip(("baseline", "trial"), TRIALS, ("Stable", "Canary"), strict=True):
        variant: Object = {"name": name, "specRef": of, "gateArguments": [{"name": name, "value": "Revision"}]}
        variant["replicas"] = chance.choice([1, 1, 2, 3])
        if chance.random() < 0.7:
            variant["service"] = service
            if left >= 10 and chance.random() < 0.7:
                variant["weight"] = chance.choice([1, 5, left // 2])
        variants.append(variant)
    gate: Object = {"ref": {"name": COMPARED}, "count": chance.randint(1, 3)}
    return timed(chance, {"experiment": {"variants": variants, "gate": gate}})


def _lacking(of: Scenario) -> Scenario:
    """The same without its route for a while, in half of all cases with a say over the pods of both versions."""
    chance = random.Random(f"{of.seed}/lacking")
    found = _following(of) if chance.random() < 0.5 else _with_options(of)
    events = list(found.events)
    for release in (e for e in found.events if e.what == "release"):
        if chance.random() < 0.3:
            continue
        begin, length = release.at + chance.uniform(-5.0, 30.0), chance.uniform(2.0, 80.0)
        events += [Event(max(0.1, begin), "route gone"), Event(begin + length, "route back")]
        for _ in range(chance.randint(0, 3)):
            at = max(0.2, begin + chance.uniform(-2.0, length))
            many = Event(at, "replicas", str(chance.choice([1, 2, 3, 5])))
            events.append(many if chance.random() < 0.5 else Event(at, "set deleted", chance.choice(["stable", ""])))
    ended = max(e.at for e in events) if events else 0.0
    events.sort(key=lambda e: e.at)
    return replace(found, events=tuple(events), calm_at=max(found.calm_at, ended + 5.0), lacking=True)


def _following(of: Scenario) -> Scenario:
    """The same with options for the pods, on top of those for the steps."""
    found = _with_options(of)
    return replace(found, canary=of_pods(random.Random(f"{of.seed}/pods")))


def _staying(of: Scenario) -> Scenario:
    """The same with users who stay, on top of options for the steps, and now and then of those for the pods."""
    found = _with_options(of)
    return replace(found, canary=beside(found.steps, of_users(random.Random(f"{of.seed}/users"))))


def _turning(of: Scenario) -> Scenario:
    """The same with two Services that take turns, of which either may be the stable one at first."""
    found, chance = _with_options(of), random.Random(f"{of.seed}/turns")
    canary = beside(found.steps, of_users(chance) if chance.random() < 0.3 else of_pods(chance))
    return replace(found, canary={**canary, "pingPong": in_turn(chance)})


def in_turn(chance: random.Random) -> Object:
    """Two Services that take turns; the route gives all requests to the one, which may be called the second."""
    names = [NAME, CANARY] if chance.random() < 0.7 else [CANARY, NAME]
    return dict(zip(("pingService", "pongService"), names, strict=True))


def roles(rollout: Object) -> tuple[str, str]:
    """The names of the stable and of the canary Service, as this Rollout has them now."""
    pair = (rollout.get("spec", {}).get("strategy", {}).get("canary") or {}).get("pingPong")
    if pair is None:
        return NAME, CANARY
    turned = (rollout.get("status") or {}).get("stablePingPong") == "Pong"
    ping, pong = pair["pingService"], pair["pongService"]
    return (pong, ping) if turned else (ping, pong)


def _going_on(of: Scenario) -> Scenario:
    """The same with as many pods as are enough, on top of all that a canary may say."""
    found = _staying(of)
    said = of_enough(random.Random(f"{of.seed}/enough"))
    return replace(found, steps=(WHOLE, *found.steps), canary={**(found.canary or {}), **said})


WHOLE: Object = {"setCanaryScale": {"weight": 100}}
"""More pods than most weights need."""


def of_enough(chance: random.Random) -> Object:
    """What a canary says of how many pods are enough."""
    kind = chance.choice(["Percent", "Pod"])
    return {"replicaProgressThreshold": {"type": kind, "value": chance.choice([1, 3, 50, 90])}}


def of_users(chance: random.Random) -> Object:
    """What a canary says about its users, and in half of all cases about the pods."""
    stay: Object = {"cookieName": "stay", **({"stayOnStable": True} if chance.random() < 0.5 else {})}
    pods = of_pods(chance) if chance.random() < 0.5 else {}
    if "stayOnStable" in stay:
        pods |= {"dynamicStableScale": False}
    return {"trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": NAME}]}, "sessionAffinity": stay}, **pods}


def beside(steps: Sequence[Object], canary: Object) -> Object:
    """What a canary says besides these steps: nobody stays on stable where requests are copied."""
    routing = canary.get("trafficRouting", {})
    if not any("setMirrorRoute" in step for step in steps) or "sessionAffinity" not in routing:
        return canary
    return {**canary, "trafficRouting": {**routing, "sessionAffinity": {"cookieName": "stay"}}}


ROLES: Object = {
    f"{role}Metadata": {"labels": {"role": role}, "annotations": {"example.com/role": role}}
    for role in ("canary", "stable")
}
"""What pods carry by the role in which they start."""


def of_pods(chance: random.Random) -> Object:
    """What a canary says about the pods of both versions."""
    floor = chance.choice([None, 1, 2, 4])
    return {
        "dynamicStableScale": chance.random() < 0.75,
        **({} if floor is None else {"minPodsPerReplicaSet": floor}),
        **(ROLES if chance.random() < 0.5 else {}),
    }


def _configured(of: Scenario) -> Scenario:
    """The same with a ConfigMap that others edit and delete meanwhile, with releases and without."""
    chance = random.Random(f"{of.seed}/snapshots")
    events = list(of.events)
    for event in of.events:
        # With a release as often as by itself.
        at = event.at + (chance.uniform(-0.2, 0.2) if event.what == "release" else chance.uniform(0.0, 20.0))
        if chance.random() < 0.5:
            what = chance.choice(["config edited", "config edited", *CONFIGURING])
            events.append(Event(max(0.1, at), what, chance.choice("abc") if what == "config edited" else ""))
    return replace(
        of,
        config={"configChangeTriggers": chance.random() < 0.5},
        events=tuple(sorted(events, key=lambda e: e.at)),
        calm_at=of.calm_at + 20.0,
    )


def _with_options(of: Scenario) -> Scenario:
    """The same with more of what a canary may say."""
    chance = random.Random(f"{of.seed}/options")
    window = chance.choice([None, None, 0, 1, 2, 8])
    found = replace(of, steps=tuple(timed(chance, step) for step in of.steps), window=window)
    return _with_routes(found) if routed(of.seed) else found


def routed(seed: int) -> bool:
    """Half of these canaries lead requests by header, or mirror some, too."""
    return seed >= OPTIONS and random.Random(f"{seed}/routed").random() < 0.5


def _with_routes(of: Scenario) -> Scenario:
    chance = random.Random(f"{of.seed}/routes")
    events = [
        replace(e, what="foreign rules", arg="") if e.what == "foreign weight" and chance.random() < 0.5 else e
        for e in of.events
    ]
    return replace(of, steps=tuple(led(chance, of.steps)), events=tuple(events))


def led(chance: random.Random, steps: Sequence[Object]) -> list[Object]:
    """The steps with one to three among them that set a route by header or a mirror, set it anew, or take it out."""
    found, known = list(steps), dict[str, str]()
    at = sorted(chance.randint(0, len(steps)) for _ in range(chance.randint(1, 3)))
    for added, place in enumerate(at):
        name = chance.choice(["beta", "shadow"])
        kind = known.get(name) or chance.choice(["setHeaderRoute", "setHeaderRoute", "setMirrorRoute"])
        route: Object = {"name": name}
        if name not in known or chance.random() < 0.5:
            value = {"exact": str(chance.randint(1, 3))}
            route["match"] = [{"headerName": "x-version", "headerValue": value}]
            if kind == "setMirrorRoute" and chance.random() < 0.5:
                route["percentage"] = chance.choice([10, 50])
        known[name] = kind
        found.insert(place + added, {kind: route})
    return found


def timed(chance: random.Random, step: Object) -> Object:
    """The step with a timeout, in half of all cases."""
    if chance.random() < 0.5:
        return step
    least = int(step.get("pause", {}).get("duration", "0s")[:-1])
    found = {**step, "timeout": f"{least + chance.randint(1, 40)}s"}
    then = chance.choice(["", "Hold", "Abort", "Notify", *(["Promote"] * 2 if "pause" in step else [])])
    return found | ({"onTimeout": then} if then else {})


def _blue_green(of: Scenario) -> Scenario:
    """The same with the other strategy."""
    chance = random.Random(f"{of.seed}/blue-green")
    strategy: Object = {
        "activeService": NAME,
        "previewService": CANARY,
        "prePromotionGates": _judges(chance),
        "postPromotionGates": _judges(chance),
        "scaleDownDelaySeconds": 10,
        "abortScaleDownDelaySeconds": 5,
    }
    if chance.random() < 0.4:
        strategy["previewReplicaCount"] = chance.choice([1, 2, 4])
    promotion = chance.choice(["at once", "at once", "at once", "by hand", "later", "later"])
    if promotion == "by hand":
        strategy["autoPromotionEnabled"] = False
    elif promotion == "later":
        strategy["autoPromotionSeconds"] = chance.randint(1, 30)
    steps = Switching(BlueGreen.model_validate(strategy)).steps
    return replace(
        of,
        blue_green=strategy,
        steps=tuple(s.model_dump(mode="json", by_alias=True, exclude_none=True) for s in steps),
        events=tuple(replace(e, what=UNROUTED[e.what], arg="") if e.what in UNROUTED else e for e in of.events),
    )


def _judges(chance: random.Random) -> list[Object]:
    return [{"ref": {"name": GATE}, "count": chance.randint(1, 3)} for _ in range(chance.choice([0, 1, 1, 2]))]


def _canary(seed: int) -> Scenario:
    chance = random.Random(f"{seed}/scenario")
    replicas = chance.choice([1, 2, 3, 5])
    strength = chance.choice([0.0, 0.02, 0.06, 0.15])
    events, at = [], 0.0
    for number in range(2, 2 + chance.choice([1, 1, 2, 3])):
        at += chance.choice([chance.uniform(0.5, 10.0), chance.uniform(10.0, 60.0), chance.uniform(40.0, 90.0)])
        kind = chance.choice(["good", "good", "good", "bad", "bad", "silent", "broken", "revert"])
        events.append(Event(at, "release", f"v1-{kind}" if kind == "revert" else f"v{number}-{kind}"))
        for _ in range(chance.choice([0, 0, 1, 2])):
            at += chance.uniform(0.2, 25.0)
            events.append(_interruption(chance, at))
    events += _machinery(chance, at)
    if chance.random() < 0.12:
        at += chance.uniform(0.2, 40.0)
        way = chance.choice(["background", "background", "foreground", "orphan", "namespace"])
        events.append(Event(at, "delete", way))
        if way == "background" and chance.random() < 0.5:
            at += chance.uniform(1.0, 40.0)
            events.append(Event(at, "create again"))
    return Scenario(
        seed=seed,
        replicas=replicas,
        steps=tuple(_steps(chance)),
        background=chance.random() < 0.4,
        gate=_gate(chance),
        on_new_revision=chance.choice(["Supersede", "Supersede", "Supersede", "Queue", "Reject"]),
        workload=chance.random() < 0.2,
        history=chance.choice([0, 1, 2]),
        strength=strength,
        events=tuple(sorted(events, key=lambda e: e.at)),
        calm_at=at + chance.uniform(5.0, 60.0),
    )


def _steps(chance: random.Random) -> list[Object]:
    # A gate can only know something where there is traffic, so a weight comes before everything.
    steps: list[Object] = [{"setWeight": chance.choice([1, 10, 50, 100])}]
    for _ in range(chance.randint(0, 3)):
        kind = chance.choice(["weight", "weight", "pause", "gate", "gate", "scale"])
        if kind == "weight":
            steps.append({"setWeight": chance.choice([0, 5, 20, 50, 80, 100])})
        elif kind == "pause":
            forever = chance.random() < 0.2
            steps.append({"pause": {} if forever else {"duration": f"{chance.randint(1, 30)}s"}})
        elif kind == "gate":
            steps.append({"gate": {"ref": {"name": GATE}, "count": chance.randint(1, 3)}})
        else:
            scale = chance.choice([{"replicas": chance.randint(0, 5)}, {"weight": chance.choice([0, 50, 100])}])
            steps.append({"setCanaryScale": scale})
    return steps


def _gate(chance: random.Random) -> Object:
    check = {"name": "success", "prometheus": {"query": {"template": "success"}}, "pass": {"min": 99}}
    return {
        "interval": f"{chance.choice([2, 5])}s",
        "onUnknown": chance.choice(["Hold", "Hold", "Extend", "Fail"]),
        "inconclusiveLimit": chance.choice([0, 2]),
        "consecutiveErrorLimit": chance.choice([0, 4]),
        "checks": [check],
    }


def _interruption(chance: random.Random, at: float) -> Event:
    kind = chance.choice(["act"] * 8 + ["replicas", "spec.paused", "spec.resumed", "steps"] * 2 + [*FOREIGN])
    if kind == "act":
        return Event(at, "act", chance.choice(VERBS))
    if kind == "replicas":
        return Event(at, "replicas", str(chance.choice([1, 2, 3, 5])))
    if kind == "foreign weight":
        return Event(at, kind, str(chance.choice([0, 30, 100])))
    if kind == "steps":
        return Event(at, "steps", str(chance.choice([5, 50, 100])))
    return Event(at, kind)


def _machinery(chance: random.Random, end: float) -> list[Event]:
    found = []
    if chance.random() < 0.3:
        found.append(Event(chance.uniform(0.0, 20.0), "second replica"))
    for what, odds in (("stop and start", 0.3), ("compaction", 0.4)):
        if chance.random() < odds:
            found.append(Event(chance.uniform(1.0, end + 1.0), what))
    return found


def template(version: str, *, config: Object | None = None) -> Object:
    """The pod template of a version."""
    container = {"name": "app", "image": f"registry.example/shop:{version.replace('v1-revert', 'v1')}"}
    volumes = {} if config is None else {"volumes": [{"name": "settings", "configMap": {"name": CONFIG}}]}
    return {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [container], **volumes}}


def settings(value: str = "first") -> Object:
    """The ConfigMap with this content."""
    return {"metadata": {"name": CONFIG}, "data": {"value": value}}


def rollout(of: Scenario) -> Object:
    """The Rollout."""
    source: Object = {"workloadRef": {"name": NAME}} if of.workload else {"template": template("v1", config=of.config)}
    services = {} if "pingPong" in (of.canary or {}) else {"stableService": NAME, "canaryService": CANARY}
    canary = {
        **services,
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": NAME}]}},
        "steps": list(of.steps),
        "scaleDownDelaySeconds": 10,
        "abortScaleDownDelaySeconds": 5,
        **(of.canary or {}),
    }
    return {
        "metadata": {"name": NAME},
        "spec": source
        | {
            "replicas": of.replicas,
            "strategy": {"canary": canary} if of.blue_green is None else {"blueGreen": of.blue_green},
            "gates": [{"ref": {"name": GATE}}] if of.background else [],
            "progressDeadlineSeconds": 90,
            "revisionHistoryLimit": of.history,
            "onNewRevision": of.on_new_revision,
            **({} if of.config is None else {"configSnapshots": of.config}),
            **({} if of.window is None else {"rollbackWindow": {"revisions": of.window}}),
        },
    }


def surroundings(of: Scenario) -> list[tuple[str, Object]]:
    """What is there before the Rollout, by kind."""
    backends = [{"name": NAME, "port": 80, "weight": 100}, {"name": CANARY, "port": 80, "weight": 0}]
    route = {
        "metadata": {"name": NAME},
        "spec": {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": backends}]},
    }
    found: list[tuple[str, Object]] = [
        ("Service", {"metadata": {"name": n}, "spec": {"selector": {"app": NAME}, "ports": [{"port": 80}]}})
        for n in (NAME, CANARY)
    ]
    found += [("HTTPRoute", route)] if of.by_route else []
    found.append(("QualityGate", {"metadata": {"name": GATE}, "spec": of.gate}))
    if of.experiments:
        spec: Object = {"selector": {"app": NAME}, "ports": [{"port": 80}]}
        found += [("Service", {"metadata": {"name": name}, "spec": spec}) for name in TRIALS]
        checks = [{**of.gate["checks"][0], "prometheus": {"query": {"template": COMPARED}}}]
        found.append(("QualityGate", {"metadata": {"name": COMPARED}, "spec": {**of.gate, "checks": checks}}))
    found += [] if of.config is None else [("ConfigMap", settings())]
    if of.workload:
        spec = {
            "replicas": of.replicas,
            "selector": {"matchLabels": {"app": NAME}},
            "template": template("v1", config=of.config),
        }
        found.append(("Deployment", {"metadata": {"name": NAME}, "spec": spec}))
    return found
