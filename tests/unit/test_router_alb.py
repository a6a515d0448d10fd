"""Ingresses of an ALB: two numbers in the JSON of one annotation are written, and every other sign of it stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

from headgate.api.rollout import Canary, RolloutSpec
from headgate.decide.types import RouteView
from headgate.engine.trim import trim
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS

pytestmark = pytest.mark.unit

ROUTER = ROUTERS["alb"]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "alb" / "alb.yaml"
PREFIX = "alb.ingress.kubernetes.io"
PRETTY = """\
{ "type": "forward", "note": "a < b & \\u00e4",
  "forwardConfig": {
    "targetGroups": [
      {"serviceName": "checkout",        "servicePort": "80", "weight": %s},
      {"serviceName": "checkout-canary", "servicePort": "80", "weight": %s}
    ],
    "targetGroupStickinessConfig": {"enabled": true, "durationSeconds": 60} } }
"""
CAPITALS = (
    '{"Type":"forward","ForwardConfig":{"TargetGroups":[{"Weight":%s,"ServiceName":"checkout-canary","ServicePort":"80"},'
    '{"Weight":%s,"ServiceName":"checkout","ServicePort":"80"}]}}'
)
"""As Argo Rollouts writes it, canary first."""
BARE = (
    '{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"checkout","servicePort":80},'
    '{ "serviceName":"checkout-canary","servicePort":80}]}}'
)
Object = dict[str, Any]


def canary(**alb: str) -> Canary:
    """The strategy of a Rollout behind the Ingress `checkout`."""
    return Canary.model_validate(
        {
            "stableService": "checkout",
            "canaryService": "checkout-canary",
            "trafficRouting": {"alb": {"ingress": "checkout"} | alb},
            "steps": [{"setWeight": 5}],
        }
    )


def ingress(text: Any, action: str = "checkout", prefix: str = PREFIX, **spec: Any) -> Object:
    """An Ingress that uses this action, unless its spec says otherwise."""
    backend = {"service": {"name": action, "port": {"name": "use-annotation"}}}
    rules = [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    return {
        "metadata": {
            "name": "checkout",
            "resourceVersion": "42",
            "annotations": {f"{prefix}/actions.{action}": text, "team": "shop"},
        },
        "spec": spec or {"rules": rules},
    }


def read(obj: Object, strategy: Canary | None = None) -> RouteView:
    """What the router makes of the one place."""
    strategy = strategy or canary()
    (target,) = ROUTER.targets(strategy)
    return ROUTER.read(strategy, obj, target)


def written(obj: Object, weight: int, strategy: Canary | None = None) -> str:
    """The text of the action after a write."""
    strategy = strategy or canary()
    (target,) = ROUTER.targets(strategy)
    after = jsonpatch.apply_patch(obj, ROUTER.set_weight(strategy, obj, target, weight))
    texts = [text for key, text in after["metadata"]["annotations"].items() if "/actions." in key]
    assert len(texts) == 1
    return str(texts[0])


def test_every_sign_but_the_weights_stays() -> None:
    """Blanks, escapes, keys of others: what a release leaves behind is the text that was there."""
    start = ingress(PRETTY % (100, 0))
    for weight in (5, 50, 100, 0):
        assert written(start, weight) == PRETTY % (100 - weight, weight)


def test_keys_are_taken_in_any_letters() -> None:
    """As the controller takes them, so that an Ingress that Argo Rollouts has written goes on."""
    start = ingress(CAPITALS % (20, 80))
    assert (read(start).weight, read(start).problem) == (20, "")
    assert written(start, 5) == CAPITALS % (5, 95)


def test_a_missing_weight_is_written() -> None:
    """The controller takes two target groups only with weights."""
    assert "targetGroups[0].weight is not a whole number" in read(ingress(BARE)).problem
    text = written(ingress(BARE), 20)
    assert text == BARE.replace('{"serviceName":"checkout"', '{"weight":80,"serviceName":"checkout"').replace(
        '{ "serviceName"', '{"weight":20, "serviceName"'
    )
    assert (read(ingress(text)).weight, read(ingress(text)).problem) == (20, "")


def test_a_lone_target_group_gets_everything() -> None:
    """Whatever its weight says."""
    lone = '{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"%s","servicePort":80}]}}'
    assert read(ingress(lone % "checkout-canary")).weight == 100
    assert read(ingress(lone % "checkout")).weight == 0
    assert 'does not list the canary Service "checkout-canary"; add it' in read(ingress(lone % "checkout")).problem


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "forward",
        "[" * 100_000,
        '{"type":"forward","Type":"redirect"}',
        (PRETTY % (100, 0)).replace('"note"', '"forwardconfig"'),
        PRETTY % ("NaN", 0),
        PRETTY % ("9" * 5000, 0),
        None,
        7,
    ],
)
def test_what_is_no_action_is_a_problem_that_names_the_annotation(text: Any) -> None:
    """Nothing is guessed, and nothing of the text is repeated."""
    view = read(ingress(text))
    assert view.problem.startswith(f'Ingress checkout: metadata.annotations["{PREFIX}/actions.checkout"] is not ')
    assert view.weight == 0


def test_the_action_may_have_a_name_and_a_prefix_of_its_own() -> None:
    """`rootService` is what the rules of the Ingress name; without it that is the stable Service."""
    strategy = canary(rootService="shop", annotationPrefix="alb.example.com")
    start = ingress(PRETTY % (100, 0), "shop", "alb.example.com")
    assert ROUTER.targets(strategy) == (Target("checkout", "shop"),)
    assert read(start, strategy).problem == ""
    assert written(start, 5, strategy) == PRETTY % (95, 5)
    assert f'"{PREFIX}/actions.checkout"] is not there' in read(start).problem


def test_the_default_backend_may_use_the_action() -> None:
    """It is a backend like another one."""
    backend = {"service": {"name": "checkout", "port": {"name": "use-annotation"}}}
    start = ingress(PRETTY % (100, 0), defaultBackend=backend)
    assert read(start).problem == ""
    assert written(start, 5) == PRETTY % (95, 5)


def test_an_action_that_no_backend_uses_is_a_problem() -> None:
    """A Service's own port leads to the Service, whatever the annotation says."""
    backend = {"service": {"name": "checkout", "port": {"number": 80}}}
    view = read(ingress(PRETTY % (80, 20), defaultBackend=backend))
    assert 'no path whose backend is the service "checkout" with the port name "use-annotation"' in view.problem
    assert view.weight == 20


def test_the_cache_keeps_actions_and_no_other_annotation() -> None:
    """Others hold certificates' names, snippets and what not."""
    obj = ingress(PRETTY % (80, 20))
    obj["metadata"]["annotations"][f"{PREFIX}/certificate-arn"] = "arn:x"
    kept = trim("Ingress", obj)
    assert list(kept["metadata"]["annotations"]) == [f"{PREFIX}/actions.checkout"]
    assert read(kept) == read(obj)


def test_example_is_served_and_given_back_as_it_was() -> None:
    """examples/alb: its Ingress is a place that the router can work with, and every step of its Rollout is one."""
    objects = list(yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8")))
    start, rollout = (next(o for o in objects if o["kind"] == kind) for kind in ("Ingress", "Rollout"))
    strategy = RolloutSpec.model_validate(rollout["spec"]).strategy.canary
    assert strategy is not None
    (target,) = ROUTER.targets(strategy)
    assert (ROUTER.read(strategy, start, target).problem, ROUTER.unable(strategy, start, target)) == ("", "")
    obj = start
    for weight in [step.set_weight for step in strategy.steps if step.set_weight is not None] + [100, 0]:
        obj = jsonpatch.apply_patch(obj, ROUTER.set_weight(strategy, obj, target, weight))
        assert ROUTER.read(strategy, obj, target).weight == weight
    assert obj == start
