"""When the verdict says what: the `verdict:` section of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vllm_vigil.units import Seconds


@dataclass(frozen=True, slots=True)
class VerdictSettings:
    """How long something must be so before it is said.

    `stalled_after`: an engine that holds work and takes no step for so long is `stalled`, `spinning` or
    `frozen_metrics`. `stalled_for`: for so long before `engine_stalled` opens. `longest_step`: for so long a GPU that
    works is believed, as in a long prefill. `unreachable_for`: before `server_unreachable` opens.
    """

    stalled_after: Seconds = Seconds(20.0)
    stalled_for: Seconds = Seconds(60.0)
    longest_step: Seconds = Seconds(600.0)
    unreachable_for: Seconds = Seconds(60.0)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, as (field, message)."""
        for name in ("stalled_after", "stalled_for", "longest_step", "unreachable_for"):
            if getattr(self, name) <= 0:
                yield name, "must be more than 0s"
        if self.stalled_for < self.stalled_after:
            yield "stalled_for", "must not be shorter than stalled_after: what does not stall yet cannot have stalled"
        if self.longest_step < self.stalled_after:
            yield "longest_step", "must not be shorter than stalled_after, or no GPU is ever believed"
