"""`QualityGate`: which checks, how often, what passes, what fails, and what happens when nothing can be known."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headgate.api.common import GROUP, STEPS, VERSION, Count, Duration, Model, ShortName, Time
from headgate.api.resource import PrinterColumn, Resource

Verdict = Literal["Pass", "Fail", "Unknown", "Error"]
"""`Unknown`: no data, NaN, too few samples, stale. `Error`: could not be asked. Only `Pass` passes."""
OnUnknown = Literal["Hold", "Extend", "Fail"]


class Threshold(Model):
    """What a value must satisfy; all given bounds together."""

    min: float | None = None
    max: float | None = None
    equals: float | None = None

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.min) || has(self.max) || has(self.equals)",
                    "message": "give at least one of min, max, equals",
                },
                {
                    "rule": "!has(self.min) || !has(self.max) || self.min <= self.max",
                    "message": "min is greater than max",
                },
            ]
        }
    }


class Argument(Model):
    """One argument of a query template; `value` becomes an escaped label value."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9]*$", max_length=63)]
    value: Annotated[str, Field(max_length=253)]


Arguments = Annotated[
    list[Argument],
    Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]


class Query(Model):
    """A query of the admin's by name with arguments, or, where the admin allows it, a raw one.

    In both, `{{name}}` stands for an argument. Always there: namespace, rollout, stableService, canaryService,
    stableRevision, canaryRevision (pod hashes), and window (seconds since the weight was applied, as `42s`).
    """

    template: ShortName | None = None
    raw: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    arguments: Arguments = Field(default_factory=list)

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {"rule": "has(self.template) != has(self.raw)", "message": "set exactly one of template and raw"}
            ]
        }
    }


class Range(Model):
    """Ask for a series instead of an instant: over the window since the weight was applied, every `step`."""

    step: Duration = "15s"
    reduce: Literal["Last", "Mean", "Min", "Max"] = "Mean"
    """The one number that is kept of the series."""


class PrometheusCheck(Model):
    """Ask a Prometheus that the admin configured."""

    provider: ShortName = "default"
    query: Query
    range: Range | None = None


class MinSample(Model):
    """How many observations the value must stand on, e.g. requests in the window; fewer make the verdict Unknown."""

    query: Query
    min: Annotated[float, Field(gt=0)]


class Check(Model):
    """One question and what its answer means."""

    name: ShortName
    prometheus: PrometheusCheck
    passes: Annotated[Threshold, Field(alias="pass")]
    """The value passes if it satisfies this."""
    fails: Annotated[Threshold | None, Field(alias="fail")] = None
    """The value fails only if it satisfies this; without it, whatever does not pass fails. Neither: Unknown."""
    min_sample: MinSample | None = None


class QualityGateSpec(Model):
    """What is asked, how often, and how the answers become a verdict."""

    checks: Annotated[
        list[Check],
        Field(
            min_length=1,
            max_length=5,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    interval: Duration = "30s"
    initial_delay: Duration = "0s"
    duration: Duration | None = None
    """How long the gate judges; a step may say otherwise. Without duration and count: until one measurement each."""
    count: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many measurements (Errors not counted) each check takes; the gate ends at duration or count, whichever is
    given."""
    failure_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """Failures that are tolerated per check: the (N+1)th fails the gate."""
    inconclusive_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """Unknown measurements that are tolerated per check."""
    consecutive_error_limit: Annotated[int, Field(ge=0, le=1000)] = 4
    """Errors in a row that are tolerated per check."""
    on_unknown: OnUnknown = "Hold"
    """When nothing can be known: hold until it can, extend once by the gate's duration and then hold, or fail."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.interval) || duration(self.interval) >= duration('1s')",
                    "message": "interval is at least 1s",
                }
            ]
        }
    }


class Measurement(Model):
    """One answer: a number or none, and what it was judged to be."""

    at: Time
    value: float | None = None
    sample: float | None = None
    verdict: Verdict
    reason: Annotated[str, Field(max_length=64)] = ""
    """Why it is not a plain Pass or Fail, e.g. NoData, NaN, NotEnoughData, Timeout, Unreachable, QueryRefused."""


class CheckRun(Model):
    """What one check has answered in this run of a gate, with the evidence that decided."""

    name: Annotated[str, Field(max_length=63)]
    asked: Count = 0
    """Number of the last question that was answered; the next one is asked + 1."""
    asked_at: Time | None = None
    passes: Count = 0
    failures: Count = 0
    unknowns: Count = 0
    errors: Count = 0
    consecutive_errors: Count = 0
    query: Annotated[str, Field(max_length=1024)] = ""
    """The query as it was last sent."""
    rule: Annotated[str, Field(max_length=128)] = ""
    """What the value is compared with, e.g. `>= 99`."""
    measurements: Annotated[list[Measurement], Field(max_length=10)] = Field(default_factory=list)


class GateRun(Model):
    """One run of one gate for one revision and attempt, at one step or in the background."""

    name: Annotated[str, Field(max_length=253)]
    step: Annotated[int, Field(ge=-1, le=STEPS)] = -1
    """Index of the step that it belongs to; -1 for a background gate."""
    pod_hash: Annotated[str, Field(max_length=63)]
    attempt: Count
    window: Count = 1
    """Counts the windows: extending keeps it, beginning again after a hold raises it."""
    started_at: Time
    """When the window began; measurements look no further back."""
    extended: bool = False
    verdict: Literal["Running", "Pass", "Fail", "Unknown", "Error"] = "Running"
    held: bool = False
    """Nothing can be known and the policy is to wait; it goes on asking and begins again once every check answers."""
    overridden: Annotated[str, Field(max_length=253)] = ""
    """Who let the release go on past this gate while it was held; empty for nobody."""
    decided_at: Time | None = None
    message: Annotated[str, Field(max_length=512)] = ""
    """The rule that decided, with numbers."""
    checks: Annotated[list[CheckRun], Field(max_length=5)] = Field(default_factory=list)


QUALITY_GATE = Resource(
    group=GROUP,
    version=VERSION,
    kind="QualityGate",
    plural="qualitygates",
    singular="qualitygate",
    short_names=("qg",),
    categories=("headgate",),
    scope="Namespaced",
    spec_model=QualityGateSpec,
    status_model=None,
    printer_columns=(
        PrinterColumn("Checks", "string", ".spec.checks[*].name"),
        PrinterColumn("Interval", "string", ".spec.interval"),
        PrinterColumn("OnUnknown", "string", ".spec.onUnknown"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    ),
)
