"""The check providers of one operator, from its configuration; a new kind is one file and one line here."""

from __future__ import annotations

from headgate.api.config import OperatorConfig
from headgate.checks.prometheus import PrometheusProvider
from headgate.checks.protocol import CheckProvider


def providers_of(config: OperatorConfig) -> dict[str, CheckProvider]:
    """One provider per configured name."""
    return {name: PrometheusProvider(provider, name=name) for name, provider in sorted(config.metric_providers.items())}
