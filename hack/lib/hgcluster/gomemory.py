"""How much memory Go programs may take here before they look for garbage, which costs them a sixth of their time."""

from __future__ import annotations

import os

# It follows the machine: a thousand Rollouts with their pods need gigabytes, and too small a one collects without end.
_LIMIT = max(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 6)

RUNNING = {"GOMAXPROCS": "2", "GOGC": "600", "GOMEMLIMIT": str(_LIMIT)}
"""For what runs as long as its cluster."""
BUILDING = {"GOGC": "off", "GOMEMLIMIT": str(_LIMIT)}
"""For a compiler, which is gone before it has much to collect; there are as many as cores at a time."""
