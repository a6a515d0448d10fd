"""What is ours in routers' objects: routes for sessions, what the steps have set so far, in order, and shares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from headgate.api.rollout import SESSION, STABLE_SESSION, Canary, Step
from headgate.api.routes import HeaderRoute, RouteMatch, SessionAffinity, StringMatch
from headgate.api.values import dataclass

if TYPE_CHECKING:
    from headgate.api.rollout import RevisionRef
    from headgate.decide.types import Plan, PlanView

STEPS = "spec.strategy.canary.steps"
AFFINITY = "spec.strategy.canary.trafficRouting.sessionAffinity"
OF_OURS = "headgate."
"""How the values of our cookies begin."""
SHARE = "service/"
"""How the names of shares begin, which no step's route can be called."""
UNKNOWN = "?"
"""In the place of the digest: a route of ours that is not what we wrote."""


@dataclass(frozen=True, slots=True)
class ManagedRoute:
    """One route that a step has set, or the part of the requests that a variant of an experiment has."""

    name: str
    """Of a share by its Service: by that alone it is known, whatever a step calls the variant."""
    match: tuple[RouteMatch, ...]
    percentage: int | None = None
    """Of the requests that are copied to the canary; None if the requests themselves go there."""
    cookie: str = ""
    """What answers by weight say in `Set-Cookie`, so that their users come back by this route."""
    service: str = ""
    """Of the variant that has a share; empty for every other route."""
    share: int = 0
    """Parts of `Canary.total`, by which stable has less."""

    @property
    def to(self) -> str:
        """Who answers its requests: `canary`, of sessions `stable`, or of a share `variant`."""
        if self.service:
            return "variant"
        return "stable" if self.cookie and self.name == STABLE_SESSION else "canary"

    @property
    def key(self) -> str:
        """Its name and a digest of the rest: equal keys are the same route."""
        return f"{self.name}@{_digest(self.match, self.percentage, self.cookie, self.service, self.share)}"


class SessionRoute(HeaderRoute):
    """A route for sessions, as a step would set it; no spec can."""

    cookie: str


def unknown(name: str) -> str:
    """The key of a route of this name that is not what we wrote."""
    return f"{name}@{UNKNOWN}"


def keys_of(routes: Iterable[ManagedRoute]) -> tuple[str, ...]:
    """Their keys, in order."""
    return tuple(route.key for route in routes)


def is_share(key: str) -> bool:
    """Whether what has this key leads to a variant, and so not to the canary."""
    return key.startswith(SHARE)


def service_of(key: str) -> str:
    """The Service that the share with this key leads to."""
    return key.removeprefix(SHARE).rpartition("@")[0]


def to_canary(keys: Iterable[str]) -> tuple[str, ...]:
    """Those of these keys that are no shares."""
    return tuple(key for key in keys if not is_share(key))


def names_of(keys: Iterable[str]) -> str:
    """The routes of these keys, for people."""
    return ", ".join(key.rpartition("@")[0] for key in keys)


def awaited(wanted: tuple[str, ...], there: tuple[str, ...]) -> str:
    """What a place is still to do that is to have other routes than it has: what leads to the canary comes first."""
    what = "lead to the canary by"
    one, other = to_canary(wanted), to_canary(there)
    if one == other:
        what = "share the requests with"
        one, other = (tuple(filter(is_share, keys)) for keys in (wanted, there))
    return f"{what} {names_of(one) or 'none'} (now {names_of(other) or 'none'})"


def set_by(step: Step) -> ManagedRoute | None:
    """The route that a step sets; None if it sets none, or takes one out."""
    header, mirror = step.set_header_route, step.set_mirror_route
    if header is not None and header.match:
        cookie = header.cookie if isinstance(header, SessionRoute) else ""
        return ManagedRoute(header.name, tuple(header.match), cookie=cookie)
    if mirror is not None and mirror.match:
        percentage = 100 if mirror.percentage is None else mirror.percentage
        return ManagedRoute(mirror.name, tuple(mirror.match), percentage)
    return None


def shares(step: Step) -> tuple[ManagedRoute, ...]:
    """The parts of the requests that variants have while this step lasts, in the order of their Services."""
    variants = step.experiment.variants if step.experiment is not None else []
    found = [
        ManagedRoute(f"{SHARE}{variant.service}", (), service=variant.service, share=variant.weight)
        for variant in variants
        if variant.service and variant.weight
    ]
    return tuple(sorted(found, key=lambda one: one.service))


@lru_cache(maxsize=1024)
def sessions(affinity: SessionAffinity, pod_hash: str, attempt: int) -> tuple[Step, ...]:
    """The routes by which the users stay whom this attempt has answered, or stable meanwhile, as steps.

    Both are one cookie, so that nobody has two.
    """
    value = f"{OF_OURS}{pod_hash}.{attempt}"
    canary = _session(affinity, SESSION, value)
    return (canary, _session(affinity, STABLE_SESSION, f"{value}.stable")) if affinity.stay_on_stable else (canary,)


def _session(affinity: SessionAffinity, name: str, value: str) -> Step:
    said = [f"{affinity.cookie_name}={value}", f"Path={affinity.path}", f"Max-Age={affinity.max_age}"]
    said += ["HttpOnly"] if affinity.http_only else []
    said += ["Secure"] if affinity.secure else []
    said += [f"SameSite={affinity.same_site}"] if affinity.same_site else []
    match = RouteMatch(cookie_name=affinity.cookie_name, cookie_value=StringMatch(exact=value))
    return Step(set_header_route=SessionRoute(name=name, match=[match], cookie="; ".join(said)))


def leading(plan: Plan, run: RevisionRef, weight: int, routes: tuple[ManagedRoute, ...]) -> tuple[ManagedRoute, ...]:
    """What leads requests besides a weight: the routes for sessions while there is one, and those of the steps.

    Who stays with the canary comes first, so that he is copied to nobody; who stays on stable comes last, so that he
    may ask for the canary by header. Shares are no rules, and stand behind all of those.
    """
    if plan.session is None or not weight:
        return routes
    first, *last = all_of(sessions(plan.session, run.pod_hash, run.attempt))
    return (first, *(r for r in routes if not r.service), *last, *(r for r in routes if r.service))


def is_session(text: str) -> bool:
    """Whether what stands in a `Set-Cookie` is of ours."""
    return text.partition("=")[2].startswith(OF_OURS)


def asked(canary: Canary) -> list[tuple[str, Step]]:
    """All that a spec asks for, with its field and in the order of `leading`; sessions as those of some attempt."""
    affinity = canary.traffic_routing.session_affinity if canary.traffic_routing is not None else None
    stay = [(AFFINITY, step) for step in sessions(affinity, "", 0)] if affinity is not None else []
    steps = [(f"{STEPS}[{number}]", step) for number, step in enumerate(canary.steps)]
    return [*stay[:1], *steps, *stay[1:]]


def after(steps: Iterable[Step]) -> tuple[ManagedRoute, ...]:
    """The routes that are there after these steps; whose name was set first stands first."""
    found: dict[str, ManagedRoute] = {}
    for step in steps:
        wanted = step.set_header_route or step.set_mirror_route
        if wanted is None:
            continue
        route = set_by(step)
        if route is None:
            found.pop(wanted.name, None)
        else:
            found[wanted.name] = route
    return tuple(found.values())


def together(steps: Iterable[Step]) -> dict[tuple[ManagedRoute, tuple[ManagedRoute, ...]], None]:
    """Each route that some of these steps sets, with those that stand after it, for each time of a release."""
    done: list[Step] = []
    found: dict[tuple[ManagedRoute, tuple[ManagedRoute, ...]], None] = {}
    for step in steps:
        done.append(step)
        if set_by(step) is not None:
            there = after(done)
            found |= dict.fromkeys((route, there[place + 1 :]) for place, route in enumerate(there))
    return found


def all_of(steps: Iterable[Step]) -> tuple[ManagedRoute, ...]:
    """Every route that some of these steps sets; shares are none."""
    found = {route.key: route for step in steps if (route := set_by(step)) is not None}
    return tuple(found.values())


def recorded(canary: Canary, plans: Iterable[PlanView]) -> Canary:
    """The strategy with the steps of these records, too, if one of them sets a route or a share: so each is known."""
    views = list(plans)
    steps = [step for view in views for step in view.plan.steps if set_by(step) is not None or shares(step)]
    for view in views:
        if view.plan.session is not None:
            steps += sessions(view.plan.session, view.pod_hash, view.attempt)
    return canary.model_copy(update={"steps": [*canary.steps, *steps]}) if steps else canary


@lru_cache(maxsize=1024)
def _digest(match: tuple[RouteMatch, ...], percentage: int | None, cookie: str, service: str, share: int) -> str:
    parts = [one.model_dump_json(by_alias=True, exclude_none=True) for one in match]
    of_variant = f" {service} {share}" if service else ""  # Others have the digests that journals know.
    return hashlib.sha256(f"{percentage} {parts}{cookie}{of_variant}".encode()).hexdigest()[:8]
