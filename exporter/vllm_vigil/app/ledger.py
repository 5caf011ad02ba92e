"""Changes of incidents -> one transaction with log positions, memory, and rows that tell people.

Promise: what lines taught is written with the positions of these lines or not at all, so that a line that is read again
after a kill does not count twice. As lines and findings meet in the same incidents, what a tick found waits for the
positions, too, while lines are ahead of them: for the step under way, which takes milliseconds. A page must not wait
for a disk that does not answer: at the second tick it goes without them. What Alertmanager tells waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from loguru import logger

from vllm_vigil.app.reported import report
from vllm_vigil.clock import Clock
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.record import Joiner
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.told import Told
from vllm_vigil.lines.reader import Reader
from vllm_vigil.model import Change, Incident, Transition
from vllm_vigil.notifications.outbox import Outbox
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry

RECENT_SECONDS = 86_400.0  # what was told longer ago decides nothing any more


@dataclass(frozen=True, slots=True)
class Parts:
    """The rooms of the alert half, each of which does one step."""

    reader: Reader
    joiner: Joiner
    detector: Detector
    incidents: Incidents
    told: Told
    outbox: Outbox
    store: Store


class Ledger:
    """Keeps what is not written yet, and writes it. `opens` is called before an incident is written first.

    `changed` is called when there is news for people. Used from the loop's thread only.
    """

    def __init__(
        self,
        parts: Parts,
        clock: Clock,
        telemetry: Telemetry,
        changed: Callable[[], None],
        opens: Callable[[Incident], None],
    ) -> None:
        self._parts = parts
        self._clock = clock
        self._telemetry = telemetry
        self._changed = changed
        self._opens = opens
        self._changes: list[Change] = []
        self._set_by = 0.0  # seconds by which the wall clock was set, and the rows of the outbox are to move
        self._waited = False  # a tick found that lines were ahead

        self.ahead = False
        """Whether lines were judged whose positions are not written."""

    @property
    def urgent(self) -> bool:
        """Whether the next step is to write at once, and not only once a second."""
        return self._waited or bool(self._set_by) or _any_news(self._changes)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not (self._changes or self._set_by or self.ahead)

    def learn(self, changes: Iterable[Change]) -> None:
        """Take in what a line came to."""
        self.ahead = True
        self._changes += changes

    def move(self, seconds: float) -> None:
        """The wall clock was set by so much: all that is remembered moves along, so that no span changes for it.

        Quiet times, windows, backoffs and reminders count from moments of the wall clock, because those outlive the
        process. A step of the clock (NTP that corrects it by hours, a machine that was suspended) is no time in which
        anything was quiet. One while the process is down is not seen: then what lies ahead counts as of now, and a
        downtime is as long as the wall clock says.
        """
        logger.warning("the wall clock was set by {:+.0f} s: what is remembered moves along", seconds)
        self._set_by += seconds
        self._changes += self._parts.incidents.move(seconds)
        self._parts.told.move(seconds)

    # --- writing

    def step(self, positions: Mapping[str, str]) -> None:
        """Write everything, with the positions up to the first line that is not dealt with."""
        self._write(self._take(), positions)
        self.ahead = False

    def tick(self, changes: Iterable[Change], told: Sequence[Change], wishes: Collection[str]) -> bool:
        """Write what findings and time came to, and grant the wishes; False if that waits for the next step.

        What is `told` of Alertmanager's incidents is written in any case.
        """
        self._changes += changes
        if self.ahead and not self._waited:
            self._waited = bool(self._changes or self._set_by or wishes)
            if told:
                self.tell(told)
        elif self._changes or self._set_by or told or wishes:
            self._write([*self._take(), *told], wishes=wishes)
        return not self._waited

    def tell(self, told: Sequence[Change]) -> None:
        """Write what Alertmanager told, or that it tells no more."""
        self._write(told)

    def _take(self) -> list[Change]:
        changes, self._changes, self._waited = self._changes, [], False
        return changes

    def _write(
        self, changes: Sequence[Change], positions: Mapping[str, str] | None = None, wishes: Iterable[str] = ()
    ) -> None:
        """One transaction, all or nothing: where the logs were left, what is wrong, who is to hear of it."""
        parts = self._parts
        for change in changes:
            if change.transition is Transition.OPENED:
                self._opens(change.incident)
        with parts.store.transaction():
            self._move_rows()
            self._remember(positions)
            for incident in {change.incident.key: change.incident for change in changes}.values():
                parts.store.save_incident(incident)
            for change in changes:
                parts.outbox.queue(change)
            for key in wishes:
                parts.store.granted(key)
        self._set_by = 0.0
        for change in changes:
            report(change, self._telemetry)
        if changes:
            self._telemetry.incidents_open([*parts.incidents.open(), *parts.told.open()])
        if _any_news(changes):
            self._changed()

    def _move_rows(self) -> None:
        if self._set_by:
            since = self._clock.wall() - self._set_by - RECENT_SECONDS
            self._parts.store.rows.move(self._set_by, since)

    def _remember(self, positions: Mapping[str, str] | None) -> None:
        """Write where the logs were left with what their lines taught; what else is known at any time."""
        store, parts = self._parts.store, self._parts
        for name, body in (positions or {}).items():
            store.save_position(name, body)
        if positions is not None:
            store.remember("records", parts.joiner.remember())
        if positions is not None or not self.ahead:
            store.remember("incidents", parts.incidents.remember())
        store.remember("alertmanager", parts.told.remember())


def _any_news(changes: Iterable[Change]) -> bool:
    return any(change.transition is not Transition.UPDATED for change in changes)
