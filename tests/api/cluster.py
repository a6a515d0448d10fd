"""A real API server for tests: starts it by `hack/cluster`, or uses the one that `HEADGATE_TEST_KUBECONFIG` names."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / "hack" / "cluster")
USERS = ("alice", "bob", "carol", "operator")
"""Users of every cluster that hack/cluster makes; they have no rights until some are bound to them."""


class LightCluster:
    """etcd, kube-apiserver and kube-controller-manager without real nodes, and the tools to talk to them."""

    def __init__(self, *, kubeconfig: Path, environment: dict[str, str], name: str | None) -> None:
        self.kubeconfig = kubeconfig
        self.environment = environment | {"KUBECONFIG": str(kubeconfig)}
        self.name = name
        """`None`: the cluster was there before, and its users are impersonated instead of known by a token."""
        self._configs: dict[str, Path] = {}

    @classmethod
    def start(cls, name: str) -> LightCluster:
        """Start a cluster of this name, or take the one that the environment names."""
        if existing := os.environ.get("HEADGATE_TEST_KUBECONFIG"):
            return cls(kubeconfig=Path(existing), environment=dict(os.environ), name=None)
        _run(
            [COMMAND, "up", "--fresh", "--light", "--audit", "--name", name], environment=dict(os.environ), timeout=1800
        )
        script = f'eval "$("{COMMAND}" env --name {name})" && env -0'
        values = _run(["bash", "-c", script], environment=dict(os.environ)).stdout
        environment = dict(line.split("=", 1) for line in values.split("\0") if "=" in line)
        environment["PATH"] = f"{environment['HEADGATE_BIN']}:{environment['PATH']}"
        return cls(kubeconfig=Path(environment["KUBECONFIG"]), environment=environment, name=name)

    def stop(self) -> None:
        """Take down what was started, unless someone wants to look at it."""
        keep = os.environ.get("HEADGATE_KEEP") == "1" or os.environ.get("HEADGATE_KEEP_CLUSTER") == "1"
        if self.name is not None and not keep:
            _run([COMMAND, "down", "--name", self.name], environment=dict(os.environ), timeout=180)

    def user_config(self, user: str) -> Path:
        """Return the kubeconfig of a user that the API server knows by a token; see USERS."""
        assert self.name is not None, "a cluster that was there before has no tokens of ours"
        if user not in self._configs:
            said = _run([COMMAND, "token", user, "--name", self.name], environment=dict(os.environ)).stdout
            self._configs[user] = Path(said.strip())
        return self._configs[user]

    def token(self, user: str) -> str:
        """Return the token of such a user."""
        token: str = json.loads(self.user_config(user).read_text())["users"][0]["user"]["token"]
        return token

    def kubectl(
        self, *arguments: str, user: str | None = None, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as an administrator, or as another user: by token, or impersonated where there is none."""
        by_token = user in USERS and self.name is not None
        config = self.user_config(user) if by_token and user is not None else self.kubeconfig
        command = ["kubectl", "--kubeconfig", str(config), *arguments]
        if user is not None and not by_token:
            command += ["--as", user]
        return _run(command, environment=self.environment, stdin=stdin, check=check)

    def helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run helm as an administrator."""
        command = ["helm", "--kubeconfig", str(self.kubeconfig), *arguments]
        return _run(command, environment=self.environment, check=check, timeout=180)

    def apply(
        self, *manifests: object, user: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Apply objects, given as dictionaries."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        return self.kubectl("apply", "-f", "-", user=user, stdin=text, check=check)


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait until the condition holds.

    Raises:
        AssertionError: if it does not within this time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


def _run(
    command: list[str],
    *,
    environment: dict[str, str],
    stdin: str | None = None,
    check: bool = True,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=timeout
    )
    assert result.returncode == 0 or not check, f"{' '.join(command)} failed:\n{result.stdout}\n{result.stderr}"
    return result
