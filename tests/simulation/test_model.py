"""Every state of the small model is looked at: no invariant breaks, and from each the right end can be reached."""

from __future__ import annotations

import pytest

from tests.simulation.explore import explore
from tests.simulation.model import Budget

pytestmark = pytest.mark.simulation


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "budget",
    [
        pytest.param(Budget(faults=0, crashes=0, releases=1, aborts=0, ticks=2), id="a release"),
        pytest.param(Budget(faults=0, crashes=0, releases=1, aborts=1, ticks=0), id="a release and an abort"),
        pytest.param(Budget(faults=1, crashes=0, releases=1, aborts=0, ticks=1), id="a release and a refused write"),
        pytest.param(Budget(faults=0, crashes=1, releases=1, aborts=0, ticks=1), id="a release and a crash"),
    ],
)
def test_no_state_breaks_an_invariant_or_is_stuck(budget: Budget) -> None:
    """What goes wrong is told as the shortest story that leads there."""
    report = explore(budget)
    assert not report.problem, "\n".join([report.problem, *report.story])
    assert report.complete
    assert report.states > 500
