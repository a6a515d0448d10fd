"""The contract: pydantic models, one file per kind, from which `crds/` is generated."""

from headgate.api.actions import ROLLOUT_ACTION
from headgate.api.environment import ENVIRONMENT
from headgate.api.gate import QUALITY_GATE
from headgate.api.resource import Resource
from headgate.api.rollout import ROLLOUT

RESOURCES: tuple[Resource, ...] = (ROLLOUT, QUALITY_GATE, ENVIRONMENT, ROLLOUT_ACTION)
"""Every kind that Headgate defines."""

__all__ = ["ENVIRONMENT", "QUALITY_GATE", "RESOURCES", "ROLLOUT", "ROLLOUT_ACTION"]
