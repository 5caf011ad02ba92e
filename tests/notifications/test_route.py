"""Which channels hear of an incident, and how often."""

from __future__ import annotations

import pytest

from standins.notices import Incidents
from vllm_vigil.model import Severity
from vllm_vigil.notifications.route import REPEAT_SECONDS, Listener, fallbacks, listeners
from vllm_vigil.notifications.settings import ChannelSettings, NotifySettings, RouteSettings
from vllm_vigil.units import Seconds, Secret

CHANNELS = {name: ChannelSettings(Secret("json://127.0.0.1")) for name in ("pager", "slack", "mail")}


def heard(incident: object, *routes: RouteSettings) -> list[str]:
    return [listener.channel for listener in listeners(incident, NotifySettings(CHANNELS, routes))]  # type: ignore[arg-type]  # made by the fixture


@pytest.mark.parametrize("severity", Severity)
def test_without_routes_every_channel_hears_everything(incident: Incidents, severity: Severity) -> None:
    """And is told again by severity."""
    expected = tuple(Listener(name, REPEAT_SECONDS[severity]) for name in CHANNELS)
    assert expected == listeners(incident(severity=severity), NotifySettings(CHANNELS))


def test_the_first_route_that_matches_wins(incident: Incidents) -> None:
    """A later one is not looked at."""
    routes = (
        RouteSettings(("mail",), {"severity": "warning"}),
        RouteSettings(("pager",), {"severity": "critical"}),
        RouteSettings(("slack",)),
    )
    assert ["pager"] == heard(incident(), *routes)
    assert ["mail"] == heard(incident(severity=Severity.WARNING), *routes)
    assert ["slack"] == heard(incident(severity=Severity.INFO), *routes)


def test_also_goes_on_to_the_next(incident: Incidents) -> None:
    """A channel that several routes name is told once, as the first of them says."""
    routes = (
        RouteSettings(("pager", "slack"), repeat=Seconds(60), also=True),
        RouteSettings(("slack", "mail"), repeat=Seconds(90)),
        RouteSettings(("never",)),
    )
    expected = (Listener("pager", 60), Listener("slack", 60), Listener("mail", 90))
    assert expected == listeners(incident(), NotifySettings(CHANNELS, routes))


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        ({"rule": "cuda_oom"}, True),
        ({"server": "llama"}, True),
        ({"severity": "critical", "rule": "cuda_oom", "server": "llama"}, True),
        ({"severity": "critical", "rule": "cuda_oom", "server": "other"}, False),
        ({"rule": "cuda"}, False),
        ({}, True),
    ],
)
def test_everything_that_a_route_names_must_agree(incident: Incidents, match: dict[str, str], *, matches: bool) -> None:
    """Severity, rule and server, exactly."""
    assert matches == bool(heard(incident(), RouteSettings(("slack",), match)))


def test_what_no_route_matches_is_told_to_nobody(incident: Incidents) -> None:
    """With routes, only they decide."""
    assert not heard(incident(severity=Severity.INFO), RouteSettings(("slack",), {"severity": "critical"}))


def next_in_line(incident: object, *routes: RouteSettings) -> tuple[str, ...]:
    return fallbacks(incident, NotifySettings(CHANNELS, routes))  # type: ignore[arg-type]  # made by the fixture


def test_what_its_channels_do_not_take_goes_to_the_others(incident: Incidents) -> None:
    """All others in the order of the configuration, or those that the route names, or none."""
    assert ("slack", "mail") == next_in_line(incident(), RouteSettings(("pager",)))
    assert ("mail",) == next_in_line(incident(), RouteSettings(("pager",), fallback=("pager", "mail")))
    assert () == next_in_line(incident(), RouteSettings(("pager",), fallback=()))
    assert () == next_in_line(incident())
    assert () == next_in_line(incident(), RouteSettings(("pager",), {"severity": "info"}))


def test_routes_that_go_on_add_their_fallbacks(incident: Incidents) -> None:
    """Without those who hear of it anyway."""
    routes = (
        RouteSettings(("pager",), also=True, fallback=("slack", "mail")),
        RouteSettings(("mail",), fallback=()),
        RouteSettings(("slack",)),
    )
    assert ("slack",) == next_in_line(incident(), *routes)
