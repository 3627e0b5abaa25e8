// Package grpcgate puts Tollbar before the services of a gRPC server, OTLP's above all:
//
//	grpc.NewServer(grpcgate.Unary(engine), grpcgate.Stream(engine))
//
// Before the method runs: the credential (an API key is waited for), and one event's charge if the client is anonymous. The Export requests
// of OTLP are taken apart as well: each resource is authorized by its own names and admitted as one batch; those that are refused are
// taken out of the request, and the method sees the others. What it answers is told the number of events that were refused, as a
// partial success; if all were, the call fails with the refusal. The method finds the client by [tollbar.FromContext].
//
// A refusal has the decision's code and sentence; one that ends by itself says when, as OTLP asks (RetryInfo) and as gRPC's own retries
// do (grpc-retry-pushback-ms).
package grpcgate

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"tollbar"
	"tollbar/internal/entry"
)

// Rule is what a method asks for.
type Rule struct {
	// Action is what a client wants to do there.
	Action tollbar.Action
	// RUM is whether apm-server.rum.enabled has to be true.
	RUM bool
	// Cost is how many events an anonymous client is charged when the call arrives. 0: one, unless Free.
	Cost uint64
	// Free charges nothing for the call itself.
	Free bool
	// Resource finds the agent and the service in the call's metadata: the call is authorized with them then. Nil: the method
	// authorizes, but for OTLP's Export requests, which are authorized here.
	Resource func(ctx context.Context) tollbar.Resource
}

type gate struct {
	engine *tollbar.Engine
	rule   func(method string) (Rule, bool)
	otlp   bool
}

// Option is how a gate differs from the default.
type Option func(*gate)

// WithRule says what a method, such as "/package.Service/Method", asks for; false: nothing, so the call is passed on unseen. The default:
// one event of ingest, but for health checks and reflection, which are passed on.
func WithRule(rule func(method string) (Rule, bool)) Option { return func(g *gate) { g.rule = rule } }

// WithoutOTLP leaves the Export requests of OTLP as they are: the method authorizes their resources and admits their events.
func WithoutOTLP() Option { return func(g *gate) { g.otlp = false } }

func newGate(engine *tollbar.Engine, options []Option) *gate {
	g := &gate{engine: engine, otlp: true, rule: func(method string) (Rule, bool) {
		service := strings.TrimPrefix(method, "/")
		if end := strings.LastIndexByte(service, '/'); end >= 0 {
			service = service[:end]
		}
		switch service {
		case "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection":
			return Rule{}, false
		}
		return Rule{}, true
	}}
	for _, option := range options {
		option(g)
	}
	return g
}

// Unary is the gate as a server option, chained with other interceptors.
func Unary(engine *tollbar.Engine, options ...Option) grpc.ServerOption {
	return grpc.ChainUnaryInterceptor(UnaryInterceptor(engine, options...))
}

// Stream is the same for streams.
func Stream(engine *tollbar.Engine, options ...Option) grpc.ServerOption {
	return grpc.ChainStreamInterceptor(StreamInterceptor(engine, options...))
}

// UnaryInterceptor lets calls in that have one request.
func UnaryInterceptor(engine *tollbar.Engine, options ...Option) grpc.UnaryServerInterceptor {
	g := newGate(engine, options)
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		rule, asked := g.rule(info.FullMethod)
		if !asked {
			return handler(ctx, request)
		}
		client, err := g.enter(ctx, rule)
		if err != nil {
			return nil, refused(err, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
		}
		ctx = tollbar.NewContext(ctx, client)
		if !g.otlp {
			return handler(ctx, request)
		}
		outcome, isExport := Filter(ctx, client, request)
		if !isExport {
			return handler(ctx, request)
		}
		if outcome.Accepted == 0 && outcome.Refusal != nil {
			return nil, refused(outcome.Refusal, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
		}
		response, err := handler(ctx, request)
		if err == nil {
			outcome.Tell(response)
		}
		return response, err
	}
}

// StreamInterceptor lets streams in. Their messages are the method's business: it admits each batch.
func StreamInterceptor(engine *tollbar.Engine, options ...Option) grpc.StreamServerInterceptor {
	g := newGate(engine, options)
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		rule, asked := g.rule(info.FullMethod)
		if !asked {
			return handler(server, stream)
		}
		client, err := g.enter(stream.Context(), rule)
		if err != nil {
			return refused(err, stream.SetTrailer)
		}
		return handler(server, &identified{stream, tollbar.NewContext(stream.Context(), client)})
	}
}

// identified is a stream with its client in the context.
type identified struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *identified) Context() context.Context { return s.ctx }

// RequestOf is what the engine is told of a call: its peer (of a Unix socket, this machine), and its metadata.
func RequestOf(ctx context.Context) tollbar.Request {
	request := tollbar.Request{Peer: entry.Local}
	if from, ok := peer.FromContext(ctx); ok && from.Addr != nil {
		request.Peer = entry.Peer(from.Addr.String())
	}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		request.Headers = md
	}
	return request
}

func (g *gate) enter(ctx context.Context, rule Rule) (tollbar.Client, error) {
	var resource func() tollbar.Resource
	if rule.Resource != nil {
		resource = func() tollbar.Resource { return rule.Resource(ctx) }
	}
	asked := entry.Rule{Action: rule.Action, RUM: rule.RUM, Cost: rule.Cost, Free: rule.Free}
	return entry.Enter(ctx, g.engine, RequestOf(ctx), asked, resource)
}

// refused is an error as gRPC sends it.
func refused(err error, trailer func(metadata.MD)) error {
	st := Status(err)
	if pushback := pushback(err); pushback != "" {
		trailer(metadata.Pairs("grpc-retry-pushback-ms", pushback))
	}
	return st.Err()
}

// Status is a refusal as a gRPC status, with RetryInfo where there is a time after which it would be let in.
func Status(err error) *status.Status {
	var refusal *tollbar.Refusal
	switch {
	case errors.As(err, &refusal):
	case errors.Is(err, tollbar.ErrClosed):
		return status.New(codes.Unavailable, "no decision was made")
	default:
		return status.FromContextError(err)
	}
	st := status.New(codes.Code(refusal.Decision.GRPCStatus), refusal.Error())
	var limit *tollbar.RateLimitError
	if errors.As(err, &limit) && limit.RetryAfter != tollbar.Never {
		if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(limit.RetryAfter)}); err == nil {
			return detailed
		}
	}
	return st
}

// pushback is milliseconds, rounded up.
func pushback(err error) string {
	var limit *tollbar.RateLimitError
	if !errors.As(err, &limit) || limit.RetryAfter == tollbar.Never {
		return ""
	}
	return strconv.FormatInt((limit.RetryAfter.Nanoseconds()+999_999)/1_000_000, 10)
}
