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
# The race detector, go vet and the strictest check of what is handed to C, in one build: all that is depended on is compiled once.
export GOEXPERIMENT=cgocheck2
modules="go go/otelcolauth examples/go-server"
for module in $modules; do
    (cd "$module" && go test -race -vet=all -count=1 ./...)
done
# Built without all that, which it would be slowed down by, but shown what was compiled for the tests.
staticcheck=$PWD/target/go/staticcheck
(cd go && env -u GOEXPERIMENT go build -modfile=tools.mod -o "$staticcheck" honnef.co/go/tools/cmd/staticcheck)
for module in $modules; do
    (cd "$module" && GOFLAGS=-race "$staticcheck" ./...)
done
unset GOEXPERIMENT
# As a single static binary; and every allocation is counted, which the race detector's own would hide. Of what glibc can't link statically
# the linker warns: names of hosts of Elasticsearch, which are not looked up here.
cd go
env -u LD_LIBRARY_PATH go test -short -vet=off -count=1 -tags tollbar_static,tollbar_fullstatic,netgo,osusergo \
    -ldflags '-linkmode external -extldflags -static' .
