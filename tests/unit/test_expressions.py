"""Text within expressions means itself."""

import re
import string

import pytest

from headgate.api.routes import StringMatch
from headgate.decide.expressions import literal
from headgate.traffic.matching import cookie_regex, regex_of

ASCII = [chr(code) for code in range(128)]
META = set("\\.+*?()|[]{}^$")


@pytest.mark.parametrize("character", ASCII, ids=ascii)
def test_each_ascii_character_means_itself_and_nothing_else(character: str) -> None:
    """In the place of one character no other one is matched, nor none."""
    expression = literal(f"a{character}b")

    matched = [other for other in ASCII if re.fullmatch(expression, f"a{other}b")]
    assert matched == [character]
    assert re.fullmatch(expression, "ab") is None


def test_only_what_has_a_meaning_is_escaped() -> None:
    """Both engines read a backslash before each of these."""
    escaped = {character for character in ASCII if literal(character) != character}

    assert escaped == META
    assert escaped < set(string.punctuation), "RE2 takes a backslash before punctuation, and before nothing else"


@pytest.mark.parametrize("character", sorted(META))
def test_a_match_by_text_is_not_an_expression(character: str) -> None:
    """Nor is it one within a cookie."""
    exact = StringMatch(exact=f"a{character}b")

    assert re.search(regex_of(exact), f"a{character}b")
    assert not re.search(regex_of(exact), f"a{character}bc")
    assert re.search(cookie_regex("group", exact), f"x=1; group=a{character}b; y=2")
    assert not re.search(cookie_regex("group", exact), "x=1; group=ab; y=2")
