"""The API module: what is sent, and which error an answer stands for."""

from __future__ import annotations

import orjson
import pytest

from headgate.act import errors
from headgate.act.errors import error_of
from headgate.act.kube import Call, Kube
from headgate.act.resources import SERVICES, path
from headgate.act.transport import Request, Response
from tests.unit.fake_api import FakeAPI


@pytest.mark.parametrize(
    ("code", "reason", "details", "creating", "expected"),
    [
        pytest.param(404, "NotFound", {"name": "x"}, False, errors.NotFound, id="gone"),
        pytest.param(404, "NotFound", {}, False, errors.NotServed, id="a kind that is not served"),
        pytest.param(404, "NotFound", {"name": "shop"}, True, errors.NotFound, id="a namespace that is gone"),
        pytest.param(409, "Conflict", {"name": "x"}, False, errors.Conflict, id="stale"),
        pytest.param(409, "AlreadyExists", {"name": "x"}, True, errors.AlreadyExists, id="exists"),
        pytest.param(409, "Conflict", {"name": "x"}, True, errors.Conflict, id="quota conflict on a create"),
        pytest.param(422, "Invalid", {"name": "x", "kind": "Service"}, False, errors.Invalid, id="schema"),
        pytest.param(422, "Invalid", {}, False, errors.Conflict, id="a patch that does not fit any more"),
        pytest.param(400, "BadRequest", {}, False, errors.Invalid, id="malformed"),
        pytest.param(401, "Unauthorized", {}, False, errors.Forbidden, id="not known"),
        pytest.param(403, "Forbidden", {}, False, errors.Forbidden, id="not allowed"),
        pytest.param(410, "Expired", {}, False, errors.Unavailable, id="pages outlived their version"),
        pytest.param(429, "TooManyRequests", {}, False, errors.TooManyRequests, id="throttled"),
        pytest.param(500, "InternalError", {}, False, errors.Unavailable, id="broken"),
        pytest.param(504, "Timeout", {}, False, errors.Timeout, id="too slow"),
    ],
)
def test_each_answer_stands_for_one_error(
    code: int, reason: str, details: dict[str, str], creating: object, expected: type[errors.ApiError]
) -> None:
    """The small tree of errors covers what a server answers."""
    body = {"kind": "Status", "reason": reason, "message": "m", "details": details}
    error = error_of(code, body, creating=bool(creating))
    assert type(error) is expected
    assert error.code == code


def test_a_terminating_namespace_is_told_apart() -> None:
    """Creating in a namespace that goes is forbidden for a reason that is nobody's fault."""
    body = {"reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}
    error = error_of(403, body, creating=True)
    assert isinstance(error, errors.Forbidden)
    assert error.namespace_terminating


def test_the_server_says_when_to_come_again() -> None:
    """The header counts first, then the details, and both are bounded."""
    first = error_of(429, {}, creating=False, retry_after="7")
    second = error_of(429, {"details": {"retryAfterSeconds": 3}}, creating=False)
    third = error_of(429, {}, creating=False, retry_after="86400")
    assert [e.retry_after for e in (first, second, third) if isinstance(e, errors.TooManyRequests)] == [7, 3, 60]


def test_messages_are_one_short_line() -> None:
    """Whatever a server sends, an error is one printable line of bounded length."""
    error = error_of(500, {"message": "a\x1b[31m\nb" + "c" * 10_000}, creating=False)
    assert "\n" not in error.message
    assert "\x1b" not in error.message
    assert len(error.message) <= 300


def test_a_page_that_is_not_found_says_nothing_of_an_object() -> None:
    """A server that does not know a kind answers a line of text, as does a proxy before it."""
    error = error_of(404, None, creating=False)
    assert type(error) is errors.NotServed
    assert error.message == "the API server does not serve this kind at present"


def test_an_answer_that_is_not_json_is_an_error_and_not_a_crash() -> None:
    """A proxy's error page gives an error without its text."""
    assert "html" not in error_of(502, None, creating=False).message


class Recording:
    """A transport that remembers requests and answers the same."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        """Remember, and answer."""
        self.requests.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def close(self) -> None:
        """Nothing to close."""


async def test_the_version_is_the_first_operation_of_a_patch() -> None:
    """Optimistic locking replaces the resourceVersion, which the server answers with 409 if it is stale."""
    transport = Recording(Response(200, b"{}"))
    patch = [{"op": "add", "path": "/spec/a", "value": 1}]
    await Kube(transport).json_patch(SERVICES, "shop", "s", patch, resource_version="7")
    sent = orjson.loads(transport.requests[0].body or b"")
    assert sent[0] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    assert transport.requests[0].content_type == "application/json-patch+json"


async def test_a_list_is_read_page_by_page() -> None:
    """All pages are one list, at the version of the list."""
    pages = (
        Response(200, orjson.dumps({"metadata": {"continue": "t", "resourceVersion": "9"}, "items": [{"a": 1}]})),
        Response(200, orjson.dumps({"metadata": {"resourceVersion": "9"}, "items": [{"a": 2}]})),
    )
    transport = Recording(*pages)
    found = await Kube(transport).list(SERVICES, labels="x=y", metadata_only=True)
    assert (found.resource_version, found.items) == ("9", [{"a": 1}, {"a": 2}])
    assert "continue=t" in transport.requests[1].path
    assert "PartialObjectMetadataList" in transport.requests[0].accept


async def test_every_request_is_observed_also_one_without_an_answer() -> None:
    """Clock and metrics hear of each request once."""
    api = FakeAPI()
    api.fail("GET", "services", errors.Timeout("slow"))
    kube = Kube(api)
    calls: list[Call] = []
    kube.observers.append(calls.append)
    with pytest.raises(errors.Timeout):
        await kube.get(SERVICES, "shop", "s")
    with pytest.raises(errors.NotFound):
        await kube.get(SERVICES, "shop", "s")
    assert [c.code for c in calls] == [0, 404]


def test_paths_of_the_api() -> None:
    """Core kinds live elsewhere than the others."""
    assert path(SERVICES, "shop", "s", "status") == "/api/v1/namespaces/shop/services/s/status"
    assert path(SERVICES) == "/api/v1/services"
