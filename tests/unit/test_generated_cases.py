"""The generator of objects walks every property of every schema, and its count notices what is left out."""

from __future__ import annotations

from hack.lib.hgprove.generated.cases import WAYS, all_cases, coverage


def test_cases_walk_every_property() -> None:
    """Every property of every schema is set, removed, put at its boundaries and made wrong; a new one is, too."""
    found = coverage(all_cases())
    assert found.left == ()
    assert found.walked == found.properties > 200
    assert set(found.ways) == set(WAYS)


def test_dropped_case_is_missed() -> None:
    """The count of what is walked notices a single case that is not there."""
    lacking = tuple(case for case in all_cases() if case.id != "Rollout:spec.replicas/above-maximum")
    assert coverage(lacking).left == ("Rollout:spec.replicas",)
