"""Says in one sentence why the API server refused something, and who can change that."""

from __future__ import annotations

import json
import re
from typing import Any

from headgate.api.common import API_VERSION, GROUP
from headgate.cli.errors import ApiError, Exit
from headgate.cli.text import clean

_RBAC = re.compile(
    r'User "(?P<user>.*?)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_POLICY = re.compile(r"denied (?:the )?request: (?P<message>.+)", re.DOTALL)
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 401, 403, 404, 429, 500


def api_error(status: int, body: bytes) -> ApiError:
    """The error for an answer of the API server that is not a success."""
    answer = _status_object(body)
    message = clean(str(answer.get("message") or body[:300].decode(errors="replace")).strip()) or f"HTTP {status}"
    if status == _UNAUTHORIZED:
        return ApiError(
            "the API server does not accept your credentials (401); log in again, or choose another --context",
            status,
            Exit.UNREACHABLE,
        )
    if status == _FORBIDDEN:
        return ApiError(_forbidden(message), status)
    if status == _NOT_FOUND:
        return ApiError(_not_found(answer), status, named=bool((answer.get("details") or {}).get("name")))
    if status == _TOO_MANY or status >= _SERVER_ERROR:
        return ApiError(
            f"the API server cannot answer now ({status}: {message}); try again in a moment", status, Exit.UNREACHABLE
        )
    return ApiError(f"the API server refuses this: {message}", status)


def _status_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _forbidden(message: str) -> str:
    if policy := _POLICY.search(message):
        # The policy's own sentence names the missing right and whom to ask.
        return policy["message"].strip()
    found = _RBAC.search(message)
    if found is None:
        return f"the API server forbids this: {message}"
    resource = found["resource"] + (f".{found['group']}" if found["group"] else "")
    place = f"in namespace {found['namespace']}" if found["namespace"] else "in the whole cluster"
    return (
        f"{found['user']} may not {found['verb']} {resource} {place}; ask an administrator for that right"
        f"{_role(found['verb'], resource)}, or choose another --namespace or --context"
    )


def _role(verb: str, resource: str) -> str:
    if not resource.split("/", maxsplit=1)[0].endswith(GROUP):
        return ""
    reading = verb in {"get", "list", "watch"}
    role = "headgate-view" if reading else "headgate-release-manager"
    return f", for example by binding the role {role} to you"


def _not_found(answer: dict[str, Any]) -> str:
    details = answer.get("details") or {}
    if details.get("name"):
        return f'{details.get("kind") or "object"} "{clean(details["name"])}" does not exist'
    return f"this cluster does not serve {API_VERSION}: install Headgate (docs/install.md) or choose another --context"
