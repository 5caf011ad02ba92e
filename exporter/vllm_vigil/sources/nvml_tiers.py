"""NVML's error numbers, sorted by what they mean for us. Numbers and not names: only `nvml.py` imports the binding."""

from __future__ import annotations

NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, FUNCTION_NOT_FOUND = 3, 4, 6, 13
LIB_RM_VERSION_MISMATCH = 18

NOT_HERE = {
    12: "libnvidia-ml.so.1 not found: no NVIDIA driver on this host, or not passed into this container",
    9: "the NVIDIA kernel driver is not loaded",
    NO_PERMISSION: "no permission to use the NVIDIA driver: this user needs access to /dev/nvidia*",
    LIB_RM_VERSION_MISMATCH: "libnvidia-ml.so.1 and the loaded kernel driver differ in version: "
    "after an upgrade of the driver, reboot or reload its modules",
}
"""Why NVML cannot be begun, and what to do. Tried again with a backoff."""

NEVER = frozenset({NOT_SUPPORTED, FUNCTION_NOT_FOUND, 26})
"""Not supported by the GPU, not in this library, deprecated away: not asked again on this GPU."""

NOT_NOW = frozenset({15, 16, 10, NOT_FOUND, 28})
"""Lost, reset required, timeout, not found: the GPU gives nothing now."""

ENDED = frozenset({1, 9, LIB_RM_VERSION_MISMATCH})
"""Not begun, driver gone, driver exchanged: NVML has to be begun anew."""
