#!/bin/bash
# What every node needs: kernel settings, containerd 2 with systemd's cgroups, kubelet and kubeadm, the AWS CLI.
set -euo pipefail

: "${KUBERNETES_VERSION:?}"
export DEBIAN_FRONTEND=noninteractive

printf '%s\n' overlay br_netfilter >/etc/modules-load.d/kubernetes.conf
modprobe --all overlay br_netfilter
sysctl --system >/dev/null
swapoff --all

# Once: what is held would stand in the way of a second time.
done=/var/lib/vllm-slo/prepared
[[ ! -e $done ]] || exit 0

# Ubuntu updates itself at the first boot, and holds the lock meanwhile.
echo 'DPkg::Lock::Timeout "600";' >/etc/apt/apt.conf.d/90-vllm-slo
# shellcheck source=/dev/null
. /etc/os-release
keys=/etc/apt/keyrings
install -d -m 0755 $keys
curl -fsSL --retry 5 https://download.docker.com/linux/ubuntu/gpg -o $keys/docker.asc
curl -fsSL --retry 5 "https://pkgs.k8s.io/core:/stable:/v$KUBERNETES_VERSION/deb/Release.key" -o $keys/kubernetes.asc
cat >/etc/apt/sources.list.d/vllm-slo.list <<SOURCES
deb [arch=amd64 signed-by=$keys/docker.asc] https://download.docker.com/linux/ubuntu $VERSION_CODENAME stable
deb [signed-by=$keys/kubernetes.asc] https://pkgs.k8s.io/core:/stable:/v$KUBERNETES_VERSION/deb/ /
SOURCES
apt-get update -q
apt-get install -qy --no-install-recommends 'containerd.io=2.*' kubelet kubeadm kubectl conntrack
apt-mark hold containerd.io kubelet kubeadm kubectl
if ! command -v aws >/dev/null; then
    snap install aws-cli --classic --channel=v2/stable
fi

containerd config default | sed 's/SystemdCgroup = false/SystemdCgroup = true/' >/etc/containerd/config.toml
grep -q 'SystemdCgroup = true' /etc/containerd/config.toml
systemctl restart containerd
systemctl enable kubelet

mkdir -p ${done%/*}
touch $done
