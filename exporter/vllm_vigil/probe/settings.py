"""What the daemon asks of a server by itself, and how often at most. Nothing unless `enabled`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vllm_vigil.probe.question import Api
from vllm_vigil.probe.suite import Suite
from vllm_vigil.units import Seconds

LEAST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """One token when the passive signs leave a doubt; with `every` also on schedule, then the suite if there is one.

    `at_most_every` stands between the beginnings of two probes, whatever asks for them. `model`, `api` and `timeout`
    are those of the one token; a suite has its own.
    """

    enabled: bool = False
    model: str | None = None
    api: Api = Api.COMPLETIONS
    timeout: Seconds = Seconds(10.0)
    at_most_every: Seconds = Seconds(60.0)
    every: Seconds | None = None
    suite: Suite | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What would ask too often, or never."""
        if self.timeout <= 0:
            yield "timeout", "must be more than 0s"
        if self.at_most_every < LEAST_SECONDS:
            yield "at_most_every", f"must be {LEAST_SECONDS:.0f}s or more"
        if self.every is not None and self.every < self.at_most_every:
            yield "every", "must not be shorter than at_most_every"
        if self.suite is not None and self.every is None:
            yield "suite", "is asked on schedule only: say how often with `every`"
