#!/bin/sh
# Checks the models of the counter table (here), of the snapshot in force (`core/src/in_force/models.rs`), and of the store of verdicts on API keys
# (`core/src/credential/api_key/verdicts/set.rs`).
#   run.sh bounded   at most 2 preemptions an execution: for `make test`
#   run.sh full      at most 4, but for the few largest models, which say so themselves: for `make loom`
#   run.sh mutants   breaks table and snapshot in each way that the models name, and fails unless every model that names it notices:
#                    for `make loom-mutants`
# A second argument chooses models by a part of their name.
set -eu
cd "$(dirname "$0")/../../.."
mode=${1:-bounded}
filter=${2:-::models::}

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
    # Each line: a mutant, and a model that says that it kills it.
    pairs=$(awk '/^\/\/\/ Kills: / { sub(/^\/\/\/ Kills: /, ""); gsub(/,/, ""); kills = $0 }
        /^fn / && kills != "" { sub(/^fn /, ""); sub(/\(.*/, ""); n = split(kills, k, " ");
            file = FILENAME; sub(/.*\//, "", file); sub(/\.rs$/, "", file);
            place = file == "models" ? "in_force::models" : "ratelimit::table::models::" file;
            for (i = 1; i <= n; i++) print k[i] ":" place "::" $0; kills = "" }' core/tests/loom/*.rs core/src/in_force/models.rs | sort)
    survivors=0
    for pair in $pairs; do
        mutant=${pair%%:*} model=${pair#*:}
        # A model that no longer ends has noticed, too: a mutant may make threads wait for ever.
        if TOLLBAR_MUTANT=$mutant LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3} \
            timeout "${MUTANT_SECONDS:-60}" cargo test --quiet --package tollbar --lib -- --exact "$model" >/dev/null 2>&1; then
            echo "SURVIVED  $mutant in $model"
            survivors=1
        else
            echo "killed    $mutant by $model"
        fi
    done
    exit $survivors
    ;;
*)
    echo "usage: $0 bounded|full|mutants [part of a model's name]" >&2
    exit 2
    ;;
esac
