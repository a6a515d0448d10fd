"""The operator as a process beside the tests: its own user, the chart's rights, and killed when a test says so."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import IO, Any

import yaml

from tests.api.cluster import ROOT, LightCluster, until

USER = "operator"
SYSTEM = "operator-tests"
RELEASE = "operator-tests"
LEASE = "headgate"


def install(cluster: LightCluster, *values: str) -> None:
    """Install the kinds, and give the operator's user what the chart gives to the operator with these values."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"), "--timeout=30s")
    rendered = cluster.helm(
        "template", RELEASE, str(ROOT / "helm" / "headgate"), "--namespace", SYSTEM, "--kube-version", "1.34.0",
        "--show-only", "templates/rbac-operator.yaml", *(word for value in values for word in ("--set", value)),
    ).stdout  # fmt: skip
    objects: list[dict[str, Any]] = [o for o in yaml.safe_load_all(rendered) if o]
    for obj in objects:
        if obj["kind"].endswith("Binding"):
            obj["subjects"] = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}]
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}, *objects)


class OperatorProcess:
    """One process at a time; it can be killed and started again."""

    def __init__(self, cluster: LightCluster, folder: Path, config: dict[str, Any]) -> None:
        self._cluster = cluster
        self._config = folder / "config.yaml"
        self._config.write_text(yaml.safe_dump(config))
        self.log = folder / "operator.log"
        self._output: IO[bytes] = self.log.open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> None:
        """Start it, and wait until it leads."""
        self._port = _free_port()
        environment = {
            **os.environ,
            "KUBECONFIG": str(self._cluster.user_config(USER)),
            "PYTHONPATH": str(ROOT / "operator"),
            "HEADGATE_CONFIG": str(self._config),
            "HEADGATE_LOG_LEVEL": "info",
            "HEADGATE_PORT": str(self._port),
            "HEADGATE_LEASE": LEASE,
            "POD_NAME": "tests",
            "POD_NAMESPACE": SYSTEM,
        }
        said = self.log.stat().st_size
        self._process = subprocess.Popen(
            [sys.executable, "-m", "headgate.engine.main"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        until(lambda: self._leads(said), seconds=60, what=f"the operator leads; its log is {self.log}")

    def kill(self) -> None:
        """End it as a power cut would, in the middle of whatever it does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        """Start it anew after it was killed; its Lease is taken away, so that nobody waits for its end."""
        self._cluster.kubectl("delete", "lease", LEASE, "--namespace", SYSTEM)
        self.start()

    def stop(self) -> None:
        """Ask it to end, and require that it does so in time and in peace."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                code = self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            assert code == 0, f"it ended with {code}; its log is {self.log}"
        self._output.close()

    def get(self, path: str) -> str:
        """What it answers over HTTP."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    def logged(self) -> list[dict[str, Any]]:
        """The lines of its log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def _leads(self, said: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the operator has ended: {self.log.read_text()[-3000:]}"
        return '"message": "leading"' in self.log.read_text()[said:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
