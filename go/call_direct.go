//go:build linux && amd64 && gc && !go1.27 && !race && !msan && !asan && !tollbar_cgo

package tollbar

import "unsafe"

// direct is whether calls may go the direct way; see call.
const direct = true

// directly changes to the thread's stack and calls. Nobody may need this goroutine meanwhile: neither the garbage collector nor the scheduler
// can stop it. A release of Go that is not named above goes the ordinary way until this was tested with it.
//
//go:linkname directly runtime.asmcgocall
//go:noescape
func directly(function function, args unsafe.Pointer) int32
