package tollbar

// #include "shim.h"
import "C"

import (
	"context"
	"runtime"
	"time"
	"unsafe"
)

// identity is a tollbar_client of C's: a plain value.
type identity [C.sizeof_tollbar_client / 8]uint64

// Client was identified by [Engine.Authenticate] or [Engine.Verify]: a plain value, to be kept with the connection, that needs no
// Close. It keeps its engine alive. The zero value is refused everything.
//
// Each call is decided under the configuration in force then: a client that it would not let in any more is refused.
type Client struct {
	engine *Engine
	opaque identity
}

// Identified is what authentication came to: allowed, 401, or pending.
func (c *Client) Identified() (decision Decision) {
	c.ask(identified, &C.tbg_client_args{decision: decision.c()})
	return decision
}

// Pending says that the API key has to be verified first: see [Engine.Verify].
func (c *Client) Pending() bool {
	decision := c.Identified()
	return decision.Pending()
}

// Method is how the client was identified.
func (c *Client) Method() Method {
	decision := c.Identified()
	return decision.Method
}

// Check is the rest of what [Engine.Check] does: the charge, the route, authorization.
func (c *Client) Check(question Question) Decision { return c.check(&question, C.tbg_at{}) }

// CheckAt is Check at an instant of a monotonic clock of the caller's.
func (c *Client) CheckAt(question Question, now uint64) Decision {
	return c.check(&question, given(now))
}

func (c *Client) check(question *Question, at C.tbg_at) (decision Decision) {
	if !question.valid() {
		return invalidAction
	}
	args := C.tbg_client_args{decision: decision.c(), at: at}
	question.tell(&args.question)
	c.ask(clientChecking, &args)
	return decision
}

// RUMRoute is whether RUM routes are open: 403 while apm-server.rum.enabled is false.
func (c *Client) RUMRoute() (decision Decision) {
	c.ask(routing, &C.tbg_client_args{decision: decision.c()})
	return decision
}

// Authorize is whether the client may do this on behalf of this agent and service. It charges nothing.
func (c *Client) Authorize(action Action, resource Resource) (decision Decision) {
	if action > Sourcemap {
		return invalidAction
	}
	question := Question{Resource: resource, Action: action}
	args := C.tbg_client_args{decision: decision.c()}
	question.tell(&args.question)
	c.ask(authorizing, &args)
	return decision
}

// Admit charges a batch of n events, if the client is anonymous; before any of them is accepted. 0 is a peek: it charges nothing and
// tells what remains.
func (c *Client) Admit(n uint64) Decision { return c.reserve(n, 0, C.tbg_at{}) }

// AdmitAt is Admit at an instant of a monotonic clock of the caller's.
func (c *Client) AdmitAt(n, now uint64) Decision { return c.reserve(n, 0, given(now)) }

// Reserve is Admit that also charges a batch that will fit within maxWait. If it is allowed, sleep [Decision.Wait] before you accept it;
// [Client.AdmitContext] does both.
func (c *Client) Reserve(n uint64, maxWait time.Duration) Decision {
	return c.reserve(n, maxWait, C.tbg_at{})
}

// ReserveAt is Reserve at an instant of a monotonic clock of the caller's.
func (c *Client) ReserveAt(n uint64, maxWait time.Duration, now uint64) Decision {
	return c.reserve(n, maxWait, given(now))
}

func (c *Client) reserve(n uint64, maxWait time.Duration, at C.tbg_at) (decision Decision) {
	c.ask(reserving, &C.tbg_client_args{decision: decision.c(), n: C.uint64_t(n), max_wait: C.uint64_t(max(maxWait, 0)), at: at})
	return decision
}

// MaxWait is how long [Client.AdmitContext] waits at most, as APM Server does.
const MaxWait = time.Second

// AdmitContext charges a batch of n events and waits until it has room: no longer than [MaxWait], and not beyond the context's deadline. If
// it would not fit by then, it is refused at once, without a charge, with a [*RateLimitError]. If the context ends while it waits, the
// charge stands, since room was held for it, and the error is the context's.
func (c *Client) AdmitContext(ctx context.Context, n uint64) error {
	return c.AdmitWithin(ctx, n, MaxWait)
}

// AdmitWithin is AdmitContext that waits no longer than maxWait.
func (c *Client) AdmitWithin(ctx context.Context, n uint64, maxWait time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		maxWait = min(maxWait, time.Until(deadline))
	}
	decision := c.Reserve(n, maxWait)
	if decision.Allowed && decision.waitNs == 0 {
		return nil
	}
	if !decision.Allowed {
		return decision.Err()
	}
	timer := time.NewTimer(decision.Wait())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask calls a function of C's about this client.
func (c *Client) ask(function function, args *C.tbg_client_args) {
	args.engine, args.client = c.handle(), c.c()
	call(function, unsafe.Pointer(args), args.question.agent.len+args.question.service.len)
	runtime.KeepAlive(c.engine)
}

func (c *Client) handle() *C.tollbar_engine {
	if c.engine == nil {
		return nil
	}
	return c.engine.handle()
}

func (c *Client) c() *C.tollbar_client { return (*C.tollbar_client)(unsafe.Pointer(&c.opaque)) }

type contextKey struct{}

// NewContext is a context that carries the client.
func NewContext(ctx context.Context, client Client) context.Context {
	return context.WithValue(ctx, contextKey{}, client)
}

// FromContext is the client that a gate put into the context.
func FromContext(ctx context.Context) (Client, bool) {
	client, ok := ctx.Value(contextKey{}).(Client)
	return client, ok
}
