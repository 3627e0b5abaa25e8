//go:build !(linux && amd64 && gc && !go1.27 && !race && !msan && !asan && !tollbar_cgo)

package tollbar

import "unsafe"

// direct is whether calls may go the direct way; see call. The race detector and the sanitizers are told of a call by cgo's way alone.
const direct = false

func directly(function, unsafe.Pointer) {}
