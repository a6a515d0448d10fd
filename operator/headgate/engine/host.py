"""What one process takes from the machine it runs on: clocks, chance, and whether it is on the network at all."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable

from headgate.api.values import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """The machine; whoever needs every run to be the same puts other functions here."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    rand: Callable[[], float] = random.random
    token: Callable[[int], str] = secrets.token_hex
    """So many random bytes as text, for names that nobody else has."""
    listens: bool = True
    """Serve HTTP and take signals."""
