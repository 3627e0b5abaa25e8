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

func (q *Question) valid() bool { return q.Action <= Sourcemap }

// tell fills in what C is told. In place: what was written in small pieces and is copied in large ones has to be waited for.
func (q *Question) tell(c *C.tbg_question) {
	c.agent.data, c.agent.len = optional(q.Agent)
	c.service.data, c.service.len = optional(q.Service)
	c.flags = C.uint32_t(q.Action) & C.TBG_ACTION
	if q.RUM {
		c.flags |= C.TBG_RUM
	}
	switch {
	case q.Peek:
		c.cost = 0
	case q.Cost == 0:
		c.cost = 1
	default:
		c.cost = C.uint64_t(q.Cost)
	}
}

// tell fills in what C is told.
func (r *Request) tell(c *C.tbg_origin) {
	if r.Peer.IsValid() {
		c.high, c.low = words(r.Peer)
		c.flags = C.TBG_PEER
	}
	c.authorization.data, c.authorization.len = optional(r.Authorization)
	if len(r.Headers) != 0 {
		r.tellHeaders(c)
	}
}

func (r *Request) tellHeaders(c *C.tbg_origin) {
	if r.Authorization == "" {
		if values := r.values("Authorization", "authorization"); len(values) != 0 {
			c.authorization.data, c.authorization.len = optional(values[0])
		}
	}
	c.forwarded = joined(r.values("Forwarded", "forwarded"))
	c.real_ip = joined(r.values("X-Real-Ip", "x-real-ip"))
	c.forwarded_for = joined(r.values("X-Forwarded-For", "x-forwarded-for"))
}

// texts is how many bytes of text there are to look at.
func texts(o *C.tbg_origin) C.size_t {
	return o.authorization.len + o.forwarded.len + o.real_ip.len + o.forwarded_for.len
}

func (r *Request) values(canonical, lower string) []string {
	if values, ok := r.Headers[canonical]; ok {
		return values
	}
	return r.Headers[lower]
}

// joined is several lines of a header as one, which means the same (RFC 9110, 5.3).
func joined(values []string) (line C.tollbar_str) {
	switch len(values) {
	case 0:
	case 1:
		line.data, line.len = borrowed(values[0])
	default:
		line.data, line.len = borrowed(strings.Join(values, ","))
	}
	return line
}

// given is a time of the caller's; the zero value is none.
func given(now uint64) C.tbg_at { return C.tbg_at{now: C.uint64_t(now), flags: C.TBG_NOW} }

// Check decides a whole request: authentication; if anonymous, the charge; with RUM, whether RUM routes are open; authorization. It never
// blocks: an API key that has to be verified first is [ReasonPending].
func (e *Engine) Check(request Request, question Question) Decision {
	return e.check(&request, &question, C.tbg_at{})
}

// CheckAt is Check at an instant of a monotonic clock of the caller's, in nanoseconds: for replays and tests. Don't mix it with Check.
func (e *Engine) CheckAt(request Request, question Question, now uint64) Decision {
	return e.check(&request, &question, given(now))
}

func (e *Engine) check(request *Request, question *Question, at C.tbg_at) (decision Decision) {
	if !question.valid() {
		return invalidAction
	}
	args := C.tbg_check_args{engine: e.handle(), decision: decision.c(), at: at}
	request.tell(&args.origin)
	question.tell(&args.question)
	call(checking, unsafe.Pointer(&args), texts(&args.origin)+args.question.agent.len+args.question.service.len)
	runtime.KeepAlive(e)
	return decision
}

var invalidAction = Decision{size: C.sizeof_tollbar_decision, HTTPStatus: 503, GRPCStatus: 14, status: C.TOLLBAR_STATUS_INVALID_VALUE}

// Authenticate identifies a client, for a server that decides the rest in steps. It charges nothing and never blocks. A client that was
// refused answers every later question with that refusal, so there is nothing to look at here.
func (e *Engine) Authenticate(request Request) Client { return e.authenticate(&request, C.tbg_at{}) }

// AuthenticateAt is Authenticate at an instant of a monotonic clock of the caller's.
func (e *Engine) AuthenticateAt(request Request, now uint64) Client {
	return e.authenticate(&request, given(now))
}

func (e *Engine) authenticate(request *Request, at C.tbg_at) Client {
	client := Client{engine: e}
	args := C.tbg_authenticate_args{engine: e.handle(), client: client.c(), at: at}
	request.tell(&args.origin)
	call(authenticating, unsafe.Pointer(&args), texts(&args.origin))
	runtime.KeepAlive(e)
	return client
}
