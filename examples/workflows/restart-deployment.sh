#!/bin/sh
# Restart a deployment: restart-deployment.sh NAMESPACE NAME SECONDS
set -eu
namespace=${1:-default}
[ -n "$namespace" ] || namespace=default
name=$2
grace=$3

# Without a cluster to talk to, as on a laptop that tries this out, it only says what it would do.
cluster=no
if [ -n "${KUBECONFIG:-}" ] || [ -f "$HOME/.kube/config" ] || [ -n "${KUBERNETES_SERVICE_HOST:-}" ]; then
    cluster=yes
fi

run() {
    if [ "$cluster" = yes ]; then
        kubectl "$@"
    else
        echo "no cluster is configured here; would run: kubectl $*"
    fi
}

run --namespace "$namespace" rollout restart "deployment/$name"
run --namespace "$namespace" rollout status "deployment/$name" "--timeout=${grace}s"
