"""What of an experiment no rule of the schema can say, and the operator says instead."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.api.rollout import Canary, Experiment

pytestmark = pytest.mark.unit


def variant(name: str, **more: Any) -> dict[str, Any]:
    """A variant of one pod."""
    return {"name": name, "specRef": "Stable", **more}


def told(name: str) -> dict[str, Any]:
    """What tells the gate of a variant."""
    return {"gateArguments": [{"name": name, "value": "Revision"}]}


@pytest.mark.parametrize(
    ("variants", "arguments"),
    [
        ([variant("a", **told("one")), variant("b", **told("one"))], []),
        ([variant("a", **told("one")), variant("b", **told("two"))], ["two"]),
    ],
    ids=["by two variants", "by a variant and the gate"],
)
def test_an_argument_of_the_gate_is_given_once(variants: list[dict[str, Any]], arguments: list[str]) -> None:
    """Which of the two is meant nobody knows; under another name each is taken."""
    gate = {"ref": {"name": "compared"}, "arguments": [{"name": name, "value": "x"} for name in arguments]}
    with pytest.raises(ValueError, match="of the gate is given twice; give it by one variant, or by the gate"):
        Experiment.model_validate({"variants": variants, "gate": gate})
    gate["arguments"] = [{"name": "three", "value": "x"}]
    accepted = Experiment.model_validate({"variants": [variants[0], variant("b", **told("two"))], "gate": gate})
    assert [one.name for one in accepted.variants] == ["a", "b"]


@pytest.mark.parametrize(("most", "weight"), [(100, 90), (1000, 990)])
def test_variants_have_no_more_than_the_canary_leaves(most: int, weight: int) -> None:
    """Stable may be left with nothing, and no less."""
    shared = [variant("a", service="a", weight=6), variant("b", service="b", weight=4)]
    step = {"experiment": {"variants": shared, "gate": {"ref": {"name": "compared"}}}}
    said = {
        "stableService": "shop",
        "canaryService": "shop-canary",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}, "maxTrafficWeight": most},
    }
    assert Canary.model_validate({**said, "steps": [{"setWeight": weight}, step]}).total == most
    with pytest.raises(ValueError, match=rf"steps\[1\].experiment: .* are more than {most}; make one of them less"):
        Canary.model_validate({**said, "steps": [{"setWeight": weight + 1}, step]})
