"""Memory stands still, however many requests there are. `make soak` serves 10 million of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).with_name("soak.py")


@pytest.mark.slow
def test_requests_leave_nothing_behind() -> None:
    # In a process of its own: others would be measured with it.
    done = subprocess.run([sys.executable, SOAK, "200000"], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
