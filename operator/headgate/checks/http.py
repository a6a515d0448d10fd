"""A requests session that takes little on trust: no redirects, no cookies, no proxies, bounded answers, cut on time."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MAX_BYTES = 1 << 20
"""Of a decoded answer; one number is wanted of it."""
CHUNK = 1 << 14
CONNECT_SECONDS = 3.0

_OK = 200
_REDIRECTS = range(300, 400)
_BUSY = frozenset({408, 429})
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)


class AnswerProblem(Exception):  # noqa: N818 - a finding about an answer, not a fault of ours.
    """Why there is no answer, as a CamelCase code; nothing of what the other side said.

    Not one of requests' exceptions: those are OSErrors, which urllib3 takes for trouble with the connection.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Flight:
    """One question under way in a worker thread, which another thread can cut off.

    A timeout of a socket starts anew with each byte, so that a slow drip would hold a worker for hours; shutting the
    socket down ends the wait at once, in whatever it is.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: _Cuttable | None = None
        self.is_cut = False

    def board(self, connection: _Cuttable) -> None:
        """Remember what carries the question now."""
        with self._lock:
            self._connection = connection
            connection.flight = self
            if self.is_cut:
                raise AnswerProblem("Timeout")

    def cut(self) -> None:
        """Stop waiting, from any thread."""
        with self._lock:
            self.is_cut = True
            connection = self._connection
            # Through its pool it may carry another thread's question already.
            sock = connection.sock if connection is not None and connection.flight is self else None
        if sock is not None:
            with contextlib.suppress(OSError):
                # Below TLS: its own shutdown would take the session away under the reading thread.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def land(self) -> None:
        """The connection goes back to its pool and is no longer ours to cut."""
        with self._lock:
            self._connection = None


_here = threading.local()
"""The flight of the present thread: urllib3 has no way to hand it down to the connection."""


class _Cuttable(HTTPConnection):
    """A connection that knows what it carries."""

    flight: Flight | None = None

    def connect(self) -> None:
        super().connect()
        self._board()

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._board()
        super().request(*args, **kwargs)

    def _board(self) -> None:
        flight = getattr(_here, "flight", None)
        if isinstance(flight, Flight):
            flight.board(self)


class _CuttableTLS(_Cuttable, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Cuttable


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _CuttableTLS


class BoundedAdapter(HTTPAdapter):
    """Connections that a `Flight` can cut."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:  # noqa: FBT001, FBT002 - as requests calls it.
        """Use connection pools of our own."""
        super().init_poolmanager(connections, maxsize, block, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class BoundedSession(requests.Session):
    """A session whose every answer is a complete, bounded, well-formed JSON document with status 200, or a problem."""

    def __init__(self, *, token_file: str | None = None, ca_file: str | None = None) -> None:
        super().__init__()
        self._token_file = token_file
        # The environment could bring proxies and the credentials of a .netrc; only the admin's configuration counts.
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.headers = requests.structures.CaseInsensitiveDict(
            {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "headgate"}
        )
        if ca_file is not None:
            self.verify = ca_file

    @contextlib.contextmanager
    def flying(self, flight: Flight) -> Iterator[None]:
        """Let this flight cut whatever the present thread asks meanwhile."""
        _here.flight = flight
        try:
            yield
        finally:
            _here.flight = None
            flight.land()

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Nowhere. Even when it follows none, requests would read the whole body of a redirect, without a bound."""
        del resp
        return None

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send it and take the answer in, within the bounds.

        Raises:
            AnswerProblem: if there is no usable answer.
        """
        headers = {**(kwargs.pop("headers", None) or {}), **self._authorization()}
        try:
            response = super().request(
                method, url, *args, **kwargs | {"headers": headers, "allow_redirects": False, "stream": True}
            )
        except requests.Timeout:
            raise AnswerProblem("Timeout") from None
        except requests.exceptions.SSLError:
            raise AnswerProblem("Untrusted") from None
        except requests.ConnectionError:
            raise AnswerProblem("Unreachable") from None
        except (requests.RequestException, ValueError, OSError):
            raise AnswerProblem("Malformed") from None
        with contextlib.closing(response):
            problem = code_of(response.status_code)
            if problem:
                raise AnswerProblem(problem)
            body = _body(response)
        _well_formed(body)
        answer = requests.Response()
        answer.status_code = _OK
        answer.encoding = "utf-8"
        answer.raw = io.BytesIO(body)
        return answer

    def _authorization(self) -> dict[str, str]:
        """Read anew for each question, because such tokens are renewed on disk."""
        if self._token_file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {Path(self._token_file).read_text(encoding='ascii').strip()}"}
        except (OSError, ValueError):
            raise AnswerProblem("NoCredentials") from None


def code_of(status: int) -> str:
    """What a status code means, or nothing for 200."""
    if status == _OK:
        return ""
    if status in _REDIRECTS:
        return "Redirected"
    if status in _SERVER_ERRORS or status in _BUSY:
        return "ServerError"
    return "QueryRefused" if status in _CLIENT_ERRORS else "Malformed"


def _body(response: requests.Response) -> bytes:
    """The decoded body, of which never more than a little over the bound is in memory."""
    parts: list[bytes] = []
    size = 0
    try:
        while chunk := response.raw.read(CHUNK, decode_content=True):
            size += len(chunk)
            if size > MAX_BYTES:
                raise AnswerProblem("TooLarge")
            parts.append(chunk)
    except urllib3.exceptions.TimeoutError:
        raise AnswerProblem("Timeout") from None
    except urllib3.exceptions.DecodeError:
        raise AnswerProblem("Malformed") from None
    except (urllib3.exceptions.HTTPError, OSError):
        raise AnswerProblem("Unreachable") from None
    return b"".join(parts)


def _well_formed(body: bytes) -> None:
    """By a strict decoder (no NaN literals, bounded depth), before a lenient one of a library sees it."""
    try:
        document = orjson.loads(body)
    except ValueError:
        raise AnswerProblem("Malformed") from None
    if not isinstance(document, dict) or document.get("status") != "success":
        raise AnswerProblem("Malformed")
    data = document.get("data")
    if not isinstance(data, dict) or "result" not in data:
        raise AnswerProblem("Malformed")
