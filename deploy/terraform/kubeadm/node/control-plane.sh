#!/bin/bash
# kubeadm init, Calico, and the hand-over of the join token in the background.
set -euo pipefail

: "${KUBERNETES_VERSION:?}" "${CALICO_VERSION:?}" "${POD_CIDR:?}" "${SERVICE_CIDR:?}" "${CONTROL_PLANE_ADDRESS:?}" "${WORKERS:?}"
export KUBECONFIG=/etc/kubernetes/admin.conf

done=/var/lib/vllm-slo/initialised
if [[ ! -e $done ]]; then
    # kubeadm writes its files early: only its end says that there is a control plane.
    [[ ! -e $KUBECONFIG ]] || kubeadm reset --force
    # 127.0.0.1 in the certificate: kubectl comes through a port forwarded by Session Manager.
    cat >/etc/vllm-slo/kubeadm.yaml <<CONFIG
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: $CONTROL_PLANE_ADDRESS
bootstrapTokens:
  - ttl: 1m0s
    groups: ["system:bootstrappers:kubeadm:default-node-token"]
    usages: ["signing", "authentication"]
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: stable-$KUBERNETES_VERSION
controlPlaneEndpoint: $CONTROL_PLANE_ADDRESS:6443
apiServer:
  certSANs: ["127.0.0.1"]
networking:
  podSubnet: $POD_CIDR
  serviceSubnet: $SERVICE_CIDR
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
CONFIG
    kubeadm init --config /etc/vllm-slo/kubeadm.yaml --skip-token-print
    touch $done
fi

calico=https://raw.githubusercontent.com/projectcalico/calico/v$CALICO_VERSION/manifests
kubectl get namespace tigera-operator >/dev/null 2>&1 || {
    kubectl apply --server-side -f "$calico/v1_crd_projectcalico_org.yaml"
    kubectl apply --server-side -f "$calico/tigera-operator.yaml"
}
kubectl wait --for=create --timeout=300s crd/installations.operator.tigera.io
kubectl wait --for=condition=Established --timeout=60s crd/installations.operator.tigera.io
kubectl apply -f - <<CALICO
apiVersion: operator.tigera.io/v1
kind: Installation
metadata:
  name: default
spec:
  calicoNetwork:
    bgp: Disabled
    ipPools:
      - name: default-ipv4-ippool
        cidr: $POD_CIDR
        encapsulation: VXLANCrossSubnet
        natOutgoing: Enabled
        nodeSelector: all()
CALICO

systemd-run --unit vllm-node-publish-join --collect --property EnvironmentFile=/etc/vllm-slo/node.env \
    /usr/local/sbin/vllm-node-publish-join "$WORKERS"
