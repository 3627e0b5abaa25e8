#!/usr/bin/env bash
# Makes the corpora few and small again: what remains covers as much. fuzz/minimise.sh [TARGET…]
set -euo pipefail
cd "$(dirname "$0")"

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	targets=(authorization client_ip config ratelimit reload)
fi

export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
	cargo fuzz cmin --fuzz-dir . --sanitizer "${SANITIZER:-none}" "$target" </dev/null
done
