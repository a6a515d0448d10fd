"""Logs: one safe line for each event, with what it is about."""

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from headgate.telemetry import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Give the process back the logging that it had."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    logging.captureWarnings(capture=False)
    root.handlers = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream() -> io.StringIO:
    """Where the logs go, as JSON from INFO on."""
    target = io.StringIO()
    logs.configure("info", stream=target)
    return target


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was logged, read back."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_own_line_is_one_json_object(stream: io.StringIO) -> None:
    """A line opens with time, level, logger and message, and goes on with the fields."""
    logs.logger("headgate.engine").info("weight applied", weight=25)

    (line,) = lines(stream)
    assert list(line)[:4] == ["timestamp", "level", "logger", "message"]
    assert line | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "logger": "headgate.engine",
        "message": "weight applied",
        "weight": 25,
    }
    assert line["timestamp"].endswith("Z")


def test_kopf_line_says_which_object_it_is_about(stream: io.StringIO) -> None:
    """The reference that kopf makes to the object becomes the field `object`; its other extras stay out."""
    reference = {"apiVersion": "headgate.dev/v1alpha1", "kind": "Rollout", "name": "shop", "namespace": "prod"}
    logging.getLogger("kopf.objects").error("it failed: %s", "why", extra={"k8s_ref": reference, "k8s_skip": True})

    (line,) = lines(stream)
    assert line["object"] == reference
    assert line["message"] == "it failed: why"
    assert line["logger"] == "kopf.objects"
    assert "k8s_skip" not in line


def test_each_handled_event_is_not_worth_a_line(stream: io.StringIO) -> None:
    """Success is reported for every event; that is silenced, its warnings are not."""
    logging.getLogger("kopf.objects").info("Handler 'seen' succeeded.")
    logging.getLogger("kopf.objects").warning("odd")

    assert [line["message"] for line in lines(stream)] == ["odd"]


def test_bound_fields_are_on_every_line_inside(stream: io.StringIO) -> None:
    """What is bound shows on our lines and on those of libraries, and is gone afterwards."""
    with logs.bound(namespace="prod", rollout="shop", revision="abc", attempt=2, step=0):
        logs.logger("ours").info("a")
        logging.getLogger("theirs").warning("b")
    logs.logger("ours").info("c")

    inside_ours, inside_theirs, outside = lines(stream)
    expected = {"namespace": "prod", "rollout": "shop", "revision": "abc", "attempt": 2, "step": 0}
    assert inside_ours | expected == inside_ours
    assert inside_theirs | expected == inside_theirs
    assert not expected.keys() & outside.keys()


def test_inner_binding_adds_to_the_outer_one(stream: io.StringIO) -> None:
    """A revision that becomes known later joins the rollout that is bound already."""
    with logs.bound(rollout="shop"), logs.bound(revision="abc"):
        logs.logger("ours").info("a")

    assert lines(stream)[0] | {"rollout": "shop", "revision": "abc"} == lines(stream)[0]


async def test_tasks_do_not_see_the_fields_of_each_other(stream: io.StringIO) -> None:
    """Two reconciles at once log under their own names."""

    async def reconcile(name: str) -> None:
        with logs.bound(rollout=name):
            await asyncio.sleep(0)
            logs.logger("ours").info(name)

    await asyncio.gather(reconcile("a"), reconcile("b"))

    assert [line["rollout"] == line["message"] for line in lines(stream)] == [True, True]


def test_traceback_shows_no_local_variables(stream: io.StringIO) -> None:
    """A token that a function held is not in the log of its failure."""

    def ask() -> None:
        token = "-".join(["s3", "cret"])  # noqa: FLY002 - in one piece it would be in the source line shown.
        raise RuntimeError(f"refused after {len(token)} characters")

    try:
        ask()
    except RuntimeError:
        logs.logger("ours").exception("query failed")
        logging.getLogger("theirs").exception("query failed")

    ours, theirs = lines(stream)
    for line in (ours, theirs):
        assert line["exception"][0]["exc_value"] == "refused after 7 characters"
        assert "locals" not in line["exception"][0]["frames"][0]
    assert "s3-cret" not in stream.getvalue()


@pytest.mark.parametrize("json_", [True, False], ids=["json", "text"])
@pytest.mark.parametrize(
    "evil",
    ["a\nlevel=error forged", "\x1b[2Jgone", "\u009b31mred", "a\u2028b", "a\rb", "\x00"],
    ids=["newline", "escape", "C1", "line separator", "return", "null"],
)
def test_text_of_users_cannot_forge_a_line_or_command_a_terminal(evil: str, *, json_: bool) -> None:
    """Whatever is in a name or a message, the line is one line of printable ASCII."""
    stream = io.StringIO()
    logs.configure(json=json_, stream=stream)

    logs.logger("ours").info(evil, name=evil, nested={"a": [evil]}, **{evil: 1})
    logging.getLogger("theirs").warning("%s", evil)

    text = stream.getvalue()
    assert text.count("\n") == 2
    assert all(" " <= character <= "~" or character == "\n" for character in text)


def test_text_for_a_terminal_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    """Without JSON a line is the time, the level, the message and the fields; it goes to stderr."""
    logs.configure(json=False)

    logs.logger("ours").info('he said "go"', weight=25, why="two words")

    line = capsys.readouterr().err.split(" ", 1)[1]
    assert line == 'info    he said "go" logger=ours weight=25 why="two words"\n'


def test_traceback_for_a_terminal_is_set_off(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback stays readable, and each of its lines begins so that it cannot be taken for an event."""
    logs.configure(json=False)

    try:
        raise RuntimeError("first\nsecond")  # noqa: TRY301 - what is logged is the exception itself.
    except RuntimeError:
        logs.logger("ours").exception("failed")

    _, *trace = capsys.readouterr().err.splitlines()
    assert trace[-2:] == ["    | RuntimeError: first", "    | second"]
    assert all(line.startswith("    | ") for line in trace)


def test_level_is_a_threshold_for_everyone() -> None:
    """Below the level neither our lines nor those of libraries appear."""
    stream = io.StringIO()
    logs.configure("warning", stream=stream)

    logs.logger("ours").info("a")
    logging.getLogger("theirs").info("b")
    logs.logger("ours").warning("c")

    assert [line["message"] for line in lines(stream)] == ["c"]


def test_logger_made_before_the_configuration_follows_it() -> None:
    """Modules make their loggers when they are imported, before anyone has set the level."""
    early = logs.logger("early")
    stream = io.StringIO()
    logs.configure("error", stream=stream)

    early.warning("a")
    early.error("b")

    assert [line["message"] for line in lines(stream)] == ["b"]


def test_python_warning_is_a_line(stream: io.StringIO) -> None:
    """A library's deprecation does not break into the stream of JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", stacklevel=1)

    assert "old" in lines(stream)[0]["message"]


def test_unknown_level_is_refused() -> None:
    """A spelling mistake in the level says which ones there are."""
    with pytest.raises(ValueError, match="'loud' is no log level; it is one of debug, info, warning, error"):
        logs.configure("loud")
