"""`python -m vllm_vigil.recorder.draw incident.json chart.png`: a bundle's document -> one picture for a phone.

It runs as a process of its own, because an image library costs memory and time that the daemon has better uses for. It
is as nice as can be, and whoever starts it brings the deadline. The library is an extra: `vllm-vigil[chart]`.

1080 points wide, so that the smallest letters are still 2 mm high on a phone. Lines are drawn twice as large and then
made smaller, which is how they become smooth; letters are drawn last.
"""

from __future__ import annotations

import json
import math
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from vllm_vigil.recorder.panels import Frozen, Line, Panel, frozen, panels, states

WIDTH, MARGIN = 1080, 48
HEADER, STRIP, PANEL, PLOT, FOOTER = 168, 86, 224, 136, 70
FINE = 2
TITLE, TEXT, SMALL = 46, 32, 28
GIB = 2.0**30

PAPER, INK, SOFT, FAINT, GRID = "#ffffff", "#0f172a", "#475569", "#94a3b8", "#e2e8f0"
ALARM = "#dc2626"
LINES = ("#2563eb", "#ea580c")
GPUS = ("#2563eb", "#0891b2", "#0d9488", "#65a30d", "#ca8a04", "#ea580c", "#c026d3", "#7c3aed")
STATES = {
    "healthy": "#22c55e",
    "idle": "#bbf7d0",
    "starting": "#fde047",
    "asleep": "#cbd5e1",
    "stalled": "#dc2626",
    "spinning": "#dc2626",
    "frozen_metrics": "#f97316",
    "dead": "#111827",
    "unreachable": "#6b7280",
}


class Box(NamedTuple):
    """Where something goes, in points."""

    left: float
    top: float
    right: float
    bottom: float


class Picture:
    """Shapes and letters, on two layers of different fineness."""

    def __init__(self, height: int) -> None:
        self._fine = Image.new("RGB", (WIDTH * FINE, height * FINE), PAPER)
        self._shapes = ImageDraw.Draw(self._fine, "RGBA")
        self._letters: list[tuple[tuple[float, float], str, int, str, str]] = []

    def area(self, points: list[tuple[float, float]], colour: str) -> None:
        """A filled shape."""
        if len(points) > 2:
            self._shapes.polygon([(x * FINE, y * FINE) for x, y in points], fill=colour)

    def line(self, points: list[tuple[float, float]], colour: str, width: float = 3.0) -> None:
        """A line through points."""
        if len(points) > 1:
            pixels = [(x * FINE, y * FINE) for x, y in points]
            self._shapes.line(pixels, fill=colour, width=round(width * FINE), joint="curve")

    def bar(self, box: Box, colour: str, radius: float = 0.0) -> None:
        """A rectangle."""
        corners = (box.left * FINE, box.top * FINE, max(box.left, box.right) * FINE, box.bottom * FINE)
        self._shapes.rounded_rectangle(corners, radius * FINE, fill=colour)

    def write(self, x: float, y: float, text: str, size: int = TEXT, colour: str = INK, anchor: str = "la") -> None:
        """Letters, over all shapes. `anchor` is Pillow's: l, m or r, and a for the top."""
        self._letters.append(((x, y), text, size, colour, anchor))

    def save(self, path: Path) -> None:
        """Put it together."""
        image = self._fine.reduce(FINE)
        pen = ImageDraw.Draw(image)
        for place, text, size, colour, anchor in self._letters:
            pen.text(place, text, fill=colour, font=_font(size), anchor=anchor)
        image.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, "PNG")


def width_of(text: str, size: int) -> float:
    """How wide the letters are."""
    return _font(size).getlength(text)


def chart(document: dict[str, Any], path: Path) -> None:
    """Draw it. Raises KeyError, TypeError or ValueError for what is no bundle's document."""
    found = frozen(document)
    shown = [panel for panel in panels(found) if panel.in_chart]
    strip = states(found)
    height = HEADER + (STRIP if any(strip) else 0) + PANEL * len(shown) + FOOTER
    picture = Picture(height)
    _header(picture, document["incident"])
    begin = _moment(found, document["incident"])
    top = HEADER
    if any(strip):
        _strip(picture, strip, top)
        top += STRIP
    for panel in shown:
        _panel(picture, panel, top, begin)
        top += PANEL
    _times(picture, found, top)
    picture.save(path)


def _header(picture: Picture, incident: dict[str, Any]) -> None:
    """What, where, when; with the colour of its severity at the edge."""
    colour = {"critical": ALARM, "warning": "#f59e0b"}.get(str(incident["severity"]), SOFT)
    picture.bar(Box(0, 0, 16, HEADER - 24), colour)
    room = WIDTH - 2 * MARGIN
    picture.write(MARGIN, 34, _fitted(str(incident["title"]), TITLE, room), TITLE)
    opened = datetime.fromtimestamp(float(incident["opened"]), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    where = str(incident["server"]) or "this host"
    picture.write(MARGIN, 96, _fitted(f"{where}, since {opened}", TEXT, room), TEXT, SOFT)


def _strip(picture: Picture, names: list[str | None], top: float) -> None:
    """The state through the time, and in words what it was and became."""
    y = top + 38
    picture.write(MARGIN, top - 6, "Engine", TEXT, SOFT)
    said = list(dict.fromkeys(name for name in names if name))[-3:]
    words = " > ".join(name.replace("_", " ") for name in said)
    picture.write(WIDTH - MARGIN, top - 6, words, TEXT, _readable(STATES.get(said[-1], INK)), "ra")
    picture.bar(Box(MARGIN, y, WIDTH - MARGIN, y + 22), GRID)
    begin = 0
    for index in range(1, len(names) + 1):
        if index == len(names) or names[index] != names[begin]:
            if names[begin]:
                picture.bar(Box(_x(begin, len(names)), y, _x(index, len(names)), y + 22), STATES[names[begin] or ""])
            begin = index


def _moment(found: Frozen, incident: dict[str, Any]) -> int | None:
    """The moment of the recording in which the incident began, None if that was before it; as a rule the last one."""
    opened = float(incident["opened"])
    if not found.times or opened < found.times[0]:
        return None
    return next((index for index, at in enumerate(found.times) if at >= opened), len(found.times) - 1)


def _panel(picture: Picture, panel: Panel, top: float, begin: int | None) -> None:
    """Title, end of the scale and the numbers when it began above, lines below, and where it began across them."""
    lines = [line for line in panel.lines if line.last is not None]
    plot = Box(MARGIN, top + 52, WIDTH - MARGIN, top + 52 + PLOT)
    unit = GIB if panel.title == "GPU memory" else 1.0
    highest = max(value for line in lines for value in line.values if not math.isnan(value))
    most = panel.most or _round_up(highest / unit) * unit
    for share in (0.0, 0.5, 1.0):
        y = plot.bottom - share * PLOT
        picture.line([(plot.left, y), (plot.right, y)], FAINT if share == 0 else GRID, 1.5 if share == 0 else 1.0)
    colours = GPUS if lines[0].name.startswith("GPU") else LINES
    for index, line in reversed(list(enumerate(lines))):
        for run in _runs(line, plot, most):
            if index == 0 and len(lines) <= 2:
                picture.area([(run[0][0], plot.bottom), *run, (run[-1][0], plot.bottom)], f"{colours[0]}26")
            picture.line(run, colours[index % len(colours)], 4.0 if len(lines) <= 2 else 2.5)
    if begin is not None:
        x = _x(begin, len(lines[0].values) - 1)
        picture.line([(x, plot.top), (x, plot.bottom)], ALARM, 3.0)
    picture.write(MARGIN, top, panel.title, TEXT, SOFT)
    scale = f"0 to {panel.show(most)}"
    picture.write(MARGIN + width_of(panel.title, TEXT) + 20, top + 4, scale, SMALL, FAINT)
    _numbers(picture, panel, lines, colours, top, begin)


def _numbers(
    picture: Picture, panel: Panel, lines: list[Line], colours: tuple[str, ...], top: float, begin: int | None
) -> None:
    """The numbers when it began, right to left, each in its line's colour; of many GPUs the lowest and the highest."""
    values = [line.last if begin is None else line.at(begin) for line in lines]
    known = [value for value in values if value is not None]
    if len(lines) > 2 and known:
        low, high = panel.show(min(known)), panel.show(max(known))
        said = low if low == high else f"{low} to {high}"
        picture.write(WIDTH - MARGIN, top, f"{len(lines)} GPUs  {said}", TEXT, INK, "ra")
        return
    right = float(WIDTH - MARGIN)
    for index, value in reversed(list(enumerate(values))):
        text = f"{lines[index].name}  {panel.show(value)}" if value is not None else ""
        picture.write(right, top, text, TEXT, colours[index], "ra")
        right -= width_of(text, TEXT) + 36


def _times(picture: Picture, found: Frozen, bottom: float) -> None:
    """When it was."""
    if not found.times:
        picture.write(MARGIN, bottom - 18, "nothing was recorded before it", TEXT, SOFT)
        return
    first, last = found.times[0], found.times[-1]
    for share, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        at = datetime.fromtimestamp(first + share * (last - first), UTC).strftime("%H:%M:%S")
        picture.write(MARGIN + share * (WIDTH - 2 * MARGIN), bottom - 18, at, SMALL, SOFT, anchor)


def _runs(line: Line, plot: Box, most: float) -> list[list[tuple[float, float]]]:
    """The line as points, in pieces where nothing was known."""
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(line.values):
        if math.isnan(value):
            runs += [[]] if runs[-1] else []
        else:
            share = min(1.0, max(0.0, value / most if most else 0.0))
            runs[-1].append((_x(index, len(line.values) - 1), plot.bottom - share * (plot.bottom - plot.top)))
    return [run for run in runs if run]


def _x(index: int, count: int) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * index / max(1, count)


def _round_up(value: float) -> float:
    """The end of a scale: a round number, not below the highest."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if value <= step * power)


def _readable(colour: str) -> str:
    """The same as letters: pale states are written darker."""
    return {"#bbf7d0": "#15803d", "#22c55e": "#15803d", "#fde047": "#a16207", "#cbd5e1": SOFT}.get(colour, colour)


def _fitted(text: str, size: int, room: float) -> str:
    while width_of(text, size) > room and len(text) > 4:
        text = text[:-4].rstrip() + "…"
    return text


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ValueError("this Pillow was built without FreeType, and cannot write letters of a size")  # noqa: TRY004
    return font


def main(arguments: list[str]) -> int:
    """Read, draw, write beside the place and then to it."""
    os.nice(19)
    source, target = (Path(each) for each in arguments)
    document = json.loads(source.read_text(encoding="utf-8"))
    unfinished = target.with_name(f".{target.name}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    chart(document, unfinished)
    unfinished.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
