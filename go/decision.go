package tollbar

// #include "shim.h"
import "C"

import (
	"math"
	"net/netip"
	"time"
	"unsafe"
)

// Action is what a client wants to do.
type Action uint8

// What a client may want to do.
const (
	// Ingest sends events.
	Ingest Action = C.TOLLBAR_ACTION_INGEST
	// AgentConfig reads the agents' central configuration.
	AgentConfig Action = C.TOLLBAR_ACTION_AGENT_CONFIG
	// Sourcemap uploads a source map.
	Sourcemap Action = C.TOLLBAR_ACTION_SOURCEMAP
)

// String is the stable name, such as "ingest".
func (a Action) String() string { return C.GoString(C.tollbar_action_str(C.tollbar_action(a))) }

// Method is how a client was identified.
type Method uint8

// How a client may have been identified.
const (
	// MethodUnidentified: it was not.
	MethodUnidentified Method = C.TOLLBAR_METHOD_UNIDENTIFIED
	// MethodNone: no authentication is configured, everybody gets in, without a rate limit.
	MethodNone Method = C.TOLLBAR_METHOD_NONE
	// MethodSecretToken: "Authorization: Bearer <secret token>".
	MethodSecretToken Method = C.TOLLBAR_METHOD_SECRET_TOKEN
	// MethodAPIKey: "Authorization: ApiKey base64(id:key)".
	MethodAPIKey Method = C.TOLLBAR_METHOD_API_KEY
	// MethodAnonymous: no credential was sent, and anonymous clients are allowed.
	MethodAnonymous Method = C.TOLLBAR_METHOD_ANONYMOUS
)

// String is the stable name, such as "secret_token".
func (m Method) String() string { return C.GoString(C.tollbar_method_str(C.tollbar_method(m))) }

// Reason is why a decision came out as it did.
type Reason uint8

// Why a decision may come out as it does.
const (
	// ReasonUndecided: no decision was made, so nothing is allowed; see [Decision.Err].
	ReasonUndecided Reason = C.TOLLBAR_REASON_UNDECIDED
	// ReasonAllowed: the request is allowed.
	ReasonAllowed Reason = C.TOLLBAR_REASON_ALLOWED
	// ReasonMissingCredential: no credential was sent, and anonymous clients are not allowed. 401.
	ReasonMissingCredential Reason = C.TOLLBAR_REASON_MISSING_CREDENTIAL
	// ReasonUnknownScheme: the scheme is neither Bearer nor ApiKey. 401.
	ReasonUnknownScheme Reason = C.TOLLBAR_REASON_UNKNOWN_SCHEME
	// ReasonInvalidToken: the token equals none of the secret tokens. 401.
	ReasonInvalidToken Reason = C.TOLLBAR_REASON_INVALID_TOKEN
	// ReasonInvalidAPIKey: the key is malformed, unknown or holds no privilege. 401.
	ReasonInvalidAPIKey Reason = C.TOLLBAR_REASON_INVALID_API_KEY
	// ReasonAPIKeyNotConfigured: an API key was sent, but they are not configured. 401.
	ReasonAPIKeyNotConfigured Reason = C.TOLLBAR_REASON_API_KEY_NOT_CONFIGURED
	// ReasonRUMDisabled: the route is a RUM route, and apm-server.rum.enabled is false. 403.
	ReasonRUMDisabled Reason = C.TOLLBAR_REASON_RUM_DISABLED
	// ReasonAgentNotAllowed: an anonymous client named an agent that is not in allow_agent. 403.
	ReasonAgentNotAllowed Reason = C.TOLLBAR_REASON_AGENT_NOT_ALLOWED
	// ReasonServiceNotAllowed: an anonymous client named a service that is not in allow_service. 403.
	ReasonServiceNotAllowed Reason = C.TOLLBAR_REASON_SERVICE_NOT_ALLOWED
	// ReasonAnonymousNotPermitted: an anonymous client asked for something that needs a credential. 403.
	ReasonAnonymousNotPermitted Reason = C.TOLLBAR_REASON_ANONYMOUS_NOT_PERMITTED
	// ReasonMissingPrivilege: the credential is valid but lacks the privilege for this action. 403.
	ReasonMissingPrivilege Reason = C.TOLLBAR_REASON_MISSING_PRIVILEGE
	// ReasonRateLimited: the client's counter has no room now. 429.
	ReasonRateLimited Reason = C.TOLLBAR_REASON_RATE_LIMITED
	// ReasonExceedsBurst: more events at once than ever fit. 429, and no use to wait.
	ReasonExceedsBurst Reason = C.TOLLBAR_REASON_EXCEEDS_BURST
	// ReasonUnavailable: the credential cannot be verified now. 503, and not an authentication failure.
	ReasonUnavailable Reason = C.TOLLBAR_REASON_UNAVAILABLE
	// ReasonPending: the API key has to be verified first, which takes time: go on with [Engine.Verify]. 503 to those who don't.
	ReasonPending Reason = C.TOLLBAR_REASON_PENDING
)

// String is the stable name, such as "rate_limited".
func (r Reason) String() string { return C.GoString(C.tollbar_reason_str(C.tollbar_reason(r))) }

// Unlimited is what [Decision.Remaining] and [Decision.Burst] say where no limit applies.
const Unlimited uint64 = math.MaxUint64

// Never is how long a batch has to wait that is larger than the burst.
const Never time.Duration = math.MaxInt64

// Decision is the engine's answer: a plain value, which allows nothing if it is zero. Its memory is laid out as a tollbar_decision is, so
// that C writes it in place; TestLayout holds it to that.
type Decision struct {
	size uintptr
	// Allowed is whether the request may go on.
	Allowed bool
	// Reason is why.
	Reason Reason
	// Method is how the client was identified.
	Method Method
	// Action is what was asked for.
	Action Action
	// HTTPStatus is 202 (200 for agent configuration), 401, 403, 429 or 503.
	HTTPStatus uint16
	// GRPCStatus is gRPC's number: 0 OK, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED, 14 UNAVAILABLE, 16 UNAUTHENTICATED.
	GRPCStatus   uint8
	clientPrefix uint8
	client       [16]byte
	status       uint32
	retryAfterS  uint32
	retryAfterNs uint64
	waitNs       uint64
	// Generation is the number of the configuration under which this was decided: 1 at start, one more at each reload.
	Generation      uint64
	tatNs           uint64
	eventLimit      uint32
	burstMultiplier uint32
	nowNs           uint64
}

// Pending says that an API key has to be verified first: see [Engine.Verify].
func (d *Decision) Pending() bool { return d.Reason == ReasonPending }

// Client is whom the rate limit counts: an IPv4 address, or the prefix of an IPv6 address. Not valid if no decision was made.
func (d *Decision) Client() netip.Prefix { return clientPrefix(d.client, d.clientPrefix, d.Reason) }

func clientPrefix(client [16]byte, bits uint8, reason Reason) netip.Prefix {
	addr := netip.AddrFrom16(client)
	switch {
	case reason == ReasonUndecided:
		return netip.Prefix{}
	case addr.Is4In6() && bits == 128:
		return netip.PrefixFrom(addr.Unmap(), 32)
	}
	return netip.PrefixFrom(addr, int(bits))
}

// ClientText is the same as text: 203.0.113.9, 2001:db8::/64.
func (d *Decision) ClientText() string {
	client := d.Client()
	if client.IsSingleIP() {
		return client.Addr().String()
	}
	return client.String()
}

// RetryAfter is how long to wait until the refused batch (of a peek: the next event) would fit, exact. 0: it fits now, or was not
// counted. [Never]: it never will.
func (d *Decision) RetryAfter() time.Duration { return duration(d.retryAfterNs) }

// RetryAfterSeconds is the value of HTTP's Retry-After: whole seconds, rounded up. 0: there is none to send.
func (d *Decision) RetryAfterSeconds() uint32 { return d.retryAfterS }

// Wait is how long the caller of [Client.Reserve] must sleep before it accepts the batch.
func (d *Decision) Wait() time.Duration { return duration(d.waitNs) }

// Remaining is how many events would still fit at the instant of the decision, or [Unlimited].
func (d *Decision) Remaining() uint64 { return uint64(C.tollbar_decision_remaining(d.c())) }

// Burst is the largest batch that ever fits, in events, or [Unlimited].
func (d *Decision) Burst() uint64 { return uint64(C.tollbar_decision_burst(d.c())) }

// EventLimit is the limit in events a second that it was decided under; 0: no counter was consulted.
func (d *Decision) EventLimit() uint32 { return d.eventLimit }

// WWWAuthenticate is the value of HTTP's WWW-Authenticate: empty unless the status is 401.
func (d *Decision) WWWAuthenticate() string {
	if d.HTTPStatus != 401 {
		return ""
	}
	return C.GoString(C.tollbar_decision_www_authenticate(d.c()))
}

// Message is why, as a sentence for the client. It names the agent or the service of `resource` that is not permitted, escaped, and no secret.
func (d *Decision) Message(resource Resource) string {
	if d.status != 0 {
		return C.GoString(C.tollbar_status_str(C.tollbar_status(d.status)))
	}
	var buffer [C.TOLLBAR_MESSAGE]byte
	agent, agentLen := optional(resource.Agent)
	service, serviceLen := optional(resource.Service)
	n := C.tbg_message(d.c(), agent, agentLen, service, serviceLen, (*C.char)(unsafe.Pointer(&buffer[0])), C.TOLLBAR_MESSAGE)
	return string(buffer[:min(int(n), len(buffer)-1)])
}

func (d *Decision) c() *C.tollbar_decision { return (*C.tollbar_decision)(unsafe.Pointer(d)) }

func duration(ns uint64) time.Duration {
	if ns > math.MaxInt64 {
		return Never
	}
	return time.Duration(ns)
}
