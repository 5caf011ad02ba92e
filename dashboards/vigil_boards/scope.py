"""Bare PromQL -> PromQL that follows the board's variables.

A panel writes `rate(llm_generation_tokens_total[$__rate_interval])`; `scoped` adds to each of our series the selectors
that its labels allow, from the catalogue. So no panel can forget one, and none can select by a label that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.series.spec import Kind
from vllm_vigil.series.vllm import VLLM_ROWS

TARGET = ("job", "instance")
"""What Prometheus itself adds; every series has them."""

CHOSEN = ("server", "model_name", "engine", "gpu")
"""The variables beyond: each selects by the label of its name."""

LABELS = {name: spec.labels for name, spec in SPECS.items()}

HISTOGRAM_ENDS = ("_bucket", "_sum", "_count")
_SERIES = re.compile(r"\b((?:llm|gpu|vigil|host)_[a-z0-9_]+|up)\b(?:\{([^{}]*)\})?")


def base(name: str) -> str:
    """The series that a sample belongs to: a histogram's buckets are the histogram."""
    for end in HISTOGRAM_ENDS:
        spec = SPECS.get(name.removesuffix(end))
        if name.endswith(end) and spec and spec.kind is Kind.HISTOGRAM:
            return spec.name
    return name


def _selecting(name: str) -> Iterable[str]:
    """The variables that a series can be selected by."""
    yield from TARGET
    for label in LABELS.get(base(name), ()):
        # The `engine` of a GPU's utilisation is a video engine; that of its processes is ours.
        if label in CHOSEN and not (label == "engine" and name == "gpu_engine_utilization_ratio"):
            yield label


def is_series(name: str) -> bool:
    """Whether this is a name of ours, and not a label that looks like one."""
    return name == "up" or name.startswith("vigil_") or base(name) in LABELS


def scoped(expression: str) -> str:
    """The expression, each of its series selected by the board's variables."""

    def select(found: re.Match[str]) -> str:
        name, own = found[1], found[2]
        if not is_series(name):
            return found[0]
        matchers = [own] if own else []
        matchers += [f'{label}=~"${label}"' for label in _selecting(name)]
        return f"{name}{{{', '.join(matchers)}}}"

    return _SERIES.sub(select, expression)


def series_in(expression: str) -> list[str]:
    """The series that an expression asks for, in order, each once."""
    names = (base(found[1]) for found in _SERIES.finditer(expression) if is_series(found[1]))
    return list(dict.fromkeys(name for name in names if name != "up"))


def quantile(share: float, histogram: str, by: str = "") -> str:
    """A quantile over everything that is chosen, or one per label; nothing, and not NaN, without traffic."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket[$__rate_interval]))) >= 0"


def mean(histogram: str, by: str = "") -> str:
    """The exact mean: no bucket takes part in it. Nothing where nothing happened."""
    return ratio(f"rate({histogram}_sum[$__rate_interval])", f"rate({histogram}_count[$__rate_interval])", by)


def ratio(part: str, whole: str, by: str = "") -> str:
    """A ratio of sums, which is not an average of ratios; nothing where the whole is 0."""
    return f"{total(part, by)} / ({total(whole, by)} > 0)"


def total(expression: str, by: str = "") -> str:
    """The sum over everything chosen, or one per label."""
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def rate(counter: str, by: str = "") -> str:
    """How much a second, over the time between two points of the chart."""
    return total(f"rate({counter}[$__rate_interval])", by)


def _vllm_origins() -> dict[str, str]:

    return {
        row.spec.name: f"vLLM's `{row.upstream[0].name}`" + (f", which needs {row.needs}" if row.needs else "")
        for row in VLLM_ROWS
    }


def _help_origins() -> dict[str, str]:
    """GPU and host rows name their call in brackets in the help."""
    found = {
        name: re.search(r"\(([^()]*(?:nvml[A-Z]\w+|/proc/|memory\.)[^()]*)\)", spec.help)
        for name, spec in SPECS.items()
    }
    return {name: match[1] for name, match in found.items() if match}


ORIGINS: Mapping[str, str] = _help_origins() | _vllm_origins()
"""Where a series comes from: vLLM's name and the flag that it needs, an NVML call, a file of /proc."""
