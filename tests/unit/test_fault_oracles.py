"""What a run under a fault must have in common with the clean one, and what not: the judgement of the fault plans."""

from __future__ import annotations

from collections import Counter

import pytest

from hack.lib.hgprove.faults.oracles import Run, differences


def _run(*weights: int) -> Run:
    return Run([], {}, Counter(), list(weights))


@pytest.mark.parametrize(
    ("clean", "found"),
    [
        ((0, 50, 0), (0, 50, 0, 50, 0)),
        ((0, 50, 0, 50, 0), (0, 50, 0, 50, 0)),
        ((0, 50, 0, 50, 0), (0, 50, 0, 50, 0, 50, 0)),
        ((0, 25, 50, 0), (0, 25, 0, 25, 50, 0, 50, 0)),
    ],
)
def test_traffic_that_went_home_for_a_moment_is_allowed_where_a_kind_was_gone(
    clean: tuple[int, ...], found: tuple[int, ...]
) -> None:
    """Also where the clean run has such a way in itself, as a release that another one replaces."""
    assert differences(_run(*clean), _run(*found), home_allowed=True) == []


@pytest.mark.parametrize(
    ("clean", "found"),
    [
        ((0, 50, 0, 50, 0), (0, 50, 0)),
        ((0, 25, 50, 0), (0, 25, 0, 50, 0)),
        ((0, 50, 0), (0, 50)),
        ((0, 50, 0), (0, 50, 25, 50, 0)),
    ],
)
def test_a_step_that_was_left_out_or_made_up_is_not(clean: tuple[int, ...], found: tuple[int, ...]) -> None:
    """Only a way to 0 and back to the same weight is one home."""
    assert differences(_run(*clean), _run(*found), home_allowed=True)


def test_without_such_a_fault_there_is_no_way_home() -> None:
    """Then a weight of 0 in between is a difference."""
    assert differences(_run(0, 50, 0), _run(0, 50, 0, 50, 0))
