"""What the command line accepts, and with which exit code it ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headgate.cli.main import execute, main


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster can be asked."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["get", "a", "-A"],
        ["status"],
        ["status", "a", "--timeout", "5m"],
        ["status", "a", "--watch", "-o", "json"],
        ["override", "a"],
        ["override", "a", "--reason", " "],
        ["hotfix", "a"],
        ["hotfix", "a", "--reason", " "],
        ["promote", "a", "--attempt", "0"],
        ["promote", "a", "--timeout", "soon"],
        ["promote", "a", "--to-revision", "b"],
    ],
)
def test_a_wrong_command_line_ends_with_64(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """So that a script can tell its own mistake from a refusal; help goes where errors go."""
    assert execute(arguments) == 64
    assert "Usage: headgate" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["get"], ["-n", "shop", "status", "a"], ["undo", "a", "-n", "shop"]])
def test_a_cluster_that_cannot_be_asked_ends_with_3(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With one sentence, on stderr, and nothing on stdout."""
    assert execute(arguments) == 3
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("Error: there is no kubeconfig at ")


@pytest.mark.parametrize(("file", "name"), [("kubectl-headgate", "kubectl headgate"), ("headgate", "headgate")])
def test_as_a_plugin_it_is_called_what_people_type(
    file: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage line is that of kubectl's plugin."""
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{file}", "get", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"Usage: {name} get " in capsys.readouterr().out


def test_every_verb_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With its sentence in the help."""
    assert execute(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in ("promote", "pause", "resume", "abort", "retry", "undo", "override", "hotfix", "restart"):
        assert f"  {verb}" in text


def test_completion_does_not_need_a_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell's script names the variable that the documentation names, and no cluster means no names."""
    monkeypatch.setenv("_HEADGATE_COMPLETE", "bash_source")
    with pytest.raises(SystemExit):
        execute([])
    assert "_HEADGATE_COMPLETE=bash_complete" in capsys.readouterr().out
    monkeypatch.setenv("_HEADGATE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "headgate status ch")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        execute([])
    assert capsys.readouterr().out.strip() == ""
