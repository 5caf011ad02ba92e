"""Changes of incidents -> rows that say which channel is to hear what, written with the change itself.

Promise: a row stands in the file in the same transaction as the incident that it tells of, so that a process killed
at any moment after still tells it. Who was told is read from the rows, never remembered here: a restart changes
nothing. The order of the rows of one incident and channel is the order in which they are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vllm_vigil.clock import Clock
from vllm_vigil.model import Change, Incident, Notification, Outcome, Reason, Transition
from vllm_vigil.notifications.route import listeners
from vllm_vigil.notifications.settings import NotifySettings
from vllm_vigil.state.store import Store, Word


class Outbox:
    """Writes rows; `wake` is called with the channel of each, for its sender to look."""

    def __init__(self, store: Store, settings: NotifySettings, clock: Clock, wake: Callable[[str], None]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._wake = wake

    def queue(self, change: Change) -> None:
        """Write what the change makes people hear. To be called inside the transaction that writes the incident.

        Opened: the channels of its routes hear of it. Taken over by its cause: who was told hears more, and who is
        only now concerned (a warning became critical) hears of it first. More of the same: nobody. Resolved: who
        was told, and that after what still waits for them.
        """
        match change.transition:
            case Transition.OPENED:
                for channel in self._concerned(change.incident):
                    self._add(channel, Reason.FIRST, change.incident)
            case Transition.TAKEN_OVER:
                told = self._told(change.incident)
                for channel in [*told, *(name for name in self._concerned(change.incident) if name not in told)]:
                    self._add(channel, Reason.MORE if channel in told else Reason.FIRST, change.incident)
            case Transition.RESOLVED:
                for channel in self._told(change.incident):
                    self._add(channel, Reason.RESOLVED, change.incident)
            case Transition.UPDATED:
                pass

    def repeat(self, open_incidents: Iterable[Incident]) -> None:
        """Remind the channels whose last word on an incident is older than their route's `repeat`.

        Opens a transaction of its own when there is something to write. A channel that still has a word waiting is
        not reminded: while it is down, one page waits for it and not one for every half hour.
        """
        due = [(channel, incident) for incident in open_incidents for channel in self._to_remind(incident)]
        if due:
            with self._store.transaction():
                for channel, incident in due:
                    self._add(channel, Reason.REPEAT, incident)

    def _to_remind(self, incident: Incident) -> list[str]:
        last = {word.channel: word for word in self._store.words(incident.key)}
        now = self._clock.wall()
        return [
            listener.channel
            for listener in listeners(incident, self._settings)
            if (word := last.get(listener.channel)) and not word.waits and now - word.at >= listener.repeat_seconds
        ]

    def _concerned(self, incident: Incident) -> list[str]:
        return [listener.channel for listener in listeners(incident, self._settings)]

    def _told(self, incident: Incident) -> list[str]:
        """The channels that have heard, or are to hear, that it is open: the end is for them."""
        told: dict[str, Word] = {}
        for word in self._store.words(incident.key):
            if word.outcome is not Outcome.PERMANENT:
                told[word.channel] = word
        return [name for name, word in told.items() if word.reason is not Reason.RESOLVED]

    def _add(self, channel: str, reason: Reason, incident: Incident) -> None:
        self._store.queue(Notification(channel, reason, incident), self._clock.wall())
        self._wake(channel)
