"""The outbox: one row for each incident, reason and channel, and what became of it. Part of the one state file.

Rows that wait are sent in the order of their ids, and of one incident only the oldest. What a storm brings is counted
in `tally` and not kept row by row, so that the outbox is bounded by the number of rules and servers. Nothing here
opens a transaction: who writes does, together with what belongs to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vllm_vigil.model import Incident, IncidentState, Labels, Notification, Omission, Outcome, Reason, Severity
from vllm_vigil.state.disk import Disk
from vllm_vigil.state.documents import incident_from_json, incident_to_json

COLUMNS = "id, channel, reason, body, queued, attempts, facts, note"
HEADS = """
FROM outbox AS head WHERE ended IS NULL AND channel = :channel AND NOT EXISTS (
    SELECT 1 FROM outbox AS earlier WHERE earlier.incident = head.incident AND earlier.channel = head.channel
    AND earlier.id < head.id AND earlier.ended IS NULL)
"""  # the oldest waiting row of each incident: the only ones that may be sent
NEWS = ("first", "more", "repeat", "failover", "lost")
"""The reasons that count as a message to people; an end and a digest do not."""


@dataclass(frozen=True, slots=True)
class Word:
    """One row of the outbox, as far as it matters for what to say next.

    `at` is when it ended, or when it was queued while it `waits`; `outcome` is that of its last attempt, or why it
    was not sent.
    """

    channel: str
    reason: Reason
    at: float
    outcome: Outcome | Omission | None
    waits: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """Incidents of one rule, server and severity that a channel is to hear of in a digest."""

    rule: str
    server: str
    severity: Severity
    count: int
    first: float
    last: float


class Rows:
    """Reading and writing of the outbox."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    # --- writing

    def queue(self, notification: Notification, now: float, omitted: Omission | None = None) -> int:
        """Add a row that is due at once, or that is over at once because it is not to be sent; give its id."""
        incident = notification.incident
        cursor = self._disk.execute(
            "INSERT INTO outbox (channel, incident, reason, body, queued, next_at, facts, note, severity, server, "
            "outcome, ended) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                notification.channel,
                incident.key,
                notification.reason,
                incident_to_json(incident),
                now,
                now,
                json.dumps(notification.facts),
                notification.note,
                incident.severity,
                incident.server,
                omitted,
                None if omitted is None else now,
            ),
        )
        return int(cursor.lastrowid or 0)

    def postpone(self, id_: int, next_at: float, outcome: Outcome, detail: str) -> None:
        """Write down an attempt that is to be made again; once one may have arrived, that stays written."""
        self._disk.execute(
            "UPDATE outbox SET attempts = attempts + 1, next_at = ?, detail = ?, "
            "outcome = CASE outcome WHEN 'unknown' THEN outcome ELSE ? END WHERE id = ?",
            (next_at, detail, outcome, id_),
        )

    def end(self, id_: int, now: float, outcome: Outcome, detail: str) -> None:
        """Write down the attempt that ended the row."""
        self._disk.execute(
            "UPDATE outbox SET attempts = attempts + 1, ended = ?, outcome = ?, detail = ? WHERE id = ?",
            (now, outcome, detail, id_),
        )

    def supersede(self, key: str, channel: str, now: float) -> None:
        """End what waits for a channel about an incident, because its end is about to be queued.

        A row that may have arrived keeps that outcome: then the end is a plain "resolved".
        """
        self._disk.execute(
            "UPDATE outbox SET ended = ?, outcome = CASE outcome WHEN 'unknown' THEN outcome ELSE ? END "
            "WHERE incident = ? AND channel = ? AND ended IS NULL",
            (now, Omission.SUPERSEDED, key, channel),
        )

    def hurry(self, channel: str, now: float) -> None:
        """Make all that waits for a channel due now: it delivers again, and the oldest goes first."""
        self._disk.execute(
            "UPDATE outbox SET next_at = ? WHERE channel = ? AND ended IS NULL AND next_at > ?", (now, channel, now)
        )

    def retry(self, ids: Sequence[int], now: float) -> int:
        """Make rows due now; those that were refused or dropped wait again. Give how many there were."""
        return sum(
            self._disk.execute(
                "UPDATE outbox SET next_at = ?, ended = NULL, outcome = NULL WHERE id = ? "
                "AND (ended IS NULL OR outcome IN (?, ?))",
                (now, id_, Outcome.PERMANENT, Omission.DROPPED),
            ).rowcount
            for id_ in ids
        )

    def drop(self, ids: Sequence[int], now: float) -> int:
        """End rows that wait, undelivered. Give how many there were."""
        return sum(
            self._disk.execute(
                "UPDATE outbox SET ended = ?, outcome = ? WHERE id = ? AND ended IS NULL", (now, Omission.DROPPED, id_)
            ).rowcount
            for id_ in ids
        )

    def move(self, seconds: float, since: float) -> None:
        """The clock was set by so much: what waits, and what was queued or ended since a moment, moves along."""
        self._disk.execute(
            "UPDATE outbox SET next_at = next_at + :by, queued = queued + :by, ended = ended + :by "
            "WHERE ended IS NULL OR ended > :since",
            {"by": seconds, "since": since},
        )
        self._disk.execute("UPDATE tally SET first = first + :by, last = last + :by", {"by": seconds})

    def forget(self, before: float) -> None:
        """Drop the rows that ended before a moment."""
        self._disk.execute("DELETE FROM outbox WHERE ended < ?", (before,))

    # --- reading

    def waiting(self, channel: str | None = None) -> list[tuple[Notification, float]]:
        """Rows not ended, oldest first, each with the time when its next attempt is due."""
        rows = self._disk.execute(
            f"SELECT {COLUMNS}, next_at FROM outbox WHERE ended IS NULL AND (? IS NULL OR channel = ?) ORDER BY id",  # noqa: S608  # a constant of ours
            (channel, channel),
        )
        return [(_notification(row[:-1]), row[-1]) for row in rows]

    def words(self, key: str) -> list[Word]:
        """Every row ever queued for an incident, with how it fared; oldest first."""
        rows = self._disk.execute(
            "SELECT channel, reason, COALESCE(ended, queued), outcome, ended IS NULL FROM outbox "
            "WHERE incident = ? ORDER BY id",
            (key,),
        )
        return [_word(row) for row in rows]

    def open_words(self) -> dict[str, list[Word]]:
        """The same for every open incident that somebody was to be told of, by key, in one statement."""
        rows = self._disk.execute(
            "SELECT outbox.channel, outbox.reason, COALESCE(outbox.ended, outbox.queued), outbox.outcome, "
            "outbox.ended IS NULL, outbox.incident FROM incident JOIN outbox ON outbox.incident = incident.key "
            "WHERE incident.state = ? ORDER BY outbox.id",
            (IncidentState.OPEN,),
        )
        found: dict[str, list[Word]] = {}
        for *row, key in rows:
            found.setdefault(key, []).append(_word(row))
        return found

    def heard(self, key: str, channel: str) -> bool:
        """Whether a message on the incident has, or may have, reached the channel."""
        row = self._disk.execute(
            "SELECT 1 FROM outbox WHERE incident = ? AND channel = ? AND outcome IN (?, ?) LIMIT 1",
            (key, channel, Outcome.DELIVERED, Outcome.UNKNOWN),
        ).fetchone()
        return row is not None

    def due(self, channel: str, now: float, horizon_seconds: float) -> Notification | None:
        """The oldest row of a channel that may be sent now: it is due, and no earlier row of its incident waits.

        A row that is due later than any backoff could put it (`horizon_seconds`) is due: the wall clock was set back.
        """
        row = self._disk.execute(
            f"SELECT {COLUMNS} {HEADS} AND (next_at <= :now OR next_at > :now + :horizon) ORDER BY id LIMIT 1",
            {"channel": channel, "now": now, "horizon": horizon_seconds},
        ).fetchone()
        return None if row is None else _notification(row)

    def oldest(self, channel: str) -> Notification | None:
        """The oldest row that waits for a channel, due or not: the one by which it is tried again."""
        row = self._disk.execute(f"SELECT {COLUMNS} {HEADS} ORDER BY id LIMIT 1", {"channel": channel}).fetchone()
        return None if row is None else _notification(row)

    def next_due(self, channel: str) -> float | None:
        """When the next row of a channel may be sent, None if none waits."""
        row = self._disk.execute(f"SELECT MIN(next_at) {HEADS}", {"channel": channel}).fetchone()
        return None if row[0] is None else float(row[0])

    def backlog(self, channel: str) -> tuple[int, float | None]:
        """How many rows of a channel wait, and when the oldest of them was queued."""
        row = self._disk.execute(
            "SELECT COUNT(*), MIN(queued) FROM outbox WHERE ended IS NULL AND channel = ?", (channel,)
        ).fetchone()
        return int(row[0]), row[1]

    def last_delivered(self, channel: str) -> float | None:
        """When a channel last took a row (epoch seconds), None if none of those that are kept."""
        row = self._disk.execute(
            "SELECT MAX(ended) FROM outbox WHERE channel = ? AND outcome = ?", (channel, Outcome.DELIVERED)
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def news_since(self, channel: str, since: float, critical_of: str | None = None) -> int:
        """How many messages were queued for a channel: the critical ones of a server, or else all that are not."""
        row = self._disk.execute(
            f"SELECT COUNT(*) FROM outbox WHERE channel = ? AND queued > ? AND reason IN {NEWS} "  # noqa: S608  # a constant of ours
            "AND outcome IS NOT ? AND CASE WHEN ? IS NULL THEN severity != ? ELSE severity = ? AND server = ? END",
            (channel, since, Omission.SILENCED, critical_of, Severity.CRITICAL, Severity.CRITICAL, critical_of),
        ).fetchone()
        return int(row[0])

    # --- digests

    def tally(self, channel: str, incident: Incident, at: float) -> None:
        """Count an incident for the next digest of a channel."""
        self._disk.execute(
            "INSERT INTO tally VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET "
            "count = count + 1, first = MIN(first, excluded.first), last = MAX(last, excluded.last)",
            (channel, incident.rule, incident.server, incident.severity, at, at),
        )

    def tallies(self, channel: str) -> list[Tally]:
        """What the next digest of a channel holds: critical first, then by number."""
        rows = self._disk.execute(
            "SELECT rule, server, severity, count, first, last FROM tally WHERE channel = ? "
            "ORDER BY severity != 'critical', count DESC, rule, server",
            (channel,),
        )
        return [
            Tally(rule, server, Severity(severity), count, first, last)
            for rule, server, severity, count, first, last in rows
        ]

    def clear_tallies(self, channel: str) -> None:
        """A digest was queued: count from 0."""
        self._disk.execute("DELETE FROM tally WHERE channel = ?", (channel,))

    def digest_waits(self, channel: str) -> bool:
        """Whether the last digest of a channel has not gone out yet."""
        row = self._disk.execute(
            "SELECT 1 FROM outbox WHERE channel = ? AND ended IS NULL AND reason = ? LIMIT 1", (channel, Reason.DIGEST)
        ).fetchone()
        return row is not None

    def stale(self, channel: str, before: float) -> list[Notification]:
        """Rows that wait since before a moment, are not critical, and of whose incident the channel heard nothing."""
        rows = self._disk.execute(
            f"SELECT {COLUMNS} FROM outbox AS late WHERE ended IS NULL AND channel = ? AND queued < ? "  # noqa: S608  # a constant of ours
            "AND severity != ? AND reason NOT IN (?, ?) AND NOT EXISTS (SELECT 1 FROM outbox AS told "
            "WHERE told.incident = late.incident AND told.channel = late.channel AND told.outcome IN (?, ?))",
            (channel, before, Severity.CRITICAL, Reason.DIGEST, Reason.TEST, Outcome.DELIVERED, Outcome.UNKNOWN),
        )
        return [_notification(row) for row in rows]

    def fold(self, row: Notification, now: float) -> None:
        """Count a row for the next digest in place of sending it."""
        self._disk.execute(
            "UPDATE outbox SET ended = ?, outcome = ? WHERE id = ? AND ended IS NULL",
            (now, Omission.DIGESTED, row.id),
        )
        self.tally(row.channel, row.incident, row.queued)


def _word(row: Sequence[Any]) -> Word:
    channel, reason, at, outcome, waits = row
    known = None if outcome is None else Outcome(outcome) if outcome in set(Outcome) else Omission(outcome)
    return Word(channel, Reason(reason), at, known, bool(waits))


def _notification(row: Sequence[Any]) -> Notification:
    id_, channel, reason, body, queued, attempts, facts, note = row
    pairs: Labels = tuple((name, value) for name, value in json.loads(facts))
    return Notification(channel, Reason(reason), incident_from_json(body), id_, attempts, queued, pairs, note)
