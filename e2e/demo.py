"""`make demo`: runs the whole scenario and ends with its table. Exit code 0 only if every row is what SPEC says.

python -m e2e.demo [--server NAME] [--require-browser]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from e2e.outcome import Row, table
from e2e.scenario import SCENES
from e2e.server import INGESTORS, PYTHON


def main() -> int:
    """Runs the scenes and prints the table."""
    parser = argparse.ArgumentParser(description="Real clients against an intake server.")
    parser.add_argument("--server", choices=INGESTORS, default=PYTHON.name, help="which one (default: %(default)s)")
    parser.add_argument("--require-browser", action="store_true", help="fail if Chromium's rows can't be run")
    options = parser.parse_args()
    rows: list[Row] = []
    broken: list[str] = []
    for name, scene in SCENES.items():
        begun = time.monotonic()
        print(f"{name} ...", end=" ", flush=True)
        try:
            rows += scene(INGESTORS[options.server])
        except (OSError, RuntimeError, subprocess.SubprocessError) as failure:
            broken.append(f"BROKEN: {name}: {failure}")
            print("BROKEN", end=" ")
        print(f"{time.monotonic() - begun:.1f} s")
    print(f"\nAll numbers are events; `written` is what the server's output holds.\n\n{table(rows)}", *broken, "", sep="\n")
    wrong, skipped = sum(bool(row.problems) for row in rows), sum(bool(row.skipped) for row in rows)
    print(_verdict(len(rows), wrong, skipped, len(broken)))
    return 1 if wrong or broken or (skipped and options.require_browser) else 0


def _verdict(rows: int, wrong: int, skipped: int, broken: int) -> str:
    parts = [f"{rows - wrong - skipped} of {rows} rows are as SPEC says"]
    parts += [f"{wrong} are not"] if wrong else []
    parts += [f"{skipped} WERE NOT RUN"] if skipped else []
    parts += [f"{broken} scenes broke off"] if broken else []
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
