#!/usr/bin/env bash
# Makes the corpora few and small again: fuzz/minimise.sh [TARGET…]. Inputs with a name of their own stay; of those that the fuzzer
# found (named by their hash) as many as cover what all of them cover, the smallest at most: 200 in all.
set -euo pipefail
cd "$(dirname "$0")"

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	mapfile -t targets < <(basename --suffix=.rs fuzz_targets/*.rs)
fi

export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
	covering=$(mktemp -d)
	cargo fuzz run --fuzz-dir . --sanitizer "${SANITIZER:-none}" --target-dir "target/${SANITIZER:-none}" "$target" "$covering" "corpus/$target" -- \
		-set_cover_merge=1 -max_len=4096 </dev/null
	find "corpus/$target" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
	named=$(find "corpus/$target" -type f | wc -l)
	for seed in "corpus/$target"/*; do
		rm -f "$covering/$(sha1sum <"$seed" | cut -d' ' -f1)"
	done
	find "$covering" -type f -printf '%s %p\n' | sort -n | sed -n "1,$((200 - named))p" | cut -d' ' -f2- | xargs -r cp -t "corpus/$target"
	rm -r "$covering"
	echo "== $target: $(find "corpus/$target" -type f | wc -l) inputs"
done
