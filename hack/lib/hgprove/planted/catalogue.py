"""All bugs that are planted, in the order of what they break; ids are unique."""

from __future__ import annotations

from hack.lib.hgprove.planted.bugs_configuration import CONFIGURATION
from hack.lib.hgprove.planted.bugs_engine import HEARING, LEADING, WRITES
from hack.lib.hgprove.planted.bugs_evidence import EVIDENCE, STEPS
from hack.lib.hgprove.planted.bugs_experiments import EXPERIMENTS
from hack.lib.hgprove.planted.bugs_groups import GROUPS
from hack.lib.hgprove.planted.bugs_options import OPTIONS
from hack.lib.hgprove.planted.bugs_rolling import IN_PLACE
from hack.lib.hgprove.planted.bugs_traffic import ENDINGS, PEOPLE, ROUTES, TRAFFIC
from hack.lib.hgprove.planted.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *TRAFFIC,
    *ROUTES,
    *PEOPLE,
    *ENDINGS,
    *EVIDENCE,
    *STEPS,
    *WRITES,
    *HEARING,
    *LEADING,
    *IN_PLACE,
    *CONFIGURATION,
    *GROUPS,
    *OPTIONS,
    *EXPERIMENTS,
)
FIELD_BUGS = (1, 2, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16, 18, 19, 20, 21, 24, 25, 29, 30, 31, 33)
"""The field's bugs of the reliability contract, each of which has a cause that is planted."""
