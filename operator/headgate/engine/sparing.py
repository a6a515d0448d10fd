"""Loads the libraries without what they would load beside and the operator never uses: a twelfth of its memory.

To be imported before whatever imports them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = {
    "structlog": ("rich",),  # For its console in colours.
    "kopf": ("kubernetes.client", "kubernetes_asyncio"),  # Their models, which it would take for an owner as well.
}
BARE = "kubernetes"
"""Loads its synchronous client whole before the part that is used, `kubernetes.aio`, gets its turn."""


def load() -> None:
    """Load each library as though what it does not need here were not installed; what others loaded stays."""
    if BARE not in sys.modules and (found := importlib.util.find_spec(BARE)) is not None:
        sys.modules[BARE] = importlib.util.module_from_spec(found)
    for library, unused in UNUSED.items():
        with _hidden(*unused):
            importlib.import_module(library)


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    hidden = [name for name in names if name not in sys.modules]
    # What Python's import system itself takes for "not to be had".
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


load()
