"""Turns the results of all benches into target/bench/report.json: for each one, ours, the peer's, and the ratio.

Criterion's are read from where it keeps them; benches of other kinds leave such rows in target/bench/rows/*.json. `--begin` notes
what the machine is and does before anything is measured.

Times are medians in nanoseconds for one operation of each thread; `ratio` is how many times faster ours is (or smaller, where the
unit is bytes). A row that has a target says whether it was met; targets hold for a machine that does nothing else. `kind` is
`peer`, or `floor` for what no peer is: a part of ours alone, a call that does nothing, no gate at all.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from processor import processor

ROOT = Path(__file__).resolve().parent.parent
OURS = "tollbar"
RESIDENT = "tollbar, resident"
ALONE = "tollbar, limiter alone"
ONE_THREAD = "one thread"
# The least ratio that is aimed at: a row's name and peer, and the ratio. The first that matches.
TARGETS = (
    (r"admitted.*/1/2 governor", 3.0),
    (r"admitted.*/1000/2 governor", 2.0),
    (r"admitted.*/1000000/2 governor", 3.0),
    (r"batches of 64/1000000/2 governor", 6.0),
    (r"admitted/1000/2 mutex\+lru", 6.0),
    (rf"churn/\d+/2 {RESIDENT}", 1 / 1.5),
    (rf"admitted.*/1000(000)?/2 {ONE_THREAD}", 1.9),
    (r"python/check, .* empty PyO3 call", 1 / 4),
    (r"python/check, .* limits \+ hmac.compare_digest", 10.0),
    (r"python/batch of 1000, NumPy 60 ns", 1.0),
    (r"go/Admit/ips=1000/goroutines=1 .*", 1.3),
    (r"go/Admit/ips=1000/goroutines=2 .*", 2.5),
    (r"go/Admit/ips=1000000/goroutines=1 .*", 2.5),
    (r"go/AdmitBatch/ips=1000(000)? .*", 5.0),
    (r"python/Starlette on uvicorn.* no gate", 0.95),
)
CALL_AND_ENGINE = "an empty call + the engine alone"
# How many nanoseconds longer than its parts something may take: a whole decision than the limiter alone, one of Go than an empty
# call and the engine.
OVER_TARGETS = {ALONE: 25.0, CALL_AND_ENGINE: 15.0}

# What is compared with that is no peer.
FLOORS = re.compile(
    r"tollbar, .*|one thread|empty PyO3 call|the same call in Rust|an empty call \+ the engine alone|no gate(, again)?|60 ns"
    r"|check one by one|governor direct|an engine made anew"
)
BEGIN = ROOT / "target" / "bench" / "begin.json"

Row = dict[str, str | float | bool]


def busy_cores() -> float:
    """How many cores are at work, over two seconds. The load average would tell of the minutes before, of the builds."""

    def times() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        return sum(fields), fields[3] + fields[4]

    total, idle = times()
    time.sleep(2)
    total_after, idle_after = times()
    return (os.cpu_count() or 1) * (1 - (idle_after - idle) / max(1, total_after - total))


def machine() -> dict[str, Any]:
    """What it is measured on, and how busy that was before. No name of a host."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": platform.system(),
        "kernel": re.match(r"[\d.]*", platform.release())[0],  # type: ignore[index]
        "load_before": round(busy_cores(), 2),
    }


def said(*command: str) -> str:
    """What a program says in one line; nothing if it can't be run."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def versions() -> dict[str, dict[str, str]]:
    """What was measured, and by what: compilers as they name themselves, packages as the lock files pin them."""
    locked = {package["name"]: package["version"] for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    modules = dict(re.findall(r"^\s*(\S+) (v\S+)", (ROOT / "go" / "go.mod").read_text(), re.MULTILINE))
    pinned = dict(re.findall(r"^([a-z-]+)==([\w.]+)", (ROOT / "python" / "requirements-dev.txt").read_text(), re.MULTILINE))
    python = ROOT / ".venv" / "bin" / "python"
    return {
        "tools": {
            "tollbar": locked["tollbar"],
            "commit": said("git", "rev-parse", "--short=12", "HEAD")
            + (" and changes" if said("git", "status", "--porcelain", "-uno") else ""),
            "rustc": said("rustc", "--version").removeprefix("rustc "),
            "cc": said("cc", "--version").partition("\n")[0],
            "go": said("go", "version").removeprefix("go version "),
            "python": said(str(python), "--version").removeprefix("Python "),
        },
        "rust": {name: locked[name] for name in ("governor", "lru", "criterion")},
        "go": {name: modules[name] for name in ("github.com/hashicorp/golang-lru/v2", "golang.org/x/time")},
        "python": {name: pinned[name] for name in ("limits", "slowapi", "starlette", "uvicorn", "numpy", "pyperf")},
    }


def medians() -> dict[str, dict[str, float]]:
    """For each bench (group and parameter), what each contestant's medians in all rounds come to.

    Of one thread, the least: what else the machine does only adds to it. Several threads that it keeps apart are also in
    each other's way less, so there it is the median.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for path in sorted((ROOT / "target" / "bench" / "criterion").glob("*/**/new/benchmark.json")):
        bench = json.loads(path.read_text())
        estimates = json.loads((path.parent / "estimates.json").read_text())
        name = "/".join(part for part in (bench["group_id"], bench["value_str"]) if part)
        in_rounds = found.setdefault(name, {}).setdefault(bench["function_id"] or OURS, [])
        in_rounds.append(estimates["median"]["point_estimate"])
    return {
        name: {who: (statistics.median if name.endswith(("/2", "/4")) else min)(times) for who, times in bench.items()}
        for name, bench in found.items()
    }


def rows(found: dict[str, dict[str, float]]) -> list[Row]:
    """A row for each bench and peer, and one for two threads against one, where both were measured."""
    report = []
    for name, times in found.items():
        ours = times.get(OURS)
        if ours is None:
            continue
        report += [row(name, ours, peer, time, time / ours) for peer, time in times.items() if peer != OURS]
        group, _, threads = name.rpartition("/")
        alone = found.get(f"{group}/1", {}).get(OURS)
        if threads == "2" and alone is not None:
            # Times are for an operation of each thread, so two threads do two of them in that time.
            report.append(row(name, ours, ONE_THREAD, alone, 2 * alone / ours))
    return report


def row(name: str, ours: float, peer: str, time: float, ratio: float, unit: str = "ns") -> Row:
    """A row, with its target if it has one."""
    kind = "floor" if FLOORS.fullmatch(peer) else "peer"
    made: Row = {"name": name, "ours": ours, "peer_name": peer, "peer": time, "ratio": ratio, "unit": unit, "kind": kind}
    target = next((least for pattern, least in TARGETS if re.fullmatch(pattern, f"{name} {peer}")), None)
    if target is not None:
        made |= {"target": target, "met": ratio >= target}
    if peer in OVER_TARGETS:
        over = ours - time
        made |= {"difference": over, "target": OVER_TARGETS[peer], "met": over <= OVER_TARGETS[peer]}
    return made


def other_rows() -> list[Row]:
    """The rows of benches that criterion knows nothing of."""
    files = sorted((ROOT / "target" / "bench" / "rows").glob("*.json"))
    found = [made for file in files for made in json.loads(file.read_text())]
    return [
        row(made["name"], made["ours"], made["peer_name"], made["peer"], made["ratio"], made.get("unit", "ns")) for made in found
    ]


def main(arguments: list[str]) -> int:
    """Writes the report and prints it as a table."""
    BEGIN.parent.mkdir(parents=True, exist_ok=True)
    if arguments == ["--begin"]:
        BEGIN.write_text(json.dumps(machine()))
        return 0
    report = rows(medians()) + other_rows()
    if not report:
        print("no results: run the benches first", file=sys.stderr)
        return 1
    target = ROOT / "target" / "bench" / "report.json"
    begin = json.loads(BEGIN.read_text()) if BEGIN.exists() else machine()
    mode = "full" if os.environ.get("TOLLBAR_BENCH") == "full" else "quick"
    whole = {"mode": mode, "machine": begin, "versions": versions(), "benches": report}
    target.write_text(json.dumps(whole, indent=2) + "\n")
    print(f"{'bench':56} {'ours':>12} {'peer':>12} {'ratio':>7} {'target':>7}  against")
    for line in report:
        figures = f"{line['name']!s:56} {line['ours']:12.1f} {line['peer']:12.1f} {line['ratio']:7.2f}"
        aim = f"{line['target']:7.2f}" if "target" in line else " " * 7
        print(f"{figures} {aim}  {line['peer_name']}{'' if line.get('met', True) else ': target missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
