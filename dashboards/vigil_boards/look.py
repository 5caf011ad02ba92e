"""What a colour means, everywhere: blue judges nothing, green, orange and red do, and each quantile has its own."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

NEUTRAL = "#5794F2"
GOOD, WARNING, BAD, DEAD = "#56A64B", "#FF9830", "#E02F44", "#8F1D2B"
ASLEEP, STARTING, IDLE, UNKNOWN = "#8F83D8", "#FADE2A", "#96D98D", "#6E7680"

QUANTILES = {"p50": "#8AB8FF", "p95": "#3274D9", "p99": "#A352CC", "mean": "#9FA7B3"}
"""The further out, the darker; the mean is grey and dashed, because it is exact and yet hides the most."""

HUES = ("#5794F2", "#B877D9", "#5CC8D8", "#E685B5", "#C9B27C", "#7A7BE0", "#9FA7B3", "#3E8E8A")
"""For things that are told apart and not judged, in their order: no green, no orange, no red."""

HOLDERS = {
    "/worker/": HUES[0],
    "/engine_core/": HUES[1],
    "/api_server/": HUES[2],
    "/foreign/": WARNING,
    "/hidden/": UNKNOWN,
}
"""Whose a process is, by its role; what is not vLLM's stands out."""

LOUDNESS = {"CRITICAL": DEAD, "ERROR": BAD, "WARNING": WARNING, "INFO": NEUTRAL, "DEBUG": UNKNOWN, "none": UNKNOWN}

STATES = (
    ("healthy", GOOD),
    ("idle", IDLE),
    ("starting", STARTING),
    ("asleep", ASLEEP),
    ("stalled", BAD),
    ("spinning", BAD),
    ("frozen_metrics", WARNING),
    ("dead", DEAD),
    ("unreachable", DEAD),
)
"""An engine's states in the order of their codes, which begin at 1."""

SEVERITIES = {"critical": BAD, "warning": WARNING, "info": NEUTRAL}

Steps = tuple[tuple[float, str], ...]
"""From which value on which colour holds."""

CALM: Steps = ()


def above(warning: float | None, bad: float | None = None) -> Steps:
    """Good below, then worse."""
    steps = ((0.0, GOOD), (warning, WARNING), (bad, BAD))
    return tuple((at, colour) for at, colour in steps if at is not None)


def below(warning: float | None, bad: float) -> Steps:
    """Bad at the bottom, then better."""
    if warning is None:
        return ((0.0, BAD), (bad, GOOD))
    return ((0.0, BAD), (bad, WARNING), (warning, GOOD))


def thresholds(steps: Steps) -> build.ThresholdsConfig:
    """The same for Grafana; its first step has no value, and without steps everything is neutral."""
    first, *rest = steps or ((0.0, NEUTRAL),)
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(None, first[1]), *(model.Threshold(at, colour) for at, colour in rest)])
    )


def words(meanings: dict[str, tuple[str, str]]) -> list[model.ValueMapping]:
    """Values that are shown as a word in a colour."""
    results = {
        value: model.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(meanings.items())
    }
    return [model.ValueMap(options=results)]


STATE_WORDS = {str(code): (state.replace("_", " "), colour) for code, (state, colour) in enumerate(STATES, 1)}
UP_WORDS = {"1": ("up", GOOD), "0": ("down", BAD)}
YES_IS_BAD = {"0": ("no", GOOD), "1": ("yes", BAD)}
YES_IS_GOOD = {"1": ("yes", GOOD), "0": ("no", BAD)}


def fixed(colour: str) -> model.DynamicConfigValue:
    """An override: this series has this colour."""
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
