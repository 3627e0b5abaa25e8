"""`python -m tollbar`, and the command `tollbar`: the program itself, and the reference ingestor."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from tollbar import _tollbar

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    sys.stdout.flush()
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        # Python's own would wait until the command comes back to Python.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    code, other = _tollbar.main(["tollbar", *given])
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, before)
    if other is None:
        return code
    from tollbar.intake.__main__ import main as intake  # noqa: PLC0415 (its packages are an extra)

    _, rest = other
    return intake([os.fsdecode(argument) for argument in rest])


if __name__ == "__main__":
    sys.exit(main())
