"""A local server that plays Slack, PagerDuty, Discord and any JSON webhook, for Apprise's own plugins, unchanged.

It is an HTTPS proxy that does not pass anything on: what is sent to https://hooks.slack.com ends here, under a
certificate for that name. The program under test, a subprocess or this very process, is pointed at it by its
environment alone (`environment`), as a site points its programs at a proxy with a certificate authority of its own:

    with Channels() as channels:
        subprocess.Popen([...], env=os.environ | channels.environment)      # notify: SLACK, PAGERDUTY
        ...
        assert channels.received(SLACK_HOST)

`channels.pem` holds a certificate and its key, made for this purpose and of no other use:

    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 \
        -subj "/CN=vllm-vigil test stand-in" -addext "basicConstraints=critical,CA:TRUE" \
        -addext "subjectAltName=DNS:hooks.slack.com,DNS:events.pagerduty.com,..."
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
SLACK_HOST = "hooks.slack.com"
PAGERDUTY = "pagerduty://0123456789abcdef0123456789abcdef@u1yN9xKEYc4n4ryXq7Ab"
PAGERDUTY_HOST = "events.pagerduty.com"
DISCORD = "discord://1234567890/c4n4ryDiscordToken"
DISCORD_HOST = "discord.com"
TELEGRAM = "tgram://123456789:c4n4ryTelegramTokenAbCdEfGhIjKlMnOp/987654321/"
TELEGRAM_HOST = "api.telegram.org"
LOCAL_HOST = "127.0.0.1"

CERTIFICATE = Path(__file__).with_name("channels.pem")


class Behaviour(Enum):
    """What a provider may do with a request besides answering a plain status."""

    ACCEPT = "accept, in the provider's own words"
    GARBAGE = "200 and a page of HTML"
    NO_HTTP = "bytes that are no HTTP"
    HANG = "never answer"
    CUT = "200, a promise of 100 bytes, ten of them, and the end"
    CLOSE = "close without a word"
    DRIP = "200, a promise of 100 bytes, and one of them every tenth of a second"


ACCEPTED = {SLACK_HOST: (200, b"ok"), PAGERDUTY_HOST: (202, b'{"status":"success"}'), DISCORD_HOST: (204, b"")}


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    host: str
    method: str
    path: str
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON body."""
        return json.loads(self.body)


class Channels:
    """The server, in threads of its own, from `with` to its end."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self._requests: list[Received] = []
        self._answers: dict[str, list[Behaviour | int]] = {}
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(CERTIFICATE)
        self._server = _Server((LOCAL_HOST, 0), _Handler)
        self._server.channels = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program send here what it sends to https://."""
        proxy = f"http://{LOCAL_HOST}:{self._server.server_port}"
        return {"HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": "", "REQUESTS_CA_BUNDLE": str(CERTIFICATE)}

    @property
    def address(self) -> str:
        """Where it listens without a proxy's tunnel, for programs that are given an address."""
        return f"http://{LOCAL_HOST}:{self._server.server_port}"

    @property
    def webhook(self) -> str:
        """The Apprise address of a JSON webhook on this server."""
        return f"json://{LOCAL_HOST}:{self._server.server_port}/hook"

    @property
    def ntfy(self) -> str:
        """The Apprise address of an ntfy on this server."""
        return f"ntfy://{LOCAL_HOST}:{self._server.server_port}/topic"

    def answer(self, host: str, *answers: Behaviour | int) -> None:
        """What the next requests for a host get, in order; the last is for all that follow. Without: accept."""
        self._answers[host] = list(answers)

    def received(self, host: str | None = None) -> list[Received]:
        """What has arrived so far."""
        return [request for request in self._requests if host in (None, request.host)]

    def wait_for(self, host: str, count: int, seconds: float = 60.0) -> list[Received]:
        """The same, once so many have arrived; fails if they do not."""
        deadline = time.monotonic() + seconds
        while len(self.received(host)) < count:
            assert time.monotonic() < deadline, f"{host} got {len(self.received(host))} of {count} requests"
            time.sleep(0.01)
        return self.received(host)

    def secure(self, plain: socket.socket) -> ssl.SSLSocket:
        """Speak TLS on a connection from now on."""
        return self._tls.wrap_socket(plain, server_side=True)

    def take(self, request: Received) -> Behaviour | int:
        """Note a request; gives what to do with it."""
        answers = self._answers.get(request.host, [Behaviour.ACCEPT])
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        self._requests.append(request)
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    channels: Channels

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    host = LOCAL_HOST

    def do_CONNECT(self) -> None:
        """Pretend to have reached the host, and be it."""
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        self.close_connection = False  # http.client asks for its tunnel in HTTP/1.0
        self.connection = self.server.channels.secure(self.connection)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)

    def do_POST(self) -> None:
        """Take a message."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        answer = self.server.channels.take(Received(self.host, self.command, self.path, body))
        if isinstance(answer, int):
            self._reply(answer, b'{"status":"no"}')
        elif answer is Behaviour.ACCEPT:
            self._reply(*ACCEPTED.get(self.host, (200, b"")))
        elif answer is Behaviour.GARBAGE:
            self._reply(200, b"<html><h1>Please log in</h1></html>")
        else:
            self._misbehave(answer)

    do_GET = do_POST  # what a followed 302 becomes  # noqa: N815

    def finish(self) -> None:
        """Close the TLS side too."""
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status in (302, 307):
            self.send_header("Location", f"http://{LOCAL_HOST}:{self.server.server_port}/elsewhere")
        if status == 429:
            self.send_header("Retry-After", "1")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _misbehave(self, behaviour: Behaviour) -> None:
        self.close_connection = True
        if behaviour is Behaviour.HANG:
            self.server.channels.release.wait()
        elif behaviour is Behaviour.NO_HTTP:
            self.wfile.write(b"\x00\xff not http \xfe\r\n\r\n")
        elif behaviour is Behaviour.DRIP:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            while not self.server.channels.release.wait(0.1):
                self.wfile.write(b".")
        elif behaviour is Behaviour.CUT:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"0123456789")
