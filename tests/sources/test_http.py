"""A GET has one answer or words why not, on a connection that is kept for as long as the server keeps it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from vllm_vigil.endpoint import Endpoint
from vllm_vigil.sources.http import Answer, Client
from vllm_vigil.units import Secret

LATE = 20.0
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\npa\r\n2\r\nge\r\n0\r\n\r\n"
OLD = b"HTTP/1.0 200 OK\r\n\r\npage"


class Peer:
    """A server whose every word is given: `says` holds, for each connection, the answers it gives before it closes."""

    def __init__(self, *says: list[bytes]) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self.meetings: list[asyncio.Task[None] | None] = []
        self._says = says

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.meetings.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the client had enough
            for answer in self._says[self.connections - 1]:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(answer)
            writer.close()
            await writer.wait_closed()
        writer.close()


@contextlib.asynccontextmanager
async def met(peer: Peer, **endpoint: object) -> AsyncIterator[Client]:
    """A client of that peer."""
    server = await asyncio.start_server(peer.meet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(Endpoint(url=f"http://127.0.0.1:{port}", **endpoint), "*/*")  # type: ignore[arg-type]
    async with server:
        yield client
        client.close()
        await asyncio.gather(*(meeting for meeting in peer.meetings if meeting))


def run(peer: Peer, play: Callable[[Client], Awaitable[None]], **endpoint: object) -> None:
    """Let a client of the peer play."""

    async def met_and_played() -> None:
        async with met(peer, **endpoint) as client:
            await play(client)

    asyncio.run(met_and_played())


def get(peer: Peer, times: int = 1, **endpoint: object) -> list[Answer]:
    """The answers to so many questions, one after the other."""
    answers: list[Answer] = []

    async def ask(client: Client) -> None:
        answers.extend([await client.get("/page", 100, LATE) for _ in range(times)])

    run(peer, ask, **endpoint)
    return answers


@pytest.mark.parametrize("said", [WHOLE, CHUNKED, OLD, b"HTTP/1.1 102 Processing\r\n\r\n" + WHOLE])
def test_a_body_is_whole_however_its_end_is_told(said: bytes) -> None:
    """By its length, in chunks, by the end of the connection, and after a word in between."""
    assert [Answer(200, b"page")] == get(Peer([said]))


def test_a_connection_is_kept_for_the_next_question() -> None:
    """Two questions, one connection."""
    peer = Peer([WHOLE, WHOLE, WHOLE])
    assert [Answer(200, b"page")] * 2 == get(peer, 2)
    assert 1 == peer.connections


@pytest.mark.parametrize("first", [WHOLE, WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OLD])
def test_a_connection_that_the_server_has_ended_is_no_trouble(first: bytes) -> None:
    """With a word or without one, as vLLM does after 5 s: the question is asked on a new one."""
    peer = Peer([first], [WHOLE])
    assert [Answer(200, b"page")] * 2 == get(peer, 2)
    assert 2 == peer.connections


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", WHOLE[:-1], b"hello\r\n\r\n", b"\0" * 100_000])
def test_what_is_no_whole_answer_is_said(said: bytes) -> None:
    """Nothing, half a head, half a body, another protocol, a head without end."""
    (answer,) = get(Peer([said]))
    assert Answer(error="/page was cut short, or is not HTTP") == answer


def test_after_a_failure_the_next_question_has_a_connection_of_its_own() -> None:
    """What came of one that broke cannot be taken for the next answer."""
    peer = Peer([WHOLE[:-1]], [WHOLE])
    assert [False, True] == [answer.error is None for answer in get(peer, 2)]
    assert 2 == peer.connections


def test_two_questions_at_once_have_two_connections() -> None:
    """Neither waits for the other."""
    peer = Peer([WHOLE], [WHOLE])

    async def ask(client: Client) -> None:
        answers = await asyncio.gather(*(client.get(path, 100, LATE) for path in ("/a", "/b")))
        assert [Answer(200, b"page")] * 2 == answers

    run(peer, ask)
    assert 2 == peer.connections


def test_the_server_is_told_whom_and_what_is_asked() -> None:
    """The host once, also if the user names another for a proxy; headers in the user's words."""
    headers = {"Host": Secret("llama"), "X-Tenant": Secret("blue")}
    for given, host in ((headers, "llama"), ({}, "127.0.0.1")):
        peer = Peer([WHOLE])
        get(peer, headers=given)
        (head,) = peer.heads
        lines = head.lower().split("\r\n")
        assert "get /page http/1.1" == lines[0]
        assert [host] == [line.split()[1].partition(":")[0] for line in lines if line.startswith("host:")]
        assert ("x-tenant: blue" in lines) == bool(given)


def test_a_name_that_cannot_be_one_is_said() -> None:
    """DNS has no label of 70 letters: words, and no crash."""

    async def ask() -> Answer:
        return await Client(Endpoint(url=f"http://{'a' * 70}.example"), "*/*").get("/page", 100, LATE)

    assert "idna" in (asyncio.run(ask()).error or "")
