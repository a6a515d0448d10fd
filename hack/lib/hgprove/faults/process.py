"""The operator as a process that starts in a fraction of a second: forked from a server that has it imported.

What runs is the operator's own command in a process of its own; only the two seconds of CPU that Python's imports take
are spent once. So it can be killed and started again hundreds of times.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
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
        pid = self.pid
        with contextlib.suppress(ProcessLookupError):
            if pid:  # 0 would be this very process and all its kin.
                os.kill(pid, number)


class Standing(Operator):
    """One process that outlives whoever started it; who knows its pid and its start can go on with it."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        super().__init__(arguments, environment, log)
        self._pid = 0
        self.started = 0
        """When it started, in the machine's ticks: a pid alone may be another process's by now."""
        self._child: subprocess.Popen[bytes] | None = None

    def adopt(self, pid: int, started: int) -> bool:
        """Go on with a process; gives whether it is still there."""
        self._pid, self.started = pid, started
        return self.running

    @property
    def pid(self) -> int:
        """The process that runs, 0 if none does."""
        return self._pid if self.running else 0

    @property
    def running(self) -> bool:
        """Whether it runs."""
        if self._child is not None:
            self._child.poll()  # A child that ended stays in the table until it is asked for.
        return bool(self._pid) and _started(self._pid) == self.started

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs, and where somebody else started it."""
        return self._child.poll() if self._child is not None else None

    def start(self) -> None:
        """Start it, without waiting."""
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "headgate.engine.main", *self._arguments],
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._pid, self.started = self._child.pid, _started(self._child.pid)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)

    def stop(self, seconds: float = 15.0) -> int | None:
        """Ask it to end; gives what it ended with, None if it had to be killed or is nobody's child here."""
        self.thaw()
        self._signal(signal.SIGTERM)
        ends = time.monotonic() + seconds
        while self.pid and time.monotonic() < ends:
            time.sleep(0.1)
        self.kill()
        return self.exit_code


def _started(pid: int) -> int:
    """When a process started, in ticks since the machine did; 0 if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])
