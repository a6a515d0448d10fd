"""Whole releases on a real cluster with real traffic, several at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.e2e.scenarios import SCENARIOS
from tests.e2e.town import Lab

AT_ONCE = 4
"""More of them would only wait for the processor."""
LONGEST = 400


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, lab: Lab) -> Iterator[dict[str, Future[None]]]:
    """Start all the scenarios that were asked for; each test waits for its own."""
    wanted = [item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        yield {name: pool.submit(SCENARIOS[name], lab) for name in dict.fromkeys(wanted) if name in SCENARIOS}


@pytest.mark.timeout(LONGEST + 20)
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(running: dict[str, Future[None]], name: str) -> None:
    """What the scenario says holds; its own sentence is the first of its function."""
    running[name].result(timeout=LONGEST)
