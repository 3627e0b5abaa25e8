#!/bin/sh
# Compiles with AddressSanitizer, of which the stable compiler has to be persuaded. As cargo's RUSTC_WORKSPACE_WRAPPER it is asked for the
# crates of this workspace only: all others are those of any build in the dev profile, and are not compiled twice.
rustc=$1
shift
case " $* " in
*' --crate-name build_script_'*) exec "$rustc" "$@" ;;
esac
RUSTC_BOOTSTRAP=1 exec "$rustc" "$@" -Zsanitizer=address
