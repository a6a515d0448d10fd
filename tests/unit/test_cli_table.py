"""The lines of `headgate get`."""

from __future__ import annotations

from headgate.cli.table import table
from headgate.cli.view import read_rollout
from tests.unit import cli_objects as objects
from tests.unit.cli_objects import NOW, Json


def lines(*statuses: Json, namespaces: bool = False, wide: bool = False) -> list[str]:
    """The table of Rollouts in these situations."""
    rollouts = [read_rollout(objects.rollout(status)) for status in statuses]
    return [line.plain for line in table(rollouts, NOW, namespaces=namespaces, wide=wide)]


def test_one_line_says_where_each_is_and_why() -> None:
    """Columns line up, and the sentence comes last."""
    head, first, second = lines(objects.progressing(), objects.degraded())
    assert head.split() == ["NAME", "PHASE", "STEP", "WEIGHT", "STABLE", "CURRENT", "SINCE", "WHY"]
    assert first.split()[:7] == ["checkout", "Progressing", "2/6", "5%", "bcdfghjklm", "xz2456789b", "5m00s"]
    assert second.index("Degraded") == first.index("Progressing")
    assert first.endswith("passing so far")


def test_all_namespaces_and_wide_add_columns() -> None:
    """The namespace comes first; ready pods and age come before the sentence."""
    head, row = lines(objects.healthy(), namespaces=True, wide=True)
    assert head.split()[0] == "NAMESPACE"
    assert row.split()[0] == "shop-prod"
    assert "6/6" in row
    assert head.split()[-3:] == ["READY", "AGE", "WHY"]


def test_a_weight_that_is_not_there_yet_shows_both() -> None:
    """Observed first, then wanted."""
    status = objects.progressing() | {"weights": {"desired": 25, "observed": 5}}
    assert "5->25%" in lines(status)[1]


def test_no_name_or_message_can_forge_a_line() -> None:
    """One Rollout is one line, whatever its message holds."""
    status = objects.healthy() | {"message": "fine\nother   Healthy\x1b[2K"}
    table_lines = lines(status)
    assert len(table_lines) == 2
    assert table_lines[1].endswith("fine other   Healthy\\x1b[2K")
