"""What most sidecars do without, made only where the configuration wants it: probes, pushes, a heartbeat.

Their modules are imported here and when they are wanted. What asks servers with httpx is 6 MB, more than a tenth of all
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vllm_vigil.clock import Clock
from vllm_vigil.config.settings import Config
from vllm_vigil.notifications.push_settings import Alert
from vllm_vigil.probe.answer import Proven
from vllm_vigil.telemetry import Telemetry

if TYPE_CHECKING:
    from vllm_vigil.notifications.alertmanager import Member
    from vllm_vigil.notifications.heartbeat import Heartbeat
    from vllm_vigil.probe.prober import Prober


def probers(config: Config, clock: Clock, proven: Callable[[Proven], None]) -> list[Prober]:
    """Who asks a server for a token, for each server that may be asked."""
    wanted = [each for each in config.vllm if each.probe.enabled]
    if not wanted:
        return []
    from vllm_vigil.probe.prober import Prober

    return [Prober(each, each.probe, clock, proven) for each in wanted]


def members(config: Config, alerts: Callable[[], Sequence[Alert]], clock: Clock, telemetry: Telemetry) -> list[Member]:
    """Who pushes `alerts`, for each Alertmanager."""
    push = config.alertmanager
    if not push.urls:
        return []
    from vllm_vigil.notifications.alertmanager import Member

    return [Member(url, push, alerts, clock, telemetry) for url in push.urls]


def heart(config: Config, clock: Clock, telemetry: Telemetry, age_seconds: Callable[[], float]) -> Heartbeat | None:
    """The dead man's switch, if one is set. `age_seconds` gives the time since the last tick."""
    settings = config.heartbeat
    if settings.url is None:
        return None
    from vllm_vigil.notifications.heartbeat import Heartbeat

    telemetry.heartbeats_known()
    return Heartbeat(settings.url, settings, clock, telemetry, age_seconds)
