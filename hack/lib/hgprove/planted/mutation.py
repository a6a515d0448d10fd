"""What a planted bug is, and how it gets into a copy of the operator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hack.lib.hgprove.campaign import ROOT

PACKAGE = ROOT / "operator" / "headgate"


class Stale(Exception):  # noqa: N818  it is a finding about the list, not a fault of the caller
    """The text that a mutation replaces is not in the file exactly once: the list is not true any more."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One small change of the operator that must not stay unseen."""

    id: str
    breaks: str
    """What it breaks, as a sentence."""
    belongs: str
    """Numbers of invariants and ids of the field's bugs, e.g. `3 B5`."""
    file: str
    """Below `operator/headgate`."""
    old: str
    new: str
    tests: tuple[str, ...]
    """The tests that are expected to catch it, as pytest names them."""
    says: str
    """What the message of the failed assertion must speak of."""

    def applied(self, text: str) -> str:
        """The file's text with the bug in it.

        Raises:
            Stale: if the text to replace is not there exactly once.
        """
        found = text.count(self.old)
        if found != 1:
            raise Stale(f"{self.id}: its text is {found} times in {self.file}; correct the mutation")
        return text.replace(self.old, self.new)

    def plant(self, package: Path) -> None:
        """Put the bug into a copy of the package.

        Raises:
            Stale: if the text to replace is not there exactly once.
        """
        file = package / self.file
        file.write_text(self.applied(file.read_text(encoding="utf-8")), encoding="utf-8")
