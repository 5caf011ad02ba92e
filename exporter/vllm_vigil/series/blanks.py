"""A page and the version of its server -> the series of the contract that it does not feed, each with cause and remedy.

A panel without data says nothing: the thing may be off, older or newer than this vLLM, or merely not have happened
yet. Whatever can be told from the table is told; what the table cannot explain is `wrong`, and somebody should look.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from vllm_vigil.model import Reading, Samples
from vllm_vigil.series.claims import claims_of
from vllm_vigil.series.releases import Span, generations_of, ordinal
from vllm_vigil.series.vllm import VLLM_ROWS, VllmRow


@dataclass(frozen=True, slots=True)
class Blank:
    """A series that is not fed: why, and what would bring it. `wrong`: by what is known, it should be there."""

    series: str
    cause: str
    remedy: str
    wrong: bool = False


def blanks(fed: Collection[str], reading: Reading) -> tuple[Blank, ...]:
    """Every series of the contract that is not among the fed, if the reading is one of vLLM's."""
    if reading.source != "vllm":
        return ()
    samples = reading.samples if isinstance(reading.samples, Samples) else Samples()
    version = reading.facts.get("version", "")
    engine = any(row.spec.name in fed for row in VLLM_ROWS if row.contract and "engine" in row.spec.labels)
    declared = {
        claim.row.spec.name
        for name in samples.families
        for suffix in ("", "_bucket", "_total")
        for claim in claims_of(name + suffix)
    }
    generation = _generation(samples, version)
    missing = [row for row in VLLM_ROWS if row.contract and row.spec.name not in fed]
    return tuple(
        _blank(row, generation, version, silent=not engine, declared=row.spec.name in declared) for row in missing
    )


def _blank(row: VllmRow, generation: str, version: str, *, silent: bool, declared: bool) -> Blank:
    name = row.spec.name
    if declared:
        return Blank(
            name, "no traffic yet: vLLM declares it and has counted nothing", "none: it comes with the first request"
        )
    if silent and "engine" in row.spec.labels:
        remedy = "start it without --disable-log-stats (0.5.4 shows none anyway: upgrade)"
        return Blank(name, "vLLM shows none of its engine's metrics", remedy, wrong=True)
    if not ordinal(version):
        return Blank(name, "this server does not tell its version", "compare the versions in docs/metrics.md with it")
    spans = [span for upstream in row.upstream for span in upstream.spans]
    if row.feedable(generation, version):
        return _unexplained(row, version)
    if row.feedable(generation, version, hidden=True):
        minor = ".".join(map(str, ordinal(version)[:2]))
        return Blank(
            name, f"vLLM {version} hides it", f"start vLLM {minor} with --show-hidden-metrics-for-version=PREVIOUS"
        )
    return _outside(row, [span for span in spans if span.covers(span.generation, span.first)], generation, version)


def _unexplained(row: VllmRow, version: str) -> Blank:
    if row.needs:
        return Blank(row.spec.name, f"off: it needs {row.needs}", f"switch on {row.needs}")
    remedy = "look at vLLM's /metrics and its options; if it is there under another name, please report it"
    return Blank(row.spec.name, f"not on the page, though vLLM {version} should give it", remedy, wrong=True)


def _outside(row: VllmRow, spans: list[Span], generation: str, version: str) -> Blank:
    """Why no spelling of the row covers this server."""
    name, gap = row.spec.name, f"; {row.gap}" if row.gap else ""
    mine = [span for span in spans if span.generation in {generation, "API"}]
    later = sorted((span.first for span in mine if ordinal(span.first) > ordinal(version)), key=ordinal)
    if later:
        return Blank(
            name, f"vLLM {version} is older than {later[0]}, which has it first{gap}", f"upgrade to {later[0]}"
        )
    if mine:
        last = max((span.last or "" for span in mine), key=ordinal)
        return Blank(name, f"gone from vLLM after {last}{gap}", row.gap or "none")
    others = ", ".join(sorted({span.generation for span in spans}))
    return Blank(
        name, f"the engine {generation} does not have it, {others} does{gap}", row.gap or f"run it on {others}"
    )


def _generation(samples: Samples, version: str) -> str:
    """V0, V1 or Rust, told by the version where it can run only one, else by what only one of them shows."""
    names = {name for name, _ in samples.keys}
    can = set(generations_of(version))
    if can == {"V1", "Rust"}:
        return "V1" if "python_info" in names or "vllm:cache_config_info" in names else "Rust"
    if len(can) == 1:
        return can.pop()
    if ordinal(version) < ordinal("0.8.3"):
        return "V0" if "vllm:num_requests_swapped" in {*names, *samples.families} else "V1"
    return "V1" if any(label == "engine" for _, pairs in samples.keys for label, _ in pairs) else "V0"
