"""What `hack/soak` makes of its samples: whether memory grows, how sure that is, and whether watches are constant."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from hack.lib.hgprove.faults.process import Standing
from hack.lib.hgprove.soak import Sample, slope, watches_vary

EVERY = 5.0


def samples(minutes: float, *, grows: float = 0.0, noise: float = 0.0, watches: int = 8) -> list[Sample]:
    """Return samples of an operator that grows by so many MiB in an hour, after a steep warm-up."""
    rand = random.Random(1)
    count = int(60 * minutes / EVERY)
    return [
        Sample(
            seconds=EVERY * n,
            rss=100 + min(40.0, 400 * n / count) + grows * EVERY * n / 3600 + rand.gauss(0, noise),
            cpu=0.0,
            watches=watches,
            files=20,
            releases=10 * n,
        )
        for n in range(count)
    ]


def test_growth_is_told_without_the_warm_up() -> None:
    """What grows at first does not count."""
    assert slope(samples(60))[0] == pytest.approx(0, abs=0.01)
    assert slope(samples(60, grows=3))[0] == pytest.approx(3, abs=0.01)


def test_slope_of_a_short_noisy_soak_is_unsure() -> None:
    """A few minutes of noise tell nothing of an hour, and the error says so."""
    _, short = slope(samples(6, noise=0.5))
    _, long = slope(samples(120, noise=0.5))
    assert short > 1 > 5 * long


def test_next_to_no_samples_are_no_growth_and_no_certainty() -> None:
    """A soak that was interrupted at once says nothing."""
    assert slope(samples(0.2)) == (0.0, float("inf"))


def test_nothing_is_told_before_the_caches_are_full() -> None:
    """So few releases fill what the operator remembers: that is no leak."""
    rows = [dataclasses.replace(s, releases=100) for s in samples(60, grows=30)]
    assert slope(rows) == (0.0, float("inf"))
    assert not watches_vary(rows)


def test_a_watch_that_is_opened_again_is_no_variation() -> None:
    """The server ends a stream now and then: one sample may miss it."""
    rows = samples(20)
    rows[200] = dataclasses.replace(rows[200], watches=7)
    assert not watches_vary(rows)


def test_watches_that_grow_are_found() -> None:
    """A leak shows in what is usual in the end."""
    rows = samples(20)
    leaking = [*rows[:180], *(dataclasses.replace(s, watches=9) for s in rows[180:])]
    assert watches_vary(leaking) == "usually 8 then 8 then 9"


def test_watches_that_flap_are_found() -> None:
    """A number that is the usual one only half of the time is not constant."""
    rows = [dataclasses.replace(s, watches=8 if n % 3 else 7) for n, s in enumerate(samples(20))]
    assert "67 % of the samples only" in watches_vary(rows)


def test_pid_of_another_process_is_not_gone_on_with() -> None:
    """After a restart of the machine the number may belong to anybody: the start has to be the same, too."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        standing = Standing([], {}, Path(os.devnull))
        assert not standing.adopt(child.pid, started=1)
        assert standing.pid == 0
        standing.kill()
        assert child.poll() is None
        child.communicate(b"\n")
