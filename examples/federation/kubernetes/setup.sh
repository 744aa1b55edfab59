#!/bin/sh
# Once, as an administrator of the account and of the cluster: the service account `builder` of the namespace `ci` may take on
# the role `builder`. The keys are handed over, so that the server need not reach the cluster; run the second half again when
# the cluster gets new ones: `hythe identity-provider update … --jwks-file keys.json`.
set -eu
kubectl get --raw /openid/v1/jwks > keys.json
hythe identity-provider create https://kubernetes.default.svc.cluster.local \
    --client-id hythe \
    --jwks-file keys.json \
    --description "Service accounts of the cluster"
hythe role create builder --trust-policy trust-policy.json --policy power-user
