"""Dataclasses whose instances nobody changes, and that cost no more than others.

At run time a frozen dataclass sets each of its fields by a call, and is made three to four times as slowly as a plain
one: a tenth of all that the operator computed. mypy refuses every assignment to it before anything runs, so here the
declaration is for mypy, and for whoever reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(*, frozen: bool = False, **options: Any) -> Any:
        """As `dataclasses.dataclass`; a frozen one has the same hash and equality, and is only not guarded."""
        return dataclasses.dataclass(unsafe_hash=frozen, **options)
