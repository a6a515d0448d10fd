"""What `headgate status` shows of a Rollout in each of its situations."""

from __future__ import annotations

import re
from typing import Any

import pytest

from headgate.cli import render
from headgate.cli.text import PLAIN_SIGNS, SIGNS, marks_for
from headgate.cli.view import picture
from tests.unit import cli_objects as objects
from tests.unit.cli_objects import CANARY, NOW, STABLE

ANSI = re.compile(r"\x1b")


def test_a_progressing_rollout_shows_where_it_is() -> None:
    """Steps before the present one are done, the present one has its time, the others are to come."""
    text = objects.tree(objects.progressing())
    assert "checkout  namespace shop-prod  Progressing" in text
    assert "step 2 of 6: golden-signals is judging" in text
    assert "Steps  1 of 6 done" in text
    assert "+ weight 5%" in text
    assert "> gate golden-signals (for 2m)  1m00s of 2m" in text
    assert ". weight 25%" in text
    assert f"{CANARY} attempt 2 for 5m00s, replaces {STABLE}" in text


def test_a_gate_shows_its_evidence() -> None:
    """Each check has its last value, the rule, the verdict, and failures against those that are tolerated."""
    text = objects.tree(objects.progressing())
    assert "+ success-rate  99.95 (>= 99)  Pass  of 1200 samples  10s ago  2 passed  1 failed (2 tolerated)" in text


def test_steps_come_from_the_pinned_plan() -> None:
    """An edit of the spec in mid-release does not change what is shown of the attempt under way."""
    plans = [objects.plan([{"setWeight": 5}, {"pause": {"duration": "7m"}}])]
    text = objects.tree(objects.progressing(), plans=plans)
    assert "> pause 7m" in text
    assert "weight 25%" not in text


def test_a_plan_of_another_attempt_is_not_this_one() -> None:
    """Without its own plan the steps of the spec are shown, and it is said that they are those."""
    text = objects.tree(objects.progressing(), plans=[objects.plan([{"setWeight": 1}], attempt=1)])
    assert "weight 1%" not in text
    assert "as the spec has them now" in text


def test_a_held_rollout_says_by_what() -> None:
    """The gate is marked as held with its reason, and the check says what it could not know."""
    text = objects.tree(objects.held())
    assert "= held  since 1m00s  latency has no data for 2m; held until it has" in text
    assert "? latency  no value (<= 0.3)  Unknown: NoData  20s ago  3 unknown (0 tolerated)" in text


WITH_ROUTER: dict[str, Any] = {"canary": {"stableService": "a", "canaryService": "b", "steps": [{"setWeight": 5}]}}
WITH_ROUTER["canary"]["trafficRouting"] = {"gatewayAPI": {"httpRoutes": [{"name": "a"}]}}


@pytest.mark.parametrize(
    ("strategy", "who"),
    [
        pytest.param(WITH_ROUTER, "router", id="router"),
        pytest.param(
            {"canary": {"stableService": "a", "steps": [{"setWeight": 5}]}}, "endpoints of the Service", id="ratio"
        ),
        pytest.param(
            {"blueGreen": {"activeService": "a", "previewService": "b"}}, "endpoints of the Service", id="blue-green"
        ),
    ],
)
def test_a_weight_that_is_not_confirmed_says_by_whom(strategy: dict[str, Any], who: str) -> None:
    """Whoever shifts the requests: where to look next."""
    status = objects.progressing() | {"weights": {"desired": 5, "observed": 5, "applied": False}}
    seen = picture(objects.rollout(status, strategy=strategy), plans=[], replica_sets=[])
    assert f"not yet confirmed by the {who})" in objects.printed(render.status(seen, NOW, PLAIN_SIGNS))


def test_weights_that_are_no_percent_are_said_with_their_whole() -> None:
    """In the facts, in the steps, and in the line for logs."""
    routing = {"gatewayAPI": {"httpRoutes": [{"name": "a"}]}, "maxTrafficWeight": 1000}
    steps = [{"setWeight": 5}, {"setWeight": 250}]
    strategy = {"canary": WITH_ROUTER["canary"] | {"trafficRouting": routing, "steps": steps}}
    status = objects.progressing() | {"weights": {"desired": 250, "observed": 5}}
    seen = picture(objects.rollout(status, strategy=strategy), plans=[objects.plan(steps)], replica_sets=[])
    text = objects.printed(render.status(seen, NOW, PLAIN_SIGNS))
    assert "250 of 1000 wanted, 5 of 1000 observed" in text
    assert "weight 5 of 1000" in text
    assert "weight 250 of 1000" in text
    assert "weight 5->250 of 1000" in render.line(seen)


@pytest.mark.parametrize(("turn", "stable", "canary"), [("Ping", "one", "other"), ("Pong", "other", "one")])
def test_services_that_take_turns_are_named_by_their_role(turn: str, stable: str, canary: str) -> None:
    """At rest the canary's weight is 0, and which Service that is changes with each promotion."""
    turns = {"pingPong": {"pingService": "one", "pongService": "other"}}
    fixed = {name: value for name, value in WITH_ROUTER["canary"].items() if not name.endswith("Service")}
    strategy = {"canary": fixed | turns}
    status = objects.healthy() | {"stablePingPong": turn}
    seen = picture(objects.rollout(status, strategy=strategy), plans=[], replica_sets=[])
    assert f"Services  {stable} is stable, {canary} the canary" in objects.printed(render.status(seen, NOW))
    assert "Services" not in objects.tree(objects.healthy())


def test_an_override_is_shown_beside_its_gate() -> None:
    """Who went on past a held gate stands where the gate is."""
    status = objects.held()
    status["gates"][0]["overridden"] = "alice"
    assert "passed over by alice" in objects.tree(status)


def test_a_paused_rollout_says_by_whom() -> None:
    """The person, since when and why."""
    text = objects.tree(objects.paused())
    assert "paused by alice 30m ago: lunch" in text
    assert "Paused=True, PausedByPerson" in text


def test_variants_of_an_experiment_are_shown_with_their_pods() -> None:
    """Beside the two versions, by the names that the step gives them."""
    variant = objects.replica_set("xyz", 2, 1)
    variant["metadata"]["labels"]["headgate.dev/variant"] = "baseline"
    sets = [objects.replica_set(STABLE, 6, 6), objects.replica_set(CANARY, 1, 1), variant]
    pods = [objects.pod("xyz", 1), objects.pod("xyz", 2, ready=False, waiting="ImagePullBackOff")]
    text = objects.tree(objects.progressing(), replica_sets=sets, pods=pods)
    assert "> checkout-xyz  variant baseline  1/2 ready" in text
    assert "x checkout-xyz-2  ImagePullBackOff" in text


def test_a_degraded_rollout_says_what_was_taken_back() -> None:
    """The rejected version with its reason, the refused action and the condition."""
    text = objects.tree(objects.degraded())
    assert f"x {CANARY} attempt 2  GateFailed  success-rate was 91.2, must be >= 99  1h00m ago" in text
    assert "x promote  refused  no release is at a step" in text
    assert "Rejected=True, GateFailed" in text
    assert "taken back  1/1 ready" in text


def test_a_healthy_rollout_is_quiet() -> None:
    """Nothing is marked as odd, and the steps are those of the next release."""
    text = objects.tree(objects.healthy())
    assert "Conditions" not in text
    assert "Steps  of the next release" in text
    assert f"+ {STABLE}" not in text
    assert f"{STABLE} attempt 1  Promoted  1d2h ago" in text


def test_a_way_back_has_no_steps() -> None:
    """A version that was stable before skips them, and that is said."""
    status = objects.progressing()
    status["current"]["fast"] = True
    text = objects.tree(status)
    assert "Steps" not in text
    assert "steps skipped because it was stable before" in text


@pytest.mark.parametrize(
    ("kind", "value", "reason", "is_shown"),
    [
        ("Ready", "False", "InvalidSpec", True),
        ("TrafficInSync", "False", "TrafficContested", True),
        ("GatesPassing", "Unknown", "GateHeld", True),
        ("GatesPassing", "Unknown", "NothingJudged", False),
        ("GatesPassing", "Unknown", "Judging", False),
        ("Progressing", "False", "Complete", False),
        ("Reconciling", "True", "Progressing", False),
        ("Stalled", "True", "GateHeld", True),
        ("Rejected", "False", "NotRejected", False),
        ("SomethingNew", "Unknown", "NewReason", True),
    ],
)
def test_only_conditions_that_need_a_look_are_shown(kind: str, value: str, reason: str, is_shown: bool) -> None:  # noqa: FBT001
    """Each type is fine in its own way."""
    status = objects.healthy() | {"conditions": [objects.condition(kind, value, reason)]}
    assert (f"{kind}={value}, {reason}" in objects.tree(status)) is is_shown


def test_pods_that_are_not_up_come_first_with_their_reason() -> None:
    """A crashing pod is not hidden behind many that are well."""
    pods = [objects.pod(CANARY, number) for number in range(20)]
    pods.append(objects.pod(CANARY, 99, ready=False, waiting="CrashLoopBackOff", restarts=4))
    text = objects.tree(objects.progressing(), pods=pods)
    assert "x checkout-xz2456789b-99  CrashLoopBackOff  4 restarts" in text
    assert "and 9 more pods" in text
    assert text.index("CrashLoopBackOff") < text.index("checkout-xz2456789b-0 ")


def test_a_rollout_that_nobody_has_looked_at_asks_for_the_operator() -> None:
    """No status is no mystery: the operator may not be running."""
    text = objects.printed(render.status(picture({**objects.rollout(), "status": {}}), NOW, PLAIN_SIGNS))
    assert "no operator has looked at it yet; is the operator running?" in text


def test_an_edit_that_the_operator_has_not_seen_is_not_reported_as_done() -> None:
    """The old message is marked as old."""
    status = objects.healthy() | {"observedGeneration": 2}
    assert "the operator has not seen the latest spec yet; before:" in objects.tree(status)


@pytest.mark.parametrize(
    "evil", ["\x1b[31mred\x1b[0m", "[bold red]x[/]", "\x9b31m", "a\nHealthy", "\u202eevil", "\ud800"]
)
def test_text_of_the_cluster_cannot_steer_the_terminal(evil: str) -> None:
    """Control codes, markup, line breaks and invisible characters are shown, not obeyed, in every place."""
    status = objects.degraded()
    status["message"] = status["rejected"][0]["message"] = status["history"][0]["message"] = evil
    status["actions"][0]["message"] = status["conditions"][0]["message"] = evil
    pods = [objects.pod(STABLE, 1, ready=False, waiting=evil)]
    text = objects.tree(status, pods=pods, notes=[evil])
    assert not ANSI.search(text)
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "\nHealthy" not in text
    assert text.count("[bold red]x[/]") == (7 if evil.startswith("[") else 0)


def test_there_is_colour_on_a_terminal_and_none_elsewhere() -> None:
    """A log gets no control codes."""
    renderable = render.status(objects.shown(objects.held()), NOW)
    assert ANSI.search(objects.printed(renderable, terminal=True))
    assert not ANSI.search(objects.printed(renderable))


def test_a_narrow_terminal_loses_nothing() -> None:
    """Lines are folded, not cut."""
    text = objects.tree(objects.degraded(), width=40)
    assert max(map(len, text.splitlines())) <= 40
    assert "must be" in " ".join(text.split())


def test_a_terminal_without_the_signs_gets_plain_ones() -> None:
    """An ASCII locale shows the same tree."""
    assert marks_for("ascii") is PLAIN_SIGNS
    assert marks_for("utf-8") is SIGNS
    assert marks_for("no-such-encoding") is PLAIN_SIGNS


def test_one_line_says_the_same_for_logs() -> None:
    """Phase, step, weight and why."""
    assert render.line(objects.shown(objects.progressing())) == (
        "checkout: Progressing, step 2/6, weight 5% of 5%: "
        "step 2 of 6: golden-signals is judging since 11:59, passing so far"
    )
