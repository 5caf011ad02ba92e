"""Log records as they come -> the last few of each process. They are cut when they come and masked when they leave.

Only what is trouble, or what has no level, is kept: an INFO record may hold a prompt, and says nothing about the end.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from vllm_vigil.model import Record
from vllm_vigil.redact import mask

RECORDS = 40
PROCESSES = 48
CHARACTERS = 600
SHOWN_CHARACTERS = 300
_QUIET = frozenset({"DEBUG", "INFO"})

Process = tuple[str, str]
"""Server, and vLLM's name of the process ("" where a record has none)."""


class Tail:
    """The last records of each process; of too many processes the one that was silent for longest goes."""

    def __init__(self) -> None:
        self._records: OrderedDict[Process, deque[tuple[float | None, str]]] = OrderedDict()

    def hear(self, record: Record) -> None:
        """One more record."""
        if record.level in _QUIET:
            return
        key = (record.server, record.process)
        kept = self._records.setdefault(key, deque(maxlen=RECORDS))
        last = record.traceback.rstrip().rpartition("\n")[2]
        text = f"{record.level} {record.message[:CHARACTERS]} {last[:CHARACTERS]}"
        kept.append((record.at, text))
        self._records.move_to_end(key)
        while len(self._records) > PROCESSES:
            self._records.popitem(last=False)

    def copy(self, server: str) -> dict[str, list[tuple[float | None, str]]]:
        """What there is of a server ("" for all), by the process; nothing is masked yet."""
        return {
            f"{of} {process}".strip(): list(kept)
            for (of, process), kept in self._records.items()
            if not server or of == server
        }


def masked(records: dict[str, list[tuple[float | None, str]]]) -> dict[str, list[tuple[float | None, str]]]:
    """The same, as it may leave memory. It takes its time: 0.1 ms a record."""
    return {
        mask(process, 60): [(at, mask(text, SHOWN_CHARACTERS)) for at, text in kept]
        for process, kept in records.items()
    }
