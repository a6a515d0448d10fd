"""What the operator is started with: the command line, the environment, and the admin's configuration file."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from headgate.api.config import OperatorConfig
from headgate.api.values import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """One process."""

    config: OperatorConfig
    kubeconfig: str | None
    context: str | None
    log_level: str
    log_format: str
    port: int
    lease_name: str
    lease_namespace: str
    identity: str


def read_config(file: str | None, namespaces: tuple[str, ...]) -> OperatorConfig:
    """The configuration; namespaces from the command line replace those of the file.

    Raises:
        ValueError: if it cannot be read; the message names the field.
    """
    raw = yaml.safe_load(Path(file).read_text(encoding="utf-8")) if file else None
    if raw is not None and not isinstance(raw, dict):
        raise ValueError(f"{file}: not a mapping of settings")
    config = OperatorConfig.model_validate(raw or {})
    return config.model_copy(update={"namespaces": namespaces}) if namespaces else config


def default_identity() -> str:
    """The name of the pod, or of the host."""
    return os.environ.get("POD_NAME") or os.uname().nodename
