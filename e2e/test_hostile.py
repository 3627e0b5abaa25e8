"""What no agent sends, over real sockets: garbage, damage, excess. It is refused, the rest is served, and nothing crashes.

The C server runs with sanitizers here, so a read or write out of bounds ends it. The expectations hold for every ingestor.
"""

from __future__ import annotations

import gzip
import http.client
import json
import random
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from e2e.scenario import TOKEN, configuration
from e2e.server import INGESTORS, C, Server

NDJSON, PROTOBUF = "application/x-ndjson", "application/x-protobuf"
MAX_EVENT_BYTES = 300 * 1024
MIB = 1024 * 1024


def line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def metadata(service: str = "hostile", agent: str = "rum-js") -> bytes:
    return line({"metadata": {"service": {"name": service, "agent": {"name": agent}}}})


EVENT = line({"transaction": {"id": "1"}})
GOOD = metadata() + EVENT * 2


@pytest.fixture(scope="module", params=INGESTORS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(INGESTORS[request.param], configuration(tokens=[TOKEN], services=["allowed"])) as running:
        yield running
    assert not running.complaints


def ask(
    server: Server, path: str, body: bytes, headers: dict[str, str] | None = None, *, token: bool = True, method: str = "POST"
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        credential = {"Authorization": f"Bearer {TOKEN}"} if token else {}
        connection.request(method, path, body, {"Content-Type": NDJSON, **credential, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def stream(server: Server, body: bytes, **headers: str) -> tuple[int, int]:
    """Sends a stream; returns the status, and how many events were accepted."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    status, text = ask(server, "/intake/v2/events?verbose", body, fields)
    return status, json.loads(text)["accepted"]


STREAMS: dict[str, tuple[bytes, dict[str, str], tuple[int, int]]] = {
    "nothing": (b"", {}, (202, 0)),
    "nothing, said to be gzip": (b"", {"Content_Encoding": "gzip"}, (202, 0)),
    "blank lines": (b"\n \n\r\n" + GOOD + b"\n\n", {}, (202, 2)),
    "metadata alone": (metadata(), {}, (202, 0)),
    "no last newline": (GOOD[:-1], {}, (202, 2)),
    "gzip": (gzip.compress(GOOD), {"Content_Encoding": "gzip"}, (202, 2)),
    "gzip that nothing announces": (gzip.compress(GOOD), {}, (202, 2)),
    "gzip in two members": (gzip.compress(GOOD) + gzip.compress(EVENT), {"Content_Encoding": "gzip"}, (202, 3)),
    "zlib": (zlib.compress(GOOD), {"Content_Encoding": "deflate"}, (202, 2)),
    "raw deflate": (zlib.compress(GOOD, wbits=-15), {"Content_Encoding": "deflate"}, (202, 2)),
    "a gzip without its end": (gzip.compress(GOOD)[:-8], {"Content_Encoding": "gzip"}, (400, 2)),
    "less than a gzip's head": (b"\x1f", {"Content_Encoding": "gzip"}, (400, 0)),
    "what is no gzip": (GOOD, {"Content_Encoding": "gzip"}, (400, 0)),
    "a gzip and garbage": (gzip.compress(GOOD) + b"garbage", {"Content_Encoding": "gzip"}, (400, 2)),
    "a deflate and garbage": (zlib.compress(GOOD) + b"garbage", {"Content_Encoding": "deflate"}, (400, 2)),
    "an unknown encoding": (GOOD, {"Content_Encoding": "br"}, (415, 0)),
    "a bomb": (gzip.compress(metadata() + b"\n" * (64 * MIB)), {"Content_Encoding": "gzip"}, (413, 0)),
    "another content type": (GOOD, {"Content_Type": "text/plain"}, (400, 0)),
    "a line as long as may be": (GOOD + b'{"log":{"a":"' + b"x" * (MAX_EVENT_BYTES - 16) + b'"}}\n', {}, (202, 3)),
    "a longer one": (GOOD + b'{"log":{"a":"' + b"x" * (MAX_EVENT_BYTES - 15) + b'"}}\n' + EVENT, {}, (400, 3)),
    "a very long one": (GOOD + b"x" * (8 * MIB) + b"\n" + EVENT, {}, (400, 3)),
    "long metadata": (b"x" * (MAX_EVENT_BYTES + 1) + b"\n" + EVENT, {}, (400, 0)),
    "no metadata": (EVENT, {}, (400, 0)),
    "metadata of other types": (line({"metadata": {"service": [{"name": "a"}]}}) + EVENT, {}, (400, 0)),
    "names of other types": (line({"metadata": {"service": {"name": 1, "agent": {"name": []}}}}) + EVENT, {}, (400, 0)),
    "a name that is not UTF-8": (metadata().replace(b"hostile", b"h\xffstile") + EVENT, {}, (400, 0)),
    "events that are not UTF-8": (GOOD + b'{"log": {"a": "\xc3\x28"}}\n' + EVENT, {}, (400, 3)),
    "events that are not JSON": (GOOD + b'{\nnull\n[]\n1\n{}\n"\n' + b'{"log": 1}\n{"other": {}}\n' + EVENT, {}, (400, 3)),
    "numbers out of range": (GOOD + b'{"log": {"n": 1e999}}\n' + EVENT, {}, (400, 3)),
    "integers beyond 64 bits": (GOOD + b'{"log": {"n": 123456789012345678901234567890}}\n', {}, (202, 3)),
    "half a surrogate pair": (GOOD + b'{"log": {"a": "\\ud83d", "b": "\\\\ud83d"}}\n', {}, (202, 3)),
    "a NUL in a text": (GOOD + b'{"log": {"a": "\\u0000"}}\n', {}, (202, 3)),
    "deep nesting": (GOOD + b'{"log": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}\n" + EVENT, {}, (400, 3)),
    "only invalid events": (metadata() + b"{}\n" * 5000 + EVENT, {}, (400, 0)),
    "many empty values": (GOOD + b'{"log": {"a": [' + b"{}," * 90_000 + b"{}]}}\n", {}, (202, 3)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_keeps_what_is_good_of_it(server: Server, name: str) -> None:
    body, headers, expected = STREAMS[name]
    assert stream(server, body, **headers) == expected


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_refused_and_crash_nothing(server: Server, seed: int) -> None:
    chance = random.Random(seed)
    noise = chance.randbytes(chance.randrange(1, 100_000))
    for encoding in ("", "gzip", "deflate"):
        assert stream(server, noise, Content_Encoding=encoding)[0] == 400
    damaged = bytearray(gzip.compress(GOOD * 50))
    damaged[chance.randrange(10, len(damaged))] ^= 1 << chance.randrange(8)
    assert stream(server, bytes(damaged), Content_Encoding="gzip")[0] in (400, 413)
    for path in ("/v1/traces", "/v1/metrics", "/v1/logs"):
        assert ask(server, path, noise, {"Content-Type": PROTOBUF})[0] == 400


@pytest.mark.parametrize("name", ["allowed\0", "\0allowed", "allowed ", "Allowed", "allowed\ud800", "x" * 100_000, "*"])
def test_no_spelling_of_a_name_passes_for_another(server: Server, name: str) -> None:
    body = line({"metadata": {"service": {"name": name, "agent": {"name": "rum-js"}}}}) + EVENT
    assert ask(server, "/intake/v2/rum/events", body, token=False)[0] == 403
    if "\ud800" not in name:
        body = otlp(name).SerializeToString()
        assert ask(server, "/v1/traces", body, {"Content-Type": PROTOBUF}, token=False)[0] == 403
    # The allowed name, by the same ways.
    assert ask(server, "/intake/v2/rum/events", metadata("allowed") + EVENT, token=False)[0] == 202
    assert ask(server, "/v1/traces", otlp("allowed").SerializeToString(), {"Content-Type": PROTOBUF}, token=False)[0] == 200


def otlp(service: str) -> ExportTraceServiceRequest:
    """One span of an iOS application."""
    export = ExportTraceServiceRequest()
    group = export.resource_spans.add()
    names = {"service.name": service, "telemetry.sdk.name": "iOS", "telemetry.sdk.language": "swift"}
    for key, value in names.items():
        group.resource.attributes.add(key=key).value.string_value = value
    group.scope_spans.add().spans.add(name="one", trace_id=b"1" * 16, span_id=b"1" * 8)
    return export


def test_otlp_that_is_cut_or_too_large_is_refused_whole(server: Server) -> None:
    whole = otlp("allowed").SerializeToString()
    headers = {"Content-Type": PROTOBUF}
    assert ask(server, "/v1/traces", whole, headers)[0] == 200
    assert ask(server, "/v1/traces", whole[:-1], headers)[0] == 400
    assert ask(server, "/v1/traces", whole.replace(b"allowed", b"all\xffwed"), headers)[0] == 400
    assert ask(server, "/v1/traces", gzip.compress(whole)[:-9], {**headers, "Content-Encoding": "gzip"})[0] == 400
    assert ask(server, "/v1/traces", whole + b"\0" * (9 * MIB), headers)[0] == 413
    assert ask(server, "/v1/traces", b"", headers)[0] == 200
    # Two bytes on the wire, many in memory: served, or refused for want of it.
    assert ask(server, "/v1/traces", b"\x0a\x00" * 500_000, headers)[0] in (200, 503)
    assert ask(server, "/v1/traces", whole, {"Content-Type": "text/plain"})[0] == 415


def test_resources_that_may_not_send_are_left_out_and_counted(server: Server) -> None:
    export = otlp("allowed")
    export.MergeFrom(otlp("other"))
    export.MergeFrom(otlp("other"))
    export.resource_spans[2].scope_spans[0].spans.add(name="two")
    status, body = ask(server, "/v1/traces", export.SerializeToString(), {"Content-Type": PROTOBUF}, token=False)
    partial = ExportTraceServiceResponse.FromString(body).partial_success
    assert (status, partial.rejected_spans) == (200, 3)
    assert "other" in partial.error_message
    status, body = ask(server, "/v1/traces", otlp("other").SerializeToString(), {"Content-Type": PROTOBUF}, token=False)
    assert (status, Status.FromString(body).code) == (403, 7)


def test_a_refused_client_that_sends_on_is_told_and_may_ask_again(server: Server) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    large = line({"log": {"message": "x" * 200_000}})
    for token, status in [("wrong", 401), (TOKEN, 202), ("wrong", 401), (TOKEN, 202)]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": NDJSON}
        connection.request("POST", "/intake/v2/events", GOOD + large * 20, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def test_configuration_queries_are_bounded(server: Server) -> None:
    path = "/config/v1/agents"
    assert ask(server, path, b'{"service": {"name": "a"}}')[0] == 200
    for body in (b"", b"{", b"[]", b'{"service": 1}', b'{"service": {"name": ""}}', b"\xff", b"[" * 60_000):
        assert ask(server, path, body)[0] == 400
    assert ask(server, path, b" " * (65 * 1024))[0] == 413
    assert ask(server, path, b"", method="GET")[0] == 400
    assert ask(server, path + "?service.name=a", b"", method="GET")[0] == 200
    assert ask(server, path + "?service.name=allowed%00", b"", method="GET", token=False)[0] == 403
    assert ask(server, path + "?service.name=allowed%ff", b"", method="GET", token=False)[0] in (400, 403)


def test_uploads_of_source_maps_are_read_to_their_end(server: Server) -> None:
    path, boundary = "/assets/v1/sourcemaps", "a-boundary"
    fields = {"bundle_filepath": "/b.js", "service_name": "a", "service_version": "1", "sourcemap": "{}" * 100_000}
    form = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items())
    whole = f"{form}--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert ask(server, path, whole, headers)[0] == 202
    assert ask(server, path, gzip.compress(whole), {**headers, "Content-Encoding": "gzip"})[0] == 202
    assert ask(server, path, whole, headers, token=False)[0] == 403
    for body in (b"", whole[:-100_000], whole.replace(b"service_version", b"other"), b"garbage" * 1000):
        assert ask(server, path, body, headers)[0] == 400
    assert ask(server, path, whole, {"Content-Type": "multipart/form-data"})[0] == 400
    assert ask(server, path, whole.replace(boundary.encode(), b"x" * 5000), headers)[0] == 400


HEADS = [
    b"\0" * 1000,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\r\n\r\n",
    b"POST /intake/v2/events HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /intake/v2/events HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST /intake/v2/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /intake/v2/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /" + b"x" * (MIB) + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"y" * MIB + b"\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
]


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_a_head_that_is_none_is_refused_or_dropped(server: Server, head: bytes) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as raw:
        try:
            raw.sendall(head)
            raw.shutdown(socket.SHUT_WR)
            answer = raw.recv(4096)
        except OSError:
            answer = b""  # it did not want to read all that, and hung up
    assert answer == b"" or 400 <= int(answer.split()[1]) < 600 or b" 200 " in answer.splitlines()[0]
    assert stream(server, GOOD) == (202, 2)


def test_a_client_that_breaks_off_leaves_what_was_complete() -> None:
    """Nothing complete is held back while the client is waited for, so it is there though the request never ends."""
    for ingestor in INGESTORS.values():
        with Server(ingestor, configuration(tokens=[TOKEN])) as server:
            address = urlsplit(server.url)
            fields = f"Host: a\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n"
            head = f"POST /intake/v2/events HTTP/1.1\r\n{fields}\r\n"
            body = metadata("broken-off") + EVENT * 12 + EVENT[:5]
            with socket.create_connection((address.hostname, address.port), timeout=30) as raw:
                raw.sendall(head.encode() + f"{len(body):x}\r\n".encode() + body + b"\r\n")
                while server.written_so_far() < 12:
                    threading.Event().wait(0.01)
        assert server.written() == {"broken-off": 12}
        assert not server.complaints


def test_a_head_that_trickles_in_is_not_waited_for_for_ever() -> None:
    """The reference ingestor has a fixed time for it, and a test of its own."""
    with Server(C, configuration(tokens=[TOKEN]), "--idle-timeout", "1") as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=0.05) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nX: ")
            ended = False
            while not ended:
                try:
                    raw.sendall(b"y")
                    ended = raw.recv(100) == b""
                except TimeoutError:
                    pass
                except ConnectionError:
                    ended = True
        assert stream(server, GOOD) == (202, 2)
    assert not server.complaints


def test_connections_beyond_the_limit_are_not_served_until_one_ends() -> None:
    """The reference ingestor answers them 503; libmicrohttpd closes them, or lets them wait."""
    with Server(C, configuration(tokens=[TOKEN]), "--max-connections", "2") as server:
        address = (urlsplit(server.url).hostname, urlsplit(server.url).port)

        def served(connection: socket.socket) -> bool:
            connection.settimeout(0.2)
            try:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                return connection.recv(100).startswith(b"HTTP/1.1 200")
            except OSError:
                return False

        def one_more() -> bool:
            with socket.create_connection(address, timeout=30) as another:
                return served(another)

        def keep_one(kept: ExitStack) -> socket.socket:
            while True:  # the connection that asked whether the server runs may not have ended yet
                connection = socket.create_connection(address, timeout=30)
                if served(connection):
                    return kept.enter_context(connection)
                connection.close()

        with ExitStack() as kept:
            first, _ = keep_one(kept), keep_one(kept)
            assert not one_more()
            first.close()
            while not one_more():
                pass
    assert not server.complaints


class _Elasticsearch(ThreadingHTTPServer):
    """Knows no key, and says so once it `may_answer`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refusing)
        self.asked, self.may_answer = threading.Event(), threading.Event()


class _Refusing(BaseHTTPRequestHandler):
    server: _Elasticsearch

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.set()
        self.server.may_answer.wait(30)
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize("ingestor", INGESTORS)
def test_a_key_that_is_being_verified_holds_up_nobody_else(ingestor: str) -> None:
    with _Elasticsearch() as elasticsearch:
        threading.Thread(target=elasticsearch.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{elasticsearch.server_address[1]}"
        config = json.loads(configuration(tokens=[TOKEN]))
        config["apm-server"]["auth"]["api_key"] = {"enabled": True, "elasticsearch": {"hosts": [url], "timeout": "20s"}}
        statuses: list[int] = []
        with Server(INGESTORS[ingestor], json.dumps(config)) as server:
            key = {"Authorization": "ApiKey aWQ6a2V5"}
            waiting = threading.Thread(
                target=lambda: statuses.append(ask(server, "/intake/v2/events", GOOD, key, token=False)[0])
            )
            waiting.start()
            assert elasticsearch.asked.wait(20)
            for _ in range(20):
                assert stream(server, GOOD) == (202, 2)
            assert statuses == [], "the key's request is still waiting"
            elasticsearch.may_answer.set()
            waiting.join()
        elasticsearch.shutdown()
    assert statuses == [401]
    assert not server.complaints


@pytest.mark.parametrize("ingestor", INGESTORS)
def test_pages_of_other_origins_are_turned_away(ingestor: str) -> None:
    rules = {"allow_origins": ["https://*.shop.example"], "allow_headers": ["X-Trace", "X-More"]}
    config = json.loads(configuration(tokens=[TOKEN], services=["allowed"]))
    config["apm-server"]["rum"] |= rules
    body = metadata("allowed") + EVENT
    with Server(INGESTORS[ingestor], json.dumps(config)) as server:
        url = urlsplit(server.url).netloc

        def exchange(method: str, origin: str | None) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(url, timeout=30)
            try:
                headers = {"Content-Type": NDJSON, **({"Origin": origin} if origin else {})}
                connection.request(method, "/intake/v2/rum/events", body if method == "POST" else None, headers)
                answer = connection.getresponse()
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            finally:
                connection.close()

        ours, theirs, shown = "https://www.shop.example", "https://evil.example", "access-control-allow-origin"
        status, headers, _ = exchange("OPTIONS", ours)
        assert (status, headers[shown], headers["vary"]) == (200, ours, "Origin")
        assert headers["access-control-allow-headers"].endswith("If-None-Match, X-Trace, X-More")
        status, headers, _ = exchange("OPTIONS", theirs)
        assert status == 200
        assert shown not in headers
        for origin in (theirs, None):
            status, headers, text = exchange("POST", origin)
            assert (status, shown in headers) == (403, False)
            assert json.loads(text) == {"error": f"forbidden request: origin: '{origin or ''}' is not allowed"}
        status, headers, _ = exchange("POST", ours)
        assert (status, headers[shown]) == (202, ours)
    assert server.written() == {"allowed": 1}
