"""Breaks core in every small way that cargo-mutants knows, one at a time, and tells which breaks no test notices.

cargo-mutants says what there is to break (`.cargo/mutants.toml` has the files and what is left out); this builds and judges it,
in two passes, since few of the tests notice nearly everything. First the unit tests of its part of the library, but for the
slow ones; then, of what survived, all tests that `.cargo/mutants.toml` names. Both stop at the first test that fails. Works on
a copy in target/mutants, of which only core is compiled anew.

What was judged isn't judged again, so a run can be stopped at any time: that tests notice a break holds until the file's code
changes, that none does until anything changes that tests are made of.

    mutants.py [--shard I/N] [--quick] [--list] [--again] [PART ...]

PART chooses mutants by a part of their name, `core/src/ratelimit/gcra.rs` or `in Gcra::cost`. Fails if one survives.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from inline_tests import code_of

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target" / "mutants"
VERDICTS = TARGET / "verdicts.jsonl"
CONFIG = tomllib.loads((ROOT / ".cargo" / "mutants.toml").read_text())
# What the tests of core are made of, beside the broken file.
SOURCES = ("core", "conformance", "Cargo.toml", "Cargo.lock", ".cargo/mutants.toml")
# Unit tests that take longer than all others together.
SLOW = (
    "every_counter_of_any_capacity_is_used",
    "p3_displacement_is_rare_before_capacity",
    "p6_crafted_addresses",
    "p6_no_difference",
)
# Core: not for debugging, and built fast rather than fast. What it depends on is built once.
PROFILE = ("debug=0", "opt-level=0", "incremental=true", 'package."*".opt-level=2', "build-override.opt-level=0")
ENV = {
    # A break must not be refused because of what it leaves unused.
    "RUSTFLAGS": "--cap-lints=warn",
    # It fails or it doesn't; what the smallest example is nobody asks.
    "PROPTEST_MAX_SHRINK_ITERS": "0",
    "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "1",
    "RUST_BACKTRACE": "0",
    # So that a test that never ends keeps no other from failing, however few the processors are.
    "RUST_TEST_THREADS": "4",
}
# What loom's models and measurements alone are compiled with. The models have mutants of their own (`make loom-mutants`).
ELSEWHERE = ("#[cfg(loom)]", '#[cfg(feature = "measuring")]')
# A break that loops may also fill the memory.
MEMORY = 12 << 30
BUILD_SECONDS = 600.0


@dataclass(frozen=True)
class Mutant:
    """A way to break the code."""

    name: str
    file: str
    start: tuple[int, int]
    end: tuple[int, int]
    replacement: str
    head: tuple[int, int]
    """Where the function begins that it is in."""

    @staticmethod
    def of(listed: dict[str, Any]) -> Mutant:
        """As cargo-mutants lists it."""

        def place(of: dict[str, Any], which: str) -> tuple[int, int]:
            return of["span"][which]["line"], of["span"][which]["column"]

        function = listed["function"] or listed
        start, end = place(listed, "start"), place(listed, "end")
        return Mutant(listed["name"], listed["file"], start, end, listed["replacement"], place(function, "start"))

    def broken(self, text: str) -> str:
        """The file with this break."""
        start, end = offset(text, self.start), offset(text, self.end)
        return text[:start] + self.replacement + text[end:]

    def compiled(self, text: str) -> bool:
        """Whether it is in code that is compiled here, and no test."""
        start = offset(text, self.start)
        attributes = text[offset(text, self.head) : start].partition("fn ")[0]
        return start < len(code_of(text)) and not any(attribute in attributes for attribute in ELSEWHERE)

    @property
    def part(self) -> str:
        """The module of the library that it is in, with all below."""
        return self.file.removeprefix("core/src/").partition("/")[0].removesuffix(".rs") + "::"

    @property
    def key(self) -> str:
        """What its file's code and it are, in short."""
        code = code_of(source(self.file))
        return digest(self.file, code, f"{self.start} {self.end}", self.replacement)


def offset(text: str, place: tuple[int, int]) -> int:
    """Where a line and a column are, both from 1 on, the column in characters."""
    line, column = place
    begin = 0
    for _ in range(line - 1):
        begin = text.index("\n", begin) + 1
    return begin + column - 1


@cache
def source(file: str) -> str:
    """A file of the tree, as it was when this started."""
    return (ROOT / file).read_text()


def digest(*parts: str) -> str:
    """A name for this text."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def tracked(*under: str) -> list[str]:
    """The files that are, or will be, checked in."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *under]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return sorted(file for file in listed.split("\0") if file and (ROOT / file).is_file())


def listed() -> list[Mutant]:
    """All mutants that are compiled."""
    command = ["cargo", "mutants", "--list", "--json", "--package", "tollbar"]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    mutants = [Mutant.of(listed) for listed in json.loads(output)]
    return [mutant for mutant in mutants if mutant.compiled(source(mutant.file))]


class Tree:
    """A copy of the repository that can be broken and mended."""

    def __init__(self, name: str) -> None:
        self.path = TARGET / name
        files = tracked()
        for file in files:
            copy, text = self.path / file, (ROOT / file).read_bytes()
            # Not those that are the same: their time of change would have them compiled anew.
            if not copy.is_file() or copy.read_bytes() != text:
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.unlink(missing_ok=True)
                copy.write_bytes(text)
        wanted = set(files)
        for copy in [path for path in (self.path / "core").rglob("*") if path.is_file()]:
            if str(copy.relative_to(self.path)) not in wanted:
                copy.unlink()
        self.env = os.environ | ENV | {"CARGO_TARGET_DIR": str(TARGET / f"{name}-build")}

    @contextlib.contextmanager
    def broken(self, mutant: Mutant) -> Iterator[None]:
        """The tree with this break, until it ends."""
        file = self.path / mutant.file
        file.write_text(mutant.broken(source(mutant.file)))
        try:
            yield
        finally:
            file.write_text(source(mutant.file))

    def build(self, tests: list[str]) -> list[tuple[str, str]] | None:
        """The programs of these tests and their names, or None if that can't be compiled."""
        command = ["cargo", "test", "--no-run", "--quiet", "--message-format=json", *CONFIG["additional_cargo_args"]]
        command += [option for setting in PROFILE for option in ("--config", f"profile.dev.{setting}")]
        command += ["--package=tollbar", "--features", ",".join(CONFIG["features"]), *tests]
        try:
            built = subprocess.run(command, cwd=self.path, env=self.env, capture_output=True, text=True, timeout=BUILD_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        if built.returncode != 0:
            return None
        programs = []
        for line in built.stdout.splitlines():
            message = json.loads(line) if line.startswith("{") else {}
            if message.get("executable") and message["profile"]["test"]:
                programs.append((message["executable"], message["target"]["name"]))
        return programs

    def failure(self, program: str, arguments: list[str], seconds: float) -> str | None:
        """The first test of the program that fails, or takes longer."""
        process = subprocess.Popen(
            [program, *arguments],
            cwd=self.path / "core",
            env=self.env | {"CARGO_MANIFEST_DIR": str(self.path / "core")},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )
        try:
            return self._first_failure(process, time.monotonic() + seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @staticmethod
    def _first_failure(process: subprocess.Popen[str], end: float) -> str | None:
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            output = ""
            while selector.select(max(0.0, end - time.monotonic())):
                read = os.read(process.stdout.fileno(), 1 << 16).decode(errors="replace")
                output += read
                if failed := re.search(r"^test (\S+) .*\.\.\. FAILED$", output, re.MULTILINE):
                    return failed[1]
                if not read:
                    return None if process.wait() == 0 else f"exit code {process.returncode}"
        return "time ran out"


class Judge:
    """Finds out what notices a break, and remembers it."""

    def __init__(self, name: str) -> None:
        self.against = digest(
            *(file + "\0" + hashlib.sha256((ROOT / file).read_bytes()).hexdigest() for file in tracked(*SOURCES))
        )
        self.tree = Tree(name)
        self.known: dict[str, dict[str, str]] = {}
        if VERDICTS.exists():
            for line in VERDICTS.read_text().splitlines():
                verdict = json.loads(line)
                self.known[verdict["key"]] = verdict
        self.seconds: dict[str, float] = {}

    def verdict(self, mutant: Mutant) -> dict[str, str]:
        """What is known of it: empty if nothing is that still holds."""
        known = self.known.get(mutant.key, {})
        return known if known.get("verdict") in ("caught", "unviable") or known.get("against") == self.against else {}

    def prepare(self, tests: list[str], arguments: list[str]) -> None:
        """Has the unbroken tree built and tested; measures how long that takes."""
        programs = self.tree.build(tests)
        if programs is None:
            sys.exit("the unbroken tree can't be built: see cargo test")
        for program, name in programs:
            start = time.monotonic()
            if failed := self.tree.failure(program, arguments, 3600):
                sys.exit(f"the unbroken tree fails: {name}: {failed}")
            self.seconds[name] = time.monotonic() - start

    def judge(self, mutant: Mutant, stages: list[str], arguments: list[str], survived: str) -> str:
        """Breaks the tree and says what came of it."""
        verdict, by = survived, ""
        with self.tree.broken(mutant):
            for stage in stages:
                programs = self.tree.build([stage])
                if programs is None:
                    verdict = "unviable"
                    break
                [(program, name)] = programs
                if failed := self.tree.failure(program, arguments, 5 + 3 * self.seconds[name]):
                    verdict, by = "caught", f"{name}: {failed}"
                    break
        known = {"key": mutant.key, "name": mutant.name, "verdict": verdict, "by": by, "against": self.against}
        self.known[mutant.key] = known
        with VERDICTS.open("a") as file:
            file.write(json.dumps(known) + "\n")
        return f"{verdict} by {by}" if by else verdict

    def run(self, mutants: list[Mutant], stages: list[str], arguments: list[str], survived: str) -> None:
        """Judges them, one after another, by the tests of these targets, one after another."""
        if not mutants:
            return
        self.prepare(stages, arguments)
        for count, mutant in enumerate(mutants, 1):
            start = time.monotonic()
            outcome = self.judge(mutant, stages, arguments, survived)
            print(f"{count}/{len(mutants)} {time.monotonic() - start:5.1f} s  {mutant.name}: {outcome}", flush=True)


def chosen(arguments: argparse.Namespace) -> list[Mutant]:
    """The mutants that are asked for."""
    mutants = listed()
    if arguments.parts:
        mutants = list({mutant.key: mutant for part in arguments.parts for mutant in mutants if part in mutant.name}.values())
    if arguments.shard:
        index, count = (int(number) for number in arguments.shard.split("/"))
        mutants = mutants[index % count :: count]
    return mutants


def stages_for(part: str) -> list[str]:
    """The tests that `.cargo/mutants.toml` names, those last that are another part's by their name."""
    others = {"ratelimit", "credential", "client_ip"} - {part.removesuffix("::")}
    stages: list[str] = CONFIG["additional_cargo_test_args"]
    return sorted(stages, key=lambda stage: any(other in stage for other in others))


def main() -> int:
    """Judges and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--shard", metavar="I/N", help="every N-th mutant, from the I-th on; shards can run side by side")
    parser.add_argument("--quick", action="store_true", help="the first pass only")
    parser.add_argument("--list", action="store_true", help="only report what is known")
    parser.add_argument("--again", action="store_true", help="forget what is known of these")
    arguments = parser.parse_args()
    # So that the tree is mended, and no test goes on, however this is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    mutants = chosen(arguments)
    name = f"tree-{arguments.shard.replace('/', '-of-')}" if arguments.shard else "tree"
    judge = Judge(name)
    if arguments.again:
        for mutant in mutants:
            judge.known.pop(mutant.key, None)
    if not arguments.list:
        TARGET.mkdir(parents=True, exist_ok=True)
        new = [mutant for mutant in mutants if not judge.verdict(mutant)]
        for part in dict.fromkeys(mutant.part for mutant in new):
            few = [part, *(option for test in SLOW for option in ("--skip", test))]
            judge.run([mutant for mutant in new if mutant.part == part], ["--lib"], few, "survived quick")
        if not arguments.quick:
            left = [mutant for mutant in mutants if judge.verdict(mutant)["verdict"] == "survived quick"]
            for part in dict.fromkeys(mutant.part for mutant in left):
                judge.run([mutant for mutant in left if mutant.part == part], stages_for(part), [], "survived")
    verdicts = [(mutant, judge.verdict(mutant).get("verdict", "unknown")) for mutant in mutants]
    for mutant, verdict in verdicts:
        if verdict not in ("caught", "unviable"):
            print(f"{verdict}: {mutant.name}")
    print(", ".join(f"{count} {verdict}" for verdict, count in Counter(verdict for _, verdict in verdicts).most_common()))
    return int(any(verdict not in ("caught", "unviable") for _, verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
