#!/usr/bin/env bash
# Tests the Go module, its collector extension and the example server, with the library as `make install` lays it out.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/go_env.sh

unformatted=$(gofmt -l go examples/go-server)
if [ -n "$unformatted" ]; then
    echo "gofmt would change: $unformatted" >&2
    exit 1
fi
for module in go go/otelcolauth examples/go-server; do
    (cd "$module" && go vet ./... && go test -race -count=1 ./...)
done
cd go
# The strictest check of what is handed to C; allocations are counted here as well.
GOEXPERIMENT=cgocheck2 go test -short -count=1 .
env -u LD_LIBRARY_PATH go test -short -count=1 -tags tollbar_static .
