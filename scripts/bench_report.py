"""Turns criterion's results, and those of benches with a clock of their own, into target/bench/report.json: for each bench, ours,
the peer's, and the ratio.

Times are medians in nanoseconds for one operation of each thread; `ratio` is how many times faster ours is.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = "tollbar"


def medians() -> dict[str, dict[str, float]]:
    """For each bench (group and parameter), the median of each contestant."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted((ROOT / "target" / "criterion").glob("**/new/benchmark.json")):
        bench = json.loads(path.read_text())
        estimates = json.loads((path.parent / "estimates.json").read_text())
        name = "/".join(part for part in (bench["group_id"], bench["value_str"]) if part)
        found.setdefault(name, {})[bench["function_id"] or OURS] = estimates["median"]["point_estimate"]
    return found


def rows(found: dict[str, dict[str, float]]) -> list[dict[str, str | float]]:
    """A row for each bench and peer."""
    return [
        {"name": name, "ours": ours, "peer_name": peer, "peer": time, "ratio": time / ours}
        for name, times in found.items()
        if (ours := times.get(OURS)) is not None
        for peer, time in times.items()
        if peer != OURS
    ]


def timed_otherwise() -> list[dict[str, str | float]]:
    """The rows that benches without criterion wrote themselves."""
    found: list[dict[str, str | float]] = []
    for path in sorted((ROOT / "target" / "bench").glob("*.json")):
        if path.name != "report.json":
            found += json.loads(path.read_text())
    return found


def main() -> int:
    """Writes the report and prints it as a table."""
    report = rows(medians()) + timed_otherwise()
    if not report:
        print("no criterion results: run the benches first", file=sys.stderr)
        return 1
    target = ROOT / "target" / "bench" / "report.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    machine = {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}
    target.write_text(json.dumps({"machine": machine, "unit": "ns", "benches": report}, indent=2) + "\n")
    print(f"{'bench':40} {'ours':>10} {'peer':>10} {'ratio':>7}")
    for row in report:
        print(f"{row['name']!s:40} {row['ours']:10.1f} {row['peer']:10.1f} {row['ratio']:7.2f}  {row['peer_name']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
