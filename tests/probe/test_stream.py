"""An event stream is read as it was written, however its bytes are cut, and what vLLM means by an event is known."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.probe.stream import Events, Piece, piece_of


def read(*pieces: bytes) -> list[str]:
    """The payloads of a whole stream."""
    events = Events()
    found = [payload for piece in pieces for payload in events.feed(piece)]
    return [*found, *events.end()]


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b"data: a\n\ndata: [DONE]\n\n", ["a", "[DONE]"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b"data:a\n\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b": keep-alive\n\ndata: a\n\n", ["a"]),
        (b"event: message\nid: 7\nretry: 9\ndata: a\n\n", ["a"]),
        (b"data: a", ["a"]),
        (b"data: a\n", ["a"]),
        (b"data: a\r", ["a"]),
        (b"data\n\n\n\n", [""]),
        (b"", []),
        ("data: 하루 \u2028\x85\n\n".encode(), ["하루 \u2028\x85"]),
        (b"data: \xff\n\n", ["\ufffd"]),
    ],
)
def test_a_stream_gives_its_payloads(stream: bytes, payloads: list[str]) -> None:
    """By the standard's rules for line ends, comments and fields; nothing else ends a line."""
    assert payloads == read(stream)


LINES = st.lists(st.sampled_from(["data: a", "data: 하루", ": x", "", "data: {}", "event: e", "data:"]), max_size=8)


@given(lines=LINES, end=st.sampled_from(["\n", "\r\n", "\r"]), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_it_does_not_matter_where_the_bytes_are_cut(lines: list[str], end: str, cuts: list[int]) -> None:
    """Between the two characters of a line end, or inside one character."""
    whole = (end.join(lines) + end + end).encode()
    at = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    pieces = [whole[begin:stop] for begin, stop in pairwise(at)]
    assert read(whole) == read(*pieces)


@pytest.mark.parametrize(
    ("document", "piece"),
    [
        ({"choices": [{"text": "a", "finish_reason": None}]}, Piece("a", said=True)),
        ({"choices": [{"text": "", "finish_reason": "length"}]}, Piece(finish="length")),
        ({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, Piece()),
        ({"choices": [{"delta": {"content": "a"}}]}, Piece("a", said=True)),
        ({"choices": [{"delta": {"reasoning_content": "hm"}}]}, Piece(said=True)),
        ({"choices": [{"delta": {"reasoning": "hm"}}]}, Piece(said=True)),
        ({"choices": [], "usage": {"completion_tokens": 7}}, Piece(tokens=7)),
        ({"choices": [], "usage": {"completion_tokens": True}}, Piece()),
        ({"choices": [], "usage": None}, Piece()),
        ({"choices": "none"}, Piece()),
        ({"choices": [{"text": 7}]}, Piece(said=True)),
        (
            {"error": {"type": "InternalServerError", "message": "dead", "code": 500}},
            Piece(error="an error of type InternalServerError", detail="dead"),
        ),
        ({"error": {"code": 500}}, Piece(error="an error of type 500")),
        ({"error": "dead"}, Piece(error="an error")),
        ({"error": {"type": "what the prompt said"}}, Piece(error="an error")),
        (
            {"object": "error", "type": "BadRequestError", "message": "no", "code": 400},
            Piece(error="an error of type BadRequestError", detail="no"),
        ),
        ([], Piece(error="an event that is not a JSON object")),
    ],
)
def test_an_event_of_vllm_is_understood(document: object, piece: Piece) -> None:
    """Text, thought, end, usage, and both shapes of an error; what is not as expected breaks nothing."""
    assert piece == piece_of(json.dumps(document))


@pytest.mark.parametrize("payload", ["", "{", "<html>", "[" * 100_000])
def test_what_is_no_json_is_an_error(payload: str) -> None:
    """Such as a proxy's page."""
    assert Piece(error="an event that is not JSON") == piece_of(payload)
