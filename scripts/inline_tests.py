"""Which part of a Rust file is code, and which its tests."""

from __future__ import annotations

import re

# A module of tests in the file that it tests, to the file's end.
INLINE = re.compile(r"^#\[cfg\((?:test|all\(test.*)\)\]\n(?:#\[.*\]\n)*mod \w+ \{", re.MULTILINE)


def code_of(text: str) -> str:
    """The file but for the module of tests at its end."""
    inline = INLINE.search(text)
    return (text[: inline.start()] if inline else text).rstrip() + "\n"
