"""Turns target/bench/go.txt, what the benches of the Go package printed, into rows of the report: target/bench/rows/go.json.

Times are by the wall clock, in nanoseconds for one operation: the best of many short rounds, since whatever else a
machine does can only slow a goroutine down. Two goroutines share the time, and theirs is the median: who waits for a lock
is fastest while the other one is kept from work. A check is compared with a call that does nothing and the engine's own
time, together.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent / "target" / "bench"
OURS = "tollbar"


def summary(text: str) -> dict[str, float]:
    """The time of each bench, without the prefix of its name and the number of processors."""
    rounds: dict[str, list[float]] = {}
    for name, time in re.findall(r"^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op", text, re.MULTILINE):
        rounds.setdefault(name, []).append(float(time))
    return {name: statistics.median(times) if "/goroutines=2/" in name else min(times) for name, times in rounds.items()}


def rows(times: dict[str, float]) -> list[dict[str, str | float]]:
    """A row for each bench and peer."""
    pairs = [
        (name.removesuffix(f"/{OURS}"), OURS, name.replace(f"/{OURS}", "/mutex+lru+rate"))
        for name in times
        if name.endswith(f"/{OURS}") and name != f"Check/{OURS}"
    ]
    made: list[dict[str, str | float]] = []
    for bench, ours, peer in pairs:
        mine, theirs = times[f"{bench}/{ours}"], times[peer]
        made.append({"name": f"go/{bench}", "ours": mine, "peer_name": "mutex+lru+rate", "peer": theirs, "ratio": theirs / mine})
    check, parts = times[f"Check/{OURS}"], times["Check/empty-call"] + times["Check/engine-alone"]
    about = "an empty call + the engine alone"
    made.append({"name": "go/Check", "ours": check, "peer_name": about, "peer": parts, "ratio": parts / check})
    return made


def main() -> int:
    """Writes the rows."""
    path = BENCH / "go.txt"
    if not path.exists():
        print("no results: run scripts/go_bench.sh first", file=sys.stderr)
        return 1
    target = BENCH / "rows" / "go.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rows(summary(path.read_text())), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
