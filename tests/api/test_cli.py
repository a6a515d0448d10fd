"""The command line against a real API server: what people see, what they ask for, and what they are refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.cli.main import execute
from tests.api.cluster import ROOT, LightCluster, until
from tests.unit import cli_objects as objects
from tests.unit.cli_objects import CANARY, STABLE, Json

SHOP = "cli-shop"


@pytest.fixture(scope="module")
def shop(light_cluster: LightCluster) -> Iterator[LightCluster]:
    """A namespace with a Rollout in mid-release, as an operator would have described it."""
    light_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    light_cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    light_cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP}})
    rollout = objects.rollout()
    rollout["metadata"] = {"name": "checkout", "namespace": SHOP}
    rollout.pop("status")
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    plan = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "revision": 1,
        "metadata": {"name": "checkout-2", "namespace": SHOP, "labels": {"headgate.dev/rollout": "checkout"}},
        "data": objects.plan([*steps[:3], {"pause": {"duration": "77m"}}])["data"],
    }
    light_cluster.apply(rollout, plan)
    describe(light_cluster, objects.progressing())
    yield light_cluster
    light_cluster.kubectl("delete", "namespace", SHOP, "--wait=false")


@pytest.fixture(autouse=True)
def administrator(shop: LightCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are an administrator's, if they do not say otherwise."""
    monkeypatch.setenv("KUBECONFIG", str(shop.kubeconfig))


def describe(cluster: LightCluster, status: Json) -> None:
    """Write a status as the operator would, for the present generation."""
    generation = cluster.kubectl("get", "rollout", "checkout", "-n", SHOP, "-o", "jsonpath={.metadata.generation}")
    patch = json.dumps({"status": status | {"observedGeneration": int(generation.stdout)}})
    cluster.kubectl(
        "patch", "rollout", "checkout", "-n", SHOP, "--subresource=status", "--type=merge", f"--patch={patch}"
    )


def answer(cluster: LightCluster, verb: str, **status: str) -> threading.Thread:
    """Answer the first open action of a verb, in the background."""

    def open_actions() -> list[str]:
        found = json.loads(cluster.kubectl("get", "rolloutactions", "-n", SHOP, "-o", "json").stdout)["items"]
        return [a["metadata"]["name"] for a in found if a["spec"]["verb"] == verb and not a.get("status")]

    def run() -> None:
        until(lambda: bool(open_actions()), seconds=20, what=f"an action {verb}")
        patch = json.dumps({"status": {**status, "at": "2026-11-20T12:00:00Z"}})
        cluster.kubectl(
            "patch", "rolloutaction", open_actions()[0], "-n", SHOP, "--subresource=status", "--type=merge", "-p", patch
        )

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_get_and_status_show_what_the_operator_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    """One line per Rollout; a tree with the steps of the pinned plan."""
    assert execute(["get", "-n", SHOP]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.startswith("NAME")
    assert row.split()[:6] == ["checkout", "Progressing", "2/6", "5%", STABLE, CANARY]
    assert execute(["status", "checkout", "-n", SHOP]) == 0
    out = capsys.readouterr().out
    assert "pause 77m" in out
    assert "success-rate" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(("verb", "phase", "code"), [("pause", "Accepted", 0), ("promote", "Refused", 1)])
def test_an_action_is_created_and_its_answer_printed(
    shop: LightCluster, capsys: pytest.CaptureFixture[str], verb: str, phase: str, code: int
) -> None:
    """With author, revision, attempt, reason and owner, as the schema wants them."""
    operator = answer(shop, verb, phase=phase, message="because it is so")
    assert execute([verb, "checkout", "-n", SHOP, "--reason", "lunch"]) == code
    operator.join()
    assert capsys.readouterr().out.strip() == f"{phase}: {verb} checkout, revision {CANARY} attempt 2: because it is so"
    found = json.loads(shop.kubectl("get", "rolloutactions", "-n", SHOP, "-o", "json").stdout)["items"]
    (made,) = [item for item in found if item["spec"]["verb"] == verb]
    assert made["spec"]["reason"] == "lunch"
    assert made["spec"]["author"]
    assert made["metadata"]["ownerReferences"][0]["name"] == "checkout"


def test_silence_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """And asks for the operator."""
    assert execute(["abort", "checkout", "-n", SHOP, "--timeout", "500ms"]) == 2
    assert "is the operator running?" in capsys.readouterr().err


def test_a_user_without_rights_is_told_which_one_is_missing(
    shop: LightCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not to read, and not to act."""
    if shop.name is None:
        pytest.skip("a cluster that was there before has no user without rights")
    alice = ["--kubeconfig", str(shop.user_config("alice")), "-n", SHOP]
    assert execute(["get", *alice]) == 1
    assert f"alice may not list rollouts.headgate.dev in namespace {SHOP}" in capsys.readouterr().err


def test_following_ends_as_the_release_ends(shop: LightCluster, capsys: pytest.CaptureFixture[str]) -> None:
    """By a watch, with a line for each change, and with the exit code of the outcome."""
    timer = threading.Timer(2, describe, (shop, objects.degraded()))
    timer.start()
    assert execute(["status", "checkout", "-n", SHOP, "--until-done", "--timeout", "30s"]) == 1
    timer.join()
    lines = capsys.readouterr().out.splitlines()
    assert "checkout: Progressing" in lines[0]
    assert "checkout: Degraded" in lines[-1]


def test_what_does_not_exist_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A Rollout, and a kubeconfig."""
    assert execute(["status", "nobody", "-n", SHOP]) == 1
    assert f'Rollout "nobody" does not exist in namespace {SHOP}' in capsys.readouterr().err
    assert execute(["get", "--kubeconfig", str(tmp_path / "no")]) == 3
