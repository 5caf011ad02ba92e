"""What was counted for a channel -> one row that tells of all of it, when its time has come.

The digest rolls: while a storm goes on there is one every ten minutes, or a minute after something critical, and
never a second one while the first still waits. What has waited for an hour because the channel was away is counted
too, so that its return begins with one message and not with a hundred old ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from vllm_vigil.model import Incident, IncidentState, Notification, Reason, Severity
from vllm_vigil.state.rows import Tally
from vllm_vigil.state.store import Store

EVERY_SECONDS = 600.0
CRITICAL_SECONDS = 60.0
STALE_SECONDS = 3600.0
STALE_ROWS = 3
"""So many old messages are sent one by one."""
SHOWN = 12


def ripe_at(tallies: Sequence[Tally]) -> float | None:
    """When what was counted is to be told, None if nothing was (epoch seconds)."""
    return min(
        (each.first + (CRITICAL_SECONDS if each.severity is Severity.CRITICAL else EVERY_SECONDS) for each in tallies),
        default=None,
    )


def fold(store: Store, channel: str, now: float) -> None:
    """Count the messages that are too old to be sent one by one; the channel delivers again."""
    stale = store.rows.stale(channel, now - STALE_SECONDS)
    if len(stale) > STALE_ROWS:
        with store.transaction():
            for row in stale:
                store.rows.fold(row, now)


def write(store: Store, channel: str, now: float) -> None:
    """Queue the digest of a channel if it is time, and begin to count anew."""
    tallies = store.rows.tallies(channel)
    ripe = ripe_at(tallies)
    if ripe is None or now < ripe <= now + EVERY_SECONDS or store.rows.digest_waits(channel):  # later: a clock set back
        return
    with store.transaction():
        store.rows.queue(Notification(channel, Reason.DIGEST, summary(channel, tallies), facts=lines(tallies)), now)
        store.rows.clear_tallies(channel)


def summary(channel: str, tallies: Sequence[Tally]) -> Incident:
    """All of them as if they were one incident; one key for the digests of a channel, so that a pager shows one."""
    servers = {each.server for each in tallies}
    order = list(Severity)
    worst = min((each.severity for each in tallies), key=order.index)
    return Incident(
        key=f"vigil-digest:{channel}",
        rule="digest",
        server=servers.pop() if len(servers) == 1 else "",
        severity=worst,
        state=IncidentState.OPEN,
        title="Many incidents",
        opened=min(each.first for each in tallies),
        updated=max(each.last for each in tallies),
        count=sum(each.count for each in tallies),
    )


def lines(tallies: Sequence[Tally]) -> tuple[tuple[str, str], ...]:
    """What and how many, the worst first; a bounded number of them."""
    shown = [(f"{each.severity} {each.rule} {each.server}".rstrip(), str(each.count)) for each in tallies[:SHOWN]]
    rest = sum(each.count for each in tallies[SHOWN:])
    return (*shown, *([("others", str(rest))] if rest else []))
