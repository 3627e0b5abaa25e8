//go:build tollbar_static

package tollbar

// The header and the library stand beside this module, in a checkout of the project: `cargo build --release -p tollbar-ffi`.
// Another place is named by CGO_CFLAGS and CGO_LDFLAGS, which come first. With tollbar_fullstatic, libc and libgcc are linked statically, too:
// the linker adds what it needs of them itself.

// #cgo CFLAGS: -I${SRCDIR}/../include
// #cgo LDFLAGS: -L${SRCDIR}/../target/release -l:libtollbar_ffi.a -lm
// #cgo linux,!tollbar_fullstatic LDFLAGS: -lgcc_s -lutil -lrt -lpthread -ldl
import "C"
