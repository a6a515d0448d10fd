"""A Prometheus of a few lines: answers with the number that the test put there, and refuses what is no query."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ERRORS = "errors"
"""The metric that queries ask for."""


class Prometheus:
    """What is answered, and where."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.values: dict[str, float] = {}
        """By namespace: what a query for `errors` is answered with; no value, no series."""


@contextmanager
def serving() -> Iterator[Prometheus]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        """Answers instant queries and ranges of one moment, by GET or POST."""

        def do_GET(self) -> None:
            """Answer a query in the address."""
            self._answer(urlsplit(self.path).query)

        def do_POST(self) -> None:
            """Answer a query in the body."""
            length = int(self.headers.get("Content-Length") or 0)
            self._answer(self.rfile.read(length).decode() or urlsplit(self.path).query)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is http.server's
            """Say nothing."""

        def _answer(self, query: str) -> None:
            text = parse_qs(query).get("query", [""])[0]
            if text.count("(") != text.count(")"):
                self._send(400, {"status": "error", "errorType": "bad_data", "error": "unclosed left parenthesis"})
                return
            found = next((v for n, v in fake.values.items() if f'namespace="{n}"' in text), None)
            sample = [time.time(), str(found)]
            ranged = "query_range" in self.path
            series = {"metric": {}, **({"values": [sample]} if ranged else {"value": sample})}
            result = [] if found is None else [series]
            kind = "matrix" if ranged else "vector"
            self._send(200, {"status": "success", "data": {"resultType": kind, "result": result}})

        def _send(self, code: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake = Prometheus(server.server_port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
