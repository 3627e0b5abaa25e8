"""`/intake/…/events` in process: what is accepted, what is refused and how, and what bad input comes to."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from conftest import AUTH, CONFIG, METADATA, METADATA_V3, NDJSON, TOKEN, Ingestor, config, ingestor, ndjson, transaction
from tollbar.intake.body import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

V2 = "/intake/v2/events"
RUM_V2 = "/intake/v2/rum/events"
RUM_V3 = "/intake/v3/rum/events"


async def post(
    intake: Ingestor, content: bytes, *, path: str = V2, headers: dict[str, str] | None = None, auth: bool = True
) -> Any:
    return await intake.http.post(
        path, content=content, headers={**NDJSON, **(AUTH if auth else {}), **(headers or {})}
    )


async def test_events_with_a_token_are_accepted_and_written(intake: Ingestor) -> None:
    response = await post(intake, ndjson(METADATA, transaction(1), {"span": {"id": "2"}}, {"error": {"id": "3"}}))
    assert (response.status_code, response.content) == (202, b"")
    lines = intake.written()
    assert [line["type"] for line in lines] == ["transaction", "span", "error"]
    assert lines[0] == {
        "client": "198.51.100.7",
        "method": "secret_token",
        "service": "my-frontend",
        "agent": "rum-js",
        "protocol": "intake/v2",
        "type": "transaction",
        "event": transaction(1)["transaction"],
    }


async def test_verbose_says_how_many_were_accepted(intake: Ingestor) -> None:
    response = await post(intake, ndjson(METADATA, *map(transaction, range(25))), path=V2 + "?verbose")
    assert (response.status_code, response.json()) == (202, {"accepted": 25})
    assert len(intake.written()) == 25


async def test_all_event_types_of_v2(intake: Ingestor) -> None:
    events = [{kind: {"id": "1"}} for kind in ("transaction", "span", "error", "metricset", "log")]
    assert (await post(intake, ndjson(METADATA, *events))).status_code == 202
    assert [line["type"] for line in intake.written()] == ["transaction", "span", "error", "metricset", "log"]


async def test_a_rum_v3_transaction_counts_with_its_spans_and_metrics(intake: Ingestor) -> None:
    document = {"x": {"id": "1", "tid": "2", "y": [{"id": "3"}, {"id": "4"}], "me": [{"sa": {}}]}}
    response = await post(
        intake, ndjson(METADATA_V3, document, {"e": {"id": "5"}}), path=RUM_V3 + "?verbose", auth=False
    )
    assert (response.status_code, response.json()) == (202, {"accepted": 5})
    lines = intake.written()
    assert [line["type"] for line in lines] == ["transaction", "span", "span", "metricset", "error"]
    assert {line["method"] for line in lines} == {"anonymous"}
    assert lines[1]["event"] == {"id": "3", "trace_id": "2", "transaction_id": "1"}
    # One for the request and five for the events.
    assert 293 <= (intake.engine.authenticate(peer="198.51.100.7").admit(0).remaining or 0) <= 300


async def test_a_wrong_token_is_401_with_a_challenge(intake: Ingestor) -> None:
    response = await post(intake, ndjson(METADATA, transaction()), headers={"Authorization": "Bearer wrong"})
    assert response.status_code == 401
    assert "Bearer" in response.headers["www-authenticate"]
    assert response.json()["error"]
    assert intake.written() == []


async def test_only_the_first_authorization_counts(intake: Ingestor) -> None:
    headers = [("authorization", "Bearer wrong"), ("authorization", f"Bearer {TOKEN}"), *NDJSON.items()]
    response = await intake.http.post(V2, content=ndjson(METADATA, transaction()), headers=headers)
    assert response.status_code == 401


async def test_without_any_auth_everybody_gets_in(tmp_path: Path) -> None:
    async with ingestor("apm-server.rum.enabled: true", tmp_path) as intake:
        assert (await post(intake, ndjson(METADATA, transaction()), auth=False)).status_code == 202
        assert intake.written()[0]["method"] == "none"


async def test_an_anonymous_client_of_an_allowed_service_is_let_in(intake: Ingestor) -> None:
    for path in (V2, RUM_V2, RUM_V3):
        assert (await post(intake, ndjson(METADATA, transaction()), path=path, auth=False)).status_code == 202
    assert [line["method"] for line in intake.written()] == ["anonymous"] * 3


@pytest.mark.parametrize(
    ("service", "agent", "named"), [("their-frontend", "rum-js", "their-frontend"), ("my-frontend", "python", "python")]
)
async def test_a_service_or_agent_that_is_not_allowed_is_403_and_named(
    intake: Ingestor, service: str, agent: str, named: str
) -> None:
    metadata = {"metadata": {"service": {"name": service, "agent": {"name": agent}}}}
    response = await post(intake, ndjson(metadata, transaction()), path=RUM_V2, auth=False)
    assert response.status_code == 403
    assert response.json()["accepted"] == 0
    assert named in response.json()["errors"][0]["message"]
    assert intake.written() == []
    assert (await post(intake, ndjson(metadata, transaction()))).status_code == 202


@pytest.mark.parametrize(
    "event",
    [
        {"transaction": {"context": {"service": {"name": "theirs"}}}},
        {"span": {"context": {"service": {"name": "theirs"}}}},
        {"error": {"context": {"service": {"agent": {"name": "theirs"}}}}},
        {"metricset": {"service": {"name": "theirs"}}},
        {"log": {"service.name": "theirs"}},
        {"x": {"c": {"se": {"n": "theirs"}}}},
        {"x": {"y": [{"c": {"se": {"a": {"n": "theirs"}}}}]}},
        {"e": {"c": {"se": {"n": "theirs"}}}},
    ],
)
async def test_an_event_cannot_smuggle_in_another_service(intake: Ingestor, event: Any) -> None:
    response = await post(intake, ndjson(METADATA, transaction(), event), path=RUM_V2, auth=False)
    assert response.status_code == 403
    assert "theirs" in response.json()["errors"][0]["message"]
    assert (await post(intake, ndjson(METADATA, event))).status_code == 202


async def test_rum_routes_are_403_while_rum_is_disabled(tmp_path: Path) -> None:
    async with ingestor(config(rum=False), tmp_path) as intake:
        for path in (RUM_V2, RUM_V3):
            for auth in (True, False):
                response = await post(intake, ndjson(METADATA, transaction()), path=path, auth=auth)
                assert response.status_code == 403
                assert "rum.enabled" in response.json()["error"]
        assert (await post(intake, ndjson(METADATA, transaction()), auth=False)).status_code == 202


async def test_the_checks_come_in_order(tmp_path: Path) -> None:
    """401 before 429 before the closed RUM route before the body."""
    async with ingestor(config(event_limit=1, rum=False), tmp_path) as intake:
        garbage = b"\x00\x01"
        wrong = {"Authorization": "Bearer wrong"}
        assert (await post(intake, garbage, path=RUM_V2, headers=wrong, auth=False)).status_code == 401
        statuses = [(await post(intake, garbage, path=RUM_V2, auth=False)).status_code for _ in range(4)]
        assert statuses == [403, 403, 403, 429]
        assert (await post(intake, garbage, path=RUM_V2, headers=wrong, auth=False)).status_code == 401
        assert (await post(intake, garbage)).status_code == 400


async def test_a_request_that_finds_no_room_is_429_with_retry_after(tmp_path: Path) -> None:
    async with ingestor(config(event_limit=1), tmp_path) as intake:
        responses = [await post(intake, b"", auth=False) for _ in range(4)]
        assert [response.status_code for response in responses] == [202, 202, 202, 429]
        assert responses[-1].headers["retry-after"] == "1"
        assert responses[-1].json() == {"error": "rate limit exceeded"}


async def test_a_stream_cut_by_429_keeps_what_was_accepted_and_says_how_many(tmp_path: Path) -> None:
    async with ingestor(config(event_limit=5), tmp_path) as intake:
        # A burst of 15: 1 for the request, 10 for the first batch; the second would have to wait for 1.2 s.
        response = await post(intake, ndjson(METADATA, *map(transaction, range(100))), path=RUM_V2, auth=False)
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 1
        assert response.json() == {"accepted": 10, "errors": [{"message": "rate limit exceeded"}]}
        assert len(intake.written()) == 10


async def test_a_batch_waits_for_room_instead_of_being_refused(tmp_path: Path) -> None:
    async with ingestor(config(event_limit=20), tmp_path) as intake:
        response = await post(intake, ndjson(METADATA, *map(transaction, range(70))), auth=False, path=V2 + "?verbose")
        assert (response.status_code, response.json()) == (202, {"accepted": 70})


async def test_a_burst_smaller_than_a_batch_is_used_event_by_event(tmp_path: Path) -> None:
    async with ingestor(config(event_limit=1), tmp_path) as intake:
        # A burst of 3, 1 of it for the request: two events at once, the third waits for a second.
        body = ndjson(METADATA, *map(transaction, range(3)))
        response = await post(intake, body, path=V2 + "?verbose", auth=False)
        assert (response.status_code, response.json()) == (202, {"accepted": 3})


async def test_one_line_of_more_events_than_the_burst_is_429_without_a_time(tmp_path: Path) -> None:
    async with ingestor(config(event_limit=1), tmp_path) as intake:
        packed = {"x": {"id": "1", "y": [{"id": "2"}] * 10}}
        response = await post(intake, ndjson(METADATA_V3, packed), path=RUM_V3, auth=False)
        assert response.status_code == 429
        assert "retry-after" not in response.headers
        assert response.json()["accepted"] == 0


async def test_tokens_are_never_limited(tmp_path: Path) -> None:
    async with ingestor(config(event_limit=1), tmp_path) as intake:
        response = await post(intake, ndjson(METADATA, *map(transaction, range(500))), path=V2 + "?verbose")
        assert response.json() == {"accepted": 500}


async def test_every_client_behind_a_trusted_proxy_has_its_own_counter(tmp_path: Path) -> None:
    yaml = config(event_limit=1, extra="tollbar.trusted_proxies: [198.51.100.0/24]\n")
    async with ingestor(yaml, tmp_path) as intake:
        for client in ("203.0.113.1", "203.0.113.2"):
            statuses = [
                (await post(intake, b"", auth=False, headers={"X-Forwarded-For": client})).status_code for _ in range(4)
            ]
            assert statuses == [202, 202, 202, 429]


BODY = ndjson(METADATA, transaction(1), transaction(2))


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY[:50]) + gzip.compress(BODY[50:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compressobj(wbits=-15).compress(b"") + zlib.compress(BODY)[2:-4]),
        ("identity", BODY),
        ("", BODY),
        ("", gzip.compress(BODY)),
        ("", zlib.compress(BODY)),
    ],
    ids=["gzip", "gzip-members", "zlib", "raw-deflate", "identity", "none", "sniffed-gzip", "sniffed-zlib"],
)
@pytest.mark.parametrize("piece", [1, 7, 10_000])
async def test_bodies_are_decompressed(intake: Ingestor, encoding: str, content: bytes, piece: int) -> None:
    headers = {**NDJSON, **AUTH, **({"Content-Encoding": encoding} if encoding else {})}
    response = await intake.http.post(V2, content=pieces(content, piece), headers=headers)
    assert response.status_code == 202
    assert len(intake.written()) == 2


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize(
    ("encoding", "content", "message", "accepted"),
    [
        ("gzip", b"this is no gzip", "the gzip body is damaged", 0),
        ("gzip", gzip.compress(BODY)[:-8], "the gzip body is truncated", 2),
        ("gzip", gzip.compress(BODY)[:-12], "the gzip body is truncated", None),
        ("gzip", gzip.compress(BODY) + b"garbage", "the gzip body is damaged", 2),
        ("gzip", gzip.compress(BODY)[:-8] + b"\0" * 8, "the gzip body is damaged", None),
        ("deflate", zlib.compress(BODY)[:-1], "the deflate body is truncated", 2),
        ("deflate", zlib.compress(BODY) + b"x", "has data after its end", 2),
        ("deflate", b"\xff\xff\xff", "the deflate body is damaged", 0),
    ],
)
async def test_a_damaged_body_is_400_and_keeps_what_came_before(
    intake: Ingestor, encoding: str, content: bytes, message: str, accepted: int | None
) -> None:
    response = await post(intake, content, headers={"Content-Encoding": encoding})
    assert response.status_code == 400
    answer = response.json()
    assert message in answer["errors"][-1]["message"]
    assert accepted in (None, answer["accepted"])
    assert len(intake.written()) == answer["accepted"]


async def test_an_unknown_encoding_is_415(intake: Ingestor) -> None:
    response = await post(intake, BODY, headers={"Content-Encoding": "br"})
    assert response.status_code == 415
    assert "gzip, deflate and identity" in response.json()["errors"][0]["message"]


async def test_a_decompression_bomb_is_413(intake: Ingestor) -> None:
    response = await post(intake, gzip.compress(b"\n" * 40_000_000), headers={"Content-Encoding": "gzip"})
    assert response.status_code == 413
    assert "inflates" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n \n\n"])
async def test_an_empty_body_is_accepted(intake: Ingestor, content: bytes) -> None:
    response = await post(intake, content, path=V2 + "?verbose")
    assert (response.status_code, response.json()) == (202, {"accepted": 0})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "invalid JSON"),
        (b"\x00\xff\xfe garbage", "invalid UTF-8"),
        (b'{"transaction": {}}', '"metadata" or "m" required'),
        (b"[1]", "a JSON object"),
        (b"{}", "a JSON object"),
        (b'"metadata"', "a JSON object"),
        (b'{"metadata": 5}', "must be a JSON object"),
        (b'{"metadata": {}}', "'metadata.service' must be an object"),
        (b'{"metadata": {"service": {"name": "a"}}}', "'metadata.service.agent' must be an object"),
        (b'{"metadata": {"service": {"name": "", "agent": {"name": "b"}}}}', "'metadata.service.name'"),
        (b'{"metadata": {"service": {"name": 7, "agent": {"name": "b"}}}}', "'metadata.service.name'"),
        (b'{"m": {"se": {"n": "a", "a": {}}}}', "'m.se.a.n'"),
        (b'{"metadata": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"metadata": NaN}', "NaN is no JSON"),
        (b" " * 10 + b"x" * MAX_EVENT_BYTES, "event exceeded the permitted size"),
    ],
)
async def test_without_metadata_the_stream_is_400(intake: Ingestor, line: bytes, message: str) -> None:
    response = await post(intake, line + b"\n" + ndjson(transaction()))
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["message"].startswith("cannot read metadata in stream: ")
    assert message in error["message"]
    assert intake.written() == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "invalid JSON"),
        (b"not json", "invalid JSON"),
        (b"\x80", "invalid UTF-8 at byte 1"),
        (b'{"profile": {}}', 'did not recognize object type: "profile"'),
        (b'{"metadata": {}}', 'did not recognize object type: "metadata"'),
        (b'{"transaction": []}', '"transaction" must be a JSON object'),
        (b'{"transaction": {"duration": 1e999}}', "out of range"),
        (b'{"transaction": {"duration": Infinity}}', "Infinity is no JSON"),
        (b'{"transaction": {"a": ' + b"9" * 5000 + b"}}", "invalid JSON"),
        (b'{"transaction": {"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"x": {"y": {}}}', "'y' must be a list of objects"),
        (b'{"x": {"me": [1]}}', "'me' must be a list of objects"),
    ],
)
async def test_an_invalid_event_is_named_and_the_others_are_accepted(
    intake: Ingestor, line: bytes, message: str
) -> None:
    response = await post(intake, ndjson(METADATA, transaction(1)) + line + b"\n" + ndjson(transaction(2)))
    assert response.status_code == 400
    answer = response.json()
    assert answer["accepted"] == 2
    (error,) = answer["errors"]
    assert message in error["message"]
    assert len(error.get("document", "")) <= 256
    assert len(intake.written()) == 2


def padded(size: int) -> bytes:
    event = b'{"transaction": {"id": "1", "p": "%s"}}'
    return event % (b"x" * (size - len(event) + 2))


async def test_an_event_of_300_kib_is_accepted(intake: Ingestor) -> None:
    line = padded(MAX_EVENT_BYTES)
    assert len(line) == 307_200
    assert (await post(intake, ndjson(METADATA) + line + b"\n")).status_code == 202
    assert len(intake.written()) == 1


@pytest.mark.parametrize("more", [1, 100_000, 20_000_000])
async def test_a_larger_event_is_refused_by_name_and_skipped(intake: Ingestor, more: int) -> None:
    body = ndjson(METADATA, transaction(1)) + padded(MAX_EVENT_BYTES + more) + b"\n" + ndjson(transaction(2))
    response = await post(intake, body)
    assert response.status_code == 400
    answer = response.json()
    assert answer["accepted"] == 2
    assert answer["errors"][0]["message"] == "event exceeded the permitted size of 307200 bytes"
    assert answer["errors"][0]["document"].startswith('{"transaction": {"id": "1"')
    assert [line["event"]["id"] for line in intake.written()] == [f"{1:016x}", f"{2:016x}"]


async def test_many_invalid_events_do_not_make_a_huge_answer(intake: Ingestor) -> None:
    response = await post(intake, ndjson(METADATA) + b"nonsense\n" * 900 + ndjson(transaction()))
    assert response.status_code == 400
    assert response.json()["accepted"] == 1
    assert len(response.json()["errors"]) == 5


async def test_a_stream_of_invalid_events_is_cut(intake: Ingestor) -> None:
    response = await post(intake, ndjson(METADATA, transaction(1)) + b"{}\n" * 2000 + ndjson(transaction(2)))
    assert response.status_code == 400
    assert response.json()["accepted"] == 1
    assert response.json()["errors"][-1] == {"message": "more than 1000 events are invalid"}


async def test_half_a_surrogate_pair_in_a_name_is_refused_like_any_other_name(intake: Ingestor) -> None:
    line = rb'{"metadata": {"service": {"name": "\ud800", "agent": {"name": "rum-js"}}}}' + b"\n"
    assert (await post(intake, line + ndjson(transaction()), auth=False)).status_code == 403


async def test_a_last_line_without_a_newline_counts(intake: Ingestor) -> None:
    assert (await post(intake, ndjson(METADATA, transaction())[:-1])).status_code == 202
    assert len(intake.written()) == 1


async def test_windows_line_ends_are_fine(intake: Ingestor) -> None:
    assert (await post(intake, ndjson(METADATA, transaction()).replace(b"\n", b"\r\n"))).status_code == 202
    assert len(intake.written()) == 1


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/x-ndjson", 202),
        ("application/x-ndjson; charset=utf-8", 202),
        ("application/json", 400),
        ("text/plain", 400),
    ],
)
async def test_the_content_type_is_ndjson(intake: Ingestor, content_type: str, status: int) -> None:
    response = await intake.http.post(V2, content=BODY, headers={**AUTH, "Content-Type": content_type})
    assert response.status_code == status
    if status == 400:
        assert content_type in response.json()["errors"][0]["message"]


async def test_a_content_type_may_be_missing(intake: Ingestor) -> None:
    assert (await intake.http.post(V2, content=BODY, headers=AUTH)).status_code == 202


async def call(intake: Ingestor, messages: list[dict[str, Any]], path: str = V2) -> list[dict[str, Any]]:
    """Speak ASGI directly."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("intake", 80),
        "client": None,
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
    }

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    transport: Any = intake.http._transport
    await transport.app(scope, receive, send)
    return sent


async def test_a_client_that_goes_away_leaves_what_was_accepted(intake: Ingestor) -> None:
    await call(
        intake,
        [
            {"type": "http.request", "body": BODY + b'{"transaction": {"id"', "more_body": True},
            {"type": "http.disconnect"},
        ],
    )
    assert len(intake.written()) == 2


async def test_a_unix_socket_counts_as_this_machine(intake: Ingestor) -> None:
    sent = await call(intake, [{"type": "http.request", "body": BODY, "more_body": False}])
    assert sent[0]["status"] == 202
    assert intake.written()[0]["client"] == "127.0.0.1"


async def test_a_body_that_stalls_is_408_and_keeps_what_was_accepted(tmp_path: Path) -> None:
    import asyncio

    async def stalling() -> AsyncIterator[bytes]:
        yield BODY
        await asyncio.sleep(30)

    async with ingestor(CONFIG, tmp_path, idle_timeout=0.2) as intake:
        response = await intake.http.post(V2, content=stalling(), headers={**AUTH, **NDJSON})
        assert response.status_code == 408
        assert response.json()["accepted"] == 2
        assert "nothing was sent for 0.2 s" in response.json()["errors"][0]["message"]


async def test_what_cannot_be_written_is_not_accepted(tmp_path: Path) -> None:
    import httpx

    from tollbar import Engine
    from tollbar.intake import create_app
    from tollbar.intake.output import Output

    output = Output("/dev/full")
    app = create_app(Engine.from_str(CONFIG), output)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://intake") as http:
        response = await http.post(V2, content=BODY, headers={**AUTH, **NDJSON})
    assert response.status_code == 503
    assert response.json()["accepted"] == 0
    assert "cannot write the output" in response.json()["errors"][0]["message"]
    await output.close()


async def test_lines_are_whole_when_streams_write_at_once(intake: Ingestor) -> None:
    import asyncio

    bodies = [ndjson(METADATA, *map(transaction, range(50))) for _ in range(20)]
    responses = await asyncio.gather(*(post(intake, body) for body in bodies))
    assert {response.status_code for response in responses} == {202}
    assert len(intake.written()) == 1000


async def test_written_events_are_json_that_every_parser_reads(intake: Ingestor) -> None:
    line = b'{"transaction": {"a": "\\ud800", "b": "\\u2028", "a": "twice", "n": 1e3}}\n'
    assert (await post(intake, ndjson(METADATA) + line)).status_code == 202
    (written,) = intake.written()
    assert json.dumps(written["event"]) == '{"a": "twice", "b": "\\u2028", "n": 1000.0}'
