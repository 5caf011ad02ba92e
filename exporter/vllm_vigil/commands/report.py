"""`vigil report`: a month of a Prometheus that scrapes sidecars -> Markdown or HTML."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from vllm_vigil.config.load import load_slo
from vllm_vigil.errors import UsageError
from vllm_vigil.report.document import Prices, document
from vllm_vigil.report.figures import Asking
from vllm_vigil.report.html import html
from vllm_vigil.report.markdown import markdown
from vllm_vigil.report.month import last_month, month
from vllm_vigil.report.prometheus import Prometheus
from vllm_vigil.slo.objectives import SloFile

WRITERS = {".html": html, ".md": markdown}


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to ask for what."""

    url: str
    month: str | None
    slo: Path | None
    bearer_file: Path | None
    ca_file: Path | None


def report(asked: Asked, prices: tuple[float | None, float | None, str], output: Path | None) -> int:
    """Write it; 1 if Prometheus has no server in that month."""
    now = time.time()
    write = WRITERS.get(output.suffix if output else ".md")
    if write is None:
        raise UsageError(f"--output: {output} must end in {' or '.join(WRITERS)}, which says what is written")
    wanted = month(asked.month or last_month(now), now)
    slo = load_slo(asked.slo, os.environ) if asked.slo else SloFile()
    prometheus = Prometheus(asked.url, _token(asked.bearer_file), str(asked.ca_file or ""))
    try:
        figures = Asking(prometheus, wanted).figures(slo.objectives)
    finally:
        prometheus.close()
    text = write(document(figures, Prices(*prices)))
    if output is None:
        print(text, end="")
        return 0 if figures.servers else 1
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output: cannot write {output}: {error.strerror}") from error
    print(f"report: {wanted.name} of {len(figures.servers)} servers is in {output}", file=sys.stderr)
    return 0 if figures.servers else 1


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--bearer-file: cannot read {path}: {getattr(error, 'strerror', error)}") from error
