"""Routers whose claimed place is one rule of several: routes of ours are rules of their own, put before it.

A rule of ours is the claimed rule again, for fewer requests: filters, timeouts and all else of it are the same. Where
rules have names ours have one by which they are known; where they have none, or an older definition drops them, a rule
is known by what it does: it leads to the canary Service by what a recorded step asks for.

Of two routes the one that was set first has the requests that both match. A router that serves the rule which asks for
most, wherever it stands, needs that said: the first one also asks for what both ask for.

A route for sessions has a second part, in the claimed rule: the entry of its Service sets the cookie that the rule asks
for. Other rules of ours are made of the claimed one with it, so that whoever meets the canary by them stays, too.

A variant's share of the requests is no rule but an entry of the claimed list, known by its Service, and all of it is
ours. What is copied is shared out as the claimed rule is, so that a mirror has the shares, too.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from headgate.api.rollout import SESSION, STABLE_SESSION, Canary
from headgate.decide.managed import SHARE, ManagedRoute, all_of, asked, keys_of, shares, together, unknown
from headgate.decide.types import RouteView
from headgate.traffic.backends import VARIANT, Backend, Backends, shared_out, within
from headgate.traffic.parts import Path, entries, mapping, pointer
from headgate.traffic.protocol import JSONPatch, Target
from headgate.traffic.weighted import Place, WeightedRouter, called, unable

OURS = "headgate"
"""How the names of our rules begin."""
SET_COOKIE = "Set-Cookie"
ROLES = {"canary": SESSION, "stable": STABLE_SESSION}
"""The two Services of a place, and the route for the sessions of each."""
Rule = Mapping[str, Any]


class RuledRouter(WeightedRouter):
    """A router that says where the rules are, and what a route of ours looks like among them."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    """What the server's definition puts where nothing is said, by key."""
    named: ClassVar[bool] = True
    """Rules have names."""
    listed: ClassVar[str]
    """Which list of the object's spec has the rules, where it is one for all."""
    sessions: ClassVar[bool] = False
    """An entry of a rule can add a cookie to the answers of its Service."""

    @abstractmethod
    def find(self, place: Place) -> tuple[int | None, str]:
        """The index of the claimed rule, which is none of ours, or None and why there is none."""

    @abstractmethod
    def rendered(
        self, place: Place, rule: Rule, route: ManagedRoute, others: Sequence[ManagedRoute]
    ) -> list[dict[str, Any]] | str:
        """A route of ours, without its name, made of the claimed rule; or what keeps it from being made.

        The rule lists both Services, as a place must that can be worked with. What it has in common with `others` is
        its own, which needs more than its place only where another rule can win.
        """

    def does(self, place: Place, rule: Rule, route: ManagedRoute) -> bool:
        """Whether a rule without a name leads to the canary by what this route asks for; not where names are kept."""
        del place, rule, route
        return False

    def mark(self, rule: Rule) -> tuple[str | int, ...]:
        """Where in one of our rules without a name the name of a Service stands, by which it is tested."""
        del rule
        return ("name",)

    def cookies(self, entry: Rule) -> list[str]:
        """The cookies of ours that an entry of a rule adds to the answers of its Service."""
        del entry
        return []

    def cookied(self, entry: Rule, cookie: str) -> Rule | str:
        """The entry when it adds this cookie and no other of ours, or none; or what keeps it from being made."""
        del cookie
        return entry

    def lists(self, place: Place) -> Sequence[Backends]:
        """The claimed list, or where it cannot be told all that could be it; only of a router that can do shares."""
        del place
        return ()

    def entry(self, canary: Rule, share: ManagedRoute) -> Rule:
        """The entry of a share in a list where the canary has this one; only of a router that can do shares."""
        del canary, share
        raise NotImplementedError

    def rules_in(self, place: Place) -> str:
        """Which list of the object's spec has the rules of this place."""
        del place
        return self.listed

    def called(self, place: Place) -> str:
        """How the names of our rules for this place begin; empty where rules have no names."""
        return f"{OURS}.{place.canary.canary_service}" if self.named else ""

    def rules(self, place: Place) -> list[Rule]:
        """All of them."""
        return place.once("rules", lambda: list(entries(mapping(place.obj, "spec"), self.rules_in(place))))

    def foreign(self, place: Place) -> Iterator[tuple[int, Rule]]:
        """Those that are not ours, by index."""
        for index, rule in enumerate(self.rules(place)):
            if not self._ours(place, rule):
                yield index, rule

    def seen(self, place: Place) -> RouteView:
        """The place as it stands, with the routes of ours."""
        view = super().seen(place)
        mine, cookies = self._mine(place), self._cookies(place)
        keys = self._keys(place, mine, cookies) if mine or cookies else ()
        managed = (*keys, *self._share_keys(place))
        return replace(view, managed=managed) if managed else view

    def set_weight(
        self,
        canary: Canary,
        obj: Mapping[str, Any],
        target: Target,
        weight: int,
        routes: Sequence[ManagedRoute] = (),
    ) -> JSONPatch:
        """The patch that gives the canary `weight` and these routes, and stable the rest, touching nothing else.

        A place that cannot be worked with loses our routes all the same, and nothing else in it is changed, but that
        stable gets what shares had.

        Raises:
            ValueError: if the place cannot be worked with, or the weight is none, or a route cannot be made.
        """
        within(canary, weight)
        place = Place(canary, obj, target)
        mine, rules, index = self._mine(place), self.rules(place), self._sound(place)
        if not routes and index is None:
            gone = [*self._set_cookies(place, {}), *self._given_back(place), *self._arranged(place, mine, [], 0)]
            if gone:
                return _tests_first(gone)
        found = self.workable(place, routes)
        parts, routes = [one for one in routes if one.service], [one for one in routes if not one.service]
        both = next((one for one in parts if one.service in (canary.stable_service, canary.canary_service)), None)
        if both is not None:
            raise ValueError(
                f"{self.resource.kind} {target.name}: {called(both)} has requests as a variant and as one of the two "
                "versions; give the variant a Service of its own"
            )
        apart = sum(one.share for one in parts)
        patch = found.set_weight(canary, weight, apart)
        cookies = {route.to: route.cookie for route in routes if route.cookie}
        patch += self._set_cookies(place, cookies)
        surplus, added = self._compared(place, found, parts)
        patch += _listed(found, surplus, added)
        if index is None or not (mine or routes):
            return _tests_first(patch)
        rule = self._with_cookies(place, rules[index], cookies)
        rule = _weighted(rule, found, shared_out(canary, weight, apart), surplus, added)
        will_be = self._with_rule(place, index, rule)
        made = [
            one
            for number, route in enumerate(routes)
            for one in self._named(will_be, rule, route, routes[number + 1 :])
        ]
        there = [rules[here] for here, _ in mine if here < index]
        if len(mine) == len(there) == len(made) and all(map(self._same, made, there)):
            return _tests_first(patch)
        return _tests_first([*patch, *self._arranged(place, mine, made, index)])

    def unable(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """What of the steps cannot be done here; also what the claimed rule leaves no room for."""
        why = super().unable(canary, obj, target)
        steps = [step for _, step in asked(canary)]
        if why or obj is None or not all_of(steps):
            return why
        place = Place(canary, obj, target)
        index = self._sound(place)
        if index is None:
            return ""  # What is wrong with the place is said by `read`.
        rule = self.rules(place)[index]
        found = [(r, _why(self._made(place, rule, r, later))) for r, later in together(steps)]
        return unable(canary, lambda route: next((why for r, why in found if r == route and why), ""))

    # ------------------------------------------------------------------------------------------------ ours

    def _ours(self, place: Place, rule: Rule) -> str:
        """The name of the route that a rule is; empty if it is none of ours."""
        head, name = self.called(place), rule.get("name")
        if head and isinstance(name, str) and name:
            before, _, route = name.rpartition(".")
            return route if before == head else ""
        return next((r.name for r in all_of(place.canary.steps) if self.does(place, rule, r)), "")

    def _sound(self, place: Place) -> int | None:
        """The index of the claimed rule, if weights can be written to it."""

        def index() -> int | None:
            found = self.claimed(place)
            if isinstance(found, str) or found.problem(place.canary, writing=True):
                return None
            return self.find(place)[0]

        return place.once("sound", index)

    def _mine(self, place: Place) -> list[tuple[int, str]]:
        """Index and name of our routes."""
        found = [(index, self._ours(place, rule)) for index, rule in enumerate(self.rules(place))]
        return [(index, name) for index, name in found if name]

    def _keys(
        self, place: Place, mine: Sequence[tuple[int, str]], cookies: Sequence[tuple[str, str]]
    ) -> tuple[str, ...]:
        """The routes that our rules are, the last one first, because a rule depends on the routes after it.

        A cookie is a part of a route for sessions: without its rule that is one which nobody wants.
        """
        rules, index = self.rules(place), self._sound(place)
        said = {role: [cookie for of, cookie in cookies if of == role] for role, _ in cookies}
        keys: list[str] = []
        later: list[ManagedRoute] = []
        left = list(mine)
        while left:
            here, name = left[-1]
            steps = place.canary.steps if index is not None and here < index else []
            known = [r for r in all_of(steps) if r.name == name]
            found = ""
            length = 1
            for route in known:
                made = self._made(place, rules[index or 0], route, later)
                if isinstance(made, str) or (route.cookie and said.get(route.to) != [route.cookie]):
                    continue
                there = [rules[at] for at, _ in left[-len(made) :]]
                if len(there) == len(made) and all(map(self._same, made, there)):
                    found, length, known = route.key, len(made), [route]
                    break
            keys.insert(0, found or unknown(name))
            later[:0] = known[:1]
            del left[-length:]
        alone = [ROLES[role] for role in said if not any(key.startswith(f"{ROLES[role]}@") for key in keys)]
        return (*map(unknown, alone), *keys)

    def _made(
        self, place: Place, rule: Rule, route: ManagedRoute, later: Sequence[ManagedRoute]
    ) -> list[dict[str, Any]] | str:
        """The rules of a route before these others; those that do the same as it does make no difference."""
        others = [one for one in later if (one.percentage, one.to) != (route.percentage, route.to)]
        if route.cookie:
            if not self.sessions:
                return (
                    f"needs a cookie on the answers of the canary alone, which a {self.resource.kind} cannot add; use "
                    "an HTTPRoute or a VirtualService, or remove it"
                )
            served = [entry for role, entry in _of_both(self.claimed(place), rule) if role == route.to]
            why = next(filter(None, (_why(self.cookied(entry, route.cookie)) for entry in served)), "")
            if why:
                return why
            rule = self._with_cookies(place, rule, {})  # Who comes back has the cookie.
        made, head = self.rendered(place, rule, route, others), self.called(place)
        return made if isinstance(made, str) or not head else [{"name": f"{head}.{route.name}", **one} for one in made]

    def _named(
        self, place: Place, rule: Rule, route: ManagedRoute, later: Sequence[ManagedRoute]
    ) -> list[dict[str, Any]]:
        made = self._made(place, rule, route, later)
        if isinstance(made, str):
            raise ValueError(f'{self.resource.kind} {place.target.name}: the route "{route.name}" {made}')  # noqa: TRY004  of the object
        return made

    def _same(self, made: Rule, there: Rule) -> bool:
        """Whether a stored rule is what was made, whether the server keeps names or not."""
        named = there.get("name") is not None
        return equal({k: v for k, v in made.items() if named or k != "name"}, there, self.defaults)

    def _share_keys(self, place: Place) -> tuple[str, ...]:
        """The shares that stand in the claimed list, whatever else is wrong with it, in the order of their Services."""
        lists, sound = self._lists(place), self._sound(place) is not None
        known = [share for step in place.canary.steps for share in shares(step)] if sound else []
        keys: dict[str, str] = {}
        for found in lists:
            for one in (entry for entry in found.entries if entry.role == VARIANT):
                part = found.part(place.canary.total, (entry for entry in found.entries if entry.name == one.name))
                right = (s for s in known if s.service == one.name and s.share == part and self._is(place, found, s))
                keys[one.name] = next(iter(keys_of(right)), unknown(f"{SHARE}{one.name}"))
        return tuple(key for _, key in sorted(keys.items()))

    def _lists(self, place: Place) -> Sequence[Backends]:
        return self.lists(place) if self.shares and any(map(shares, place.canary.steps)) else ()

    def _is(self, place: Place, found: Backends, share: ManagedRoute) -> bool:
        """Whether the list has the entry of this share, and no other of its Service."""
        there = [one for one in found.entries if one.name == share.service]
        return len(there) == 1 and equal(
            self._entry(place, found, share), _at(place.obj, (*found.path, there[0].index)), self.defaults
        )

    def _entry(self, place: Place, found: Backends, share: ManagedRoute) -> Rule:
        canary = next(one for one in found.entries if one.role == "canary")
        return self.entry(_at(place.obj, (*found.path, canary.index)), share)

    def _compared(
        self, place: Place, found: Backends, wanted: Sequence[ManagedRoute]
    ) -> tuple[list[Backend], list[Rule]]:
        """What the list has too much and what it is short of, if it is to have the entries of these shares."""
        there = {share.service for share in wanted if self._is(place, found, share)}
        surplus = [one for one in found.entries if one.role == VARIANT and one.name not in there]
        return surplus, [self._entry(place, found, share) for share in wanted if share.service not in there]

    def _given_back(self, place: Place) -> JSONPatch:
        """The shares taken out of a place that cannot be worked with, where that gives nobody else more than before.

        Stable gets what they had; where it is not there, or its weight is none, the others would get it.
        """
        patch: JSONPatch = []
        for found in self._lists(place):
            parts = [one for one in found.entries if one.role == VARIANT]
            stable = [one for one in found.entries if one.role == "stable"]
            if parts and len(stable) == 1 and all(one.sound for one in (*parts, *stable)):
                whole = stable[0].weight + sum(one.weight for one in parts)
                patch += [*found.written(stable[0], whole), *_listed(found, parts, [])]
        return patch

    def _with_rule(self, place: Place, index: int, rule: Rule) -> Place:
        """The place with this rule in the place of the claimed one."""
        rules, where = self.rules(place), self.rules_in(place)
        spec = {**mapping(place.obj, "spec"), where: [*rules[:index], rule, *rules[index + 1 :]]}
        return replace(place, obj={**place.obj, "spec": spec})

    def _cookies(self, place: Place) -> list[tuple[str, str]]:
        """Those of ours that the claimed rule sets, with the role of the Service, whatever else is wrong with it."""
        found = self.claimed(place) if self.sessions else ""
        listed = [] if isinstance(found, str) else _of_both(found, _at(place.obj, found.path[:3]))
        return [(role, cookie) for role, entry in listed for cookie in self.cookies(entry)]

    def _with_cookies(self, place: Place, rule: Rule, cookies: Mapping[str, str]) -> Rule:
        """The claimed rule, whose two Services set these cookies by their roles, and no others of ours."""
        found = self.claimed(place)
        if isinstance(found, str) or not found.entries:
            return rule
        there = _at(rule, found.path[3:])
        both = [one for one in found.entries if one.role in ROLES]
        made = {one.index: self.cookied(there[one.index], cookies.get(one.role, "")) for one in both}
        other = {i: entry for i, entry in made.items() if not isinstance(entry, str) and entry is not there[i]}
        if not other:
            return rule
        after = copy.deepcopy(dict(rule))
        listed = _at(after, found.path[3:])
        for index, entry in other.items():
            listed[index] = entry
        return after

    def _set_cookies(self, place: Place, cookies: Mapping[str, str]) -> JSONPatch:
        """The change of the claimed rule by which its two Services set these, and no others of ours."""
        found = self.claimed(place)
        if isinstance(found, str) or not found.entries:
            return []
        rule = _at(place.obj, found.path[:3])
        before, after = (_at(one, found.path[3:]) for one in (rule, self._with_cookies(place, rule, cookies)))
        return [
            op
            for index, (old, new) in enumerate(zip(before, after, strict=True))
            if old != new
            for op in _changed((*found.path, index), old, new)
        ]

    def _arranged(self, place: Place, mine: Sequence[tuple[int, str]], made: Sequence[Rule], index: int) -> JSONPatch:
        """Our rules taken out, each tested by its name to be what was read, and these put before the claimed one.

        By nothing that users may write: the API server compares texts as they are escaped, and `<` in two ways differs.
        """
        where, rules = f"/spec/{self.rules_in(place)}", self.rules(place)
        ours = [here for here, _ in mine]
        marks = [(here, ("name",) if rules[here].get("name") else self.mark(rules[here])) for here in ours]
        patch: JSONPatch = [
            {"op": "test", "path": "/".join((where, str(here), *map(str, mark))), "value": _at(rules[here], mark)}
            for here, mark in marks
        ]
        patch += [{"op": "remove", "path": f"{where}/{here}"} for here in reversed(ours)]
        first = index - sum(here < index for here in ours)
        return patch + [{"op": "add", "path": f"{where}/{first + i}", "value": rule} for i, rule in enumerate(made)]


def _of_both(found: Backends | str, rule: Rule) -> list[tuple[str, Rule]]:
    """The entries of the two Services in a claimed rule, with the role of each."""
    if isinstance(found, str) or not found.entries:
        return []
    listed = _at(rule, found.path[3:])
    return [(one.role, listed[one.index]) for one in found.entries if one.role in ROLES]


def _tests_first(patch: JSONPatch) -> JSONPatch:
    return sorted(patch, key=lambda op: op["op"] != "test")


def _changed(where: Path, before: Rule, after: Rule) -> JSONPatch:
    """What makes the one of the other, key by key."""
    gone: JSONPatch = [{"op": "remove", "path": pointer((*where, key))} for key in before if key not in after]
    return gone + [
        {"op": "replace" if key in before else "add", "path": pointer((*where, key)), "value": value}
        for key, value in after.items()
        if key not in before or before[key] != value
    ]


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for key in path:
        value = value[key]
    return value


def one_match(route: ManagedRoute, what: str) -> str:
    """That a rule, `what`, has one list of conditions, all of which must hold; empty for a route of one match."""
    several = f"has {len(route.match)} matches, and {what} has one; set a route for each"
    return several if len(route.match) > 1 else ""


def taken(where: str) -> str:
    """That the header of our cookie is somebody else's matter there."""
    return f"cannot set its cookie, because {where} says something of {SET_COOKIE} already; take that out"


def _why(made: Any) -> str:
    return made if isinstance(made, str) else ""


def _listed(found: Backends, surplus: Sequence[Backend], added: Sequence[Rule]) -> JSONPatch:
    """These entries taken out of the list, each tested by its name to be what was read, and those put at its end."""
    first = len(found.entries) - len(surplus)
    return [
        *map(found.tested, surplus),
        *({"op": "remove", "path": pointer((*found.path, one.index))} for one in reversed(surplus)),
        *({"op": "add", "path": pointer((*found.path, first + i)), "value": one} for i, one in enumerate(added)),
    ]


def _weighted(
    rule: Rule, backends: Backends, wanted: Mapping[str, int], surplus: Sequence[Backend], added: Sequence[Rule]
) -> Rule:
    """The claimed rule as it will be: the two Services with these weights, without and with these entries."""
    after = copy.deepcopy(dict(rule))
    listed = _at(after, backends.path[3:])
    for entry in (one for one in backends.entries if one.role in wanted):
        listed[entry.index]["weight"] = wanted[entry.role]
    for entry in reversed(surplus):
        del listed[entry.index]
    listed += added
    return after


def equal(made: Any, there: Any, defaults: Mapping[str, Any]) -> bool:
    """Whether a stored value is what was made; what the server's definition adds by itself makes no difference."""
    if isinstance(made, Mapping) and isinstance(there, Mapping):
        added = there.keys() - made.keys()
        return all(key in defaults and defaults[key] == there[key] for key in added) and all(
            key in there and equal(value, there[key], defaults) for key, value in made.items()
        )
    if isinstance(made, list | tuple) and isinstance(there, list | tuple):
        return len(made) == len(there) and all(equal(*pair, defaults) for pair in zip(made, there, strict=True))
    return bool(made == there)
