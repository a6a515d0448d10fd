"""Routes that a canary puts into a router's object and takes out again: by header, mirrors, and for sessions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from headgate.api.common import Model, ShortName

MATCHES = 8
"""Alternatives of one route."""
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", min_length=1, max_length=128)]
"""The name of a header, cookie or parameter."""
Text = Annotated[str, Field(min_length=1, max_length=256)]
Place = Annotated[str, Field(pattern=r"^/\S*$", min_length=1, max_length=256)]
"""A path of a URL."""
Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


def _one_of_three(schema: dict[str, Any]) -> None:
    schema["x-kubernetes-validations"] = [
        {
            "rule": "[has(self.exact), has(self.prefix), has(self.regex)].filter(x, x).size() == 1",
            "message": "set exactly one of exact, prefix, regex",
        }
    ]


class StringMatch(Model):
    """A text that is this one, begins so, or is matched as a whole; exactly one of its fields."""

    exact: Text | None = None
    prefix: Text | None = None
    regex: Text | None = None

    model_config = Model.model_config | {"json_schema_extra": _one_of_three}


class PathMatch(Model):
    """A path that is this one, begins so, or is matched as a whole; exactly one of its fields."""

    exact: Place | None = None
    prefix: Place | None = None
    regex: Text | None = None

    model_config = Model.model_config | {"json_schema_extra": _one_of_three}


def _pair(what: str) -> dict[str, Any]:
    return {
        "rule": f"has(self.{what}Name) == has(self.{what}Value)",
        "message": f"{what}Name and {what}Value go together; set both, or neither",
    }


class RouteMatch(Model):
    """What a request must have, all of it; a router says in `Ready` which of it it does not know."""

    header_name: Token | None = None
    header_value: StringMatch | None = None
    cookie_name: Token | None = None
    cookie_value: StringMatch | None = None
    query_name: Token | None = None
    """A parameter of the URL's query."""
    query_value: StringMatch | None = None
    path: PathMatch | None = None
    """Within the paths of the claimed rule."""
    method: Method | None = None

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                *map(_pair, ("header", "cookie", "query")),
                {
                    "rule": "has(self.headerName) || has(self.cookieName) || has(self.queryName) || has(self.path) || "
                    "has(self.method)",
                    "message": "an empty match would take every request; name a header, cookie, query parameter, path "
                    "or method, or use setWeight",
                },
            ]
        }
    }


Matches = Annotated[
    list[RouteMatch], Field(min_length=1, max_length=MATCHES, json_schema_extra={"x-kubernetes-list-type": "atomic"})
]


class SessionAffinity(Model):
    """Whom the new version has answered once stays with it until the release ends, by a cookie that its answers set.

    The cookie is of one attempt: after that it means nothing.
    """

    cookie_name: Annotated[Token, Field(max_length=64)]
    """No two Rollouts behind one host may have the same."""
    max_age: Annotated[int, Field(ge=1, le=34_560_000)] = 86400
    """Seconds for which a browser keeps it, from the answer that set it on."""
    path: Annotated[str, Field(pattern=r"^/[-A-Za-z0-9_.~/]*$", max_length=256)] = "/"
    """The paths for which a browser sends it."""
    same_site: Literal["Strict", "Lax", "None"] | None = None
    secure: bool = False
    """A browser sends it by https only."""
    http_only: bool = True
    """Scripts of a page cannot read it."""
    stay_on_stable: bool = False
    """Whom the stable version has answered first stays with that, too: a weight is a part of those who are new.

    Without it each of their requests may be the one after which they stay with the new version.
    """

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.sameSite) || self.sameSite != 'None' || (has(self.secure) && self.secure)",
                    "message": "browsers drop a cookie with sameSite None that is not secure; set secure: true, or "
                    "another sameSite",
                }
            ]
        }
    }


class HeaderRoute(Model):
    """Requests that have what one of the matches asks for go to the canary, whatever its weight is."""

    name: ShortName
    """Set again, the route is another one from then on."""
    match: Matches | None = None
    """Without it the route of this name is taken out again."""


class MirrorRoute(Model):
    """Requests that have what one of the matches asks for are copied to the canary, whose answers nobody gets."""

    name: ShortName
    """Set again, the route is another one from then on."""
    percentage: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of these requests; 100 unless told."""
    match: Matches | None = None
    """Without it the route of this name is taken out again."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.percentage) || has(self.match)",
                    "message": "a percentage needs a match: say which requests are copied, or remove the percentage, "
                    "which takes the route out",
                }
            ]
        }
    }
