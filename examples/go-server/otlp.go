package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"tollbar"
	"tollbar/grpcgate"
	"tollbar/httpgate"
)

const (
	// Protobuf can't be read in pieces, so this much is held in memory.
	maxOTLPBytes = 8 << 20
	protobuf     = "application/x-protobuf"
	jsonType     = "application/json"
)

// telemetry is one of the three kinds of telemetry: what it is sent and answered by.
type telemetry struct{ request, response func() proto.Message }

var signals = map[string]telemetry{
	"/v1/traces": {func() proto.Message { return &coltrace.ExportTraceServiceRequest{} }, func() proto.Message { return &coltrace.ExportTraceServiceResponse{} }},
	"/v1/metrics": {func() proto.Message { return &colmetrics.ExportMetricsServiceRequest{} },
		func() proto.Message { return &colmetrics.ExportMetricsServiceResponse{} }},
	"/v1/logs": {func() proto.Message { return &collogs.ExportLogsServiceRequest{} }, func() proto.Message { return &collogs.ExportLogsServiceResponse{} }},
}

// serve is the endpoint of one signal over HTTP. Every resource is authorized by its own names and admitted as one batch.
func (s telemetry) serve(out *output) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		client, _ := tollbar.FromContext(r.Context())
		kind := contentType(r)
		if kind != protobuf && kind != jsonType {
			answerStatus(w, r, fail(http.StatusUnsupportedMediaType, "unsupported content type %.80q; accepted are %s and %s", kind, protobuf, jsonType))
			return
		}
		data, err := whole(w, r, maxOTLPBytes)
		if err != nil {
			answerStatus(w, r, err)
			return
		}
		request, response := s.request(), s.response()
		if err := decode(data, kind, request); err != nil {
			answerStatus(w, r, fail(http.StatusBadRequest, "failed to unmarshal request body"))
			return
		}
		outcome, _ := grpcgate.Filter(r.Context(), client, request)
		if outcome.Accepted == 0 && outcome.Refusal != nil {
			answerStatus(w, r, outcome.Refusal)
			return
		}
		if err := keep(out, client, request); err != nil {
			answerStatus(w, r, err)
			return
		}
		outcome.Tell(response)
		answer(w, http.StatusOK, kind, response)
	}
}

// registerOTLP serves the same by gRPC: the gate has authorized and admitted what is left of a request.
func registerOTLP(server *grpc.Server, out *output) {
	coltrace.RegisterTraceServiceServer(server, &traceService{out: out})
	colmetrics.RegisterMetricsServiceServer(server, &metricsService{out: out})
	collogs.RegisterLogsServiceServer(server, &logsService{out: out})
}

type traceService struct {
	coltrace.UnimplementedTraceServiceServer
	out *output
}

func (s *traceService) Export(ctx context.Context, request *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	return &coltrace.ExportTraceServiceResponse{}, keepCall(ctx, s.out, request)
}

type metricsService struct {
	colmetrics.UnimplementedMetricsServiceServer
	out *output
}

func (s *metricsService) Export(ctx context.Context, request *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	return &colmetrics.ExportMetricsServiceResponse{}, keepCall(ctx, s.out, request)
}

type logsService struct {
	collogs.UnimplementedLogsServiceServer
	out *output
}

func (s *logsService) Export(ctx context.Context, request *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	return &collogs.ExportLogsServiceResponse{}, keepCall(ctx, s.out, request)
}

func keepCall(ctx context.Context, out *output, request proto.Message) error {
	client, _ := tollbar.FromContext(ctx)
	if err := keep(out, client, request); err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	return nil
}

// keep writes one record an event: a span, a log record, a metric's data point.
func keep(out *output, client tollbar.Client, request proto.Message) error {
	var failed error
	group := func(r *resource.Resource, records []record) {
		if failed == nil && len(records) != 0 {
			failed = out.write(originOf(client, grpcgate.ResourceOf(r), "otlp"), records)
		}
	}
	switch request := request.(type) {
	case *coltrace.ExportTraceServiceRequest:
		for _, r := range request.GetResourceSpans() {
			var records []record
			for _, scope := range r.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					records = append(records, record{"span", document(span)})
				}
			}
			group(r.GetResource(), records)
		}
	case *collogs.ExportLogsServiceRequest:
		for _, r := range request.GetResourceLogs() {
			var records []record
			for _, scope := range r.GetScopeLogs() {
				for _, entry := range scope.GetLogRecords() {
					records = append(records, record{"log", document(entry)})
				}
			}
			group(r.GetResource(), records)
		}
	case *colmetrics.ExportMetricsServiceRequest:
		for _, r := range request.GetResourceMetrics() {
			var records []record
			for _, scope := range r.GetScopeMetrics() {
				for _, metric := range scope.GetMetrics() {
					for _, point := range points(metric) {
						about, _ := json.Marshal(map[string]any{"name": metric.GetName(), "unit": metric.GetUnit(), "point": document(point)})
						records = append(records, record{"metric", about})
					}
				}
			}
			group(r.GetResource(), records)
		}
	}
	return failed
}

func points(metric *metrics.Metric) (found []proto.Message) {
	switch data := metric.GetData().(type) {
	case *metrics.Metric_Gauge:
		found = messages(data.Gauge.GetDataPoints())
	case *metrics.Metric_Sum:
		found = messages(data.Sum.GetDataPoints())
	case *metrics.Metric_Histogram:
		found = messages(data.Histogram.GetDataPoints())
	case *metrics.Metric_ExponentialHistogram:
		found = messages(data.ExponentialHistogram.GetDataPoints())
	case *metrics.Metric_Summary:
		found = messages(data.Summary.GetDataPoints())
	}
	return found
}

func messages[T proto.Message](list []T) []proto.Message {
	found := make([]proto.Message, len(list))
	for i, item := range list {
		found[i] = item
	}
	return found
}

// document is a message as OTLP's JSON: ids in hex, where protobuf's JSON has base64.
func document(message proto.Message) json.RawMessage {
	data, err := protojson.Marshal(message)
	if err == nil {
		data, err = recoded(data, func(id string) (string, error) {
			raw, err := base64.StdEncoding.DecodeString(id)
			return hex.EncodeToString(raw), err
		})
	}
	if err != nil {
		return json.RawMessage("null")
	}
	return data
}

func decode(data []byte, kind string, into proto.Message) error {
	if kind == protobuf {
		return proto.Unmarshal(data, into)
	}
	data, err := recoded(data, func(id string) (string, error) {
		raw, err := hex.DecodeString(id)
		if err == nil && len(raw) != 0 && len(raw) != 8 && len(raw) != 16 {
			err = errors.New("an id has 8 or 16 bytes")
		}
		return base64.StdEncoding.EncodeToString(raw), err
	})
	if err != nil {
		return err
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, into)
}

// recoded is a JSON document whose trace and span ids are spelled otherwise.
func recoded(data []byte, recode func(string) (string, error)) ([]byte, error) {
	var document any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("there is more than one document")
	}
	var walk func(any) error
	walk = func(value any) (err error) {
		switch value := value.(type) {
		case []any:
			for _, inner := range value {
				err = errors.Join(err, walk(inner))
			}
		case object:
			for key, inner := range value {
				id, isText := inner.(string)
				if isText && (key == "traceId" || key == "spanId" || key == "parentSpanId") {
					var wrong error
					value[key], wrong = recode(id)
					err = errors.Join(err, wrong)
					continue
				}
				err = errors.Join(err, walk(inner))
			}
		}
		return err
	}
	if err := walk(document); err != nil {
		return nil, err
	}
	return json.Marshal(document)
}

func contentType(r *http.Request) string {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind
}

// answerStatus answers with a google.rpc.Status, as OTLP has it, and {"error": …} to those who don't speak it.
func answerStatus(w http.ResponseWriter, r *http.Request, err error) {
	kind := contentType(r)
	if kind != protobuf && kind != jsonType {
		answerError(w, err)
		return
	}
	code, message, _ := statusOf(err)
	st := status.New(map[int]codes.Code{408: codes.DeadlineExceeded, 503: codes.Unavailable}[code], message)
	if st.Code() == codes.OK {
		st = status.New(codes.InvalidArgument, message)
	}
	var refusal *tollbar.Refusal
	if errors.As(err, &refusal) {
		httpgate.Headers(w.Header(), refusal)
		st = grpcgate.Status(err)
	}
	answer(w, code, kind, st.Proto())
}

func answer(w http.ResponseWriter, code int, kind string, message proto.Message) {
	var data []byte
	var err error
	if kind == protobuf {
		data, err = proto.Marshal(message)
	} else {
		data, err = protojson.Marshal(message)
	}
	if err != nil {
		code, data = http.StatusInternalServerError, nil
	}
	answerBytes(w, code, kind, data)
}
