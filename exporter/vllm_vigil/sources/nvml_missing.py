"""Which GPUs answered, reading by reading -> which of those that ever did are missing, and why. Changes are logged."""

from __future__ import annotations

from collections.abc import Mapping

from loguru import logger


class Missing:
    """What is known of the GPUs of this host. `whys` says of each that is missing ("GPU 1 (GPU-1a2b)") why."""

    def __init__(self) -> None:
        self.whys: dict[str, str] = {}
        self._known: dict[str, int] = {}
        self._gone: dict[str, int] = {}

    @property
    def lost(self) -> tuple[str, ...]:
        """Those that answered before and do not now."""
        return tuple(f"GPU {index} ({uuid})" for uuid, index in self._gone.items())

    def note(self, answered: Mapping[str, int], silent: Mapping[int, str]) -> None:
        """The UUIDs that answered now, with their indexes, and what the driver said at other indexes."""
        self._known |= answered
        self._gone = {uuid: index for uuid, index in self._known.items() if uuid not in answered}
        whys = {
            f"GPU {index} ({uuid})": silent.get(index, "the driver shows it no more")
            for uuid, index in self._gone.items()
        }
        whys |= {f"GPU {index}": silent[index] for index in sorted(silent.keys() - set(self._gone.values()))}
        for gpu, why in whys.items():
            if self.whys.get(gpu) != why:
                logger.warning("{} is not read: {}", gpu, why)
        for gpu in self.whys.keys() - whys.keys():
            logger.info("{} is read again", gpu)
        self.whys = whys
