"""Runs the benches of the Python package and writes what they measured as rows for scripts/bench_report.py.

`report.py OUTPUT`: needs the wheel, wrk, and `benches/empty`, built, on `PYTHONPATH`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyperf
from serving import AGAIN, ANONYMOUS, BARE

HERE = Path(__file__).resolve().parent


ROUNDS = 5


def calls() -> dict[str, float]:
    """The time of each call, in nanoseconds. The next address is no part of it.

    pyperf measures one after the other, and a shared machine is slow for a while every now and then. So all are
    measured in several rounds, and the least of each one's medians counts: what else runs only adds to the time of one
    thread.
    """
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            output = Path(folder) / f"{number}.json"
            command: list[str | Path] = [
                sys.executable,
                HERE / "calls.py",
                "--inherit-environ",
                "PYTHONPATH,TOLLBAR_BENCH",
                "--quiet",
                "-o",
                output,
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            for bench in pyperf.BenchmarkSuite.load(str(output)).get_benchmarks():
                measured.setdefault(bench.get_name(), []).append(bench.median() * 1e9)
    least = {name: min(medians) for name, medians in measured.items()}
    address = least.pop("the next address")
    return {name: time - address * name.startswith("check") for name, time in least.items()}


def serving() -> dict[str, float]:
    """Return the time of each server, in nanoseconds for a request."""
    epochs = ["--epochs", "16" if os.environ.get("TOLLBAR_BENCH") == "full" else "5"]
    command: list[str | Path] = [sys.executable, HERE / "serving.py", *epochs]
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
        name, ours = f"Starlette on uvicorn{suffix}", served["tollbar" + suffix]
        # Both are the same server; how far they are apart is in the table, too.
        bare = statistics.harmonic_mean([served[BARE + suffix], served[AGAIN + suffix]])
        rows += [row(name, ours, BARE, bare)]
        rows += [row(name, ours, peer, served[peer + suffix]) for peer in ("slowapi", "limits")]
        rows += [row(f"{name}, no gate", served[BARE + suffix], AGAIN, served[AGAIN + suffix])]
    output = Path(sys.argv[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
