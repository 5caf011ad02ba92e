"""Bytes become the same lines however they are cut."""

from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_vigil.lines.split import LINE_LIMIT_BYTES, Piece, Splitter


def lines_of(*blocks: bytes, offset: int = 0) -> list[Piece]:
    """What a splitter makes of blocks."""
    splitter = Splitter(offset)
    return [piece for block in blocks for piece in splitter.feed(block)]


def test_lines_carry_where_they_begin_and_where_the_next_one_does() -> None:
    """Offsets count from where the splitter began, and the line end belongs to the line."""
    assert [Piece(b"a", 10, 12, soft=False), Piece(b"", 12, 13, soft=False)] == lines_of(b"a\n\nrest", offset=10)


def test_a_line_without_its_end_is_held_until_it_comes() -> None:
    """Byte by byte, one line, once."""
    splitter = Splitter(0)
    given_early = [piece for byte in b"one line" for piece in splitter.feed(bytes([byte]))]
    assert ([], 0, 8) == (given_early, splitter.start, splitter.at)
    assert [Piece(b"one line", 0, 9, soft=False)] == splitter.feed(b"\n")


def test_a_carriage_return_before_the_line_end_makes_the_line_soft() -> None:
    """So vLLM marks a record that goes on; the CR itself is not part of the line."""
    assert [Piece(b"head", 0, 6, soft=True), Piece(b"end", 6, 10, soft=False)] == lines_of(b"head\r", b"\nend\n")


def test_of_a_progress_bar_only_what_follows_the_last_carriage_return_is_the_line() -> None:
    """Each step overwrites the one before, as on a terminal."""
    assert [Piece(b"100%", 0, 16, soft=False)] == lines_of(b"\r  0%\r", b" 50%\r1", b"00%\n")


def test_nul_bytes_and_only_they_are_taken_out() -> None:
    """Invalid UTF-8 stays as it is; NULs are what a writer that does not append leaves."""
    assert [Piece(b"\xff\xfe\x80", 0, 7, soft=False)] == lines_of(b"\0\0\xff\xfe\0\x80\n")


def test_a_very_long_line_keeps_its_first_part_and_counts_the_rest() -> None:
    """The line is cut at the limit; its end is right, so the next one is whole."""
    splitter = Splitter(0)
    pieces = splitter.feed(b"x" * (LINE_LIMIT_BYTES + 7) + b"\nnext\n")
    assert [LINE_LIMIT_BYTES, 4] == [len(piece.data) for piece in pieces]
    assert LINE_LIMIT_BYTES + 8 == pieces[1].offset
    assert [7, 0] == [splitter.take_cut(), splitter.take_cut()]


def test_a_line_that_never_ends_costs_the_limit_and_no_more() -> None:
    """100 MiB without a line end are not held."""
    block = b"x" * (1 << 20)
    splitter = Splitter(0)
    tracemalloc.start()
    try:
        for _ in range(100):
            splitter.feed(block)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 << 20
    assert 100 << 20 == splitter.at


def test_a_line_that_will_not_be_ended_is_given_as_it_is() -> None:
    """When its file is gone there is nothing to wait for, and nothing is given where nothing is held."""
    splitter = Splitter(0)
    splitter.feed(b"whole\nhalf")
    assert Piece(b"half", 6, 10, soft=False) == splitter.finish()
    assert None is splitter.finish()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60).map(lambda data: bytes(b"a\r\n\0"[byte % 4] for byte in data)), st.data())
def test_lines_do_not_depend_on_how_the_bytes_were_cut(data: bytes, draw: st.DataObject) -> None:
    """Any cuts give what one block gives."""
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    blocks = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert lines_of(data) == lines_of(*blocks)
