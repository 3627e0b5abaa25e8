"""`make demo`: runs the whole scenario and ends with its table. Exit code 0 only if every row is what SPEC says.

python -m e2e.demo [--require-browser]
"""

from __future__ import annotations

import argparse
import sys
import time

from e2e.outcome import table
from e2e.scenario import SCENES


def main() -> int:
    """Runs the scenes and prints the table."""
    parser = argparse.ArgumentParser(description="Real clients against the reference ingestor.")
    parser.add_argument("--require-browser", action="store_true", help="fail if Chromium's rows can't be run")
    options = parser.parse_args()
    rows = []
    for name, scene in SCENES.items():
        begun = time.monotonic()
        print(f"{name} ...", end=" ", flush=True)
        rows += scene()
        print(f"{time.monotonic() - begun:.1f} s")
    print(f"\nAll numbers are events; `written` is what the server's output holds.\n\n{table(rows)}\n")
    wrong, skipped = sum(bool(row.problems) for row in rows), sum(bool(row.skipped) for row in rows)
    ok = len(rows) - wrong - skipped
    print(f"{ok} of {len(rows)} rows are as SPEC says" + (f", {wrong} are not" if wrong else ""), end="")
    print(f", {skipped} WERE NOT RUN" if skipped else "")
    return 1 if wrong or (skipped and options.require_browser) else 0


if __name__ == "__main__":
    sys.exit(main())
