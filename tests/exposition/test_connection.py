"""What a client sends becomes requests, and what the application says becomes answers, in HTTP/1.1."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loguru import logger

from vllm_vigil.exposition.connection import BODY_BYTES, Connection, Limits

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
POST = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
LATE = 20.0


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path and the body, in two pieces; `/deaf` does not listen, `/bug` falls."""
    if scope["path"] == "/bug":
        raise ZeroDivisionError
    body, more = b"", scope["path"] != "/deaf"
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    said = scope["path"].encode() + b" " + body
    headers = [(b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said[:3], "more_body": True})
    await send({"type": "http.response.body", "body": said[3:]})


def run(play: Play, app: Any = echo) -> set[Connection]:
    """Let a client play; gives the connections that are left open."""
    left: set[Connection] = set()

    async def played() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(app, Limits(), left), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            async with asyncio.timeout(LATE):
                await play(reader, writer)
            writer.close()
            await writer.wait_closed()
            await asyncio.gather(*(connection.ended.wait() for connection in left))

    asyncio.run(played())
    return left


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The status and the body of an answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return head.split(b" ")[1], await reader.readexactly(length)


def test_a_body_comes_to_the_application_whole_and_to_its_own_request_only() -> None:
    """Also after one that was not listened to, on the same connection."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for path, body, said in (
            (b"one", b"first", b"/one first"),
            (b"deaf", b"second", b"/deaf "),
            (b"three", b"third", b"/three third"),
        ):
            writer.write(POST % (path, len(body)) + body)
            assert (b"200", said) == await answer(reader)

    run(play)


def test_a_body_of_many_reads_is_held_back_until_it_is_listened_to() -> None:
    """What the application has no room for waits in the client's buffers, and comes in order."""
    body = bytes(range(256)) * (4 * BODY_BYTES // 256)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(POST % (b"long", len(body)) + body)
        assert (b"200", b"/long " + body) == await answer(reader)

    run(play)


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked() -> None:
    """Expect: 100-continue."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((POST % (b"x", 4)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"body")
        assert (b"200", b"/x body") == await answer(reader)

    run(play)


def test_after_a_head_without_a_body_the_next_answer_is_understood() -> None:
    """HEAD tells the length and sends nothing; the connection goes on."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"content-length: 3" in (await reader.readuntil(b"\r\n\r\n")).lower()
        writer.write(b"GET /g%20o?x=%20 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (b"200", b"/g o ") == await answer(reader)

    run(play)


@pytest.mark.parametrize("sent", [b"GET /\r\n\r\n", b"hello\r\n\r\n", POST % (b"x", 4) + b"body" + b"\0\1\r\n\r\n"])
def test_nonsense_ends_the_connection_with_400(sent: bytes) -> None:
    """Also when it comes after a good request, whose answer is given first."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        said = await reader.read()
        assert b"HTTP/1.1 400 " in said
        assert said.startswith(b"HTTP/1.1 200 ") == sent.startswith(b"POST")

    run(play)


def test_a_fault_of_the_application_is_500_and_ends_the_connection() -> None:
    """It is logged with where it happened."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)))

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /bug HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 500 ")

    with contextlib.ExitStack() as stack:
        stack.callback(logger.remove, sink)
        run(play)
    assert "ZeroDivisionError" in lines[0]


def test_a_client_that_goes_away_in_its_body_is_told_to_the_application() -> None:
    """It gets a disconnect, and what it says then goes nowhere."""
    heard: list[str] = []

    async def listen(_scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"into nothing"})

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(POST % (b"x", 4))
        writer.write_eof()
        assert b"" == await reader.read()

    assert set() == run(play, listen)
    assert ["http.disconnect"] == heard


def test_a_client_that_resets_is_let_go() -> None:
    """Nothing is left of it."""

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.write(b"GET / HTTP/1.1\r\n")
        writer.transport.abort()

    assert set() == run(play)
