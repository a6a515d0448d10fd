"""Routes that the steps of a canary put into a router's object and take out again: by header, and mirrors."""

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
