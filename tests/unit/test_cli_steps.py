"""What the command says of a step."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.api.rollout import Step
from headgate.cli.steps import describe

pytestmark = pytest.mark.unit

MATCH: list[dict[str, Any]] = [
    {"headerName": "X-Version", "headerValue": {"exact": "next"}, "method": "GET"},
    {"cookieName": "version", "cookieValue": {"exact": "next"}, "path": {"prefix": "/"}},
]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (
            {"setHeaderRoute": {"name": "beta", "match": MATCH}},
            "lead requests by header X-Version and method GET or cookie version and path to the canary (beta)",
        ),
        ({"setHeaderRoute": {"name": "beta"}}, "end beta"),
        (
            {"setMirrorRoute": {"name": "shadow", "percentage": 20, "match": MATCH[:1]}, "timeout": "5m"},
            "copy 20% of requests by header X-Version and method GET to the canary (shadow), after 5m held",
        ),
        (
            {"setMirrorRoute": {"name": "shadow", "match": [{"method": "GET"}]}},
            "copy 100% of requests by method GET to the canary (shadow)",
        ),
        ({"setMirrorRoute": {"name": "shadow"}}, "end shadow"),
        (
            {
                "experiment": {
                    "variants": [
                        {"name": "baseline", "specRef": "Stable", "replicas": 2, "service": "a", "weight": 5},
                        {"name": "trial", "specRef": "Canary"},
                    ],
                    "gate": {"ref": {"name": "no-worse"}, "duration": "10m"},
                },
                "timeout": "30m",
                "onTimeout": "Abort",
            },
            (
                "experiment with baseline (2 pods of stable for 5%), trial (1 pod of the canary), "
                "gate no-worse (for 10m), after 30m taken back"
            ),
        ),
        ({"setWeight": 20}, "weight 20%"),
    ],
)
def test_step_is_said_in_few_words(step: dict[str, Any], says: str) -> None:
    """As a person would say it."""
    assert describe(Step.model_validate(step)) == says
