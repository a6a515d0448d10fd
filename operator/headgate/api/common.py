"""What every kind shares: base models, durations, times, names and conditions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "headgate.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_ROLLOUT = f"{GROUP}/rollout"
"""On ReplicaSets, ControllerRevisions and pods: the name of the Rollout that they belong to."""
LABEL_REVISION = f"{GROUP}/revision"
"""On ReplicaSets, pods and in Service selectors: the pod hash, the short form of a revision."""
LABEL_VARIANT = f"{GROUP}/variant"
"""On ReplicaSets of an experiment's variants, and on their pods, which have it in the place of the Rollout's."""
ANNOTATION_REVISION = f"{GROUP}/revision-hash"
"""On ReplicaSets: the full revision, which alone is compared."""
ANNOTATION_COLLISION = f"{GROUP}/collision-count"
ANNOTATION_COPIES = f"{GROUP}/copies"
"""On ReplicaSets: what their pods read in the place of what the template named, as `kind/source/copy`, with commas."""
ANNOTATION_MARK = f"{GROUP}/pod-metadata"
"""On ReplicaSets: a digest of what their pods carry besides the template's labels and annotations, where they do."""
ANNOTATION_COPY_OF = f"{GROUP}/copy-of"
"""On copies of ConfigMaps and Secrets: the name of what was copied."""
ANNOTATION_HELD = f"{GROUP}/held-template"
"""On DaemonSets whose template is held: the server's count of its changes, as of the operator's last write."""
ANNOTATION_UPDATE_STRATEGY = f"{GROUP}/update-strategy"
"""On the same: the `updateStrategy` that they had before, as JSON."""
ANNOTATION_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""On every DaemonSet: that count. The name is of 2017; the server fills it in for each version of the API."""
DAEMON_ANNOTATIONS = (ANNOTATION_HELD, ANNOTATION_UPDATE_STRATEGY, ANNOTATION_TEMPLATE_GENERATION)
FINALIZER = f"{GROUP}/hand-back"
MANAGER = "headgate"
"""The field manager of what the operator writes; `managedFields` say by it which fields of an object are its."""
MANAGER_TAKES_BACK = "headgate-takes-back:"
"""Beginning of the field manager of a weight or selector that takes an attempt back; the attempt follows."""


class Model(BaseModel):  # noqa: PLW1641  pydantic makes the hash of a frozen model
    """Base of all models: camelCase outside, frozen, tolerant of fields from a newer schema.

    Unknown fields are refused by the API server (structural schema), not here, so that a newer CRD never breaks an
    older operator.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    # A journal is copied and compared a dozen times in each decision. Without extra fields and private attributes, both
    # are a matter of `__dict__`; pydantic's own ways ask for more, and take several times as long.

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with these fields replaced, which are not validated."""
        if deep or not update:
            return super().model_copy(update=update, deep=deep)
        fresh = self.__class__.__new__(self.__class__)
        put = object.__setattr__
        put(fresh, "__dict__", {**self.__dict__, **update})
        known = self.__pydantic_fields_set__
        put(fresh, "__pydantic_fields_set__", known if known.issuperset(update) else known.union(update))
        put(fresh, "__pydantic_extra__", None)
        put(fresh, "__pydantic_private__", None)
        return fresh

    def __eq__(self, other: object) -> bool:
        """Whether it is of the same class and all fields are equal."""
        return self.__dict__ == other.__dict__ if self.__class__ is other.__class__ else NotImplemented


DURATION_PATTERN = r"^([0-9]{1,6}(ms|s|m|h))+$"
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32)]
"""A length of time in Go's notation, e.g. `30s`, `5m`, `1h30m`."""

PERCENT = 100
"""What weights are a part of, unless the spec says otherwise."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
"""The name of a Kubernetes object in the same namespace (RFC 1123 subdomain)."""
ShortName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
"""A name that fits into a label value (RFC 1123 label)."""
STEPS = 50
"""Steps of one release."""
StepIndex = Annotated[int, Field(ge=0, le=STEPS)]
"""Counted from 0; after the last step it is their number."""
MOST = 2**31 - 1
Count = Annotated[int, Field(ge=0, le=MOST)]
"""How often; far below what the numbers of JSON and of the API server hold, so that adding to it stays a number."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@lru_cache(maxsize=4096)
def seconds(duration: str) -> float:
    """The length of a `Duration` in seconds.

    Raises:
        ValueError: if the text is not a duration.
    """
    if not re.match(DURATION_PATTERN, duration):
        message = f"{duration!r} is not a duration; write it like 30s, 5m or 1h30m"
        raise ValueError(message)
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", duration))


@lru_cache(maxsize=4096)
def to_time(epoch: float) -> str:
    """RFC 3339 text of seconds since the epoch, rounded *up* to a millisecond.

    Rounding up keeps promises that are lower bounds: a pause that began at this instant lasts at least its duration.
    """
    millis = math.ceil(epoch * 1000 - 1e-3)
    whole, rest = divmod(millis, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


@lru_cache(maxsize=4096)
def to_epoch(time: str) -> float:
    """Seconds since the epoch of an RFC 3339 text.

    Raises:
        ValueError: if the text is not an instant.
    """
    return datetime.fromisoformat(time).timestamp()


def portion(weight: int, total: int) -> str:
    """A weight for people: `5%`, or `5 of 1000` where percent are not what it counts."""
    return f"{weight}%" if total == PERCENT else f"{weight} of {total}"


def round_seconds(length: float) -> str:
    """A length in seconds for people: `42s`, `3m05s`, `2h10m`."""
    whole = max(0, math.ceil(length))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def _is_real(time: str) -> str:
    """The pattern knows no calendar: the 30th of February is found here."""
    to_epoch(time)
    return time


TIME_PATTERN = (
    r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$"
)
Time = Annotated[str, Field(pattern=TIME_PATTERN, max_length=27), AfterValidator(_is_real)]
"""An instant in RFC 3339, UTC; the format `date-time` would let leap seconds pass, and even lists."""


class Condition(Model):
    """One aspect of the state, in the form of `metav1.Condition`."""

    type: Annotated[str, Field(max_length=64)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(max_length=64)]
    message: Annotated[str, Field(max_length=1024)] = ""
    last_transition_time: Time
    observed_generation: int = 0
