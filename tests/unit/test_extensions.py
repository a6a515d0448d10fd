"""Routers and checks of other packages: found by name, used if an admin names them, and alone in their failures."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from headgate.api.config import OperatorConfig
from headgate.api.rollout import Canary
from headgate.checks.guarded import GuardedProvider
from headgate.checks.registry import providers_of
from headgate.decide import problems
from headgate.decide.managed import ManagedRoute, shares
from headgate.decide.queries import problems_of
from headgate.decide.types import (
    Answer,
    Decision,
    OutcomeKind,
    Question,
    RenderedQuery,
    RouteView,
    SetWeight,
    Snapshot,
)
from headgate.engine import main as engine_main
from headgate.engine.sources import watched
from headgate.observe.references import References
from headgate.telemetry import logs
from headgate.traffic.plugin import Guarded, PluginRouter, parameters_of
from headgate.traffic.protocol import JSONPatch, Resource, Router, Target
from headgate.traffic.registry import ROUTERS, routers_of
from headgate.traffic.weighted import Place
from tests.unit.conftest import metadata
from tests.unit.engine_world import ROLLOUT, World, rollout
from tests.unit.router_example import STABLE, examples, experiment, made
from tests.unit.test_field_bugs import gate

SHARE = "/apis/mesh.example.org/v1/namespaces/shop/trafficshares/checkout-share"
(EXAMPLE,) = (example for example in examples() if example.id == "TrafficShare")
ENABLED = OperatorConfig(routers=("gatewayAPI", "plugins.example"))


def config(**settings: Any) -> OperatorConfig:
    """A configuration."""
    return OperatorConfig.model_validate(settings)


def filed(**settings: str) -> OperatorConfig:
    """A configuration with a provider of the example's kind."""
    provider = {"kind": "plugins.example", "address": "http://localhost", "settings": settings}
    templates = {"t": {"query": 'errors of {{team}} in {{namespace}}, "{{team}}"'}}
    return config(metricProviders={"default": provider}, queryTemplates=templates)


# --------------------------------------------------------------------------------------------------------------------
# Which there are
# --------------------------------------------------------------------------------------------------------------------


def test_what_is_installed_is_not_active() -> None:
    """The example is there for all these tests, and an operator whose admin does not name it does not even load it."""
    sys.modules.pop("headgate_example.router", None)
    assert set(routers_of(OperatorConfig())) == {*ROUTERS, "plugins"}
    assert "headgate_example.router" not in sys.modules
    assert "TrafficShare" not in {source.kind for source in watched(ROUTERS, OperatorConfig())}


def test_an_author_names_his_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The conformance suite runs on what the environment names, beside all that is here."""
    (tmp_path / "mine.py").write_text("from tests.unit.router_examples.smi import EXAMPLES\n", encoding="utf-8")
    before = examples()
    monkeypatch.setenv("HEADGATE_ROUTER_EXAMPLES", str(tmp_path / "mine.py"))
    assert [example.id for example in examples()] == [*(example.id for example in before), "TrafficSplit"]


def test_what_an_admin_names_is_used_and_its_kind_is_watched() -> None:
    """By the name that the configuration has for it, next to Headgate's own."""
    routers = routers_of(ENABLED)
    assert set(routers) == {*ROUTERS, "plugins", "plugins.example"}
    kinds = {source.kind: source for source in watched(routers, ENABLED)}
    assert kinds["TrafficShare"].resource.plural == "trafficshares"
    assert kinds["TrafficShare"].optional
    assert kinds["HTTPRoute"].optional


def test_a_name_that_no_package_has_is_a_mistake_of_the_admin() -> None:
    """The message names the field and those that there are."""
    with pytest.raises(
        ValueError, match=r"^routers\[1\]: no installed package .*'exmaple'.* there are: plugins.example\."
    ):
        routers_of(OperatorConfig(routers=("gatewayAPI", "plugins.exmaple")))
    with pytest.raises(
        ValueError, match=r"^metricProviders.default.kind: no installed package has an entry point 'other'"
    ):
        providers_of(config(metricProviders={"default": {"kind": "plugins.other", "address": "http://x"}}))


TAKEN = """
from headgate_example.router import *
class R(TrafficShareRouter):
    name = "broken"
    resource = Resource("x.example.org", "v1", "httproutes", "HTTPRoute")
"""
BROKEN = {
    "import error": ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
    "exit at import": ("raise SystemExit(0)", "cannot be imported: SystemExit"),
    "no such class": ("", "cannot be imported: AttributeError"),
    "older protocol": ("class R:\n    headgate_protocol = 0", "is written for version 0 of the protocol"),
    "no protocol": ("class R: ...", "is written for version None of the protocol"),
    "cannot be made": ("class R:\n    headgate_protocol = 1\n    def __init__(self): 1 / 0", "cannot be made: ZeroDiv"),
    "no router": ("class R:\n    headgate_protocol = 1", "is no router: it has no targets, claims, read"),
    "another key": (
        "from headgate_example.router import *\nclass R(TrafficShareRouter):\n    name = 'example'",
        "its key must be plugins.broken",
    ),
    "another kind's name": (
        TAKEN,
        "keeps its weights in a HTTPRoute, which is what gatewayAPI calls another kind",
    ),
}


@pytest.fixture
def broken(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package is installed that has a fault; its message."""
    source, message = BROKEN[request.param]
    (tmp_path / "broken_extension.py").write_text(source, encoding="utf-8")
    entries = {"headgate.routers": {"broken": "broken_extension:R"}}
    metadata(tmp_path, {"name": "broken", "version": "1", "entry-points": entries})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_extension", raising=False)
    return message


@pytest.mark.parametrize("broken", BROKEN, indirect=True)
def test_a_broken_extension_is_told_at_the_start(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line with the field, not as a traceback; and who does not name it never notices."""
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)
    file = tmp_path / "config.yaml"
    file.write_text("routers: [gatewayAPI, plugins.broken]\n", encoding="utf-8")
    with capture_logs() as told:
        ended = CliRunner().invoke(engine_main.main, ["--config", str(file)])
    assert ended.exit_code == 2
    (line,) = [entry for entry in told if entry["log_level"] == "error"]
    assert line["error"].startswith("routers[1]: the extension plugins.broken ")
    assert broken in line["error"]
    assert set(routers_of(ENABLED)) == {*ROUTERS, "plugins", "plugins.example"}


def test_two_packages_with_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could say which of them is meant."""
    metadata(tmp_path, {"name": "twin", "version": "1", "entry-points": {"headgate.routers": {"example": "twin:R"}}})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"several installed packages .*headgate_example.router:.*twin:R"):
        routers_of(ENABLED)


def test_a_kind_that_the_operator_works_with_itself_is_no_routers() -> None:
    """Two watches of one kind would be two caches of it."""

    class Services(PluginRouter):
        name = "services"
        resource = Resource("mesh.example.org", "v1", "services", "Service")

        def backends(self, place: Place) -> str:
            return str(place)

    routers: dict[str, Router] = ROUTERS | {"plugins.services": Services()}
    with pytest.raises(ValueError, match="routers: a Service is no router's"):
        watched(routers, OperatorConfig(routers=("plugins.services",)))


# --------------------------------------------------------------------------------------------------------------------
# In a Rollout
# --------------------------------------------------------------------------------------------------------------------


def world_of(*routers: Any, settings: OperatorConfig = ENABLED) -> World:
    """The engine with these routers."""
    world = World()
    world.observer._routers = tuple(routers)
    world.observer._config = settings
    references = References(world.observer.models, tuple(routers))
    world.observer._references = references
    return world


def using(name: str = "example") -> dict[str, Any]:
    """A Rollout whose requests the router of this name shifts."""
    routing = {"plugins": [{"name": name, "objects": [{"name": "checkout-share"}]}]}
    return rollout(strategy={"canary": rollout()["spec"]["strategy"]["canary"] | {"trafficRouting": routing}})


@pytest.mark.looptime
async def test_a_rollout_names_the_router_and_its_places() -> None:
    """Its object is read as any other router's."""
    world = world_of(*routers_of(ENABLED).values())
    world.put("TrafficShare", SHARE, EXAMPLE.after())
    world.put("Rollout", ROLLOUT, using())
    await world.pass_over()
    await asyncio.sleep(0)
    (route,) = world.snapshots[-1].routes
    assert (route.router, route.kind, route.name, route.found) == (
        "plugins.example",
        "TrafficShare",
        "checkout-share",
        True,
    )
    assert "RouterDisabled" not in {p.reason for p in problems.find(world.snapshots[-1])}


@pytest.mark.looptime
@pytest.mark.parametrize("name", ["example", "unheard-of"])
async def test_a_router_that_is_not_switched_on_is_told(name: str) -> None:
    """Installed or not, the answer is the same: the field, and who can do what."""
    world = world_of(*routers_of(OperatorConfig()).values(), settings=OperatorConfig())
    world.put("Rollout", ROLLOUT, using(name))
    await world.pass_over()
    await asyncio.sleep(0)
    (route,) = world.snapshots[-1].routes
    assert (route.router, route.name, route.weight, route.settled) == ("plugins", "checkout-share", 100, False)
    assert route.problem
    (told,) = [p.message for p in problems.find(world.snapshots[-1]) if p.reason == "RouterDisabled"]
    assert told.startswith("spec.strategy.canary.trafficRouting.plugins[0].name: this operator is not set up for it; ")
    assert f"let an admin add plugins.{name} to routers in the operator's configuration" in told


def test_what_stands_for_the_routers_that_are_not_there_writes_nothing() -> None:
    """Only for places of routers that are not switched on; what a Rollout asks of them is refused with the field."""
    absent = routers_of(OperatorConfig())["plugins"]
    assert list(absent.targets(STRATEGY)) == [EXAMPLE.target]
    assert list(routers_of(ENABLED)["plugins"].targets(STRATEGY)) == []
    assert absent.claims(STRATEGY, None, EXAMPLE.target) == "plugin/checkout-share"
    assert absent.unable(STRATEGY, None, EXAMPLE.target) == ""
    refused = r"trafficRouting\.plugins: the router of checkout-share is not there"
    with pytest.raises(ValueError, match=refused):
        absent.set_weight(STRATEGY, OBJECT, EXAMPLE.target, 0)


@pytest.mark.looptime
async def test_a_write_by_a_router_that_is_not_there_is_a_refusal() -> None:
    """After ten seconds of it the Service is pointed back; a conflict would be read anew and tried for ever."""
    world = world_of(*routers_of(OperatorConfig()).values(), settings=OperatorConfig())
    world.cycle._parts = dataclasses.replace(world.cycle._parts, routers=routers_of(OperatorConfig()))

    def lower(snapshot: Snapshot, _now: float) -> Decision:
        (route,) = snapshot.routes
        action = SetWeight(
            route.router, route.kind, route.name, route.rule, route.resource_version, 0, exposure="lower"
        )
        return Decision(status=snapshot.status, write=False, action=action)

    world.decide = lower
    world.put("Rollout", ROLLOUT, using())
    asked = len(world.api.log)
    await world.pass_over()
    await asyncio.sleep(2)
    await world.pass_over()
    outcome = world.snapshots[-1].outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, "RouterDisabled")
    assert world.api.log[asked:] == []


def test_parameters_reach_the_router() -> None:
    """The example takes the name of its list from one."""
    strategy = EXAMPLE.strategy({"plugins": [{**EXAMPLE.routing["plugins"][0], "parameters": [listing("others")]}]})
    assert parameters_of(strategy, "example") == {"list": "others"}
    obj = EXAMPLE.after(lambda o: o["spec"].update(others=o["spec"].pop("shares")))
    assert EXAMPLE.subject.read(strategy, obj, EXAMPLE.target).problem == ""
    assert EXAMPLE.read(obj).problem


@pytest.mark.parametrize("value", ["http://169.254.169.254/", "host:80", "//host", "a b", "", "$(id)", "x" * 254])
def test_a_parameter_is_no_address(value: str) -> None:
    """A tenant says what, never where to."""
    with pytest.raises(ValueError, match="parameters"):
        EXAMPLE.strategy({"plugins": [{**EXAMPLE.routing["plugins"][0], "parameters": [listing(value)]}]})


def listing(value: str) -> dict[str, str]:
    """A parameter."""
    return {"name": "list", "value": value}


# --------------------------------------------------------------------------------------------------------------------
# One that fails
# --------------------------------------------------------------------------------------------------------------------


class Flawed(PluginRouter):
    """A router with a mistake in one place."""

    name = "example"
    resource = Resource("mesh.example.org", "v1", "trafficshares", "TrafficShare")

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def _say(self, what: str) -> Any:
        answer = self._answers.get(what)
        if isinstance(answer, type):
            raise answer("s3cr3t of somebody")
        return answer

    def targets(self, canary: Canary) -> Sequence[Target]:
        """Those of the spec, unless told."""
        return self._say("targets") or super().targets(canary)

    def backends(self, place: Place) -> str:
        """None."""
        return str(place)

    def claims(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """The whole object, unless told."""
        return self._say("claims") or super().claims(canary, obj, target)

    def read(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> RouteView:
        """A good place, unless told."""
        del canary, obj
        good = RouteView(self.key, "TrafficShare", target.name, target.rule, found=True, settled=True)
        return self._say("read") or dataclasses.replace(good, **self._answers.get("view", {}))

    def unable(self, canary: Canary, obj: Mapping[str, Any] | None, target: Target) -> str:
        """Nothing, unless told."""
        return self._say("unable") or super().unable(canary, obj, target)

    def set_weight(
        self, canary: Canary, obj: Mapping[str, Any], target: Target, weight: int, routes: Sequence[ManagedRoute] = ()
    ) -> JSONPatch:
        """A patch of its own kind, unless told."""
        del canary, obj
        return self._say("set_weight") or [{"op": "add", "path": f"/spec/{target.name}", "value": [weight, *routes]}]


SECRET = KeyError
"""Raised anew each time: an error that is raised again carries all its earlier ways with it."""
STRATEGY = EXAMPLE.strategy()
OBJECT = EXAMPLE.after()


@pytest.mark.parametrize(
    "flaw",
    [
        {"read": SECRET},
        {"read": RecursionError},
        {"read": "no view"},
        {"targets": SECRET},
        {"targets": (Target("somebody-elses"),)},
        {"view": {"weight": 101}},
        {"view": {"weight": 0.5}},
        {"view": {"weight": True}},
        {"view": {"name": "another"}},
        {"view": {"router": "gatewayAPI"}},
    ],
    ids=str,
)
def test_a_place_that_the_router_cannot_read_is_a_condition(flaw: dict[str, Any]) -> None:
    """It names the field and quotes nothing; the canary counts as having everything, and nothing as settled."""
    guarded = Guarded(Flawed(**flaw), "plugins.example")
    with capture_logs() as told:
        assert list(guarded.targets(STRATEGY)) == [EXAMPLE.target]
        view = guarded.read(STRATEGY, OBJECT, EXAMPLE.target)
        assert guarded.read(STRATEGY, None, EXAMPLE.target).weight == 0
    assert view.problem.startswith(
        "spec.strategy.canary.trafficRouting.plugins[example]: the extension failed in read ("
    )
    assert "s3cr3t" not in view.problem
    assert (view.router, view.kind, view.name) == ("plugins.example", "TrafficShare", "checkout-share")
    assert (view.found, view.weight, view.settled, view.resource_version) == (True, 100, False, "42")
    assert len([entry for entry in told if entry["what"] == "read"]) == 1


def test_a_router_is_never_asked_about_a_rollout_that_does_not_name_it() -> None:
    """Whatever it would say: no other Rollout has to do with it."""
    others = [example for example in examples() if example.id != "TrafficShare"]
    guarded = Guarded(Flawed(targets=SECRET), "plugins.example")
    assert [list(guarded.targets(other.strategy())) for other in others] == [[]] * len(others)


def test_whatever_else_fails_has_a_safe_answer() -> None:
    """A claim on the whole object, an attempt that does not begin, a write that is refused."""
    guarded = Guarded(Flawed(claims=SECRET, unable=SECRET, set_weight=SECRET), "plugins.example")
    assert guarded.claims(STRATEGY, OBJECT, EXAMPLE.target) == "TrafficShare/checkout-share"
    assert "the extension failed in unable (KeyError)" in guarded.unable(STRATEGY, OBJECT, EXAMPLE.target)
    with pytest.raises(ValueError, match=r"plugins\[example\]: the extension failed in set_weight \(KeyError\)"):
        guarded.set_weight(STRATEGY, OBJECT, EXAMPLE.target, 5)


@pytest.mark.parametrize(
    "one",
    [
        {"op": "replace", "path": "/metadata/ownerReferences", "value": []},
        {"op": "remove", "path": "/metadata/finalizers"},
        {"op": "add", "path": "/status/x", "value": 1},
        {"op": "add", "path": "/spec", "value": {}},
        {"op": "move", "path": "/spec/a", "from": "/spec/b"},
        {"op": "add"},
        None,
    ],
    ids=str,
)
def test_a_router_writes_weights_and_nothing_else(one: Any) -> None:
    """A patch that touches what is not a router's is not sent."""
    guarded = Guarded(Flawed(set_weight=[one]), "plugins.example")
    with pytest.raises(ValueError, match="the extension failed in set_weight"):
        guarded.set_weight(STRATEGY, OBJECT, EXAMPLE.target, 5)
    sound = Guarded(Flawed(), "plugins.example").set_weight(STRATEGY, OBJECT, EXAMPLE.target, 5)
    assert sound == [{"op": "add", "path": "/spec/checkout-share", "value": [5]}]


def test_a_share_of_a_variant_reaches_no_router_of_another_package() -> None:
    """The protocol is older than shares: what it does with one nobody knows, and so it is not asked."""
    guarded, asked = Guarded(Flawed(unable=SECRET), "plugins.example"), experiment(baseline=10)
    strategy = EXAMPLE.strategy(steps=[asked])
    why = guarded.unable(strategy, OBJECT, EXAMPLE.target)
    assert why.startswith("spec.strategy.canary.steps[0].experiment.variants[baseline].weight: the Service")
    with pytest.raises(ValueError, match="can have no share of the requests by the extension example; take"):
        guarded.set_weight(strategy, OBJECT, EXAMPLE.target, 5, shares(made(asked)))


def test_what_a_router_refuses_stays_its_own_sentence() -> None:
    """A ValueError is the protocol's way to say that the place cannot be worked with."""
    guarded = Guarded(EXAMPLE.subject, "plugins.example")
    with pytest.raises(ValueError, match=r"TrafficShare checkout-share: spec\.shares"):
        guarded.set_weight(STRATEGY, EXAMPLE.after(EXAMPLE.gone), EXAMPLE.target, 5)
    assert guarded.set_weight(STRATEGY, OBJECT, EXAMPLE.target, 5) == EXAMPLE.set_weight(OBJECT, 5)
    assert guarded.read(STRATEGY, OBJECT, EXAMPLE.target) == EXAMPLE.read(OBJECT)
    assert guarded.unable(STRATEGY, OBJECT, EXAMPLE.target) == ""
    assert guarded.claims(STRATEGY, OBJECT, EXAMPLE.target) == EXAMPLE.claim(OBJECT)


@pytest.mark.looptime
async def test_a_failing_router_concerns_its_own_rollout_alone() -> None:
    """Its Rollout is not ready and says why; the one beside it is decided about as ever."""
    world = world_of(Guarded(Flawed(read=SECRET), "plugins.example"), *ROUTERS.values())
    world.put("TrafficShare", SHARE, EXAMPLE.after())
    neighbour = rollout()
    neighbour["metadata"] = neighbour["metadata"] | {"name": "neighbour", "uid": "another"}
    world.put("Rollout", ROLLOUT, using())
    world.put("Rollout", ROLLOUT.replace("checkout", "neighbour"), neighbour)
    await world.pass_over()
    await world.pass_over()
    await asyncio.sleep(0)
    told = {seen.meta.name: [p.message for p in problems.find(seen)] for seen in world.snapshots}
    assert set(told) == {"checkout", "neighbour"}
    assert any("the extension failed in read" in message for message in told["checkout"])
    assert not any("extension" in message for message in told["neighbour"])


# --------------------------------------------------------------------------------------------------------------------
# Checks
# --------------------------------------------------------------------------------------------------------------------


def question(text: str, sample: str = "") -> Question:
    """A question."""
    sampled = RenderedQuery(sample) if sample else None
    return Question("gate/1/check", 1, "default", RenderedQuery(text), sampled, timeout=5)


async def test_a_kind_of_another_package_answers(tmp_path: Path) -> None:
    """The example's reads a file that the admin has named, and what tenants ask for is a key in it."""
    file = tmp_path / "numbers.json"
    file.write_text(json.dumps({"rate": 99.5, "requests": 300, "text": "5"}), encoding="utf-8")
    provider = providers_of(filed(file=str(file)))["default"]
    answer = await provider.ask(question("rate", "requests"))
    assert (answer.value, answer.sample, answer.no_data, answer.error) == (99.5, 300.0, "", "")
    assert (await provider.ask(question("text"))).no_data == "NoData"
    assert (await provider.ask(question("../numbers.json"))).no_data == "NoData"
    file.write_text("no json", encoding="utf-8")
    assert (await provider.ask(question("rate"))).error == "Unreadable"
    await provider.close()


def test_a_kind_that_cannot_be_made_is_told_at_the_start() -> None:
    """With the provider's name and what its maker says."""
    with pytest.raises(
        ValueError,
        match=r"^metricProviders.default.kind: the extension plugins.example cannot be made: .*name the file",
    ):
        providers_of(filed())


@pytest.mark.parametrize(
    "answer",
    [
        Answer("k", 1, 0.0, float("nan")),
        Answer("k", 1, 0.0, float("inf")),
        Answer("k", 1, 0.0, True),
        Answer("k", 1, 0.0, "99"),  # type: ignore[arg-type]
        Answer("k", 1, 0.0, 1.0, sample=float("nan")),
        Answer("k", 1, 0.0, error="the body said s3cr3t"),
        Answer("k", 1, 0.0, no_data="x" * 65),
        99.0,
        None,
    ],
    ids=str,
)
async def test_an_answer_that_is_none_never_becomes_a_number(answer: Any) -> None:
    """Numbers and codes come out, and nothing else: an odd answer is an error, which passes no gate."""

    class Odd:
        async def ask(self, _question: Question) -> Any:
            return answer

        async def close(self) -> None:
            raise OSError("closed already")

    provider = GuardedProvider(Odd())
    told = await provider.ask(question("rate"))
    assert (told.value, told.sample, told.no_data, told.error) == (None, None, "", "Malformed")
    await provider.close()


@pytest.mark.parametrize("value", ['a" or "1', "a'b", "a`b", "a b", "a*", "../x", "a..b", "a;b", "{a}", "a,b", "", "ä"])
def test_arguments_mean_nothing_in_a_language_that_nobody_knows(value: str) -> None:
    """How another provider's language quotes a text is not known: only plain words may stand in its queries."""
    argument = {"template": "t", "arguments": [{"name": "team", "value": value}]}
    check = {"name": "rate", "prometheus": {"query": argument}, "pass": {"max": 1}}
    (told,) = problems_of(gate(checks=[check]), filed(file="x"))
    assert told.startswith(
        "checks[0].prometheus.query.arguments[team].value: may hold letters, digits, _, - and single"
    )
    plain = dict(argument, arguments=[{"name": "team", "value": f"{STABLE}_1.eu-west"}])
    assert problems_of(gate(checks=[check | {"prometheus": {"query": plain}}]), filed(file="x")) == ()


def test_the_kind_of_a_provider_is_known() -> None:
    """A typing mistake of an admin is found when the configuration is read."""
    with pytest.raises(ValueError, match="kind"):
        config(metricProviders={"default": {"kind": "promtheus", "address": "http://x"}})
