"""The GPU exporter: what NVML says of this machine's GPUs, as metrics for Prometheus."""
