"""Gives every test the marker of its folder, and makes a failed lint show in the last lines of a run."""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import structlog
from xdist.scheduler import LoadScopeScheduling

from tests.e2e.account import PROPERTY, table

KINDS = ("unit", "simulation", "api", "e2e")
SECONDS = {"api": 180, "e2e": 900}
"""How long a test of this kind may take, where it does not say so itself; the others have pyproject.toml's limit."""
HERE = Path(__file__).parent
CLUSTERS = ("api with faults", "api", "e2e")
"""Each is the work of one process; the longest comes first."""
WITH_FAULTS = {
    "test_campaign.py",
    "test_fault_plans.py",
    "test_generated_objects.py",
    "test_kopf_failures.py",
    "test_server_levers.py",
    "test_two_replicas.py",
    # These need no faults; with them both clusters of the api tests are busy for equally long.
    "test_operator_endings.py",
    "test_runbook.py",
}
BESIDE = 10
"""How far below the tests on clusters, which watch the time, the process is that has no cluster."""
_BEGUN = pytest.StashKey[bool]()


def pytest_sessionstart() -> None:
    """Say that there is no event loop: where none is known, pytest-asyncio makes one that it never closes.

    Errors are logged plainly, too: drawn with every local variable, as structlog does by itself, one takes seconds.
    """
    asyncio.set_event_loop(None)
    structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test as what its folder says it is; where several processes run them, put what takes longest first."""
    for item in items:
        if item.path.is_relative_to(HERE):
            kind = item.path.relative_to(HERE).parts[0]
            if kind in KINDS:
                item.add_marker(kind)
            if kind in SECONDS and item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(SECONDS[kind]))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _turn(item.nodeid))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give way to the tests on clusters, in a process that begins without one."""
    if hasattr(item.config, "workerinput") and not item.config.stash.get(_BEGUN, False):
        item.config.stash[_BEGUN] = True
        if _cluster_of(item.nodeid) is None:
            os.nice(BESIDE)


def _cluster_of(nodeid: str) -> str | None:
    """What tests share a cluster with this one; None if it needs none.

    The api tests have two: one for those that put operators of their own behind fault proxies, and one for the others.
    """
    kind, _, file = nodeid.partition("::")[0].removeprefix(f"{HERE.name}/").partition("/")
    if kind not in SECONDS:
        return None
    return f"{kind} with faults" if file in WITH_FAULTS else kind


def _turn(nodeid: str) -> int:
    cluster = _cluster_of(nodeid)
    return CLUSTERS.index(cluster) if cluster in CLUSTERS else len(CLUSTERS)


class OneClusterOneProcess(LoadScopeScheduling):  # type: ignore[misc]  # It ships no types.
    """What shares a cluster stays in one process, one test after the other; of the rest each goes where there is room.

    The groups of pytest-xdist say the same and do nothing with pytest 9.2, which does not let it change a node's id.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _cluster_of(nodeid) or nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneClusterOneProcess:
    """Where tests run when several processes run them."""
    return OneClusterOneProcess(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what the tests have measured, and repeat which lint failed: its output scrolled away long ago."""
    routers = Counter(map(str, _told(terminalreporter, "router", "passed")))
    if routers:
        each = ", ".join(f"{name} {number}" for name, number in sorted(routers.items()))
        terminalreporter.line(f"router conformance: {routers.total()} cases passed ({each})")
    if rows := table(_told(terminalreporter, PROPERTY, "passed", "failed")):
        terminalreporter.section("real traffic: seconds from the change of the template to the end of the release")
        for row in rows:
            terminalreporter.line(row)
    if failed := os.environ.get("HEADGATE_LINT_FAILED"):
        terminalreporter.section("lint failed", red=True)
        terminalreporter.line(f"{failed}: the findings are above the first test", red=True)


def _told(terminalreporter: pytest.TerminalReporter, key: str, *outcomes: str) -> list[Any]:
    """What tests that ended so have recorded under a name."""
    reports = [report for outcome in outcomes for report in terminalreporter.stats.get(outcome, [])]
    return [value for report in reports for name, value in report.user_properties if name == key]
