"""What the invariants say of writes of variants, each broken by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.api.rollout import PersonPause, RevisionRef, RolloutStatus, Step
from headgate.decide import experiment, invariants, managed
from headgate.decide.invariants import Rule, Truth
from headgate.decide.types import Action, CreateReplicaSet, DeleteReplicaSet, Plan, SetSelector, SetWeight

SINCE = "2026-01-01T00:00:00Z"
STABLE = RevisionRef(revision="v1-a", pod_hash="aaa", attempt=1, since=SINCE)
RUN = RevisionRef(revision="v1-b", pod_hash="bbb", attempt=1, since=SINCE)
JOURNAL = RolloutStatus(stable=STABLE, current=RUN)
STEP = Step.model_validate(
    {
        "experiment": {
            "variants": [{"name": "baseline", "specRef": "Stable", "replicas": 2, "service": "apart", "weight": 10}],
            "gate": {"ref": {"name": "compared"}},
        }
    }
)
PLAN = Plan(steps=(STEP, Step(set_weight=50)), step_gates={}, background_gates={})
HASH = experiment.hash_of("uid", "bbb", 1, 0, "baseline")
SHARES = managed.shares(STEP)
LED = managed.keys_of(SHARES)
TRUTH = Truth(
    replicas=2,
    weight=0,
    selects=("aaa", "bbb"),
    wanted={"aaa": 2, "bbb": 0},
    ready={"aaa": 2},
    services=("shop", "shop-canary"),
    uid="uid",
    variants={HASH: 2},
    variant_services={"apart": HASH},
)
OVER = JOURNAL.model_copy(update={"current_step_index": 1})
PAUSED = JOURNAL.model_copy(update={"paused": PersonPause(by="ann", reason="", since=SINCE)})
MADE = CreateReplicaSet(f"shop-{HASH}", "v1-a", HASH, 0, 2, 0, {}, "shop-aaa-1", "u", variant="baseline")
POINTED = SetSelector("apart", "1", HASH, exposure="raise")
SHARED = SetWeight("gatewayAPI", "HTTPRoute", "shop", "", "1", 0, routes=SHARES, exposure="raise")
ENDED = DeleteReplicaSet(f"shop-{HASH}", "u", "1")
BEFORE = replace(TRUTH, variants={}, variant_services={"apart": ""})
POINTED_BEFORE = replace(TRUTH, variant_services={"apart": ""})


def broken(truth: Truth, action: Action, journal: RolloutStatus, *, stands: bool = True) -> list[Rule]:
    """The rules that a write breaks."""
    return [b.rule for b in invariants.before_write(truth, action, journal, PLAN, stands=stands)]


@pytest.mark.parametrize(
    ("truth", "action", "journal"),
    [(BEFORE, MADE, JOURNAL), (POINTED_BEFORE, POINTED, JOURNAL), (TRUTH, SHARED, JOURNAL), (TRUTH, ENDED, OVER)],
    ids=["made", "pointed", "shared", "ended"],
)
def test_a_variant_comes_and_goes_with_its_step(truth: Truth, action: Action, journal: RolloutStatus) -> None:
    """So the other tests break one thing each."""
    assert broken(truth, action, journal) == []


@pytest.mark.parametrize(
    ("truth", "action", "rule"),
    [(BEFORE, MADE, Rule.OWN_STEP), (POINTED_BEFORE, POINTED, Rule.OWN_STEP), (TRUTH, SHARED, Rule.STEP_ALLOWS)],
    ids=["made", "pointed", "shared"],
)
def test_no_variant_comes_at_another_step_before_the_journal_or_while_paused(
    truth: Truth, action: Action, rule: Rule
) -> None:
    """A write that raises something of it waits for all three."""
    assert rule in broken(truth, action, OVER)
    assert broken(truth, action, JOURNAL, stands=False) == [Rule.STEPS_IN_ORDER]
    assert broken(truth, action, PAUSED) == [Rule.PAUSE_HOLDS]
    assert broken(replace(truth, paused=True), action, JOURNAL) == [Rule.PAUSE_HOLDS]


def test_a_variant_of_another_attempt_is_none_of_this_one() -> None:
    """By its hash."""
    other = JOURNAL.model_copy(update={"current": RUN.model_copy(update={"attempt": 2})})
    assert broken(BEFORE, MADE, other) == [Rule.OWN_STEP]


@pytest.mark.parametrize("ready", [0, 1])
def test_requests_come_after_all_pods_and_where_the_service_leads_to_them(ready: int) -> None:
    """Neither the Service nor the share is led to fewer."""
    short = replace(TRUTH, variants={HASH: ready})
    assert broken(short, SHARED, JOURNAL) == [Rule.CAPACITY_FIRST]
    assert broken(replace(short, variant_services={"apart": ""}), POINTED, JOURNAL) == [Rule.CAPACITY_FIRST]
    assert broken(POINTED_BEFORE, SHARED, JOURNAL) == [Rule.CAPACITY_FIRST]


def test_a_variant_with_a_share_keeps_its_pods_and_its_service() -> None:
    """The share goes first."""
    led = replace(TRUTH, routes=LED)
    assert broken(led, ENDED, OVER) == [Rule.WEIGHT_FIRST_DOWN]
    assert broken(replace(led, variant_services={"apart": "old"}), POINTED, JOURNAL) == [Rule.WEIGHT_FIRST_DOWN]


def test_a_service_is_handed_back_when_no_step_has_it_or_at_a_deletion() -> None:
    """And led to what is stable at any time, as a share goes home that cannot be taken back."""
    back = SetSelector("apart", "1", "")
    assert broken(TRUTH, back, OVER) == []
    assert Rule.OWN_STEP in broken(TRUTH, back, JOURNAL)
    assert broken(replace(TRUTH, deleting=True), back, JOURNAL) == []
    assert broken(replace(TRUTH, routes=LED), SetSelector("apart", "1", "aaa", exposure="lower"), JOURNAL) == []


def test_a_variant_of_the_present_step_stays_and_none_goes_while_paused() -> None:
    """Unless the Rollout is deleted."""
    assert broken(TRUTH, ENDED, JOURNAL) == [Rule.OWN_STEP]
    over = PAUSED.model_copy(update={"current_step_index": 1})
    assert broken(TRUTH, ENDED, over) == [Rule.PAUSE_HOLDS]
    assert broken(replace(TRUTH, deleting=True), ENDED, JOURNAL) == []


def test_what_is_left_of_an_experiment_is_named_at_the_end() -> None:
    """At rest when everything was swept, at the finalizer, and when the Rollout is gone."""
    rest = RolloutStatus(stable=STABLE, current=STABLE, observed_generation=1)
    truth = replace(TRUTH, selects=("aaa", "aaa"), wanted={"aaa": 2})
    assert [b.rule for b in invariants.at_rest(truth, rest, 1, swept=True)] == [Rule.NOTHING_LEFT]
    assert invariants.at_rest(truth, rest, 1) == []
    gone = invariants.gone(truth, selectors_ours=False, records=0, finalizers=())
    assert [b.rule for b in gone] == [Rule.NOTHING_LEFT, Rule.NOTHING_LEFT]
