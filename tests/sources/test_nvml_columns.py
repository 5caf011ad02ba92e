"""The keys of what was put together are the same object from one answer to the next, until they are others."""

from __future__ import annotations

from vllm_vigil.sources.nvml_columns import Sheet, Stitched

A, B, C = (("gpu_a", ()), ("gpu_b", ()), ("gpu_c", ()))


def test_numbers_alone_leave_the_keys_as_they_are() -> None:
    """By identity, which is what makes the next steps cheap."""
    sheet = Sheet()
    one, two = sheet.column(), sheet.column()
    sheet.write(one, [A, B], [1.0, 2.0])
    sheet.write(two, [C], [3.0])
    sheet.mend()
    before = sheet.keys
    sheet.write(two, [C], [4.0])
    sheet.mend()
    sheet.write(one, [A, B], [5.0, 6.0])
    sheet.mend()
    assert before is sheet.keys
    assert ((A, B, C), [5.0, 6.0, 4.0]) == (sheet.keys, sheet.values)


def test_a_key_more_or_less_is_seen() -> None:
    """Also when other columns get numbers in the same reading, before it and after it."""
    sheet = Sheet()
    one, two, three = sheet.column(), sheet.column(), sheet.column()
    for column, key in ((one, A), (two, B), (three, C)):
        sheet.write(column, [key], [1.0])
    sheet.mend()
    sheet.write(one, [A], [2.0])
    sheet.write(two, (), ())
    sheet.write(three, [C], [3.0])
    sheet.mend()
    assert ((A, C), [2.0, 3.0]) == (sheet.keys, sheet.values)
    sheet.write(three, [C], [4.0])
    sheet.mend()
    assert [2.0, 4.0] == sheet.values


def test_the_sheets_of_all_gpus_are_one_below_the_other() -> None:
    """A sheet that came, went or changed places is seen; numbers alone leave the keys."""
    one, two, both = Sheet(), Sheet(), Stitched()
    for sheet, key in ((one, A), (two, B)):
        sheet.write(sheet.column(), [key], [1.0])
        sheet.mend()
    before = both.stitch([one, two]).keys
    one.values[0] = 7.0
    assert before is both.stitch([one, two]).keys
    assert ((A, B), (7.0, 1.0)) == (both.keys, both.values)
    assert (B, A) == both.stitch([two, one]).keys
    assert (7.0,) == both.stitch([one]).values
