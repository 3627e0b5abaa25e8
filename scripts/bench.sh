#!/usr/bin/env bash
# Every bench of every language, one after another: scripts/bench.sh quick|full. What they measured is in target/bench/report.json
# afterwards, and as a page in target/bench/page.
#
# A part that fails is named at the end, and takes nothing from the others: a report of a long run is not lost to one of them.
set -uo pipefail
cd "$(dirname "$0")/.."
mode=${1:?usage: scripts/bench.sh quick|full}
case $mode in quick | full) ;; *) echo "quick or full, not $mode" >&2 && exit 2 ;; esac
export TOLLBAR_BENCH=$mode
python=${PYTHON:-python3}
failed=()
part() { # name, command…
	local name=$1 start=$SECONDS
	shift
	echo "== $name" >&2
	"$@" || failed+=("$name")
	echo "== $name: $((SECONDS - start)) s" >&2
}

rust_benches=(--bench ratelimit --bench engine --bench authenticate --bench c_abi --bench memory --bench reload)
# What was measured before, or by somebody else, is no part of this.
rm -rf target/bench/{rows,page,go.txt,report.json} target/criterion
mkdir -p target/bench/rows target/bench/python

# Everything is built before anything is measured.
build() {
	cargo bench --package tollbar-benches --locked "${rust_benches[@]}" --no-run &&
		cargo build --release --locked --package tollbar-benches --bin plots &&
		cargo build --release --locked --package tollbar-bench-empty &&
		cp target/release/libtollbar_bench_empty.so target/bench/python/tollbar_bench_empty.so
}
part build build
part begin "$python" scripts/bench_report.py --begin
part rust cargo bench --package tollbar-benches --locked "${rust_benches[@]}" -- --noplot
go_rows() { scripts/go_bench.sh && "$python" scripts/go_rows.py; }
part go go_rows
part python env PYTHONPATH=target/bench/python .venv/bin/python python/benches/report.py target/bench/rows/python.json

part report "$python" scripts/bench_report.py
part page "$python" scripts/benchmarks_page.py target/bench/report.json target/bench/page
echo "== $mode: $((SECONDS / 60)) min; target/bench/report.json, target/bench/page/benchmarks.md" >&2
if ((${#failed[@]})); then
	echo "== failed: ${failed[*]}" >&2
	exit 1
fi
