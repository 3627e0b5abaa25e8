package tollbar

// #include "shim.h"
import "C"

import "unsafe"

// function is one of C's that takes its arguments as one struct, reads and writes nothing else but what that points to, keeps nothing of it,
// and calls nobody back.
type function unsafe.Pointer

// The functions that decisions are asked of.
var (
	checking       = function(C.tbg_check)
	authenticating = function(C.tbg_authenticate)
	identified     = function(C.tbg_client_decision)
	clientChecking = function(C.tbg_client_check)
	routing        = function(C.tbg_client_rum_route)
	authorizing    = function(C.tbg_client_authorize)
	reserving      = function(C.tbg_client_reserve)
	admitting      = function(C.tbg_admit_ip)
)

// brief is how many bytes of text a call may look at that is made directly.
const brief = 4096

// call calls a function with its arguments; it looks at so many bytes of text.
//
// It goes one of two ways. The ordinary one is cgo's own: the scheduler is told that the goroutine is away, since it might be away for long, and
// told again when it is back, which costs more than a decision does. The direct one only changes to the thread's stack, as the runtime does for its own
// short calls of C. It is taken only where it is known to be right: by releases of Go that it was tested with, and for calls that are over
// before anybody could miss the goroutine. A decision takes no lock, waits for nothing and calls nobody back, and with so little text it
// takes less than some microseconds.
func call(function function, args unsafe.Pointer, texts C.size_t) {
	if direct && texts <= brief {
		directly(function, args)
	} else {
		ordinarily(function, args)
	}
}

// ordinarily is what cgo generates for each function of C's: the arguments are on this goroutine's stack, and the pointers in them are to what the
// caller holds. The runtime keeps this name and signature for who calls C without cgo.
//
//go:linkname ordinarily runtime.cgocall
//go:noescape
func ordinarily(function function, args unsafe.Pointer) int32
