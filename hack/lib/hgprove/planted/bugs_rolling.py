"""Bugs to plant where the pods of a workload are replaced in place."""

from __future__ import annotations

from hack.lib.hgprove.planted.mutation import Mutation

ROLLING = "tests/simulation/test_rolling.py"
SHELL = "tests/simulation/test_shell_rolling.py"
ARITHMETIC = "tests/unit/test_rolling.py"
CORE = "decide/rolling.py"

IN_PLACE = (
    Mutation(
        id="batches-are-not-waited-for",
        breaks="A gate begins before the pods of its batch are replaced.",
        belongs="9 10",
        file=CORE,
        old="    if workload.updated < pods:\n",
        new="    if False:\n",
        tests=(f"{ROLLING}::test_newer_version_replaces_the_one_under_release",),
        says="assert",
    ),
    Mutation(
        id="no-pod-is-kept-as-a-way-back",
        breaks="The steps may replace all pods, and the StatefulSet forgets the stable version before the promotion.",
        belongs="5",
        file=CORE,
        old="    pods = max(0, min(wanted, replicas - 1))",
        new="    pods = max(0, min(wanted, replicas))",
        tests=(f"{ARITHMETIC}::test_batches_grow_and_leave_one_pod_to_the_promotion",),
        says="pods",
    ),
    Mutation(
        id="update-is-closed-for-the-present-pods-only",
        breaks="At rest a scale-up brings pods of a version that was taken back.",
        belongs="7",
        file=CORE,
        old="    return max(0, replicas - pods) if pods > 0 else CLOSED",
        new="    return max(0, replicas - pods)",
        tests=(f"{ARITHMETIC}::test_partition_opens_as_many_pods_as_are_meant",),
        says="opened",
    ),
    Mutation(
        id="disruption-budgets-are-forgotten",
        breaks="A batch begins while a PodDisruptionBudget allows no disruption.",
        belongs="3",
        file=CORE,
        old="    if empty:\n",
        new="    if False:\n",
        tests=(f"{ROLLING}::test_batch_waits_for_a_disruption_budget",),
        says="PodDisruptionBudget",
    ),
    Mutation(
        id="all-pods-go-back-at-once",
        breaks="A pod that serves is taken back before those before it are ready.",
        belongs="4",
        file=CORE,
        old="        if first.ready and serving < workload.replicas:\n",
        new="        if False:\n",
        tests=(f"{ROLLING}::test_failed_gate_closes_the_update_with_the_next_write_and_takes_the_pods_back_in_order",),
        says="before the others are back",
    ),
    Mutation(
        id="first-replaced-goes-back-first",
        breaks="The way back is not the reverse of the way there.",
        belongs="10",
        file=CORE,
        old="key=lambda p: (p.ordinal, p.name)",
        new="key=lambda p: (-p.ordinal, p.name)",
        tests=(f"{ROLLING}::test_failed_gate_closes_the_update_with_the_next_write_and_takes_the_pods_back_in_order",),
        says="EvictPod",
    ),
    Mutation(
        id="leftovers-of-the-version-before-stay",
        breaks="A newer version begins beside pods of the one that it replaced.",
        belongs="19",
        file=CORE,
        old="    if place.partition >= CLOSED:\n        back",
        new="    if resting:\n        back",
        tests=(f"{ROLLING}::test_nothing_of_the_version_before_is_left_when_a_newer_begins",),
        says="assert",
    ),
    Mutation(
        id="large-batch-misses-the-deadline",
        breaks="A batch of many pods is taken back although each of them came up in time.",
        belongs="22",
        file="decide/releasing.py",
        old="    if workload.updated > status.updated_replicas and",
        new="    if False and",
        tests=(f"{ROLLING}::test_large_batch_may_take_longer_than_the_deadline",),
        says="assert",
    ),
    Mutation(
        id="abort-after-the-end-is-accepted",
        breaks="An abort is accepted when nothing leads back any more.",
        belongs="6 33",
        file="decide/people.py",
        old="    if over and strategy.in_place and",
        new="    if False and",
        tests=(f"{ROLLING}::test_abort_that_comes_too_late_is_refused",),
        says="accepted",
    ),
    Mutation(
        id="deletion-lets-the-unjudged-out",
        breaks="The deletion of a Rollout in mid-release lets out what nobody has judged.",
        belongs="29",
        file="decide/hand_back.py",
        old="    if stable is None or snapshot.revision == stable.revision:\n        # Of the pods",
        new="    if True:\n        # Of the pods",
        tests=(f"{ROLLING}::test_deletion_in_mid_release_takes_the_pods_back_and_keeps_the_update_closed",),
        says="assert",
    ),
    Mutation(
        id="old-news-of-pods-are-believed",
        breaks="After an eviction the operator goes by what it had read of the pods before.",
        belongs="4",
        file="engine/cycle.py",
        old="        if isinstance(action, EvictPod):\n",
        new="        if False:\n",
        tests=(f"{SHELL}::test_refused_eviction_is_tried_again", f"{SHELL}::test_two_pods_go_back_one_by_one"),
        says="assert",
    ),
)
