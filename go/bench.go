package tollbar

// #include "shim.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// nothing is [Engine.Check] up to the call, and C does nothing then: what a call costs by itself, for the bench. Tests can't use cgo.
func (e *Engine) nothing(request *Request, question *Question, at at) (decision Decision) {
	o := request.origin()
	auth, authLen := optional(o.authorization)
	agent, agentLen := optional(question.Agent)
	service, serviceLen := optional(question.Service)
	C.tbg_nothing(e.handle(), o.high, o.low, o.flags|question.flags(), auth, authLen, agent, agentLen, service, serviceLen,
		question.cost(), at.now, decision.c())
	runtime.KeepAlive(e)
	return decision
}

// checkLoop has C ask n times for a browser of the shop, one address after the other, and says how many were allowed: the engine's own
// time, for the bench.
func (e *Engine) checkLoop(of []Charge, n int) uint64 {
	defer runtime.KeepAlive(e)
	return uint64(C.tbg_check_loop(e.handle(), (*C.tollbar_ip_charge)(unsafe.Pointer(&of[0])), C.size_t(len(of)), C.uint64_t(n)))
}
