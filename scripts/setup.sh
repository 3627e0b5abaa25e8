#!/usr/bin/env bash
# Makes sure that what the build needs is there: Rust, Python with venv, C and C++ with what their tests use, Node.js, curl and valgrind.
# Installs what is Debian's (as root); what is not, or can't be installed, is named with what to do.
set -euo pipefail

missing=()
need() { # command, Debian package
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
need cc gcc
need python3 python3
need npm npm
need curl curl
need valgrind valgrind
need g++ g++
need cmake cmake
need pkg-config pkg-config
need clang-format clang-format
header() { # file, Debian package
    echo "#include <$1>" | cc -include stdarg.h -include stddef.h -include stdint.h -include setjmp.h -fsyntax-only -x c - 2>/dev/null || missing+=("$2")
}
if command -v cc >/dev/null 2>&1; then
    header cmocka.h libcmocka-dev
    header cjson/cJSON.h libcjson-dev
else
    missing+=(libc6-dev libcmocka-dev libcjson-dev)
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

if ((${#missing[@]})); then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
        echo "setup: installing ${missing[*]}" >&2
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "setup: please install: ${missing[*]}" >&2
        exit 1
    fi
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: Python 3.11 or later is needed; found $(python3 --version)" >&2
    exit 1
}
if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: Rust 1.90 or later is needed: install it with rustup" >&2
    exit 1
fi
