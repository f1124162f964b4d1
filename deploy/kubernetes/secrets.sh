#!/usr/bin/env bash
# Makes the Secrets of one install: the engine's key, the gateway's file of digests, Grafana's password. Each is drawn at
# random here; none is an argument of a program, where every user of the machine could read it.
#
# usage: secrets.sh CLIENT-KEY-FILE [CLIENT-NAME]
#   CLIENT-KEY-FILE   a new file, mode 0600, for the one key that a client needs; the cluster keeps its SHA-256 only
#   CLIENT-NAME       what logs and metrics call that client (default: suite): small letters, digits, `_`, `.`, `-`
# Settings: NAMESPACE (vllm), MONITORING_NAMESPACE (monitoring; empty: no Grafana), KUBECTL (kubectl).
# A Secret that is there already is kept, so that a second run locks nobody out; delete it first to have a new one.
# Exit status: 0 all are there; 1 the key file or a Secret cannot be made; 2 wrong arguments.

set -euo pipefail
umask 077

[ $# -ge 1 ] && [ $# -le 2 ] && [ -n "$1" ] || {
    echo "usage: secrets.sh CLIENT-KEY-FILE [CLIENT-NAME]" >&2
    exit 2
}
file=$1
client=${2:-suite}
namespace=${NAMESPACE:-vllm}
monitoring=${MONITORING_NAMESPACE-monitoring}
read -ra kubectl <<<"${KUBECTL:-kubectl}"

draw() { openssl rand -hex 24; }
there() { "${kubectl[@]}" -n "$1" get secret "$2" -o name >/dev/null 2>&1; }
namespace() { "${kubectl[@]}" get namespace "$1" -o name >/dev/null 2>&1 || "${kubectl[@]}" create namespace "$1"; }
labelled() { "${kubectl[@]}" -n "$1" label secret "$2" app.kubernetes.io/part-of=vllm-slo >/dev/null; }

[[ $client =~ ^[a-z0-9][a-z0-9_.-]{0,62}$ ]] || {
    echo "error: CLIENT-NAME: the gateway takes small letters, digits, _ . and -, at most 63" >&2
    exit 2
}
# A key that no cluster knows is of no use, and would be in the way of the next run.
unknown=
trap '[ -z "$unknown" ] || rm -f -- "$file"' EXIT

namespace "$namespace"

if there "$namespace" vllm-engine-key; then
    echo "kept: $namespace/vllm-engine-key"
else
    draw | tr -d '\n' | "${kubectl[@]}" -n "$namespace" create secret generic vllm-engine-key --from-file=api-key=/dev/stdin
    labelled "$namespace" vllm-engine-key
fi

if there "$namespace" vllm-gateway-keys; then
    echo "kept: $namespace/vllm-gateway-keys"
else
    # Made by us or not at all: no key is lost, and no link followed.
    (set -C && : >"$file") 2>/dev/null || {
        echo "error: $file is there already, or its folder is not; name a new file" >&2
        exit 1
    }
    unknown=1
    key=$(draw)
    printf '%s\n' "$key" >"$file"
    digest=$(printf '%s' "$key" | sha256sum | cut -d' ' -f1)
    printf -- '- {name: %s, sha256: %s}\n' "$client" "$digest" |
        "${kubectl[@]}" -n "$namespace" create secret generic vllm-gateway-keys --from-file=keys.yaml=/dev/stdin
    unknown=
    labelled "$namespace" vllm-gateway-keys
    echo "the client's key is in $file"
fi

if [ -n "$monitoring" ]; then
    namespace "$monitoring"
    if there "$monitoring" grafana-admin; then
        echo "kept: $monitoring/grafana-admin"
    else
        draw | tr -d '\n' | "${kubectl[@]}" -n "$monitoring" create secret generic grafana-admin \
            --from-literal=admin-user=admin --from-file=admin-password=/dev/stdin
        echo "Grafana admin is in a Secret; to read it, kubectl -n $monitoring get secret grafana-admin -o jsonpath='{.data.admin-password}' | base64 -d"
    fi
fi
