"""The check providers of one operator; a new kind is one file and one line here, or another package's entry point."""

from __future__ import annotations

from collections.abc import Callable

from headgate import extensions
from headgate.api.config import MetricProvider, OperatorConfig
from headgate.checks.guarded import GuardedProvider
from headgate.checks.prometheus import PrometheusProvider
from headgate.checks.protocol import PROTOCOL, CheckProvider

KINDS: dict[str, Callable[..., CheckProvider]] = {"prometheus": PrometheusProvider}
"""By `kind`: what makes a provider of its configuration and, as `name`, the name that tenants know it by."""

ENTRY_POINTS = "headgate.checks"
"""The group in which another package registers a kind."""
METHODS = ("ask", "close")


def providers_of(config: OperatorConfig) -> dict[str, CheckProvider]:
    """One provider per configured name.

    Raises:
        ValueError: if a kind of another package cannot be had; the message names the field of the configuration, and
            what to do.
    """
    return {name: _provider(provider, name) for name, provider in sorted(config.metric_providers.items())}


def _provider(config: MetricProvider, name: str) -> CheckProvider:
    if config.kind in KINDS:
        return KINDS[config.kind](config, name=name)
    field = f"metricProviders.{name}.kind"
    made = extensions.make(ENTRY_POINTS, config.kind, PROTOCOL, field, "check provider", METHODS, config, name=name)
    return GuardedProvider(made)
