#!/bin/sh
# Written by tools/manifests.py from the contracts; do not edit. A test compares it with them.
# Makes a password for each user of NATS: k8s/make-secrets.sh NAMESPACE. What is there already stays.
set -eu
: "${1:?namespace}"
for user in nats-user-trading-gateway nats-user-market-data nats-user-analysis-engine nats-user-data-pipeline nats-user-ml-integration nats-user-ml-workbench nats-user-monitoring-alerting nats-user-edge-gate nats-user-operator; do
  kubectl --namespace "$1" get secret "$user" >/dev/null 2>&1 ||
    openssl rand -hex 32 | sed 's/^/p/' | tr -d '\n' |
    kubectl --namespace "$1" create secret generic "$user" --from-file=password=/dev/stdin
done
