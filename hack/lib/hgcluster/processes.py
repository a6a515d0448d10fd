"""Long-running children of a cluster: started in a session of their own, known by process id and start time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hgcluster import run, ui


class Processes:
    """The processes of one cluster; their records are files, so that a later command finds them."""

    def __init__(self, folder: Path) -> None:
        self._records = folder / "processes"
        self._logs = folder / "logs"

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int | None:
        """The process id while the process lives, else nothing."""
        try:
            record = json.loads((self._records / f"{name}.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        pid = int(record["pid"])
        # Process ids are used again; together with the start time they are not.
        return pid if _started(pid) == record["started"] else None

    def names(self) -> list[str]:
        """All that were started and not stopped."""
        return sorted(file.stem for file in self._records.glob("*.json")) if self._records.exists() else []

    def all_live(self) -> bool:
        """Whether every process that was started and not stopped lives; without any, that is not so."""
        names = self.names()
        return bool(names) and all(self.pid(name) for name in names)

    def ensure(
        self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> bool:
        """Start a process unless it lives; tells whether it was started."""
        if self.pid(name):
            return False
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as output:
            process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        record = {"pid": process.pid, "started": _started(process.pid), "command": str(argv[0])}
        (self._records / f"{name}.json").write_text(json.dumps(record))
        return True

    def stop(self, name: str, timeout: float = 20) -> None:
        """Ask a process to end, wait for it, and end it if it does not listen."""
        pid = self.pid(name)
        if pid:
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + timeout
            while self.pid(name) and time.monotonic() < end:
                time.sleep(0.05)
            if self.pid(name):
                os.kill(pid, signal.SIGKILL)
                run.wait_for(f"the end of {name}", lambda: self.pid(name) is None, timeout=10)
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def explain(self, name: str) -> str:
        """The last lines of a process's log, for an error message."""
        log = self.log(name)
        return f"The end of {log}:\n{run.tail(log.read_text(errors='replace'))}" if log.exists() else ""

    def require(self, name: str) -> None:
        """Fail at once, with the reason, when a process has ended that should live."""
        if not self.pid(name):
            raise ui.ClusterError(f"{name} has ended. {self.explain(name)}")


def _started(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended; only its parent has not noticed yet.
    return None if fields[0] == "Z" else fields[19]
