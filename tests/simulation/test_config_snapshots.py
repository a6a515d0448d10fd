"""Config snapshots: what a revision was released with is what its pods read, whatever becomes of the sources."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headgate.api.rollout import ConfigSnapshots
from headgate.decide import configuration
from headgate.decide.journal import running
from tests.simulation.configured_world import Configured
from tests.simulation.test_seeds import SEEDS, canary_rollout
from tests.simulation.world import Faults, World, comes_to_rest, spec, stays_at_rest

pytestmark = pytest.mark.simulation

STEPS: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {"duration": "60s"}}]
RED, BLUE = {"colour": "red"}, {"colour": "blue"}


def world(*, triggers: bool = False, secrets: bool = False, **more: Any) -> Configured:
    """A Rollout whose first version is stable."""
    wanted = {"configChangeTriggers": triggers, "secrets": secrets}
    made = Configured(1, spec(STEPS, configSnapshots=wanted, **more))
    made.settle(300)
    return made


def copies_written(found: World) -> list[str]:
    """The kinds of the copies that were made, in order."""
    return [w.split("/")[1] for w in found.writes if w.startswith("CreateConfigCopy/")]


def condition(found: World, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    one = next(c for c in found.status.conditions if c.type == kind)
    return one.status, one.reason, one.message


def stable(found: World) -> str:
    """The pod hash of what is stable."""
    assert found.status.stable is not None
    return found.status.stable.pod_hash


def test_rollout_that_does_not_ask_reads_and_writes_as_ever() -> None:
    """Opting in is the only way to a read of a ConfigMap."""
    found = Configured(1, spec(STEPS))
    plain = World(1, spec(STEPS))
    for one in (found, plain):
        one.settle(300)
        one.release("v2")
        one.settle(600)
    assert found.reads == []
    assert [w.split("/")[0] for w in found.writes] == [w.split("/")[0] for w in plain.writes]
    assert found.reads_from(stable(found)) == [BLUE, {"key": "one"}]
    assert found.copies == {}


def test_pods_of_each_revision_read_what_it_was_released_with() -> None:
    """The source changes with the template, as a commit does; both revisions have pods meanwhile."""
    found = world()
    old = stable(found)
    found.put("ConfigMap/settings", **RED)
    new = found.release("v2")
    found.settle(600)
    assert stable(found) == new
    assert found.reads_from(old)[0] == BLUE
    assert found.reads_from(new)[0] == RED
    assert copies_written(found) == ["ConfigMap", "ConfigMap"]


def test_one_write_for_each_changed_source_and_none_for_what_is_copied_already() -> None:
    """A release without a change of the configuration writes no copy."""
    found = world(secrets=True)
    assert copies_written(found) == ["ConfigMap", "Secret"]
    found.release("v2")
    found.settle(600)
    assert len(copies_written(found)) == 2
    found.put("Secret/keys", key="two")
    found.release("v3")
    found.settle(600)
    assert copies_written(found) == ["ConfigMap", "Secret", "Secret"]


def test_release_reads_each_source_and_copy_once() -> None:
    """And nothing is read at rest."""
    found = world()
    found.run_for(120)
    before = len(found.reads)
    found.release("v2")
    found.settle(600)
    found.run_for(300)
    # `extras` is not there and has no copy.
    assert sorted(target.split("-")[0] for _, target in found.reads[before:]) == [
        "ConfigMap/extras",
        "ConfigMap/settings",
        "ConfigMap/shop",
    ]


def test_secrets_are_left_alone_unless_asked_for() -> None:
    """Their reference stands as Git wrote it, and nobody reads them."""
    found = world()
    assert not any(target.startswith("Secret/") for _, target in found.reads)
    assert any(key == "Secret/keys" for key in found.used[f"shop-{stable(found)}"])


@pytest.mark.parametrize("gone", [True, False])
def test_rollback_restores_the_configuration(gone: bool) -> None:  # noqa: FBT001
    """Back to the old template: its pods read what they did, even if the source has changed or is gone."""
    found = world()
    old = stable(found)
    found.put("ConfigMap/settings", **RED)
    found.release("v2")
    found.settle(600)
    if gone:
        found.remove("ConfigMap/settings")
    made = len(copies_written(found))
    assert found.release("v1") == old
    found.settle(600)
    assert stable(found) == old
    assert found.reads_from(old)[0] == BLUE
    assert len(copies_written(found)) == made


def test_pods_that_are_made_anew_read_the_copies() -> None:
    """Somebody deletes the ReplicaSet of what is stable, after the source has changed."""
    found = world()
    found.put("ConfigMap/settings", **RED)
    found.sets.clear()
    found.settle(300)
    assert found.reads_from(stable(found))[0] == BLUE


def test_revision_whose_record_somebody_deleted_keeps_its_copies() -> None:
    """They are shared with an older revision, which goes; the new record is of what its pods read."""
    found = world(revision_history_limit=0)
    new = found.release("v2")
    found.run_for(30)
    for name in [name for name, plan in found.plans.items() if plan.pod_hash == new]:
        del found.plans[name]
    found.put("ConfigMap/settings", **RED)
    found.settle(600)
    found.run_for(300)
    assert stable(found) == new
    assert {s.pod_hash for s in found.sets.values()} == {new}
    assert found.reads_from(new)[0] == BLUE
    assert {p.copies for p in found.plans.values()} == {found.sets[f"shop-{new}"].copies}
    assert len(found.copies) == 1


def test_copy_of_a_lost_record_stays() -> None:
    """At rest nobody misses the record of what is stable; the older one that shares its copy goes with the history."""
    found = world(revision_history_limit=1)
    new = found.release("v2")
    found.settle(600)
    found.run_for(120)
    for name in [name for name, plan in found.plans.items() if plan.pod_hash == new]:
        del found.plans[name]
    found.change_spec(revision_history_limit=0)
    found.run_for(300)
    assert {s.pod_hash for s in found.sets.values()} == {new}
    assert found.reads_from(new)[0] == BLUE
    assert len(found.plans) == 1, "the owner of the copy"


def test_missing_source_holds_with_its_name_before_any_pod_is_made() -> None:
    """It goes on by itself when it is there."""
    found = world()
    old = stable(found)
    found.remove("ConfigMap/settings")
    new = found.release("v2")
    found.run_for(120)
    assert found.status.phase == "Held"
    assert 'no ConfigMap "settings"' in found.status.message
    assert condition(found, "Stalled")[:2] == ("True", "ConfigMissing")
    assert {s.pod_hash for s in found.sets.values()} == {old}
    writes = len(found.writes)
    found.run_for(600)
    assert len(found.writes) == writes
    found.put("ConfigMap/settings", **RED)
    found.settle(600)
    assert stable(found) == new
    assert found.reads_from(new)[0] == RED


def test_missing_source_holds_the_first_revision_too() -> None:
    """Nothing serves yet, and no pod waits for what is not there."""
    found = Configured(1, spec(STEPS, configSnapshots={}))
    found.remove("ConfigMap/settings")
    found.run_for(60)
    assert not found.sets
    assert 'no ConfigMap "settings"' in found.status.message
    found.put("ConfigMap/settings", **RED)
    found.settle(300)
    assert found.reads_from(stable(found))[0] == RED


def test_release_that_waits_for_its_configuration_can_be_given_up() -> None:
    """Nothing of it is recorded, so a newer template takes its place."""
    found = world(on_new_revision="Queue")
    settings = found.sources.pop("ConfigMap/settings")
    found.release("v2")
    found.run_for(60)
    found.sources["ConfigMap/settings"] = settings
    assert stable(found) == found.release("v1")
    found.settle(300)
    assert found.status.phase == "Healthy"


def test_optional_source_may_be_missing_and_is_copied_if_there() -> None:
    """Optional is what the template says."""
    found = world()
    assert "ConfigMap/extras" in found.used[f"shop-{stable(found)}"]
    found.put("ConfigMap/extras", more="yes")
    new = found.release("v2")
    found.settle(600)
    assert "ConfigMap/extras" not in found.used[f"shop-{new}"]
    assert {"more": "yes"} in found.reads_from(new)


def test_squatted_name_holds_with_a_sentence() -> None:
    """What stands at the name of a copy and is none is not read by any pod."""
    found = world()
    found.put("ConfigMap/settings", **RED)
    name = configuration.copy_name(
        found.snapshot().meta, "ConfigMap", "settings", configuration.digest_of({"data": RED})
    )
    key = f"ConfigMap/{name}"
    found.copies[key] = {"colour": "of somebody else"}
    found.squatters.add(key)
    new = found.release("v2")
    found.run_for(120)
    assert found.status.phase == "Held"
    assert "is not the copy" in found.status.message
    assert f"shop-{new}" not in found.sets
    found.remove(key)
    found.squatters.clear()
    found.settle(600)
    assert found.reads_from(new)[0] == RED


def test_copy_that_the_server_refuses_is_told() -> None:
    """A quota, or a size that the server does not take."""
    found = world()
    found.put("ConfigMap/settings", **RED)
    new = found.release("v2")

    found.refused = "exceeded quota: configmaps"
    for _ in range(20):
        if not found.turn():
            found.advance()
    assert f"shop-{new}" not in found.sets
    assert "exceeded quota" in condition(found, "Stalled")[2]


def test_source_that_changes_under_the_release_changes_nothing_of_it() -> None:
    """Edited, then deleted, between two steps."""
    found = world()
    found.put("ConfigMap/settings", **RED)
    new = found.release("v2")
    found.run_for(30)
    run = running(found.status)
    assert run is not None
    found.put("ConfigMap/settings", colour="green")
    found.run_for(10)
    found.remove("ConfigMap/settings")
    found.settle(600)
    assert stable(found) == new
    assert found.reads_from(new)[0] == RED


def test_source_that_changes_between_reading_and_copying_is_read_again() -> None:
    """The record that names the copy of the older content is taken back, because no pod was made by it."""
    found = world()
    found.put("ConfigMap/settings", **RED)
    new = found.release("v2")
    while not any(p.pod_hash == new for p in found.plans.values()):
        if not found.turn():
            found.advance()
    found.put("ConfigMap/settings", colour="green")
    found.settle(600)
    assert stable(found) == new
    assert found.reads_from(new)[0] == {"colour": "green"}


def test_copy_that_somebody_deletes_is_made_again_while_its_source_is_the_same() -> None:
    """Pods that start in mid-release would wait for it."""
    found = world()
    found.put("ConfigMap/settings", **RED)
    new = found.release("v2")
    while f"shop-{new}" not in found.sets:
        if not found.turn():
            found.advance()
    (key,) = [k for k in found.used[f"shop-{new}"] if k in found.copies]
    found.remove(key)
    found.sets[f"shop-{new}"].pods = [float("inf")]
    found.run_for(100)
    assert found.copies[key] == RED


def test_change_alone_is_a_release_when_asked_for() -> None:
    """The template stays the same, and the change is seen within a minute."""
    found = world(triggers=True)
    old = stable(found)
    found.put("ConfigMap/settings", **RED)
    found.run_for(70)
    run = running(found.status)
    assert run is not None
    assert run.pod_hash != old
    found.settle(600)
    assert found.reads_from(stable(found))[0] == RED
    assert found.reads_from(old)[0] == BLUE


def test_change_alone_is_none_unless_asked_for() -> None:
    """The pods go on with what they were released with."""
    found = world()
    before = len(found.writes)
    found.put("ConfigMap/settings", **RED)
    found.run_for(600)
    assert len(found.writes) == before


def test_bad_configuration_is_taken_back_like_a_bad_version() -> None:
    """And it is not released again until it changes."""
    found = world(triggers=True, gates=True)
    old = stable(found)
    found.put("ConfigMap/settings", **RED)
    bad = found.wanted_hash()
    found.quality[bad] = 50.0
    found.settle(600)
    found.run_for(120)
    assert stable(found) == old
    assert condition(found, "Rejected")[0] == "True"
    writes = len(found.writes)
    found.forget_more()  # A restart.
    found.run_for(600)
    assert len(found.writes) == writes
    found.put("ConfigMap/settings", **BLUE)
    found.run_for(120)
    assert found.status.phase == "Healthy"
    assert stable(found) == old


def test_source_that_vanishes_under_triggers_stops_nothing_and_is_told() -> None:
    """What is wanted is not known while it is missing."""
    found = world(triggers=True)
    found.release("v2")
    found.run_for(30)
    found.remove("ConfigMap/settings")
    found.run_for(300)
    assert found.status.phase == "Healthy"
    assert condition(found, "Ready")[:2] == ("False", "ConfigMissing")


def test_operator_that_is_not_set_up_says_so_and_reads_nothing() -> None:
    """The admin's switch and the Rollout's are both needed, for Secrets too."""
    found = Configured(1, spec(STEPS, configSnapshots={"secrets": True}))
    found.kinds = ("ConfigMap",)
    found.run_for(60)
    assert condition(found, "Ready")[:2] == ("False", "KindDisabled")
    assert "snapshotKinds" in found.status.message
    assert found.reads == []
    assert not found.sets


def test_copies_go_with_the_history() -> None:
    """What no kept revision uses is deleted, and nothing else."""
    found = world(revision_history_limit=1)
    for number in range(2, 7):
        found.put("ConfigMap/settings", number=str(number))
        found.release(f"v{number}")
        found.settle(600)
        found.run_for(120)
    assert sorted(c["number"] for c in found.copies.values()) == ["5", "6"]
    assert {p.pod_hash for p in found.plans.values()} == {s.pod_hash for s in found.sets.values()}


def test_record_that_owns_a_copy_in_use_outlives_its_revision() -> None:
    """The configuration never changes: the first record owns the one copy for ever, and no other record stays."""
    found = world(revision_history_limit=1)
    first = next(iter(found.plans))
    for number in range(2, 7):
        found.release(f"v{number}")
        found.settle(600)
        found.run_for(120)
    assert len(found.copies) == 1
    assert first in found.plans
    assert len(found.plans) == 3


def adopted(*, triggers: bool = False, **more: Any) -> Configured:
    """A Rollout that has adopted a Deployment."""
    source: dict[str, Any] = {"template": None, "workloadRef": {"name": "shop"}}
    wanted = {"configChangeTriggers": triggers}
    found = Configured(1, spec(STEPS, configSnapshots=wanted, **source, **more))
    found.deployment = 4
    found.settle(300)
    found.run_for(120)
    assert found.deployment == 0
    return found


def test_pods_that_serve_on_after_the_rollout_keep_their_copies() -> None:
    """The Deployment wants what was taken back: the record that owns the copies of the stable version stays."""
    found = adopted(revision_history_limit=0)
    for version in ("v2", "v3"):
        found.release(version)
        found.settle(600)
        found.run_for(120)
    found.release("v4")
    found.run_for(20)
    found.person("abort")
    found.run_for(120)
    found.deleting = True
    found.run_for(300)
    assert found.gone
    assert found.deployment == 0
    read = [key for key in found.used[f"shop-{stable(found)}"] if key in found.copies]
    assert len(read) == 1
    assert found.copy_owners[read[0]] in found.plans
    assert len(found.plans) == 2


@pytest.mark.parametrize("changed", [False, True])
def test_hand_back_waits_until_it_knows_what_the_deployment_would_run(changed: bool) -> None:  # noqa: FBT001
    """A process that begins in between has read nothing; content that nobody judged gets no traffic."""
    found = adopted(triggers=True)
    if changed:
        found.put("ConfigMap/settings", **RED)
    found.forget_more()
    found.deleting = True
    found.run_for(300)
    assert found.gone
    assert found.deployment == (0 if changed else 4)


def configured_history(seed: int) -> Configured:
    """Releases with faults, while others edit and delete the sources; then calm."""
    chance = random.Random(f"{seed}/configured")
    wanted = ConfigSnapshots(secrets=chance.random() < 0.5, config_change_triggers=chance.random() < 0.5)
    rollout = canary_rollout(chance, options=chance.random() < 0.5)
    limit = chance.choice([0, 1, 2])
    more = {"config_snapshots": wanted, "revision_history_limit": limit}
    found = Configured(seed, rollout.model_copy(update=more))
    found.settle(300)
    strength = chance.choice([0.0, 0.05, 0.2])
    for number in range(2, chance.randint(4, 7)):
        found.faults = Faults(
            conflict=strength,
            lost_applied=strength,
            lost_unapplied=strength,
            crash=strength / 2,
            status_fails=strength,
            provider_error=strength / 2,
        )
        kind = chance.choice(["good", "good", "bad", "broken", "revert", "same"])
        if chance.random() < 0.6:
            others(found, chance)
        if kind != "same":
            version = "v1" if kind == "revert" else f"v{number}"
            found.release(version, quality=60.0 if kind == "bad" else 100.0, broken=kind == "broken")
        for _ in range(chance.randint(0, 6)):
            found.run_for(chance.choice([chance.uniform(0.05, 1), chance.uniform(0.5, 60)]))
            if chance.random() < 0.4:
                others(found, chance)
            verb = chance.choice(["", "", "", "pause", "resume", "abort", "promote", "retry", "undo"])
            if verb:
                found.person(verb)
    found.faults = Faults()
    found.put("ConfigMap/settings", colour="calm")
    found.put("Secret/keys", key="calm")
    calm(found)
    return found


def others(found: Configured, chance: random.Random) -> None:
    """Somebody edits or deletes a source."""
    key = chance.choice(["ConfigMap/settings", "ConfigMap/extras", "Secret/keys"])
    if chance.random() < 0.3:
        found.remove(key)
    else:
        found.put(key, value=chance.choice("abc"))


def calm(found: Configured) -> None:
    """The end is reached and kept; each revision that has pods reads what it was released with."""
    comes_to_rest(found, rounds=60, afterwards=240)
    stays_at_rest(found)
    needed = {c.key for p in found.plans.values() for c in p.copies}
    if not set(found.copies) <= needed:
        found.fail(f"25: {sorted(set(found.copies) - needed)} are left")


def test_no_configured_history_breaks_an_invariant() -> None:
    """Each seed is one history; a failing one is told as a story and repeats exactly."""
    for seed in range(SEEDS // 8):
        try:
            configured_history(seed)
        except AssertionError as failure:
            pytest.fail(f"seed {seed}: {failure}", pytrace=False)


def test_what_was_found_stays_mended() -> None:
    """A copy was deleted and made again without end, while it was not known yet whether another one was there."""
    configured_history(207)
