"""A wall clock that was set -> all that is remembered moves along, so that no span is longer or shorter for it.

Quiet times, windows, backoffs and reminders count from moments of the wall clock, because those outlive the process.
A step of the clock (NTP that corrects it by hours, a machine that was suspended) is no time in which anything was
quiet, and is seen by the monotonic clock, which does not take part in it. One while the process is down is not seen:
then what lies ahead counts as of now, and a downtime is as long as the wall clock says.
"""

from __future__ import annotations

from loguru import logger

from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.told import Told
from vllm_vigil.model import Change
from vllm_vigil.state.store import Store

RECENT_SECONDS = 86_400.0  # what was told longer ago decides nothing any more


def moved(seconds: float, now: float, incidents: Incidents, told: Told, store: Store) -> list[Change]:
    """Move everything by that much; `now` is the time as it is set. Gives the open incidents, as they are now."""
    logger.warning("the wall clock was set by {:+.0f} s: what is remembered moves along", seconds)
    changes = incidents.move(seconds)
    told.move(seconds)
    with store.transaction():
        store.rows.move(seconds, now - seconds - RECENT_SECONDS)
        for change in changes:
            store.save_incident(change.incident)
    return changes
