#!/bin/bash
# Wait for the join token, then join. The token is in a file of root's for the moment of joining, and nowhere else.
set -euo pipefail

: "${JOIN_PARAMETER:?}" "${CONTROL_PLANE_ADDRESS:?}" "${GPU:?}"
export PATH=$PATH:/snap/bin
[[ ! -e /etc/kubernetes/kubelet.conf ]] || exit 0

umask 077
config=$(mktemp)
trap 'rm -f "$config"' EXIT

labels="vllm-slo/role=general" taints="[]"
if [[ $GPU == true ]]; then
    labels="vllm-slo/role=gpu,nvidia.com/gpu.present=true"
    taints='[{key: nvidia.com/gpu, value: "true", effect: NoSchedule}]'
fi

for ((tries = 0; tries < 240; tries++)); do
    if read -r token ca_hash < <(aws ssm get-parameter --with-decryption --name "$JOIN_PARAMETER" \
        --query Parameter.Value --output text 2>/dev/null); then
        cat >"$config" <<CONFIG
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: $CONTROL_PLANE_ADDRESS:6443
    token: $token
    caCertHashes: ["$ca_hash"]
nodeRegistration:
  kubeletExtraArgs:
    - name: node-labels
      value: $labels
  taints: $taints
CONFIG
        if kubeadm join --config "$config"; then
            exit 0
        fi
        kubeadm reset --force
    fi
    sleep 15
done
echo "no join within an hour: see the control plane's journal of vllm-node-publish-join" >&2
exit 1
