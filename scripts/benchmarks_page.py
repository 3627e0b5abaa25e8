"""Turns the report of the benches into a page and its plots: `benchmarks_page.py REPORT.json DIRECTORY`.

Without arguments: docs/benchmarks.md, of docs/benchmarks/report.json alone. `--take` replaces that report with
target/bench/report.json first, of the last `make bench` or `make bench-full`: the page says of which. `--check` fails if the page
says anything else than its report; that the plots show it, too, is a test of the crate that draws them (benches/tests/plots.rs).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
OURS = "tollbar"
MEASURED = ROOT / "target" / "bench" / "report.json"

# So many cores at work, and others were.
BUSY = 0.5

Row = dict[str, Any]
Series = dict[str, dict[int, float]]

# Why a row is as it is, where it loses: the first whose pattern matches "name peer".
REASONS = (
    (
        r"admitted.*/1/[2-9] .*",
        "All threads charge one address: one word, which only one core can have at a time.",
    ),
    (r".* governor direct", "One counter for everybody, no address looked up: a floor, not a limiter by address."),
    (
        r".*/[2-9] one thread",
        "Each charge is a compare-and-swap on a line that another core may have had last ([architecture](ARCHITECTURE.md)).",
    ),
    (r"churn/.* tollbar, resident", "Whoever is new claims a counter, in three compare-and-swaps."),
    (r"churn/.*", "The LRU takes its oldest entry; ours looks at 16 candidates and claims one against rivals."),
    (r"memory, room for all.*", "Counters are allocated at once, for a table that is 70 % full."),
    (r"memory, room for 1000.*", "Counters are allocated at once, whoever comes."),
    (
        r"reload/(event|ip)_limit changed/.*",
        "Ours takes over what every client owes, and the peer does not: a limiter that is made anew gives everybody a new burst.",
    ),
    (
        r"reload/(first decision|decision while).*",
        "The table was replaced, and is not in the caches.",
    ),
    (r"c_abi/.*", "The arguments are checked, and the decision is written into the caller's struct."),
    (r"engine/.*", "A whole decision also looks at the credential, the agent and the service, and counts itself."),
    (r"go/Check .*", "A call of cgo, and a decision translated."),
    (r"python/check.* empty PyO3 call", "The call of Python does nothing else."),
    (r"python/Starlette.* no gate", "A gate costs something."),
    (r"python/Starlette.* no gate, again", "The same server twice: what is less than that is noise."),
    (
        r"python/Starlette.*",
        "Requests go through a server, which costs far more than either gate; differences are near its noise.",
    ),
    (r"python/batch.* 60 ns", "The aim was 60 ns."),
)


def number(value: float) -> str:
    """Short, and no digits that mean nothing."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def quantity(value: float, unit: str) -> str:
    """In a unit that is easy to read."""
    steps = (
        [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")]
        if unit == "ns"
        else [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "bytes")]
    )
    size, name = next(((size, name) for size, name in steps if value >= size), steps[-1])
    return f"{number(value / size)} {name}"


def series(rows: list[Row], pattern: str) -> Series:
    """What each contestant did, by the number that is the pattern's one group."""
    found: Series = {}
    for row in rows:
        match = re.fullmatch(pattern, row["name"])
        if match:
            found.setdefault(OURS, {})[int(match[1])] = row["ours"]
            found.setdefault(row["peer_name"], {})[int(match[1])] = row["peer"]
    return found


def pivot(head: str, columns: dict[str, dict[int, float]], unit: str) -> list[str]:
    """A line for each number, a column for each contestant."""
    if not columns:
        return ["Not measured in this run."]
    numbers = sorted({at for column in columns.values() for at in column})
    lines = [f"| {head} | {' | '.join(columns)} |", "|---:|" + "---:|" * len(columns)]
    for at in numbers:
        cells = (quantity(column[at], unit) if at in column else "" for column in columns.values())
        lines.append(f"| {at:,} | {' | '.join(cells)} |")
    return lines


def only(found: Series, names: dict[str, str]) -> Series:
    """Those contestants that are named, as the table calls them."""
    return {title: found[name] for name, title in names.items() if name in found}


def threads(rows: list[Row], ips: int) -> list[str]:
    """Decisions a second: times are of one decision of each thread."""
    found = only(series(rows, rf"admitted/{ips}/(\d+)"), {name: name for name in (OURS, "governor", "mutex+lru")})
    if not found:
        return ["Not measured in this run."]
    counts = sorted(found[OURS])
    lines = [f"| Threads, {ips:,} addresses | {' | '.join(found)} |", "|---:|" + "---:|" * len(found)]
    for count in counts:
        cells = (f"{count / column[count] * 1e3:.1f} M/s" if count in column else "" for column in found.values())
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return lines


def line(row: Row, last: str) -> str:
    """A row as it is: ours, the peer, the ratio, and what is to be said of it."""
    unit = row["unit"]
    figures = [quantity(row["ours"], unit), row["peer_name"], quantity(row["peer"], unit), number(row["ratio"])]
    return f"| {' | '.join([row['name'], *figures, last])} |"


def against(rows: list[Row], *, named: bool = True) -> list[str]:
    """Rows as they are: ours, the peer, the ratio, the target."""
    lines = ["| Bench | Ours | Beside it | | Ratio | Target |", "|---|---:|---|---:|---:|---|"]
    lines.extend(line(row, target(row)) for row in rows)
    return lines if len(lines) > 2 or not named else ["Not measured in this run."]


def target(row: Row) -> str:
    """What was aimed at, and whether it was met."""
    if "target" not in row:
        return ""
    aim = f"at most {row['target']:.0f} ns more" if "difference" in row else f"at least {number(row['target'])}"
    return aim if row["met"] else f"{aim}: **missed**"


def losses(rows: list[Row]) -> list[str]:
    """What is slower or larger than what stands beside it, or than was aimed at; each with its reason."""
    lost = [row for row in rows if row["ratio"] < 1]
    missed = [row for row in rows if not row.get("met", True)]
    lines = ["### Against peers", ""]
    lines += explained([row for row in lost if row["kind"] == "peer"], "In no row of this report.")
    lines += ["", "### Targets that were missed", ""]
    lines += explained(missed, "None.")
    lines += [
        "",
        "### Against what is no peer",
        "",
        "Parts of ours alone, calls that do nothing, a server without a gate: what ours costs on top of them.",
        "",
    ]
    lines += explained([row for row in lost if row["kind"] == "floor"], "In no row of this report.")
    return lines


def explained(rows: list[Row], none: str) -> list[str]:
    """A table that says why."""
    if not rows:
        return [none]
    lines = ["| Bench | Ours | Beside it | | Ratio | Why |", "|---|---:|---|---:|---:|---|"]
    for row in sorted(rows, key=lambda row: row["ratio"]):
        name = f"{row['name']} {row['peer_name']}"
        why = next((why for pattern, why in REASONS if re.fullmatch(pattern, name)), "")
        lines.append(line(row, why))
    return lines


def summary(rows: list[Row]) -> str:
    """How the rows went, in one line."""
    peers = [row for row in rows if row["kind"] == "peer"]
    aims = [row for row in rows if "target" in row]
    won, met = sum(row["ratio"] >= 1 for row in peers), sum(row["met"] for row in aims)
    return f"{won} of {len(peers)} comparisons with a peer are won, {met} of {len(aims)} targets are met."


def about(report: dict[str, Any]) -> list[str]:
    """The machine and the versions."""
    machine, versions = report["machine"], report["versions"]
    tools = versions["tools"]
    packages = {
        name: ", ".join(f"{package} {version}" for package, version in versions[name].items())
        for name in ("rust", "go", "python")
    }
    return [
        f"- Processor: {machine['processor']} ({machine['architecture']}), {machine['cores']} cores; "
        f"{machine['memory_gib']} GiB.",
        f"- System: {machine['system']} {machine['kernel']}; cores at work before the first bench: {machine['load_before']}.",
        f"- Tollbar {tools['tollbar']}, commit {tools['commit']}.",
        f"- Rust {tools['rustc']}; C {tools['cc']}; Go {tools['go']}; Python {tools['python']}.",
        f"- Rust's peers and harness: {packages['rust']}.",
        f"- Go's: {packages['go']}.",
        f"- Python's: {packages['python']}.",
    ]


def busy(report: dict[str, Any]) -> list[str]:
    """A warning, if other programs ran."""
    if report["machine"]["load_before"] < BUSY:
        return []
    return ["", "**The machine did other things meanwhile**: times are worth little here, and ratios not much more."]


def page(report: dict[str, Any]) -> str:
    """The page, made of the report alone."""
    rows = report["benches"]
    sizes = series(rows, r"admitted/(\d+)/1")
    contestants = {name: name for name in (OURS, "governor", "mutex+lru")}
    all_of_them, thousand = series(rows, r"memory, room for all/(\d+)"), series(rows, r"memory, room for 1000/(\d+)")
    memory = only(all_of_them, {OURS: "tollbar, room for all", "governor": "governor", "mutex+lru": "mutex+lru, room for all"})
    memory |= only(thousand, {OURS: "tollbar, `ip_limit` 1000", "mutex+lru": "mutex+lru of 1000"})
    reloads = [row for row in rows if row["name"].startswith("reload/")]
    calls = [row for row in rows if row["name"].startswith(("c_abi/", "go/", "python/", "engine/"))]
    shown = re.compile(r"admitted/.*|memory, .*|reload/.*|c_abi/.*|go/.*|python/.*|engine/.*")
    others = [row for row in rows if not shown.fullmatch(row["name"])]
    command = "make bench-full" if report["mode"] == "full" else "make bench"
    lines = [
        "# Benchmarks",
        "",
        f"<!-- Generated by `{command}` (scripts/benchmarks_page.py); never typed by hand. -->",
        "",
        f"{summary(rows)} Where ours loses is said [below](#where-tollbar-loses).",
        "",
        "## What was measured, and on what",
        "",
        *about(report),
        *busy(report),
        "",
        f"To repeat it: `{command}`, on a machine that does nothing else; it installs what is missing. "
        + ("" if report["mode"] == "full" else "This was the quick form; `make bench-full` measures more sizes, and longer. ")
        + "All figures: [report.json](benchmarks/report.json).",
        "",
        "The rules: the same addresses in the same random order, the same quota and the same kind of clock on both sides,",
        "all in one run. Times are medians, for one decision of each thread: of one thread, of Rust or Python, the median of",
        "the quietest of several rounds; of several threads, the median of all rounds; of C, and of Go on one goroutine, the",
        "best of many. Servers take turns of a tenth of a second, and all of their answers count. The ratio is how many times",
        "faster ours is, or smaller. On a shared machine times are worth little and ratios more.",
        "",
        "- *governor* is the Rust crate, keyed by address: GCRA in an unbounded concurrent map.",
        "- *mutex+lru* is what APM Server and most servers do: a mutex around an LRU of token buckets; in Go it is",
        "  *mutex+lru+rate*, of `golang-lru` and `golang.org/x/time/rate`.",
        "- *limits*, *slowapi* are Python's; *limits + hmac.compare_digest* is what a service would write without Tollbar.",
        "",
        "## Latency against table size",
        "",
        "The rate limit alone on one thread: address in, verdict out, with the clock; all are admitted. Ours has counters",
        "for 10/7 of the addresses.",
        "",
        "![Latency against the number of addresses](benchmarks/latency.svg)",
        "",
        *pivot("Addresses", only(sizes, contestants), "ns"),
        "",
        "## Throughput against threads",
        "",
        f"The same on more threads. The machine has {report['machine']['cores']} cores; more threads than that share them.",
        "",
        "![Throughput against threads](benchmarks/threads.svg)",
        "",
        *threads(rows, 1_000),
        "",
        *threads(rows, 1_000_000),
        "",
        "## Memory against addresses",
        "",
        "What is allocated once so many addresses have come, counted by the allocator. Ours is fixed by",
        "`ip_limit`, whoever comes.",
        "",
        "![Memory against addresses](benchmarks/memory.svg)",
        "",
        *pivot("Addresses that came", memory, "bytes"),
        "",
        "## The cost of a reload",
        "",
        "A new configuration with other limits, while every client owes something. Ours takes over what each of them owes before",
        "the call returns, and decisions go on meanwhile. The peers do less: governor can't change a quota, so it is made anew,",
        "and everybody has a new burst; the LRU is resized under its lock.",
        "",
        "![The cost of a reload](benchmarks/reload.svg)",
        "",
        *against(reloads),
        "",
        "## What a call costs in each language",
        "",
        "One decision on an anonymous event of one of 1,000 addresses. The floor: in C the same call in Rust, in Go an",
        "empty call of cgo and the engine's own time, in Python an empty call of PyO3.",
        "The peers are limiters alone, and look at no agent or service.",
        "",
        "![What a call costs in each language](benchmarks/calls.svg)",
        "",
        *against(calls),
        "",
        "## Where Tollbar loses",
        "",
        "Every row of this report in which ours is slower or larger than what stands beside it, or misses its target.",
        "",
        *losses(rows),
        "",
        "## The other rows",
        "",
        "Credentials, refusals, batches, and *churn*: ten times as many addresses as counters.",
        "",
        *against(others),
    ]
    return "\n".join(lines) + "\n"


def write(report: Path, folder: Path) -> None:
    """Writes the page and its plots, and the report beside them."""
    plots = folder / "benchmarks"
    plots.mkdir(parents=True, exist_ok=True)
    copy = plots / "report.json"
    if report.resolve() != copy.resolve():
        shutil.copy(report, copy)
    (folder / "benchmarks.md").write_text(page(json.loads(copy.read_text())))
    command = [
        "cargo",
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "tollbar-benches",
        "--bin",
        "plots",
        "--",
        str(copy),
        str(plots),
    ]
    subprocess.run(command, cwd=ROOT, check=True)


def main(arguments: list[str]) -> int:
    """Writes the page, or checks it."""
    checked_in = DOCS / "benchmarks" / "report.json"
    match arguments:
        case ["--check"]:
            if (DOCS / "benchmarks.md").read_text() == page(json.loads(checked_in.read_text())):
                return 0
            print("docs/benchmarks.md is not what docs/benchmarks/report.json says: make benchmarks-page", file=sys.stderr)
            return 1
        case ["--take"]:
            write(MEASURED, DOCS)
        case [report, folder]:
            write(Path(report), Path(folder))
        case []:
            write(checked_in, DOCS)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
