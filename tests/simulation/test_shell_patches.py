"""The server in memory applies most patches by itself, because it is faster: as the library that knows all of them."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest

from tests.simulation.shell.answers import Refused
from tests.simulation.shell.api import _json_patched
from tests.simulation.shell.store import copied

OBJECT: dict[str, Any] = {
    "metadata": {"name": "a", "labels": {"app/x": "1", "b~c": "2"}, "finalizers": ["one"]},
    "spec": {"replicas": 1, "empty": {}, "rules": [{"weight": 5}]},
}
PATHS = (
    "",
    "/",
    "/spec",
    "/spec/replicas",
    "/spec/new",
    "/spec/empty/new",
    "/spec/rules/0/weight",
    "/spec/rules/0",
    "/spec/rules/7",
    "/spec/replicas/deeper",
    "/metadata/labels/app~1x",
    "/metadata/labels/b~0c",
    "/metadata/labels/d~1e",
    "/metadata/finalizers/-",
    "/none/such",
    "spec",
)


def outcome(apply: Any, operations: list[dict[str, Any]]) -> Any:
    """What comes of it, and that nothing came of it."""
    try:
        return apply(copied(OBJECT), operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, Refused):
        return "refused"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("op", ["add", "replace", "remove", "test"])
def test_a_patch_does_what_the_library_does(op: str, path: str) -> None:
    """Each operation at each kind of place, by itself and after one that succeeds."""
    for value in ({"x": 1}, 1, None):
        one: dict[str, Any] = {"op": op, "path": path, "value": value}
        first: dict[str, Any] = {"op": "add", "path": "/spec/first", "value": {"y": 2}}
        for operations in ([one], [first, one]):
            wanted = outcome(jsonpatch.apply_patch, operations)
            wanted = wanted if isinstance(wanted, dict) else "refused"
            assert outcome(_json_patched, operations) == wanted


def test_a_patch_leaves_what_was_stored_as_it_was() -> None:
    """Whoever looked at the object before still sees it so."""
    before = copied(OBJECT)
    after = _json_patched(before, [{"op": "replace", "path": "/spec/empty", "value": {"x": 1}}])
    assert after["spec"]["empty"] == {"x": 1}
    assert before == OBJECT
