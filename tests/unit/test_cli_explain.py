"""What a person reads when the API server refuses."""

from __future__ import annotations

import json

import pytest

from headgate.cli.errors import Exit
from headgate.cli.explain import api_error


def message(status: int, **answer: object) -> str:
    """The sentence for an answer."""
    return api_error(status, json.dumps({"kind": "Status", **answer}).encode()).message


def test_a_missing_right_is_named_with_a_role_that_has_it() -> None:
    """Who, what, where, and what to ask for."""
    text = message(
        403,
        message='rolloutactions.headgate.dev is forbidden: User "alice" cannot create resource "rolloutactions" '
        'in API group "headgate.dev" in the namespace "shop"',
    )
    assert text.startswith("alice may not create rolloutactions.headgate.dev in namespace shop; ask an administrator")
    assert "headgate-release-manager" in text


def test_reading_needs_a_smaller_role() -> None:
    """Nobody is sent for more rights than the command needs."""
    text = message(
        403,
        message='rollouts.headgate.dev is forbidden: User "bob" cannot list resource "rollouts" in API group '
        '"headgate.dev" at the cluster scope',
    )
    assert "bob may not list rollouts.headgate.dev in the whole cluster" in text
    assert "headgate-view" in text


def test_a_policy_speaks_for_itself() -> None:
    """The admission policy's own sentence is all that is shown."""
    text = message(
        403,
        message="rolloutactions.headgate.dev \"x\" is forbidden: ValidatingAdmissionPolicy 'headgate-actions' with "
        "binding 'headgate-actions' denied request: alice may not promote the Rollout checkout in namespace shop.",
    )
    assert text == "alice may not promote the Rollout checkout in namespace shop."


def test_not_installed_is_not_the_same_as_not_found() -> None:
    """A cluster without the kinds says that Headgate is missing; a missing object is named."""
    assert "does not serve headgate.dev/v1alpha1" in api_error(404, b"404 page not found\n").message
    assert message(404, details={"name": "a", "kind": "rollouts"}) == 'rollouts "a" does not exist'


@pytest.mark.parametrize(("status", "code"), [(401, Exit.UNREACHABLE), (503, Exit.UNREACHABLE), (422, Exit.REFUSED)])
def test_scripts_can_tell_a_refusal_from_a_cluster_that_cannot_be_asked(status: int, code: Exit) -> None:
    """Exit code 1 or 3."""
    assert api_error(status, b"{}").code is code
