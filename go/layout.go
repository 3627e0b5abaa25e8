package tollbar

// #include "shim.h"
import "C"

import "unsafe"

// layout is the size and the offsets of each struct that C and Go share, in C and in Go, for TestLayout: tests can't use cgo.
func layout() (c, goes []uintptr) {
	var (
		d  C.tollbar_decision
		gd Decision
		ch C.tollbar_ip_charge
		gc Charge
		a  C.tollbar_admission
		gv Verdict
		id C.tollbar_client
		gi Client
	)
	c = []uintptr{
		unsafe.Sizeof(d), unsafe.Offsetof(d.allowed), unsafe.Offsetof(d.reason), unsafe.Offsetof(d.method), unsafe.Offsetof(d.action),
		unsafe.Offsetof(d.http_status), unsafe.Offsetof(d.grpc_status), unsafe.Offsetof(d.client_prefix), unsafe.Offsetof(d.client),
		unsafe.Offsetof(d.status), unsafe.Offsetof(d.retry_after_s), unsafe.Offsetof(d.retry_after_ns), unsafe.Offsetof(d.wait_ns),
		unsafe.Offsetof(d.generation), unsafe.Offsetof(d.tat_ns), unsafe.Offsetof(d.now_ns), unsafe.Offsetof(d.event_limit),
		unsafe.Offsetof(d.burst_multiplier),
		unsafe.Sizeof(ch), unsafe.Offsetof(ch.high), unsafe.Offsetof(ch.low), unsafe.Offsetof(ch.n),
		unsafe.Sizeof(a), unsafe.Offsetof(a.retry_after_ns), unsafe.Offsetof(a.reason), unsafe.Offsetof(a.method),
		unsafe.Sizeof(id),
	}
	goes = []uintptr{
		unsafe.Sizeof(gd), unsafe.Offsetof(gd.Allowed), unsafe.Offsetof(gd.Reason), unsafe.Offsetof(gd.Method), unsafe.Offsetof(gd.Action),
		unsafe.Offsetof(gd.HTTPStatus), unsafe.Offsetof(gd.GRPCStatus), unsafe.Offsetof(gd.clientPrefix), unsafe.Offsetof(gd.client),
		unsafe.Offsetof(gd.status), unsafe.Offsetof(gd.retryAfterS), unsafe.Offsetof(gd.retryAfterNs), unsafe.Offsetof(gd.waitNs),
		unsafe.Offsetof(gd.Generation), unsafe.Offsetof(gd.tatNs), unsafe.Offsetof(gd.nowNs), unsafe.Offsetof(gd.eventLimit),
		unsafe.Offsetof(gd.burstMultiplier),
		unsafe.Sizeof(gc), unsafe.Offsetof(gc.high), unsafe.Offsetof(gc.low), unsafe.Offsetof(gc.N),
		unsafe.Sizeof(gv), unsafe.Offsetof(gv.retryAfterNs), unsafe.Offsetof(gv.Reason), unsafe.Offsetof(gv.Method),
		unsafe.Sizeof(gi.opaque),
	}
	return c, goes
}
