"""Runs short commands with a time limit, and turns their failure into a sentence."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hgcluster import ui


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    stdin: str | None = None,
    stdin_file: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120,
    hint: str = "",
) -> str:
    """Run a command to its end and return what it printed; `what` is named when it fails."""
    source = stdin_file.open("rb") if stdin_file else None
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            input=stdin.encode() if stdin is not None else None,
            stdin=source or (subprocess.DEVNULL if stdin is None else None),
            capture_output=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise ui.ClusterError(f"{what} failed: {argv[0]} is not there. {hint}".strip()) from error
    except subprocess.TimeoutExpired as error:
        raise ui.ClusterError(f"{what} did not end within {timeout:.0f} s ({argv[0]}). {hint}".strip()) from error
    finally:
        if source:
            source.close()
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ui.ClusterError(f"{what} failed (exit code {done.returncode}): {tail(said)} {hint}".strip())
    return done.stdout.decode(errors="replace")


def run_loud(
    argv: Sequence[str | Path],
    *,
    what: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 3600,
) -> None:
    """Run a command that takes minutes: its output goes to a log, a line every half minute tells that it lives."""
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        try:
            while True:
                try:
                    process.wait(timeout=30)
                    break
                except subprocess.TimeoutExpired:
                    took = time.monotonic() - begun
                    if took > timeout:
                        raise ui.ClusterError(f"{what} did not end within {timeout / 60:.0f} min; see {log}") from None
                    ui.say(f"  still at it: {what} ({took:.0f} s)")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise ui.ClusterError(f"{what} failed: {tail(log.read_text(errors='replace'))} (all of it: {log})")


def wait_for(what: str, ready: Callable[[], bool], *, timeout: float, every: float = 0.2, why: str = "") -> None:
    """Poll until something is ready; when it does not become so, say what was waited for."""
    end = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > end:
            raise ui.ClusterError(f"{what} did not happen within {timeout:.0f} s. {why}".strip())
        time.sleep(every)


def tail(text: str, lines: int = 12) -> str:
    """The end of a log, which is where the reason usually stands."""
    return "\n".join(text.strip().splitlines()[-lines:])
