"""How the command finds its cluster: as kubectl does."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from headgate.api import ROLLOUT
from headgate.cli.client import Settings, connect, path_of
from headgate.cli.errors import CliError, Exit


def kubeconfig(path: Path, name: str, user: dict[str, Any] | None = None, *, current: str = "") -> Path:
    """A kubeconfig with one context, whose namespace is `<name>-ns`."""
    context = {"cluster": name, "user": name, "namespace": f"{name}-ns"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"http://{name}.invalid:1"}}],
        "contexts": [{"name": name, "context": context}],
        "users": [{"name": name, "user": user or {"token": f"token-of-{name}"}}],
        **({"current-context": current} if current else {}),
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the configuration of whoever runs it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


async def found(settings: Settings) -> tuple[str, str, str]:
    """Server, namespace and credentials."""
    async with connect(settings) as client:
        configuration = client.api.configuration
        return configuration.host, client.namespace, configuration.api_key.get("BearerToken", "")


async def test_several_kubeconfigs_are_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current context may stand in one file and its cluster in another."""
    first = kubeconfig(tmp_path / "a", "one", current="two")
    second = kubeconfig(tmp_path / "b", "two")
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}:{tmp_path / 'missing'}")
    assert await found(Settings()) == ("http://two.invalid:1", "two-ns", "Bearer token-of-two")
    assert await found(Settings(context="one", namespace="shop")) == (
        "http://one.invalid:1",
        "shop",
        "Bearer token-of-one",
    )


async def test_a_credential_plugin_gives_the_token(tmp_path: Path) -> None:
    """As managed clusters of the large providers need it, with arguments and environment."""
    plugin = tmp_path / "login"
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "TOKEN"}}
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}' | sed \"s/TOKEN/$1-$CLUSTER/\"\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "args": ["for"],
            "env": [{"name": "CLUSTER", "value": "shop"}],
        }
    }
    path = kubeconfig(tmp_path / "config", "one", user, current="one")
    assert (await found(Settings(kubeconfig=str(path))))[2] == "Bearer for-shop"


async def test_a_credential_plugin_that_fails_is_named(tmp_path: Path) -> None:
    """Not a request without credentials, and not a stack trace."""
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}}
    path = kubeconfig(tmp_path / "config", "one", user, current="one")
    with pytest.raises(CliError, match=r"no-such-plugin.*log in again") as caught:
        await found(Settings(kubeconfig=str(path)))
    assert caught.value.code is Exit.UNREACHABLE


@pytest.mark.parametrize("text", ["", "[]", "{", "clusters: 1\ncurrent-context: x\n", "current-context: gone\n"])
async def test_a_broken_kubeconfig_is_one_sentence(tmp_path: Path, text: str) -> None:
    """Whatever is wrong with it."""
    (tmp_path / "config").write_text(text)
    with pytest.raises(CliError, match="cannot be used") as caught:
        await found(Settings(kubeconfig=str(tmp_path / "config")))
    assert caught.value.code is Exit.UNREACHABLE


async def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With those that are."""
    path = kubeconfig(tmp_path / "config", "one", current="one")
    with pytest.raises(CliError, match='no context "two"; it has one'):
        await found(Settings(kubeconfig=str(path), context="two"))


async def test_no_kubeconfig_is_said() -> None:
    """With the place where it was looked for."""
    with pytest.raises(CliError, match=r"no kubeconfig at .*/\.kube/config; name one by --kubeconfig"):
        await found(Settings())


async def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    """With the address and what to check."""
    path = kubeconfig(tmp_path / "config", "one", current="one")
    path.write_text(path.read_text().replace("one.invalid:1", "127.0.0.1:1"))
    async with connect(Settings(kubeconfig=str(path))) as client:
        with pytest.raises(CliError, match=r"http://127\.0\.0\.1:1 cannot be reached") as caught:
            await client.get("/api")
    assert caught.value.code is Exit.UNREACHABLE


def test_paths_are_those_of_the_api() -> None:
    """Of one object, of a namespace, of the cluster; no name leads anywhere else."""
    assert path_of(ROLLOUT, "shop", "../a").endswith("/namespaces/shop/rollouts/..%2Fa")
    assert path_of(ROLLOUT, "shop", "a") == "/apis/headgate.dev/v1alpha1/namespaces/shop/rollouts/a"
    assert path_of(ROLLOUT, None) == "/apis/headgate.dev/v1alpha1/rollouts"
