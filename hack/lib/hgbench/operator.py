"""The operator as a process of this machine, under its own user; CPU and memory as the kernel counts them."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

from hack.lib.hgbench.cluster import ROOT, SYSTEM, Cluster, Trouble

CONFIG = {"routeSettleSeconds": 0.2, "drainSeconds": 1}
"""What differs from the defaults, so that the figures tell of the operator and not of waiting."""
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far, and memory in MB."""

    cpu: float
    rss: float
    peak: float
    """Since the last `forget_peak`."""


class Operator:
    """A running operator."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(CONFIG))
        self.log = folder / "operator.log"
        self.port = _free_port()
        environment = {
            **os.environ,
            "KUBECONFIG": str(cluster.operator_kubeconfig),
            "PYTHONPATH": str(ROOT / "operator"),
            "HEADGATE_CONFIG": str(config),
            "HEADGATE_LOG_LEVEL": "info",
            "HEADGATE_PORT": str(self.port),
            "HEADGATE_LEASE": "headgate",
            "POD_NAME": "bench",
            "POD_NAMESPACE": SYSTEM,
        }
        self._output: IO[bytes] = self.log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "headgate.engine.main"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        self.pid = self._process.pid

    def wait_ready(self, seconds: float) -> None:
        """Wait until it leads and has seen everything.

        Raises:
            Trouble: if it does not, or ends.
        """
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.require()
            if self._ready():
                return
            time.sleep(0.1)
        raise Trouble(f"the operator was not ready within {seconds:.0f} s: {self._tail()}")

    def require(self) -> None:
        """Fail with the end of its log when it has ended."""
        if self._process.poll() is not None:
            raise Trouble(f"the operator has ended with exit code {self._process.returncode}: {self._tail()}")

    def usage(self) -> Usage:
        """What it has used so far."""
        self.require()
        # Fields are counted from behind the name, which may hold spaces.
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if ":" in line
        )
        return Usage(
            cpu=(int(stat[11]) + int(stat[12])) / TICK,
            rss=int(status["VmRSS"].split()[0]) / 1024,
            peak=int(status["VmHWM"].split()[0]) / 1024,
        )

    def stop(self) -> None:
        """Ask it to end, and end it if it does not listen."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-15:]) + f"\n(all of it: {self.log})"


def own_cpu() -> float:
    """CPU seconds of this measuring process: it shares the machine with what it measures."""
    mine = resource.getrusage(resource.RUSAGE_SELF)
    return mine.ru_utime + mine.ru_stime


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
