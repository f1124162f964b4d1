#!/bin/bash
# The driver with its kernel modules as Ubuntu builds and signs them, and NVIDIA's container toolkit. The device
# plugin runs in the cluster: it is part of the Kubernetes assets.
set -euo pipefail

: "${DRIVER_BRANCH:?}"
export DEBIAN_FRONTEND=noninteractive
export PATH=$PATH:/snap/bin

key=/etc/apt/keyrings/nvidia-container-toolkit.asc
curl -fsSL --retry 5 https://nvidia.github.io/libnvidia-container/gpgkey -o $key
# shellcheck disable=SC2016  # apt itself puts the architecture in
printf 'deb [signed-by=%s] https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /\n' $key \
    >/etc/apt/sources.list.d/nvidia-container-toolkit.list
apt-get update -q
apt-get install -qy --no-install-recommends \
    linux-aws "linux-modules-nvidia-$DRIVER_BRANCH-server-open-aws" \
    "nvidia-headless-no-dkms-$DRIVER_BRANCH-server-open" "nvidia-utils-$DRIVER_BRANCH-server" \
    nvidia-container-toolkit

if ! modprobe nvidia; then
    # The modules are for a newer kernel than the image booted with: once more, with that one.
    if [[ -e /var/lib/vllm-slo/rebooted ]]; then
        echo "no nvidia module for kernel $(uname -r), even after a reboot" >&2
        exit 1
    fi
    mkdir -p /var/lib/vllm-slo
    touch /var/lib/vllm-slo/rebooted
    systemctl reboot
    sleep infinity
fi

version=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)
if ((${version%%.*} < DRIVER_BRANCH)); then
    echo "driver $version is older than $DRIVER_BRANCH: CUDA 13 images would not start" >&2
    exit 1
fi

nvidia-ctk runtime configure --runtime=containerd --set-as-default
systemctl restart containerd
