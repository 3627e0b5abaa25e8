package tollbar

// #include "shim.h"
import "C"

import (
	"net/netip"
	"runtime"
	"strings"
	"unsafe"
)

// Request is what there is to know of a request before its body is read.
type Request struct {
	// Peer is the address of the socket's peer. IPv4-mapped addresses count as IPv4, zones are dropped.
	Peer netip.Addr
	// Authorization is the value of the first Authorization header. Empty: it is looked up in Headers.
	Authorization string
	// Headers are an [net/http.Header], gRPC metadata, or nil. Only "Authorization" is read, and, if the peer is a trusted proxy,
	// "Forwarded", "X-Real-Ip" and "X-Forwarded-For": each under its canonical name, or else in lower case.
	Headers map[string][]string
}

// Resource is on whose behalf something is asked. An empty name is not known.
type Resource struct {
	// Agent is the agent's name, such as "rum-js".
	Agent string
	// Service is the service's name.
	Service string
}

// Question is what is asked about a request. The zero value: may one event be ingested now?
type Question struct {
	// Resource is on whose behalf.
	Resource
	// Action is what the client wants to do.
	Action Action
	// RUM is whether the route is a RUM route, which apm-server.rum.enabled opens.
	RUM bool
	// Peek charges nothing, and tells what remains.
	Peek bool
	// Cost is how many events an anonymous client is charged. 0: one; see Peek.
	Cost uint64
}

func (q *Question) cost() C.uint64_t {
	switch {
	case q.Peek:
		return 0
	case q.Cost == 0:
		return 1
	}
	return C.uint64_t(q.Cost)
}

func (q *Question) flags() C.uint32_t {
	flags := C.uint32_t(q.Action) & C.TBG_ACTION
	if q.RUM {
		flags |= C.TBG_RUM
	}
	return flags
}

func (q *Question) valid() bool { return q.Action <= Sourcemap }

// origin is a request as C is told of it.
type origin struct {
	high, low                       C.uint64_t
	flags                           C.uint32_t
	authorization                   string
	forwarded, realIP, forwardedFor header
}

// header is the values of one header, joined; nil: it was not sent.
type header struct {
	data *C.char
	len  C.size_t
}

func (r *Request) origin() (o origin) {
	if r.Peer.IsValid() {
		o.high, o.low = words(r.Peer)
		o.flags = C.TBG_PEER
	}
	o.authorization = r.Authorization
	if len(r.Headers) != 0 {
		if o.authorization == "" {
			if values := r.values("Authorization", "authorization"); len(values) != 0 {
				o.authorization = values[0]
			}
		}
		o.forwarded = joined(r.values("Forwarded", "forwarded"))
		o.realIP = joined(r.values("X-Real-Ip", "x-real-ip"))
		o.forwardedFor = joined(r.values("X-Forwarded-For", "x-forwarded-for"))
	}
	return o
}

func (r *Request) values(canonical, lower string) []string {
	if values, ok := r.Headers[canonical]; ok {
		return values
	}
	return r.Headers[lower]
}

// joined is several lines of a header as one, which means the same (RFC 9110, 5.3).
func joined(values []string) (h header) {
	switch len(values) {
	case 0:
	case 1:
		h.data, h.len = borrowed(values[0])
	default:
		h.data, h.len = borrowed(strings.Join(values, ","))
	}
	return h
}

func (o *origin) forwards() bool {
	return o.forwarded.data != nil || o.realIP.data != nil || o.forwardedFor.data != nil
}

// at is a time of the caller's, or none.
type at struct {
	now   C.uint64_t
	flags C.uint32_t
}

func given(now uint64) at { return at{C.uint64_t(now), C.TBG_NOW} }

// Check decides a whole request: authentication; if anonymous, the charge; with RUM, whether RUM routes are open; authorization. It never
// blocks: an API key that has to be verified first is [ReasonPending].
func (e *Engine) Check(request Request, question Question) Decision {
	return e.check(&request, &question, at{})
}

// CheckAt is Check at an instant of a monotonic clock of the caller's, in nanoseconds: for replays and tests. Don't mix it with Check.
func (e *Engine) CheckAt(request Request, question Question, now uint64) Decision {
	return e.check(&request, &question, given(now))
}

func (e *Engine) check(request *Request, question *Question, at at) (decision Decision) {
	if !question.valid() {
		return invalidAction
	}
	o := request.origin()
	flags := o.flags | question.flags() | at.flags
	auth, authLen := optional(o.authorization)
	agent, agentLen := optional(question.Agent)
	service, serviceLen := optional(question.Service)
	if o.forwards() {
		C.tbg_check_forwarded(e.handle(), o.high, o.low, flags, auth, authLen, o.forwarded.data, o.forwarded.len,
			o.realIP.data, o.realIP.len, o.forwardedFor.data, o.forwardedFor.len,
			agent, agentLen, service, serviceLen, question.cost(), at.now, decision.c())
	} else {
		C.tbg_check(e.handle(), o.high, o.low, flags, auth, authLen, agent, agentLen, service, serviceLen,
			question.cost(), at.now, decision.c())
	}
	runtime.KeepAlive(e)
	return decision
}

var invalidAction = Decision{size: C.sizeof_tollbar_decision, HTTPStatus: 503, GRPCStatus: 14, status: C.TOLLBAR_STATUS_INVALID_VALUE}

// Authenticate identifies a client, for a server that decides the rest in steps. It charges nothing and never blocks. A client that was
// refused answers every later question with that refusal, so there is nothing to look at here.
func (e *Engine) Authenticate(request Request) Client { return e.authenticate(&request, at{}) }

// AuthenticateAt is Authenticate at an instant of a monotonic clock of the caller's.
func (e *Engine) AuthenticateAt(request Request, now uint64) Client {
	return e.authenticate(&request, given(now))
}

func (e *Engine) authenticate(request *Request, at at) Client {
	client := Client{engine: e}
	o := request.origin()
	auth, authLen := optional(o.authorization)
	C.tbg_authenticate(e.handle(), o.high, o.low, o.flags|at.flags, auth, authLen, o.forwarded.data, o.forwarded.len,
		o.realIP.data, o.realIP.len, o.forwardedFor.data, o.forwardedFor.len, at.now, (*C.tollbar_client)(unsafe.Pointer(&client.opaque)))
	runtime.KeepAlive(e)
	return client
}
