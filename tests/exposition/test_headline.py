"""The first line of the page, case by case."""

from __future__ import annotations

import pytest

from standins.scenes import engine, incident
from standins.sidecar import NOW
from vllm_vigil.exposition.headline import Headline, headline
from vllm_vigil.model import EngineHealth, EngineState, Incident, Severity

UP, UP_B = engine(EngineState.HEALTHY, "a", NOW - 90), engine(EngineState.IDLE, "b", NOW - 30)
DEAD = engine(EngineState.DEAD, "a", NOW - 60, "its process is gone")
ASLEEP_B = engine(EngineState.ASLEEP, "b", NOW - 10)
WARNING = incident(Severity.WARNING, title="slow", opened=NOW - 500)
CRITICAL = incident(Severity.CRITICAL, title="CUDA out of memory", opened=NOW - 100)


@pytest.mark.parametrize(
    ("servers", "engines", "incidents", "expected"),
    [
        ("", (), (), Headline(None, "No vLLM server is configured")),
        ("a", (), (), Headline(None, "Not known yet", "nothing has been heard of a", troubled=True)),
        ("ab", (UP,), (), Headline(None, "Not known yet", "nothing has been heard of b", troubled=True)),
        ("ab", (UP, UP_B), (), Headline(True, "Serving", "no incident is open", NOW - 600)),  # noqa: FBT003  # a table
        (
            "a",
            (UP,),
            (WARNING, CRITICAL),
            Headline(
                serving=True,
                text="Serving, with trouble",
                why="CUDA out of memory on llama, and 1 more",
                since=NOW - 100,
                troubled=True,
            ),
        ),
        (
            "a",
            (DEAD,),
            (WARNING,),
            Headline(False, "Not serving", "a, engine 0, is dead: its process is gone", NOW - 60, troubled=True),  # noqa: FBT003
        ),
        (
            "ab",
            (DEAD, UP_B),
            (),
            Headline(False, "Serving in part", "a, engine 0, is dead: its process is gone", NOW - 60, troubled=True),  # noqa: FBT003
        ),
        (
            "ab",
            (ASLEEP_B, DEAD),
            (),
            Headline(
                False,  # noqa: FBT003
                "Not serving",
                "a, engine 0, is dead, and 1 more: its process is gone",
                NOW - 60,
                troubled=True,
            ),
        ),
    ],
)
def test_the_headline_answers_what_is_wrong_and_since_when(
    servers: str, engines: tuple[EngineHealth, ...], incidents: tuple[Incident, ...], expected: Headline
) -> None:
    """What does not serve speaks before what is merely wrong, and the first to fail before those after it."""
    serving_since = {"a": NOW - 900, "b": NOW - 600}  # through requests and pauses, which an engine's own time is not
    assert expected == headline(tuple(servers), engines, incidents, serving_since)
