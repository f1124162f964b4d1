#!/bin/bash
# Hand a join token of one hour to as many workers as the cluster is to have in all, then withdraw it.
# usage: vllm-node-publish-join WORKERS
# Settings: JOIN_PARAMETER, AWS_DEFAULT_REGION, JOIN_TRIES (350, one each ten seconds)
set -euo pipefail

: "${JOIN_PARAMETER:?}" "${AWS_DEFAULT_REGION:?}"
export KUBECONFIG=/etc/kubernetes/admin.conf AWS_DEFAULT_REGION PATH=$PATH:/snap/bin
workers=$1

token=$(kubeadm token create --ttl 1h)
# shellcheck disable=SC2329  # the trap calls it
withdraw() {
    kubeadm token delete "${token%%.*}" || true
    aws ssm delete-parameter --name "$JOIN_PARAMETER" || true
}
trap withdraw EXIT

ca_hash=$(openssl x509 -pubkey -noout -in /etc/kubernetes/pki/ca.crt | openssl pkey -pubin -outform der |
    openssl dgst -sha256 -hex | sed 's/^.* //')
# Through a pipe: an argument could be read in the list of processes.
printf '{"Name":"%s","Type":"SecureString","Overwrite":true,"Value":"%s sha256:%s"}' \
    "$JOIN_PARAMETER" "$token" "$ca_hash" |
    aws ssm put-parameter --cli-input-json file:///dev/stdin >/dev/null

for ((tries = 0; tries < ${JOIN_TRIES:-350}; tries++)); do
    joined=$(kubectl get nodes --no-headers --selector '!node-role.kubernetes.io/control-plane' 2>/dev/null | wc -l) || true
    if ((joined >= workers)); then
        echo "all $workers workers have joined"
        exit 0
    fi
    sleep 10
done
echo "only $joined of $workers workers joined within the token's hour" >&2
exit 1
