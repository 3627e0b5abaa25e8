"""Fails unless layout.c names every field of every struct of the header: abi.py HEADER LAYOUT.

With the header alone, prints what else a program is compiled with: functions, enumerators, macros of numbers, types of fields.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def of_header(text: str) -> dict[tuple[str, str], str]:
    """Each struct with each of its fields, as the header has them, and how it is declared."""
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found: dict[tuple[str, str], str] = {}
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", code, flags=re.DOTALL):
        for declaration in body.split(";"):
            if field := re.search(r"(\w+)(\[\w+\])?\s*$", declaration.strip()):
                found[name, field.group(1)] = " ".join(declaration.split())
    return found


def interface(text: str) -> list[str]:
    """Functions, enumerators, macros of numbers and fields with their types, a line each."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    macros = re.findall(r"^#define (TOLLBAR_\w+ \w+)$", code, flags=re.MULTILINE)
    code = re.sub(r"^#.*$", "", code, flags=re.MULTILINE)
    enumerators = re.findall(r"TOLLBAR_\w+ = \d+", code)
    callbacks = re.findall(r"typedef [^;{]*\(\*\w+\)\([^;]*\);", code)
    functions = re.findall(r"^[a-z][\w ]*[ *]tollbar_\w+\([^;{]*\);", code, flags=re.MULTILINE)
    fields = [f"{struct}: {declaration}" for (struct, _), declaration in of_header(text).items()]
    return [" ".join(line.split()) for line in (*macros, *enumerators, *callbacks, *sorted(functions), *fields)]


def main() -> int:
    """Compares the two."""
    if len(sys.argv) == 2:
        print("\n".join(interface(Path(sys.argv[1]).read_text())))
        return 0
    header = of_header(Path(sys.argv[1]).read_text())
    layout = set(re.findall(r"^ +FIELD\((\w+), (\w+)\)", Path(sys.argv[2]).read_text(), flags=re.MULTILINE))
    for struct, field in sorted(header.keys() ^ layout):
        print(f"layout.c and the header differ: {struct}.{field}", file=sys.stderr)
    return int(not header or header.keys() != layout)


if __name__ == "__main__":
    sys.exit(main())
