package grpcgate

import (
	"context"
	"slices"
	"strings"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"tollbar"
)

// Outcome is what has become of an Export request.
type Outcome struct {
	// Accepted and Rejected count events: spans, log records, data points.
	Accepted, Rejected int64
	// Refusal is the first one; nil: nothing was refused. It may also be the context's error.
	Refusal error
	reasons []string
}

// shown is how many different reasons are told.
const shown = 5

// Filter authorizes each resource of an OTLP Export request by its own names, admits its events as one batch, and takes the resources
// out of the request that are refused. All together wait no longer than [tollbar.MaxWait]. False: it is no such request.
//
// It is for servers that take OTLP otherwise than by gRPC, too.
func Filter(ctx context.Context, client tollbar.Client, request any) (Outcome, bool) {
	f := filter{ctx: ctx, client: client, until: time.Now().Add(tollbar.MaxWait)}
	switch request := request.(type) {
	case *coltrace.ExportTraceServiceRequest:
		request.ResourceSpans = slices.DeleteFunc(request.ResourceSpans, func(r *trace.ResourceSpans) bool {
			return f.refuses(r.GetResource(), spans(r))
		})
	case *colmetrics.ExportMetricsServiceRequest:
		request.ResourceMetrics = slices.DeleteFunc(request.ResourceMetrics, func(r *metrics.ResourceMetrics) bool {
			return f.refuses(r.GetResource(), points(r))
		})
	case *collogs.ExportLogsServiceRequest:
		request.ResourceLogs = slices.DeleteFunc(request.ResourceLogs, func(r *logs.ResourceLogs) bool {
			return f.refuses(r.GetResource(), records(r))
		})
	default:
		return Outcome{}, false
	}
	return f.Outcome, true
}

type filter struct {
	Outcome
	ctx    context.Context
	client tollbar.Client
	until  time.Time
}

func (f *filter) refuses(r *resource.Resource, events int64) bool {
	if events == 0 {
		return true // there is nothing to accept
	}
	names := ResourceOf(r)
	err := f.client.Authorize(tollbar.Ingest, names).ErrFor(names)
	if err == nil {
		err = f.client.AdmitWithin(f.ctx, uint64(events), time.Until(f.until))
	}
	if err == nil {
		f.Accepted += events
		return false
	}
	f.Rejected += events
	if f.Refusal == nil {
		f.Refusal = err
	}
	if reason := err.Error(); len(f.reasons) < shown && !slices.Contains(f.reasons, reason) {
		f.reasons = append(f.reasons, reason)
	}
	return true
}

// Tell notes in an Export response how many events were rejected and why, beside what the method rejected itself.
func (o *Outcome) Tell(response any) {
	if o.Rejected == 0 {
		return
	}
	why := strings.Join(o.reasons, "; ")
	switch response := response.(type) {
	case *coltrace.ExportTraceServiceResponse:
		if response.PartialSuccess == nil {
			response.PartialSuccess = &coltrace.ExportTracePartialSuccess{}
		}
		response.PartialSuccess.RejectedSpans += o.Rejected
		response.PartialSuccess.ErrorMessage = both(response.PartialSuccess.ErrorMessage, why)
	case *colmetrics.ExportMetricsServiceResponse:
		if response.PartialSuccess == nil {
			response.PartialSuccess = &colmetrics.ExportMetricsPartialSuccess{}
		}
		response.PartialSuccess.RejectedDataPoints += o.Rejected
		response.PartialSuccess.ErrorMessage = both(response.PartialSuccess.ErrorMessage, why)
	case *collogs.ExportLogsServiceResponse:
		if response.PartialSuccess == nil {
			response.PartialSuccess = &collogs.ExportLogsPartialSuccess{}
		}
		response.PartialSuccess.RejectedLogRecords += o.Rejected
		response.PartialSuccess.ErrorMessage = both(response.PartialSuccess.ErrorMessage, why)
	}
}

func both(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// ResourceOf are a resource's names, as APM Server finds them: the service is service.name (default "unknown"), the agent
// telemetry.sdk.name + "/" + telemetry.sdk.language ("otlp" by default).
func ResourceOf(r *resource.Resource) tollbar.Resource {
	names := tollbar.Resource{Agent: "otlp", Service: "unknown"}
	language := ""
	for _, attribute := range r.GetAttributes() {
		value := text(attribute)
		if value == "" {
			continue
		}
		switch attribute.GetKey() {
		case "service.name":
			names.Service = value
		case "telemetry.sdk.name":
			names.Agent = value
		case "telemetry.sdk.language":
			language = value
		}
	}
	if language != "" {
		names.Agent += "/" + language
	}
	return names
}

func text(attribute *common.KeyValue) string { return attribute.GetValue().GetStringValue() }

func spans(r *trace.ResourceSpans) (n int64) {
	for _, scope := range r.GetScopeSpans() {
		n += int64(len(scope.GetSpans()))
	}
	return n
}

func records(r *logs.ResourceLogs) (n int64) {
	for _, scope := range r.GetScopeLogs() {
		n += int64(len(scope.GetLogRecords()))
	}
	return n
}

func points(r *metrics.ResourceMetrics) (n int64) {
	for _, scope := range r.GetScopeMetrics() {
		for _, metric := range scope.GetMetrics() {
			switch data := metric.GetData().(type) {
			case *metrics.Metric_Gauge:
				n += int64(len(data.Gauge.GetDataPoints()))
			case *metrics.Metric_Sum:
				n += int64(len(data.Sum.GetDataPoints()))
			case *metrics.Metric_Histogram:
				n += int64(len(data.Histogram.GetDataPoints()))
			case *metrics.Metric_ExponentialHistogram:
				n += int64(len(data.ExponentialHistogram.GetDataPoints()))
			case *metrics.Metric_Summary:
				n += int64(len(data.Summary.GetDataPoints()))
			}
		}
	}
	return n
}
