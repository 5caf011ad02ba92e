"""The keys of what was stitched together are the same object from one answer to the next, until they are others."""

from __future__ import annotations

from vllm_vigil.sources.nvml_columns import Column, Stitched

A, B, C = (("gpu_a", ()), ("gpu_b", ()), ("gpu_c", ()))


def test_numbers_alone_leave_the_keys_as_they_are() -> None:
    """By identity, which is what makes the next steps cheap."""
    one, two, both = Column(), Column(), Stitched()
    one.take([(A, 1.0), (B, 2.0)])
    two.take([(C, 3.0)])
    before = both.stitch([one, two]).keys
    one.take([(A, 5.0), (B, 6.0)])
    after = both.stitch([one, two])
    assert after.keys is before
    assert (after.keys, after.values) == ((A, B, C), (5.0, 6.0, 3.0))


def test_a_key_more_or_less_is_seen() -> None:
    """Also a column that came, went or changed places."""
    one, two, both = Column(), Column(), Stitched()
    one.take([(A, 1.0)])
    two.take([(B, 2.0)])
    assert both.stitch([one, two]).keys == (A, B)
    two.take([])
    assert both.stitch([one, two]).keys == (A,)
    two.take([(C, 4.0)])
    assert both.stitch([two, one]).keys == (C, A)
    assert both.stitch([one]).values == (1.0,)
