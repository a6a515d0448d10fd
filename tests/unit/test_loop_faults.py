"""What the event loop tells: the one fault of uvloop's that is known is a line, everything else is as before."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from headgate.engine import loop_faults
from tests.unit.certificate import self_signed, served_with

RACE = "Fatal error on SSL protocol"
CLOSED = "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"


class Loop:
    """A loop that remembers what it was told to report."""

    def __init__(self) -> None:
        self.reported: list[dict[str, Any]] = []

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Remember."""
        self.reported.append(context)


def context(**changed: Any) -> dict[str, Any]:
    """What uvloop tells of a connection that was given up in its handshake, or something like it."""
    told = {"message": RACE, "exception": RuntimeError(CLOSED), "transport": "<TCPTransport>"} | changed
    return {k: v for k, v in told.items() if v is not None}


def heard(told: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """The levels of what is logged, and what goes on to the loop's own handler."""
    loop = Loop()
    with capture_logs() as logged:
        loop_faults.hear(loop, told)  # type: ignore[arg-type]
    assert not any("exc_info" in line for line in logged)
    return [line["log_level"] for line in logged], loop.reported


def test_a_connection_that_is_given_up_is_one_warning() -> None:
    """It is told without a traceback, and not a second time by the loop."""
    assert heard(context()) == (["warning"], [])


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"message": "Task exception was never retrieved"}, id="another message"),
        pytest.param({"exception": OSError(CLOSED)}, id="another error"),
        pytest.param({"exception": RuntimeError("deque index out of range")}, id="another error of the TLS layer"),
        pytest.param({"exception": None}, id="no error"),
        pytest.param({"exception": RuntimeError(CLOSED.replace("True", "False"))}, id="a connection that is open"),
        pytest.param({"exception": RuntimeError(CLOSED.replace("TCP", "WriteUnix"))}, id="a pipe"),
    ],
)
def test_everything_else_goes_on_to_the_loop(changed: dict[str, Any]) -> None:
    """A fault that is only like it is reported as ever."""
    told = context(**changed)
    assert heard(told) == ([], [told])


def test_uvloop_tells_it_so(tmp_path: Path) -> None:
    """A connection is cancelled while its handshake is answered: the fault is what this version of uvloop tells."""
    certificate = self_signed(tmp_path)
    told: list[dict[str, Any]] = []
    with capture_logs() as logged:
        uvloop.run(_give_up(certificate, told))
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("a connection was given up in its TLS handshake", "warning")
    ]
    assert told == []


async def _give_up(certificate: Path, told: list[dict[str, Any]]) -> None:
    serving, trusting = served_with(certificate), ssl.create_default_context(cafile=str(certificate))
    loop, answered, reported = asyncio.get_running_loop(), threading.Event(), asyncio.Event()

    def hear(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop_faults.hear(loop, context)
        reported.set()

    loop.set_exception_handler(hear)
    loop.default_exception_handler = told.append  # type: ignore[assignment,method-assign]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=_shake_hands, args=(listening, serving, answered))
        server.start()
        client = socket.create_connection(listening.getsockname())
        connecting = asyncio.create_task(
            loop.create_connection(asyncio.Protocol, sock=client, ssl=trusting, server_hostname="localhost")
        )
        await asyncio.sleep(0)

        def give_up() -> None:
            # The loop has sent its first message and stands still: the answer is there when it looks again.
            assert answered.wait(10)
            connecting.cancel()

        loop.call_soon(give_up)
        with pytest.raises(asyncio.CancelledError):
            await connecting
        async with asyncio.timeout(10):
            await reported.wait()
        server.join(10)


def _shake_hands(listening: socket.socket, serving: ssl.SSLContext, answered: threading.Event) -> None:
    """Answer the first message of a handshake, and end when the other side does."""
    connection, _ = listening.accept()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    shaking = serving.wrap_bio(incoming, outgoing, server_side=True)
    with connection:
        while received := connection.recv(65536):
            incoming.write(received)
            try:
                shaking.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                answered.set()
