#!/usr/bin/env bash
# Makes sure that what the build needs is there: compilers for Rust, C and C++ with what their tests and the C server use, Go, Python with venv, Node.js,
# curl, valgrind, nginx. Installs what is Debian's (as root); what is not, or can't be installed, is named with what to do.
set -euo pipefail

missing=()
need() { # command, Debian package
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
need cc gcc
need c++ g++
need python3 python3
need npm npm
need curl curl
need valgrind valgrind
for package in "$@"; do # what only some commands need
    need "$package" "$package"
done
need nginx nginx-light # checks the guide's configuration for it
need clang-format clang-format
need cmake cmake
need pkg-config pkg-config
need protoc-c protobuf-c-compiler
library() { # pkg-config's name, Debian package
    pkg-config --exists "$1" 2>/dev/null || missing+=("$2")
}
library cmocka libcmocka-dev
library jansson libjansson-dev
# Those of examples/c-server.
library libmicrohttpd libmicrohttpd-dev
library libprotobuf-c libprotobuf-c-dev
library zlib zlib1g-dev
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
go_version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || true)
if ! [[ $go_version =~ ^go1\.([0-9]+) ]] || ((BASH_REMATCH[1] < 26)); then
    echo "setup: Go 1.26 or later is needed (Debian's is older): unpack one of Go's own archives to /usr/local; found ${go_version:-none}" >&2
    exit 1
fi
