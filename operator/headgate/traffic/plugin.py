"""What a router of another package is built on, and what stands between it and all others when it fails."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from headgate.api.rollout import PLUGINS, Canary, Plugin
from headgate.decide.managed import ManagedRoute
from headgate.decide.types import RouteView
from headgate.extensions import name_of
from headgate.telemetry.logs import logger
from headgate.traffic.protocol import JSONPatch, Resource, Router, Target
from headgate.traffic.weighted import WeightedRouter, called, no_share, unable

FIELD = f"spec.strategy.canary.trafficRouting.{PLUGINS}"
WRITES = ("/spec/", "/metadata/annotations/")
"""How the paths begin that a router may write, besides all annotations where there are none."""
OPERATIONS = frozenset({"test", "add", "replace", "remove"})

T = TypeVar("T")
log = logger(__name__)


def parameters_of(canary: Canary, name: str) -> dict[str, str]:
    """What a Rollout says to the router of this name besides its places."""
    plugin = canary.routing.plugin(name)
    return {one.name: one.value for one in plugin.parameters} if plugin is not None else {}


def targets_of(canary: Canary, name: str) -> tuple[Target, ...]:
    """The places that a Rollout claims by the router of this name, in the order of its spec."""
    plugin = canary.routing.plugin(name)
    return _places(plugin) if plugin is not None else ()


def _places(plugin: Plugin) -> tuple[Target, ...]:
    return tuple(Target(ref.name, ref.rule or "") for ref in plugin.objects)


class PluginRouter(WeightedRouter):
    """A router of another package, which says what its `resource` is and where the claimed list stands."""

    name: str
    """As the package registers it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" in cls.__dict__:
            cls.key = f"{PLUGINS}.{cls.name}"
            cls.field = f"{FIELD}[{cls.name}].objects"

    def targets(self, canary: Canary) -> Sequence[Target]:
        """The objects that the Rollout names."""
        return targets_of(canary, self.name)


class Absent:
    """In the place of the routers of other packages that a Rollout names and that are not switched on (any more).

    What such a place gives to the canary nobody knows: it counts as everything, so that a way back leads through the
    selector of the canary Service, and nothing is scaled down behind what a mesh may still do.
    """

    key = PLUGINS
    resource = Resource("", "", "", "plugin")

    def __init__(self, present: Container[str]) -> None:
        self._present = present

    def targets(self, canary: Canary) -> Sequence[Target]:
        """The places of all routers that are not there."""
        absent = [plugin for plugin in canary.routing.plugins or () if plugin.key not in self._present]
        return [place for plugin in absent for place in _places(plugin)]

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """The object as a whole."""
        del canary, obj
        return f"{self.resource.kind}/{target.name}"

    def read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
        """That it cannot be read."""
        del obj
        problem = f"{FIELD}: the router of {target.name} is not there, so nobody can see or change what it does"
        return RouteView(
            self.key, self.resource.kind, target.name, target.rule, found=True, problem=problem, weight=canary.total
        )

    def unable(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """Nothing more."""
        del canary, obj, target
        return ""

    def set_weight(
        self,
        canary: Canary,
        obj: Mapping[str, Any],
        target: Target,
        weight: int,
        routes: Sequence[ManagedRoute] = (),
    ) -> JSONPatch:
        """Refuse it.

        Raises:
            ValueError: always.
        """
        del obj, weight, routes
        raise ValueError(self.read(canary, None, target).problem)


class Guarded:
    """A router of another package as all others see it: where it fails, the Rollout that uses it is told so.

    A place that cannot be read counts as giving everything to the canary, so that nothing is scaled down behind it, and
    the way back leads through the selector of the canary Service.
    """

    def __init__(self, router: Router, key: str) -> None:
        self._router = router
        self._name = name_of(key)
        self.key = key
        self.resource: Resource = router.resource
        self._told: set[str] = set()

    def targets(self, canary: Canary) -> Sequence[Target]:
        """What the Rollout claims. If the router cannot say it, what the spec names: reading it then says why."""
        places = targets_of(canary, self._name)
        if not places:
            return ()  # It was not asked for, whatever it would say.
        try:
            return self._targets(canary)
        except Exception as error:  # noqa: BLE001  other people's code
            self._failed("targets", error)
            return places

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """A stable key for the claimed place; the object as a whole if the router cannot say it."""
        found = self._try("claims", lambda: _is(str, self._router.claims(canary, obj, target)))
        return f"{self.resource.kind}/{target.name}" if isinstance(found, _Failure) else found

    def read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
        """The place as it stands, or that it could not be read."""
        found = self._try("read", lambda: self._read(canary, obj, target))
        if not isinstance(found, _Failure):
            return found
        metadata = (obj or {}).get("metadata")
        version = metadata.get("resourceVersion", "") if isinstance(metadata, Mapping) else ""
        return RouteView(
            self.key,
            self.resource.kind,
            target.name,
            target.rule,
            found=obj is not None,
            resource_version=str(version),
            problem=found.text,
            weight=canary.total if obj is not None else 0,
        )

    def unable(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """What of the steps cannot be done; that nobody knows, if the router cannot say it."""
        why = unable(canary, self._no_share)  # Of which no router of another package knows.
        if why:
            return why
        found = self._try("unable", lambda: _is(str, self._router.unable(canary, obj, target)))
        return found.text if isinstance(found, _Failure) else found

    def set_weight(
        self,
        canary: Canary,
        obj: Mapping[str, Any],
        target: Target,
        weight: int,
        routes: Sequence[ManagedRoute] = (),
    ) -> JSONPatch:
        """The patch for this weight and these routes.

        Raises:
            ValueError: if the router refuses, or fails, or would write what no router may, or a route is a share.
        """
        for route in routes:
            why = self._no_share(route)
            if why:
                raise ValueError(f"{self.resource.kind} {target.name}: {called(route)} {why}")
        return self._patch("set_weight", lambda: self._router.set_weight(canary, obj, target, weight, routes))

    # ------------------------------------------------------------------------------------------------ the other side

    def _no_share(self, route: ManagedRoute) -> str:
        return no_share(route, f"the extension {self._name}")

    def _targets(self, canary: Canary) -> tuple[Target, ...]:
        found = tuple(self._router.targets(canary))
        strange = [target for target in found if target not in targets_of(canary, self._name)]
        if strange:
            raise LookupError(f"{strange[0]} is not what the Rollout names")
        return found

    def _read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
        self._targets(canary)
        view = _is(RouteView, self._router.read(canary, obj, target))
        if (view.router, view.kind, view.name, view.rule) != (self.key, self.resource.kind, target.name, target.rule):
            raise LookupError(f"it read {view.kind} {view.name} of {view.router} in the place of {target.name}")
        weight: object = view.weight
        if isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= 100:  # noqa: PLR2004  percent
            raise ValueError("its weight is no whole number from 0 to 100")
        return view

    def _patch(self, what: str, made: Callable[[], JSONPatch]) -> JSONPatch:
        try:
            patch = list(made())
            wrong = next(_wrong(patch), "")
        except ValueError:
            raise  # As the protocol has it: the place cannot be worked with, and the message says why.
        except Exception as error:
            raise ValueError(self._failed(what, error)) from error
        if wrong:
            raise ValueError(self._failed(what, PermissionError(wrong)))
        return patch

    def _try(self, what: str, asked: Callable[[], T]) -> T | _Failure:
        try:
            return asked()
        except Exception as error:  # noqa: BLE001  other people's code
            return _Failure(self._failed(what, error))

    def _failed(self, what: str, error: Exception) -> str:
        """A sentence for people. The log says more, once: what an error quotes may be nobody's business."""
        kind = type(error).__name__
        if f"{what} {kind}" not in self._told:
            self._told.add(f"{what} {kind}")
            log.error("an extension failed", router=self.key, what=what, exc_info=error)
        return (
            f"{FIELD}[{self._name}]: the extension failed in {what} ({kind}); the operator's log has the rest. Tell "
            "the author of the extension, or use another router"
        )


class _Failure:
    """In the place of an answer: why there is none."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _is(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} is no {kind.__name__}")
    return value


def _wrong(patch: JSONPatch) -> Iterator[str]:
    """What a patch would do that is not a router's to do."""
    for one in patch:
        path = str(one["path"])
        if one["op"] not in OPERATIONS:
            yield f"it would {one['op']}"
        if not path.startswith(WRITES) and path != WRITES[1].rstrip("/"):
            yield f"it would write {path[:100]}"
