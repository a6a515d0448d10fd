"""Runs the tests on a copy of the operator that has one bug planted, and says which test caught it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from hack.lib.hgprove.campaign import ROOT
from hack.lib.hgprove.planted.mutation import PACKAGE, Mutation

EVERYTHING = ("tests/unit", "tests/simulation")
"""Where a bug that its own tests did not catch is looked for."""
LONGEST = 1800
"""Seconds after which a run of the tests is ended."""
ASSERTIONS = ("AssertionError", "Failed", "assert ", "tests.simulation.world.Violation")
"""How the message of a test begins that says what is wrong, and did not fall over it."""


@dataclass(frozen=True, slots=True)
class Caught:
    """What became of one planted bug."""

    test: str = ""
    """The first test that failed; empty if none did."""
    message: str = ""
    """The first line of what it says."""
    expected: bool = False
    """It is one of the tests that the list names."""
    seconds: float = 0.0

    def problem(self, mutation: Mutation) -> str:
        """Why this is not enough; empty if the bug was caught by a test that says what is wrong."""
        if not self.test:
            return "no test noticed it"
        if not self.expected:
            return f"its own tests did not notice it; by accident {self.test} did: {self.message}"
        if not self.message.startswith(ASSERTIONS):
            return f"{self.test} fell over it instead of saying what is wrong: {self.message}"
        if mutation.says not in self.message:
            return f'{self.test} says nothing of "{mutation.says}": {self.message}'
        return ""


def run(mutation: Mutation, *, everything: bool = True) -> Caught:
    """Plant the bug in a copy and run its own tests, then (with `everything`) all that need no cluster.

    Raises:
        Stale: if the list does not fit the operator any more.
        RuntimeError: if the tests could not be run.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headgate-planted-") as folder:
        copy = Path(folder) / "operator"
        # With the compiled files, which are still right for all modules but one.
        shutil.copytree(PACKAGE, copy / "headgate")
        mutation.plant(copy / "headgate")
        test, message = _first_failure(copy, Path(folder) / "junit.xml", mutation.tests)
        expected = bool(test)
        if not test and everything:
            test, message = _first_failure(copy, Path(folder) / "junit.xml", EVERYTHING)
    return Caught(test, message, expected, time.monotonic() - began)


def _first_failure(copy: Path, report: Path, tests: Sequence[str]) -> tuple[str, str]:
    """The first test that fails on a copy of the operator, and the first line of its message."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
    # The copy stands where pyproject.toml puts the operator on the path; the environment is for what tests start.
    command += ["-o", f"pythonpath={copy} {ROOT}", "-o", "addopts=--import-mode=importlib", f"--junit-xml={report}"]
    environment = os.environ | {"PYTHONPATH": f"{copy}{os.pathsep}{ROOT}", "HYPOTHESIS_STORAGE_DIRECTORY": str(copy)}
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [*command, *tests], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST
    )
    if done.returncode not in (0, 1) or not report.exists():
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    for case in ET.parse(report).iter("testcase"):  # noqa: S314  pytest has just written it
        for found in (*case.iter("failure"), *case.iter("error")):
            lines = (found.get("message") or found.text or "").strip().splitlines()
            return f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}", lines[0] if lines else ""
    return "", ""
