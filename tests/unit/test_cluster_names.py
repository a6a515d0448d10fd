"""Test runs on one machine do not start clusters of the same name."""

import tempfile
from pathlib import Path

import pytest

from tests.names import own_name


@pytest.fixture(autouse=True)
def locks_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other runs on this machine do the same at the same time."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_runs_at_the_same_time_have_names_of_their_own() -> None:
    """The first has the name itself, the next one a number, and what was given back is there for the one after."""
    with own_name("test-names") as first:
        with own_name("test-names") as second:
            assert (first, second) == ("test-names", "test-names-2")
        with own_name("test-names") as third:
            assert third == second


def test_a_failed_run_gives_its_name_back() -> None:
    """Also when its cluster does not start."""
    with pytest.raises(RuntimeError), own_name("test-names"):
        raise RuntimeError
    with own_name("test-names") as name:
        assert name == "test-names"


def test_too_many_runs_are_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than the machine can do fails at once, and says what to wait for."""
    monkeypatch.setattr("tests.names.MOST_RUNS", 1)
    with own_name("test-names"), pytest.raises(pytest.fail.Exception, match="wait"), own_name("test-names"):
        pass
