"""What the conformance suite has to be told about a router: one place that it works with, and what can be wrong there.

A new router comes with a file in `router_examples/` that holds `EXAMPLES`; the suite finds it by itself. That of
another package's router is named in the environment, as `HEADGATE_ROUTER_EXAMPLES` (docs/extending.md).
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
import operator
import os
import runpy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headgate.api.rollout import SESSION, Canary, Step
from headgate.api.routes import SessionAffinity
from headgate.decide.managed import sessions
from headgate.decide.types import RouteView
from headgate.traffic.protocol import JSONPatch, Router, Target
from headgate.traffic.registry import ROUTERS, extension
from tests.unit.fake_api import copied

Object = dict[str, Any]
Change = Callable[[Object], None]
Pointer = tuple[str | int, ...]
"""Keys and indices to a place; the way may lead into a text of JSON."""
STABLE, CANARY = "checkout", "checkout-canary"
"""The Services of every example."""


@dataclasses.dataclass(frozen=True)
class Broken:
    """A change after which the place cannot be worked with, and the field that the problem must name."""

    change: Change
    names: str


@dataclasses.dataclass(frozen=True)
class Example:
    """One claimed place of one router, served, with everything on stable."""

    id: str
    router: str
    """Its key in the registry."""
    routing: Mapping[str, Any]
    """`trafficRouting` as a Rollout writes it."""
    target: Target
    field: str
    """The field of the Rollout that names the object."""
    obj: Object
    """Stable has 100 and the canary 0; with other rules, filters and fields that are nobody's business."""
    canary: Pointer
    """Where the canary's weight stands in the object."""
    stable: Pointer | None
    """The same of stable's; None where stable has what the canary leaves."""
    broken: Mapping[str, Broken]
    gone: Change
    """The object is there and the place in it is not."""
    unserved: Mapping[str, Change] = dataclasses.field(default_factory=dict)
    """Changes after which the router does not say that it serves the object; none for one that reports nothing."""
    same: tuple[Mapping[str, Any], ...] = ()
    """Other ways to write `trafficRouting` that mean this very place."""
    different: tuple[Mapping[str, Any], ...] = ()
    """Ways that mean another place."""
    moved: Change | None = None
    """What the patch names by its position has moved since it was read; None where nothing goes by position."""
    stored: Callable[[int], Any] = int
    """A weight as the object holds it."""
    routes: frozenset[str] = frozenset()
    """Which of `setHeaderRoute`, `setMirrorRoute` and `sessionAffinity` the router can do."""
    shares: bool = False
    """The router can give a variant of an experiment a share."""
    owner: Change | None = None
    """What its owner may change of the claimed place and a route of ours shares; None if it shares nothing."""
    whole: Callable[[int], Change] | None = None
    """What the object must say beside a `maxTrafficWeight`; None where the weights alone tell it."""
    odd: tuple[Any, ...] = ("five", -1, 1.5, True, [], {})
    """What may stand where a weight belongs and is none."""

    @property
    def subject(self) -> Router:
        """The router; that of another package as it is, so that nothing hides how it fails."""
        return ROUTERS[self.router] if self.router in ROUTERS else extension(self.router, self.id)

    def strategy(
        self,
        routing: Mapping[str, Any] | None = None,
        stable: str = STABLE,
        canary: str = CANARY,
        steps: Sequence[Mapping[str, Any] | Step] = ({"setWeight": 5},),
    ) -> Canary:
        """The canary strategy of a Rollout that claims the place."""
        found = Canary.model_validate(
            {
                "stableService": stable,
                "canaryService": canary,
                "trafficRouting": routing or self.routing,
                "steps": [{"setWeight": 5}],
            }
        )
        return found.model_copy(update={"steps": [made(one) for one in steps]})

    def read(self, obj: Object | None) -> RouteView:
        """What the router makes of the object."""
        return self.subject.read(self.strategy(), obj, self.target)

    def set_weight(self, obj: Object, weight: int) -> JSONPatch:
        """The patch for this weight."""
        return self.subject.set_weight(self.strategy(), obj, self.target, weight)

    def claim(self, obj: Object | None, routing: Mapping[str, Any] | None = None, stable: str = STABLE) -> str:
        """The key of the first place that a Rollout with this routing claims."""
        strategy = self.strategy(routing, stable)
        return self.subject.claims(strategy, obj, self.subject.targets(strategy)[0])

    def after(self, change: Change | None = None) -> Object:
        """A copy of the object, changed."""
        obj = copied(self.obj)
        if change is not None:
            change(obj)
        return obj

    def with_weights(self, stable: int, canary: int) -> Object:
        """A copy of the object with these weights stored, whoever wrote them."""
        obj = self.after()
        put(obj, self.canary, self.stored(canary))
        if self.stable is not None:
            put(obj, self.stable, self.stored(stable))
        return obj

    def weights(self, obj: Object) -> list[Any]:
        """The weights as they are stored, stable's first."""
        return [at(obj, place) for place in self._places()]

    def without_weights(self, obj: Object) -> Object:
        """A copy of all else."""
        rest = copied(obj)
        for place in self._places():
            if isinstance(at(rest, place[:-1]), dict):
                within(rest, place[:-1], operator.methodcaller("pop", place[-1], None))
        return rest

    def _places(self) -> list[Pointer]:
        return [place for place in (self.stable, self.canary) if place is not None]


def at(obj: Any, place: Pointer) -> Any:
    """What stands at a place; None if nothing does."""
    for key in place:
        obj = _opened(obj)
        if isinstance(obj, list) and isinstance(key, int) and key < len(obj):
            obj = obj[key]
        elif isinstance(obj, dict):
            obj = obj.get(str(key))
        else:
            return None
    return obj


def within(obj: Any, place: Pointer, change: Callable[[Any], object]) -> None:
    """Change the object or list that stands at a place; a text of JSON on the way is written anew."""
    if not place:
        change(obj)
        return
    child = obj[place[0]]
    opened = _opened(child)
    within(opened, place[1:], change)
    if opened is not child:
        obj[place[0]] = json.dumps(opened)


def _opened(value: Any) -> Any:
    """What a text of a JSON object says; anything else as it is."""
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def put(obj: Any, place: Pointer, value: Any) -> None:
    """Store something at a place that has a parent."""
    within(obj, place[:-1], lambda parent: operator.setitem(parent, place[-1], value))


def setting(place: Pointer, value: Any) -> Change:
    """The change that stores this there."""
    return lambda obj: put(obj, place, copy.deepcopy(value))


def removing(place: Pointer) -> Change:
    """The change that takes this away."""
    return lambda obj: within(obj, place[:-1], lambda parent: parent.pop(place[-1]))


def adding(place: Pointer, *values: Any) -> Change:
    """The change that appends these to the list there."""
    return lambda obj: within(obj, place, lambda found: found.extend(copy.deepcopy(values)))


def two_services(place: Pointer, here: str, entry: Callable[[str, int], Object]) -> dict[str, Broken]:
    """What can be wrong with a list that is to have the two Services and no other; the place names it as `here`."""
    return {
        "no canary Service": Broken(removing((*place, 1)), here),
        "no stable Service": Broken(removing((*place, 0)), here),
        "stable Service twice": Broken(adding(place, entry("checkout", 1)), here),
        "foreign Service": Broken(adding(place, entry("third", 1)), f"{here}[2]"),
    }


def leaves(obj: Any, place: Pointer = ()) -> Iterator[Pointer]:
    """Every place in an object, outer ones first, those in a text of JSON among them."""
    if place:
        yield place
    obj = _opened(obj)
    entries = obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list) else ()
    for key, value in entries:
        yield from leaves(value, (*place, key))


def examples() -> list[Example]:
    """Those of every file beside this one, in the order of the files, then those of other packages."""
    here, found = Path(__file__).parent, list[Example]()
    for path in sorted((here / "router_examples").glob("*.py")):
        found += importlib.import_module(f"tests.unit.router_examples.{path.stem}").EXAMPLES
    named = os.environ.get("HEADGATE_ROUTER_EXAMPLES", "").split(os.pathsep)
    for other in [here.parent / "extension_example" / "conformance.py", *filter(None, named)]:
        found += runpy.run_path(str(other))["EXAMPLES"]
    return found


KINDS = ("setHeaderRoute", "setMirrorRoute", "sessionAffinity")
AFFINITY = {"cookieName": "stay", "path": "/checkout", "stayOnStable": True}
"""As a Rollout writes it."""


def step(kind: str, value: str = "next", name: str = "") -> Object:
    """A step that sets a route for requests with a header of this value; each kind has a header of its own."""
    if kind == "sessionAffinity":
        return {kind: {"name": name or SESSION, "attempt": value}}
    header = "x-version" if kind == "setHeaderRoute" else "x-copied"
    route: Object = {"name": name or kind.lower()}
    route["match"] = [{"headerName": header, "headerValue": {"exact": value}}]
    return {kind: route | ({"percentage": 20} if kind == "setMirrorRoute" else {})}


def experiment(**weights: int | None) -> Object:
    """A step whose variants of these names have these parts of the requests, by the Services `checkout-NAME`."""
    variants = [
        {"name": name, "specRef": "Stable", "service": f"{STABLE}-{name}", "weight": weight}
        for name, weight in weights.items()
    ]
    return {"experiment": {"variants": variants, "gate": {"ref": {"name": "compare"}}}}


def made(asked: Mapping[str, Any] | Step) -> Step:
    """A step of a Rollout; and of those by `step` one for sessions, which no Rollout has."""
    if isinstance(asked, Step):
        return asked
    if "sessionAffinity" in asked:
        found = sessions(SessionAffinity.model_validate(AFFINITY), asked["sessionAffinity"]["attempt"], 1)
        return found[0] if asked["sessionAffinity"]["name"] == SESSION else found[1]
    return Step.model_validate(asked)


def with_routes(example: Example) -> Canary:
    """A strategy whose steps set every route and share that this router can do, so that it knows them."""
    steps = [step(kind, value) for kind in KINDS if kind in example.routes for value in ("next", "later")]
    steps += [experiment(baseline=10), experiment(baseline=20)] if example.shares else []
    return example.strategy(steps=steps or [{"setWeight": 5}])
