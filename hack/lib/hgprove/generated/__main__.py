"""The command line of `hack/generated`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from hack.lib.hgprove.campaign import ROOT, Record, Result
from hack.lib.hgprove.generated import campaign, walks
from hack.lib.hgprove.generated.cases import Case, all_cases, coverage
from hack.lib.hgprove.generated.trials import Trials
from hack.lib.hgprove.generated.world import World
from hack.lib.hgprove.ground import Ground, ground

WALKERS = 20
"""Walks at the same time."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--cases", "amount", default="all", help="How many cases to try: all, or a number.")
@click.option("--seconds", type=float, help="Begin nothing new after so long.")
@click.option("--resume", is_flag=True, help="Go on with the campaign that was interrupted.")
@click.option("--case", "chosen", multiple=True, help="Try this case only; a part of its name is enough.")
@click.option("--list", "listing", is_flag=True, help="Print the names of the cases and end.")
@click.option("--walk", "seeds", type=int, multiple=True, help="Walk ten random objects from this seed instead.")
@click.option("--walks", "amount_of_walks", type=int, default=0, help="Walk from so many seeds instead, from 0 on.")
@click.option("--cluster", default="generated", help="The light cluster's name; HEADGATE_KEEP=1 leaves it running.")
def main(
    *,
    amount: str,
    seconds: float | None,
    resume: bool,
    chosen: Sequence[str],
    listing: bool,
    seeds: Sequence[int],
    amount_of_walks: int,
    cluster: str,
) -> None:
    """Try objects that are generated from the schemas on a real API server, with the operator running."""
    cases = [c for c in all_cases() if not chosen or any(part in c.id for part in chosen)]
    if listing:
        print("\n".join(case.id for case in cases))
        return
    if amount != "all":
        # Spread over all kinds, not the first ones.
        step = max(1, len(cases) // int(amount))
        cases = cases[::step][: int(amount)]
    walking = [*seeds, *range(amount_of_walks)]
    name = "generated-walks" if walking else "generated"
    record = None if chosen or seeds else Record(ROOT / "build" / "campaigns" / f"{name}.jsonl", resume=resume)
    left = [c for c in cases if record is None or not record.done(c.id)]
    walking = [s for s in walking if record is None or not record.done(f"walk/{s}")]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder, ground(cluster, Path(folder)) as here:
        results = []
        for result in _results(here, left, walking, seconds):
            results.append(result)
            if record is not None:
                record.add(result)
            if not result.ok:
                _tell(result)
    known = list(record.results.values()) if record else results
    sys.exit(_report(known, time.monotonic() - began))


def _results(here: Ground, cases: Sequence[Case], seeds: Sequence[int], seconds: float | None) -> Iterator[Result]:
    world = World(here.kube, here.prometheus, here.operator.log)
    trials = Trials(world)
    try:
        if seeds:
            for first in range(0, len(seeds), WALKERS):
                _say(f"walking from seed {seeds[first]} on")
                yield from walks.run(trials, seeds[first : first + WALKERS])
        else:
            yield from campaign.run(trials, cases, seconds=seconds, say=_say)
    finally:
        world.clear()


def _report(results: Sequence[Result], seconds: float) -> int:
    """Print what came out; gives the exit status."""
    tried = tuple(c for c in all_cases() if c.id in {r.item for r in results})
    found = coverage(tried)
    kinds = Counter(r.kind for r in results if r.ok)
    alarms = [r for r in results if not r.ok]
    print(
        f"properties   {found.walked} of {found.properties} walked in full ({100 * found.walked // found.properties} %)"
    )
    print(f"cases        {len(tried)} of {len(all_cases())}: {', '.join(f'{n} {k}' for k, n in kinds.most_common())}")
    print(f"time         {seconds:.0f} s")
    print(f"alarms       {len(alarms)}")
    for alarm in alarms:
        _tell(alarm)
    return 1 if alarms else 0


def _tell(result: Result) -> None:
    print(f"ALARM  {result.item}\n       {result.problem}")
    for line in result.story:
        print(f"         {line}")


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
