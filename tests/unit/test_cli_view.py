"""How raw objects are read, also those that this version does not know whole."""

from __future__ import annotations

import pytest

from headgate.cli.view import picture, read_pod, read_rollout
from tests.unit import cli_objects as objects
from tests.unit.cli_objects import CANARY, Json


def test_what_a_newer_operator_writes_does_not_hide_the_rest() -> None:
    """An unknown phase and an unknown kind of verdict are left out and named."""
    status = objects.progressing() | {"phase": "Dancing"}
    status["gates"][0]["checks"][0]["measurements"][0]["verdict"] = "Maybe"
    rollout = read_rollout(objects.rollout(status))
    assert rollout.status.step == "2/6"
    assert "status.phase is not understood by this version" in rollout.notes
    assert any("measurements" in note for note in rollout.notes)


def test_several_faults_of_one_list_remove_the_right_items() -> None:
    """Items before a removed one keep their place."""
    status = objects.degraded()
    good = status["history"][0]
    status["history"] = [good | {"outcome": "A"}, good, good | {"outcome": "B"}, good]
    kept = read_rollout(objects.rollout(status)).status.history
    assert [entry.outcome for entry in kept] == ["Promoted", "Promoted"]


def test_a_spec_that_cannot_be_read_leaves_the_status() -> None:
    """People need to see what can be seen."""
    raw = objects.rollout(objects.healthy())
    raw["spec"] = {"replicas": "many"}
    rollout = read_rollout(raw)
    assert rollout.spec is None
    assert rollout.status.phase == "Healthy"
    assert picture(raw).steps == ()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, "ImagePullBackOff"),
        ({"containerStatuses": [{"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}, "Error"),
        ({"initContainerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}, "Pending"),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}
                ]
            },
            "Unschedulable: no cpu",
        ),
        ({"phase": "Running"}, "not ready"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, ""),
    ],
)
def test_a_pod_says_why_it_is_not_up(status: Json, reason: str) -> None:
    """In the words that kubectl uses."""
    assert read_pod({"metadata": {"name": "a"}, "status": status}).reason == reason


def test_a_pod_that_is_going_is_not_ready() -> None:
    """Its Ready condition may still be true."""
    raw = objects.pod(CANARY, 1)
    raw["metadata"]["deletionTimestamp"] = "2026-11-20T12:00:00Z"
    pod = read_pod(raw)
    assert (pod.ready, pod.reason) == (False, "Terminating")
