"""An OpenTelemetry application: the Python SDK with the OTLP/HTTP exporter, and a stand-in for the iOS agent.

Run as a process of its own; prints its `Outcome` as JSON:

    python -m e2e.clients.otlp --server http://127.0.0.1:8200 --service shop --token secret --spans 20 [--as-ios]

What the exporter does on the wire (1.45): `POST /v1/traces`, `application/x-protobuf`, gzip if asked for. Its resource says
`telemetry.sdk.name=opentelemetry`, `telemetry.sdk.language=python`, hence the agent name `opentelemetry/python`. The iOS agent is
the same protocol with `iOS` and `swift`, hence `iOS/swift`; `--as-ios` sends that resource. It takes 401, 403 as final and
retries 429 and 503.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from e2e.outcome import Outcome


def run(server: str, service: str, token: str | None, spans: int, as_ios: bool) -> Outcome:
    """Exports `spans` spans in one batch and returns what the exporter was told."""
    told = Outcome()

    def listen(response: requests.Response, *_: Any, **__: Any) -> None:
        if not response.ok:
            told.add(spans, 0, response.status_code)
            return
        answer = ExportTraceServiceResponse.FromString(response.content)
        told.add(spans, spans - answer.partial_success.rejected_spans, response.status_code)

    session = requests.Session()
    session.trust_env = False  # no proxy of the environment's stands between
    session.hooks["response"].append(listen)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    exporter = OTLPSpanExporter(f"{server}/v1/traces", headers=headers, compression=Compression.Gzip, session=session, timeout=10)
    resource = Resource.create({"service.name": service})
    if as_ios:
        resource = resource.merge(Resource({"telemetry.sdk.name": "iOS", "telemetry.sdk.language": "swift"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=spans + 1, max_export_batch_size=spans + 1))
    tracer = provider.get_tracer("demo")
    for number in range(spans):
        tracer.start_span(f"demo {number}").end()
    provider.shutdown()
    return told


def main() -> None:
    """Command line: see the top of the file."""
    parser = argparse.ArgumentParser(description="Exports spans with the OpenTelemetry SDK and prints what it was told.")
    parser.add_argument("--server", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--token")
    parser.add_argument("--spans", type=int, default=20)
    parser.add_argument("--as-ios", action="store_true")
    options = parser.parse_args()
    told = run(options.server, options.service, options.token, options.spans, options.as_ios)
    print(json.dumps(told.as_json()))


if __name__ == "__main__":
    main()
