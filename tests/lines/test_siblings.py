"""Names that rotation gives are told from names of logs."""

from __future__ import annotations

from vllm_vigil.lines.siblings import rotated

FOUND = {"/l/vllm.log", "/l/vllm-0.log", "/l/vllm-1.log", "/l/vllm"}


def test_names_that_logrotate_gives_are_rotated() -> None:
    """Numbers and dates after the whole name, dates before the suffix, and anything compressed."""
    names = ["vllm.log.1", "vllm.log-20261121", "vllm.log.2026-11-21", "vllm-20261121.log", "other.log.2.gz"]
    assert [] == [name for name in names if not rotated(f"/l/{name}", FOUND)]


def test_the_logs_of_replicas_are_not_rotated() -> None:
    """A number before the suffix is a replica; a number whose base is not there is just a name."""
    assert [] == [name for name in ["/l/vllm.log", "/l/vllm-0.log", "/l/gpu.log.1"] if rotated(name, FOUND)]
