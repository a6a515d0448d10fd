"""Whole releases on a real cluster with real traffic, several at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.e2e.account import PROPERTY, Account
from tests.e2e.scenarios import SCENARIOS
from tests.e2e.town import Lab

AT_ONCE = 5
"""More of them would only wait for the processor."""
LONGEST = 400


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, lab: Lab) -> Iterator[dict[str, tuple[Future[None], list[Account]]]]:
    """Start all the scenarios that were asked for, each with accounts of its own; each test waits for its own."""
    wanted = [item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        labs = {name: replace(lab, accounts=[]) for name in wanted if name in SCENARIOS}
        yield {name: (pool.submit(SCENARIOS[name], one), one.accounts) for name, one in labs.items()}


@pytest.mark.timeout(LONGEST + 20)
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(
    running: dict[str, tuple[Future[None], list[Account]]],
    name: str,
    request: pytest.FixtureRequest,
) -> None:
    """What the scenario says holds; its own sentence is the first of its function."""
    end, accounts = running[name]
    try:
        end.result(timeout=LONGEST)
    finally:
        told = [(PROPERTY, account.told()) for account in accounts if account.strategy]
        request.node.user_properties.extend(told)
