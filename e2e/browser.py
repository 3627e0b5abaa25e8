"""The RUM agent in headless Chromium: what pages are opened, and what they were told.

The work is done by `rum/drive.mjs` (Node.js, Playwright's core, Debian's Chromium); this file starts it and counts. A machine
that lacks one of the three gets a sentence that says which, and how to have it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.outcome import Outcome

FOLDER = Path(__file__).parent / "rum"
PATIENCE = 120.0


@dataclass(frozen=True)
class Page:
    """One page load: the agent's service name and intake version, and how many transactions beside the page load."""

    service: str
    api: int
    transactions: int
    central_config: bool = False


@dataclass
class Visit:
    """What came of it."""

    told: Outcome
    config_statuses: list[int] = field(default_factory=list)
    requests: int = 0


def missing() -> str | None:
    """What keeps the browser from being started on this machine, or None."""
    if not shutil.which("node"):
        return "Node.js is not installed"
    if not (FOLDER / "node_modules" / "@elastic" / "apm-rum").is_dir():
        return "the RUM agent is not installed: run `npm ci` in e2e/rum"
    if not chromium():
        return "Chromium is not installed: run e2e/install-browser.sh (as root, on Debian)"
    return None


def chromium() -> str | None:
    """The browser's program."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def visit(server: str, pages: Sequence[Page]) -> list[Visit]:
    """Opens the pages one after the other, each in a browser context of its own."""
    asked = [{"service": p.service, "api": p.api, "transactions": p.transactions, "config": p.central_config} for p in pages]
    order = json.dumps({"ingestor": server, "pages": asked, "executable": chromium()})
    command = ["node", str(FOLDER / "drive.mjs"), order]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if run.returncode:
        raise RuntimeError(f"the browser could not be driven:\n{run.stderr[-2000:]}")
    return [_visit(page, seen) for page, seen in zip(pages, json.loads(run.stdout)["visits"], strict=True)]


def _visit(page: Page, seen: dict[str, Any]) -> Visit:
    result = Visit(Outcome())
    for request in seen["requests"]:
        if request["error"]:
            # What the page may not read it can't be told: an answer without its CORS headers looks like this.
            result.told.wrong.append(f"the page could not read the answer of {request['path']}: {request['error']}")
        elif request["path"].startswith("/intake/"):
            result.requests += 1
            result.told.add(request["events"], _accepted(request), request["status"])
        else:
            result.config_statuses.append(request["status"])
    made = sum(request["transactions"] for request in seen["requests"])
    if made != page.transactions + 1:
        result.told.wrong.append(f"the page made {page.transactions + 1} transactions, its agent sent {made}: {seen}")
    return result


def _accepted(request: dict[str, Any]) -> int:
    """A success needs no body; a refusal says how many events were taken before the stream was cut."""
    if request["status"] == 202:
        return int(request["events"])
    try:
        body = json.loads(request["body"])
    except ValueError:
        return 0
    return int(body.get("accepted", 0))
