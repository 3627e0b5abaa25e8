#!/usr/bin/env bash
# The benches of the Go package: many short rounds, printed and kept in target/bench/go.txt, which benchstat reads, too. With
# TOLLBAR_BENCH=full, three times as many. The library is the one that scripts/go_env.sh stages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/go_env.sh

times=1
[ "${TOLLBAR_BENCH:-}" = full ] && times=3
mkdir -p target/bench
(cd go && go test -c -o ../target/bench/go.test .)
round() { # what, operations, rounds
    target/bench/go.test -test.run '^$' -test.bench "$1" -test.benchtime "$2x" -test.count "$(($3 * times))" -test.cpu 2
}
{
    # In turns: what slows the machine down for some seconds must not slow down one contestant alone.
    for _ in {1..10}; do
        round 'Admit$/^ips=1000$/goroutines=1' 20000 4
        round 'AdmitBatch/^ips=1000$' 20000 4
        round 'Check' 20000 4
    done
    # Long enough for two threads to run side by side.
    for _ in {1..4}; do
        round 'Admit$/^ips=1000$/goroutines=2' 1000000 3
    done
    round 'Admit$/^ips=1000000$' 1000000 3
    round 'AdmitBatch/^ips=1000000$' 1000000 3
} | tee target/bench/go.txt
