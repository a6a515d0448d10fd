"""The commands of `headgate`, which is `kubectl headgate` too."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Literal

import click
from rich.live import Live

from headgate.api import ROLLOUT
from headgate.api.actions import Verb
from headgate.api.common import API_VERSION
from headgate.cli import actions, render, watch
from headgate.cli.client import Client, Json, connect, own_version, path_of
from headgate.cli.errors import CliError, Exit
from headgate.cli.options import (
    Length,
    complete_rollout,
    connection,
    console,
    print_object,
    rollout_argument,
    run,
    settings,
)
from headgate.cli.table import table
from headgate.cli.text import clean, clock, marks_for, span
from headgate.cli.view import Picture, read_rollout

COMPLETE_VARIABLE = "_HEADGATE_COMPLETE"
INTERRUPTED = 130
CHUNK = "500"
Form = Literal["json", "yaml", "wide"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@connection
def cli() -> None:
    """Look at releases, and act on them.

    Exit codes: 0 done; 1 refused, failed or not found; 2 nothing answered in time; 3 the cluster cannot be asked;
    64 the command line is not right.
    """


@cli.command()
@rollout_argument(required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml", "wide"]), help="Another form than the table.")
@connection
@click.pass_context
def get(ctx: click.Context, name: str | None, output: Form | None, *, all_namespaces: bool) -> Exit:
    """List Rollouts, or one of them: where each is, and why."""
    if name and all_namespaces:
        raise click.UsageError("a NAME is of one namespace; give either NAME or --all-namespaces")
    return run(_get(ctx, name, output, all_namespaces=all_namespaces))


async def _get(ctx: click.Context, name: str | None, output: Form | None, *, all_namespaces: bool) -> Exit:
    async with connect(settings(ctx)) as client:
        namespace = None if all_namespaces else client.namespace
        if name:
            answer = await actions.rollout_named(client, name)
        else:
            answer = await _list_all(client, path_of(ROLLOUT, namespace))
        now = client.now()
    if output in {"json", "yaml"}:
        print_object(answer, "json" if output == "json" else "yaml")
        return Exit.OK
    items = [answer] if name else answer["items"]
    if not items:
        where = f"namespace {namespace}" if namespace else "any namespace"
        console(stderr=True).print(f"There are no Rollouts in {clean(where)}.")
        return Exit.OK
    wide = output == "wide"
    out = console()
    for line in table([read_rollout(item) for item in items], now, namespaces=all_namespaces, wide=wide):
        # Cut to a terminal's width, never to a pipe's; -o wide lets the terminal break the line instead.
        whole = wide or not out.is_terminal
        out.print(line, soft_wrap=whole, no_wrap=True, overflow="ignore" if whole else "ellipsis")
    return Exit.OK


async def _list_all(client: Client, path: str) -> Json:
    """A whole list, read in pieces."""
    answer = await client.get(path, {"limit": CHUNK})
    items = list(answer.get("items") or [])
    while more := (answer.get("metadata") or {}).get("continue"):
        answer = await client.get(path, {"limit": CHUNK, "continue": more})
        items += answer.get("items") or []
    return {**answer, "items": items}


@cli.command()
@rollout_argument()
@click.option("-w", "--watch", "watched", is_flag=True, help="Stay, and show what changes.")
@click.option("--until-done", is_flag=True, help="Stay until the release ends: exit 0 if Healthy, 1 if Degraded.")
@click.option("--timeout", type=Length(), help="Stay no longer than this, e.g. 30m; then exit 2.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="The object itself.")
@connection
@click.pass_context
def status(
    ctx: click.Context, name: str, timeout: float | None, output: Form | None, *, watched: bool, until_done: bool
) -> Exit:
    """Show one Rollout: steps, weights, gates with their evidence, pods, what is wrong, what happened."""
    watched = watched or until_done
    if output and watched:
        raise click.UsageError("--output shows the object once; leave out --watch and --until-done")
    if timeout is not None and not watched:
        raise click.UsageError("--timeout needs --watch or --until-done")
    if output:
        return run(_get(ctx, name, output, all_namespaces=False))
    if not watched:
        return run(_status(ctx, name))
    return run(_watch(ctx, name, timeout, until_done=until_done))


async def _status(ctx: click.Context, name: str) -> Exit:
    out = console()
    async with connect(settings(ctx)) as client:
        shown = await watch.Mirror(client, client.namespace, name).load()
        now = client.now()
    out.print(render.status(shown, now, marks_for(out.encoding)))
    return Exit.OK


async def _watch(ctx: click.Context, name: str, patience: float | None, *, until_done: bool) -> Exit:
    out = console()
    marks = marks_for(out.encoding)
    last = ""
    async with connect(settings(ctx)) as client:
        mirror = watch.Mirror(client, client.namespace, name)

        def as_lines(shown: Picture) -> None:
            nonlocal last
            if (text := render.line(shown)) != last:
                last = text
                out.print(f"{clock(client.now())} {text}", soft_wrap=True)

        try:
            async with asyncio.timeout(patience):
                if not out.is_terminal or out.is_dumb_terminal:
                    return await watch.until_done(mirror, as_lines, stop=until_done)
                with Live(console=out, auto_refresh=False) as live:

                    def as_tree(shown: Picture) -> None:
                        live.update(render.status(shown, client.now(), marks), refresh=True)

                    return await watch.until_done(mirror, as_tree, stop=until_done)
        except TimeoutError as error:
            raise CliError(
                f"{name} has not come to its end within {span(patience or 0)}; the release goes on, look again with "
                f"`headgate status {name} -n {client.namespace}`",
                Exit.UNANSWERED,
            ) from error


NEED_A_REASON = {
    "override": "an override needs a --reason that says why it is right to go on without knowing",
    "hotfix": "a hotfix needs a --reason that says why it cannot wait",
}
VERBS: dict[Verb, str] = {
    "promote": "End the pause at the present step: the release goes on.",
    "pause": "Stop where it is. Failing gates still take the version back.",
    "resume": "End a pause that was asked for by `pause`, or a hold because somebody else rewrote the traffic.",
    "abort": "Take the version that is being released back: all traffic to the stable one.",
    "retry": "Try a version again that was taken back.",
    "undo": "Go back to a version that was stable before.",
    "override": "Go on past a gate that is held because nothing can be known.",
    "hotfix": "Wait at no pause of this release, and only at weights that are judged. Every gate still must pass.",
    "restart": "Replace the pods of the stable version, a batch at a time. Nothing is released.",
}


def _add_verb(verb: Verb, text: str) -> None:
    """Add the command of one verb."""

    def act(
        ctx: click.Context, name: str, reason: str | None, timeout: float, output: Form, *, dry_run: bool, **said: Any
    ) -> Exit:
        if verb in NEED_A_REASON and not (reason or "").strip():
            raise click.UsageError(NEED_A_REASON[verb])
        request = actions.Request(verb=verb, reason=reason or "", **said)
        return run(_act(ctx, name, request, timeout, output if dry_run else None))

    command: Any = click.pass_context(act)
    options = [
        rollout_argument(),
        click.option("--reason", help="Why; kept with the action.")
        if verb not in NEED_A_REASON
        # No default, or it would count as given.
        else click.option("--reason", required=True, help="Why; kept with the action (required)."),
        click.option("--revision", help="Act only on this revision (its pod hash); default: the one there is now."),
        click.option("--attempt", type=click.IntRange(min=1), help="Act only on this attempt of the revision."),
        click.option("--timeout", type=Length(), default="30s", help="Wait so long for the answer; 0 does not wait."),
        click.option("--dry-run", is_flag=True, help="Print the RolloutAction and create nothing."),
        click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="Form of --dry-run."),
    ]
    if verb == "undo":
        options.insert(1, click.option("--to-revision", metavar="HASH", help="Go back to this one (see History)."))
    for option in reversed(options):
        command = option(command)
    cli.command(verb, help=text)(connection(command))


for _verb, _text in VERBS.items():
    _add_verb(_verb, _text)


async def _act(ctx: click.Context, name: str, request: actions.Request, patience: float, dry_run: Form | None) -> Exit:
    async with connect(settings(ctx)) as client:
        raw = await actions.rollout_named(client, name)
        rollout = read_rollout(raw)
        wanted = await actions.wanted_revision(client, raw) if request.verb == "retry" else ""
        about = actions.seen(rollout, request, wanted)
        body = actions.action_object(rollout, request, about, await actions.who_am_i(client))
        if dry_run:
            print_object(body, "json" if dry_run == "json" else "yaml")
            return Exit.OK
        created = await actions.create(client, rollout.namespace, body)
        out = console()
        about_what = f"{request.verb} {rollout.name}, revision {about.pod_hash} attempt {about.attempt}"
        if not patience:
            out.print(clean(f"Asked: {about_what} ({created['metadata']['name']})"), soft_wrap=True)
            return Exit.OK
        reply = await actions.answer_to(client, created, patience)
        out.print(
            f"{'Accepted' if reply.accepted else 'Refused'}: {clean(about_what)}: {reply.message}", soft_wrap=True
        )
        return Exit.OK if reply.accepted else Exit.REFUSED


@cli.command()
def version() -> None:
    """Print the version of this command, and of the API that it speaks."""
    click.echo(f"headgate {own_version()} ({API_VERSION})")


def main() -> None:
    """Run the command line, and end the process with one of the documented exit codes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show a character shows its escape.
            stream.reconfigure(errors="backslashreplace")
    # kubectl finds a plugin by its file name, and its users know it by that.
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    sys.exit(execute(sys.argv[1:], "kubectl headgate" if plugin else "headgate"))


def execute(arguments: list[str], name: str = "headgate") -> int:
    """Run one command line; gives the exit code."""
    try:
        outcome = cli.main(arguments, prog_name=name, complete_var=COMPLETE_VARIABLE, standalone_mode=False)
    except CliError as error:
        console(stderr=True).print(f"Error: {clean(error.message)}", soft_wrap=True)
        return int(error.code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return int(Exit.USAGE)
    except click.UsageError as error:
        error.show()
        return int(Exit.USAGE)
    except click.ClickException as error:
        error.show()
        return int(Exit.REFUSED)
    except click.Abort:
        return INTERRUPTED
    return outcome if isinstance(outcome, int) else int(Exit.OK)


__all__ = ["cli", "complete_rollout", "execute", "main"]

if __name__ == "__main__":
    main()
