#!/bin/sh
# Restart a deployment: restart-deployment.sh NAMESPACE NAME SECONDS
set -eu
namespace=${1:-default}
[ -n "$namespace" ] || namespace=default
name=$2
grace=$3

run() {
    if command -v kubectl >/dev/null 2>&1; then
        kubectl "$@"
    else
        echo "no kubectl here; would run: kubectl $*"
    fi
}

run --namespace "$namespace" rollout restart "deployment/$name"
run --namespace "$namespace" rollout status "deployment/$name" "--timeout=${grace}s"
