"""A local cluster of which something was killed is known as such, so that no run goes on with what it left."""

import importlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "hack" / "lib"

# They are to outlive the command that starts them, so nobody waits for their end.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield processes that end with the test."""
    monkeypatch.syspath_prepend(LIBRARY)  # Where the command has its packages from.
    made = importlib.import_module("hgcluster.processes").Processes(tmp_path)
    yield made
    for name in made.names():
        made.stop(name)


def test_a_cluster_lives_while_each_of_its_processes_does(processes: Any) -> None:
    """One that was killed is enough."""
    assert not processes.all_live(), "nothing was started"
    for name in ("etcd", "node"):
        processes.ensure(name, ["sleep", "60"])
    assert processes.all_live()
    subprocess.run(["kill", "-9", str(processes.pid("node"))], check=True)
    while processes.pid("node"):
        pass
    assert not processes.all_live(), "the node was killed, and only etcd is left"


def test_a_process_that_was_stopped_is_not_missed(processes: Any) -> None:
    """Parts that are not wanted any more are no sign of a killed run."""
    for name in ("etcd", "node"):
        processes.ensure(name, ["sleep", "60"])
    processes.stop("node")
    assert processes.all_live()
