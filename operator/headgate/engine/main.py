"""The command that starts the operator; the composition root, the only module that knows everybody."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

from headgate.engine import spared as _spared  # noqa: F401  before the libraries

# isort: split
import click
import uvloop
from kubernetes.aio.config import ConfigException
from pydantic import ValidationError

from headgate import sparing
from headgate.act.transport import ClientTransport, own_namespace
from headgate.api.config import OperatorConfig
from headgate.checks.protocol import CheckProvider
from headgate.checks.registry import providers_of
from headgate.engine import loop_faults
from headgate.engine.operator import Operator
from headgate.engine.options import Options, default_identity, read_config
from headgate.engine.sources import watched
from headgate.handlers.registry import registry
from headgate.handlers.settings import settings
from headgate.handlers.shell import Shell
from headgate.telemetry import logs
from headgate.traffic.protocol import Router
from headgate.traffic.registry import routers_of

NESTING = 12_000
"""The API server takes JSON nested 10,000 deep. Python gives up at 1,000, and kopf with it: as long as the object is
there its kind is watched no more."""

log = logs.logger(__name__)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--config", envvar="HEADGATE_CONFIG", type=click.Path(dir_okay=False), help="The configuration file.")
@click.option("--kubeconfig", type=click.Path(dir_okay=False), help="Where the API server is; in a pod its own.")
@click.option("--context", help="The context in the kubeconfig.")
@click.option(
    "--namespace", "-n", "namespaces", multiple=True, help="Manage this namespace only; repeat it for several."
)
@click.option("--log-level", envvar="HEADGATE_LOG_LEVEL", default="info", type=click.Choice(sorted(logs.LEVELS)))
@click.option("--log-format", envvar="HEADGATE_LOG_FORMAT", default="json", type=click.Choice(["json", "text"]))
@click.option("--http-port", envvar="HEADGATE_PORT", default=8080, help="For /healthz, /readyz and /metrics.")
@click.option("--lease", "lease_name", envvar="HEADGATE_LEASE", default="headgate", help="Name of the Lease.")
@click.option("--lease-namespace", envvar="HEADGATE_LEASE_NAMESPACE", help="Namespace of the Lease; the pod's own.")
@click.option("--identity", envvar="HEADGATE_IDENTITY", help="Who this replica is; the pod's name.")
def main(  # noqa: PLR0913, PLR0917  one parameter for each option
    config: str | None,
    kubeconfig: str | None,
    context: str | None,
    namespaces: tuple[str, ...],
    log_level: str,
    log_format: str,
    http_port: int,
    lease_name: str,
    lease_namespace: str | None,
    identity: str | None,
) -> None:
    """Run the Headgate operator."""
    logs.configure(log_level, json=log_format == "json")
    try:
        options = Options(
            config=read_config(config, namespaces),
            kubeconfig=kubeconfig,
            context=context,
            log_level=log_level,
            log_format=log_format,
            port=http_port,
            lease_name=lease_name,
            lease_namespace=lease_namespace or own_namespace(),
            identity=identity or default_identity(),
        )
        parts = parts_of(options.config)
    except (OSError, ValueError) as error:
        details = error.errors(include_url=False, include_input=False) if isinstance(error, ValidationError) else None
        log.error("the configuration cannot be used", error=str(details or error))  # noqa: TRY400  no traceback for a typing mistake
        sys.exit(2)
    sparing.the_collector()
    sys.setrecursionlimit(NESTING)
    try:
        # It serves the many small answers and watch lines for a tenth less CPU than asyncio's own loop.
        uvloop.run(run(options, *parts))
    except ConfigException as error:
        log.error("no way to the API server", error=str(error))  # noqa: TRY400  the same
        sys.exit(2)
    except Exception:
        log.exception("the operator ended")
        sys.exit(1)


def parts_of(config: OperatorConfig) -> tuple[Mapping[str, Router], Mapping[str, CheckProvider]]:
    """The routers and the metric providers, those of other packages included.

    Raises:
        ValueError: if one cannot be had, or two do not go together; the message names the field of the configuration.
    """
    routers = routers_of(config)
    watched(routers, config)
    return routers, providers_of(config)


async def run(options: Options, routers: Mapping[str, Router], providers: Mapping[str, CheckProvider]) -> None:
    """Run one process of the operator until it is told to stop."""
    asyncio.get_running_loop().set_exception_handler(loop_faults.hear)
    transport = await ClientTransport.connect(options.kubeconfig, options.context)
    operator = Operator(options, transport, routers, providers)
    shell = Shell(
        registry=lambda: registry(operator.sources, operator.intake, transport.credentials),
        settings=lambda: settings(operator.sources),
        namespaces=options.config.namespaces,
        on_spawned=operator.take_signals,
        on_ended=operator.sweep_all,
        on_listed=operator.intake.listed,
        beat=lambda: operator.heartbeats.beat("watches"),
    )
    await operator.run(shell)


if __name__ == "__main__":
    main()
