#!/usr/bin/env bash
# Installs the C and C++ headers, the static and the shared library, tollbar.pc and the CMake package.
#   PREFIX (/usr/local)  where they will be used: the paths that are written into tollbar.pc
#   DESTDIR (none)       where they are put for now: packagers' staging folder
#   PROFILE (release)    cargo's profile
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
profile=${PROFILE:-release}
case $prefix in
/*) ;;
*) echo "install: PREFIX must be an absolute path; found $prefix" >&2 && exit 1 ;;
esac
root=${DESTDIR:-}$prefix
built=${CARGO_TARGET_DIR:-target}/$([ "$profile" = dev ] && echo debug || echo "$profile")

cargo build --package tollbar-ffi --profile "$profile" --locked --quiet

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
abi=$(sed -n 's/^#define TOLLBAR_ABI_VERSION \([0-9]*\)$/\1/p' include/tollbar.h)
# What Rust's standard library needs where it is linked statically.
private_libs="-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc"

filled() { # template, file
    sed -e "s|@PREFIX@|$prefix|g" -e "s|@VERSION@|$version|g" -e "s|@ABI@|$abi|g" \
        -e "s|@MAJOR@|${version%%.*}|g" -e "s|@MINOR@|$(cut -d. -f2 <<<"$version")|g" \
        -e "s|@PRIVATE_LIBS@|$private_libs|g" "packaging/$1" >"$2"
    chmod 644 "$2"
}

# The static library is one object, of which only the ABI's symbols can be seen: Rust's standard library is in it, and a program may be
# linked with another library that holds it, too. Without section groups, since the linker keeps one of each name and drops the
# other library's, and without bitcode, which binutils' plugins choke on.
static=$built/static
mkdir -p "$static"
rm -f "$static/libtollbar.a"
mapfile -t roots < <(nm -D --defined-only "$built/libtollbar_ffi.so" | sed 's/.* /--undefined=/')
((${#roots[@]})) || { echo "install: nm finds no symbols in libtollbar_ffi.so" >&2 && exit 1; }
"${LD:-ld}" -r --force-group-allocation "${roots[@]}" "$built/libtollbar_ffi.a" -o "$static/tollbar.o"
"${OBJCOPY:-objcopy}" --wildcard --keep-global-symbol='tollbar_*' --remove-section='.llvm*' --strip-debug "$static/tollbar.o"
"${AR:-ar}" rcs "$static/libtollbar.a" "$static/tollbar.o"

install -d "$root/include" "$root/lib/pkgconfig" "$root/lib/cmake/Tollbar"
install -m 644 include/tollbar.h* "$root/include/"
install -m 644 "$static/libtollbar.a" "$root/lib/libtollbar.a"
install -m 755 "$built/libtollbar_ffi.so" "$root/lib/libtollbar.so.$version"
ln -sfn "libtollbar.so.$version" "$root/lib/libtollbar.so.$abi"
ln -sfn "libtollbar.so.$abi" "$root/lib/libtollbar.so"
filled tollbar.pc.in "$root/lib/pkgconfig/tollbar.pc"
filled TollbarConfig.cmake.in "$root/lib/cmake/Tollbar/TollbarConfig.cmake"
filled TollbarConfigVersion.cmake.in "$root/lib/cmake/Tollbar/TollbarConfigVersion.cmake"
