"""The whole alert half over a log that lives a random life: from the reader through store and outbox to the senders.

Lines name troubles, each by an id of its own: alone, at the end of a traceback, or as one of the three lines that make
a lot. What a person would name who reads all lines is therefore known, whatever happens to file, process and channel.
A kill throws away all that is in memory and what was not committed: see `standins/log_life.py` for what may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from standins.log_life import CORRUPT, LogLife
from vllm_vigil.app.alert_half import AlertHalf, Parts
from vllm_vigil.clock import CrankedClock, settle
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.pattern import PatternSettings
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.events.record import Joiner
from vllm_vigil.events.sieve import Gate, sieves
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import RULES, Rule
from vllm_vigil.incidents.told import Told
from vllm_vigil.lines.mark import Place
from vllm_vigil.lines.news import LOOK, News
from vllm_vigil.lines.reader import Batch, Reader
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.model import Incident, Line, Notification, Omission, Outcome, Reason, Severity, Stretch
from vllm_vigil.notifications.channel import Attempt
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
    *PATTERNS,
)
OURS = {name: Rule(name, name, "", Severity.WARNING, quiet=QUIET_SECONDS, up=0, group="request_id") for name in NAMED}
LOTS = Rule("lot", "lot", "", Severity.WARNING, LOT, 86_400.0, QUIET_SECONDS, up=0, group="request_id")
TABLE: Mapping[str, Rule] = {**RULES, **OURS, "lot": LOTS}
DETECTOR, GATE, SIEVES = Detector(ROWS), Gate(ROWS), sieves(ROWS)
ADDRESS = Secret("json://127.0.0.1")
NOTIFY = NotifySettings({"log": ChannelSettings(ADDRESS, budget=100_000), "pager": ChannelSettings(ADDRESS, budget=3)})
NOBODY_KNOWS = Judgement((), (), {})
POINTS = ("read", "judged", "asked", "half stored", "stored", "committed", "sending", "sent")
ENDS = frozenset({Reason.RESOLVED, Reason.PASSED})


class Killed(BaseException):
    """The process is gone. No `except Exception` may see it."""


@dataclass
class Fuse:
    """Where the process is to be killed next, "" nowhere."""

    point: str = ""

    def reach(self, point: str) -> None:
        """Die here, if this is the place."""
        if point == self.point:
            self.point = ""
            raise Killed(point)


class FusedStore(Store):
    """A store whose process can die around a commit."""

    fuse: Fuse
    kept: Callable[[], None]
    saving = False

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written by one that dies inside is not there afterwards."""
        with super().transaction():
            self.saving = False
            yield
            self.fuse.reach("stored")
        if self.saving:
            self.kept()
        self.fuse.reach("committed")

    def save_position(self, name: str, body: str) -> None:
        """Remember that a position is among what is committed."""
        super().save_position(name, body)
        self.saving = True
        self.fuse.reach("half stored")

    def save_incident(self, incident: Incident) -> None:
        """Die with the incident written, and nobody told."""
        super().save_incident(incident)
        self.fuse.reach("half stored")


class FusedReader(Reader):
    """A reader that tells the model what it read, and whose process can die around it."""

    fuse: Fuse
    life: LogLife
    limit_bytes = 1 << 20
    order: list[bytes]
    dealt: int | None = None

    def read(self, max_bytes: int, news: News = LOOK) -> Batch:
        """Of fewer bytes, if so wished."""
        self.life.sees()
        batch = super().read(min(max_bytes, self.limit_bytes), news)
        lines = [each for line in batch.lines for each in _lines(line)]
        self.order += lines
        self.life.saw(lines)
        self.fuse.reach("read")
        return batch

    def positions(self, held: Iterable[Place] = ()) -> dict[str, str]:
        """Where the lines that were handed out have been judged; the model takes all after a held one for held."""
        self.fuse.reach("judged")
        places = list(held)
        self.dealt = min([self.order.index(each.data) for each in places if isinstance(each, Line)], default=None)
        bodies = super().positions(places)
        if not bodies:
            self.kept()
        self.fuse.reach("asked")
        return bodies

    def kept(self) -> None:
        """What `positions` gave last is stored."""
        self.life.kept(() if self.dealt is None else self.order[self.dealt :])


def _lines(line: Line | Stretch) -> list[bytes]:
    return [line.data] if isinstance(line, Line) else line.block[line.start : line.end].split(b"\n")[:-1]


@dataclass
class Provider:
    """Where one channel's messages arrive; `answer` is what it says to the next."""

    name: str
    fuse: Fuse
    arrived: list[tuple[Reason, str]] = field(default_factory=list)
    told: list[tuple[Reason, str]] = field(default_factory=list)  # whose arrival our process may not have noted yet
    noted: Counter[tuple[Reason, str]] = field(default_factory=Counter)
    answer: Outcome = Outcome.DELIVERED

    def send(self, message: Message, key: str) -> Attempt:
        """Take it, or not."""
        self.fuse.reach("sending")
        if self.answer is not Outcome.RETRY:
            self.arrived.append((Reason(message.title), key))
        self.fuse.reach("sent")
        if self.answer is Outcome.DELIVERED:
            self.told.append((Reason(message.title), key))
        return Attempt(self.answer)

    def note(self, *, alive: bool) -> None:
        """Our process has written down what it was answered; or it died before it did."""
        self.noted.update(self.told if alive else ())
        self.told = []


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
        self.recounted = False  # an incident was committed before its lines, which count again, or open it again
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
            1: ("INFO 11-26 12:00:00 [core.py:7] Nothing happens", None),
            2: (f"ERROR 11-26 12:00:00 [trace.py:{turn}] Step {turn} failed", None),
            3: (f"ERROR 11-26 12:00:00 [trace.py:{turn}] Traceback (most recent call last):", None),
            4: (f"ERROR 11-26 12:00:00 [trace.py:{turn}] MarkError: {rule} {number}", (rule, number)),
        }.get(place, (f"ERROR 11-26 12:00:00 [lot.py:{place}] lot {turn:06d}", ("lot", f"{turn:06d}")))
        who = "APIServer pid=3" if place > LOT_BEGINS else "EngineCore pid=7"  # one holds a record, the other goes on
        line = f"({who}) {says} {number}-".ljust(LENGTH - 1, "x") + ("\r" if place in (2, 3) else "x")
        if name:
            self.names[line.encode()] = name
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
        if action in "tq":
            process.half.weigh((), NOBODY_KNOWS)
        elif action == "G":
            await process.half.close()
        elif action == "w":
            await self.weigh_within(process)
        else:
            while await process.half.step() and action == "A":
                pass
        await process.rest()
        if action == "G":
            await self.die()

    async def weigh_within(self, process: Process) -> None:
        """A tick comes while a step waits for the disk to say where the logs were left."""
        self.clock.lapse(LONG_SECONDS)
        step = asyncio.ensure_future(process.half.step())
        while not step.done() and process.half._saving is None:
            await asyncio.sleep(0)
        try:
            process.half.weigh((), NOBODY_KNOWS)
            await step
        except Killed:
            self.recounted = True
            step.cancel()
            raise

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
        self.path.write_bytes(b"no database " * 400)
        self.life.tears()

    @property
    def path(self) -> Path:
        """The state file."""
        return self.state / "vigil.sqlite3"

    # --- the end

    async def come_to_its_end(self) -> None:
        """Nobody disturbs any more: all is read, told and resolved."""
        self.fuse.point = ""
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
        ours = [incident for incident in incidents if incident.rule != "error_burst"]  # tracebacks without their end
        found = Counter((incident.rule, dict(incident.labels)["request_id"]) for incident in ours)
        assert self.must() <= {*found} | self.excused, "an incident was lost"
        assert {*found} <= self.may(), "an incident that nobody would name"
        assert {name: count for name, count in found.items() if count > 1} == {}, "an incident twice"
        assert self.recounted or {incident.count for incident in ours} <= {1, LOT}, "a line counted twice"
        assert [] == store.open_incidents()
        assert [] == [row for row, _ in store.rows.waiting()]
        log, pager = self.providers
        for incident in incidents:
            self.verify_told(store, log, incident.key)
        self.verify_counted(store, pager.name, len(incidents))
        keys = {incident.key for incident in incidents} | self.excused_keys | {"vigil-digest:log", "vigil-digest:pager"}
        for provider in self.providers:
            assert {key for _, key in provider.arrived} <= keys, "a page on what is no incident"
            twice = (
                set()
                if self.recounted
                else {name for name, count in provider.noted.items() if count > 1 and name[0] is not Reason.DIGEST}
            )
            assert twice == set(), "told again although it was answered and noted"

    def verify_told(self, store: Store, provider: Provider, key: str) -> None:
        """The opening and the end arrived, in that order; or they were counted in a digest, as their time was over."""
        told = [reason for reason, of in provider.arrived if of == key]
        words = [word for word in store.rows.words(key) if word.channel == provider.name]
        if any(word.outcome is Omission.DIGESTED for word in words):
            return
        assert ENDS & {*told}, "an end that nobody heard"
        assert Reason.PASSED in told or told[0] is Reason.FIRST, "a beginning that nobody heard"

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
        parts = tuple(part for part in self.life.ever if NAMING <= len(part) < LENGTH)  # of what was cut off
        read = [line for line in self.names if line in self.life.ever or any(map(line.startswith, parts))]
        counts = Counter(self.names[line] for line in read)
        return {name for name, count in counts.items() if count >= (LOT if name[0] == "lot" else 1)}

    async def close(self) -> None:
        """Give everything back."""
        await self.die()
        self.life.close()


ANSWERS = {"Y": Outcome.DELIVERED, "N": Outcome.RETRY, "U": Outcome.UNKNOWN}
