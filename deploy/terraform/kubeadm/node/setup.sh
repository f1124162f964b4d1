#!/bin/bash
# What a machine does to become a node. Each step may run twice: a reboot for the driver, or a failure, starts again.
set -euo pipefail

: "${ROLE:?}" "${GPU:?}"

/usr/local/sbin/vllm-node-prepare
if [[ $GPU == true ]]; then
    /usr/local/sbin/vllm-node-gpu
fi
if [[ $ROLE == control-plane ]]; then
    /usr/local/sbin/vllm-node-control-plane
else
    /usr/local/sbin/vllm-node-join
fi
mkdir -p /var/lib/vllm-slo
touch /var/lib/vllm-slo/done
