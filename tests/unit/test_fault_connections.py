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
    certificate = self_signed(folder)
    trust = served_with(certificate)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=_answer, args=(listening, trust, over), daemon=True)
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
