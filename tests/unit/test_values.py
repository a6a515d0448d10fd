"""Models and dataclasses that nobody changes are made and copied in a quicker way: it must come to the same."""

from __future__ import annotations

from dataclasses import fields, replace

from pydantic import BaseModel

from headgate.api.rollout import RevisionRef, RolloutStatus, Weights
from headgate.decide.types import Outcome, OutcomeKind

NEW = RevisionRef(revision="v1-b", pod_hash="nbcdfghjkl", since="2026-11-26T10:00:00Z")
STATUS = RolloutStatus.model_validate(
    {
        "phase": "Progressing",
        "weights": {"desired": 5, "observed": 5},
        "stable": {"revision": "v1-a", "podHash": "bcdfghjklm", "since": "2026-11-26T09:00:00Z"},
    }
)


def test_copy_of_a_model_is_the_one_that_pydantic_makes() -> None:
    """Fields, what is known to be set, and what is dumped; the original stays as it was."""
    before = STATUS.model_dump()
    for update in ({}, {"phase": "Held"}, {"step": "1/2", "current": NEW}):
        mine, theirs = STATUS.model_copy(update=update), BaseModel.model_copy(STATUS, update=update)
        assert vars(mine) == vars(theirs)
        assert mine.model_fields_set == theirs.model_fields_set
        assert mine.model_dump_json(exclude_unset=True) == theirs.model_dump_json(exclude_unset=True)
        assert mine.model_copy(deep=True) == theirs
    assert STATUS.model_dump() == before


def test_models_are_equal_by_class_and_fields() -> None:
    """As pydantic has it, at any depth; equal ones have one hash."""
    again = RolloutStatus.model_validate(STATUS.model_dump(by_alias=True, exclude_none=True))
    assert again == STATUS
    assert again.model_copy(update={"weights": Weights(desired=6, observed=5)}) != STATUS
    assert hash(Weights(desired=5)) == hash(Weights(desired=5, observed=0))
    assert Weights() != NEW
    assert Weights() != "weights"


def test_dataclasses_compare_and_hash_by_their_fields() -> None:
    """The guard is mypy's alone; whatever keeps them in sets or makes others of them finds no difference."""
    one = Outcome("SetWeight/shop", OutcomeKind.DONE, "", at=1.0, first_at=1.0)
    assert one == replace(one)
    assert {one, replace(one)} == {one}
    assert one != replace(one, at=2.0)
    assert [f.name for f in fields(one)][:2] == ["action", "kind"]
