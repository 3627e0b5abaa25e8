"""Runs the benches of the Python package and writes what they measured as rows for scripts/bench_report.py.

`report.py OUTPUT`: needs the wheel, wrk, and `benches/empty`, built, on `PYTHONPATH`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyperf
from serving import ANONYMOUS, BARE

HERE = Path(__file__).resolve().parent


def calls() -> dict[str, float]:
    """The median of each call, in nanoseconds. The next address is no part of it."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "calls.json"
        command: list[str | Path] = [
            sys.executable,
            HERE / "calls.py",
            "--inherit-environ",
            "PYTHONPATH,TOLLBAR_BENCH",
            "--quiet",
            "-o",
            str(output),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        suite = pyperf.BenchmarkSuite.load(str(output))
        medians = {bench.get_name(): bench.median() * 1e9 for bench in suite.get_benchmarks()}
    address = medians.pop("the next address")
    return {name: time - address * name.startswith("check") for name, time in medians.items()}


def serving() -> dict[str, float]:
    """The median of each server, in nanoseconds for a request."""
    rounds = ["--rounds", "24" if os.environ.get("TOLLBAR_BENCH") == "full" else "8"]
    command: list[str | Path] = [sys.executable, HERE / "serving.py", *rounds]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    times: dict[str, float] = json.loads(said)
    return times


def row(name: str, ours: float, peer_name: str, peer: float) -> dict[str, Any]:
    """One row: `ratio` is how many times faster ours is."""
    return {"name": f"python/{name}", "ours": ours, "peer_name": peer_name, "peer": peer, "ratio": peer / ours}


def main() -> None:
    """Runs all of them."""
    called = calls()
    rows = []
    for bench in called:
        group, _, contestant = bench.partition(": ")
        if contestant != "tollbar":
            rows.append(row(group, called[f"{group}: tollbar"], contestant, called[bench]))
    batch, one = called["batch of 1000, list of str: tollbar"], called["check, anonymous: tollbar"]
    rows.append(row("batch of 1000, list of str", batch, "check one by one", one))
    rows.append(row("batch of 1000, NumPy", called["batch of 1000, NumPy: tollbar"], "60 ns", 60.0))
    served = serving()
    for suffix in ("", ANONYMOUS):
        rows += [
            row(f"Starlette on uvicorn{suffix}", served["tollbar" + suffix], peer, served[peer + suffix])
            for peer in (BARE, "slowapi", "limits")
        ]
    output = Path(sys.argv[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
