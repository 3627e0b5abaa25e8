// Package httpgate puts Tollbar before a net/http handler:
//
//	http.ListenAndServe(":8200", httpgate.Handler(engine, intake))
//
// What is checked, in this order, before the body is read: the credential (an API key is waited for), one event's charge if the client is
// anonymous, whether the RUM route is open, and authorization as far as it needs no body. Whoever is let in is found by
// [tollbar.FromContext]: the handler authorizes each stream by the names in its body, and admits each batch.
//
// Credentials and addresses are judged by the engine alone. A refusal has the status, WWW-Authenticate and Retry-After of its decision,
// whatever its body looks like.
package httpgate

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strconv"

	"tollbar"
	"tollbar/internal/entry"
)

// Rule is what a route asks for.
type Rule struct {
	// Action is what a client wants to do there.
	Action tollbar.Action
	// RUM is whether it is a RUM route, which apm-server.rum.enabled opens.
	RUM bool
	// Cost is how many events an anonymous client is charged when the request arrives. 0: one, unless Free.
	Cost uint64
	// Free charges nothing for the request itself.
	Free bool
	// Resource finds the agent and the service, if they are known before the body is read: the request is authorized with them
	// then. Nil: the handler authorizes, but for what is never anonymous.
	Resource func(*http.Request) tollbar.Resource
}

// APM are the rules of APM Server's routes and OTLP's, by path. Names are in bodies and queries: the handler authorizes.
func APM() map[string]Rule {
	return map[string]Rule{
		"/intake/v2/events":     {},
		"/intake/v2/rum/events": {RUM: true},
		"/intake/v3/rum/events": {RUM: true},
		"/config/v1/agents":     {Action: tollbar.AgentConfig},
		"/config/v1/rum/agents": {Action: tollbar.AgentConfig, RUM: true},
		"/assets/v1/sourcemaps": {Action: tollbar.Sourcemap},
		"/v1/traces":            {},
		"/v1/metrics":           {},
		"/v1/logs":              {},
	}
}

// Names finds the names in two headers, or where a key is empty not at all: for handlers that are told by them.
func Names(agentHeader, serviceHeader string) func(*http.Request) tollbar.Resource {
	return func(r *http.Request) tollbar.Resource {
		return tollbar.Resource{Agent: r.Header.Get(agentHeader), Service: r.Header.Get(serviceHeader)}
	}
}

// ServiceOfQuery finds the service's name in the query, as agents send it when they ask for their configuration.
func ServiceOfQuery(r *http.Request) tollbar.Resource {
	return tollbar.Resource{Service: r.URL.Query().Get("service.name")}
}

// Denial answers a request that was refused. Status, WWW-Authenticate and Retry-After are set already, the status is not written yet.
type Denial func(w http.ResponseWriter, r *http.Request, refusal *tollbar.Refusal)

type gate struct {
	engine *tollbar.Engine
	next   http.Handler
	rule   func(*http.Request) (Rule, bool)
	peer   func(*http.Request) netip.Addr
	denial Denial
}

// Option is how a gate differs from the default.
type Option func(*gate)

// WithRules says what each path asks for; a path that is not listed asks for `others`, or nothing (it is passed on unseen) if that is nil.
// The default: [APM], and one event of ingest for others.
func WithRules(rules map[string]Rule, others *Rule) Option {
	return WithRule(func(r *http.Request) (Rule, bool) {
		rule, listed := rules[r.URL.Path]
		if !listed && others != nil {
			return *others, true
		}
		return rule, listed
	})
}

// WithRule says what each request asks for; false: nothing, so it is passed on unseen. It must skip what is to be open, such as health checks
// and the preflights of browsers, which carry no credential.
func WithRule(rule func(*http.Request) (Rule, bool)) Option {
	return func(g *gate) { g.rule = rule }
}

// WithSkip passes requests on unseen, before any rule is looked at.
func WithSkip(skip func(*http.Request) bool) Option {
	return func(g *gate) {
		rule := g.rule
		g.rule = func(r *http.Request) (Rule, bool) {
			if skip(r) {
				return Rule{}, false
			}
			return rule(r)
		}
	}
}

// WithPeer says whose socket it is. The default is RemoteAddr; a Unix socket's peer is this machine, 127.0.0.1. Forwarding headers are
// none of its business: tollbar.trusted_proxies says whose are believed.
func WithPeer(peer func(*http.Request) netip.Addr) Option {
	return func(g *gate) { g.peer = peer }
}

// WithDenial words refusals otherwise than [Problem].
func WithDenial(denial Denial) Option {
	return func(g *gate) { g.denial = denial }
}

// Handler lets requests in to next, or answers them itself. Options are applied in order, so WithSkip comes after WithRules.
func Handler(engine *tollbar.Engine, next http.Handler, options ...Option) http.Handler {
	g := &gate{engine: engine, next: next, peer: Peer, denial: Problem}
	WithRules(APM(), &Rule{})(g)
	WithSkip(Preflight)(g)
	for _, option := range options {
		option(g)
	}
	return g
}

// Preflight is whether a browser asks if it may ask: OPTIONS, with the method that it means to use.
func Preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// Peer is the address of the request's socket.
func Peer(r *http.Request) netip.Addr { return entry.Peer(r.RemoteAddr) }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule, asked := g.rule(r)
	if !asked {
		g.next.ServeHTTP(w, r)
		return
	}
	request := tollbar.Request{Peer: g.peer(r), Headers: r.Header}
	client, err := Enter(r.Context(), g.engine, request, rule, r)
	if err == nil {
		g.next.ServeHTTP(w, r.WithContext(tollbar.NewContext(r.Context(), client)))
		return
	}
	var refusal *tollbar.Refusal
	if !errors.As(err, &refusal) {
		if r.Context().Err() != nil {
			return // nobody is there to be answered
		}
		http.Error(w, "no decision was made", http.StatusServiceUnavailable)
		return
	}
	Headers(w.Header(), refusal)
	g.denial(w, r, refusal)
}

// Enter is the gate as a function: it identifies the client and checks what needs no body. r is only handed to the rule's Resource.
// The error is a [*tollbar.Refusal], [tollbar.ErrClosed], or the context's.
func Enter(ctx context.Context, engine *tollbar.Engine, request tollbar.Request, rule Rule, r *http.Request) (tollbar.Client, error) {
	var resource func() tollbar.Resource
	if rule.Resource != nil {
		resource = func() tollbar.Resource { return rule.Resource(r) }
	}
	asked := entry.Rule{Action: rule.Action, RUM: rule.RUM, Cost: rule.Cost, Free: rule.Free}
	return entry.Enter(ctx, engine, request, asked, resource)
}

// Headers sets what tells a client what to do about a refusal: WWW-Authenticate and Retry-After.
func Headers(header http.Header, refusal *tollbar.Refusal) {
	if value := refusal.Decision.WWWAuthenticate(); value != "" {
		header.Set("WWW-Authenticate", value)
	}
	if seconds := refusal.Decision.RetryAfterSeconds(); seconds != 0 {
		header.Set("Retry-After", strconv.FormatUint(uint64(seconds), 10))
	}
}

// quotaExceeded is the problem type of draft-ietf-httpapi-ratelimit-headers.
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// Problem words a refusal as RFC 9457 has it: application/problem+json.
func Problem(w http.ResponseWriter, _ *http.Request, refusal *tollbar.Refusal) {
	status := int(refusal.Decision.HTTPStatus)
	document := map[string]any{
		"type":   "about:blank",
		"title":  http.StatusText(status),
		"status": status,
		"detail": refusal.Error(),
		"reason": refusal.Decision.Reason.String(),
	}
	if status == http.StatusTooManyRequests {
		document["type"], document["title"], document["violated-policies"] = quotaExceeded, "Quota Exceeded", []string{"events"}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// Whether it arrived is the client's business.
	_ = json.NewEncoder(w).Encode(document)
}
