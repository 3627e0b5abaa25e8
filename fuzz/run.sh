#!/usr/bin/env bash
# Fuzzes every target for T seconds each: fuzz/run.sh T [TARGET…]. Ends with an error at the first finding, whose input is left in
# fuzz/artifacts/TARGET. New inputs are kept in the corpora; fuzz/minimise.sh makes them few again.
#
# Works with the stable toolchain: what the fuzzer asks of the compiler is switched on by RUSTC_BOOTSTRAP. The core has no unsafe code,
# so no sanitizer: that is twice as fast. SANITIZER=address has one all the same.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET…]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	targets=(authorization client_ip config ratelimit reload)
fi

export RUSTC_BOOTSTRAP=1
sanitizer=${SANITIZER:-none}
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --version 0.13.2 --locked
cargo fuzz build --fuzz-dir . --sanitizer "$sanitizer"

for target in "${targets[@]}"; do
	options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1)
	if [ -f "dictionaries/$target.dict" ]; then
		options+=(-dict="dictionaries/$target.dict")
	fi
	echo "== $target: $seconds s"
	# Nothing to read from where a configuration names the terminal.
	cargo fuzz run --fuzz-dir . --sanitizer "$sanitizer" "$target" -- "${options[@]}" </dev/null
done
