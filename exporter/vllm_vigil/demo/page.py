"""Numbers -> the text of vLLM's /metrics: one server, one or more engines.

The text without its numbers is made once and filled in at every call, because the simulation asks for thousands of
pages. It is made anew when the front has answered something that it had not before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vllm_vigil.demo.families import COUNTER, FAMILIES, GAUGE, HISTOGRAM, SUMMARY, Family
from vllm_vigil.demo.numbers import HANDLER_SECONDS, HTTP_SECONDS, Front, Numbers

REQUEST_BYTES, RESPONSE_BYTES = 1_900.0, 3_400.0
CACHE_CONFIG = (
    '_block_size_resolved="True",block_size="16",cache_dtype="auto",cache_hit_alignment_tokens="None",'
    'effective_attention_block_size="16",enable_mamba_shared_prefix_checkpoint="False",enable_prefix_caching="True",'
    'engine="{engine}",gpu_memory_utilization="0.92",hash_block_size="None",is_attention_free="False",'
    'kv_cache_dtype_skip_layers="[]",kv_cache_layout="None",kv_cache_max_concurrency="{concurrency}",'
    'kv_cache_memory_bytes="None",kv_cache_size_tokens="{tokens}",kv_offloading_backend="native",'
    'kv_offloading_size="None",kv_sharing_fast_prefill="False",mamba_block_size="None",mamba_cache_dtype="auto",'
    'mamba_cache_mode="none",mamba_page_size_padded="None",mamba_ssm_cache_dtype="float32",num_cpu_blocks="None",'
    'num_gpu_blocks="{blocks}",num_gpu_blocks_override="None",prefix_cache_retention_interval="0",'
    'prefix_caching_hash_algo="sha256",prefix_match_unit="None",replayssm_buffer_len="16",'
    'skip_page_size_padded="None",sliding_window="None",swa_bounded_replay="True",use_kda_recoverssm="False",'
    'use_replayssm="False",user_specified_block_size="False"'
)
_LENGTH = "Only value of header is respected. Otherwise ignored. No percentile calculated. "
_REQUEST = f"Content length of incoming requests by handler. {_LENGTH}"
_RESPONSE = f"Content length of outgoing responses by handler. {_LENGTH}"
_FINE = "Latency with many buckets but no API specific labels. Made for more accurate percentile calculations. "
_COARSE = "Latency with only few buckets by handler. Made to be only used if aggregation by handler is important. "
HTTP = (
    ("http_requests_total", COUNTER, "Total number of requests by method, status and handler."),
    ("http_request_size_bytes", SUMMARY, _REQUEST),
    ("http_response_size_bytes", SUMMARY, _RESPONSE),
    ("http_request_duration_highr_seconds", HISTOGRAM, _FINE),
    ("http_request_duration_seconds", HISTOGRAM, _COARSE),
)
"""Families of the HTTP side, of prometheus-fastapi-instrumentator."""

ENDS = {COUNTER: ("",), SUMMARY: ("_count", "_sum")}
PROCESS = (
    ("process_virtual_memory_bytes", GAUGE, "Virtual memory size in bytes."),
    ("process_resident_memory_bytes", GAUGE, "Resident memory size in bytes."),
    ("process_start_time_seconds", GAUGE, "Start time of the process since unix epoch in seconds."),
    ("process_cpu_seconds_total", COUNTER, "Total user and system CPU time spent in seconds."),
    ("process_open_fds", GAUGE, "Number of open file descriptors."),
    ("process_max_fds", GAUGE, "Maximum number of open file descriptors."),
)
PYTHON = (
    ("python_gc_objects_collected_total", COUNTER, "Objects collected during gc"),
    ("python_gc_objects_uncollectable_total", COUNTER, "Uncollectable objects found during GC"),
    ("python_gc_collections_total", COUNTER, "Number of times this generation was collected"),
)

Line = tuple[str, float | None]
"""The beginning of a line, and its number if that never changes."""


class Page:
    """The page of one server. `engines` may be exchanged for those of a new start through a new page."""

    def __init__(self, model: str, engines: Sequence[Numbers], front: Front, kv_tokens: int) -> None:
        self._model = model
        self._engines = engines
        self._front = front
        self._kv_tokens = kv_tokens
        self._made_for: tuple[object, ...] = ()
        self._text = ""

    def render(self) -> str:
        """The text now."""
        shape = tuple(self._front.requests)
        if shape != self._made_for or not self._text:
            self._made_for, self._text = shape, "".join(self._template())
        return self._text % tuple(self._values())

    # --- the text without numbers

    def _template(self) -> Iterator[str]:
        yield from _python(self._front.begun)
        for family in FAMILIES:
            name = f"vllm:{family.name}"
            yield _head(name, family.kind, family.help)
            for numbers, engine in self._holders(family):
                yield from _lines(name, family, numbers, self._labels(engine))
            if family.has_created:
                yield from self._created(family, name)
        yield _head("vllm:cache_config_info", GAUGE, "Information of the LLMEngine CacheConfig")
        yield from (f"vllm:cache_config_info{{{self._config(engine)}}} 1.0\n" for engine in range(len(self._engines)))
        yield from self._http()

    def _created(self, family: Family, name: str) -> Iterator[str]:
        created = (name.removesuffix("_total") if family.kind == COUNTER else name) + "_created"
        yield _head(created, GAUGE, family.help)
        for numbers, engine in self._holders(family):
            for value in family.values:
                pairs = self._labels(engine) | ({family.label: value} if family.label else {})
                yield f"{created}{_braces(pairs)} {numbers.begun!r}\n"

    def _holders(self, family: Family) -> Iterator[tuple[Numbers, str]]:
        """Whose numbers a family shows; what is of the whole server is kept with its first engine."""
        if not family.per_engine:
            yield self._engines[0], ""
            return
        yield from ((numbers, str(index)) for index, numbers in enumerate(self._engines))

    def _labels(self, engine: str) -> dict[str, str]:
        return {"model_name": self._model} | ({"engine": engine} if engine else {})

    def _config(self, engine: int) -> str:
        tokens = self._kv_tokens
        return CACHE_CONFIG.format(engine=engine, tokens=tokens, blocks=tokens // 16, concurrency=tokens / 32_768)

    def _http(self) -> Iterator[str]:
        front = self._front
        statuses = [{"handler": handler, "method": "POST", "status": status} for handler, status in front.requests]
        handlers = [{"handler": handler} for handler in front.handlers]
        posts = [pairs | {"method": "POST"} for pairs in handlers]
        whole: list[dict[str, str]] = [{}]
        for (name, kind, text), born in zip(HTTP, (statuses, handlers, handlers, whole, posts), strict=True):
            yield _head(name, kind, text)
            for pairs in born:
                if kind == HISTOGRAM:
                    yield from _histogram(name, HANDLER_SECONDS if pairs else HTTP_SECONDS, pairs)
                else:
                    yield from (f"{name}{end}{_braces(pairs)} %r\n" for end in ENDS[kind])
            created = name.removesuffix("_total") + "_created"
            yield _head(created, GAUGE, text)
            yield from (f"{created}{_braces(pairs)} {front.begun!r}\n" for pairs in born)

    # --- the numbers

    def _values(self) -> Iterator[float]:
        front = self._front
        yield from (front.cpu_seconds * 45, front.cpu_seconds * 5, front.cpu_seconds)
        yield from (front.cpu_seconds * 20, front.cpu_seconds * 2, front.cpu_seconds / 5)
        yield from (front.cpu_seconds, float(front.open_files))
        for family in FAMILIES:
            for numbers, _ in self._holders(family):
                yield from numbers.values(family)
        yield from front.requests.values()
        for size in (REQUEST_BYTES, RESPONSE_BYTES):
            for histogram in front.handlers.values():
                count = sum(histogram.counts)
                yield from (count, count * size)
        yield from front.seconds.values()
        for histogram in front.handlers.values():
            yield from histogram.values()


def _python(begun: float) -> Iterator[str]:
    for name, kind, text in PYTHON:
        yield _head(name, kind, text)
        number = "0.0" if "uncollectable" in name else "%r"
        yield from (f'{name}{{generation="{generation}"}} {number}\n' for generation in range(3))
    yield _head("python_info", GAUGE, "Python platform information")
    version = 'implementation="CPython",major="3",minor="12",patchlevel="3",version="3.12.3"'
    yield f"python_info{{{version}}} 1.0\n"
    fixed = {
        "process_virtual_memory_bytes": "2.3e+10",
        "process_resident_memory_bytes": "1.8e+09",
        "process_start_time_seconds": repr(begun - 40.0),
        "process_max_fds": "65536.0",
    }
    for name, kind, text in PROCESS:
        yield _head(name, kind, text)
        yield f"{name} {fixed.get(name, '%r')}\n"


def _lines(name: str, family: Family, numbers: Numbers, labels: dict[str, str]) -> Iterable[str]:
    if family.kind == HISTOGRAM:
        return _histogram(name, numbers.buckets(family), labels)
    named = [labels | ({family.label: value} if family.label else {}) for value in family.values]
    return (f"{name}{_braces(pairs)} %r\n" for pairs in named)


def _histogram(name: str, bounds: Iterable[float], labels: dict[str, str]) -> Iterator[str]:
    for bound in (*map(repr, bounds), "+Inf"):
        yield f"{name}_bucket{_braces(labels | {'le': bound})} %r\n"
    yield f"{name}_count{_braces(labels)} %r\n"
    yield f"{name}_sum{_braces(labels)} %r\n"


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n".replace("%", "%%")


def _braces(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels.items())).replace("%", "%%") + "}"
