"""The command line of `hack/planted`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from hack.lib.hgprove.campaign import ROOT, Record, Result
from hack.lib.hgprove.planted.catalogue import MUTATIONS
from hack.lib.hgprove.planted.mutation import Mutation
from hack.lib.hgprove.planted.runner import run

WIDTH = 100


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", "chosen", multiple=True, help="Plant these only; a part of the id, or what it belongs to.")
@click.option("--resume", is_flag=True, help="Go on with an earlier run, and try again what was missed.")
@click.option("--quick", is_flag=True, help="Run a bug's own tests only, also where these do not notice it.")
@click.option("--list", "listing", is_flag=True, help="Print what there is to plant and end.")
def main(*, chosen: Sequence[str], resume: bool, quick: bool, listing: bool) -> None:
    """Plant each bug in a copy of the operator and show which test catches it."""
    wanted = [m for m in MUTATIONS if not chosen or any(c in m.id or c in m.belongs.split() for c in chosen)]
    if not wanted:
        raise click.UsageError(f"nothing to plant is named like {', '.join(chosen)}")
    if listing:
        for mutation in wanted:
            print(f"{mutation.id:<34} {mutation.belongs:<10} {mutation.breaks}")
        return
    record = Record(ROOT / "build" / "campaigns" / "planted.jsonl", resume=resume) if not chosen else None
    results = [_one(mutation, record, quick=quick) for mutation in wanted]
    missed = [r for r in results if not r.ok]
    print(f"\n{len(results) - len(missed)} of {len(results)} planted bugs are caught by a test that says what is wrong")
    for result in missed:
        print(f"  {result.item}: {result.problem}")
    sys.exit(1 if missed else 0)


def _one(mutation: Mutation, record: Record | None, *, quick: bool) -> Result:
    known = record.results.get(mutation.id) if record else None
    if known is None or not known.ok:
        caught = run(mutation, everything=not quick)
        problem = caught.problem(mutation)
        story = [caught.test, caught.message]
        known = Result(mutation.id, not problem, problem, story, caught.seconds, mutation.belongs)
        if record:
            record.add(known)
    test, message = known.story
    word = "caught" if known.ok else "MISSED"
    print(f"{word}  {known.item:<34} {known.kind:<10} {known.seconds:5.1f} s  {test}")
    print(f"        {(message if known.ok else known.problem)[: WIDTH * 2]}", flush=True)
    return known


if __name__ == "__main__":
    main()
