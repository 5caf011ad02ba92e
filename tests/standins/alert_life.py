"""The whole alert half over a log that lives a random life: from the reader through store and outbox to the senders.

Lines name troubles, each by an id of its own: alone, at the end of a traceback, or as one of the three lines that make
a lot. What a person would name who reads all lines is therefore known, whatever happens to file, process and channel.
Some lines are one long trouble that is counted; the verdict finds the same one, and Alertmanager tells of others.
A kill throws away all that is in memory and what was not committed: see `standins/log_life.py` for what may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from standins.fused import POINTS, Fuse, FusedReader, FusedStore, Killed, Provider
from standins.log_life import CORRUPT, LogLife
from vllm_vigil.app.alert_half import AlertHalf
from vllm_vigil.app.ledger import Parts
from vllm_vigil.clock import CrankedClock, settle
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.pattern import PatternSettings
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.events.record import Joiner
from vllm_vigil.events.sieve import Gate, sieves
from vllm_vigil.incidents.alertmanager import Alert
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import RULES, Rule
from vllm_vigil.incidents.told import Told
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.model import Finding, Incident, Notification, Omission, Outcome, Reason, Severity
from vllm_vigil.notifications.message import Kind, Message
from vllm_vigil.notifications.outbox import Outbox
from vllm_vigil.notifications.sender import Sender
from vllm_vigil.notifications.settings import ChannelSettings, NotifySettings
from vllm_vigil.state.documents import incident_from_json
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Secret
from vllm_vigil.verdict.judge import Judgement

KINDS = 8
QUIET_SECONDS = 300.0
LONG_SECONDS = 400.0
JUMP_SECONDS = 7_000.0
LOT, LOT_BEGINS = 3, 4
LENGTH = 110
NAMING = 60
"""What is shorter of a line names nothing."""
NAMED = tuple(f"mark{kind}" for kind in range(KINDS))
ROWS = (
    *(PatternSettings(rf"^(?:MarkError: )?{name} (?P<request_id>\d+)", name).row(name) for name in (*NAMED, "lot")),
    PatternSettings(r"^sum \d+", "sum").row("sum"),
    *PATTERNS,
)
OURS = {name: Rule(name, name, "", Severity.WARNING, quiet=QUIET_SECONDS, up=0, group="request_id") for name in NAMED}
LOTS = Rule("lot", "lot", "", Severity.WARNING, LOT, 86_400.0, QUIET_SECONDS, up=0, group="request_id")
SUMS = Rule("sum", "sum", "", Severity.WARNING, 2, 864_000.0, QUIET_SECONDS, up=0)
TABLE: Mapping[str, Rule] = {**RULES, **OURS, "lot": LOTS, "sum": SUMS}
DETECTOR, GATE, SIEVES = Detector(ROWS), Gate(ROWS), sieves(ROWS)
ADDRESS = Secret("json://127.0.0.1")
NOTIFY = NotifySettings({"log": ChannelSettings(ADDRESS, budget=100_000), "pager": ChannelSettings(ADDRESS, budget=3)})
NOBODY_KNOWS = Judgement((), (), {})
ENDS = frozenset({Reason.RESOLVED, Reason.PASSED})


def compose(row: Notification, _now: float) -> Message:
    """What matters here."""
    return Message(row.reason, "", Kind.INFO)


class Process:
    """One life of the sidecar's alert half, from what is stored."""

    def __init__(self, directory: Path, life: LogLife, clock: CrankedClock, fuse: Fuse, to: list[Provider]) -> None:
        telemetry = Telemetry(clock)
        self.store = store = FusedStore.open(directory)
        assert isinstance(store, FusedStore)
        store.fuse, store.kept = fuse, self._kept
        logs = {"llama": (LogSettings(str(life.path)),)}
        self.reader = FusedReader(logs, self.store.positions(), telemetry, clock, sieve=SIEVES)
        self.reader.fuse, self.reader.life, self.reader.order = fuse, life, []
        life.wakes()
        self.joiner = Joiner(telemetry, clock, gate=GATE)
        self.joiner.restore(self.store.memory("records"))
        incidents = Incidents(TABLE)
        incidents.restore(self.store.memory("incidents"), self.store.open_incidents())
        told = Told(RULES["alertmanager"], {"llama"}, 3600.0, own=frozenset)
        self.senders = {
            each.name: Sender(each, self.store, clock, telemetry, compose, jitter=lambda: 1.0) for each in to
        }
        outbox = Outbox(self.store, NOTIFY, clock, lambda name: self.senders[name].wake())
        parts = Parts(self.reader, self.joiner, DETECTOR, incidents, told, outbox, self.store)
        self.half = AlertHalf(parts, clock, telemetry, hear=lambda *_: None)
        self.sending = [asyncio.ensure_future(sender.run()) for sender in self.senders.values()]

    def _kept(self) -> None:
        self.reader.life.torn = False
        self.reader.kept()

    async def rest(self) -> None:
        """Let the senders send until they wait. Raises `Killed` if one was."""
        await settle()
        while any(each._under_way and not each._under_way.done() for each in self.senders.values()):
            await asyncio.sleep(0.0001)
            await settle()
        for task in self.sending:
            if task.done():
                task.result()

    async def end(self) -> None:
        """Everything in memory is gone."""
        tasks = [*self.sending, *(each._under_way for each in self.senders.values() if each._under_way)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while any(each._worker.busy for each in self.senders.values()):  # what is under way may arrive
            await asyncio.sleep(0.0001)
        self.reader.close()
        self.store.close()


class AlertLife:
    """Interprets actions on log, process and channels; `verify` says at the end whether everything came right."""

    def __init__(self, directory: Path, state: Path) -> None:
        self.state = state
        self.clock = CrankedClock()
        self.fuse = Fuse()
        self.providers = [Provider(name, self.fuse) for name in NOTIFY.channels]
        self.count = 0
        self.names: dict[bytes, tuple[str, str]] = {}  # line -> the trouble that it names: rule, id
        self.excused: set[tuple[str, str]] = set()  # troubles that were forgotten with the state
        self.excused_keys: set[str] = set()
        self.destroyed = False
        self.sums: set[bytes] = set()  # the lines of the one long trouble
        self.onset: float | None = None  # since when the verdict finds it, too
        self.onsets = 0
        self.alerts: list[Alert] = []  # what Alertmanager told, all of it
        self.believed: set[str] = set()  # what it was answered to have been taken
        self.life = LogLife(directory / "vllm.log", self.line)
        self.process: Process | None = None

    # --- lines

    def line(self) -> bytes:
        """The next of a row of lines: a trouble alone, one below its traceback, a lot of three, and ordinary ones."""
        self.count += 1
        turn, place = divmod(self.count, 8)
        rule, number = NAMED[turn % KINDS], f"{self.count:06d}"
        says, name = {
            0: (f"ERROR 11-26 12:00:00 [core.py:9] {rule} {number}", (rule, number)),
            1: (f"INFO 11-26 12:00:00 [core.py:7] {'sum 1' if turn % 2 else 'Nothing'} happens", None),
            2: (f"ERROR 11-26 12:00:00 [trace.py:{turn}] Step {turn} failed", None),
            3: (f"ERROR 11-26 12:00:00 [trace.py:{turn}] Traceback (most recent call last):", None),
            4: (f"ERROR 11-26 12:00:00 [trace.py:{turn}] MarkError: {rule} {number}", (rule, number)),
        }.get(place, (f"ERROR 11-26 12:00:00 [lot.py:{place}] lot {turn:06d}", ("lot", f"{turn:06d}")))
        who = "APIServer pid=3" if place > LOT_BEGINS else "EngineCore pid=7"  # one holds a record, the other goes on
        line = f"({who}) {says} {number}-".ljust(LENGTH - 1, "x") + ("\r" if place in (2, 3) else "x")
        if name:
            self.names[line.encode()] = name
        elif "sum" in says:
            self.sums.add(line.encode())
        return line.encode()

    # --- the process

    async def run(self, actions: str) -> None:
        """Do all of it, then let everything come to its end."""
        steps: dict[str, Callable[[], None]] = {
            "W": self.life.write,
            "P": self.life.write_half,
            "R": self.life.rename,
            "O": self.life.reopen,
            "C": self.life.copytruncate,
            "T": self.life.truncate,
            "Z": self.life.rewrite,
            "D": self.life.delete,
            "S": self.life.swap,
            "X": self.life.lock,
            "J": partial(self.clock.set_by, JUMP_SECONDS),
            "j": partial(self.clock.set_by, -JUMP_SECONDS),
        }
        for action in f"Ac{actions}":
            if action in steps:
                steps[action]()
            elif action.isdigit():
                self.fuse.point = POINTS[int(action) % len(POINTS)]
            elif action in ANSWERS:
                for provider in self.providers:
                    provider.answer = ANSWERS[action]
            else:
                await self.act(action)
        await self.come_to_its_end()

    async def act(self, action: str) -> None:
        """Something that the process does, or that is done to it."""
        if action == "K":
            return await self.die()
        if action in "BQ":
            await self.die()
            return self.tear() if action == "B" else self.destroy()
        if self.process is None:
            self.process = Process(self.state, self.life, self.clock, self.fuse, self.providers)
        try:
            await self.live(self.process, action)
        except Killed:
            return await self.die()
        for provider in self.providers:
            provider.note(alive=True)
        return None

    async def live(self, process: Process, action: str) -> None:
        """What a process does that is not killed meanwhile."""
        process.reader.limit_bytes = 200 if action == "r" else 1 << 20
        if action in "cqt":
            self.clock.lapse(LONG_SECONDS if action == "q" else 1.0)
            await self.clock.crank(0.0)
        if action in TICKS and process.half._ledger.urgent:
            await process.half.step()  # for which an earlier tick has woken the loop
        if action in "tq":
            self.weigh(process)
        elif action in OUTSIDE:
            OUTSIDE[action](self, process)
        elif action == "G":
            await process.half.close()
        elif action in "wxy":
            await self.tell_within(process, {"x": AlertLife.find, "y": AlertLife.alert}.get(action, AlertLife.weigh))
        else:
            while await process.half.step() and action == "A":
                pass
        await process.rest()
        if action == "G":
            await self.die()

    async def tell_within(self, process: Process, tell: Callable[[AlertLife, Process], None]) -> None:
        """Something is told while a step waits for the disk to say where the logs were left."""
        self.clock.lapse(LONG_SECONDS)
        step = asyncio.ensure_future(process.half.step())
        while not step.done() and process.half._saving is None:
            await asyncio.sleep(0)
        try:
            tell(self, process)
            await step
        except Killed:
            step.cancel()
            raise

    # --- what comes from elsewhere than the log

    def weigh(self, process: Process) -> None:
        """A tick: the verdict says what it finds, and time passes."""
        holds, since = self.onset is not None, self.onset or 0.0
        process.half.weigh([Finding("sum", "llama", holds, since, "found")], NOBODY_KNOWS)

    def find(self, process: Process) -> None:
        """The verdict finds the one long trouble, or that it is over."""
        self.onset = self.clock.wall() if self.onset is None else None
        self.onsets += self.onset is not None
        self.weigh(process)

    def alert(self, process: Process) -> None:
        """Alertmanager tells of one more alert; once it is answered, that is kept."""
        name = f"alert{len(self.alerts)}"
        self.alerts.append(
            Alert(name, firing=True, started=self.clock.wall(), ended=None, labels={"alertname": name}, annotations={})
        )
        process.half.take(self.alerts[-1:])
        self.believed.add(name)

    def alert_ends(self, process: Process) -> None:
        """It tells that the last one is over."""
        process.half.take([replace(alert, firing=False, ended=self.clock.wall()) for alert in self.alerts[-1:]])

    def resolve(self, process: Process) -> None:
        """A person wants the oldest incident resolved; the next tick does it."""
        for incident in process.store.open_incidents()[:1]:
            process.store.wish(incident.key, self.clock.wall())

    async def die(self) -> None:
        """Nothing is left of the process but what it has committed."""
        if self.process is None:
            return
        process, self.process = self.process, None
        await process.end()
        self.life.dies()
        for provider in self.providers:
            provider.note(alive=False)

    def tear(self) -> None:
        """The positions cannot be read any more."""
        with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(self.path)) as file, file:
            file.execute("UPDATE position SET body = ?", (CORRUPT,))
        self.life.tears()

    def destroy(self) -> None:
        """The whole state cannot be read any more: what was known is forgotten, and said by nobody again."""
        with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(self.path)) as file:
            self.excused_keys |= {key for (key,) in file.execute("SELECT key FROM incident")}
        self.excused |= {*self.names.values()}
        self.destroyed, self.believed = True, set()
        self.path.write_bytes(b"no database " * 400)
        self.life.tears()

    @property
    def path(self) -> Path:
        """The state file."""
        return self.state / "vigil.sqlite3"

    # --- the end

    async def come_to_its_end(self) -> None:
        """Nobody disturbs any more: all is read, told and resolved."""
        self.fuse.point, self.onset = "", None
        for provider in self.providers:
            provider.answer = Outcome.DELIVERED
        if self.life.locked:
            self.life.lock()
        for action in "AcAcAcA":
            await self.act(action)
        for _ in range(12):
            await self.act("q")

    def verify(self) -> None:
        """Every trouble is one incident, which everybody heard of, once unless its process died or heard no answer."""
        assert self.process
        store = self.process.store
        incidents = store.recent_incidents(10_000)
        ours = [incident for incident in incidents if incident.rule in {*OURS, "lot"}]
        found = Counter((incident.rule, dict(incident.labels)["request_id"]) for incident in ours)
        assert self.must() <= {*found} | self.excused, "an incident was lost"
        assert {*found} <= self.may(), "an incident that nobody would name"
        assert {name: count for name, count in found.items() if count > 1} == {}, "an incident twice"
        assert {incident.count for incident in ours} <= {1, LOT}, "a line counted twice"
        self.verify_sum(sum(incident.count for incident in incidents if incident.rule == "sum"))
        self.verify_alerts([incident for incident in incidents if incident.rule == "alertmanager"])
        assert [] == store.open_incidents()
        assert [] == [row for row, _ in store.rows.waiting()]
        log, pager = self.providers
        for incident in incidents:
            self.verify_told(store, log, incident.key)
        self.verify_counted(store, pager.name, len(incidents))
        keys = {incident.key for incident in incidents} | self.excused_keys | {"vigil-digest:log", "vigil-digest:pager"}
        for provider in self.providers:
            assert {key for _, key in provider.arrived} <= keys, "a page on what is no incident"
            twice = {
                key for (reason, key), count in provider.noted.items() if count > 1 and reason is not Reason.DIGEST
            }
            assert twice <= self.excused_keys, "told again although it was answered and noted"

    def verify_told(self, store: Store, provider: Provider, key: str) -> None:
        """The opening and the end arrived, in that order; or they were counted in a digest, as their time was over."""
        told = [reason for reason, of in provider.arrived if of == key]
        words = [word for word in store.rows.words(key) if word.channel == provider.name]
        if any(word.outcome is Omission.DIGESTED for word in words):
            return
        assert ENDS & {*told}, "an end that nobody heard"
        assert Reason.PASSED in told or told[0] is Reason.FIRST, "a beginning that nobody heard"

    def verify_sum(self, total: int) -> None:
        """Each line of the long trouble counts once, and so does each time that the verdict found it.

        The last line may stand alone, and what stood alone before a finding opened the incident is not in its count.
        """
        written = {line for content in self.life.contents for line in content.lines} & self.sums
        assert total <= len(self.read_of(self.sums)) + self.onsets, "a line counted twice"
        assert self.destroyed or len(written - self.life.lost_ok) - 1 - self.onsets <= total, "a line not counted"

    def verify_alerts(self, incidents: Sequence[Incident]) -> None:
        """What Alertmanager was answered to have been taken is an incident, and none is another."""
        found = Counter(dict(incident.labels)["alertname"] for incident in incidents)
        assert self.believed <= {*found} <= {alert.identity for alert in self.alerts}
        assert {*found.values()} <= {1}, "an alert twice"

    def verify_counted(self, store: Store, channel: str, incidents: int) -> None:
        """What did not fit the budget stands in a digest."""
        rows = store._disk.execute("SELECT reason, body, outcome FROM outbox WHERE channel = ?", (channel,)).fetchall()
        told = sum(reason == Reason.FIRST and outcome != Omission.DIGESTED for reason, _, outcome in rows)
        counted = sum(incident_from_json(body).count for reason, body, _ in rows if reason == Reason.DIGEST)
        assert told + counted >= incidents, "an incident in no digest"

    def must(self) -> set[tuple[str, str]]:
        """The troubles of which every line that names them had to be read, when it was no old one."""
        written = [line for content in self.life.contents for line in content.lines if line in self.names]
        counts = Counter(self.names[line] for line in written if line not in self.life.lost_ok)
        return {name for name, count in counts.items() if count >= (LOT if name[0] == "lot" else 1)}

    def may(self) -> set[tuple[str, str]]:
        """The troubles that were written as a person would need them to name them."""
        counts = Counter(self.names[line] for line in self.read_of(self.names))
        return {name for name, count in counts.items() if count >= (LOT if name[0] == "lot" else 1)}

    def read_of(self, lines: Iterable[bytes]) -> list[bytes]:
        """Those of which was read what names them."""
        parts = tuple(part for part in self.life.ever if NAMING <= len(part) < LENGTH)  # of what was cut off
        return [line for line in lines if line in self.life.ever or any(map(line.startswith, parts))]

    async def close(self) -> None:
        """Give everything back."""
        await self.die()
        self.life.close()


OUTSIDE = {"f": AlertLife.find, "a": AlertLife.alert, "e": AlertLife.alert_ends, "d": AlertLife.resolve}
TICKS = "tqfwx"
ANSWERS = {"Y": Outcome.DELIVERED, "N": Outcome.RETRY, "U": Outcome.UNKNOWN}
