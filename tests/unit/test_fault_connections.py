"""What the tests' own connections leave behind: nothing, however busy the server is."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import socket
import ssl
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from hack.lib.hgbench.client import Client
from hack.lib.hgprove.faults.proxy import FaultProxy
from tests.unit.certificate import self_signed, served_with

EVENT = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}
WATCH = "/apis/headgate.dev/v1alpha1/rollouts"


@contextlib.contextmanager
def busy_server(folder: Path) -> Iterator[Path]:
    """Yield the kubeconfig of a server that answers a watch with one event, and then reads nothing more."""
    with serving(folder, _answer) as kubeconfig:
        yield kubeconfig


@contextlib.contextmanager
def serving(folder: Path, answer: Callable[[socket.socket, ssl.SSLContext, threading.Event], None]) -> Iterator[Path]:
    """Yield the kubeconfig of a server that answers so."""
    certificate = self_signed(folder)
    trust = served_with(certificate)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=answer, args=(listening, trust, over), daemon=True)
        server.start()
        shown = base64.b64encode(certificate.read_bytes()).decode()
        port = listening.getsockname()[1]
        config = {
            "clusters": [{"cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": shown}}],
            "users": [{"user": {"token": "t"}}],
        }
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        try:
            yield kubeconfig
        finally:
            over.set()
            server.join(10)


def _answer(listening: socket.socket, trust: ssl.SSLContext, over: threading.Event) -> None:
    raw, _ = listening.accept()
    with trust.wrap_socket(raw, server_side=True) as connection:
        connection.recv(65536)
        line = json.dumps(EVENT).encode() + b"\n"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + f"{len(line):x}\r\n".encode() + line + b"\r\n")
        over.wait(10)


def _break_the_first(listening: socket.socket, trust: ssl.SSLContext, _over: threading.Event) -> None:
    # The library itself sends a read a second time, so two are broken.
    for answer in (b"", b"", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{}\n"):
        raw, _ = listening.accept()
        with trust.wrap_socket(raw, server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(answer)


async def _leave_a_watch(kubeconfig: Path) -> None:
    async with Client(kubeconfig) as client:
        heard = asyncio.Event()

        async def listen() -> None:
            async for event in client.watch(WATCH, "1"):
                assert event == EVENT
                heard.set()

        await _given_up(listen(), heard)


async def _stop_a_proxy(kubeconfig: Path) -> None:
    proxy = FaultProxy.before(kubeconfig)
    await proxy.start()
    try:
        async with aiohttp.ClientSession(proxy.address) as session:
            heard = asyncio.Event()

            async def listen() -> None:
                async with session.get(f"{WATCH}?watch=true") as answer:
                    async for line in answer.content:
                        assert json.loads(line) == EVENT
                        heard.set()

            await _given_up(listen(), heard)
    finally:
        await proxy.stop()


async def _given_up(listening: Awaitable[None], heard: asyncio.Event) -> None:
    task = asyncio.ensure_future(listening)
    async with asyncio.timeout(10):
        await heard.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("use", [_leave_a_watch, _stop_a_proxy])
def test_no_connection_outlives_its_loop(tmp_path: Path, use: Callable[[Path], Awaitable[None]]) -> None:
    """A watch is given up while the server is too busy to take leave; the loop ends, and every connection with it."""
    with busy_server(tmp_path) as kubeconfig, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(asyncio.wait_for(use(kubeconfig), 20))
        loop.close()
        gc.collect()
    assert [str(warning.message) for warning in warned] == []


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.get(WATCH),
        lambda client: client.patch(WATCH, {}),
        lambda client: client.try_patch(WATCH, {}),
        lambda client: client.delete(WATCH),
    ],
    ids=["get", "patch", "patch what may be gone", "delete"],
)
async def test_a_request_whose_connection_breaks_is_sent_again(
    tmp_path: Path, use: Callable[[Client], Awaitable[object]]
) -> None:
    """A campaign of an hour does not end over one closed connection."""
    with serving(tmp_path, _break_the_first) as kubeconfig:
        async with Client(kubeconfig) as client, asyncio.timeout(10):
            await use(client)


async def test_a_watch_that_breaks_ends_and_is_begun_anew(tmp_path: Path) -> None:
    """Whoever watches goes on from the last version."""
    with serving(tmp_path, _break_the_first) as kubeconfig:
        async with Client(kubeconfig) as client, asyncio.timeout(10):
            assert [event async for event in client.watch(WATCH, "1")] == []
            assert [event async for event in client.watch(WATCH, "1")] == [{}]
