"""A million distinct messages cost no memory: the real joiner, detector and windows, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

RUN = """
import random, resource, sys
from vllm_vigil.clock import CrankedClock
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.events.record import Joiner
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import RULES
from vllm_vigil.model import Event, Line, Record

class Uncounted:
    def lines_read(self, file, level, count=1): pass

rng = random.Random(3)
incidents, detector = Incidents(RULES), Detector(PATTERNS)
joiner = Joiner(Uncounted(), CrankedClock())
word = lambda: "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=8))
words = [word() for _ in range(2000)]

def through_all(n):
    text = f"ERROR 11-21 03:05:31 [x.py:1] {words[n % 2000]} {words[n // 2000]} {words[n * 7 % 1999]} failed"
    for record in joiner.feed(Line("f", text.encode(), offset=n, end=n + 1)):
        event = detector.judge(record, n / 100)
        incidents.observe(event)

def windows_alone(n):  # the rest of the million, past the parsing, which keeps nothing
    name = f"{words[n % 2000]} {words[n // 2000]}"
    incidents._windows.add(("llama", "error_burst", name), n / 100, 10, 300.0)

for n in range(20_000):
    through_all(n)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for n in range(20_000, 60_000):
    through_all(n)
for n in range(60_000, 1_000_000):
    windows_alone(n)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(incidents.remember()), len(incidents.open()))
"""


@pytest.mark.no_cover
def test_a_million_distinct_messages_cost_flat_memory() -> None:
    """After the first twenty thousand the process grows by less than 4 MB, and what it remembers stays small."""
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True)
    grown_kilobytes, remembered, open_incidents = map(int, done.stdout.split())
    assert grown_kilobytes < 4096
    assert remembered < 300_000
    assert open_incidents <= 20
