#!/usr/bin/env bash
# Fuzzes each target of the Go package for as many seconds as the argument says.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/go_env.sh

cd go
for target in FuzzParsePeer FuzzClientIP FuzzAuthorization; do
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-60}s" .
done
