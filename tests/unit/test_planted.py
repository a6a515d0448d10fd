"""The list of planted bugs is true to the operator, complete, and a bug that is planted is caught."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hack.lib.hgprove.campaign import ROOT
from hack.lib.hgprove.planted.catalogue import FIELD_BUGS, MUTATIONS
from hack.lib.hgprove.planted.mutation import PACKAGE, Mutation, Stale
from hack.lib.hgprove.planted.runner import Caught, run


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.id)
def test_a_mutation_still_fits_the_operator(mutation: Mutation) -> None:
    """The text that it replaces is in its file exactly once, and what comes out is Python."""
    text = (PACKAGE / mutation.file).read_text(encoding="utf-8")
    planted = mutation.applied(text)
    assert planted != text
    compile(planted, mutation.file, "exec")


def test_the_list_is_complete() -> None:
    """Ids are unique, and the cause of each bug of the field is planted."""
    ids = [m.id for m in MUTATIONS]
    assert len(ids) == len(set(ids))
    belongs = {part for m in MUTATIONS for part in m.belongs.split()}
    assert {f"B{n}" for n in FIELD_BUGS} <= belongs


def test_each_bug_of_the_field_has_a_test_of_its_id() -> None:
    """A reader of the contract finds the test by the id."""
    files = [file for kind in ("unit", "simulation") for file in (ROOT / "tests" / kind).glob("test_field_bugs*.py")]
    named = {int(n) for file in files for n in re.findall(r"def test_b(\d\d)_", file.read_text(encoding="utf-8"))}
    assert named == set(FIELD_BUGS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.id)
def test_the_tests_that_are_to_catch_it_exist(mutation: Mutation) -> None:
    """A test that was renamed catches nothing."""
    for test in mutation.tests:
        file, _, name = test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in text, f"{test} is not there"


def test_a_text_that_changed_is_told(tmp_path: Path) -> None:
    """A mutation whose text is not there any more, or twice, is an error and not a bug that nobody notices."""
    (tmp_path / "cache.py").write_text("one\ntwo\ntwo\n", encoding="utf-8")
    for old in ("three", "two"):
        mutation = Mutation("x", "", "", "cache.py", old, "four", (), "")
        with pytest.raises(Stale, match="x: its text is"):
            mutation.plant(tmp_path)


@pytest.mark.timeout(180)  # It runs pytest in a copy of the operator.
def test_a_planted_bug_is_caught_by_a_test_that_says_so() -> None:
    """One bug, planted and looked for by its own test, to show that the command can see."""
    mutation = next(m for m in MUTATIONS if m.id == "empty-vector-is-zero")
    caught = run(mutation, everything=False)
    assert caught.problem(mutation) == ""
    assert "test_b15" in caught.test


def test_what_is_not_caught_or_not_named_is_a_problem() -> None:
    """No failure, a failure elsewhere, a crash and a message about something else do not count."""
    mutation = next(m for m in MUTATIONS if m.id == "empty-vector-is-zero")
    assert "no test" in Caught().problem(mutation)
    assert "by accident" in Caught("t", "AssertionError: an empty result", expected=False).problem(mutation)
    assert "fell over" in Caught("t", "KeyError: 'empty result'", expected=True).problem(mutation)
    assert "says nothing" in Caught("t", "AssertionError: 1 == 2", expected=True).problem(mutation)
    assert not Caught("t", "AssertionError: an empty result is judged", expected=True).problem(mutation)
