"""Who waits on a server's port."""

from __future__ import annotations

from vllm_vigil.verdict.clients import Clients


def test_connections_that_are_there_at_rest_too_are_no_clients() -> None:
    """A gateway's pool, a scraper."""
    clients = Clients()
    for now in range(200):
        clients.look(2.0, float(now), resting=True)
    clients.look(9.0, 200.0, resting=False)
    assert (clients.background, clients.waiting, clients.since) == (2, 7, 200.0)
    clients.look(2.0, 205.0, resting=False)
    assert (clients.waiting, clients.since) == (0, None)


def test_a_pool_that_is_empty_for_a_minute_is_still_known() -> None:
    """A restart empties it; the middle of ten minutes of rest counts, of each the fewest."""
    clients = Clients()
    for now in range(600):
        clients.look(0.0 if 300 <= now < 380 else 3.0 + now % 5, float(now), resting=True)
    assert clients.background == 3


def test_clients_who_wait_before_a_wedged_engine_are_no_pool() -> None:
    """It rests by its gauges; a minute counts only if it rested in all of it."""
    clients = Clients()
    for now in range(100):
        clients.look(0.0, float(now), resting=True)
    for now in range(100, 150):
        clients.look(5.0, float(now), resting=True)
    clients.look(5.0, 150.0, resting=False)
    assert (clients.waiting, clients.waited(0.0), clients.waited(120.0)) == (5, 50.0, 30.0)


def test_what_cannot_be_seen_is_not_known() -> None:
    """It is not 0."""
    clients = Clients()
    clients.look(5.0, 0.0, resting=False)
    clients.look(None, 1.0, resting=False)
    assert (clients.waiting, clients.since, clients.waited(0.0)) == (None, None, 0.0)
