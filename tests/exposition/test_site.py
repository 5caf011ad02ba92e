"""Requests over a real socket -> the answers of the contract."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator

import httpx
import pytest

from standins.listening import client, listening
from standins.scenes import engine, incident, quiet, small_snapshot
from standins.sidecar import StandInSidecar
from vllm_vigil.exposition.site import BODY_BYTES, is_ours
from vllm_vigil.exposition.web_config import WebConfig
from vllm_vigil.model import EngineState

ROUTES = {
    "/": "GET, HEAD",
    "/metrics": "GET, HEAD",
    "/api/v1/status": "GET, HEAD",
    "/health": "GET, HEAD",
    "/ready": "GET, HEAD",
    "/-/healthy": "GET, HEAD",
    "/-/ready": "GET, HEAD",
    "/-/reload": "POST",
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[StandInSidecar, httpx.Client]]:
    """One listener for all tests of this module: each sets the facts that it needs."""
    sidecar = quiet()
    with listening(sidecar) as port, client(port) as made:
        yield sidecar, made


@pytest.fixture
def sidecar(served: tuple[StandInSidecar, httpx.Client]) -> StandInSidecar:
    vars(served[0]).update(vars(quiet()))
    return served[0]


@pytest.fixture
def http(sidecar: StandInSidecar, served: tuple[StandInSidecar, httpx.Client]) -> httpx.Client:  # noqa: ARG001  # reset
    return served[1]


@pytest.mark.parametrize("path", [path for path, allowed in ROUTES.items() if allowed == "GET, HEAD"])
def test_every_page_answers_get_and_head_alike(http: httpx.Client, path: str) -> None:
    """HEAD gives the status and the headers of GET, and no body."""
    got, head = http.get(path, headers={"Accept-Encoding": ""}), http.head(path, headers={"Accept-Encoding": ""})
    assert (200, 200, b"") == (got.status_code, head.status_code, head.content)
    assert got.headers["content-type"] == head.headers["content-type"]
    assert str(len(got.content)) == got.headers["content-length"]


@pytest.mark.parametrize(("path", "allowed"), ROUTES.items())
def test_a_method_that_a_path_does_not_have_is_refused_with_those_it_has(
    http: httpx.Client, path: str, allowed: str
) -> None:
    """405 and Allow, for every path."""
    for method in {"GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"} - set(allowed.split(", ")):
        answer = http.request(method, path)
        assert (405, allowed) == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize("path", ["/<script>", "/metrics/", "/-/quit", "/api/v1/alerts/webhook", "/%2e%2e/metrics"])
def test_a_path_that_does_not_exist_is_404(http: httpx.Client, path: str) -> None:
    """The answer is always the same, and holds no word of the request."""
    answer = http.post(path) if "webhook" in path else http.get(path)
    assert answer.status_code == 404
    assert answer.text == "there is nothing here; / shows the status, /metrics the metrics\n"


def test_a_browser_is_told_to_run_nothing(http: httpx.Client) -> None:
    """The page allows its own style and nothing else, is not sniffed, framed, stored or told of elsewhere."""
    headers = http.get("/").headers
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert ("nosniff", "no-referrer", "no-store") == (
        headers["x-content-type-options"],
        headers["referrer-policy"],
        headers["cache-control"],
    )
    assert "server" not in headers


def test_headers_of_the_web_config_are_on_every_answer() -> None:
    """What http_server_config.headers says is sent, and replaces ours of the same name."""
    web = WebConfig(headers={"X-Frame-Options": "deny", "Content-Security-Policy": "default-src 'self'"})
    with listening(quiet(), web) as port, client(port) as http:
        answer = http.get("/nothing")
    assert ("deny", "default-src 'self'") == (
        answer.headers["x-frame-options"],
        answer.headers["content-security-policy"],
    )


def test_metrics_are_negotiated_by_the_two_accept_headers(http: httpx.Client) -> None:
    """Format by Accept, gzip by Accept-Encoding."""
    plain = http.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "text/plain; version=0.0.4; charset=utf-8" == plain.headers["content-type"]
    modern = http.get("/metrics", headers={"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"})
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert modern.headers["content-encoding"] == "gzip"
    assert modern.text.endswith("# EOF\n")
    with http.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as raw:
        assert b"llm_requests_running" in gzip.decompress(b"".join(raw.iter_raw()))


def test_the_status_is_the_document_of_the_facts(http: httpx.Client) -> None:
    """`/api/v1/status` is JSON, and its headline that of the page."""
    status = http.get("/api/v1/status").json()
    assert status["headline"]["serving"] is True
    assert status["headline"]["text"] in http.get("/").text


def test_one_server_of_several_can_be_asked_for(sidecar: StandInSidecar, http: httpx.Client) -> None:
    """`?server=` narrows /health and /ready down; without it all must be fine."""
    sidecar.server_names = ("a", "b")
    sidecar.health = (engine(EngineState.HEALTHY, "a"), engine(EngineState.DEAD, "b"))
    paths = ("/health", "/health?server=a", "/ready?server=b", "/ready?server=c", "/ready?server=")
    assert [503, 200, 503, 404, 404] == [http.get(path).status_code for path in paths]


def test_a_reload_is_asked_of_the_app_once(sidecar: StandInSidecar, http: httpx.Client) -> None:
    """POST /-/reload says that it was done."""
    answer = http.post("/-/reload")
    assert (200, "reloaded\n", 1) == (answer.status_code, answer.text, sidecar.reloads)


def test_a_reload_that_is_refused_says_why(sidecar: StandInSidecar, http: httpx.Client) -> None:
    """A bad file is 500, as with Prometheus, with the reason."""
    sidecar.reload_error = "vigil.yaml:3: vllm.ulr: unknown key"
    answer = http.post("/-/reload")
    assert (500, "the last good one stays: vigil.yaml:3: vllm.ulr: unknown key\n") == (answer.status_code, answer.text)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_another_sites_page_cannot_reload(sidecar: StandInSidecar, http: httpx.Client, headers: dict[str, str]) -> None:
    """A POST that a browser sends from elsewhere is refused, and does nothing."""
    assert (403, 0) == (http.post("/-/reload", headers=headers).status_code, sidecar.reloads)


def test_our_own_page_may_reload(sidecar: StandInSidecar, http: httpx.Client) -> None:
    """An Origin that is the Host is no stranger."""
    origin = f"http://127.0.0.1:{http.base_url.port}"
    answer = http.post("/-/reload", headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"})
    assert (200, 1) == (answer.status_code, sidecar.reloads)


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("", True),
        ("127.0.0.1:9877", True),
        ("10.0.0.7", True),
        ("[::1]:9877", True),
        ("[::ffff:127.0.0.1]:9877", True),
        ("localhost:9877", True),
        ("LOCALHOST", True),
        ("vigil.localhost:9877", True),
        ("gpu-host-3:9877", True),
        ("evil.example:9877", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil-localhost.example", False),
        ("evil.example.", False),
    ],
)
def test_a_host_that_a_stranger_could_own_is_not_ours(host: str, ours: bool) -> None:  # noqa: FBT001  # a table
    """IP addresses, localhost and names without a dot are ours, whatever the port."""
    assert ours is is_ours(host)


def test_a_rebound_name_gets_nothing_on_loopback(http: httpx.Client) -> None:
    """A page whose name was pointed at 127.0.0.1 reads no metrics."""
    answer = http.get("/metrics", headers={"Host": "evil.example:9877"})
    assert answer.status_code == 421
    assert "llm_" not in answer.text


def test_any_host_is_answered_on_a_public_address() -> None:
    """Who listens for others is reached under names that we cannot know."""
    with listening(quiet(), host="0.0.0.0") as port, client(port) as http:  # noqa: S104  # what is tested
        assert http.get("/-/healthy", headers={"Host": "gpu3.example.com"}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_body_that_nobody_needs_is_read_away(http: httpx.Client, method: str) -> None:
    """A short body changes nothing, and the connection stays usable."""
    path = "/-/reload" if method == "POST" else "/-/healthy"
    statuses = [http.request(method, path, content=b"x" * 1000).status_code for _ in range(2)]
    assert [200, 200] == statuses


def test_a_body_too_long_is_refused_and_does_nothing(sidecar: StandInSidecar, http: httpx.Client) -> None:
    """413, for a declared length, for chunks, and for a client that asks first."""
    long = b"x" * (BODY_BYTES + 1)
    declared = http.post("/-/reload", content=long)
    chunked = http.post("/-/reload", content=iter([long[:40_000], long[40_000:]]))
    asked = http.post("/-/reload", content=long, headers={"Expect": "100-continue"})
    assert [413, 413, 413] == [answer.status_code for answer in (declared, chunked, asked)]
    assert sidecar.reloads == 0


def test_a_body_that_ends_early_does_nothing(sidecar: StandInSidecar, http: httpx.Client) -> None:
    """A client that goes away in the middle of its body has asked for nothing."""
    with socket.create_connection(("127.0.0.1", http.base_url.port or 0)) as raw:
        raw.sendall(b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
    assert http.get("/-/healthy").status_code == 200
    assert sidecar.reloads == 0


def test_nonsense_is_answered_400_and_a_head_without_end_too(http: httpx.Client) -> None:
    """What is not HTTP, or a head longer than any client's, is refused and cut off."""
    for nonsense in (b"\x16\x03\x01\x02\x00hello\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000):
        with socket.create_connection(("127.0.0.1", http.base_url.port or 0), timeout=60) as raw:
            raw.sendall(nonsense)
            assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_facts_that_change_are_answered_at_once(sidecar: StandInSidecar, http: httpx.Client) -> None:
    """Nothing but the rendering of one snapshot is kept."""
    sidecar.open = (incident(),)
    assert "CUDA out of memory" in http.get("/").text
    sidecar.series = small_snapshot()
    sidecar.heartbeat, sidecar.missing_parts = 31.0, ("nvml",)
    assert [503, 503] == [http.get(path).status_code for path in ("/-/healthy", "/-/ready")]
