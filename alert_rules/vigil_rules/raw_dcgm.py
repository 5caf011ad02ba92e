"""dcgm-exporter's names -> raw/dcgm.yml: our GPU series, recorded from both of its vocabularies.

Release 4.9.0 took DCGM 4.7's names for 23 fields and changed the unit of eleven: MHz became hertz, millijoules joules,
percent a ratio, MiB bytes. A site in the middle of an upgrade has both. The label `Hostname` became `hostname` in
4.8.3; neither is used here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vigil_rules.raw_vllm import RAW
from vllm_vigil.slo.page import Group, Record, page

MIB = "1048576"
UUID = '"uuid", "$1", "UUID", "(.+)"'
IS_DCGM = 'up{job=~".*dcgm.*"}'


@dataclass(frozen=True)
class Row:
    """Our series and the fields that give it, newest first, each with what turns its unit into ours."""

    name: str
    fields: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)


ROWS = (
    Row("gpu_utilization_ratio", {"DCGM_FI_DEV_GPU_UTIL_RATIO": "", "DCGM_FI_DEV_GPU_UTIL": "/ 100"}),
    Row("gpu_memory_utilization_ratio", {"DCGM_FI_DEV_MEMORY_UTIL_RATIO": "", "DCGM_FI_DEV_MEM_COPY_UTIL": "/ 100"}),
    Row("gpu_memory_used_bytes", {"DCGM_FI_DEV_FB_USED_BYTES": "", "DCGM_FI_DEV_FB_USED": f"* {MIB}"}),
    Row("gpu_memory_free_bytes", {"DCGM_FI_DEV_FB_FREE_BYTES": "", "DCGM_FI_DEV_FB_FREE": f"* {MIB}"}),
    Row("gpu_memory_reserved_bytes", {"DCGM_FI_DEV_FB_RESERVED_BYTES": "", "DCGM_FI_DEV_FB_RESERVED": f"* {MIB}"}),
    Row(
        "gpu_memory_total_bytes",
        {
            "DCGM_FI_DEV_FB_CAPACITY_BYTES": "",
            "DCGM_FI_DEV_FB_TOTAL": f"* {MIB}",
            "(DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE + DCGM_FI_DEV_FB_RESERVED)": f"* {MIB}",
            "(DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE)": f"* {MIB}",
        },
    ),
    Row(
        "gpu_temperature_celsius",
        {"DCGM_FI_DEV_GPU_TEMP_CELSIUS": "", "DCGM_FI_DEV_GPU_TEMP": ""},
        {"sensor": "gpu"},
    ),
    Row(
        "gpu_temperature_celsius",
        {"DCGM_FI_DEV_MEMORY_TEMP_CELSIUS": "", "DCGM_FI_DEV_MEMORY_TEMP": ""},
        {"sensor": "memory"},
    ),
    Row("gpu_power_watts", {"DCGM_FI_DEV_BOARD_POWER_WATTS": "", "DCGM_FI_DEV_POWER_USAGE": ""}),
    Row(
        "gpu_energy_joules_total",
        {"DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL": "", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": "/ 1000"},
    ),
    Row("gpu_clock_hertz", {"DCGM_FI_DEV_SM_CLOCK_HERTZ": "", "DCGM_FI_DEV_SM_CLOCK": "* 1e6"}, {"clock": "sm"}),
    Row(
        "gpu_clock_hertz", {"DCGM_FI_DEV_MEMORY_CLOCK_HERTZ": "", "DCGM_FI_DEV_MEM_CLOCK": "* 1e6"}, {"clock": "memory"}
    ),
    Row(
        "gpu_violation_seconds_total",
        {"DCGM_FI_DEV_GPU_THERMAL_THROTTLE_SECONDS_TOTAL": "", "DCGM_FI_DEV_THERMAL_VIOLATION": "/ 1e9"},
        {"policy": "thermal"},
    ),
    Row(
        "gpu_violation_seconds_total",
        {"DCGM_FI_DEV_GPU_POWER_THROTTLE_SECONDS_TOTAL": "", "DCGM_FI_DEV_POWER_VIOLATION": "/ 1e9"},
        {"policy": "power"},
    ),
    Row("gpu_pcie_replays_total", {"DCGM_FI_DEV_PCIE_REPLAY_TOTAL": "", "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": ""}),
    Row("gpu_pcie_link_width_lanes", {"DCGM_FI_DEV_PCIE_LINK_WIDTH": ""}),
    Row("gpu_pcie_link_width_max_lanes", {"DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH": ""}),
    Row("gpu_row_remap_failed", {"DCGM_FI_DEV_ROW_REMAP_FAILED": "", "DCGM_FI_DEV_ROW_REMAP_FAILURE": ""}),
    Row("gpu_row_remap_pending", {"DCGM_FI_DEV_ROW_REMAP_PENDING": ""}),
    Row(
        "gpu_ecc_errors_total",
        {"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": ""},
        {"error": "uncorrected", "lifetime": "volatile"},
    ),
)

HEAD = """\
Generated from alert_rules/vigil_rules/raw_dcgm.py by scripts/rules.

For sites without the sidecar: dcgm-exporter's fields, in the names and units before and since its release 4.9.0,
recorded as the series that all other rules are written in. dcgm-exporter is a target whose job has `dcgm` in its name.

job becomes `raw`, instance the host without its port, so that GPUs and engines of one host meet. Its defaults leave out
ECC, throttling times and PCIe width: what is not collected stays absent, and its alerts silent."""


def text() -> str:
    """The file."""
    return page(HEAD, [Group("vigil-raw-dcgm", [_source_up(), _info(), *(_record(row) for row in ROWS), *_xids()])])


def _record(row: Row) -> Record:
    inner = "\nor ".join(f"{name} {unit}".strip() for name, unit in row.fields.items())
    return Record(row.name, _by_gpu(inner), {**RAW, **row.labels})


def _by_gpu(inner: str, *more: str) -> str:
    kept = ", ".join(("instance", "gpu", "uuid", *more))
    return f"max by ({kept}) (\n{_in(_host(_labelled(inner, UUID)))}\n)"


def _host(text: str) -> str:
    return _labelled(text, '"instance", "$1", "instance", "(.+?)(?::[0-9]+)?"')


def _labelled(text: str, change: str) -> str:
    return f"label_replace(\n{_in(text)},\n  {change}\n)"


def _source_up() -> Record:
    expr = f"max by (instance) (\n{_in(_host(IS_DCGM))}\n)"
    return Record("vigil_source_up", expr, {**RAW, "source": "nvml"})


def _info() -> Record:
    any_field = "DCGM_FI_DEV_GPU_TEMP_CELSIUS\nor DCGM_FI_DEV_GPU_TEMP"
    inner = _labelled(any_field, '"name", "$1", "modelName", "(.+)"')
    return Record("gpu_info", _by_gpu(inner, "name").replace("max by", "group by", 1), RAW)


def _xids() -> Iterator[Record]:
    expr = (
        "time() + 0 * "
        + _by_gpu(
            "increase(DCGM_EXP_XID_ERRORS_TOTAL[2m]) > 0\n"
            "or (DCGM_EXP_XID_ERRORS_TOTAL > 0 unless DCGM_EXP_XID_ERRORS_TOTAL offset 2m)",
            "xid",
        )
        + "\nor\ntime() + 0 * "
        + _by_gpu(
            "(\n"
            "  count_values by (job, instance, gpu, UUID) (\n"
            '    "xid", DCGM_FI_DEV_XID_ERROR > 0 or DCGM_FI_DEV_XID_ERRORS > 0\n'
            "  )\n"
            "  and on (job, instance, gpu, UUID)\n"
            "  (changes(DCGM_FI_DEV_XID_ERROR[2m]) > 0 or changes(DCGM_FI_DEV_XID_ERRORS[2m]) > 0)\n"
            ")",
            "xid",
        )
    )
    comment = (
        "An XID is an event. DCGM_EXP_XID_ERRORS_TOTAL (4.8.3 and later, to be switched on) counts them, and is born\n"
        "with the first. The default field shows the last one for ever: the moment of its change counts, and the same\n"
        "XID again is not seen."
    )
    yield Record("gpu_xid_last_seen_timestamp_seconds", expr, RAW, comment)


def _in(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
