"""The story of the demonstration: four releases of one application, and what must come of each."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hack.lib.hgdemo import judging
from hack.lib.hgdemo.cluster import Cluster
from hack.lib.hgdemo.judging import Verdict
from hack.lib.hgdemo.shop import Shop
from hack.lib.hgdemo.traffic import Traffic, describe
from hack.lib.hgdemo.view import View
from hack.lib.hgdemo.waiting import Trouble
from hack.lib.hgdemo.watching import AT_REST, Seen, Watch, over

PATIENCE = 180.0
"""Seconds for one release; each takes less than one minute."""
HELD_FOR = 8.0
"""Seconds for which a held release is looked at: it must stay where it is."""
AFTERWARDS = 4.0
"""Seconds of requests after a release has ended, which show that it stays so."""
TICK = 0.25


@dataclass
class Story:
    """Tells it, and keeps what came of it."""

    cluster: Cluster
    shop: Shop
    users: Traffic
    view: View
    verdicts: list[Verdict] = field(default_factory=list)

    def tell(self, *, fast: bool) -> None:
        """All releases, in order."""
        self.users.start("release-1")
        self.users.flows()
        with Watch(self.cluster, self.shop.namespace, self.shop.name) as watch:
            self._adopt(watch)
            self._good(watch)
            self._bad(watch)
            if not fast:
                self._unproven(watch)
        self.users.pause()
        self._count()

    # -- the releases -------------------------------------------------------------------------------------------------

    def _adopt(self, watch: Watch) -> None:
        verdict = self._begin(
            "release-1", "adopted", "Release 1 is a plain Deployment. Headgate takes it over, under load."
        )
        began = time.time()
        self.shop.govern()
        seen = self._follow(watch, "the adoption", lambda each: each.status.phase in AT_REST)
        verdict.seconds = time.time() - began
        verdict.actual = _outcome(seen)
        self._only("release-1", verdict)

    def _good(self, watch: Watch) -> None:
        verdict = self._begin(
            "release-2", "promoted", "Release 2 is good. It must go through step by step, and be promoted."
        )
        began, seen = self._release(watch, verdict)
        verdict.actual = _outcome(seen)
        self._only("release-2", verdict)
        history = watch.since(began)
        for span in judging.spans(history):
            if odd := judging.odd_share(self.users.read(), "release-2", span):
                verdict.wrong.append(f"release-2: {odd}.")

    def _bad(self, watch: Watch) -> None:
        verdict = self._begin(
            "release-3",
            "taken back",
            "Release 3 answers one request in five with 500. It must be taken back.",
        )
        _, seen = self._release(watch, verdict, fail_ratio=0.2)
        verdict.actual = _outcome(seen)
        self._only("release-2", verdict)
        failed = judging.first_failure(watch, _last_hash(seen))
        last = judging.last_request(self.users.requests, "release-3")
        if failed is None or last is None:
            verdict.wrong.append(
                "release-3: no failed measurement is on record, so nothing shows why it was taken back."
            )
            return
        verdict.time_to_safe = max(0.0, last - failed)
        if verdict.time_to_safe >= judging.TIME_TO_SAFE:
            verdict.wrong.append(
                f"release-3: the last request reached it {verdict.time_to_safe:.1f} s after the first failed "
                f"measurement, and {judging.TIME_TO_SAFE:.0f} s are the limit."
            )

    def _unproven(self, watch: Watch) -> None:
        verdict = self._begin(
            "release-4",
            "held",
            "Release 4 is good, but nobody uses it: the load generator sends nothing. It must be held, not promoted.",
        )
        self.users.pause()
        began = time.time()
        generation = self.shop.release("release-4")
        self._follow(watch, "the hold", lambda each: each.status.phase == "Held" or over(generation)(each))
        self._watch_for(HELD_FOR, watch)
        held = watch.last
        if held is None or held.status.phase != "Held":
            verdict.actual = _outcome(held) if held else "nothing"
            return
        verdict.actual = "held"
        self._abort(verdict)
        seen = self._follow(watch, "the end of the aborted release", over(generation))
        verdict.seconds = time.time() - began
        if _outcome(seen) != "taken back":
            verdict.wrong.append(f"release-4: after the abort it was {_outcome(seen)}: {seen.line}.")
        self.users.start("afterwards")
        self.users.flows()
        self._only("release-2", verdict)

    # -- parts of them ------------------------------------------------------------------------------------------------

    def _begin(self, release: str, expected: str, title: str) -> Verdict:
        self.users.mark(release)
        self.view.title(title)
        verdict = Verdict(release, expected)
        self.verdicts.append(verdict)
        return verdict

    def _release(self, watch: Watch, verdict: Verdict, *, fail_ratio: float = 0) -> tuple[float, Seen]:
        began = time.time()
        generation = self.shop.release(verdict.release, fail_ratio=fail_ratio)
        seen = self._follow(watch, f"the end of {verdict.release}", over(generation))
        verdict.seconds = time.time() - began
        return began, seen

    def _follow(self, watch: Watch, what: str, check: Callable[[Seen], bool]) -> Seen:
        ends = time.monotonic() + PATIENCE
        while True:
            seen = watch.last
            self.view.show(seen)
            if seen is not None and check(seen):
                self.view.say(
                    f"{seen.status.phase}: {seen.status.message}",
                    style="green" if seen.status.phase == "Healthy" else "",
                )
                return seen
            if time.monotonic() >= ends:
                where = seen.line if seen else "there is no Rollout"
                raise Trouble(f"{what} did not come within {PATIENCE:.0f} s; seen instead: {where}")
            if self.users.sending:
                self.users.check()
            time.sleep(TICK)

    def _watch_for(self, seconds: float, watch: Watch) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.view.show(watch.last)
            time.sleep(TICK)

    def _only(self, version: str, verdict: Verdict) -> None:
        """See that all requests are answered by one version from now on."""
        now = time.time()
        self.users.recorded_until(now + AFTERWARDS)
        others = [each for each in self.users.since(now) if each.version != version]
        if others:
            verdict.wrong.append(
                f"{verdict.release}: afterwards only {version} should have answered, but there were {describe(others)}."
            )

    def _abort(self, verdict: Verdict) -> None:
        words = ["abort", self.shop.name, "--namespace", self.shop.namespace, "--reason", "nobody has used it"]
        self.view.say(f"$ headgate {shlex.join(words)}", style="bold")
        said = self.cluster.headgate(*words, check=False)
        self.view.say((said.stdout or said.stderr).strip())
        if said.returncode != 0:
            verdict.wrong.append(f"release-4: `headgate abort` ended with exit code {said.returncode}.")

    def _count(self) -> None:
        for verdict in self.verdicts:
            phases = {verdict.release} | ({"afterwards"} if verdict.release == "release-4" else set())
            bad = "release-3" if verdict.release == "release-3" else ""
            verdict.blame([each for each in self.users.requests if each.phase in phases], bad=bad)
            if verdict.actual != verdict.expected:
                verdict.wrong.append(
                    f"{verdict.release} should have been {verdict.expected}, and was {verdict.actual}."
                )


def _outcome(seen: Seen) -> str:
    """How the last attempt ended, in the summary's words."""
    if not seen.status.history:
        return "unfinished"
    words = {"Adopted": "adopted", "Promoted": "promoted", "Rejected": "taken back"}
    outcome = seen.status.history[-1].outcome
    return words.get(outcome, outcome.lower())


def _last_hash(seen: Seen) -> str:
    return seen.status.history[-1].pod_hash if seen.status.history else ""
