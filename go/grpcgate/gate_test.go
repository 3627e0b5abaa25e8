package grpcgate

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"tollbar"
	"tollbar/internal/entry"
)

const config = `
apm-server:
  auth:
    secret_token: correct-horse-battery-staple
    api_key.enabled: true
    anonymous: {enabled: true, allow_agent: [iOS/swift, otlp], allow_service: [shop], rate_limit: {event_limit: 2}}
tollbar.burst_multiplier: 5
`

// store is a trace service that keeps what it was given.
type store struct {
	coltrace.UnimplementedTraceServiceServer
	spans  int64
	method tollbar.Method
}

func (s *store) Export(ctx context.Context, request *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	client, _ := tollbar.FromContext(ctx)
	s.method = client.Method()
	for _, r := range request.GetResourceSpans() {
		s.spans += spans(r)
	}
	return &coltrace.ExportTraceServiceResponse{}, nil
}

func serve(t *testing.T, options ...Option) (*store, *tollbar.Engine, *grpc.ClientConn) {
	t.Helper()
	engine, err := tollbar.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	err = engine.SetVerifier(func(id string, _ []byte) (tollbar.Privileges, error) {
		if id == "known" {
			return tollbar.EventWrite, nil
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	kept := &store{}
	server := grpc.NewServer(Unary(engine, options...), Stream(engine, options...))
	coltrace.RegisterTraceServiceServer(server, kept)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	listener := bufconn.Listen(1 << 20)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient("passthrough:///", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return kept, engine, connection
}

func named(service, agent, language string) *resource.Resource {
	attributes := []*common.KeyValue{}
	for key, value := range map[string]string{"service.name": service, "telemetry.sdk.name": agent, "telemetry.sdk.language": language} {
		if value != "" {
			attributes = append(attributes, &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}})
		}
	}
	return &resource.Resource{Attributes: attributes}
}

func of(r *resource.Resource, n int) *trace.ResourceSpans {
	return &trace.ResourceSpans{Resource: r, ScopeSpans: []*trace.ScopeSpans{{Spans: make([]*trace.Span, n)}}}
}

func with(ctx context.Context, authorization string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
}

func TestEachResourceIsAuthorizedAndAdmitted(t *testing.T) {
	kept, _, connection := serve(t)
	client := coltrace.NewTraceServiceClient(connection)
	response, err := client.Export(t.Context(), &coltrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{
		of(named("shop", "iOS", "swift"), 3), of(named("blog", "iOS", "swift"), 2), of(named("shop", "opentelemetry", "go"), 1), of(named("shop", "", ""), 2),
	}})
	if err != nil {
		t.Fatal(err)
	}
	partial := response.GetPartialSuccess()
	if kept.spans != 5 || kept.method != tollbar.MethodAnonymous || partial.GetRejectedSpans() != 3 {
		t.Errorf("%d spans were kept, of a client by %s; the answer is %v", kept.spans, kept.method, partial)
	}
	if why := partial.GetErrorMessage(); !strings.Contains(why, "blog") || !strings.Contains(why, "opentelemetry/go") {
		t.Errorf("the answer says %q", why)
	}
	_, err = client.Export(t.Context(), &coltrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{of(named("blog", "iOS", "swift"), 1)}})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("nothing is allowed: %v", err)
	}
}

func TestARefusalSaysWhen(t *testing.T) {
	_, engine, connection := serve(t)
	client := coltrace.NewTraceServiceClient(connection)
	if !engine.AdmitAddr(entry.Local, 10).Allowed() {
		t.Fatal("the burst")
	}
	var trailer metadata.MD
	_, err := client.Export(t.Context(), &coltrace.ExportTraceServiceRequest{}, grpc.Trailer(&trailer))
	st := status.Convert(err)
	if st.Code() != codes.ResourceExhausted || len(st.Details()) != 1 || len(trailer.Get("grpc-retry-pushback-ms")) != 1 {
		t.Fatalf("the refusal is %v, %v, %v", err, st.Details(), trailer)
	}
	if delay := st.Details()[0].(*errdetails.RetryInfo).GetRetryDelay().AsDuration(); delay <= 0 || delay > 500*time.Millisecond {
		t.Errorf("one event fits after %v", delay)
	}
	if _, err = client.Export(with(t.Context(), "Bearer correct-horse-battery-staple"), &coltrace.ExportTraceServiceRequest{
		ResourceSpans: []*trace.ResourceSpans{of(named("any", "", ""), 1000)}}); err != nil {
		t.Errorf("with the token: %v", err)
	}
	if _, err = client.Export(with(t.Context(), "Bearer wrong"), &coltrace.ExportTraceServiceRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a wrong token: %v", err)
	}
	if _, err = client.Export(with(t.Context(), "ApiKey a25vd246c2VjcmV0LXNlY3JldC1zZWNyZXQ="), &coltrace.ExportTraceServiceRequest{}); err != nil {
		t.Errorf("an API key: %v", err)
	}
}

func TestHealthIsOpenAndStreamsAreGated(t *testing.T) {
	_, _, connection := serve(t)
	checks := grpc_health_v1.NewHealthClient(connection)
	if _, err := checks.Check(with(t.Context(), "Bearer wrong"), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("a health check: %v", err)
	}
	_, _, connection = serve(t, WithRule(func(string) (Rule, bool) {
		return Rule{Resource: func(ctx context.Context) tollbar.Resource {
			md, _ := metadata.FromIncomingContext(ctx)
			return tollbar.Resource{Agent: "otlp", Service: md.Get("service")[0]}
		}}, true
	}))
	checks = grpc_health_v1.NewHealthClient(connection)
	for service, code := range map[string]codes.Code{"shop": codes.OK, "blog": codes.PermissionDenied} {
		stream, err := checks.Watch(metadata.AppendToOutgoingContext(t.Context(), "service", service), &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = stream.Recv(); status.Code(err) != code {
			t.Errorf("a stream of %s: %v", service, err)
		}
	}
}

func TestEventsAreSpansRecordsAndPoints(t *testing.T) {
	engine, err := tollbar.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	client := engine.Authenticate(tollbar.Request{Peer: entry.Local})
	shop := named("shop", "", "")
	outcome, _ := Filter(t.Context(), client, &collogs.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{
		{Resource: shop, ScopeLogs: []*logs.ScopeLogs{{LogRecords: make([]*logs.LogRecord, 2)}, {LogRecords: make([]*logs.LogRecord, 1)}}}}})
	if outcome.Accepted != 3 || outcome.Rejected != 0 {
		t.Errorf("logs: %+v", outcome)
	}
	gauge := &metrics.Metric{Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: make([]*metrics.NumberDataPoint, 3)}}}
	histogram := &metrics.Metric{Data: &metrics.Metric_Histogram{Histogram: &metrics.Histogram{DataPoints: make([]*metrics.HistogramDataPoint, 40)}}}
	request := &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{
		{Resource: shop, ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{gauge}}}},
		{Resource: shop, ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{histogram}}}},
		{Resource: shop},
	}}
	outcome, isExport := Filter(t.Context(), client, request)
	if !isExport || outcome.Accepted != 3 || outcome.Rejected != 40 || len(request.ResourceMetrics) != 1 {
		t.Errorf("metrics: %+v", outcome)
	}
	response := &colmetrics.ExportMetricsServiceResponse{}
	outcome.Tell(response)
	if response.GetPartialSuccess().GetRejectedDataPoints() != 40 {
		t.Errorf("the answer is %v", response)
	}
	if _, isExport = Filter(t.Context(), client, "something else"); isExport {
		t.Error("that is no request of OTLP's")
	}
}
