"""What may go wrong with a request to the API server, drawn once.

    ApiError
    ├── NotFound         404 that names the object: it is gone
    ├── NotServed        any other 404: nobody answers for the kind, for now or for ever; nothing was carried out
    ├── AlreadyExists    409 on a create
    ├── Conflict         409, or a JSON patch that no longer fits the object: somebody else wrote it first
    ├── Invalid          400, 413, 422: the schema or an admission policy refuses it
    ├── Forbidden        401, 403 (`namespace_terminating` tells the one that is nobody's fault)
    ├── TooManyRequests  429, with `retry_after`
    ├── Unavailable      5xx: it may or may not have been carried out
    ├── Unreachable      no connection, or it broke: it may or may not have been carried out
    └── Timeout          no answer in time: it may or may not have been carried out

The text of an error is the `message` of the server's Status, one line, at most 300 characters: enough for a condition,
too little to carry somebody's payload.
"""

# ruff: noqa: N818, PLR2004  `Conflict` says more than `ConflictError`; HTTP codes are names to whoever reads this.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIMIT = 300
HTTP_ERRORS = 400


class ApiError(Exception):
    """A request that did not succeed."""

    reason = "ApiError"

    def __init__(self, message: str = "", *, code: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class NotFound(ApiError):
    """The object is not there."""

    reason = "NotFound"


class NotServed(ApiError):
    """The kind is not served: its definition is made again, or a server has just started.

    Nothing was carried out, and nothing is known of the object: it may well be there. Whoever takes this for NotFound
    forgets what is alive, and counts what was never deleted as gone.
    """

    reason = "NotServed"


class AlreadyExists(ApiError):
    """An object of that name is there already."""

    reason = "AlreadyExists"


class Conflict(ApiError):
    """The object is not as it was when the decision was taken."""

    reason = "Conflict"


class Invalid(ApiError):
    """The schema, or an admission policy, refuses what was sent."""

    reason = "Invalid"


class Forbidden(ApiError):
    """The operator may not do this."""

    reason = "Forbidden"

    def __init__(self, message: str = "", *, code: int = 403, namespace_terminating: bool = False) -> None:
        super().__init__(message, code=code)
        self.namespace_terminating = namespace_terminating


class TooManyRequests(ApiError):
    """The server asks to come later."""

    reason = "TooManyRequests"

    def __init__(self, message: str = "", *, code: int = 429, retry_after: float = 1.0) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Unavailable(ApiError):
    """The server failed."""

    reason = "Unavailable"


class Unreachable(ApiError):
    """There was no connection, or it broke."""

    reason = "Unreachable"


class Timeout(ApiError):
    """There was no answer in time."""

    reason = "Timeout"


MAYBE_DONE = (Unavailable, Unreachable, Timeout)
"""After these nobody knows whether the request was carried out."""


def one_line(text: str, limit: int = LIMIT) -> str:
    """Text as one printable line of bounded length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: limit * 4]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def error_of(code: int, body: Any, *, creating: bool, retry_after: str = "") -> ApiError:
    """The error that a response stands for."""
    status: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    reason = str(status.get("reason") or "")
    message = one_line(str(status.get("message") or f"HTTP {code}"))
    found = status.get("details")
    details: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    if code == 409:
        there = creating and reason in ("", "AlreadyExists")
        return (AlreadyExists if there else Conflict)(message, code=code)
    if code == 422 and not details and reason == "Invalid":
        # A JSON patch whose `test` failed or whose path is gone: a 422 without any detail, unlike every refusal by a
        # schema or a policy, which names at least the object (tried on a real server).
        return Conflict("the object is not as the patch expects it", code=code)
    if code in (401, 403):
        causes = details.get("causes")
        going = any(isinstance(c, Mapping) and c.get("reason") == "NamespaceTerminating" for c in causes or ())
        return Forbidden(message, code=code, namespace_terminating=going)
    if code == 429:
        return TooManyRequests(message, code=code, retry_after=_seconds(retry_after, details))
    if code == 404:
        return _absent(status, reason, details, message)
    # 410: a list whose pages outlived their version; it has to begin again.
    simple = {410: Unavailable, 408: Timeout, 504: Timeout}
    if code in simple:
        return simple[code](message, code=code)
    return (Unavailable if code >= 500 else Invalid)(message, code=code)


def _absent(status: Mapping[str, Any], reason: str, details: Mapping[str, Any], message: str) -> ApiError:
    """What a 404 says: the server names the object that is not there, and nothing where it does not know the kind."""
    if reason == "NotFound" and details.get("name"):
        return NotFound(message, code=404)
    told = message if status.get("message") else "the API server does not serve this kind at present"
    return NotServed(told, code=404)


def _seconds(header: str, details: Mapping[str, Any]) -> float:
    for text in (header, details.get("retryAfterSeconds")):
        try:
            return min(60.0, max(0.1, float(str(text))))
        except ValueError:
            continue
    return 1.0
