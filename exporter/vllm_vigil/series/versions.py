"""The table of vLLM and the releases -> which series each release can feed, as a matrix for people.

A column is a minor release (its last patch), a row one of our series, and a cell says which engines give it. A cell
without a letter is a hole, and every row with one ends in the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from vllm_vigil.series.releases import RELEASES, generations_of, ordinal
from vllm_vigil.series.vllm import VLLM_ROWS, VllmRow

LEGEND = """\
Which series each release of vLLM can feed; a column is a minor release, taken at its last patch.

  a  every engine that the release can run      h  only with --show-hidden-metrics-for-version
  0  its V0 engine only                         n  NIM only, whatever the release
  1  its V1 engine only, not V0                 .  not at all: the reason stands at the end
  p  its Python front end only, not the one in Rust (0.22 on)

Up to 0.7 the V1 engine is a preview that lacks much. 0.5.4 shows nothing of its engine on a default server; 0.5.5 does.
"""


def minors() -> list[str]:
    """The last patch of each minor release, oldest first."""
    return list({ordinal(release)[:2]: release for release in RELEASES}.values())


def cell(row: VllmRow, release: str) -> str:
    """The letter of one series in one release."""
    can = list(generations_of(release))
    feeds = [each for each in can if row.feedable(each, release)]
    if not feeds:
        if any(row.feedable(each, release, hidden=True) for each in can):
            return "h"
        return "n" if row.upstream[-1].releases == "NIM" else "."
    if feeds == can:
        return "a"
    if feeds == ["V0"]:
        return "0"
    return "p" if "Rust" in can else "1"


def reason(row: VllmRow) -> str:
    """Why there are holes in the row, "" if there are none."""
    cells = [cell(row, release) for release in minors()]
    if "." not in cells:
        return row.gap
    firsts = [span.first for upstream in row.upstream for span in upstream.spans]
    oldest = min(firsts, key=ordinal)
    said = [f"since {oldest}"] if ordinal(oldest) > ordinal(RELEASES[0]) else []
    inner = cells[next((index for index, letter in enumerate(cells) if letter != "."), 0) :]
    return "; ".join([*said, row.gap or "UNEXPLAINED"] if "." in inner else said + [row.gap] * bool(row.gap))


def matrix() -> str:
    """What `vigil catalogue --versions` prints."""
    return "\n".join((LEGEND, *_lines(), ""))


def _lines() -> Iterator[str]:
    width = max(len(row.spec.name) for row in VLLM_ROWS)
    names = [".".join(map(str, ordinal(release)[:2])) for release in minors()]
    for digits in range(max(map(len, names))):
        yield f"{'':{width}} {' '.join(name.rjust(4)[digits] for name in names)}"
    for row in VLLM_ROWS:
        cells = " ".join(cell(row, release) for release in minors())
        why = "; ".join(filter(None, (reason(row), f"needs {row.needs}" if row.needs else "")))
        yield f"{row.spec.name:{width}} {cells}  {why}".rstrip()
