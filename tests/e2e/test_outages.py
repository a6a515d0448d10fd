"""Parts of the platform go away in the middle of releases: nothing changes but time."""

from __future__ import annotations

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hack.lib.hgdemo import chart
from hack.lib.hgdemo.cluster import ROOT
from hack.lib.hgdemo.shop import Shop
from hack.lib.hgdemo.traffic import describe
from hack.lib.hgdemo.waiting import until
from hack.lib.hgdemo.watching import over
from tests.e2e.conftest import install
from tests.e2e.town import ONE_STEP, Lab, Town, town

RUNBOOK = ROOT / "docs" / "runbooks" / "operator-down.md"
ABSENT_FOR = 8.0
"""Seconds for which the data plane is looked at without an operator."""


@pytest.mark.timeout(400)
def test_killing_the_operator_at_any_moment_changes_nothing_but_time(lab: Lab) -> None:
    """Killed at the beginning, at each weight, in a gate and in the promotion, it promotes the good and not the bad."""
    with ThreadPoolExecutor() as pool:
        good = pool.submit(_killed_good, lab)
        bad = pool.submit(_killed_bad, lab)
        good.result(timeout=380)
        bad.result(timeout=60)


def _killed_good(lab: Lab) -> None:
    moments = {
        "the release has begun": lambda s: s.status.phase == "Progressing",
        "the first weight is wanted": lambda s: s.status.weights.desired == 20,
        "the first gate judges": lambda s: s.status.current_step_index == 1,
        "the second weight is served": lambda s: s.status.weights.observed == 50,
        "the promotion has begun": lambda s: s.status.phase == "Promoting",
    }
    rollout = Shop(lab.cluster, "killed-good").objects("headgate.yaml")[-1]["spec"]
    # While nobody operates nobody says that a weight is served: the second one stays until it was said for long enough.
    rollout["strategy"]["canary"]["steps"].append({"pause": {"duration": "8s"}})
    with town(lab, "killed-good", rollout={"strategy": rollout["strategy"]}) as here:
        since = time.time()
        generation = here.shop.release("v2")
        for what, moment in moments.items():
            here.watch.until(what, lambda s, m=moment: m(s) or over(generation)(s), timeout=90)  # type: ignore[misc]
            _kill(lab)
        end = here.watch.at_rest(generation, timeout=120)
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        here.expect_only("v2")
        here.expect_no_failure()
        here.expect_home()
        here.expect_share("v2", since, weights={20, 50})
        assert [entry.outcome for entry in end.status.history] == ["Adopted", "Promoted"], "no attempt was made twice"
        steps = [s.status.current_step_index for s in here.watch.since(since) if s.status.phase == "Progressing"]
        assert steps == sorted(steps), f"steps run in order: {steps}"


def _killed_bad(lab: Lab) -> None:
    with town(lab, "killed-bad") as here:
        end = here.release("v2", fail_ratio=0.3, timeout=200)
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        here.expect_only("release-1")
        here.expect_no_failure()
        here.expect_home()


@pytest.mark.timeout(300)
def test_without_prometheus_a_release_is_held_and_goes_on_when_it_is_back(lab: Lab) -> None:
    """No answer is no proof: nothing is raised until Prometheus answers again, then the gate begins anew."""
    with town(lab, "blind", rollout=ONE_STEP, gate={"consecutiveErrorLimit": 2}) as here:
        _scale(lab, "monitoring", "prometheus", 0)
        try:
            generation = here.shop.release("v2")
            held = here.watch.until("held", lambda s: s.status.phase == "Held", timeout=90)
            assert held.condition("Stalled")[:2] == ("True", "GateHeld"), held.line
            _looked_at(here, ABSENT_FOR, weight=20)
        finally:
            _scale(lab, "monitoring", "prometheus", 1)
        end = here.watch.at_rest(generation, timeout=120)
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        here.expect_only("v2")
        here.expect_no_failure()


@pytest.mark.timeout(300)
def test_the_runbook_brings_traffic_back_while_the_operator_is_down(lab: Lab, tmp_path: Path) -> None:
    """Its own commands, in its own words, take a version back; the returning operator finds that and leaves it so."""
    with town(lab, "shop", name="checkout", replicas=3, rollout={"replicas": 6}) as here:
        generation = here.shop.release("v2")
        here.watch.until("weight 20 is served", lambda s: s.status.weights.observed == 20, timeout=60)
        _scale(lab, chart.NAMESPACE, "headgate", 0)
        try:
            _looked_at(here, ABSENT_FOR, weight=20)
            here.users.recorded_until(time.time())
            assert any(each.version == "v2" for each in here.users.requests[-200:]), "nothing changes by itself"
            _follow(lab, tmp_path, sections=("1.", "2.", "3."))
            here.expect_only("release-1")
            here.expect_home()
        finally:
            _scale(lab, chart.NAMESPACE, "headgate", 2)
        back = time.time()
        end = here.watch.at_rest(generation, timeout=120)
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        assert end.status.actions[-1].verb == "abort"
        here.expect_only("release-1")
        late = [each for each in here.users.since(back) if each.version == "v2"]
        assert not late, f"the returning operator let it through again: {describe(late)}"
        here.expect_no_failure()


@pytest.mark.timeout(300)
def test_uninstalling_the_operator_interrupts_no_traffic(lab: Lab) -> None:
    """`helm uninstall` in the middle of a release leaves the data plane as it is; installed again it goes on."""
    with town(lab, "uninstalled", rollout=ONE_STEP) as here:
        generation = here.shop.release("v2")
        here.watch.until("weight 20 is served", lambda s: s.status.weights.observed == 20, timeout=60)
        try:
            chart.uninstall(lab.cluster)
            _looked_at(here, ABSENT_FOR, weight=20)
            assert here.cluster.get("rollouts.headgate.dev", "shop", "uninstalled"), "what people wrote stays"
        finally:
            install(lab)
        end = here.watch.at_rest(generation, timeout=120)
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        here.expect_only("v2")
        here.expect_no_failure()


# ---------------------------------------------------------------------------------------------------------------------


def _kill(lab: Lab) -> None:
    """All of the operator's pods, at once and without a farewell."""
    chosen = (f"--namespace={chart.NAMESPACE}", "--selector=app.kubernetes.io/name=headgate")
    lab.cluster.kubectl("delete", "pods", *chosen, "--grace-period=0", "--force", "--wait=false")


def _scale(lab: Lab, namespace: str, name: str, replicas: int) -> None:
    where = f"--namespace={namespace}"
    lab.cluster.kubectl("scale", f"deployment/{name}", where, f"--replicas={replicas}")

    def settled() -> bool:
        deployment = lab.cluster.get("deployment", name, namespace) or {}
        pods = lab.cluster.all("pods", namespace, f"app.kubernetes.io/name={name}")
        return len(pods) == replicas == int(deployment["status"].get("readyReplicas", 0))

    until(f"{replicas} pods of {name}", settled, timeout=90, seen=lambda: chart.state(lab.cluster))


def _looked_at(here: Town, seconds: float, *, weight: int) -> None:
    """For so long the route stays at this weight, and all requests are answered."""
    ends = time.time() + seconds
    while time.time() < ends:
        assert here.shop.weights()[f"{here.shop.name}-canary"] == weight
        time.sleep(0.5)
    here.expect_no_failure()


def _follow(lab: Lab, folder: Path, *, sections: tuple[str, ...]) -> None:
    """Run the shell blocks of these sections of the runbook, as they stand there."""
    script = ["set -euo pipefail"]
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), flags=re.DOTALL | re.MULTILINE):
        if title.startswith(sections):
            script += re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert len(script) > len(sections), "the runbook has commands"
    file = folder / "runbook.sh"
    file.write_text("\n".join(script))
    done = subprocess.run(
        ["bash", str(file)],
        env=dict(lab.cluster.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{file.read_text()}\n{done.stdout}\n{done.stderr}"
