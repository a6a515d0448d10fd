"""What a canary may say of an experiment: variants that run beside both versions while a gate compares them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headgate.api.common import Model, ShortName

VARIANTS = 4
"""Variants of one experiment."""


class VariantArgument(Model):
    """One argument of the gate's queries, and what of the variant is put there."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9]*$", max_length=63)]
    value: Literal["Revision", "Service"]
    """`Revision`: the label `headgate.dev/revision` of its pods, whose names begin with the Rollout's and this;
    `Service`: the name of its Service."""


class Variant(Model):
    """Pods of their own, made of the template of one of the two versions, that live for one step of one attempt."""

    name: ShortName
    spec_ref: Literal["Stable", "Canary"]
    """Whose template its pods have."""
    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    service: ShortName | None = None
    """A Service that leads to these pods while the step lasts, and then to nobody until the next experiment. It is no
    Service of anything else."""
    weight: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Its part of the requests, which the stable version has less by that; only the Gateway API's router can do it."""
    gate_arguments: Annotated[
        list[VariantArgument],
        Field(
            max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = Field(default_factory=list)
    """What the gate's queries are told of it, by the names that they use."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.weight) || has(self.service)",
                    "message": "a variant with a weight needs a service, to which the router leads; name one",
                },
                {
                    "rule": "has(self.service) || !has(self.gateArguments) || "
                    "self.gateArguments.all(a, a.value != 'Service')",
                    "message": "an argument with value Service needs a service of the variant; name one, or use "
                    "Revision",
                },
            ]
        }
    }


Variants = Annotated[
    list[Variant],
    Field(
        min_length=1,
        max_length=VARIANTS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]
