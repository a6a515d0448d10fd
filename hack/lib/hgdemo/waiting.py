"""Runs other programs and waits for conditions; a failure is one sentence that says what was seen."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Trouble(Exception):  # noqa: N818 - it is shown to people by this name.
    """Something that a person has to know; the text says what happened and what to do."""


def run(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    stdin: str | None = None,
    timeout: float = 60,
    check: bool = True,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    Raises:
        Trouble: if it fails and `check` is set, or does not end in time.
    """
    words = [str(word) for word in argv]
    shown = " ".join([Path(words[0]).name, *words[1:]])[:300]
    try:
        done = subprocess.run(
            words,
            env=dict(environment),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=folder,
        )
    except FileNotFoundError as error:
        raise Trouble(f"`{shown}` cannot be started: {words[0]} is not there.") from error
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"`{shown}` did not end within {timeout:.0f} s.") from error
    if check and done.returncode != 0:
        raise Trouble(
            f"`{shown}` failed with exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}"
        )
    return done


def run_shown(argv: Sequence[str | Path], *, environment: Mapping[str, str], log: Path, timeout: float = 3600) -> None:
    """Run a program that takes long and reports its own progress, which goes to the screen and to a log.

    Raises:
        Trouble: if it fails.
    """
    words = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as copy,
        subprocess.Popen(
            words,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - it was asked for above.
        limit = threading.Timer(timeout, process.terminate)
        limit.daemon = True
        limit.start()
        try:
            for line in process.stdout:
                copy.write(line)
                print(f"    {line}", end="", flush=True)
        finally:
            limit.cancel()
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.terminate()
    if process.returncode != 0:
        said = log.read_text().strip().splitlines()
        raise Trouble(f"`{' '.join(words[:3])}` failed: {said[-1] if said else 'it said nothing'} (all of it: {log})")


def until(
    what: str,
    check: Callable[[], T | None],
    *,
    timeout: float,
    seen: Callable[[], str] | None = None,
    pause: float = 0.25,
) -> T:
    """Wait until `check` gives something that is not None (False counts as not yet).

    Raises:
        Trouble: if it does not in time; says what was seen instead.
    """
    ends = time.monotonic() + timeout
    while True:
        found = check()
        if found is not None and found is not False:
            return found
        if time.monotonic() >= ends:
            instead = f"; seen instead: {seen()}" if seen else ""
            raise Trouble(f"{what} did not come within {timeout:.0f} s{instead}")
        time.sleep(pause)
