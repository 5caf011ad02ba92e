"""What can be set of the flight recorder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vllm_vigil.units import Bytes

LEAST_BYTES = 2 * 2**20


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """Whether incidents freeze what was recorded, how much of that is kept, and whether pages carry a chart.

    The oldest bundle goes when there are more than `bundles`, or when all of them are larger than `size`. A chart needs
    the extra `vllm-vigil[chart]`; where that is not installed there is none.
    """

    enabled: bool = True
    bundles: int = 20
    size: Bytes = Bytes(64 * 2**20)
    chart: bool = True

    def problems(self) -> Iterator[tuple[str, str]]:
        """Bounds that keep nothing, or everything."""
        if not 1 <= self.bundles <= 1000:
            yield "bundles", f"must be from 1 to 1000, not {self.bundles}; `enabled: false` keeps none"
        if self.size < LEAST_BYTES:
            yield "size", "one bundle of a large host takes 1 MiB: write 2MiB or more"
