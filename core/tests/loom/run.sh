#!/bin/sh
# Checks the models of the counter table.
#   run.sh bounded   at most 2 preemptions an execution: for `make test`
#   run.sh full      without that bound, but for the models that would take days: for `make loom`
#   run.sh mutants   breaks the table in each way that the models name, and fails unless a model notices: `make loom-mutants`
# A second argument chooses models by a part of their name.
set -eu
cd "$(dirname "$0")/../../.."
mode=${1:-bounded}
filter=${2:-ratelimit::table::models}

export RUSTFLAGS="--cfg loom"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
export CARGO_PROFILE_DEV_OPT_LEVEL=2
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
export LOOM_MAX_BRANCHES=10000
unset TOLLBAR_MUTANT

models() {
    cargo test --quiet --package tollbar --lib -- "$@"
}

case $mode in
bounded)
    LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-2} models "$filter"
    ;;
full)
    LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-4} models "$filter"
    ;;
mutants)
    models --list >/dev/null
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    survivors=0
    for mutant in $(sed -n 's|^/// Kills: ||p' core/tests/loom/*.rs | tr -d ' ' | tr ',' '\n' | sort -u); do
        if TOLLBAR_MUTANT=$mutant LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3} models "$filter" >"$log" 2>&1; then
            echo "SURVIVED  $mutant"
            survivors=1
        else
            echo "killed    $mutant, by: $(sed -n 's/^test .*models::\(.*\) \.\.\. FAILED$/\1/p; s/^    ratelimit::table::models::\(.*\)$/\1/p' "$log" | sort -u | tr '\n' ' ')"
        fi
    done
    exit $survivors
    ;;
*)
    echo "usage: $0 bounded|full|mutants [part of a model's name]" >&2
    exit 2
    ;;
esac
