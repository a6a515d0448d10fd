"""The demonstration's own program, by its own tests; they are in Go, like the program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "hack" / "demo-app"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", ["vet", "test"])
def test_demo_app(command: str) -> None:
    """The service and the load generator do what the demonstration and the end-to-end tests rely on."""
    environment = os.environ | {"CGO_ENABLED": "0"}
    result = subprocess.run(
        ["go", command, "./..."], cwd=FOLDER, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert result.returncode == 0, result.stdout + result.stderr
