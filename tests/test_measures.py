"""Columns of points read as the points that they stand for."""

from __future__ import annotations

from vllm_vigil.model import Point, Points, labels

ONE, TWO = labels(engine="0"), labels(engine="1")
POINTS = (Point(ONE, 1.0, "_sum"), Point(TWO, 2.0, "_count"))
COLUMNS = Points((ONE, TWO), (1.0, 2.0), ("_sum", "_count"))


def test_columns_are_the_sequence_of_their_points() -> None:
    """One by one, by place, and cut; equal to the same points however they are kept."""
    assert POINTS == tuple(COLUMNS)
    assert all(isinstance(point, Point) for point in COLUMNS)
    assert (2, POINTS[1], POINTS[:1]) == (len(COLUMNS), COLUMNS[-1], COLUMNS[:1])
    assert COLUMNS == POINTS
    assert COLUMNS == Points.of(POINTS)
    assert COLUMNS != POINTS[:1]
    assert hash(POINTS) == hash(COLUMNS)


def test_points_become_columns_and_columns_stay_themselves() -> None:
    """Also where there are none."""
    assert Points.of(COLUMNS) is COLUMNS
    assert (ONE, TWO) == Points.of(POINTS).labels
    assert not Points.of(())


def test_columns_are_joined_end_to_end() -> None:
    """As two servers of one series are."""
    assert (*POINTS, *POINTS) == tuple(Points.end_to_end([COLUMNS, Points.of(POINTS)]))
