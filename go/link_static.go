//go:build tollbar_static

package tollbar

// The header and the library stand beside this module, in a checkout of the project: `cargo build --release -p tollbar-ffi`.
// Another place is named by CGO_CFLAGS and CGO_LDFLAGS, which come first.

// #cgo CFLAGS: -I${SRCDIR}/../include
// #cgo LDFLAGS: -L${SRCDIR}/../target/release -l:libtollbar_ffi.a -lm
// #cgo linux,!tollbar_musl LDFLAGS: -lgcc_s -lutil -lrt -lpthread -ldl
import "C"
