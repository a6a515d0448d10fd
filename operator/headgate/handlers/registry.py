"""What kopf calls: one event handler for each kind, and the login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import kopf

from headgate.act.transport import Credentials
from headgate.engine.intake import Intake
from headgate.engine.sources import Source


def registry(
    sources: Iterable[Source], intake: Intake, credentials: Callable[[], Awaitable[Credentials]]
) -> kopf.OperatorRegistry:
    """A registry with event handlers only: every other kind of handler would write to the objects."""
    made = kopf.OperatorRegistry()
    for source in sources:
        where = source.resource
        kopf.on.event(where.group, where.version, where.plural, id=f"{where.plural}", registry=made)(
            _handler(source.kind, intake)
        )

    async def login(**_: Any) -> kopf.ConnectionInfo:
        found = await credentials()
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_path,
            insecure=found.insecure or None,
            scheme="Bearer" if found.token else None,
            token=found.token,
            certificate_path=found.certificate_path,
            private_key_path=found.private_key_path,
        )

    kopf.on.login(id="login", registry=made)(login)
    return made


def _handler(kind: str, intake: Intake) -> Callable[..., Any]:
    async def heard(event: kopf.RawEvent, **_: Any) -> None:
        intake.event(kind, event["type"], event["object"])  # type: ignore[arg-type]

    return heard
