"""GPUs: from whichever of three exporters there is, under the names of deploy/monitoring/rules/gpu.yml."""

from __future__ import annotations

from deploy.monitoring.panel import ENGINE, WINDOW, Panel, Query, rate

GPU = "{{instance}} GPU {{gpu}}"
BUSY = Panel(
    "GPU busy",
    "The share of time in which a kernel ran: 100 % says busy, not well used.",
    "gpu:utilization:ratio; GpuBusy is at 90 %",
    "percentunit",
    [Query("gpu:utilization:ratio", GPU)],
    top=1,
)
PANELS = [
    BUSY,
    Panel(
        "GPU memory in use",
        "vLLM takes its share of the memory at the start and keeps it: this says little about load.",
        "gpu:memory_used:bytes",
        "bytes",
        [Query("gpu:memory_used:bytes", GPU)],
    ),
    Panel(
        "GPU memory free",
        "What is left for activations of long prompts and for other processes.",
        "gpu:memory_free:bytes; GpuMemoryLow is at 2 % of used + free",
        "bytes",
        [Query("gpu:memory_free:bytes", GPU)],
    ),
    Panel(
        "GPU temperature",
        "Of the chip.",
        "gpu:temperature:celsius; GpuHot is at 85 °C",
        "celsius",
        [Query("gpu:temperature:celsius", GPU)],
    ),
    Panel(
        "GPU power",
        "What is drawn, and where the board stops it.",
        "gpu:power:watts; gpu:power_limit:watts; to stand at it is no alert",
        "watt",
        [
            Query("gpu:power:watts", GPU),
            Query("gpu:power_limit:watts", f"limit of {GPU}"),
        ],
    ),
    Panel(
        "SM clock",
        "It falls with heat and power: the same load then takes longer.",
        "gpu:sm_clock:hertz",
        "hertz",
        [Query("gpu:sm_clock:hertz", GPU)],
    ),
    Panel(
        "Energy per output token",
        "Of all GPUs that are scraped, for all tokens of the engines chosen.",
        "J/token = Σ rate(gpu:energy:joules_total) / Σ rate(vllm:generation_tokens_total)",
        "joule",
        [
            Query(
                f"sum(rate(gpu:energy:joules_total[{WINDOW}]))"
                f" / ({rate('vllm:generation_tokens_total', labels=ENGINE)} > 0)",
                "J per token",
            )
        ],
    ),
    Panel(
        "Uncorrected memory errors",
        "Since the driver was loaded. A GPU without ECC has no line here, not one at 0.",
        "gpu:ecc_uncorrected:errors_total; GpuEccErrors is at any rise",
        "short",
        [Query("gpu:ecc_uncorrected:errors_total", GPU)],
    ),
    Panel(
        "Why clocks are held down",
        "1 while a reason holds; gpu_idle and sw_power_cap are how a GPU works, the others are trouble.",
        "max gpu_throttle_reason by reason; GpuThrottled is at 2 min of heat or hardware brakes",
        "short",
        [Query("max by (instance, gpu_id, reason) (gpu_throttle_reason)", "GPU {{gpu_id}} {{reason}}")],
        top=1,
    ),
    Panel(
        "GPU memory by process",
        "Who holds it: what is not the engine's is somebody else's.",
        "gpu_process_memory_used_mib × 2²⁰",
        "bytes",
        [
            Query(
                "sum by (instance, gpu_id, process, pid) (gpu_process_memory_used_mib * 1048576)",
                "GPU {{gpu_id}} {{process}} {{pid}}",
            )
        ],
    ),
    Panel(
        "Can the GPUs be read?",
        "1 while NVML answers.",
        "gpu_exporter_up; GpuUnreadable is at 0 for a minute",
        "short",
        [Query("max by (instance) (gpu_exporter_up)", "{{instance}}")],
        top=1,
    ),
    Panel(
        "Tensor cores busy",
        "The share of cycles in which they worked: what “GPU busy” does not say.",
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        "percentunit",
        [Query("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "{{instance}} GPU {{gpu}}")],
        top=1,
        empty="Only DCGM's exporter gives it, on data-centre GPUs.",
    ),
    Panel(
        "Last XID",
        "The driver's number of the last error; 0 is none. It stays until the GPU is reset.",
        "DCGM_FI_DEV_XID_ERRORS; GpuXid is at those that ask for a reset",
        "short",
        [Query("DCGM_FI_DEV_XID_ERRORS", "{{instance}} GPU {{gpu}}")],
        empty="Only DCGM's exporter gives it.",
    ),
]
