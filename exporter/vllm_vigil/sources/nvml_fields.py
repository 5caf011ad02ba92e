"""NVML's numbered fields of one GPU, asked together again and again -> an error code and a number for each.

pynvml would make the structures anew at every call and fill them member by member, a microsecond each, and a GPU has
200 fields. Here the question is written once, and all answers are unpacked in one go.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Sequence
from typing import Any

from vllm_vigil.sources.nvml_tiers import FUNCTION_NOT_FOUND

QUESTION = struct.Struct("=II32x")
"""nvmlFieldValue_t, in which field and scope are asked. After them stand time, latency, type, error and value."""

VALUES = ("d", "I4x", "Q", "Q", "q", "i4x", "H6x")
"""How a value is to be read, by its type."""

WHOLE = 2
"""The type of most, which is what is expected at first."""


class Fields:
    """A question to one GPU; `wanted` are pairs of field and scope."""

    def __init__(self, nvml: Any, handle: Any, wanted: Sequence[tuple[int, int]]) -> None:
        self._nvml = nvml
        self._handle = handle
        self._count = len(wanted)
        asked = b"".join([QUESTION.pack(field, scope) for field, scope in wanted])
        self._memory = ctypes.create_string_buffer(asked, len(asked))
        self._types = (WHOLE,) * self._count

    def ask(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The error code of each, 0 for none, and the number. Raises the error that concerns all of them."""
        call = getattr(self._nvml.nvmlLib, "nvmlDeviceGetFieldValues", None)
        code = call(self._handle, self._count, self._memory) if call else FUNCTION_NOT_FOUND
        if code:
            raise self._nvml.NVMLError(code)
        answers = _layout(self._types).unpack(self._memory)
        if answers[::3] != self._types:
            self._types = answers[::3]
            answers = _layout(self._types).unpack(self._memory)
        return answers[1::3], answers[2::3]


@functools.lru_cache(maxsize=64)
def _layout(types: tuple[int, ...]) -> struct.Struct:
    """Type, error and value of each answer. Of one with a type that is not known the value means nothing."""
    values = (VALUES[type_] if type_ < len(VALUES) else VALUES[WHOLE] for type_ in types)
    return struct.Struct("=" + "".join([f"24xII{value}" for value in values]))
