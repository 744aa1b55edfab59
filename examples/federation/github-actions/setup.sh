#!/bin/sh
# Once, as an administrator of the account: GitHub's workflows may take on the role `github-actions`.
set -eu
hythe identity-provider create https://token.actions.githubusercontent.com \
    --client-id https://hythe.example.com \
    --description "GitHub Actions"
hythe role create github-actions --trust-policy trust-policy.json --policy power-user
