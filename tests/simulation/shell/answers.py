"""What the server says when it does not do as it was asked: a Status, with the words and details of the real one."""

from __future__ import annotations

from typing import Any

from tests.simulation.shell.kinds import Kind

Object = dict[str, Any]


class Refused(Exception):  # noqa: N818  it is an answer, not a fault
    """The answer instead of the object."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def body(self) -> Object:
        """The Status."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            **({"details": self.details} if self.details else {}),
            "code": self.code,
        }


def _of(kind: Kind, name: str) -> dict[str, Any]:
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}


def _full(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def method_not_allowed() -> Refused:
    """The path is served, but not like this."""
    return Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def no_such_kind() -> Refused:
    """The path is not served."""
    return Refused(404, "NotFound", "the server could not find the requested resource")


def disruption_refused(budget: str) -> Refused:
    """A PodDisruptionBudget does not allow it now."""
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    why = f"The disruption budget {budget} needs more healthy pods"
    causes = [{"reason": "DisruptionBudget", "message": why}]
    return Refused(429, "TooManyRequests", message, causes=causes)


def not_found(kind: Kind, name: str) -> Refused:
    """There is no such object."""
    return Refused(404, "NotFound", f'{_full(kind)} "{name}" not found', **_of(kind, name))


def already_exists(kind: Kind, name: str, *, going: bool) -> Refused:
    """The name is taken, maybe by one that is on its way out."""
    what = "object is being deleted: " if going else ""
    return Refused(409, "AlreadyExists", f'{what}{_full(kind)} "{name}" already exists', **_of(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> Refused:
    """The object is not as the request expects it."""
    what = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {_full(kind)} "{name}": {what}'
    return Refused(409, "Conflict", message, **_of(kind, name))


def precondition(kind: Kind, name: str, field: str, wanted: str, found: str) -> Refused:
    """A condition of a deletion does not hold; the real server names the kind here, and not the resource."""
    what = (
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
        if field == "uid"
        else f"the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record "
        f"({found}). The object might have been modified"
    )
    message = f'Operation cannot be fulfilled on {kind.kind} "{name}": {what}'
    return Refused(409, "Conflict", message, name=name, kind=kind.kind)


def invalid(kind: Kind, name: str, field: str, problem: str, *, reason: str = "FieldValueInvalid") -> Refused:
    """What was sent is not a valid object."""
    message = f'{kind.kind}{"." + kind.group if kind.group else ""} "{name}" is invalid: {field}: {problem}'
    details = {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.kind}
    return Refused(422, "Invalid", message, **details, causes=[{"reason": reason, "message": problem, "field": field}])


def without_version(kind: Kind, name: str) -> Refused:
    """A custom object is only replaced as it was seen; here the real server names the resource, not the kind."""
    problem = "Invalid value: 0: must be specified for an update"
    message = f'{_full(kind)} "{name}" is invalid: metadata.resourceVersion: {problem}'
    return Refused(422, "Invalid", message, **_of(kind, name))


def unfit_patch() -> Refused:
    """The patch does not fit the object; the real server has no details for it."""
    return Refused(422, "Invalid", "the server rejected our request due to an error in our request")


def bad_request(message: str) -> Refused:
    """It cannot be read."""
    return Refused(400, "BadRequest", message)


def expired(message: str) -> Refused:
    """The version that was asked for is compacted away."""
    return Refused(410, "Expired", message)


def terminating(kind: Kind, name: str, namespace: str) -> Refused:
    """Nothing new begins in a namespace that is being deleted."""
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    message = (
        f'{_full(kind)} "{name}" is forbidden: unable to create new content in namespace {namespace} because it is '
        "being terminated"
    )
    return Refused(403, "Forbidden", message, **_of(kind, name), causes=[cause])


def too_many(seconds: int) -> Refused:
    """Come later."""
    return Refused(
        429,
        "TooManyRequests",
        "too many requests, please try again later",
        retryAfterSeconds=seconds,
    )


def internal(message: str = "etcdserver: leader changed") -> Refused:
    """The server failed."""
    return Refused(500, "InternalError", f"Internal error occurred: {message}", causes=[{"message": message}])
