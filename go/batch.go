package tollbar

// #include "shim.h"
import "C"

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// Query is one of many requests, and what is asked about it.
type Query struct {
	Request
	Question
}

// LengthError says that there is not one place for each answer.
type LengthError struct {
	// Asked is how many questions there were, Room how many places for answers.
	Asked, Room int
}

// Error says both, and what is accepted.
func (e *LengthError) Error() string {
	return fmt.Sprintf("tollbar: found %d questions and room for %d answers: accepted is one place for each question", e.Asked, e.Room)
}

// atOnce is how many are decided together.
const atOnce = C.TBG_AT_ONCE

// gathered is what a batch looks like to C: no Go pointer in it.
type gathered struct {
	items [atOnce]C.tbg_item
	text  []byte
}

var gatherers = sync.Pool{New: func() any { return &gathered{text: make([]byte, 0, 4096)} }}

// maxKept bounds the text that a gatherer keeps for the next batch.
const maxKept = 64 << 10

// CheckBatch is [Engine.Check] for many requests: decisions[i] answers queries[i], as if all had been asked in order. 64 of them are
// decided at one instant, and memory is asked for their counters together. The texts are gathered in one buffer, which is kept and
// overwritten: C must not be handed memory that holds Go pointers.
func (e *Engine) CheckBatch(queries []Query, decisions []Decision) error {
	return e.checkBatch(queries, decisions, C.tbg_at{})
}

// CheckBatchAt is CheckBatch at an instant of a monotonic clock of the caller's.
func (e *Engine) CheckBatchAt(queries []Query, decisions []Decision, now uint64) error {
	return e.checkBatch(queries, decisions, given(now))
}

func (e *Engine) checkBatch(queries []Query, decisions []Decision, at C.tbg_at) error {
	if len(queries) != len(decisions) {
		return &LengthError{len(queries), len(decisions)}
	}
	g := gatherers.Get().(*gathered)
	for len(queries) != 0 {
		n := min(len(queries), atOnce)
		g.gather(queries[:n])
		C.tbg_check_batch(e.handle(), &g.items[0], C.size_t(n), (*C.char)(unsafe.Pointer(unsafe.SliceData(g.text))), at.flags, at.now, decisions[0].c())
		queries, decisions = queries[n:], decisions[n:]
	}
	clear(g.text)
	if cap(g.text) <= maxKept {
		gatherers.Put(g)
	}
	runtime.KeepAlive(e)
	return nil
}

func (g *gathered) gather(queries []Query) {
	g.text = g.text[:0]
	for i := range queries {
		q, item := &queries[i], &g.items[i]
		var o C.tbg_origin
		var asked C.tbg_question
		q.Request.tell(&o)
		q.Question.tell(&asked)
		item.high, item.low, item.cost, item.flags = o.high, o.low, asked.cost, o.flags|asked.flags
		// An action that stands for nothing is refused by C, as its bits are.
		if !q.valid() {
			item.flags |= C.TBG_ACTION
		}
		item.authorization = g.put(o.authorization)
		item.forwarded, item.real_ip, item.forwarded_for = g.put(o.forwarded), g.put(o.real_ip), g.put(o.forwarded_for)
		item.agent, item.service = g.put(asked.agent), g.put(asked.service)
	}
	// So that there is an address, also where there is no text.
	g.text = append(g.text, 0)
}

// put appends a text and says how long it is.
func (g *gathered) put(text C.tollbar_str) C.int64_t {
	if text.data == nil {
		return -1
	}
	g.text = append(g.text, unsafe.Slice((*byte)(unsafe.Pointer(text.data)), int(text.len))...)
	return C.int64_t(text.len)
}

// Charge is what [Engine.AdmitAddrs] is asked: to charge N events to an address.
type Charge struct {
	high, low uint64
	// N is how many events; 0 is a peek, which charges nothing.
	N uint64
}

// ChargeOf is N events of an address.
func ChargeOf(addr netip.Addr, n uint64) Charge {
	high, low := words(addr)
	return Charge{uint64(high), uint64(low), n}
}

// Addr is whom it charges. IPv4 is IPv4-mapped.
func (c Charge) Addr() netip.Addr {
	var bytes [16]byte
	for i := range 8 {
		bytes[i], bytes[8+i] = byte(c.high>>(56-8*i)), byte(c.low>>(56-8*i))
	}
	return netip.AddrFrom16(bytes)
}

// Verdict is the short answer: whether events were admitted, and if not, when they would fit. The zero value refuses.
type Verdict struct {
	retryAfterNs uint64
	// Reason is why.
	Reason Reason
	// Method is how the client was identified: as anonymous, or not at all if no authentication is configured.
	Method Method
}

// Allowed is whether the events were admitted.
func (v Verdict) Allowed() bool { return v.Reason == ReasonAllowed }

// RetryAfter is as [Decision.RetryAfter].
func (v Verdict) RetryAfter() time.Duration { return duration(v.retryAfterNs) }

// Err is nil if the events were admitted, else a [*RateLimitError] or a [*Refusal].
func (v Verdict) Err() error {
	if v.Allowed() {
		return nil
	}
	decision := Decision{Reason: v.Reason, Method: v.Method, retryAfterNs: v.retryAfterNs, HTTPStatus: 429, GRPCStatus: 8}
	switch v.Reason {
	case ReasonUndecided:
		return ErrClosed
	case ReasonRateLimited, ReasonExceedsBurst:
	default:
		decision.HTTPStatus, decision.GRPCStatus = 401, 16
	}
	return refused(decision, "tollbar: "+v.Reason.String())
}

// AdmitAddr charges n events to an address that sends no credential, and answers in short: what [Engine.Authenticate] of a request with
// nothing but a peer, and [Client.Admit] come to, at a fraction of the cost. It is for the front of a server, where a flood is to be
// turned away before anything is read: agent, service and forwarding headers are not looked at.
func (e *Engine) AdmitAddr(addr netip.Addr, n uint64) Verdict {
	return e.admitAddr(addr, n, C.tbg_at{})
}

// AdmitAddrAt is AdmitAddr at an instant of a monotonic clock of the caller's.
func (e *Engine) AdmitAddrAt(addr netip.Addr, n, now uint64) Verdict {
	return e.admitAddr(addr, n, given(now))
}

func (e *Engine) admitAddr(addr netip.Addr, n uint64, at C.tbg_at) Verdict {
	if !addr.IsValid() {
		return Verdict{}
	}
	args := C.tbg_admit_ip_args{engine: e.handle(), n: C.uint64_t(n), at: at}
	args.high, args.low = words(addr)
	call(admitting, unsafe.Pointer(&args), 0)
	runtime.KeepAlive(e)
	return Verdict{uint64(args.admission.retry_after_ns), Reason(args.admission.reason), Method(args.admission.method)}
}

// AdmitAddrs is AdmitAddr for many: verdicts[i] answers charges[i], as if all had been asked in order at one instant.
func (e *Engine) AdmitAddrs(charges []Charge, verdicts []Verdict) error {
	return e.admitAddrs(charges, verdicts, C.tbg_at{})
}

// AdmitAddrsAt is AdmitAddrs at an instant of a monotonic clock of the caller's.
func (e *Engine) AdmitAddrsAt(charges []Charge, verdicts []Verdict, now uint64) error {
	return e.admitAddrs(charges, verdicts, given(now))
}

func (e *Engine) admitAddrs(charges []Charge, verdicts []Verdict, at C.tbg_at) error {
	if len(charges) != len(verdicts) {
		return &LengthError{len(charges), len(verdicts)}
	}
	if len(charges) == 0 {
		return nil
	}
	// Both are laid out as in C, which TestLayout holds them to, and hold no pointers.
	status := C.tbg_admit_ips(e.handle(), (*C.tollbar_ip_charge)(unsafe.Pointer(&charges[0])), C.size_t(len(charges)),
		at.flags, at.now, (*C.tollbar_admission)(unsafe.Pointer(&verdicts[0])))
	runtime.KeepAlive(e)
	if status != C.TOLLBAR_STATUS_OK {
		return ErrClosed
	}
	return nil
}
