"""Changes of incidents -> rows that say which channel is to hear what, written with the change itself.

Promise: a row stands in the file in the same transaction as the incident that it tells of, so that a process killed
at any moment after still tells it. Who was told is read from the rows, never remembered here: a restart changes
nothing. The order of the rows of one incident and channel is the order in which they are sent.

Noise ends here: what is silenced is noted and not sent, and what comes beyond a channel's budget is counted for a
digest, so that a storm of any size leaves a bounded outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from vllm_vigil.clock import Clock
from vllm_vigil.model import (
    Change,
    Delivery,
    Incident,
    Labels,
    Notification,
    Omission,
    Outcome,
    Reason,
    Severity,
    Transition,
)
from vllm_vigil.notifications.quiet import silenced
from vllm_vigil.notifications.route import fallbacks, listeners
from vllm_vigil.notifications.settings import NotifySettings
from vllm_vigil.state.rows import Word
from vllm_vigil.state.store import Store
from vllm_vigil.units import format_duration

HOUR = 3600.0
CRITICAL_PER_SERVER = 5
"""Critical pages of one server that a channel gets one by one within the hour."""
UNHEARD = frozenset({Outcome.PERMANENT, Omission.SILENCED, Omission.DROPPED})
"""How a row ends that leaves its channel without a word on the incident."""


def no_facts(_incident: Incident) -> Labels:
    """Nothing is known beside the incident."""
    return ()


class Outbox:
    """Writes rows; `wake` is called with the channel of each, for its sender to look.

    `facts` gives the numbers that a message holds beside the incident's own, as they are now.
    """

    def __init__(
        self,
        store: Store,
        settings: NotifySettings,
        clock: Clock,
        wake: Callable[[str], None],
        facts: Callable[[Incident], Labels] = no_facts,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._wake = wake
        self._facts = facts

    def queue(self, change: Change) -> None:
        """Write what the change makes people hear. To be called inside the transaction that writes the incident.

        Opened: the channels of its routes hear of it. Taken over by its cause: who was told hears more, and who is
        only now concerned (a warning became critical) hears of it first. More of the same: nobody. Resolved: who
        was told, and what still waits for them is dropped: its end says it all.
        """
        incident = change.incident
        match change.transition:
            case Transition.OPENED:
                for channel in self._concerned(incident):
                    self._tell(channel, Reason.FIRST, incident)
            case Transition.TAKEN_OVER:
                told = self._told(incident)
                for channel in [*told, *(name for name in self._concerned(incident) if name not in told)]:
                    self._tell(channel, Reason.MORE if channel in told else Reason.FIRST, incident)
            case Transition.RESOLVED:
                for channel in self._told(incident):
                    self._store.rows.supersede(incident.key, channel, self._clock.wall())
                    self._add(Notification(channel, Reason.RESOLVED, incident))
            case Transition.UPDATED:
                pass

    def repeat(self, open_incidents: Collection[Incident]) -> None:
        """Tell what time has made due: a reminder, a page whose silence is over, one that nobody took.

        Opens a transaction of its own when there is something to write. A channel that still has a word waiting is
        not reminded: while it is down, one page waits for it and not one for every half hour.
        """
        if not open_incidents:
            return  # as on most ticks: the disk need not be asked
        known = self._store.rows.open_words()
        due = [
            row
            for incident in open_incidents
            if (words := known.get(incident.key))
            for row in self._due(incident, words)
        ]
        if due:
            with self._store.transaction():
                for row in due:
                    self._add(row)

    def report(self, lost: Delivery) -> None:
        """Tell another channel that one has refused a message for good, once an hour; never the one that did.

        To be called inside the transaction that writes the refusal.
        """
        row = lost.notification
        others = [name for name in self._settings.channels if name != row.channel]
        memory, now = f"lost {row.channel}", self._clock.wall()
        last = float(self._store.memory(memory) or "-inf")
        if row.reason is Reason.LOST or not others or last <= now < last + HOUR:
            return
        self._store.remember(memory, repr(now))
        note = f"{row.channel} refused the {row.reason} message: {lost.detail}"
        self._add(Notification(others[0], Reason.LOST, row.incident, facts=row.facts, note=note))

    def _due(self, incident: Incident, words: list[Word]) -> Iterable[Notification]:
        now = self._clock.wall()
        if silenced(incident, self._store.silences(now), self._settings.maintenance, now):
            return
        last = {word.channel: word for word in words}
        for listener in listeners(incident, self._settings):
            word = last.get(listener.channel)
            if word is None or word.waits or word.reason is Reason.RESOLVED:
                continue
            if word.outcome is Omission.SILENCED:
                yield Notification(listener.channel, Reason.FIRST, incident)
            elif now - word.at >= listener.repeat_seconds and not self._storms(listener.channel, incident):
                yield Notification(listener.channel, Reason.REPEAT, incident)
        yield from self._rescue(incident, last, now)

    def _rescue(self, incident: Incident, last: dict[str, Word], now: float) -> Iterable[Notification]:
        """The critical page that no channel has taken in time, for the next one."""
        untaken = not any(word.outcome is Outcome.DELIVERED or word.outcome in set(Omission) for word in last.values())
        patient = any(word.waits and now - word.at < self._settings.failover for word in last.values())
        if incident.severity is not Severity.CRITICAL or not untaken or patient:
            return
        left = [name for name in fallbacks(incident, self._settings) if name not in last]
        if left:
            waited = format_duration(round(now - min(word.at for word in last.values())))
            note = f"not delivered to {', '.join(sorted(last))} within {waited}"
            yield Notification(left[0], Reason.FAILOVER, incident, note=note)

    def _tell(self, channel: str, reason: Reason, incident: Incident) -> None:
        """A page or news on it, unless it is silenced or one too many."""
        now = self._clock.wall()
        if silenced(incident, self._store.silences(now), self._settings.maintenance, now):
            self._store.rows.queue(Notification(channel, reason, incident), now, Omission.SILENCED)
        elif self._storms(channel, incident):
            self._store.rows.tally(channel, incident, now)
            self._wake(channel)
        else:
            self._add(Notification(channel, reason, incident))

    def _storms(self, channel: str, incident: Incident) -> bool:
        """Whether the channel has had its share within the hour. Critical pages are counted by server instead."""
        since = self._clock.wall() - HOUR
        if incident.severity is Severity.CRITICAL:
            return self._store.rows.news_since(channel, since, incident.server) >= CRITICAL_PER_SERVER
        return self._store.rows.news_since(channel, since) >= self._settings.channels[channel].budget

    def _concerned(self, incident: Incident) -> list[str]:
        return [listener.channel for listener in listeners(incident, self._settings)]

    def _told(self, incident: Incident) -> list[str]:
        """The channels that have heard, or are to hear, that it is open: the end is for them."""
        told: dict[str, Word] = {}
        for word in self._store.rows.words(incident.key):
            if word.outcome not in UNHEARD:
                told[word.channel] = word
        known = self._settings.channels  # one that is no longer configured cannot be told
        return [name for name, word in told.items() if word.reason is not Reason.RESOLVED and name in known]

    def _add(self, row: Notification) -> None:
        facts = row.facts or self._facts(row.incident)
        written = Notification(row.channel, row.reason, row.incident, facts=facts, note=row.note)
        self._store.rows.queue(written, self._clock.wall())
        self._wake(row.channel)
