"""`Environment`: which namespaces belong together and which environment comes before."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headgate.api.common import GROUP, VERSION, Model, Name, ShortName
from headgate.api.resource import PrinterColumn, Resource


class EnvironmentSpec(Model):
    """The first fields: membership and order. What may be promoted into it follows from these later."""

    namespaces: Annotated[
        list[ShortName], Field(min_length=1, max_length=100, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    after: Annotated[list[Name], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})] = Field(
        default_factory=list
    )
    """The environments from which a version may come; empty for the first one."""
    description: Annotated[str, Field(max_length=512)] = ""


ENVIRONMENT = Resource(
    group=GROUP,
    version=VERSION,
    kind="Environment",
    plural="environments",
    singular="environment",
    short_names=("henv",),
    categories=("headgate",),
    scope="Cluster",
    spec_model=EnvironmentSpec,
    status_model=None,
    printer_columns=(
        PrinterColumn("Namespaces", "string", ".spec.namespaces"),
        PrinterColumn("After", "string", ".spec.after"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
    ),
)
