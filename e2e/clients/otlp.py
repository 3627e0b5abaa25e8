"""An OpenTelemetry application: the Python SDK with the OTLP/HTTP exporters, and a stand-in for the iOS agent.

Run as a process of its own; prints its `Outcome` as JSON:

    python -m e2e.clients.otlp --server http://127.0.0.1:8200 --service shop --token secret --events 20 [--as-ios]

What the exporters do on the wire (1.45): one `POST` each to `/v1/traces`, `/v1/logs` and `/v1/metrics`, `application/x-protobuf`,
gzip if asked for. The resource says `telemetry.sdk.name=opentelemetry` and `telemetry.sdk.language=python`, hence the agent name
`opentelemetry/python`. The iOS agent speaks the same protocol with `iOS` and `swift`, hence `iOS/swift`; `--as-ios` sends that
resource. 401 and 403 are final; 429, 502, 503 and 504 are tried again, after `Retry-After` where there is one.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from e2e.outcome import Outcome


class Exporter(Protocol):
    """What the exporters of the three signals have in common."""

    def __call__(
        self, endpoint: str, *, headers: dict[str, str], compression: Compression, session: requests.Session, timeout: float
    ) -> Any: ...


def run(server: str, service: str, token: str | None, events: int, as_ios: bool) -> Outcome:
    """Exports so many spans, log records and data points, each in one request, and returns what the exporters were told."""
    told = Outcome()

    def listen(response: requests.Response, *_: Any, **__: Any) -> None:
        rejected = _rejected(urlsplit(response.url).path, response.content) if response.ok else events
        told.add(events, events - rejected, response.status_code)

    session = requests.Session()
    session.trust_env = False  # no proxy of the environment's stands between
    session.hooks["response"].append(listen)
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def exporter(kind: Exporter, path: str) -> Any:
        return kind(server + path, headers=headers, compression=Compression.Gzip, session=session, timeout=10)

    resource = Resource.create({"service.name": service})
    if as_ios:
        resource = resource.merge(Resource({"telemetry.sdk.name": "iOS", "telemetry.sdk.language": "swift"}))
    _export_spans(resource, exporter(OTLPSpanExporter, "/v1/traces"), events)
    _export_logs(resource, exporter(OTLPLogExporter, "/v1/logs"), events)
    _export_points(resource, exporter(OTLPMetricExporter, "/v1/metrics"), events)
    return told


def _export_spans(resource: Resource, exporter: OTLPSpanExporter, spans: int) -> None:
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=spans + 1, max_export_batch_size=spans + 1))
    tracer = provider.get_tracer("demo")
    for number in range(spans):
        tracer.start_span(f"demo {number}").end()
    provider.shutdown()


def _export_logs(resource: Resource, exporter: OTLPLogExporter, records: int) -> None:
    provider = LoggerProvider(resource=resource)
    processor = BatchLogRecordProcessor(exporter, max_queue_size=records + 1, max_export_batch_size=records + 1)
    provider.add_log_record_processor(processor)
    logger = provider.get_logger("demo")
    for number in range(records):
        logger.emit(LogRecord(body=f"demo {number}", severity_number=SeverityNumber.INFO))
    provider.shutdown()


def _export_points(resource: Resource, exporter: OTLPMetricExporter, points: int) -> None:
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=600_000)
    provider = MeterProvider([reader], resource=resource)
    counter = provider.get_meter("demo").create_counter("demo")
    for number in range(points):
        counter.add(1, {"number": number})
    provider.shutdown()


def _rejected(path: str, content: bytes) -> int:
    """How many events a success leaves out, as its message says."""
    if path == "/v1/traces":
        return ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans
    if path == "/v1/logs":
        return ExportLogsServiceResponse.FromString(content).partial_success.rejected_log_records
    return ExportMetricsServiceResponse.FromString(content).partial_success.rejected_data_points


def main() -> None:
    """Command line: see the top of the file."""
    parser = argparse.ArgumentParser(description="Exports with the OpenTelemetry SDK and prints what it was told.")
    parser.add_argument("--server", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--token")
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--as-ios", action="store_true")
    told = run(**vars(parser.parse_args()))
    print(json.dumps(told.as_json()))


if __name__ == "__main__":
    main()
