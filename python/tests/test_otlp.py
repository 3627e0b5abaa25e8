"""OTLP over HTTP, in protobuf and in JSON."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from conftest import AUTH, CONFIG, Ingestor, config, ingestor

if TYPE_CHECKING:
    from pathlib import Path

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}

OTLP_CONFIG = CONFIG.replace("[rum-js]", "[iOS/swift, otlp]").replace("[my-frontend]", "[my-app, unknown]")


def resource(message: Any, service: str | None, sdk: str | None = None, language: str | None = None) -> None:
    names = {"service.name": service, "telemetry.sdk.name": sdk, "telemetry.sdk.language": language}
    for key, value in names.items():
        if value is not None:
            message.resource.attributes.add(key=key).value.string_value = value


def traces(*resources: tuple[Any, ...], spans: int = 2) -> ExportTraceServiceRequest:
    export = ExportTraceServiceRequest()
    for names in resources:
        group = export.resource_spans.add()
        resource(group, *names)
        scope = group.scope_spans.add()
        scope.scope.name = "my.instrumentation"
        for number in range(spans):
            scope.spans.add(trace_id=bytes(range(16)), span_id=number.to_bytes(8, "big"), name=f"span {number}")
    return export


async def test_spans_with_a_token_are_accepted_and_written(intake: Ingestor) -> None:
    export = traces(("shop", "opentelemetry", "python"))
    response = await intake.http.post("/v1/traces", content=export.SerializeToString(), headers={**AUTH, **PROTOBUF})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-protobuf"
    assert ExportTraceServiceResponse.FromString(response.content) == ExportTraceServiceResponse()
    first, second = intake.written()
    assert {key: first[key] for key in ("service", "agent", "protocol", "type", "method")} == {
        "service": "shop",
        "agent": "opentelemetry/python",
        "protocol": "otlp",
        "type": "span",
        "method": "secret_token",
    }
    assert first["event"]["scope"] == "my.instrumentation"
    assert first["event"]["traceId"] == "000102030405060708090a0b0c0d0e0f"
    assert second["event"]["spanId"] == "0000000000000001"


async def test_logs_and_data_points_are_the_events(intake: Ingestor) -> None:
    logs = ExportLogsServiceRequest()
    group = logs.resource_logs.add()
    resource(group, "shop")
    scope = group.scope_logs.add()
    for text in ("one", "two", "three"):
        scope.log_records.add().body.string_value = text
    response = await intake.http.post("/v1/logs", content=logs.SerializeToString(), headers={**AUTH, **PROTOBUF})
    assert response.status_code == 200

    metrics = ExportMetricsServiceRequest()
    points = metrics.resource_metrics.add()
    resource(points, "shop")
    metric_scope = points.scope_metrics.add()
    metric_scope.metrics.add(name="requests").sum.data_points.add(as_int=5)
    gauge = metric_scope.metrics.add(name="load", unit="1").gauge
    gauge.data_points.add(as_double=0.5)
    gauge.data_points.add(as_double=float("nan"))
    metric_scope.metrics.add(name="latency").histogram.data_points.add(count=3, sum=1.5)
    metric_scope.metrics.add(name="nothing")
    response = await intake.http.post("/v1/metrics", content=metrics.SerializeToString(), headers={**AUTH, **PROTOBUF})
    assert response.status_code == 200

    lines = intake.written()
    assert [line["type"] for line in lines] == ["log"] * 3 + ["metric"] * 4
    assert [line["event"]["name"] for line in lines[3:]] == ["requests", "load", "load", "latency"]
    assert lines[4]["event"]["point"] == {"asDouble": 0.5}
    assert {line["agent"] for line in lines} == {"otlp"}


async def test_json_is_answered_in_json_and_ids_are_hexadecimal(intake: Ingestor) -> None:
    export = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "5B8EFFF798038103D269B633813FC60C",
                                "spanId": "EEE19B7EC3C1B174",
                                "parentSpanId": "",
                                "name": "hello",
                                "kind": 2,
                                "startTimeUnixNano": "1544712660000000000",
                                "someFutureField": {"a": 1},
                            }
                        ]
                    }
                ],
            }
        ]
    }
    response = await intake.http.post("/v1/traces", json=export, headers=AUTH)
    assert (response.status_code, response.json()) == (200, {})
    assert response.headers["content-type"] == "application/json"
    (line,) = intake.written()
    assert line["event"]["traceId"] == "5b8efff798038103d269b633813fc60c"
    assert line["event"]["spanId"] == "eee19b7ec3c1b174"
    assert line["event"]["kind"] == "SPAN_KIND_SERVER"


async def test_the_ios_agent_arrives_this_way(tmp_path: Path) -> None:
    async with ingestor(OTLP_CONFIG, tmp_path) as intake:
        export = traces(("my-app", "iOS", "swift"))
        response = await intake.http.post("/v1/traces", content=export.SerializeToString(), headers=PROTOBUF)
        assert response.status_code == 200
        assert {line["agent"] for line in intake.written()} == {"iOS/swift"}


@pytest.mark.parametrize(
    ("names", "agent", "service"),
    [
        ((None, None, None), "otlp", "unknown"),
        (("a", "opentelemetry", None), "opentelemetry", "a"),
        (("a", None, "go"), "otlp/go", "a"),
        (("", "", ""), "otlp", "unknown"),
    ],
)
async def test_names_have_defaults(intake: Ingestor, names: tuple[Any, ...], agent: str, service: str) -> None:
    export = traces(names, spans=1)
    await intake.http.post("/v1/traces", content=export.SerializeToString(), headers={**AUTH, **PROTOBUF})
    (line,) = intake.written()
    assert (line["agent"], line["service"]) == (agent, service)


async def test_refused_resources_make_a_partial_success(tmp_path: Path) -> None:
    async with ingestor(OTLP_CONFIG, tmp_path) as intake:
        export = traces(("my-app", "iOS", "swift"), ("theirs", "iOS", "swift"), ("my-app", "android", "java"), spans=3)
        response = await intake.http.post("/v1/traces", content=export.SerializeToString(), headers=PROTOBUF)
        assert response.status_code == 200
        partial = ExportTraceServiceResponse.FromString(response.content).partial_success
        assert partial.rejected_spans == 6
        assert "theirs" in partial.error_message
        assert "android/java" in partial.error_message
        assert len(intake.written()) == 3
        in_json = await intake.http.post("/v1/traces", content=to_json(export), headers=JSON)
        assert in_json.json()["partialSuccess"]["rejectedSpans"] == "6"


def to_json(export: ExportTraceServiceRequest) -> str:
    """OTLP's JSON: as protobuf's, but ids in hexadecimal."""
    document = json.loads(MessageToJson(export))
    for group in document["resourceSpans"]:
        for span in group["scopeSpans"][0]["spans"]:
            span["traceId"], span["spanId"] = bytes(range(16)).hex(), bytes(8).hex()
    return json.dumps(document)


async def test_if_all_are_refused_that_is_the_answer(tmp_path: Path) -> None:
    async with ingestor(OTLP_CONFIG, tmp_path) as intake:
        export = traces(("theirs", "iOS", "swift"))
        response = await intake.http.post("/v1/traces", content=export.SerializeToString(), headers=PROTOBUF)
        assert response.status_code == 403
        status = Status.FromString(response.content)
        assert status.code == 7
        assert "theirs" in status.message
        in_json = await intake.http.post("/v1/traces", content=to_json(export), headers=JSON)
        assert in_json.json() == {"code": 7, "message": status.message}


async def test_the_rate_limit_counts_spans(tmp_path: Path) -> None:
    yaml = OTLP_CONFIG.replace("event_limit: 100", "event_limit: 10")
    async with ingestor(yaml, tmp_path) as intake:
        small = traces(("my-app", "iOS", "swift"), spans=20).SerializeToString()
        assert (await intake.http.post("/v1/traces", content=small, headers=PROTOBUF)).status_code == 200
        refused = await intake.http.post("/v1/traces", content=small, headers=PROTOBUF)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert Status.FromString(refused.content).code == 8
        assert len(intake.written()) == 20


async def test_all_resources_together_wait_a_second_at_most(tmp_path: Path) -> None:
    yaml = OTLP_CONFIG.replace("event_limit: 100", "event_limit: 10")
    async with ingestor(yaml, tmp_path) as intake:
        export = traces(*[("my-app", "iOS", "swift")] * 10, spans=9)
        response = await intake.http.post("/v1/traces", content=export.SerializeToString(), headers=PROTOBUF)
        assert response.status_code == 200
        rejected = ExportTraceServiceResponse.FromString(response.content).partial_success.rejected_spans
        # 29 at once and 10 more within the second: four resources of ten.
        assert rejected == 90 - len(intake.written()) == 54


async def test_more_than_the_burst_is_429_without_a_time(tmp_path: Path) -> None:
    yaml = OTLP_CONFIG.replace("event_limit: 100", "event_limit: 10")
    async with ingestor(yaml, tmp_path) as intake:
        large = traces(("my-app", "iOS", "swift"), spans=31).SerializeToString()
        response = await intake.http.post("/v1/traces", content=large, headers=PROTOBUF)
        assert response.status_code == 429
        assert "retry-after" not in response.headers


async def test_a_wrong_token_is_401_in_the_requests_own_language(intake: Ingestor) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    protobuf = await intake.http.post("/v1/traces", content=b"", headers={**wrong, **PROTOBUF})
    assert protobuf.status_code == 401
    assert Status.FromString(protobuf.content).code == 16
    assert "www-authenticate" in protobuf.headers
    in_json = await intake.http.post("/v1/traces", content=b"{}", headers={**wrong, **JSON})
    assert in_json.json()["code"] == 16


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics", "/v1/logs"])
async def test_an_empty_export_is_fine(intake: Ingestor, path: str) -> None:
    assert (await intake.http.post(path, content=b"", headers={**AUTH, **PROTOBUF})).status_code == 200
    assert (await intake.http.post(path, content=b"{}", headers={**AUTH, **JSON})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, b"\xff\xff garbage"),
        (PROTOBUF, b"\x0a\xff\xff\xff\xff\x0f"),
        (JSON, b""),
        (JSON, b"{"),
        (JSON, b"[]"),
        (JSON, b"5"),
        (JSON, b'{"resourceSpans": 5}'),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}'),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "00"}]}]}]}'),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": 1e400}]}]}]}'),
        (JSON, b'{"a": ' + b"[" * 100_000),
        (JSON, b'{"a": ' * 500 + b"1" + b"}" * 500),
        (JSON, b"\xff\xfe"),
    ],
)
async def test_what_cannot_be_decoded_is_400(intake: Ingestor, headers: dict[str, str], body: bytes) -> None:
    response = await intake.http.post("/v1/traces", content=body, headers={**AUTH, **headers})
    assert response.status_code == 400
    assert b"failed to unmarshal" in response.content


async def test_other_content_types_are_415(intake: Ingestor) -> None:
    for content_type in ("text/plain", "application/grpc", ""):
        response = await intake.http.post("/v1/traces", content=b"x", headers={**AUTH, "Content-Type": content_type})
        assert response.status_code == 415
        assert "application/x-protobuf" in response.json()["error"]


async def test_bodies_are_decompressed_and_bounded(intake: Ingestor) -> None:
    export = traces(("shop", None, None), spans=2000).SerializeToString()
    headers = {**AUTH, **PROTOBUF, "Content-Encoding": "gzip"}
    assert (await intake.http.post("/v1/traces", content=gzip.compress(export), headers=headers)).status_code == 200
    assert len(intake.written()) == 2000
    bomb = gzip.compress(b"\x0a" * 9 * 1024 * 1024)
    inflated = await intake.http.post("/v1/traces", content=bomb, headers=headers)
    assert inflated.status_code == 413
    too_large = await intake.http.post("/v1/traces", content=b"\x0a" * 9 * 1024 * 1024, headers={**AUTH, **PROTOBUF})
    assert too_large.status_code == 413
    assert b"too large" in too_large.content
    damaged = await intake.http.post("/v1/traces", content=b"no gzip", headers=headers)
    assert damaged.status_code == 400


async def test_responses_to_metrics_count_data_points(tmp_path: Path) -> None:
    async with ingestor(config(), tmp_path) as intake:
        metrics = ExportMetricsServiceRequest()
        points = metrics.resource_metrics.add()
        resource(points, "theirs")
        for number in range(4):
            points.scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=number)
        allowed = metrics.resource_metrics.add()
        resource(allowed, "my-frontend", "rum-js")
        allowed.scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
        response = await intake.http.post("/v1/metrics", content=metrics.SerializeToString(), headers=PROTOBUF)
        assert response.status_code == 200
        partial = ExportMetricsServiceResponse.FromString(response.content).partial_success
        assert partial.rejected_data_points == 4


@pytest.mark.parametrize("depth", [1, 21, 22, 30, 40, 46, 47, 48, 60, 1000])
@pytest.mark.parametrize("kind", ["array", "keys"])
async def test_what_is_nested_is_accepted_whole_or_refused_whole(intake: Ingestor, depth: int, kind: str) -> None:
    """Protobuf reads 100 messages in each other; deeper ones are refused before anything is accepted."""
    value = AnyValue(string_value="inmost").SerializeToString()
    for _ in range(depth):
        # A field by hand, for the library refuses to write what it would refuse to read.
        inner = field(1, value) if kind == "array" else field(1, field(1, b"key") + field(2, value))
        value = field(5 if kind == "array" else 6, inner)
    deep = field(1, field(2, field(2, field(5, value))))
    shallow = field(1, field(2, field(2, field(5, AnyValue(string_value="first").SerializeToString()))))
    response = await intake.http.post("/v1/logs", content=shallow + deep, headers={**AUTH, **PROTOBUF})
    assert response.status_code in (200, 400)
    assert len(intake.written()) == (2 if response.status_code == 200 else 0)
    if depth <= 30:
        assert response.status_code == 200
        assert "inmost" in json.dumps(intake.written()[1])
    if depth >= 60:
        assert response.status_code == 400


def field(number: int, data: bytes) -> bytes:
    """Return a field of protobuf's wire format that holds bytes."""
    length, size = b"", len(data)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


@pytest.mark.parametrize(
    "body",
    [
        rb'{"resourceLogs":[{"scopeLogs":[{"logRecords":["\ud800"]}]}]}',
        rb'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"\ud800"}}]}]}]}',
        rb'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"\ud800"}]}]}]}',
        rb'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"\ud800"}]}]}]}',
        rb'{"resourceLogs":["\ud800"]}',
        rb'{"resourceLogs":"\ud800"}',
    ],
)
async def test_an_unpaired_surrogate_is_400(intake: Ingestor, body: bytes) -> None:
    response = await intake.http.post("/v1/logs", content=body, headers={**AUTH, **JSON})
    assert response.status_code == 400
    assert response.json()["message"].startswith("failed to unmarshal request body")


@pytest.mark.parametrize(
    "body",
    [
        rb'{"\ud800":1}',
        rb'{"resourceLogs":[{"\ud800":{}}]}',
        rb'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"\ud800":{"\udfff":[]}}]}]}]}',
    ],
)
async def test_a_key_that_is_an_unpaired_surrogate_is_400_or_unknown(intake: Ingestor, body: bytes) -> None:
    response = await intake.http.post("/v1/logs", content=body, headers={**AUTH, **JSON})
    assert response.status_code in (200, 400)
