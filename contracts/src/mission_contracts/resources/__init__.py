"""The custom resources as values: what a Mission and a SoldierPool look like in the cluster, for every part.

The CRDs, the admission policy and the reference page are generated from here (`python -m tools.generate`).
"""

from mission_contracts.resources.conditions import (
    Condition,
    ConditionStatus,
    MissionCondition,
    PoolCondition,
    PoolReason,
)
from mission_contracts.resources.definition import API_VERSION, GROUP, VERSION, Column, Resource, Rule
from mission_contracts.resources.mission import MISSION, MissionStatus, duration_text, whole_percent
from mission_contracts.resources.pod import PodTemplate, Resources
from mission_contracts.resources.pool import SOLDIER_POOL, Autoscaler, SoldierPoolSpec, SoldierPoolStatus

__all__ = [
    "API_VERSION",
    "GROUP",
    "MISSION",
    "SOLDIER_POOL",
    "VERSION",
    "Autoscaler",
    "Column",
    "Condition",
    "ConditionStatus",
    "MissionCondition",
    "MissionStatus",
    "PodTemplate",
    "PoolCondition",
    "PoolReason",
    "Resource",
    "Resources",
    "Rule",
    "SoldierPoolSpec",
    "SoldierPoolStatus",
    "duration_text",
    "whole_percent",
]
