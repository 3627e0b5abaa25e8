#!/usr/bin/env bash
# Tests the C ABI as its users meet it: installed. Builds and runs the tests in C and C++ (plain, under valgrind, with AddressSanitizer and
# UBSan), the examples of the headers and of the README, and three consumers outside of the tree; looks at the exported symbols and at
# the layout of every struct.
#   run.sh            all of it
#   run.sh --update   writes ffi/abi anew: after a change of the ABI that is meant
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-$PWD/target}/c
stage=$target/stage
rm -rf "$target"
mkdir -p "$target"
# Both sides are tested with sanitizers: the library is built anew with AddressSanitizer and with the assertions and checks of overflow of
# Rust's dev profile. Meanwhile, since a build for release ends in steps that keep one core busy.
if [ "${1:-}" != --update ]; then
    # Another profile for ours, so that they are never taken for those of another build; a report needs no more than lines.
    lines='debug="line-tables-only"'
    RUSTC_WORKSPACE_WRAPPER=$PWD/ffi/tests/asan_rustc.sh cargo rustc --package tollbar-ffi --locked --quiet --lib --crate-type cdylib \
        --config "profile.dev.package.tollbar.$lines" --config "profile.dev.package.tollbar-ffi.$lines" >"$target/asan-build.log" 2>&1 &
    asan_build=$!
    trap 'kill "$asan_build" 2>/dev/null || true' EXIT
fi
PREFIX=$stage DESTDIR='' scripts/install.sh

export PKG_CONFIG_PATH=$stage/lib/pkgconfig LD_LIBRARY_PATH=$stage/lib
version=$(pkg-config --modversion tollbar)
warnings=(-Wall -Wextra -Wpedantic -Wshadow -Werror)
tests=(api misuse extremes verification threads conformance)
link=($(pkg-config --cflags --libs tollbar))
headline() { echo "== $*"; }

# The exported symbols, and the size of every struct with the offset of each field: what a program was compiled with.
exported() { nm -D --defined-only "$1" | awk '{print $3}' | sort; }
abi() { # the library, the folder of the header
    exported "$1" && echo || return
    gcc -std=c11 -O0 "${warnings[@]}" -I "$2" ffi/abi/layout.c -o "$target/layout" && "$target/layout" && echo || return
    python3 scripts/abi.py "$2/tollbar.h"
}
library=$stage/lib/libtollbar.so
if [ "${1:-}" = --update ]; then
    abi "$library" include >ffi/abi/tollbar.abi
    echo "wrote ffi/abi/tollbar.abi"
    exit
fi
headline "ABI"
if ! diff -u ffi/abi/tollbar.abi <(abi "$library" include); then
    echo "the ABI has changed, - is what programs were built with: if that is meant, raise TOLLBAR_ABI_VERSION (and the SONAME in ffi/build.rs) unless only something was added, and run make abi" >&2
    exit 1
fi
if exported "$library" | grep -v '^tollbar_'; then
    echo "libtollbar.so exports other symbols than tollbar_*" >&2
    exit 1
fi
if ! diff <(exported "$library") <(nm -g --defined-only "$stage/lib/libtollbar.a" | awk 'NF == 3 {print $3}' | sort); then
    echo "libtollbar.a has other symbols than libtollbar.so" >&2
    exit 1
fi
python3 scripts/abi.py include/tollbar.h ffi/abi/layout.c
for symbol in $(exported "$library"); do
    grep -qw "$symbol" ffi/tests/c/test_*.c || {
        echo "no test in C calls $symbol" >&2
        exit 1
    }
done
abi_version=$(sed -n 's/^#define TOLLBAR_ABI_VERSION //p' include/tollbar.h)
# Not `grep -q`, here and below: it leaves at the first line that it likes, and whoever still writes to it fails.
readelf -d "$stage/lib/libtollbar.so" | grep -F "[libtollbar.so.$abi_version]" >/dev/null || {
    echo "the SONAME (ffi/build.rs) is not that of TOLLBAR_ABI_VERSION $abi_version" >&2
    exit 1
}

# What is compared must notice: each of these breaks the ABI, in a copy of the header or of what the library exports.
headline "broken ABIs are noticed"
mkdir "$target/broken"
noticed() { # what was broken, the library, the folder of the header
    if diff -q ffi/abi/tollbar.abi <(abi "$2" "$3" 2>/dev/null) >/dev/null; then
        echo "a broken ABI was not noticed: $1" >&2
        exit 1
    fi
}
while IFS='|' read -r what edit; do
    sed -E "$edit" include/tollbar.h >"$target/broken/tollbar.h"
    if cmp -s include/tollbar.h "$target/broken/tollbar.h"; then
        echo "nothing was broken: $what" >&2
        exit 1
    fi
    noticed "$what" "$library" "$target/broken"
done <<'BREAKS'
a field of another size|s/^( +)uint16_t http_status;/\1uint32_t http_status;/
a field of another type of the same size|s/^( +)uint64_t wait_ns;/\1int64_t wait_ns;/
two fields in another order|s/ wait_ns;/ other;/; s/ generation;/ wait_ns;/; s/ other;/ generation;/
a field less|/^ +uint64_t tat_ns;/d
an enumerator of another number|s/TOLLBAR_REASON_PENDING = 15/TOLLBAR_REASON_PENDING = 16/
an argument of another type|s/^( +)uint64_t n,$/\1uint32_t n,/
a function less in the header|s/ tollbar_ip_parse\(/ tollbar_ip_parsed(/
BREAKS
exported "$library" | sed '1d; s/.*/void &(void) {}/' | gcc -shared -fPIC -w -x c - -o "$target/broken/libtollbar.so"
noticed "a function less in the library" "$target/broken/libtollbar.so" include

compile() { # what to call it, extra flags...
    local kind=$1 name pid pids=()
    shift
    for name in "${tests[@]}"; do
        gcc -std=c11 -D_GNU_SOURCE -g -O1 -Wno-pedantic "${warnings[@]}" "$@" -DTOLLBAR_TEST_VERSION="\"$version\"" \
            "ffi/tests/c/test_$name.c" "${link[@]}" -lcmocka -ljansson -lpthread -o "$target/$kind-$name" &
        pids+=($!)
    done
    g++ -std=c++17 -g -O1 "${warnings[@]}" "$@" ffi/tests/c/test_cpp.cpp "${link[@]}" -lpthread -o "$target/$kind-cpp"
    for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
}
run() { # kind, command before...
    local kind=$1 name
    shift
    for name in "${tests[@]}"; do
        headline "$kind: $name"
        "$@" "$target/$kind-$name" $([ "$name" = conformance ] && echo conformance)
    done
    headline "$kind: cpp"
    "$@" "$target/$kind-cpp"
}

compile plain
run plain
link=($(pkg-config --cflags tollbar) "$stage/lib/libtollbar.a" $(pkg-config --static --libs-only-l tollbar | sed 's/-ltollbar//'))
compile static
run static >"$target/static.log" 2>&1 || { cat "$target/static.log" && exit 1; }
grep -c 'OK \]' "$target/static.log"
headline "C++ without exceptions"
g++ -std=c++17 -fno-exceptions -fno-rtti "${warnings[@]}" ffi/tests/c/test_cpp.cpp $(pkg-config --cflags --libs tollbar) -lpthread -o "$target/no-exceptions"
"$target/no-exceptions"

# The vectors open hundreds of engines, which takes valgrind long and shows nothing that the other tests don't: only the first here.
headline "valgrind"
# "Possibly lost" is how the standard library keeps the handle of a thread that lives: by a pointer to its inside.
memcheck=(valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect --error-exitcode=9)
pids=()
for name in api misuse extremes verification threads cpp; do
    TOLLBAR_TEST_ROUNDS=300 "${memcheck[@]}" "$target/plain-$name" >"$target/valgrind-$name.log" 2>&1 &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    wait "$pid" || { cat "$target"/valgrind-*.log && exit 1; }
done
tail -qn 1 "$target"/valgrind-*.log

# A panic is caught at the edge, but it is a defect: none may be told.
headline "AddressSanitizer and UBSan"
wait "$asan_build" || { cat "$target/asan-build.log" && exit 1; }
mkdir "$target/asan"
cp "$(dirname "$target")/debug/libtollbar_ffi.so" "$target/asan/libtollbar.so.$abi_version"
nm -D "$target/asan/libtollbar.so.$abi_version" | grep ' __asan_init' >/dev/null || {
    echo "another build has taken the place of the one with AddressSanitizer" >&2
    exit 1
}
link=($(pkg-config --cflags tollbar) "$target/asan/libtollbar.so.$abi_version")
export LD_LIBRARY_PATH=$target/asan
compile sanitized -fsanitize=address,undefined -fno-sanitize-recover=all
gcc -std=c11 -g "${warnings[@]}" -fsanitize=address ffi/tests/c/overread.c "${link[@]}" -o "$target/overread"
if "$target/overread" 2>"$target/overread.log" || ! grep -q 'heap-buffer-overflow' "$target/overread.log"; then
    cat "$target/overread.log"
    echo "AddressSanitizer does not see what the library reads" >&2
    exit 1
fi
TOLLBAR_TEST_ROUNDS=2000 run sanitized env ASAN_OPTIONS=detect_leaks=1 >"$target/sanitized.log" 2>&1 || { cat "$target/sanitized.log" && exit 1; }
if grep 'panicked at' "$target/sanitized.log"; then
    exit 1
fi
grep -c 'OK \]' "$target/sanitized.log"

export LD_LIBRARY_PATH=$stage/lib

headline "headers, alone and in every standard"
for standard in c99 c11 c17 c2x; do
    echo '#include <tollbar.h>' | gcc -std=$standard "${warnings[@]}" -Wconversion -Wundef $(pkg-config --cflags tollbar) -x c -fsyntax-only -
done
for standard in c++11 c++14 c++17 c++20; do
    echo '#include <tollbar.h>' | g++ -std=$standard "${warnings[@]}" -Wconversion -Wundef $(pkg-config --cflags tollbar) -x c++ -fsyntax-only -
done
for standard in c++17 c++20; do
    echo '#include <tollbar.hpp>' | g++ -std=$standard "${warnings[@]}" -Wconversion -Wundef $(pkg-config --cflags tollbar) -x c++ -fsyntax-only -
done

headline "examples of the headers and of the README"
gcc -std=c11 "${warnings[@]}" ffi/examples/quickstart.c $(pkg-config --cflags --libs tollbar) -o "$target/quickstart"
diff <("$target/quickstart") - <<'EXPECTED'
202 allowed
429 more events at once than the burst allows
EXPECTED
sed -n '/^ \*     /s/^ \*     //p' include/tollbar.hpp >"$target/quickstart.cpp"
g++ -std=c++17 "${warnings[@]}" "$target/quickstart.cpp" $(pkg-config --cflags --libs tollbar) -o "$target/quickstart-cpp"
diff <("$target/quickstart-cpp") <(echo '401 the secret token is not valid')
sed -n '/^```c$/,/^```$/p' README.md | grep -v '^```' >"$target/readme.c"
sed -n '/^```c++$/,/^```$/p' README.md | grep -v '^```' >"$target/readme.cpp"
gcc -std=c11 "${warnings[@]}" "$target/readme.c" $(pkg-config --cflags --libs tollbar) -o "$target/readme-c"
g++ -std=c++17 "${warnings[@]}" "$target/readme.cpp" $(pkg-config --cflags --libs tollbar) -o "$target/readme-cpp"
"$target/readme-c"
"$target/readme-cpp"

headline "three consumers outside of the tree, a staged install, two static libraries in Rust"
elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
PREFIX=/opt/tollbar DESTDIR=$elsewhere/staged scripts/install.sh
grep -qx 'prefix=/opt/tollbar' "$elsewhere/staged/opt/tollbar/lib/pkgconfig/tollbar.pc"
test -f "$elsewhere/staged/opt/tollbar/include/tollbar.hpp"
cp -r ffi/tests/consumers/. "$elsewhere"
make -s -C "$elsewhere/c"
cmake -S "$elsewhere/cmake" -B "$elsewhere/build" -DCMAKE_PREFIX_PATH="$stage" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$elsewhere/build" >/dev/null
"$elsewhere/c/shared"
"$elsewhere/build/consumer"
env -u LD_LIBRARY_PATH "$elsewhere/c/static"
env -u LD_LIBRARY_PATH "$elsewhere/build/consumer-static"
if ldd "$elsewhere/c/static" "$elsewhere/build/consumer-static" | grep libtollbar >/dev/null; then
    echo "a static consumer needs the shared library" >&2
    exit 1
fi
rustc --edition 2024 --crate-type staticlib ffi/tests/other/other.rs -o "$target/libother.a"
for both in "$stage/lib/libtollbar.a $target/libother.a" "$target/libother.a $stage/lib/libtollbar.a"; do
    gcc -std=c11 "${warnings[@]}" ffi/tests/other/both.c $(pkg-config --cflags tollbar) -Wl,--whole-archive $both -Wl,--no-whole-archive \
        $(pkg-config --static --libs-only-l tollbar | sed 's/-ltollbar//') -o "$target/both"
    env -u LD_LIBRARY_PATH "$target/both"
done
ldd "$elsewhere/c/shared" | grep 'libtollbar\.so\.0 => ' >/dev/null
echo "the C ABI: all as it should be"
