"""A sample name of any vLLM -> the rows of the table that it serves, and how old a spelling it is for each.

vllm:prompt_tokens_total        vLLM's own
ray_vllm_prompt_tokens_total    through Ray (0.11 on; before, ray_vllm: or vllm: behind ray_)
ray_vllm_prompt_tokens          the same once more: Ray gives each counter without `_total` too, or only so
prompt_tokens_total             NIM's
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vllm_vigil.series.spec import Kind
from vllm_vigil.series.vllm import LEFT_OUT, VLLM_ROWS, Upstream, VllmRow

HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")
VLLM = "vllm:"
RAY = ("ray_vllm_", "ray_vllm:", "vllm_")

_BARE_COUNTER = 100
"""Added to the age of a spelling that Ray gives beside a better one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One row's use for one sample name: `age` 0 is the row's newest spelling."""

    row: VllmRow
    upstream: Upstream
    age: int
    suffix: str


def _table() -> dict[str, tuple[Claim, ...]]:
    found: dict[str, tuple[Claim, ...]] = {}
    for row in VLLM_ROWS:
        suffixes = HISTOGRAM_SUFFIXES if row.spec.kind is Kind.HISTOGRAM else ("",)
        for age, upstream in enumerate(row.upstream):
            for suffix in suffixes:
                name = upstream.name + suffix
                found[name] = (*found.get(name, ()), Claim(row, upstream, age, suffix))
    return found


_CLAIMS = _table()
_LEFT_OUT = {name + suffix for each in LEFT_OUT for name in each.names for suffix in ("", *HISTOGRAM_SUFFIXES)}


def claims_of(name: str) -> tuple[Claim, ...]:
    """The rows that a sample name serves. One may serve two: the count of `vllm:iteration_tokens_total` is a step."""
    exact = _CLAIMS.get(name)
    if exact is not None or name.startswith(VLLM):
        return exact or ()
    for plain in _undressed(name):
        if plain in _CLAIMS:
            return _CLAIMS[plain]
    if name.startswith(("ray_", "vllm_")):
        bare = (_CLAIMS.get(f"{plain}_total", ()) for plain in _undressed(name))
        return tuple(Claim(c.row, c.upstream, c.age + _BARE_COUNTER, c.suffix) for found in bare for c in found)
    return ()


def is_expected(name: str) -> bool:
    """Whether a name that no row claims is known all the same: left out for a reason, or when something was made."""
    return name.endswith("_created") or name in _LEFT_OUT or any(plain in _LEFT_OUT for plain in _undressed(name))


def _undressed(name: str) -> Iterator[str]:
    """What vLLM itself would call it."""
    for prefix in RAY:
        if name.startswith(prefix):
            yield f"{VLLM}{name.removeprefix(prefix)}"
            return
    if ":" not in name:
        yield f"{VLLM}{name}"
