"""The operator as a process that starts in a fraction of a second: forked from a server that has it imported.

What runs is the operator's own command in a process of its own; only the two seconds of CPU that Python's imports take
are spent once. So it can be killed and started again hundreds of times.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["headgate.engine.main", "hack.lib.hgprove.faults.process"])


def _operator(arguments: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    from headgate.engine.main import main  # noqa: PLC0415  the parent never needs it

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    os.environ.update(environment)
    main(list(arguments))


class Operator:
    """One process at a time."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self.log = log
        log.touch()
        self._process: ForkServerProcess | None = None

    @property
    def pid(self) -> int:
        """The process that runs, 0 if none does."""
        return self._process.pid or 0 if self.running and self._process is not None else 0

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._process.exitcode if self._process is not None else None

    def start(self) -> None:
        """Start it, without waiting."""
        made = _context.Process(target=_operator, args=(self._arguments, self._environment, str(self.log)), daemon=True)
        made.start()
        self._process = made

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()

    def stop(self, seconds: float = 15.0) -> int | None:
        """Ask it to end; gives what it ended with, None if it had to be killed."""
        if self._process is None:
            return 0
        self._process.terminate()
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            return None
        return self._process.exitcode

    def freeze(self) -> None:
        """Stop it where it stands, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
