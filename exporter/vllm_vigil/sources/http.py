"""A vLLM server's endpoint and a path -> the answer to a GET, or words why there is none. HTTP/1.1 is h11's business.

Promise: no more of an answer is held than was allowed, and `get` ends by its deadline. A connection is kept for the
next question; one that the server has closed meanwhile, which vLLM does after 5 s, is no trouble: a GET is asked again.

httpx, which asks servers elsewhere, is twice the work for what is asked every few seconds, and 6 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import h11

from vllm_vigil.endpoint import Endpoint, trust, words
from vllm_vigil.units import format_duration, format_size

READ_BYTES = 64 * 1024
SECOND_ADDRESS_SECONDS = 0.25
"""After so long without a connection the next address of a name is tried too."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came to: a status and a body, or the words why not."""

    status: int = 0
    body: bytes = b""
    location: str = ""
    error: str | None = None


class _Closed(Exception):
    """The server ended the connection without a word."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One connection, and where it stands in the protocol."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: h11.Connection

    async def ask(self, request: h11.Request, max_bytes: int) -> Answer:
        """One exchange. Raises `_Closed`, OSError, and h11's errors."""
        self.writer.write((self.state.send(request) or b"") + (self.state.send(h11.EndOfMessage()) or b""))
        head: h11.Response | None = None
        body = bytearray()
        while True:
            event = await self._next(begun=head is not None)
            if isinstance(event, h11.Response):
                head = event
                if _header(head, b"content-encoding") not in ("", "identity"):
                    return Answer(error=f"{_path(request)} came compressed, which was not asked for")
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > max_bytes:
                    return Answer(error=f"the body of {_path(request)} is larger than {format_size(max_bytes)}")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return Answer(head.status_code, bytes(body), _header(head, b"location"))

    async def _next(self, *, begun: bool) -> h11.Event | type[h11.PAUSED]:
        while (event := self.state.next_event()) is h11.NEED_DATA:
            data = await self.reader.read(READ_BYTES)
            if not data and not begun and self.state.trailing_data == (b"", False):
                raise _Closed
            self.state.receive_data(data)
        return event  # type: ignore[return-value]  # NEED_DATA is not among them

    def again(self) -> bool:
        """Make ready for the next question; whether it can be asked on this connection."""
        if self.state.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE} or self.reader.at_eof():
            return False
        self.state.start_next_cycle()
        return True


class Client:
    """Asks one server for what it wants of a type. Raises OSError when `ca_file` cannot be used."""

    def __init__(self, endpoint: Endpoint, accept: str) -> None:
        self._url = urlsplit(endpoint.url)
        self._tls = trust(endpoint)
        self._headers = endpoint.to_send() | {"accept": accept}
        self._next_address_seconds = None if _is_address(self._url.hostname) else SECOND_ADDRESS_SECONDS
        self._kept: list[_Line] = []

    async def get(self, path: str, max_bytes: int, seconds: float) -> Answer:
        """Ask for one path below the server's address."""
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(path, max_bytes)
        except TimeoutError:
            return Answer(error=f"{path} timed out after {format_duration(seconds)}")
        except (h11.ProtocolError, _Closed):
            return Answer(error=f"{path} was cut short, or is not HTTP")
        except (OSError, UnicodeError) as error:
            return Answer(error=words(error))

    async def _ask(self, path: str, max_bytes: int) -> Answer:
        request = self._request(path)
        while self._kept:
            with contextlib.suppress(_Closed, ConnectionError):
                return await self._exchange(self._kept.pop(), request, max_bytes)
        return await self._exchange(await self._connect(), request, max_bytes)

    async def _exchange(self, line: _Line, request: h11.Request, max_bytes: int) -> Answer:
        kept = False
        try:
            answer = await line.ask(request, max_bytes)
            kept = line.again()
        finally:
            if kept:
                self._kept.append(line)
            else:
                line.writer.transport.abort()
        return answer

    def _request(self, path: str) -> h11.Request:
        target = quote(self._url.path.rstrip("/") + path, safe="/%:@!$&'()*+,;=~")
        host = {"host": self._url.netloc.encode("idna").decode()}  # a name beyond ASCII as in DNS
        return h11.Request(method="GET", target=target, headers=list((host | self._headers).items()))

    async def _connect(self) -> _Line:
        reader, writer = await asyncio.open_connection(
            self._url.hostname,
            self._url.port or (443 if self._tls else 80),
            ssl=self._tls,
            happy_eyeballs_delay=self._next_address_seconds,
        )
        return _Line(reader, writer, h11.Connection(h11.CLIENT))

    def close(self) -> None:
        """Give the connections back, at once: over TLS a polite end waits for the server's word, 30 s at worst."""
        for line in self._kept:
            line.writer.transport.abort()
        self._kept.clear()


def _is_address(host: str | None) -> bool:
    """Whether it is an address and no name: one, that is, and no race between several to be held."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host or ""))
    return False


def _header(head: h11.Response, wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in head.headers if name == wanted), "")


def _path(request: h11.Request) -> str:
    return request.target.decode("ascii")
