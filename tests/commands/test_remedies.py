"""What `vigil doctor` advises, from the words that the sources really use."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest

from standins.channels import CERTIFICATE
from standins.vllm import Request, StandInVllm
from vllm_vigil.cli import main
from vllm_vigil.commands.remedies import ROWS


def status(number: int) -> Callable[[Request], None]:
    """Answers with that status and nothing else."""

    def answer(request: Request) -> None:
        request.send_error(number)

    return answer


def advice(url: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The line about one server."""
    assert main(["doctor", "--vllm", f"llama={url}"]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("vllm llama: TROUBLE: "))
    assert f" ({url})" in line
    return line.partition("; to do: ")[2]


@pytest.mark.parametrize(
    ("number", "words"),
    [(401, "bearer_file"), (403, "bearer_file"), (404, "without /v1"), (302, "sends to"), (502, "read the log")],
)
def test_a_status_has_its_remedy(number: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a proxy, a wrong path and a wrong address answer."""
    with StandInVllm() as server:
        server.misbehave = status(number)
        assert words in advice(server.url, capsys)


def test_what_is_no_page_has_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty page, a port where nobody listens, a name that nobody knows."""
    with StandInVllm("") as server:
        assert "see that url" in advice(server.url, capsys)
    assert "see that vLLM runs" in advice(server.url, capsys)
    assert "host name" in advice("http://nobody.invalid:8000", capsys)


def test_tls_where_there_is_none_and_none_where_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Each side says what to write."""
    with StandInVllm("up 1\n") as server:
        assert "write http://" in advice(server.url.replace("http:", "https:"), capsys)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with StandInVllm("up 1\n", tls=context) as server:
        assert "ca_file" in advice(server.url, capsys)
        assert "write https://" in advice(server.url.replace("https:", "http:"), capsys)


def test_a_machine_without_a_gpu_is_told_how_to_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    """The driver's library is not found, which is no trouble where there is no GPU."""
    main(["doctor"])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("nvml"))
    assert line.endswith("to do: on a machine without one set gpu: {enabled: false}")


def test_no_row_hides_behind_another() -> None:
    """Each pattern stands once, and each remedy says something of its own."""
    patterns, remedies = zip(*ROWS, strict=True)
    assert len(ROWS) == len(set(patterns)) == len(set(remedies))
