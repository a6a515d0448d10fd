"""Gives every test the marker of its folder, and makes a failed lint show in the last lines of a run."""

import asyncio
import os
from pathlib import Path

import pytest

KINDS = ("unit", "simulation", "api", "e2e")
SECONDS = {"api": 180, "e2e": 900}
"""How long a test of this kind may take, where it does not say so itself; the others have pyproject.toml's limit."""
HERE = Path(__file__).parent


def pytest_sessionstart() -> None:
    """Say that there is no event loop: where none is known, pytest-asyncio makes one that it never closes."""
    asyncio.set_event_loop(None)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist looks for groups in the same hook.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test as what its folder says it is; what shares a cluster stays in one process."""
    for item in items:
        if item.path.is_relative_to(HERE):
            kind = item.path.relative_to(HERE).parts[0]
            if kind in KINDS:
                item.add_marker(kind)
            if kind in SECONDS and item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(SECONDS[kind]))
            if kind in SECONDS:
                item.add_marker(pytest.mark.xdist_group(kind))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Repeat which lint failed: its output scrolled away long ago."""
    if failed := os.environ.get("HEADGATE_LINT_FAILED"):
        terminalreporter.section("lint failed", red=True)
        terminalreporter.line(f"{failed}: the findings are above the first test", red=True)
