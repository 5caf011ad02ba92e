"""A machine file -> the answers of NVML, for `gpu.machine`: the demo's GPUs, or a recording of someone else's.

It stands where pynvml does and is asked by the same code through the same rows, so that a series of a played GPU is one
of a real GPU in all but its number. The file is what `scripts/record-gpu` writes, one fact a line; a later line
overrules an earlier one, a call without a line is not supported, as on a GPU that lacks it:

    driver 570.133.20         a fact of the host: driver, cuda, count
    gpu0 PowerUsage 627400    what nvmlDeviceGetPowerUsage gives for GPU 0: numbers, or text
    gpu* ClockInfo.1 1980     the same for every GPU without a line of its own; .1 is the argument of the call
    gpu0 Field.140.3 77       nvmlDeviceGetFieldValues: field 140, scope 3
    gpu1 * !15                every call on GPU 1 fails with this code (15: lost)
    event.1 0 8 79            the first event: on GPU 0, of type 8 (XID), data 79

The file is looked at when the GPUs are counted, which is once a reading, and while events are waited for.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FIELD = struct.Struct("=IIqqIId")
"""nvmlFieldValue_t with a number of type 0, a double."""

LOOK_SECONDS = 0.02
TEXTS = frozenset({"Name", "UUID", "Serial", "VbiosVersion"})
MEMBERS = {
    "UtilizationRates": ("gpu", "memory"),
    "MemoryInfo": ("total", "reserved", "free", "used"),
    "BAR1MemoryInfo": ("bar1Total", "bar1Free", "bar1Used"),
    "ConfComputeProtectedMemoryUsage": ("total", "free", "used"),
    "RowRemapperHistogram": ("max", "high", "partial", "low", "none"),
    "C2cModeInfoV1": ("isC2cEnabled",),
    "ViolationStatus": ("violationTime",),
}
"""Calls that answer with a structure, and the order of its members in the file."""

STRUCTURES = {
    "SramEccErrorStatus": (
        *("aggregateUncParity", "aggregateUncSecDed", "aggregateCor", "volatileUncParity", "volatileUncSecDed"),
        *("volatileCor", "aggregateUncBucketL2", "aggregateUncBucketSm", "aggregateUncBucketPcie"),
        *("aggregateUncBucketMcu", "aggregateUncBucketOther", "bThresholdExceeded"),
    ),
    "GpuFabricInfo": ("state", "cliqueId", "healthMask"),
}
"""Calls that fill a structure of the caller's."""

NAMES = {"C2cModeInfoV1": "C2cModeInfo", "GpuFabricInfoV": "GpuFabricInfo"}
"""How the file calls what NVML has numbered."""


class PlayedNvml:
    """What `nvml.py`, its parts and the rows use of pynvml. `binding` is pynvml: its errors, numbers and structures."""

    def __init__(self, binding: Any, path: Path) -> None:
        self._binding = binding
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._facts: dict[tuple[str, str], str] = {}
        self._sampled: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        """A call on a GPU by its name; of the rest only what is no call, for nothing here may reach a driver."""
        if name.startswith("nvmlDeviceGet"):
            call = name.removeprefix("nvmlDeviceGet").removesuffix("_v2").removesuffix("_v3")
            return lambda gpu, *arguments, **_: self._device(call, gpu, arguments)
        found = getattr(self._binding, name, None)
        if found is None or (name.startswith("nvml") and callable(found)):
            raise AttributeError(f"a played machine has no {name}", name=name, obj=self)
        return found

    # --- the host

    def nvmlInit(self) -> None:  # noqa: N802  # the names are NVML's
        """Begin; the file may say that this fails."""
        self._look()
        self._host("init", "")

    def nvmlShutdown(self) -> None:  # noqa: N802
        """End."""

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        """The driver."""
        return self._host("driver", "")

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        """Its CUDA, as 1000 times major plus 10 times minor."""
        return int(self._host("cuda", "0"))

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """How many GPUs there are; a reading begins with this."""
        self._look()
        return int(self._host("count", "0"))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> ctypes.c_void_p:  # noqa: N802
        """A handle: its number and one, because 0 would be no address."""
        return ctypes.c_void_p(index + 1)

    # --- fields, activity, processes

    @property
    def nvmlLib(self) -> Any:  # noqa: N802
        """The library, in which only the call for fields is made without pynvml."""
        return SimpleNamespace(nvmlDeviceGetFieldValues=self._field_values)

    def _field_values(self, gpu: Any, count: int, structures: Any) -> int:
        """Write each field's number or error behind its question."""
        self._words(gpu, "FieldValues", "0")
        for start in range(0, count * FIELD.size, FIELD.size):
            field, scope, *_ = FIELD.unpack_from(structures, start)
            found = self._of(gpu, f"Field.{field}.{scope}" if scope else f"Field.{field}")
            code = self._binding.NVML_ERROR_NOT_SUPPORTED if found is None else _code(found)
            number = 0.0 if found is None or code else float(found)
            FIELD.pack_into(structures, start, field, scope, 0, 0, 0, code, number)
        return 0

    def nvmlGpmQueryDeviceSupport(self, gpu: Any) -> Any:  # noqa: N802
        """Whether the GPU has the activity monitor."""
        return SimpleNamespace(isSupportedDevice=int(self._words(gpu, "GpmSupport", "0")[0]))

    def nvmlGpmSampleAlloc(self) -> Any:  # noqa: N802
        """A sample: an address, by which its GPU is remembered."""
        self._sampled.append(None)
        return ctypes.cast(len(self._sampled), self._binding.c_nvmlGpmSample_t)

    def nvmlGpmSampleFree(self, sample: Any) -> None:  # noqa: N802
        """Nothing is held."""

    def nvmlGpmSampleGet(self, gpu: Any, sample: Any) -> None:  # noqa: N802
        """Take a sample of a GPU."""
        self._sampled[_address(sample) - 1] = gpu

    def nvmlGpmMetricsGet(self, request: Any) -> None:  # noqa: N802
        """What stands in the file for the GPU of the newer sample."""
        gpu = self._sampled[_address(request.sample2) - 1]
        for metric in request.metrics[: request.numMetrics]:
            found = self._of(gpu, f"Gpm.{metric.metricId}")
            metric.nvmlReturn = self._binding.NVML_ERROR_NOT_SUPPORTED if found is None else 0
            metric.value = 0.0 if found is None else float(found)

    # --- events

    def nvmlEventSetCreate(self) -> Any:  # noqa: N802
        """A set that gives what comes after it."""
        return SimpleNamespace(given=self._events())

    def nvmlEventSetFree(self, event_set: Any) -> None:  # noqa: N802
        """Nothing is held."""

    def nvmlDeviceRegisterEvents(self, gpu: Any, types: int, event_set: Any) -> None:  # noqa: N802, ARG002
        """Every GPU that has events is in every set."""
        self._words(gpu, "SupportedEventTypes")

    def nvmlEventSetWait_v2(self, event_set: Any, milliseconds: int) -> Any:  # noqa: N802
        """The next event; "timeout" if none comes."""
        ends = time.monotonic() + milliseconds / 1000
        while event_set.given >= self._events():
            if time.monotonic() >= ends:
                raise self._binding.NVMLError(self._binding.NVML_ERROR_TIMEOUT)
            time.sleep(LOOK_SECONDS)
            self._look()
        event_set.given += 1
        index, kind, data = (int(word) for word in self._facts["", f"event.{event_set.given}"].split())
        return SimpleNamespace(device=ctypes.c_void_p(index + 1), eventType=kind, eventData=data)

    def _events(self) -> int:
        count = 0
        while ("", f"event.{count + 1}") in self._facts:
            count += 1
        return count

    # --- the file

    def _device(self, call: str, gpu: Any, arguments: tuple[Any, ...]) -> Any:
        """The answer of a call on a GPU, in the shape that pynvml gives it."""
        name = NAMES.get(call, call)
        if name in STRUCTURES:
            return _fill(arguments[0]._obj, STRUCTURES[name], self._words(gpu, name))  # noqa: SLF001  # a byref
        if name == "MemoryErrorCounter":
            arguments = (arguments[0] * 2 + arguments[1], arguments[2])
        if call.endswith("RunningProcesses"):
            return self._processes(gpu, call)
        words = self._words(gpu, ".".join((name, *map(str, arguments))) if arguments else name)
        if call == "PciInfo":
            return SimpleNamespace(busId=words[0])
        if call in TEXTS:
            return " ".join(words)
        numbers = [int(float(word)) for word in words]
        if call in MEMBERS:
            return SimpleNamespace(**dict(zip(MEMBERS[call], numbers, strict=False)))
        return numbers[0] if len(numbers) == 1 else numbers

    def _processes(self, gpu: Any, call: str) -> list[Any]:
        words = self._words(gpu, call, "")
        pairs = zip(words[::2], words[1::2], strict=True)
        return [SimpleNamespace(pid=int(pid), usedGpuMemory=int(used)) for pid, used in pairs]

    def _words(self, gpu: Any, key: str, default: str | None = None) -> list[str]:
        """What stands in the file for a call on a GPU, in words."""
        found = self._of(gpu, key)
        if found is None and default is None:
            raise self._binding.NVMLError(self._binding.NVML_ERROR_NOT_SUPPORTED)
        return self._good(default or "" if found is None else found).split()

    def _of(self, gpu: Any, key: str) -> str | None:
        scope = f"gpu{gpu.value - 1}"
        if (lost := self._facts.get((scope, "*"))) is not None:
            self._good(lost)
        return self._facts.get((scope, key), self._facts.get(("gpu*", key)))

    def _host(self, key: str, default: str) -> str:
        return self._good(self._facts.get(("", key), default))

    def _good(self, words: str) -> str:
        if code := _code(words):
            raise self._binding.NVMLError(code)
        return words

    def _look(self) -> None:
        """Read the file if it is another than before. Without one there is no driver."""
        try:
            found = self._path.stat()
            if (found.st_ino, found.st_mtime_ns) != self._seen:
                self._facts = dict(_facts(self._path.read_text(encoding="utf-8", errors="replace").splitlines()))
                self._seen = (found.st_ino, found.st_mtime_ns)
        except OSError as error:
            raise self._binding.NVMLError(self._binding.NVML_ERROR_LIBRARY_NOT_FOUND) from error


def _address(pointer: Any) -> int:
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


def _facts(lines: Iterable[str]) -> Iterable[tuple[tuple[str, str], str]]:
    for line in lines:
        scope, _, rest = line.strip().partition(" ")
        if scope.startswith("gpu"):
            key, _, rest = rest.partition(" ")
            yield (scope, key), rest.strip()
        elif scope and not scope.startswith("#"):
            yield ("", scope), rest.strip()


def _code(words: str) -> int:
    """The error that stands in place of an answer, 0 if none does."""
    return int(words[1:]) if words.startswith("!") else 0


def _fill(structure: Any, members: Sequence[str], words: Sequence[str]) -> None:
    fill: Callable[[str, int], None] = structure.__setattr__
    for member, word in zip(members, words, strict=False):
        fill(member, int(word))
