"""Bugs to plant where a Rollout asks for something besides its steps."""

from __future__ import annotations

from hack.lib.hgprove.planted.mutation import Mutation

RESTARTING = "tests/simulation/test_restarting.py"

GOOD_ENOUGH = "tests/simulation/test_good_enough.py"

OPTIONS = (
    Mutation(
        id="parts-are-taken-for-percent",
        breaks="Pods are counted as if every weight were percent, whatever maxTrafficWeight says.",
        belongs="3",
        file="decide/mover.py",
        old="return pods_for(spec.replicas, weight, floor_of(spec), spec.total)",
        new="return pods_for(spec.replicas, weight, floor_of(spec))",
        tests=("tests/simulation/test_parts.py::test_one_request_in_a_thousand_takes_one_pod",),
        says="of 40 of",
    ),
    Mutation(
        id="another-total-is-overlooked",
        breaks="A canary Ingress whose weight is a part of another total than the Rollout's is taken as it is.",
        belongs="2",
        file="traffic/nginx.py",
        old="if found.get(TOTAL, str(PERCENT)) != str(canary.total):",
        new="if not str(found.get(TOTAL, PERCENT)).isdecimal():",
        tests=("tests/unit/test_router_nginx.py::test_the_total_must_be_the_specs",),
        says="canary-weight-total",
    ),
    Mutation(
        id="an-action-that-nobody-uses",
        breaks="Weights are written to an action of an ALB that no backend of the Ingress leads to.",
        belongs="2",
        file="traffic/alb.py",
        old="        if _user(place) is None:",
        new="        if False:",
        tests=("tests/unit/test_router_alb.py::test_an_action_that_no_backend_uses_is_a_problem",),
        says="no path whose backend",
    ),
    Mutation(
        id="versions-seek-each-other",
        breaks="Pods avoid those of their own revision instead of the others'.",
        belongs="4",
        file="decide/apart.py",
        old='"operator": "NotIn"',
        new='"operator": "In"',
        tests=("tests/simulation/test_apart.py::test_both_versions_keep_apart_from_the_first_pod_on",),
        says="keep to",
    ),
    Mutation(
        id="restarted-all-at-once",
        breaks="Pods are evicted before those that were evicted first are back.",
        belongs="5",
        file="decide/restarting.py",
        old="if not old or (old[0].ready and serving <= _least(snapshot)):",
        new="if not old:",
        tests=(f"{RESTARTING}::test_every_pod_is_replaced_and_enough_are_left",),
        says="were left to serve",
    ),
    Mutation(
        id="a-restart-that-never-ends",
        breaks="It is not noted that all pods are replaced: they are read again and again.",
        belongs="14",
        file="decide/restarting.py",
        old="        cycle.change(restarted_at=wanted)\n",
        new="",
        tests=(f"{RESTARTING}::test_every_pod_is_replaced_and_enough_are_left",),
        says="None",
    ),
    Mutation(
        id="restarted-again-and-again",
        breaks="A time of the spec that was done is done again after a person's later one, in turns.",
        belongs="14 B20",
        file="decide/restarting.py",
        old="return at is not None and (done is None or to_epoch(at) > to_epoch(done))",
        new="return at is not None and at != done",
        tests=(f"{RESTARTING}::test_a_person_restarts_without_the_spec",),
        says="does not come to rest",
    ),
    Mutation(
        id="enough-is-rounded-down",
        breaks="A step goes on with fewer pods than the part that was said to be enough.",
        belongs="3",
        file="decide/mover.py",
        old='return min(pods, threshold.value) if threshold.type == "Pod" else need(pods, threshold.value)',
        new='return min(pods, threshold.value) if threshold.type == "Pod" else pods * threshold.value // 100',
        tests=(f"{GOOD_ENOUGH}::test_what_is_enough_is_rounded_up_and_never_more_than_was_asked_for",),
        says="assert",
    ),
    Mutation(
        id="enough-is-enough-for-any-weight",
        breaks="A weight does not wait for its own pods where a step may go on with fewer.",
        belongs="3 B5",
        file="decide/mover.py",
        old="    short = _short_of(snapshot, goal, least)\n",
        new="    short = _short_of(snapshot, goal, enough(spec, least))\n",
        tests=(f"{GOOD_ENOUGH}::test_no_weight_comes_before_its_own_pods_whatever_is_enough",),
        says="weight 60 for",
    ),
    Mutation(
        id="promoted-with-enough-pods",
        breaks="The stable Service is switched to a version that has not all its pods.",
        belongs="3",
        file="decide/mover.py",
        old="    if there < snapshot.spec.replicas:\n",
        new="    if there < enough(snapshot.spec, snapshot.spec.replicas):\n",
        tests=(f"{GOOD_ENOUGH}::test_the_promotion_waits_for_all_pods",),
        says="8 of 10 pods",
    ),
)
