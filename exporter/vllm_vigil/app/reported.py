"""A change of an incident -> our own log and counters. What is over is no warning."""

from __future__ import annotations

from loguru import logger

from vllm_vigil.model import Change, Transition
from vllm_vigil.telemetry import Telemetry


def report(change: Change, telemetry: Telemetry) -> None:
    """Say it, unless it is more of the same."""
    incident, transition = change.incident, change.transition
    if transition is Transition.OPENED:
        telemetry.incident_opened(incident.rule)
    if transition is not Transition.UPDATED:
        logger.log(
            "INFO" if transition is Transition.RESOLVED else "WARNING",
            "incident {} {}: {} ({}, {})",
            incident.key,
            transition.replace("_", " "),
            incident.title,
            incident.rule,
            incident.server or "this host",
        )
