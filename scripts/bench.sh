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

contests=(--bench ratelimit --bench engine --bench authenticate)
# These measure all that they compare in turns.
own_turns=(--bench c_abi --bench memory --bench reload)
# The others are measured one after the other, and a shared machine is slow for seconds: so all of them in several rounds.
rounds=3
# What was measured before, or by somebody else, is no part of this.
rm -rf target/bench/{rows,page,criterion,go.txt,report.json}
mkdir -p target/bench/{rows,python,criterion}

# Everything is built before anything is measured.
build() {
	cargo bench --package tollbar-benches --locked "${contests[@]}" "${own_turns[@]}" --no-run &&
		cargo build --release --locked --package tollbar-benches --bin plots &&
		cargo build --release --locked --package tollbar-bench-empty &&
		cp target/release/libtollbar_bench_empty.so target/bench/python/tollbar_bench_empty.so
}
part build build
part begin "$python" scripts/bench_report.py --begin
for ((round = 1; round <= rounds; round++)); do
	rm -rf target/criterion
	part "rust, round $round" cargo bench --package tollbar-benches --locked "${contests[@]}" -- --noplot
	mv target/criterion "target/bench/criterion/$round"
done
part rust cargo bench --package tollbar-benches --locked "${own_turns[@]}"
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
