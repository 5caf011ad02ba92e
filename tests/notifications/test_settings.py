"""What is wrong with a `notify` section is said at start, and no address is shown."""

from __future__ import annotations

import pytest

from standins.channels import PAGERDUTY, SLACK
from vllm_vigil.notifications.settings import ChannelSettings, NotifySettings, RouteSettings, WindowSettings
from vllm_vigil.units import Seconds, Secret


@pytest.mark.parametrize("url", [SLACK, PAGERDUTY, "json://127.0.0.1:8080/hook"])
def test_a_good_address_has_no_problem(url: str) -> None:
    """What Apprise understands is taken."""
    assert not list(ChannelSettings(Secret(url)).problems())


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("slack://c4n4ry/x", "slack://"),
        ("c4n4ry://host/x", "c4n4ry://"),  # a scheme is no secret
        ("pagerduty://secret-canary", "pagerduty://"),
        ("secret-canary", "begins with a scheme"),
        ("", "begins with a scheme"),
    ],
)
def test_a_bad_address_is_named_by_its_scheme_alone(url: str, named: str) -> None:
    """The message says which kind of address it is, and nothing else of it."""
    ((path, text),) = ChannelSettings(Secret(url)).problems()
    assert path == "url"
    assert named in text
    assert "canary" not in text
    assert "c4n4ry/x" not in text


def test_a_good_route_has_no_problem() -> None:
    """Every key that a route can match on."""
    route = RouteSettings(("a",), {"severity": "info", "rule": "x", "server": "y"}, Seconds(60))
    assert not list(route.problems())


@pytest.mark.parametrize(
    ("route", "path", "words"),
    [
        (RouteSettings(), "to", "at least one channel"),
        (RouteSettings(("a",), {"sevrity": "critical"}), "match.sevrity", "did you mean 'severity'?"),
        (RouteSettings(("a",), {"severity": "criticle"}), "match.severity", "critical, warning, info"),
        (RouteSettings(("a",), {}, Seconds(1)), "repeat", "1m or more"),
    ],
)
def test_a_route_that_cannot_work_is_a_problem(route: RouteSettings, path: str, words: str) -> None:
    """It says where, and what to write."""
    ((found, text),) = route.problems()
    assert path == found
    assert words in text


def test_a_route_to_nowhere_is_a_problem() -> None:
    """A channel that does not exist is named, with the nearest that does."""
    channels = {"slack": ChannelSettings(Secret(SLACK))}
    settings = NotifySettings(channels, (RouteSettings(("slack",)), RouteSettings(("slak", "other"))))
    assert [
        ("routes[1].to", "there is no channel 'slak'; did you mean 'slack'?"),
        ("routes[1].to", "there is no channel 'other'"),
    ] == list(settings.problems())


@pytest.mark.parametrize(
    ("settings", "path", "said"),
    [
        (WindowSettings(start="25:00"), "start", "is no time of day"),
        (WindowSettings(end="8:00"), "end", "is no time of day"),
        (WindowSettings(days=("sunday",)), "days", "did you mean 'sun'?"),
        (WindowSettings(zone="Asia/Seol"), "zone", "is no time zone"),
        (WindowSettings(zone="/etc/passwd"), "zone", "is no time zone"),
        (ChannelSettings(Secret(SLACK), budget=0), "budget", "1 or more"),
        (NotifySettings(failover=Seconds(1)), "failover", "10s or more"),
        (NotifySettings(runbook_url="javascript:alert(1)"), "runbook_url", "http"),
        (
            NotifySettings({"a": ChannelSettings(Secret(SLACK))}, (RouteSettings(("a",), fallback=("b",)),)),
            "routes[0].fallback",
            "there is no channel 'b'",
        ),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(
    settings: WindowSettings | ChannelSettings | NotifySettings, path: str, said: str
) -> None:
    """With what to write instead."""
    ((where, text),) = settings.problems()
    assert path == where
    assert said in text


def test_a_good_window_has_no_problem() -> None:
    """Any time, day and zone that there is."""
    assert not list(WindowSettings("22:30", "00:00", ("mon", "sun"), "Asia/Seoul", {"server": "a"}).problems())
