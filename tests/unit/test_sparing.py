"""The operator does not load what it never uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OPERATOR = Path(__file__).parents[2] / "operator"
LOADED = """
import sys
import headgate.engine.main
from kubernetes.aio import client
print(*sorted({".".join(name.split(".")[:2]) for name in sys.modules}), client.ApiClient.__name__)
import kubernetes.client, rich.console
print(kubernetes.client.ApiClient.__name__)
"""


def test_what_nobody_uses_is_not_loaded_and_can_be_had_still() -> None:
    """Neither the console in colours nor the synchronous client is in memory; whoever asks for one later gets it."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=OPERATOR, capture_output=True, text=True, check=True, timeout=60
    )
    loaded, later = ran.stdout.splitlines()
    names = set(loaded.split())

    assert not names & {"rich", "kubernetes.client", "kubernetes.config", "kubernetes_asyncio", "oauthlib"}
    assert {"kopf", "structlog", "kubernetes.aio", "ApiClient"} <= names
    assert later == "ApiClient"
