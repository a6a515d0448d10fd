"""Says how a kind is served: its names, its scope, and what `kubectl get` prints about it."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

__all__ = ["PrinterColumn", "Resource", "Rule", "Scale", "Scope"]

Scope = Literal["Namespaced", "Cluster"]


@dataclass(frozen=True)
class PrinterColumn:
    """One column of `kubectl get`; a priority above 0 shows it with `-o wide` only."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "date"]
    json_path: str
    description: str = ""
    priority: int = 0
    format: str = ""


@dataclass(frozen=True)
class Scale:
    """Where the scale subresource finds its numbers, so that `kubectl scale` and autoscalers work."""

    spec_replicas_path: str
    status_replicas_path: str
    label_selector_path: str = ""


@dataclass(frozen=True)
class Rule:
    """A CEL rule about a whole object, with the sentence that the API server answers when it does not hold."""

    rule: str
    message: str
    field_path: str = ""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Everything that the API server has to be told about one kind."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    scope: Scope
    spec_model: type[BaseModel]
    status_model: type[BaseModel] | None = None
    description: str = ""
    """What `kubectl explain` says about the kind; empty takes the docstring of `spec_model`."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    printer_columns: tuple[PrinterColumn, ...] = ()
    scale: Scale | None = None
    root_rules: tuple[Rule, ...] = ()
    """Rules on the root object; they see `self.metadata.name`, `self.spec` and `self.status`."""
    selectable_fields: tuple[str, ...] = ()
    """JSON paths, such as `.spec.rolloutRef.name`, that field selectors may use."""

    @property
    def api_version(self) -> str:
        """The group and version as objects write them."""
        return f"{self.group}/{self.version}"

    @property
    def crd_name(self) -> str:
        """The name of the custom resource definition."""
        return f"{self.plural}.{self.group}"
