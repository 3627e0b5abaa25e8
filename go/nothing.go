package tollbar

// #include "shim.h"
import "C"

import "runtime"

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
