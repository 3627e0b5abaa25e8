#!/bin/sh
# Makes sure that Debian's Chromium is there for the rows of the end-to-end test that need a real browser.
# Exits 0 if it is (or could be installed), 1 with a clear sentence if it is not; the test then skips those rows, loudly.
set -eu

if command -v chromium >/dev/null 2>&1; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-browser: Chromium is missing and this is no Debian: install it and put 'chromium' on the PATH" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "install-browser: Chromium is missing; as root: apt-get install --no-install-recommends chromium" >&2
    exit 1
fi
echo "install-browser: installing Debian's Chromium (about 100 MB)" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if apt-get update >"$log" 2>&1 && apt-get install -y --no-install-recommends chromium >>"$log" 2>&1; then
    exit 0
fi
tail -n 5 "$log" >&2
echo "install-browser: apt-get could not install Chromium" >&2
exit 1
