#!/bin/sh
# Compiles our crates with AddressSanitizer, of which the stable compiler has to be persuaded. As cargo's RUSTC_WORKSPACE_WRAPPER it is asked
# for the crates of this workspace only: all others are those of any build in the dev profile, and are not compiled twice. Nothing else than
# compiling, either: asked what target it compiles for, it must not tell of a sanitizer, or build scripts compile C with it.
rustc=$1
shift
case " $* " in
*' --crate-name tollbar '* | *' --crate-name tollbar_ffi '*) RUSTC_BOOTSTRAP=1 exec "$rustc" "$@" -Zsanitizer=address ;;
esac
exec "$rustc" "$@"
