"""Bugs to plant where variants of an experiment come, are compared, and go."""

from __future__ import annotations

from hack.lib.hgprove.planted.mutation import Mutation

STORIES = "tests/simulation/test_experiments.py"

EXPERIMENTS = (
    Mutation(
        id="variants-outlive-their-step",
        breaks="Nobody ends variants whose step is over.",
        belongs="25 34",
        file="decide/retention.py",
        old="    for found in _strangers(cycle):",
        new="    for found in list[ReplicaSetView]():",
        tests=(f"{STORIES}::test_the_gate_begins_when_all_variants_serve_and_they_go_when_it_has_passed",),
        says="22: not Healthy",
    ),
    Mutation(
        id="variants-go-while-paused",
        breaks="Who paused in the middle of an experiment finds its pods gone after an abort.",
        belongs="13",
        file="decide/retention.py",
        old="    held = snapshot.spec.paused or cycle.status.paused is not None",
        new="    held = False",
        tests=(f"{STORIES}::test_an_abort_under_spec_paused_takes_the_share_and_leaves_the_pods_until_it_is_over",),
        says="while paused",
    ),
    Mutation(
        id="share-of-whoever-is-there",
        breaks="A share is led to what the Service selected before the variant.",
        belongs="3 34",
        file="decide/experiment.py",
        old="    led = {one.service for one in variants if there.get(one.service) == one.pod_hash}",
        new="    led = {one.service for one in variants}",
        tests=(f"{STORIES}::test_two_experiments_in_a_row_by_one_service_change_variants_without_a_share",),
        says="share",
    ),
    Mutation(
        id="gate-compares-with-nobody",
        breaks="The gate of an experiment begins before its variants have pods.",
        belongs="9",
        file="decide/releasing.py",
        old="    return asked and experiment.serving(cycle.snapshot, variants)",
        new="    return asked",
        tests=(f"{STORIES}::test_the_gate_begins_when_all_variants_serve_and_they_go_when_it_has_passed",),
        says="does not come to rest",
    ),
    Mutation(
        id="gate-goes-on-without-a-variant",
        breaks="A gate goes on comparing with a variant whose pods are gone.",
        belongs="9",
        file="decide/releasing.py",
        old="    gone = experiment.lost(cycle.snapshot, _variants(cycle, plan))",
        new='    gone = ""',
        tests=(f"{STORIES}::test_a_variant_that_loses_its_pods_stops_the_gate_until_it_is_there_again",),
        says="the gate goes on",
    ),
    Mutation(
        id="promotion-under-a-share",
        breaks="A promotion moves the stable Service while a variant still has a share.",
        belongs="34",
        file="decide/releasing.py",
        old='    return f"waiting for the shares of {found} to be taken back" if found else ""',
        new='    return ""',
        tests=(f"{STORIES}::test_a_share_comes_after_all_pods_and_goes_before_them",),
        says="while variants get requests",
    ),
    Mutation(
        id="autoscaler-counts-variants",
        breaks="The pods of variants carry the Rollout's label, by which an autoscaler counts them.",
        belongs="15",
        file="act/context.py",
        old="LABEL_VARIANT: variant} if variant else dict(labels)",
        new="LABEL_VARIANT: variant, **labels} if variant else dict(labels)",
        tests=("tests/unit/test_views.py::test_pods_of_a_variant_are_not_counted_as_the_rollouts",),
        says="the Rollout's label",
    ),
    Mutation(
        id="variant-service-stays-ours",
        breaks="A deleted Rollout leaves the Service of a variant with a selector that leads nowhere.",
        belongs="25",
        file="decide/hand_back.py",
        old="    for part in (_variants, *parts, _variant_services, _records):",
        new="    for part in (_variants, *parts, _records):",
        tests=(f"{STORIES}::test_a_deletion_in_the_middle_leaves_no_variant_and_hands_the_service_back",),
        says="leads to nobody",
    ),
)
