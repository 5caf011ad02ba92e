"""The last records of each process are kept, cut and bounded, and leave memory masked."""

from __future__ import annotations

from vllm_vigil.model import Record
from vllm_vigil.recorder.tail import CHARACTERS, PROCESSES, RECORDS, Tail, masked


def record(
    message: str, level: str = "ERROR", process: str = "EngineCore", server: str = "llama", trace: str = ""
) -> Record:
    """One of vLLM's."""
    return Record("vllm.log", level, message, server=server, process=process, traceback=trace, at=5.0)


def test_the_last_of_each_process_are_kept_and_the_rest_is_not() -> None:
    """INFO says nothing about the end, and may hold a prompt."""
    tail = Tail()
    for number in range(RECORDS + 5):
        tail.hear(record(f"message {number}"))
    tail.hear(record("Received request cmpl-1: prompt: 'mine'", level="INFO"))
    tail.hear(record("other", server="b"))
    kept = tail.copy("llama")
    assert list(kept) == ["llama EngineCore"]
    assert [text.split()[2] for _, text in kept["llama EngineCore"]] == [str(n) for n in range(5, RECORDS + 5)]
    assert list(tail.copy("")) == ["llama EngineCore", "b EngineCore"]


def test_a_traceback_is_its_last_line() -> None:
    """That is where an exception says what it is."""
    tail = Tail()
    tail.hear(record("failed", trace='  File "x.py", line 1\nValueError: no memory\n'))
    assert tail.copy("")["llama EngineCore"] == [(5.0, "ERROR failed ValueError: no memory")]


def test_memory_is_bounded_whatever_comes() -> None:
    """Processes without end, and messages without end."""
    tail = Tail()
    for number in range(PROCESSES + 9):
        tail.hear(record("x" * 10_000, process=f"Worker_{number}", trace="y" * 10_000))
    kept = tail.copy("")
    assert len(kept) == PROCESSES
    assert max(len(text) for texts in kept.values() for _, text in texts) <= 2 * CHARACTERS + 10


def test_nothing_leaves_unmasked() -> None:
    """Secrets, prompts, escapes; also in the name of a process."""
    tail = Tail()
    tail.hear(record("prompt: 'a secret wish', api_key=sk-abcdefghijklmnop\x1b[2J", process="x\x1b[31m"))
    text = repr(masked(tail.copy("")))
    for canary in ("wish", "abcdefghijklmnop", "\\x1b"):
        assert canary not in text
