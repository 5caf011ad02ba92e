"""Which panel shows the trouble of which alert, by the panel's title in dashboards/panels.json."""

from __future__ import annotations

PANEL_OF_COMPONENT = {
    "server": "State of each engine",
    "engine": "State of each engine",
    "gpu": "GPUs, one by one",
    "sidecar": "Sources that answer",
    "delivery": "Deliveries",
    "monitoring": "Scraped by Prometheus",
}
"""Where alerts of a component lead, unless they have a better place below."""

ALERTS_OF_PANEL = {
    # Overview
    "Last probe": ("VllmProbeFailing",),
    "Probe: time to first token and in all": ("VllmProbeSlow",),
    "HTTP answers by class": (
        "VllmHttp5xxOverTenthPercent",
        "VllmHttp5xxOverOnePercent",
        "VllmHttp5xxOverFivePercent",
    ),
    "Requests by outcome": ("VllmRequestErrors", "VllmCorruptedAnswers", "VllmTrafficLost"),
    "Models": ("VllmVersionDrift",),
    # Latency and SLO
    "First token: burn rate": ("VllmTtftBudgetBurnsFast", "VllmTtftBudgetBurnsSlowly"),
    "Next token: burn rate": ("VllmInterTokenBudgetBurnsFast", "VllmInterTokenBudgetBurnsSlowly"),
    "Whole answer: burn rate": ("VllmLatencyBudgetBurnsFast", "VllmLatencyBudgetBurnsSlowly"),
    "Availability: burn rate": ("VllmAvailabilityBudgetBurnsFast", "VllmAvailabilityBudgetBurnsSlowly"),
    "Promises that cannot be measured": ("VllmSloBucketMissing",),
    "First token: percentiles": ("VllmTtftOver2s",),
    "Next token: percentiles": ("VllmInterTokenOver200ms",),
    "Whole answer: percentiles": ("VllmLatencyP95Over8s", "VllmLatencyP99Over15s"),
    "Answers cut or given up": ("VllmAbortSurge", "VllmTruncationSurge"),
    "Answer length": ("VllmEmptyAnswers",),
    # Queue and KV cache
    "Time in the queue": ("VllmQueueTimeOver2s",),
    "Waiting by engine": ("VllmQueueOver10", "VllmQueueOver50", "VllmAdmissionStuck"),
    "Imbalance between engines": ("VllmLoadImbalance",),
    "Requests refused by limit": ("VllmRequestsRejected",),
    "Connections to the API": ("VllmConnectionsMany",),
    "KV cache by engine": ("VllmKvCacheFull", "VllmKvCacheFullAndHurting"),
    "Time until the KV cache is full": ("VllmKvCacheFillsUp",),
    "Preemptions per finished request": ("VllmPreemptionStorm",),
    "Prefix cache hits by model": ("VllmPrefixCacheCollapse",),
    "KV cache configuration": ("VllmConfigDrift",),
    "Tokens per draft": ("VllmSpecDecodeNotPaying",),
    "NIXL trouble": ("VllmKvTransferFailing",),
    "Offload stores without room": ("VllmKvOffloadFailing",),
    "Age of the last step": ("VllmEngineStalled", "VllmEngineSpinning", "VllmMetricsFrozen"),
    # GPU and host
    "GPUs": ("GpuLost",),
    "XID errors by number": (
        "GpuFellOffBus",
        "GpuXidHardware",
        "GpuXidApplication",
        "GpuXidMemoryRepaired",
        "GpuXidOther",
    ),
    "Uncorrected ECC errors": ("GpuEccUncorrected",),
    "Rows that could not be replaced": ("GpuRowRemapFailed",),
    "Health of memory and board": ("GpuRowRemapPending", "GpuRecoveryNeeded"),
    "GPU memory in use": ("GpuMemoryOver90Percent",),
    "Temperature by GPU": ("GpuHot",),
    "Memory temperature": ("GpuMemoryHot",),
    "Slowed down by heat or brake": ("GpuThrottledWhileServing",),
    "Held down by reason": ("GpuPowerCapped",),
    "GPU busy by GPU": ("GpuIdleWhileServing",),
    "Behind its tensor-parallel peers": ("GpuStraggler",),
    "PCIe link, share of the best": ("GpuPcieNarrow",),
    "NVLinks up": ("GpuNvlinkDown",),
    "NVLink errors": ("GpuNvlinkErrors",),
    "Who holds GPU memory": ("GpuForeignProcess",),
    "OOM kills": ("VllmOomKilled", "HostOomKills"),
    "Host memory": ("HostMemoryLow",),
    "Cgroup memory, share of the limit": ("VllmCgroupMemoryNearLimit",),
    "Memory growth": ("VllmHostMemoryLeak", "VllmGpuMemoryLeak"),
    "Open files of the API server": ("VllmFileDescriptorsLow",),
    "Process restarts": ("VllmFlapping", "VllmRestarted"),
    # Incidents and logs
    "Open, critical": ("VigilIncidentOpen",),
    "Lines in Loki by level": ("LogShippingStopped",),
    # Sidecar
    "Scraped by Prometheus": ("VigilSidecarDown", "VigilSidecarAbsent"),
    "Families that no series is made of": ("VllmMetricsUnknown", "VllmMetricsMissing"),
    "Time that a reading takes": ("VigilSourceSlow",),
    "Samples left out": ("VigilSeriesDropped",),
    "Configuration in force": ("VigilConfigReloadFailed",),
    "State reaches the disk": ("VigilStateNotWritable",),
    "OOM kills of the sidecar": ("VigilOomKilled",),
    "Logs that can be read": ("VigilLogUnreadable",),
    "Time behind": ("VigilLogLagging",),
    "Bytes lost by cause": ("VigilLogBytesLost",),
    "Lines read": ("VigilLogSilent",),
    "Oldest that waits": ("VigilPagesNotDelivered",),
    "Channels left alone": ("VigilChannelFailing",),
    "Since the last success": ("VigilChannelNotProven",),
    "Heartbeats": ("VigilHeartbeatFailing",),
    "Alertmanager: pushes": ("VigilAlertmanagerPushFailing",),
}

PANEL_OF_ALERT = {alert: title for title, alerts in ALERTS_OF_PANEL.items() for alert in alerts}
