"""A vLLM server over HTTP becomes a Reading, whatever it does."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from standins import vllm as standin
from standins.vllm import Request, StandInVllm
from vllm_vigil.clock import RealClock
from vllm_vigil.model import Reading, Sample, labels
from vllm_vigil.sources.settings import VllmSettings
from vllm_vigil.sources.vllm import INLINE_PAGE, Vllm
from vllm_vigil.units import Bytes, Seconds, Secret

PAGE = '# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name="m"} 3.0\n'
SAMPLE = Sample("vllm:num_requests_running", labels(model_name="m"), 3.0)
SOON = Seconds(0.3)
LATE = 20.0


def read(settings: VllmSettings, *between: Callable[[], None]) -> list[Reading]:
    """Readings of one server, with something happening between each and the next."""

    async def readings() -> list[Reading]:
        source = Vllm(settings, RealClock())
        found = [await source.read()]
        for happen in between:
            happen()
            found.append(await source.read())
        await source.close()
        return found

    return asyncio.run(readings())


def settings_for(server: StandInVllm, **more: Any) -> VllmSettings:
    """Settings with which a test asks the stand-in."""
    return VllmSettings(**{"name": "llama", "url": server.url, "timeout": Seconds(LATE), **more})


# --- good answers


def test_a_good_server_gives_samples_version_and_health() -> None:
    """Everything of the page is there, and the two facts beside it."""
    with StandInVllm(PAGE) as server:
        (reading,) = read(settings_for(server))
    assert ("vllm", "llama", (SAMPLE,), None) == (reading.source, reading.server, reading.samples, reading.error)
    assert {"health": "200", "version": "0.32.0"} == reading.facts
    assert 0.0 <= reading.duration_seconds < LATE


def test_one_connection_set_serves_many_readings_and_the_version_is_asked_once() -> None:
    """A server that stays up is asked for its version at the first reading only."""
    with StandInVllm(PAGE) as server:
        readings = read(settings_for(server), lambda: None, lambda: None)
        assert (3, 3, 1) == (server.asked("/metrics"), server.asked("/health"), server.asked("/version"))
    assert ["0.32.0"] * 3 == [reading.facts["version"] for reading in readings]


def test_the_version_is_asked_again_after_the_server_was_down() -> None:
    """An upgrade behind a restart does not go unseen."""
    with StandInVllm(PAGE) as server:

        def fall() -> None:
            server.misbehave = standin.fail

        def rise() -> None:
            server.misbehave = None
            server.version = "0.33.0"

        _, down, up = read(settings_for(server), fall, rise)
    assert "version" not in down.facts
    assert "0.33.0" == up.facts["version"]


def test_a_server_without_a_version_is_asked_once_and_has_no_such_fact() -> None:
    """A 404 is an answer."""
    with StandInVllm(PAGE) as server:
        server.version = None
        readings = read(settings_for(server), lambda: None)
        assert 1 == server.asked("/version")
    assert [{"health": "200"}] * 2 == [reading.facts for reading in readings]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"version": 3}', b"[" * 9000, b"\xff"])
def test_a_version_that_is_none_is_no_fact(body: bytes) -> None:
    """What `/version` says is believed only if it is the text of a version."""
    with StandInVllm(PAGE) as server:
        server.bodies["/version"] = body
        (reading,) = read(settings_for(server))
    assert (None, {"health": "200"}) == (reading.error, reading.facts)


def test_a_dead_engine_shows_in_the_health_beside_a_good_page() -> None:
    """The health is a fact, not an error of the source."""
    with StandInVllm(PAGE, health=503) as server:
        (reading,) = read(settings_for(server))
    assert (None, "503") == (reading.error, reading.facts["health"])


def test_plain_text_is_asked_for_with_the_configured_headers() -> None:
    """OpenMetrics and compression are not asked for; secrets go out as they are."""
    settings = {"headers": {"X-Tenant": Secret("blue")}, "bearer": Secret("s3cret")}
    with StandInVllm(PAGE) as server:
        read(settings_for(server, **settings))
        sent = dict(server.requests)["/metrics"]
    expected = {
        "accept": "text/plain;version=0.0.4",
        "accept-encoding": "identity",
        "x-tenant": "blue",
        "authorization": "Bearer s3cret",
    }
    assert expected == {name: sent[name] for name in expected}


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server beside us is not asked through the company's proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with StandInVllm(PAGE) as server:
        (reading,) = read(settings_for(server))
    assert reading.error is None


def test_a_path_in_front_of_the_server_is_kept() -> None:
    """A server behind a proxy may live under a path, which may hold what an address has to escape."""
    with StandInVllm(PAGE) as server:
        read(settings_for(server, url=f"{server.url}/models/a llama/"))
        asked = {path for path, _ in server.requests}
    paths = ("metrics", "health", "version", "v1/models", "v1/metrics")
    assert {f"/models/a%20llama/{path}" for path in paths} == asked


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"data": [{"id": "m", "max_model_len": 4096}, {"id": "adapter", "parent": "m"}]}', "4096"),
        (b'{"data": [{"id": "m", "max_model_len": null}]}', None),
        (b'{"data": [{"id": "m", "max_model_len": true}]}', None),
        (b'{"data": []}', None),
        (b'{"data": 3}', None),
        (b"[", None),
    ],
)
def test_the_longest_sequence_is_told_by_the_first_model(body: bytes, told: str | None) -> None:
    """It is a fact where `/v1/models` gives it as a number, and absent elsewhere."""
    with StandInVllm(PAGE) as server:
        server.bodies["/v1/models"] = body
        (reading,) = read(settings_for(server))
    assert (None, told) == (reading.error, reading.facts.get("max_model_len"))


def test_nim_has_its_page_under_v1_which_is_asked_directly_from_then_on() -> None:
    """A 404 at /metrics leads there once; a server that has neither is in trouble with /metrics."""
    with StandInVllm() as server:
        server.misbehave, server.bodies["/v1/metrics"] = standin.know_nothing, PAGE.encode()
        first, second = read(settings_for(server), lambda: None)
        assert (1, 2) == (server.asked("/metrics"), server.asked("/v1/metrics"))
        server.bodies.clear()
        (nowhere,) = read(settings_for(server))
    assert [(SAMPLE,)] * 2 == [first.samples, second.samples]
    assert "/metrics answered status 404" == nowhere.error


def test_the_redirect_of_old_servers_to_a_slash_is_followed_once() -> None:
    """vLLM 0.4 sends from /metrics to /metrics/, which is asked directly from then on."""
    with StandInVllm(PAGE) as server:
        server.misbehave = standin.redirect_to_slash
        readings = read(settings_for(server), lambda: None)
        assert (1, 2) == (server.asked("/metrics"), server.asked("/metrics/"))
    assert [(SAMPLE,)] * 2 == [reading.samples for reading in readings]


def test_a_page_over_a_megabyte_is_parsed_off_the_loop() -> None:
    """A large page gives all its samples."""
    lines = "".join(f'vllm:num_requests_running{{engine="{n}"}} 1\n' for n in range(40_000))
    assert len(lines) > INLINE_PAGE
    with StandInVllm(lines) as server:
        (reading,) = read(settings_for(server))
    assert 40_000 == len(reading.samples)


# --- bad answers


@pytest.mark.parametrize(
    ("misbehave", "said"),
    [
        (standin.fail, "/metrics answered status 500"),
        (standin.redirect_elsewhere, "/metrics answered status 302"),
        (standin.give_html, "HTML"),
        (standin.end_in_half_a_line, "cut short"),
        (standin.close_in_the_body, "/metrics was cut short"),
        (standin.compress, "compressed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_server_that_misbehaves_is_an_error_in_words(misbehave: Callable[[Request], None], said: str) -> None:
    """Nothing of such a page is used, the health is told all the same, and the same trouble has the same words."""
    with StandInVllm(PAGE) as server:
        server.misbehave = misbehave
        first, second = read(settings_for(server), lambda: None)
    assert () == first.samples
    assert said in (first.error or "")
    assert first.error == second.error
    assert "200" == first.facts["health"]


@pytest.mark.parametrize("misbehave", [standin.say_nothing, standin.drip], ids=lambda value: value.__name__)
def test_a_slow_server_is_left_at_the_deadline(misbehave: Callable[[Request], None]) -> None:
    """Neither silence nor a byte now and then holds a reading beyond its timeout."""
    with StandInVllm(PAGE) as server:
        server.misbehave = misbehave
        (reading,) = read(settings_for(server, timeout=SOON))
    assert "/metrics timed out after 0.3s" == reading.error
    assert reading.duration_seconds < LATE / 2


def test_an_endless_body_is_left_when_it_is_too_large() -> None:
    """No more of a page is held than `max_body`."""
    with StandInVllm(PAGE) as server:
        server.misbehave = standin.never_end
        (reading,) = read(settings_for(server, max_body=Bytes(1 << 20)))
    assert "the body of /metrics is larger than 1MiB" == reading.error


def test_a_server_that_is_not_there_refuses_and_comes_back() -> None:
    """The reading says so, health is unreachable, and nothing needs a restart."""
    server = StandInVllm(PAGE)
    with server:
        port = server.port
    with contextlib.ExitStack() as stack:

        def start() -> None:
            stack.enter_context(StandInVllm(PAGE, port=port))

        down, up = read(VllmSettings(url=f"http://127.0.0.1:{port}"), start)
    assert ("connection refused", {"health": "unreachable"}) == (down.error, down.facts)
    assert (None, (SAMPLE,)) == (up.error, up.samples)


def test_a_host_without_an_address_is_said() -> None:
    """A name that does not resolve is told from a port that refuses."""
    (reading,) = read(VllmSettings(url="http://no-such-host.invalid:8000", timeout=Seconds(LATE)))
    assert "cannot resolve the host" in (reading.error or "")


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a self-signed certificate for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("tls")
    key, cert = directory / "key.pem", directory / "cert.pem"
    openssl = shutil.which("openssl")
    assert openssl is not None
    subprocess.run(
        (
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert),
        ),
        check=True,
        capture_output=True,
    )
    return key, cert


def test_a_ca_file_of_the_user_is_trusted_and_nothing_else(certificate: tuple[Path, Path]) -> None:
    """With the file the page is read; without it the certificate is refused, in words."""
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with StandInVllm(PAGE, tls=context) as server:
        (trusted,) = read(settings_for(server, ca_file=cert))
        (refused,) = read(settings_for(server))
    assert (None, (SAMPLE,)) == (trusted.error, trusted.samples)
    assert "certificate refused: self-signed certificate" == refused.error


def test_a_server_that_speaks_no_tls_is_said() -> None:
    """https to a plain port is told from a server that is down."""
    with StandInVllm(PAGE) as server:
        (reading,) = read(settings_for(server, url=server.url.replace("http:", "https:")))
    assert "TLS failed: " in (reading.error or "")


def test_a_ca_file_that_vanished_is_an_error_in_words(tmp_path: Path) -> None:
    """The reading names the file."""
    (reading,) = read(VllmSettings(url="https://127.0.0.1:9", ca_file=tmp_path / "gone.pem"))
    assert f"cannot use ca_file {tmp_path / 'gone.pem'}: no such file or directory" == reading.error


# --- settings


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("https://llm.example", "llm.example:443"),
        ("http://[::1]:8000/", "[::1]:8000"),
    ],
)
def test_a_server_without_a_name_is_called_by_host_and_port(url: str, server: str) -> None:
    """The label `server` is never empty."""
    assert server == VllmSettings(url=url).server
    assert "llama" == VllmSettings(url=url, name="llama").server


def test_the_defaults_have_no_problems() -> None:
    """What a user gets without a file can be used."""
    assert [] == list(VllmSettings().problems())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "127.0.0.1:8000"}, "url"),
        ({"url": "ftp://host"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://host:port"}, "url"),
        ({"url": "http://host:70000"}, "url"),
        ({"url": "http://[::1"}, "url"),
        ({"url": "http://me:hunter2@host:8000"}, "url"),
        ({"url": "http://host:8000/?key=hunter2"}, "url"),
        ({"url": "http://host:8000/metrics"}, "url"),
        ({"interval": Seconds(0.0)}, "interval"),
        ({"timeout": Seconds(-1.0)}, "timeout"),
        ({"stale_after": Seconds(1.0)}, "stale_after"),
        ({"max_body": Bytes(0)}, "max_body"),
        ({"headers": {"X Bad": Secret("v")}}, "headers.X Bad"),
        ({"headers": {"X-Good": Secret("hunter2\r\nX-Evil: 1")}}, "headers.X-Good"),
        ({"bearer": Secret("hunter2\n")}, "bearer"),
        ({"bearer": Secret("hunter2"), "headers": {"authorization": Secret("v")}}, "bearer"),
        ({"ca_file": Path("/nonexistent/ca.pem")}, "ca_file"),
    ],
)
def test_settings_that_cannot_work_are_named_without_their_secrets(change: dict[str, Any], field: str) -> None:
    """The problem names its field, and never repeats a credential."""
    ((found, message),) = VllmSettings(**change).problems()
    assert field == found
    assert "hunter2" not in message
