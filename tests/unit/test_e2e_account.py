"""The table at the end of an end-to-end run says what was measured, a line for each strategy."""

from __future__ import annotations

from tests.e2e.account import Account, table


def test_releases_of_one_strategy_are_one_line() -> None:
    """Times stand beside each other, requests are summed up; who was not taken back has a dash."""
    good, bad, other = Account("canary"), Account("canary", requests=40, lost=2), Account("blue-green", requests=7)
    good.ended("Promoted", 21.4)
    good.requests = 100
    for seconds in (12.0, 9.6):
        bad.ended("Rejected", seconds)
    other.ended("Superseded", 3.0)
    assert table(each.told() for each in (good, other, bad)) == [
        "strategy    promoted in  taken back in  requests  failed by the shifting",
        "canary             21 s       12, 10 s       140                       2",
        "blue-green            -              -         7                       0",
    ]


def test_without_an_account_there_is_no_table() -> None:
    """A run without end-to-end tests says nothing of them."""
    assert table([]) == []
