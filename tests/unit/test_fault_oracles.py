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


def _taken_back(reason: str, *, phase: str = "Degraded") -> Run:
    condition = {"type": "Rejected", "status": "True", "reason": reason, "message": f"because of {reason}"}
    gates = [{"message": "7 is not <= 1"}] if reason == "GateFailed" else []
    history = [{"podHash": "v2", "outcome": "Rejected", "message": reason}]
    status = {"phase": phase, "message": reason, "gates": gates, "conditions": [condition], "history": history}
    return Run([], {"Rollout/APP": {"spec": {}, "status": status}}, Counter(), [0])


def test_an_operator_that_ended_may_have_lost_why_a_version_was_taken_back() -> None:
    """Not that it was: whoever did not end knows why, and all else is as without the fault."""
    clean, lost = _taken_back("GateFailed"), _taken_back("VerdictLost")
    assert differences(clean, lost, loss_allowed=True) == []
    assert differences(clean, lost), "nothing has ended it"
    assert differences(clean, _taken_back("VerdictLost", phase="Healthy"), loss_allowed=True)
    assert differences(clean, _taken_back("StepTimedOut"), loss_allowed=True), "this is another verdict"
