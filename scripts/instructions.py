"""Counts the instructions of one decision with valgrind's callgrind and compares them with benches/instructions.json, within 3 %.

`instructions.py` compares and fails if a scenario got more expensive, or cheaper (then keep the gain: `--update`).
`--update` rewrites the baseline. `--program` names the built program; unless given, it is built.

What is compared are the instructions of our own code. Those of the C library (memcmp, memcpy) are counted apart and only
reported, since it has several variants of them and picks one by the processor. Another compiler makes other instructions,
so a baseline of another compiler or architecture is reported, not enforced.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "benches" / "instructions.json"
TOLERANCE = 0.03
DECISIONS = 64_000
MEASURED = "tollbar_instructions::measured*"


class InstructionsError(Exception):
    """Something that the user has to mend; the message says what."""


def main() -> int:
    """Compares, or rewrites the baseline."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--update", action="store_true", help="rewrite the baseline")
    parser.add_argument("--program", type=Path, help="the built program")
    arguments = parser.parse_args()
    try:
        program = arguments.program or build()
        counts = {scenario: count(program, scenario) for scenario in scenarios(program)}
        if arguments.update:
            BASELINE.write_text(json.dumps(environment() | {"decision": counts}, indent=2) + "\n")
            print(f"wrote {BASELINE.relative_to(ROOT)}")
            return 0
        return compare(counts, json.loads(BASELINE.read_text()))
    except InstructionsError as failure:
        print(f"instructions: {failure}", file=sys.stderr)
        return 2


def build() -> Path:
    """Builds the program in the release profile."""
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "--package", "tollbar-instructions"], cwd=ROOT, check=True
    )
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return ROOT / target / "release" / "tollbar-instructions"


def scenarios(program: Path) -> list[str]:
    """The names of the scenarios."""
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()


def count(program: Path, scenario: str) -> dict[str, float]:
    """Instructions of one decision: our own, and the C library's."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise InstructionsError("valgrind is missing: install it (Debian: apt-get install valgrind)")
    with tempfile.TemporaryDirectory() as directory:
        profile = Path(directory) / "callgrind.out"
        command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={profile}", "--collect-atstart=no"]
        command += [f"--toggle-collect={MEASURED}", "--compress-strings=no", str(program), scenario, str(DECISIONS)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise InstructionsError(f"{scenario}: valgrind failed:\n{run.stderr}")
        found = by_object(profile.read_text())
    libc = sum(cost for name, cost in found.items() if re.search(r"/(libc|ld-)[^/]*$|/ld-linux[^/]*$", name))
    own = found.total() - libc
    if own == 0:
        raise InstructionsError(f"{scenario}: nothing was counted: is there a function {MEASURED} in {program}?")
    return {"instructions": round(own / DECISIONS, 1), "libc": round(libc / DECISIONS, 1)}


def by_object(profile: str) -> Counter[str]:
    """Instructions by the shared object or program that executed them, from callgrind's output."""
    found: Counter[str] = Counter()
    current = ""
    skip = False
    for line in profile.splitlines():
        if line.startswith("ob="):
            current = line[3:]
        elif line.startswith("calls="):
            # The next line is what the callee cost, which it has told itself.
            skip = True
        elif re.match(r"[0-9+*-]", line):
            if not skip:
                found[current] += int(line.split()[1])
            skip = False
    return found


def environment() -> dict[str, str]:
    """What the figures hold for."""
    compiler = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return {"compiler": compiler, "architecture": platform.machine()}


def compare(counts: dict[str, dict[str, float]], baseline: dict[str, object]) -> int:
    """Prints a table; 1 if a scenario is out of bounds."""
    expected = baseline["decision"]
    if not isinstance(expected, dict):
        raise InstructionsError(f"{BASELINE} has no figures: run with --update")
    if set(expected) != set(counts):
        raise InstructionsError(f"scenarios and baseline differ: {sorted(set(expected) ^ set(counts))}; run with --update")
    outside = []
    print(f"{'instructions per decision':48} {'now':>8} {'baseline':>9} {'change':>8} {'libc':>7}")
    for scenario, found in counts.items():
        now, before = found["instructions"], float(expected[scenario]["instructions"])
        change = now / before - 1
        if abs(change) > TOLERANCE:
            outside.append(scenario)
        print(f"{scenario:48} {now:8.1f} {before:9.1f} {change:+8.1%} {found['libc']:7.1f}")
    if not outside:
        return 0
    here = environment()
    if differing := [key for key, value in here.items() if baseline.get(key) != value]:
        print(f"not enforced: the baseline is of another {' and '.join(differing)}: {baseline[differing[0]]}", file=sys.stderr)
        return 0
    print(
        f"more than {TOLERANCE:.0%} off: {'; '.join(outside)}. If that is meant: scripts/instructions.py --update",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
