"""What ends a command early: one sentence for the person, one exit code for the script."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, as docs/cli.md lists them."""

    OK = 0
    REFUSED = 1
    """It was understood and not done, or the release did not end well."""
    UNANSWERED = 2
    """Nothing answered in time; what was asked for may still happen."""
    UNREACHABLE = 3
    """The cluster cannot be asked: no kubeconfig, no credentials, no connection."""
    USAGE = 64
    """The command line is not right (EX_USAGE of sysexits)."""


class CliError(Exception):
    """Ends the command: what happened, why, and what to do now, in one sentence."""

    def __init__(self, message: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ApiError(CliError):
    """The API server answered with an error status."""

    def __init__(self, message: str, status: int, code: Exit = Exit.REFUSED, *, named: bool = False) -> None:
        super().__init__(message, code)
        self.status = status
        self.named = named
        """The object that was named does not exist, where its kind is served."""


def does_not_exist(namespace: str, name: str) -> CliError:
    """The error for a Rollout that is not there."""
    return CliError(f'Rollout "{name}" does not exist in namespace {namespace}; `headgate get -A` lists all')
