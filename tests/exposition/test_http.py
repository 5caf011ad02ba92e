"""The listener on real sockets: hostile clients, TLS, taken ports, stopping."""

from __future__ import annotations

import asyncio
import contextlib
import select
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from loguru import logger

from standins.channels import CERTIFICATE
from standins.listening import OPEN, client, listening
from standins.scenes import quiet, series, snapshot_of
from vllm_vigil.errors import VigilError
from vllm_vigil.exposition.connection import Limits
from vllm_vigil.exposition.http import Listener
from vllm_vigil.exposition.listen import WebSettings
from vllm_vigil.exposition.web_config import Tls, WebConfig
from vllm_vigil.model import Point, labels

HASTY = Limits(request_seconds=0.5, answer_seconds=0.5, idle_seconds=0.5)
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(port: int, receive_bytes: int = 0) -> socket.socket:
    """A client's socket; with a small receive buffer if asked."""
    made = socket.socket()
    if receive_bytes:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.settimeout(60)
    made.connect(("127.0.0.1", port))
    return made


async def greet(_scope: Any, _receive: Any, send: Any) -> None:
    """The smallest site."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def served(listener: Listener) -> bool:
    """Wait until it answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(REQUEST)
    answer = await reader.readline()
    writer.close()
    return answer.startswith(b"HTTP/1.1 204")


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{level} {message}")
    yield lines
    logger.remove(sink)


def big_sidecar() -> Any:
    """A sidecar whose /metrics is some megabytes, more than any socket buffers."""
    sidecar = quiet()
    points = (Point(labels(server=f"{number}", engine="0", model_name="m" * 100), 1.0) for number in range(40_000))
    sidecar.series = snapshot_of(series("llm_requests_running", *points))
    return sidecar


@pytest.mark.parametrize(
    ("listen", "tls", "url"),
    [
        ("127.0.0.1:0", None, "http://127.0.0.1:{}/"),
        (":0", None, "http://localhost:{}/"),
        ("[::1]:0", None, "http://[::1]:{}/"),
        ("localhost:0", Tls(CERTIFICATE, CERTIFICATE), "https://localhost:{}/"),
    ],
)
def test_its_address_is_one_that_a_browser_takes(listen: str, tls: Tls | None, url: str) -> None:
    """With the port that was bound, also where it listens on all addresses."""
    listener = Listener(WebSettings(listen), WebConfig(tls), greet)
    listener.start()
    assert url.format(listener.port) == listener.url
    listener.stop()


def test_idle_slow_and_deaf_clients_do_not_delay_a_scrape() -> None:
    """64 idle clients, one that sends byte by byte and one that never reads keep no scrape waiting."""
    with listening(big_sidecar()) as port, contextlib.ExitStack() as clients, client(port) as http:
        http.get("/metrics")  # renders the big page, which the ticks of a real one would have done
        for _ in range(64):
            clients.enter_context(connect(port))
        deaf = clients.enter_context(connect(port, receive_bytes=4096))
        deaf.sendall(REQUEST)
        slow = clients.enter_context(connect(port))
        spans = []
        for byte in REQUEST:
            slow.sendall(bytes([byte]))
            began = time.perf_counter()
            assert http.get("/-/healthy").status_code == 200
            spans.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert http.get("/metrics").status_code == 200
        spans.append(time.perf_counter() - began)
        assert max(spans) < Limits().request_seconds
        assert slow.recv(12) == b"HTTP/1.1 200"


def test_a_client_that_never_asks_is_cut() -> None:
    """A connection without a whole request head is reset, also if it sends a byte now and then."""
    with listening(quiet(), limits=HASTY) as port:
        with connect(port) as idle:
            assert was_reset(idle)
        with connect(port) as slow:
            slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
            assert was_reset(slow, keeps_sending=b"x")


def test_no_more_clients_are_held_than_allowed() -> None:
    """One too many is reset; those before it are served."""
    with listening(quiet(), limits=Limits(connections=2)) as port, client(port) as http, connect(port):
        assert http.get("/-/healthy").status_code == 200
        with contextlib.suppress(ConnectionResetError), socket.create_connection(("127.0.0.1", port)) as third:
            assert was_reset(third)
        assert http.get("/-/healthy").status_code == 200


def test_a_client_that_never_reads_is_cut() -> None:
    """Its connection is reset although megabytes wait to be written to it."""
    with listening(big_sidecar(), limits=HASTY) as port, connect(port, receive_bytes=4096) as deaf:
        deaf.sendall(REQUEST)
        assert was_reset(deaf)


def was_reset(client: socket.socket, keeps_sending: bytes = b"") -> bool:
    """Whether the other side cuts the connection within a minute, seen without reading from it."""
    poll = select.poll()
    poll.register(client, select.POLLERR)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError):
            client.sendall(keeps_sending)
        if poll.poll(50):
            return True
    return False


def test_a_kept_connection_is_closed_when_nobody_asks() -> None:
    """After its answer a connection may wait for the next request, but not for ever."""
    with listening(quiet(), limits=Limits(idle_seconds=0.2)) as port, connect(port) as kept:
        kept.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while chunk := kept.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order() -> None:
    """Two requests in one packet give two answers."""
    with listening(quiet()) as port, connect(port) as both:
        both.sendall(
            b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answer = b""
        while chunk := both.recv(4096):
            answer += chunk
        assert answer.index(b"HTTP/1.1 200") < answer.index(b"HTTP/1.1 404")


def test_stopping_does_not_wait_for_clients_that_hang() -> None:
    """A deaf client and an idle one are cut, and the listener ends within its grace; `listening` fails if not."""
    with contextlib.ExitStack() as clients:
        with listening(big_sidecar()) as port:
            deaf = clients.enter_context(connect(port, receive_bytes=4096))
            deaf.sendall(REQUEST)
            clients.enter_context(connect(port))
            assert deaf.recv(8) == b"HTTP/1.1"
            began = time.monotonic()
        assert time.monotonic() - began < 30


def test_signals_stay_with_the_app() -> None:
    """The app's handlers of SIGTERM and SIGINT are in force while requests are served, and afterwards."""

    async def end_by_sigterm() -> None:
        listener, loop = Listener(WebSettings("127.0.0.1:0"), OPEN, greet), asyncio.get_running_loop()
        listener.start()
        loop.add_signal_handler(signal.SIGTERM, listener.stop)
        handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
        serving = asyncio.create_task(listener.serve())
        assert await served(listener)
        assert handlers == [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
        signal.raise_signal(signal.SIGTERM)
        await serving

    asyncio.run(end_by_sigterm())


def test_a_cancelled_listener_gives_its_port_back() -> None:
    """When the app falls, the port is free at once for the next one."""

    async def serve_and_fall(port: int) -> int:
        listener = Listener(WebSettings(f"127.0.0.1:{port}"), OPEN, greet)
        listener.start()
        serving = asyncio.create_task(listener.serve())
        assert await served(listener)
        taken = listener.port
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        return taken

    port = asyncio.run(serve_and_fall(0))
    assert port == asyncio.run(serve_and_fall(port))


def test_a_stop_before_the_first_request_is_a_stop() -> None:
    """A listener that is told to end while it begins ends."""

    async def stop_at_once() -> None:
        listener = Listener(WebSettings("127.0.0.1:0"), OPEN, greet)
        listener.start()
        serving = asyncio.create_task(listener.serve())
        await asyncio.sleep(0)
        listener.stop()
        await asyncio.wait_for(serving, 60)

    asyncio.run(stop_at_once())


def test_a_taken_port_is_an_error_that_names_it_and_the_setting() -> None:
    """The message says the address, what is wrong, how to find the other one and which setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(VigilError) as raised:
            Listener(WebSettings(listen), OPEN, greet).start()
    for part in (listen, "Address already in use", "ss -ltnp", "web.listen"):
        assert part in str(raised.value)


def test_a_public_address_without_a_password_is_warned_of_once(log: list[str]) -> None:
    """One warning for an open public address, none for a loopback or a protected one."""
    for settings, web in (
        (WebSettings("0.0.0.0:0"), OPEN),  # what is tested
        (WebSettings("127.0.0.1:0"), OPEN),
        (WebSettings(":0"), WebConfig(users={"a": quiet_hash()})),
    ):
        listener = Listener(settings, web, greet)
        listener.start()
        listener.stop()
    assert ["WARNING HTTP on 0.0.0.0:0 is open"] == [line[:33] for line in log]


def quiet_hash() -> Any:
    """Any hash: nobody logs in."""
    return "$2b$04$" + "a" * 53


def test_a_bug_of_ours_is_a_500_and_stands_in_the_log(log: list[str]) -> None:
    """A request that meets a bug does not end the listener, and the traceback is logged."""
    sidecar = quiet()
    sidecar.series = snapshot_of(series("llm_not_in_the_catalogue", Point((), 1.0)))
    with listening(sidecar) as port, client(port) as http:
        assert (500, 200) == (http.get("/metrics").status_code, http.get("/-/healthy").status_code)
    assert any("KeyError: 'llm_not_in_the_catalogue'" in line for line in log)


# --- TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=vigil -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*command.split(), "-out", str(certificate), "-keyout", str(key)], check=True, capture_output=True, timeout=60
    )
    return Tls(certificate, key)


def get(port: int, tls: Tls, *, shows_certificate: bool = False) -> int:
    """The status of a request over TLS that trusts the test's certificate."""
    context = ssl.create_default_context(cafile=str(tls.cert_file))
    if shows_certificate:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    with httpx.Client(verify=context, trust_env=False, timeout=60) as http:
        return http.get(f"https://127.0.0.1:{port}/-/healthy").status_code


def test_https_is_answered_and_plain_http_on_its_port_is_not(tls: Tls, log: list[str]) -> None:
    """A client that forgot the s is cut off, nothing is logged, and the next TLS client is served."""
    with listening(quiet(), WebConfig(tls=tls)) as port:
        with client(port) as http, pytest.raises(httpx.TransportError):
            http.get("/metrics")
        assert get(port, tls) == 200
    assert log == []


def test_a_tls_client_that_never_asks_is_cut_too(tls: Tls, log: list[str]) -> None:
    """Patience is the same behind TLS, and its end is no news."""
    context = ssl.create_default_context(cafile=str(tls.cert_file))
    with (
        listening(quiet(), WebConfig(tls=tls), limits=HASTY) as port,
        connect(port) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as idle,
    ):
        assert was_reset(idle)
    assert log == []


def test_a_client_without_the_wanted_certificate_is_refused(tls: Tls) -> None:
    """RequireAndVerifyClientCert lets in who shows one that the CA signed, and nobody else."""
    strict = Tls(tls.cert_file, tls.key_file, tls.cert_file, "RequireAndVerifyClientCert")
    with listening(quiet(), WebConfig(tls=strict)) as port:
        with pytest.raises(httpx.TransportError):
            get(port, tls)
        assert get(port, tls, shows_certificate=True) == 200


def test_a_version_below_the_least_is_refused(tls: Tls) -> None:
    """With min_version TLS13 a client that knows only TLS 1.2 gets no connection."""
    context = ssl.create_default_context(cafile=str(tls.cert_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with listening(quiet(), WebConfig(tls=Tls(tls.cert_file, tls.key_file, min_version="TLS13"))) as port:
        with connect(port) as raw, pytest.raises(ssl.SSLError):
            context.wrap_socket(raw, server_hostname="127.0.0.1")
        assert get(port, tls) == 200


@pytest.mark.parametrize(("name", "content"), [("absent.pem", None), ("empty.pem", ""), ("text.pem", "hello")])
def test_a_certificate_that_cannot_be_used_is_an_error_that_names_it(
    tls: Tls, tmp_path: Path, name: str, content: str | None
) -> None:
    """The listener does not start, and says which file is wrong."""
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    for bad in (Tls(path, tls.key_file), Tls(tls.cert_file, path), Tls(tls.cert_file, tls.key_file, path)):
        with pytest.raises(VigilError, match=name):
            Listener(WebSettings("127.0.0.1:0"), WebConfig(tls=bad), greet).start()
