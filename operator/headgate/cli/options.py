"""The options that many commands share, and the consoles that they print to."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

import click
import yaml
from click.shell_completion import CompletionItem
from rich.console import Console

from headgate.api import ROLLOUT
from headgate.api.common import seconds
from headgate.cli.client import Json, Settings, connect, path_of
from headgate.cli.errors import CliError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
UNLIMITED = 100_000
"""Columns where no terminal sets a width: a line of a log is never broken."""
COMPLETION_TIMEOUT = 2.0
LONGEST = 3600.0


class Length(click.ParamType[float]):
    """A length of time like `30s` or `5m`; a plain number is seconds, as kubectl takes it."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return float(value) if value.isdecimal() else seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None and param.name:
        ctx.ensure_object(dict)[param.name] = value


def connection(command: F) -> F:
    """Add the options of the connection, which may stand before and after the command's name."""
    options = (
        click.option("-n", "--namespace", help="Namespace; default: the one of the context.", **_SHARED),
        click.option("--context", help="Context of the kubeconfig; default: its current one.", **_SHARED),
        click.option("--kubeconfig", help="Kubeconfig file; default: $KUBECONFIG, then ~/.kube/config.", **_SHARED),
        click.option(
            "--request-timeout",
            type=Length(),
            help="How long one request may take, e.g. 30s; default: 10s.",
            **_SHARED,
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


_SHARED: dict[str, Any] = {"callback": _remember, "expose_value": False}


def settings(ctx: click.Context) -> Settings:
    """What the options say about the connection."""
    said = ctx.find_object(dict) or {}
    # kubectl takes 0 as no limit; a request without any would leave people before a dead screen.
    return Settings(**{**said, **({"request_timeout": LONGEST} if said.get("request_timeout") == 0 else {})})


def complete_rollout(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of Rollouts that begin so; nothing if the cluster cannot be asked at once."""

    async def names() -> list[str]:
        async with connect(settings(ctx)) as client:
            found = await client.get(path_of(ROLLOUT, client.namespace))
            return [item["metadata"]["name"] for item in found.get("items") or []]

    try:
        found = asyncio.run(asyncio.wait_for(names(), COMPLETION_TIMEOUT))
    except (CliError, TimeoutError):
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def rollout_argument(*, required: bool = True) -> Callable[[F], F]:
    """The argument NAME."""
    return click.argument("name", required=required, shell_complete=complete_rollout)


def run(task: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine."""
    return asyncio.run(task)


def console(*, stderr: bool = False) -> Console:
    """Where to print: with colours and the width of a terminal, or as plain lines that nothing breaks."""
    stream = sys.stderr if stderr else sys.stdout
    wide = UNLIMITED if not stream.isatty() and not os.environ.get("COLUMNS") else None
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=wide)


def print_object(obj: Json, form: Literal["json", "yaml"]) -> None:
    """Print an object as it is, less `managedFields`, as kubectl does; both forms escape control codes."""
    for item in [obj, *obj.get("items", [])]:
        item.get("metadata", {}).pop("managedFields", None)
    if form == "json":
        click.echo(json.dumps(obj, indent=2))
    else:
        click.echo(yaml.safe_dump(obj, sort_keys=False), nl=False)
