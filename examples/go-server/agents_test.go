package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.elastic.co/apm/v2"
	"go.elastic.co/apm/v2/transport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tollbar"
	"tollbar/grpcgate"
)

const (
	token  = "correct-horse-battery-staple"
	config = `
apm-server:
  auth:
    secret_token: ` + token + `
    api_key.enabled: true
    anonymous: {enabled: true, allow_agent: [opentelemetry/go, rum-js], allow_service: [allowed, shop], rate_limit: {event_limit: 5}}
  rum.enabled: true
tollbar.burst_multiplier: 6
`
	// apiKey is `known:secret-secret-secret` in base64.
	apiKey = "a25vdzpzZWNyZXQtc2VjcmV0LXNlY3JldA=="
)

// intake is a server of this program's, in this process.
type intake struct {
	*httptest.Server
	engine *tollbar.Engine
	grpc   string
	file   string
	out    *output
}

func start(t *testing.T) *intake {
	t.Helper()
	engine, err := tollbar.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	err = engine.SetVerifier(func(id string, _ []byte) (tollbar.Privileges, error) {
		if id == "know" {
			return tollbar.EventWrite, nil
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "accepted.ndjson")
	out, err := openOutput(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := grpc.NewServer(grpcgate.Unary(engine))
	registerOTLP(calls, out)
	go calls.Serve(listener)
	t.Cleanup(calls.Stop)
	server := httptest.NewServer(newHandler(engine, out))
	t.Cleanup(server.Close)
	return &intake{server, engine, listener.Addr().String(), file, out}
}

type written struct {
	Method, Service, Agent, Protocol, Type string
	Event                                  map[string]any
}

func (i *intake) written(t *testing.T) (found []written) {
	t.Helper()
	data, err := os.ReadFile(i.file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var w written
		if err := json.Unmarshal([]byte(line), &w); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		found = append(found, w)
	}
	return found
}

func TestTheElasticAgentForGo(t *testing.T) {
	for _, c := range []struct {
		name            string
		options         transport.HTTPTransportOptions
		method          string
		refusedBecauseN int
	}{
		{"token", transport.HTTPTransportOptions{SecretToken: token}, "secret_token", 0},
		{"API key", transport.HTTPTransportOptions{APIKey: apiKey}, "api_key", 0},
		{"wrong token", transport.HTTPTransportOptions{SecretToken: "wrong"}, "", 401},
		{"wrong API key", transport.HTTPTransportOptions{APIKey: "bm9ib2R5OnNlY3JldC1zZWNyZXQtc2VjcmV0"}, "", 401},
		{"no credential: the agent `go` is not allowed", transport.HTTPTransportOptions{}, "", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := start(t)
			address, _ := url.Parse(server.URL)
			c.options.ServerURLs = []*url.URL{address}
			sender, err := transport.NewHTTPTransport(c.options)
			if err != nil {
				t.Fatal(err)
			}
			tracer, err := apm.NewTracerOptions(apm.TracerOptions{ServiceName: "shop", Transport: sender})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				transaction := tracer.StartTransaction("buy", "request")
				transaction.StartSpan("SELECT", "db", nil).End()
				transaction.End()
			}
			aborted := make(chan struct{})
			go func() { time.Sleep(10 * time.Second); close(aborted) }()
			tracer.Flush(aborted)
			tracer.Close()
			stats := tracer.Stats()
			found := server.written(t)
			if c.refusedBecauseN != 0 {
				if len(found) != 0 || stats.Errors.SendStream == 0 {
					t.Errorf("%d events were written; the agent says %+v", len(found), stats)
				}
				return
			}
			kinds := map[string]int{}
			for _, w := range found {
				kinds[w.Type]++
				if w.Method != c.method || w.Service != "shop" || w.Agent != "go" || w.Protocol != "intake/v2" {
					t.Errorf("an event is written as of %+v", w)
				}
			}
			if kinds["transaction"] != 3 || kinds["span"] != 3 || stats.Errors.SendStream != 0 {
				t.Errorf("written are %v; the agent says %+v", kinds, stats)
			}
		})
	}
}

func TestTheOpenTelemetrySDKForGo(t *testing.T) {
	for _, c := range []struct {
		name, service, authorization string
		method                       string
		code                         codes.Code
		http                         string
	}{
		{"token", "any", "Bearer " + token, "secret_token", codes.OK, ""},
		{"API key", "any", "ApiKey " + apiKey, "api_key", codes.OK, ""},
		{"anonymous, allowed", "allowed", "", "anonymous", codes.OK, ""},
		{"anonymous, another service", "any", "", "", codes.PermissionDenied, "403"},
		{"wrong token", "allowed", "Bearer wrong", "", codes.Unauthenticated, "401"},
	} {
		headers := map[string]string{}
		if c.authorization != "" {
			headers["authorization"] = c.authorization
		}
		named := resource.NewSchemaless(attribute.String("service.name", c.service),
			attribute.String("telemetry.sdk.name", "opentelemetry"), attribute.String("telemetry.sdk.language", "go"))
		check := func(t *testing.T, server *intake, err error, code string, kind string) {
			found := server.written(t)
			if c.code != codes.OK {
				if err == nil || !strings.Contains(err.Error(), code) || len(found) != 0 {
					t.Errorf("the exporter says %v, %d events were written", err, len(found))
				}
				return
			}
			if err != nil || len(found) != 2 {
				t.Fatalf("the exporter says %v, %d events were written", err, len(found))
			}
			if w := found[0]; w.Method != c.method || w.Service != c.service || w.Agent != "opentelemetry/go" || w.Protocol != "otlp" || w.Type != kind {
				t.Errorf("an event is written as of %+v", w)
			}
		}
		t.Run("traces over HTTP/"+c.name, func(t *testing.T) {
			server := start(t)
			exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL+"/v1/traces"), otlptracehttp.WithHeaders(headers),
				otlptracehttp.WithCompression(otlptracehttp.GzipCompression), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
			if err != nil {
				t.Fatal(err)
			}
			check(t, server, export(t, exporter, named), c.http, "span")
		})
		t.Run("traces over gRPC/"+c.name, func(t *testing.T) {
			server := start(t)
			exporter, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(server.grpc), otlptracegrpc.WithInsecure(),
				otlptracegrpc.WithHeaders(headers), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}))
			if err != nil {
				t.Fatal(err)
			}
			check(t, server, export(t, exporter, named), c.code.String(), "span")
		})
		t.Run("metrics over gRPC/"+c.name, func(t *testing.T) {
			server := start(t)
			exporter, err := otlpmetricgrpc.New(t.Context(), otlpmetricgrpc.WithEndpoint(server.grpc), otlpmetricgrpc.WithInsecure(),
				otlpmetricgrpc.WithHeaders(headers), otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: false}))
			if err != nil {
				t.Fatal(err)
			}
			provider := metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(exporter)), metric.WithResource(named))
			counter, err := provider.Meter("demo").Int64Counter("sold")
			if err != nil {
				t.Fatal(err)
			}
			counter.Add(t.Context(), 1)
			gauge, err := provider.Meter("demo").Int64Gauge("stock")
			if err != nil {
				t.Fatal(err)
			}
			gauge.Record(t.Context(), 1)
			err = provider.ForceFlush(t.Context())
			check(t, server, err, c.code.String(), "metric")
		})
	}
}

// export sends two spans and says what the exporter was told.
func export(t *testing.T, exporter trace.SpanExporter, named *resource.Resource) error {
	told := &recording{SpanExporter: exporter}
	provider := trace.NewTracerProvider(trace.WithBatcher(told), trace.WithResource(named))
	tracer := provider.Tracer("demo")
	ctx, outer := tracer.Start(t.Context(), "buy")
	_, inner := tracer.Start(ctx, "pay")
	inner.End()
	outer.End()
	if err := provider.ForceFlush(t.Context()); err != nil && told.err == nil {
		return err
	}
	return told.err
}

type recording struct {
	trace.SpanExporter
	err error
}

func (r *recording) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	r.err = r.SpanExporter.ExportSpans(ctx, spans)
	return r.err
}

func TestOTLPIsLimitedOverGRPC(t *testing.T) {
	server := start(t)
	named := resource.NewSchemaless(attribute.String("service.name", "allowed"), attribute.String("telemetry.sdk.name", "opentelemetry"), attribute.String("telemetry.sdk.language", "go"))
	exporter, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(server.grpc), otlptracegrpc.WithInsecure(), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}))
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for range 40 {
		if err = export(t, exporter, named); err != nil {
			break
		}
		accepted += 2
	}
	if status.Code(err) != codes.ResourceExhausted && !strings.Contains(err.Error(), "ResourceExhausted") {
		t.Fatalf("after %d spans: %v", accepted, err)
	}
	if found := len(server.written(t)); found != accepted {
		t.Errorf("%d spans were accepted, %d written", accepted, found)
	}
}

const lines3 = `{"metadata": {"service": {"name": "shop", "agent": {"name": "rum-js"}}}}
{"transaction": {"id": "1"}}
{"span": {"id": "2"}}
`

func post(t *testing.T, url, kind, encoding, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), response.Header
}

func TestStreams(t *testing.T) {
	const ndjson = "application/x-ndjson"
	squeezed := func(make func(io.Writer) io.WriteCloser) string {
		var buffer bytes.Buffer
		w := make(&buffer)
		io.WriteString(w, lines3)
		w.Close()
		return buffer.String()
	}
	zipped := squeezed(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	for _, c := range []struct {
		name, path, encoding, body string
		status, events             int
		says                       string
	}{
		{"plain", "/intake/v2/rum/events", "", lines3, 202, 2, ""},
		{"verbose", "/intake/v2/events?verbose", "", lines3, 202, 2, `"accepted":2`},
		{"gzip", "/intake/v2/events", "gzip", zipped, 202, 2, ""},
		{"gzip that does not say so", "/intake/v2/events", "", zipped, 202, 2, ""},
		{"zlib", "/intake/v2/events", "deflate", squeezed(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }), 202, 2, ""},
		{"zlib, and something behind it", "/intake/v2/events", "deflate", squeezed(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }) + "x", 400, 2, `"accepted":2`},
		{"nothing, gzipped", "/intake/v2/events", "gzip", "", 202, 0, ""},
		{"cut off", "/intake/v2/events", "gzip", zipped[:len(zipped)-9], 400, 2, `"accepted":2`},
		{"no compression of ours", "/intake/v2/events", "br", "x", 415, 0, "unsupported content encoding"},
		{"RUM v3", "/intake/v3/rum/events", "", `{"m": {"se": {"n": "shop", "a": {"n": "rum-js"}}}}` + "\n" + `{"x": {"id": "1", "tid": "2", "y": [{"id": "3"}], "me": [{}]}}`, 202, 3, ""},
		{"another service", "/intake/v2/events", "", strings.Replace(lines3, "shop", "blog", 1), 403, 0, "blog"},
		{"another service inside", "/intake/v2/events", "", lines3 + `{"error": {"context": {"service": {"name": "blog"}}}}` + "\n", 403, 0, "blog"},
		{"an event that is none", "/intake/v2/events", "", lines3 + `{"nothing": {}}`, 400, 2, `did not recognize`},
		{"a number out of range", "/intake/v2/events", "", lines3 + `{"span": {"n": 1e999}}`, 400, 2, `out of range`},
		{"a name in another case is none", "/intake/v2/events", "", `{"metadata": {"Service": {"name": "shop", "agent": {"name": "rum-js"}}}}`, 400, 0, "metadata"},
		{"a line too long", "/intake/v2/events", "", lines3 + `{"span": {"x": "` + strings.Repeat("x", maxEventBytes) + `"}}`, 400, 2, `exceeded`},
		{"more than there is room for", "/intake/v2/events", "", lines3 + strings.Repeat(`{"span": {}}`+"\n", 60), 429, -1, `"accepted":`},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := start(t)
			status, answer, header := post(t, server.URL+c.path, ndjson, c.encoding, c.body, "Origin", "https://shop.example")
			found := len(server.written(t))
			if status != c.status || !strings.Contains(answer, c.says) || c.events >= 0 && found != c.events {
				t.Errorf("%d %s, %d events were written", status, answer, found)
			}
			if status == 429 && header.Get("Retry-After") == "" {
				t.Errorf("the headers are %v", header)
			}
			if strings.Contains(c.path, "rum") && header.Get("Access-Control-Allow-Origin") != "https://shop.example" {
				t.Errorf("a page can't read the answer: %v", header)
			}
		})
	}
}

func TestOtherRoutes(t *testing.T) {
	server := start(t)
	bearer := []string{"Authorization", "Bearer " + token}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for _, name := range []string{"bundle_filepath", "service_name", "service_version"} {
		w.WriteField(name, "x")
	}
	part, _ := w.CreateFormFile("sourcemap", "x.map")
	io.WriteString(part, "{}")
	w.Close()
	for _, c := range []struct {
		path, kind, body string
		headers          []string
		status           int
		says             string
	}{
		{"/", "", "", nil, 200, ""},
		{"/", "", "", bearer, 200, "publish_ready"},
		{"/config/v1/agents", "application/json", `{"service": {"name": "shop"}}`, nil, 200, "{}"},
		{"/config/v1/rum/agents", "application/json", `{"service": {"name": "blog"}}`, nil, 403, "blog"},
		{"/config/v1/agents", "application/json", `{}`, bearer, 400, "service.name"},
		{"/config/v1/agents", "application/json", `{"service": {"name": "shop"}}`, []string{"If-None-Match", `"-"`}, 304, ""},
		{"/assets/v1/sourcemaps", w.FormDataContentType(), form.String(), bearer, 202, ""},
		{"/assets/v1/sourcemaps", w.FormDataContentType(), form.String(), nil, 403, ""},
		{"/assets/v1/sourcemaps", w.FormDataContentType(), form.String()[:100], bearer, 400, "error"},
		{"/v1/traces", "application/json", `{"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "scopeSpans": [{"spans": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "startTimeUnixNano": 1544712660000000001}]}]}]}`, bearer, 200, "{}"},
		{"/v1/traces", "application/json", `{"resourceSpans": 1}`, bearer, 400, "unmarshal"},
		{"/v1/traces", "text/plain", `x`, bearer, 415, "unsupported"},
		{"/v1/logs", "application/json", `{}`, []string{"Authorization", "Bearer wrong"}, 401, "code"},
		{"/nowhere", "", "", nil, 404, ""},
	} {
		status, answer, _ := post(t, server.URL+c.path, c.kind, "", c.body, c.headers...)
		if status != c.status || !strings.Contains(answer, c.says) {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, answer)
		}
	}
	spans := server.written(t)
	if len(spans) != 1 || spans[0].Event["traceId"] != "5b8efff798038103d269b633813fc60c" || spans[0].Event["startTimeUnixNano"] != "1544712660000000001" {
		t.Errorf("the span is written as %v", spans)
	}
}
