#!/bin/sh
# Once, as an administrator of the account: GitLab's jobs may take on the role `gitlab-ci`.
# Add `--issuer-ca-file ca.crt` if GitLab's certificate is signed by an authority of your own.
set -eu
hythe identity-provider create https://gitlab.example.com \
    --client-id https://hythe.example.com \
    --description "GitLab CI"
hythe role create gitlab-ci --trust-policy trust-policy.json --policy power-user
