package tollbar

// #include "shim.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// nothing is [Engine.Check] up to the call, and C does nothing then: what a call costs by itself, for the bench. Tests can't use cgo.
func (e *Engine) nothing(request *Request, question *Question) (decision Decision) {
	var o C.tbg_origin
	var asked C.tbg_question
	request.tell(&o)
	question.tell(&asked)
	C.tbg_nothing(e.handle(), o.high, o.low, o.flags|asked.flags, o.authorization.data, o.authorization.len, asked.agent.data, asked.agent.len,
		asked.service.data, asked.service.len, asked.cost, 0, decision.c())
	runtime.KeepAlive(e)
	return decision
}

// checkLoop has C ask n times for a browser of the shop, one address after the other, and says how many were allowed: the engine's own
// time, for the bench.
func (e *Engine) checkLoop(of []Charge, n int) uint64 {
	defer runtime.KeepAlive(e)
	return uint64(C.tbg_check_loop(e.handle(), (*C.tollbar_ip_charge)(unsafe.Pointer(&of[0])), C.size_t(len(of)), C.uint64_t(n)))
}
