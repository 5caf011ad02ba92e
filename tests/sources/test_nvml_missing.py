"""Which GPUs answered before and do not now."""

from __future__ import annotations

from vllm_vigil.sources.nvml_missing import Missing


def test_a_gpu_that_answered_before_is_lost_until_it_answers_again() -> None:
    """The driver says why, or shows it no more: then others have moved up."""
    missing = Missing()
    missing.note({"GPU-a": 0, "GPU-b": 1}, {})
    assert ((), {}) == (missing.lost, missing.whys)
    missing.note({"GPU-a": 0}, {1: "GPU is lost"})
    assert (("GPU 1 (GPU-b)",), {"GPU 1 (GPU-b)": "GPU is lost"}) == (missing.lost, missing.whys)
    missing.note({"GPU-b": 0}, {})
    assert (("GPU 0 (GPU-a)",), {"GPU 0 (GPU-a)": "the driver shows it no more"}) == (missing.lost, missing.whys)
    missing.note({"GPU-a": 0, "GPU-b": 1}, {})
    assert ((), {}) == (missing.lost, missing.whys)


def test_one_that_never_answered_is_missing_and_was_not_lost() -> None:
    """Nobody knows its UUID."""
    missing = Missing()
    missing.note({"GPU-a": 0}, {1: "Unknown Error"})
    assert ((), {"GPU 1": "Unknown Error"}) == (missing.lost, missing.whys)
