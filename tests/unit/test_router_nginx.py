"""Canary Ingresses: one annotation is written, and only where it says all about the canary's share."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest

from headgate.api.rollout import Canary
from headgate.decide.types import RouteView
from headgate.engine.trim import trim
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS

pytestmark = pytest.mark.unit

ROUTER = ROUTERS["nginx"]
TARGET = Target("checkout-canary")
PREFIX = "nginx.ingress.kubernetes.io"
CANARY = Canary.model_validate(
    {
        "stableService": "checkout",
        "canaryService": "checkout-canary",
        "trafficRouting": {"nginx": {"canaryIngress": "checkout-canary"}},
        "steps": [{"setWeight": 5}],
    }
)
Object = dict[str, Any]


def ingress(weight: str | None = "20", service: str = "checkout-canary", **annotations: str) -> Object:
    """A canary Ingress; underscores in the names of annotations stand for dashes."""
    found = {"canary": "true"} | ({} if weight is None else {"canary-weight": weight})
    found |= {key.replace("_", "-"): value for key, value in annotations.items()}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}
    return {
        "metadata": {
            "name": "checkout-canary",
            "namespace": "shop",
            "resourceVersion": "42",
            "annotations": {f"{PREFIX}/{key}": value for key, value in found.items()},
        },
        "spec": {"rules": [{"host": "shop.test", "http": {"paths": [path]}}]},
    }


def test_the_total_must_be_the_specs() -> None:
    """The Ingress says what its weight is a part of, and the Rollout does: they say the same."""
    routing = {"nginx": {"canaryIngress": "checkout-canary"}, "maxTrafficWeight": 1000}
    canary = Canary.model_validate(CANARY.model_dump(by_alias=True, exclude_none=True) | {"trafficRouting": routing})
    for obj in (ingress("5"), ingress("5", canary_weight_total="500")):
        problem = ROUTER.read(canary, obj, TARGET).problem
        assert f'["{PREFIX}/canary-weight-total"] is not "1000"; set it to that' in problem
    view = ROUTER.read(canary, ingress("5", canary_weight_total="1000"), TARGET)
    assert (view.weight, view.problem) == (5, "")


def read(obj: Object) -> RouteView:
    """What the router makes of it."""
    return ROUTER.read(CANARY, obj, TARGET)


@pytest.mark.parametrize(
    ("weight", "total", "expected"),
    [
        ("20", None, 20),
        (None, None, 0),
        ("20", "1000", 2),
        ("1", "1000", 1),
        ("20", "50", 20),  # ingress-nginx takes no total below 100.
        ("200", None, 100),
        ("five", None, 0),
        ("99999999999999999999", None, 0),
        ("20", "many", 20),
    ],
)
def test_share_is_what_ingress_nginx_makes_of_it(weight: str | None, total: str | None, expected: int) -> None:
    """Rounded up, also where the place cannot be worked with."""
    more = {} if total is None else {"canary_weight_total": total}
    assert read(ingress(weight, **more)).weight == expected


@pytest.mark.parametrize(
    ("obj", "problem"),
    [
        (ingress(canary="false"), f'metadata.annotations["{PREFIX}/canary"] is not "true"; set it, or name'),
        (
            ingress(canary_by_header="x-canary"),
            f'metadata.annotations["{PREFIX}/canary-by-header"] lets requests reach the canary whatever its weight is',
        ),
        (
            ingress(canary_weight_total="1000"),
            f'metadata.annotations["{PREFIX}/canary-weight-total"] is not "100"; remove it: weights are percent here',
        ),
        (
            ingress(service="checkout"),
            "spec.rules[0].http.paths[0].backend is the Service 'checkout'; a canary Ingress has the canary Service",
        ),
        (
            ingress("101"),
            f'metadata.annotations["{PREFIX}/canary-weight"] is not a whole number from 0 to 100 in quotes; set it',
        ),
    ],
)
def test_ingress_that_cannot_be_worked_with(obj: Object, problem: str) -> None:
    """Each names the field and what to do."""
    assert read(obj).problem.startswith(f"Ingress checkout-canary: {problem}")


def test_one_annotation_is_written() -> None:
    """As text, after a test that the Ingress is still one of a canary; added where there is none."""
    for obj, op in ((ingress(), "replace"), (ingress(None), "add")):
        assert ROUTER.set_weight(CANARY, obj, TARGET, 5) == [
            {"op": "test", "path": "/metadata/annotations/nginx.ingress.kubernetes.io~1canary", "value": "true"},
            {"op": op, "path": "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight", "value": "5"},
        ]
    patch = ROUTER.set_weight(CANARY, ingress(), TARGET, 5)
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(ingress(canary="false"), patch)


def test_cache_keeps_what_the_router_needs() -> None:
    """And nothing else of the annotations, which may be large."""
    obj = ingress(configuration_snippet="x" * 9999)
    kept = trim("Ingress", obj)
    assert read(kept) == read(obj)
    assert ROUTER.set_weight(CANARY, kept, TARGET, 5) == ROUTER.set_weight(CANARY, obj, TARGET, 5)
    assert sorted(kept["metadata"]["annotations"]) == [f"{PREFIX}/canary", f"{PREFIX}/canary-weight"]
