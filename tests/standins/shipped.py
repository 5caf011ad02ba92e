"""What the tests of shipped files share: where those are, and which metrics there are to name."""

from __future__ import annotations

import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from vllm_vigil.clock import CrankedClock
from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.series.spec import Kind
from vllm_vigil.telemetry import Telemetry

ROOT = Path(__file__).parents[2]
_METRIC = re.compile(r"\b(?:llm|gpu|vigil)_[a-z0-9_]+|\bup\b")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)")
_BRACES = re.compile(r"\{[^}]*\}")


def metrics_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression names; labels are not looked at."""
    return set(_METRIC.findall(_GROUPING.sub("", _BRACES.sub("", expression))))


def known_metrics() -> set[str]:
    """Every sample name that the sidecar can export."""
    known = set(SPECS)
    known |= {
        name + end
        for name, spec in SPECS.items()
        if spec.kind is Kind.HISTOGRAM
        for end in ("_bucket", "_sum", "_count")
    }
    families = Telemetry(CrankedClock()).registry.collect()
    return known | {family.name + ("_total" if family.type == "counter" else "") for family in families}


def load_script(name: str) -> ModuleType:
    """A Python script of scripts/, as a module."""
    loader = SourceFileLoader(f"script_{name}", str(ROOT / "scripts" / name))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module
