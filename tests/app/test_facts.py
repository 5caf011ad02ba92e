"""What the HTTP side is told across a reload."""

from __future__ import annotations

import asyncio
from pathlib import Path

from standins.rounds import WorkingRound, server
from standins.vllm import StandInVllm
from vllm_vigil.app.facts import Facts
from vllm_vigil.clock import CrankedClock
from vllm_vigil.config.load import Loaded
from vllm_vigil.exposition.health import health

PAGE = 'vllm:num_requests_waiting{engine="0",model_name="tiny"} 0\n'


async def no_reload() -> str | None:
    """Nobody asks for one."""
    return None


def test_a_reload_is_no_moment_in_which_nothing_serves(tmp_path: Path, clock: CrankedClock) -> None:
    """Engines and series of the round before stand until the next has its own, which are told from then on."""
    (tmp_path / "next").mkdir()
    with StandInVllm(PAGE) as vllm:
        old = WorkingRound(tmp_path, clock, server(vllm.url))
        new = WorkingRound(tmp_path / "next", clock, server(vllm.url))
        facts = Facts(old.round, Loaded(old.round.config, None, {}), clock, no_reload)

        async def serves() -> None:
            assert 503 == health(facts.servers(), facts.engines(), None).status
            await old.until("it serves", lambda: health(facts.servers(), facts.engines(), None).status == 200)

        old.play(serves)
        facts.turn_to(new.round)
        assert 200 == health(facts.servers(), facts.engines(), None).status
        assert facts.snapshot() is old.round.metrics.snapshot
        assert facts.serving_since() == old.round.metrics.serving_since
        assert 0 <= facts.heartbeat_seconds() <= 1

        async def takes_over() -> None:
            await asyncio.sleep(0)
            assert facts.snapshot() is old.round.metrics.snapshot, "after a tick, but before an answer"
            await new.until("it has its own", lambda: facts.snapshot() is new.round.metrics.snapshot)
            assert 200 == health(facts.servers(), facts.engines(), None).status

        new.play(takes_over)
