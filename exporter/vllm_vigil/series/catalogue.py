"""Every series that we export, by name, and docs/metrics.md drawn from it.

Tables go in; `SPECS` and `markdown()` come out. Two tables that declare one name differently end the import. The
sidecar's own `vigil_` series are declared by `telemetry.py` and only listed here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType

from prometheus_client import Metric

from vllm_vigil.clock import RealClock
from vllm_vigil.series.gpu import GPU_SPECS
from vllm_vigil.series.host import HOST_SPECS
from vllm_vigil.series.probe import PROBE_SPECS
from vllm_vigil.series.spec import Kind, Spec
from vllm_vigil.series.trends import GPU_TRENDS, LLM_TRENDS
from vllm_vigil.series.verdict import VERDICT_SPECS
from vllm_vigil.series.vllm import DERIVED, LEFT_OUT, VLLM_ROWS, VllmRow
from vllm_vigil.telemetry import Telemetry


def unique(specs: Iterable[Spec]) -> Mapping[str, Spec]:
    """Specs by name, in order; the same one may come twice. Raises ValueError if two differ under one name."""
    found: dict[str, Spec] = {}
    for spec in specs:
        if found.setdefault(spec.name, spec) != spec:
            raise ValueError(f"the series {spec.name!r} is declared twice, and differently")
    return MappingProxyType(found)


SPECS: Mapping[str, Spec] = unique(
    chain(
        (row.spec for row in VLLM_ROWS),
        (*DERIVED, *VERDICT_SPECS, *LLM_TRENDS),
        PROBE_SPECS,
        (*GPU_SPECS, *GPU_TRENDS),
        HOST_SPECS,
    )
)


def spec_of(name: str) -> Spec:
    """The declaration of one of our series. Raises KeyError for a name that is not ours."""
    return SPECS[name]


@functools.cache
def own_specs() -> Mapping[str, Spec]:
    """The sidecar's own series, as `telemetry.py` declares them; which labels they carry is not told here."""
    return {
        name: Spec(name, kind, "", family.documentation, open_labels=True) for name, kind, family in _own_families()
    }


def _own_families() -> Iterator[tuple[str, Kind, Metric]]:
    for family in Telemetry(RealClock()).registry.collect():
        kind = Kind.COUNTER if family.type == "counter" else Kind.INFO if family.name.endswith("_info") else Kind.GAUGE
        yield f"{family.name}_total" if kind is Kind.COUNTER else family.name, kind, family


def markdown() -> str:
    """docs/metrics.md: every series with kind, labels, meaning and, for vLLM's, where it comes from."""
    return "\n".join((*_head(), *_llm(), *_gpu(), *_host(), *_own(), ""))


def _head() -> Iterator[str]:
    yield "# Series"
    yield ""
    yield "Generated from the tables in `exporter/vllm_vigil/series/`; `vigil catalogue` prints it. Units are base"
    yield "units. A series that cannot be known now is absent, never 0: `vigil_source_up` and the log say why."


def _llm() -> Iterator[str]:
    yield from ("", "## The model: `llm_`", "")
    yield "Relayed from vLLM's `/metrics` under names that stay the same from version to version; histograms keep"
    yield "vLLM's buckets and counters its resets. A server without the label `engine` (V0, and V1 before 0.8.3) gets"
    yield '`engine="0"`.'
    yield ""
    yield "Each name is known behind Ray's `ray_vllm_` too (whose replicas get a label `replica`) and, as NIM does it,"
    yield "without a prefix. A release marked hidden shows it only with `--show-hidden-metrics-for-version`; `vigil"
    yield "catalogue --versions` tells it by release. The first rows are looked for on every server, and are the last"
    yield "to be dropped when it gives more than `max_series`."
    yield ""
    yield from _table(("Series", "Kind", "Labels", "Meaning", "vLLM's names and releases"))
    for row in VLLM_ROWS:
        yield _line((*_cells(row.spec), _sources(row)))
    for spec in DERIVED:
        yield _line((*_cells(spec), "`GET /version`, `GET /v1/models`, `vllm:cache_config_info`"))
    for spec in (*VERDICT_SPECS, *LLM_TRENDS):
        yield _line((*_cells(spec), "judged by the sidecar"))
    for spec in PROBE_SPECS:
        yield _line((*_cells(spec), "asked by the sidecar's probe; absent where it is off"))
    yield from ("", "Left out, and why:", "")
    yield from _table(("vLLM's name", "Why it is no series"))
    for each in LEFT_OUT:
        yield _line((", ".join(f"`{name}`" for name in each.names), each.why))


def _gpu() -> Iterator[str]:
    yield from ("", "## The GPUs: `gpu_`", "")
    yield "Read through NVML, whose call the meaning names. `gpu` is NVML's index; a call that a GPU does not support"
    yield "leaves its series out."
    yield ""
    yield from _table(("Series", "Kind", "Labels", "Meaning"))
    for spec in (*GPU_SPECS, *GPU_TRENDS):
        yield _line(_cells(spec))


def _host() -> Iterator[str]:
    yield from ("", "## The host and vLLM's processes", "")
    yield "Read from /proc and the cgroup file systems. `role` is `api_server`, `engine_core`, `worker`, `coordinator`,"
    yield "`launcher` or `other`; of what uses a GPU also `foreign` (no vLLM) and `hidden` (cannot be seen from here)."
    yield "A vLLM that is not configured has no `server`. `rank` is as vLLM writes it (`TP1`, `DP0_PP0_TP1_EP1`)."
    yield ""
    yield from _table(("Series", "Kind", "Labels", "Meaning"))
    for spec in HOST_SPECS:
        yield _line(_cells(spec))


def _own() -> Iterator[str]:
    yield from ("", "## The sidecar: `vigil_`", "")
    yield from _table(("Series", "Kind", "Meaning"))
    for name, _, family in _own_families():
        yield _line((f"`{name}`", family.type, family.documentation))


def _cells(spec: Spec) -> tuple[str, ...]:
    names = [f"`{label}`" for label in spec.labels] + (["and others"] if spec.open_labels else [])
    return (f"`{spec.name}`", spec.kind, ", ".join(names), spec.help)


def _sources(row: VllmRow) -> str:
    names = "; ".join(f"`{upstream.name}` ({upstream.releases})" for upstream in row.upstream)
    return f"{names}; needs {row.needs}" if row.needs else names


def _table(heads: tuple[str, ...]) -> Iterator[str]:
    yield _line(heads)
    yield _line(("---",) * len(heads))


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
