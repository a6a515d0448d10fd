"""Spares memory and time: libraries are loaded without what nobody here uses, and garbage is looked for seldom."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = {
    "structlog": ("rich",),  # For its console in colours.
    "kopf": ("kubernetes.client", "kubernetes_asyncio"),  # Their models, which it would take for an owner as well.
}
"""What the operator does not need of the libraries that it needs."""
CLIENT = "kubernetes"
"""Loads its synchronous client whole before the part that is used, `kubernetes.aio`, gets its turn."""
GARBAGE = 10_000
"""New objects that may come together before the youngest are looked through; Python's own number is 700."""


def for_operator() -> None:
    """Load each library as though what it does not need here were not installed; what others loaded stays.

    A twelfth of the operator's memory is spared.
    """
    without_synchronous_client()
    for library, unused in UNUSED.items():
        with _hidden(*unused):
            importlib.import_module(library)


def without_synchronous_client() -> None:
    """Let `kubernetes.aio` be loaded alone, in a quarter of the time; the rest of `kubernetes` can be had by name."""
    if CLIENT not in sys.modules and (found := importlib.util.find_spec(CLIENT)) is not None:
        sys.modules[CLIENT] = importlib.util.module_from_spec(found)


def the_collector() -> None:
    """Look for garbage in cycles less often, and never among what was imported until now.

    Nearly everything here is freed by reference counting; cycles come from exceptions and from tasks that end.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)


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
