#!/usr/bin/env bash
# Fuzzes every target for T seconds each: fuzz/run.sh T [TARGET…]. Ends with an error at the first finding, whose input is left in
# fuzz/artifacts/TARGET. New inputs are kept in the corpora; fuzz/minimise.sh makes them few again.
#
# Works with the stable toolchain: what the fuzzer asks of the compiler is switched on by RUSTC_BOOTSTRAP. The core has next to no unsafe
# code, so no sanitizer: that is twice as fast. The C ABI is nothing else, so c_abi has AddressSanitizer, in a build of its own.
# SANITIZER=address or none says it for all.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET…]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	mapfile -t targets < <(basename --suffix=.rs fuzz_targets/*.rs)
fi

export RUSTC_BOOTSTRAP=1
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --version 0.13.2 --locked

for target in "${targets[@]}"; do
	sanitizer=none
	[ "$target" = c_abi ] && sanitizer=address
	sanitizer=${SANITIZER:-$sanitizer}
	build=(--fuzz-dir . --sanitizer "$sanitizer" --target-dir "target/$sanitizer")
	cargo fuzz build "${build[@]}" "$target"
	options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1)
	if [ -f "dictionaries/$target.dict" ]; then
		options+=(-dict="dictionaries/$target.dict")
	fi
	echo "== $target: $seconds s"
	# Nothing to read from where a configuration names the terminal.
	cargo fuzz run "${build[@]}" "$target" -- "${options[@]}" </dev/null
done
