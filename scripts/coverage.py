"""How many lines of core its unit and black-box tests and the fuzz corpora run: a line for each file, and the total.

Fails under 95 %. Lines of the tests themselves don't count. Needs the compiler's own llvm-profdata and llvm-cov (`rustup
component add llvm-tools`), or those of the same LLVM from the system (`llvm-22`, for a compiler built with LLVM 22). `--lines`
also prints which lines nothing runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from inline_tests import code_of

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "core" / "src"
TARGET = ROOT / "target" / "coverage"
PROFILES = TARGET / "profiles"
LEAST = 95.0
TESTS = (
    ("--package", "tollbar", "--features", "elasticsearch,watch", "--tests"),
    ("--package", "tollbar-fuzz-targets", "--test", "replay"),
)
# Modules of tests in files of their own.
OUT_OF_LINE = re.compile(r"^#\[cfg\((?:test|all\(test.*)\)\]\n(?:#\[.*\]\n)*mod (\w+);", re.MULTILINE)

Covered = dict[Path, dict[int, bool]]


def tool(name: str) -> str:
    """The tool of the compiler's LLVM: another one can't read what it writes."""
    about = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host, llvm = re.search(r"^host: (.*)$", about, re.MULTILINE), re.search(r"^LLVM version: (\d+)", about, re.MULTILINE)
    if host is None or llvm is None:
        sys.exit(f"rustc says nothing of its host and LLVM:\n{about}")
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    own = Path(sysroot) / "lib" / "rustlib" / host[1] / "bin" / name
    found = str(own) if own.exists() else shutil.which(f"{name}-{llvm[1]}")
    if found is None:
        sys.exit(f"{name} of LLVM {llvm[1]} is missing: rustup component add llvm-tools, or apt install llvm-{llvm[1]}")
    return found


def run_tests() -> list[str]:
    """Runs all tests with counters in the code; returns their programs."""
    shutil.rmtree(PROFILES, ignore_errors=True)
    env = os.environ | {
        "CARGO_TARGET_DIR": str(TARGET),
        "CARGO_INCREMENTAL": "0",
        "RUSTFLAGS": "-Cinstrument-coverage",
        "LLVM_PROFILE_FILE": str(PROFILES / "%p-%m.profraw"),
    }
    programs = []
    for arguments in TESTS:
        command = ["cargo", "test", "--locked", *arguments]
        built = subprocess.run(
            [*command, "--no-run", "--message-format=json"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True
        )
        for line in built.stdout.splitlines():
            message = json.loads(line) if line.startswith("{") else {}
            if message.get("executable") and message["profile"]["test"]:
                programs.append(message["executable"])
        subprocess.run([*command, "--quiet"], cwd=ROOT, env=env, check=True)
    return programs


def measure(programs: list[str]) -> Covered:
    """For each file of core and each line that has code, whether it was run."""
    merged = TARGET / "merged.profdata"
    raw = [str(path) for path in PROFILES.glob("*.profraw")]
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", *raw, "-o", str(merged)], check=True)
    objects = [option for program in programs for option in ("-object", program)]
    command = [tool("llvm-cov"), "export", "-format=lcov", f"-instr-profile={merged}", *objects, "-sources", str(SOURCES)]
    lcov = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    covered: Covered = {}
    lines: dict[int, bool] = {}
    for record in lcov.splitlines():
        kind, _, value = record.partition(":")
        if kind == "SF":
            lines = covered.setdefault(Path(value), {})
        elif kind == "DA":
            number, count = value.split(",")[:2]
            lines[int(number)] = lines.get(int(number), False) or int(count) > 0
    return covered


def without_tests(covered: Covered) -> Covered:
    """The same, but for the lines of tests."""
    kept: Covered = {}
    only_tests = set()
    for path in SOURCES.rglob("*.rs"):
        folder = path.parent if path.stem in ("mod", "lib") else path.parent / path.stem
        for name in OUT_OF_LINE.findall(path.read_text()):
            only_tests |= {folder / f"{name}.rs", folder / name / "mod.rs"}
    for path, lines in covered.items():
        if path in only_tests or SOURCES not in path.parents:
            continue
        end = code_of(path.read_text()).count("\n") + 1
        kept[path] = {number: run for number, run in lines.items() if number <= end}
    return kept


def ranges(numbers: list[int]) -> str:
    """Line numbers, shortened."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in parts)


def main(arguments: list[str]) -> int:
    """Measures and prints."""
    tool("llvm-cov")
    covered = without_tests(measure(run_tests()))
    total = hit = 0
    for path, lines in sorted(covered.items()):
        if not lines:
            continue
        ran = sum(lines.values())
        total, hit = total + len(lines), hit + ran
        print(f"{100 * ran / len(lines):6.1f} % {ran:5} of {len(lines):5}  {path.relative_to(ROOT)}")
        missed = sorted(number for number, run in lines.items() if not run)
        if "--lines" in arguments and missed:
            print(f"{'':24}{ranges(missed)}")
    share = 100 * hit / total if total else 0.0
    print(f"{share:6.1f} % {hit:5} of {total:5}  core")
    if share < LEAST:
        print(f"less than {LEAST} %", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
