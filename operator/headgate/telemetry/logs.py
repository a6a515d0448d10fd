"""Sets up the logs: one line of JSON for each event, ours, kopf's and the libraries' alike.

A line holds what a person at three in the morning searches for: which rollout, revision, attempt and step. The names
and messages in it come from users, so everything beyond printable ASCII is escaped: no text from an object can begin a
line of its own or send a command to a terminal.
"""

import json as json_
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

__all__ = ["LEVELS", "bound", "configure", "logger"]

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

QUIET: Final = ("kopf.objects", "aiohttp.access", "asyncio", "urllib3", "kubernetes")
"""Loggers that are heard from warnings on: kopf.objects reports each event that was handled without fault."""

PLAIN: Final = re.compile(r"[\w./:@+-]+", re.ASCII)


def logger(name: str) -> FilteringBoundLogger:
    """A logger; `name` is the module's `__name__`."""
    return cast("FilteringBoundLogger", structlog.stdlib.get_logger(name))


@contextmanager
def bound(
    *,
    namespace: str | None = None,
    rollout: str | None = None,
    revision: str | None = None,
    attempt: int | None = None,
    step: int | None = None,
) -> Iterator[None]:
    """Put these fields on every line that is logged inside, in this task and those that it starts."""
    fields = {"namespace": namespace, "rollout": rollout, "revision": revision, "attempt": attempt, "step": step}
    with structlog.contextvars.bound_contextvars(
        **{name: value for name, value in fields.items() if value is not None}
    ):
        yield


def configure(level: str = "info", *, json: bool = True, stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (stderr without one), as JSON or as text for a terminal.

    Raises:
        ValueError: if there is no such level.
    """
    if level.lower() not in LEVELS:
        raise ValueError(f"{level!r} is no log level; it is one of {', '.join(LEVELS)}")
    threshold = LEVELS[level.lower()]
    # No logger keeps local variables of a traceback: they hold tokens and queries.
    exceptions: Processor = (
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        if json
        else structlog.processors.ExceptionRenderer()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        exceptions,
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _kopf_object],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                _to_json if json else _to_text,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _kopf_object(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take over the object that a line of kopf's is about."""
    reference = getattr(event.get("_record"), "k8s_ref", None)
    if reference:
        event["object"] = reference
    return event


def _to_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {key: event[key] for key in ("timestamp", "level", "logger", "message") if key in event}
    return json_.dumps({**first, **event}, default=repr, ensure_ascii=True)


def _to_text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    trace = str(event.pop("exception", "") or event.pop("stack", ""))
    head = f"{event.pop('timestamp', '')} {event.pop('level', ''):<7} {_quiet(event.pop('message', ''))}"
    fields = [f"{_word(key)}={_word(value)}" for key, value in sorted(event.items())]
    return "\n".join([" ".join([head, *fields]), *(f"    | {_quiet(line)}" for line in trace.splitlines())])


def _quiet(text: Any) -> str:
    """Escape what is not printable ASCII."""
    return json_.dumps(str(text), ensure_ascii=True)[1:-1].replace('\\"', '"')


def _word(value: Any) -> str:
    """A value that is read back as one word: plain, or quoted."""
    text = value if isinstance(value, str) else json_.dumps(value, default=repr, ensure_ascii=True)
    return text if PLAIN.fullmatch(text) else json_.dumps(text, ensure_ascii=True)
