"""The text of a `/metrics` page -> its Samples, or the words why it is none.

One bad line fails the page, as in Prometheus: what stands beside it cannot be trusted either. A page without a line
end at its end was cut: its last number may have lost digits and still look like one.
"""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from vllm_vigil.model import Sample


def parse(body: bytes) -> tuple[tuple[Sample, ...], str | None]:
    """Samples of a page in Prometheus' text format, or the words why it is none."""
    if body.lstrip()[:1] == b"<":
        return (), "the page is not an exposition but HTML or XML: is the url that of vLLM?"
    if body and not body.endswith(b"\n"):
        return (), "the page was cut short: its last line has no end"
    try:
        families = list(text_string_to_metric_families(body.decode()))
        samples = tuple(
            Sample(sample.name, tuple(sorted(sample.labels.items())), float(sample.value))
            for family in families
            for sample in family.samples
        )
    except (ValueError, IndexError, OverflowError) as error:  # UnicodeDecodeError is the first
        return (), f"the page is not an exposition: {_shown(error)}"
    return samples, None if samples else "the page holds no samples at all"


def _shown(error: BaseException) -> str:
    text = f"{error}" or type(error).__name__
    return ascii(text[:120])[1:-1]
