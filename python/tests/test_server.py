"""The server as a process: command line, signals, reload, drain, real sockets and a real clock."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from conftest import AUTH, CONFIG, METADATA, NDJSON, TOKEN, Server, Servers, config, ndjson, transaction
from tollbar.intake import reload
from tollbar.intake.reload import Reloader

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/intake/v2/events"
BODY = ndjson(METADATA, transaction(1))


def post(server: Server, body: bytes = BODY, headers: dict[str, str] | None = None, path: str = PATH) -> httpx.Response:
    return httpx.post(server.url + path, content=body, headers=NDJSON | (AUTH if headers is None else headers))


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tollbar.intake", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_events_are_accepted_over_a_real_socket(servers: Servers) -> None:
    server = servers.start()
    assert post(server).status_code == 202
    assert post(server, headers={}).status_code == 202
    assert post(server, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert [line["method"] for line in server.written()] == ["secret_token", "anonymous"]
    assert {line["client"] for line in server.written()} == {"127.0.0.1"}
    assert server.stop() == 0


def test_forwarding_headers_are_judged_by_the_engine_alone(servers: Servers) -> None:
    server = servers.start()
    assert post(server, headers={"X-Forwarded-For": "203.0.113.9", **AUTH}).status_code == 202
    assert server.written()[0]["client"] == "127.0.0.1"
    server.config.write_text(config(extra="tollbar.trusted_proxies: [127.0.0.1/32]\n"))
    server.wait_for_log("configuration 2 is in force")
    assert post(server, headers={"X-Forwarded-For": "203.0.113.9", **AUTH}).status_code == 202
    assert server.written()[1]["client"] == "203.0.113.9"


def test_standard_output_holds_events_only(tmp_path: Path) -> None:
    file = tmp_path / "tollbar.yml"
    file.write_text(CONFIG)
    with subprocess.Popen(
        [sys.executable, "-m", "tollbar.intake", "--config", file, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        url = ""
        while "listening on" not in url:
            url = process.stderr.readline()
        url = url.split("listening on ")[1].strip()
        response = httpx.post(url + PATH, content=BODY, headers=AUTH | NDJSON)
        assert response.status_code == 202
        process.terminate()
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 0
    (line,) = out.splitlines()
    assert json.loads(line)["event"] == transaction(1)["transaction"]


def test_a_bad_configuration_lists_every_problem_and_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "tollbar.yml"
    file.write_text("apm-server:\n  auth:\n    secret_tokn: x\n    anonymous.rate_limit.event_limit: none\n")
    done = run("--config", file)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert f"{file}:3:" in lines[0]
    assert f"{file}:4:" in lines[1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "missing.yml"], "missing.yml"),
        (["--config", "{good}", "--listen", "nonsense"], "accepted are HOST:PORT"),
        (["--config", "{good}", "--listen", "127.0.0.1:99999"], "accepted are HOST:PORT"),
        (["--config", "{good}", "--listen", "::1:8200"], "in brackets"),
        (["--config", "{good}", "--listen", "192.0.2.1:8200"], "cannot listen on 192.0.2.1:8200"),
        (["--config", "{good}", "--listen", "host.invalid:8200"], "cannot listen on host.invalid:8200"),
        (["--config", "{good}", "--listen", "unix:/no/such/dir/s"], "cannot listen on unix:/no/such/dir/s"),
        (["--config", "{good}", "--listen", "127.0.0.1:0", "--output", "/no/such/dir/f"], "cannot write to"),
        (["--config", "{good}", "--listen", "127.0.0.1:0", "--output", "/"], "cannot write to /"),
        (["--config", "{good}", "--idle-timeout", "-1"], "accepted are seconds"),
        (["--config", "{good}", "--drain-timeout", "soon"], "--drain-timeout"),
        (["--config", "{good}", "--max-connections", "0"], "at least 1"),
        ([], "--config"),
    ],
)
def test_what_is_unusable_is_named_and_exits_with_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    good = tmp_path / "good.yml"
    good.write_text(CONFIG)
    done = run(*(argument.replace("{good}", str(good)) for argument in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named(servers: Servers, tmp_path: Path) -> None:
    server = servers.start()
    address = server.url.removeprefix("http://")
    done = run("--config", server.config, "--listen", address)
    assert done.returncode == 2
    assert f"cannot listen on {address}: Address already in use" in done.stderr


def test_a_unix_socket_is_served(servers: Servers, tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = servers.start(listen=f"unix:{path}")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as http:
        assert http.post("http://intake" + PATH, content=BODY, headers=AUTH | NDJSON).status_code == 202
    assert server.written()[0]["client"] == "127.0.0.1"
    assert "another server is listening there" in run("--config", server.config, "--listen", f"unix:{path}").stderr
    assert server.stop() == 0


def test_sighup_reloads(servers: Servers) -> None:
    server = servers.start()
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("SIGHUP: reloading")
    server.wait_for_log("configuration 2 is in force; changed: nothing")
    assert post(server).status_code == 202


def test_a_changed_file_is_taken_up(servers: Servers) -> None:
    server = servers.start()
    server.config.write_text(CONFIG.replace(TOKEN, "a-new-token"))
    server.wait_for_log("configuration 2 is in force; changed: apm-server.auth.secret_token")
    assert post(server).status_code == 401
    assert post(server, headers={"Authorization": "Bearer a-new-token"}).status_code == 202


def test_a_file_that_is_replaced_is_taken_up(servers: Servers) -> None:
    server = servers.start()
    new = server.config.with_suffix(".new")
    new.write_text(CONFIG.replace(TOKEN, "a-new-token"))
    new.replace(server.config)
    server.wait_for_log("configuration 2 is in force")
    assert post(server, headers={"Authorization": "Bearer a-new-token"}).status_code == 202


def test_a_refused_reload_logs_every_problem_and_leaves_the_old_in_force(servers: Servers) -> None:
    server = servers.start()
    server.config.write_text("apm-server.auth:\n  secret_tokn: hidden\n  anonymous.enabled: maybe\n")
    server.wait_for_log("configuration refused, the one before stays in force")
    server.wait_for_log("secret_tokn")
    server.wait_for_log("anonymous.enabled")
    assert not any("hidden" in line for line in server.log)
    assert post(server).status_code == 202
    server.config.unlink()
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("cannot be read")
    assert post(server).status_code == 202


def test_a_file_that_switches_authentication_off_takes_a_sighup(servers: Servers) -> None:
    """It may be half written; a reload that somebody asks for is meant."""
    server = servers.start()
    server.config.write_text("apm-server.rum.enabled: true\n")
    server.wait_for_log("configuration refused")
    assert post(server, headers={"Authorization": "Bearer wrong"}).status_code == 401
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("configuration 2 is in force")
    assert post(server, headers={"Authorization": "Bearer wrong"}).status_code == 202


@pytest.fixture
def reloader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reloader:
    """In this process, and so patient that a busy machine writes in time."""
    monkeypatch.setattr(reload, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(reload, "PATIENCE_SECONDS", 2.0)
    file = tmp_path / "tollbar.yml"
    file.write_text(CONFIG)
    return Reloader(file)


async def test_a_reload_while_the_file_is_written_waits_until_it_is_whole(reloader: Reloader) -> None:
    """A file that was truncated is empty, and an empty file switches authentication off."""
    new = CONFIG.replace(TOKEN, "a-new-token")
    with reloader.engine.files[0].open("w") as file:
        reloading = asyncio.create_task(reloader.reload("SIGHUP"))
        for start in range(0, len(new), 20):
            await asyncio.sleep(0.05)
            file.write(new[start : start + 20])
            file.flush()
            assert reloader.engine.check("Bearer wrong").status == 401
    await reloading
    assert reloader.engine.stats()["generation"] == 2
    assert reloader.engine.check("Bearer a-new-token").allowed


@pytest.mark.parametrize("content", ["# {}", ""])
async def test_a_reload_reads_no_file_that_keeps_changing(
    reloader: Reloader, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    reloading = asyncio.create_task(reloader.reload("SIGHUP"))
    number = 0
    while not reloading.done():
        number += 1
        reloader.engine.files[0].write_text(content.format(number))
        await asyncio.sleep(0.02)
    await reloading
    assert caplog.messages == ["SIGHUP: not reloaded: the files have kept changing for 2 s; try again"]
    assert reloader.engine.check("Bearer wrong").status == 401
    await reloader.reload("SIGHUP")
    assert reloader.engine.stats()["generation"] == 2


def test_warnings_are_logged_at_start_and_after_each_reload(servers: Servers) -> None:
    server = servers.start(f"apm-server.secret_token: {TOKEN}\n")

    def warnings() -> int:
        return sum("WARNING tollbar.intake: " in line and "apm-server.auth.secret_token" in line for line in server.log)

    assert warnings() == 1
    for generation in (2, 3):
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log(f"configuration {generation} is in force; changed: nothing")
        time.sleep(0.1)
        assert warnings() == generation


def test_each_reload_is_logged_once(servers: Servers) -> None:
    server = servers.start()
    for generation in range(2, 12):
        for _ in range(3):
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.03)
        server.wait_for_log(f"configuration {generation} is in force")
    time.sleep(1.5)
    taken = [line.split(" is in force")[0].rpartition(" ")[2] for line in server.log if "is in force" in line]
    assert taken == [str(generation) for generation in range(2, len(taken) + 2)]


async def test_those_who_tell_at_once_tell_each_reload_once(
    reloader: Reloader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tollbar.intake")
    for _ in range(5):
        reloader.engine.reload()
        await asyncio.gather(*(reloader._tell() for _ in range(5)))
    assert [record.getMessage() for record in caplog.records] == [
        f"configuration {generation} is in force; changed: nothing" for generation in range(2, 7)
    ]


def test_reloads_under_load_drop_no_request(servers: Servers) -> None:
    """The token is rotated while clients send: first both are valid, then only the new one."""
    server = servers.start()
    both = CONFIG.replace(f"secret_token: {TOKEN}", f"secret_token: [{TOKEN}, new-token]")
    stop = threading.Event()
    statuses: list[int] = []

    def send(token: str) -> None:
        with httpx.Client() as http:
            while not stop.is_set():
                headers = {"Authorization": f"Bearer {token}", **NDJSON}
                statuses.append(http.post(server.url + PATH, content=BODY, headers=headers).status_code)

    def let_through(requests: int) -> None:
        target = len(statuses) + requests
        deadline = time.monotonic() + 20
        while len(statuses) < target and time.monotonic() < deadline:
            time.sleep(0.01)

    with ThreadPoolExecutor(6) as pool:
        sending = [pool.submit(send, TOKEN) for _ in range(4)]
        let_through(20)
        server.config.write_text(both)
        server.wait_for_log("configuration 2 is in force")
        sending += [pool.submit(send, "new-token") for _ in range(2)]
        for generation in range(3, 8):
            server.process.send_signal(signal.SIGHUP)
            server.wait_for_log(f"configuration {generation} is in force")
            let_through(20)
        stop.set()
        for one in sending:
            one.result()
    assert len(statuses) >= 120
    assert set(statuses) == {202}
    assert len(server.written()) == len(statuses)


def resident(server: Server) -> int:
    """Return the bytes of memory that the server's process holds."""
    with open(f"/proc/{server.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slow_request(server: Server) -> socket.socket:
    """Begin a stream that stays open: one event is accepted, more may come."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    sock = socket.create_connection((host, int(port)))
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    sock.sendall(head.encode() + chunk(BODY))
    deadline = time.monotonic() + 10
    while not server.written() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(server.written()) == 1
    return sock


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(sock: socket.socket) -> tuple[int, Any]:
    """Read a response to its end."""
    sock.settimeout(15)
    response = b""
    while piece := sock.recv(65536):
        response += piece
    head, _, body = response.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body else None


def test_sigterm_lets_requests_in_flight_finish_and_accepts_no_more(servers: Servers) -> None:
    server = servers.start()
    with slow_request(server) as sock:
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("SIGTERM: draining")
        time.sleep(0.5)
        with pytest.raises(httpx.TransportError):
            post(server)
        sock.sendall(chunk(ndjson(transaction(2))) + b"0\r\n\r\n")
        assert answer(sock) == (202, None)
    assert server.process.wait(10) == 0
    assert len(server.written()) == 2


def test_a_request_that_outlasts_the_drain_is_told_how_much_was_accepted(servers: Servers) -> None:
    server = servers.start(CONFIG, "--drain-timeout", "1")
    with slow_request(server) as sock:
        server.process.send_signal(signal.SIGTERM)
        assert answer(sock) == (503, {"accepted": 1, "errors": [{"message": "the server is shutting down"}]})
    assert server.process.wait(10) == 0


def test_a_client_that_breaks_off_leaves_what_was_accepted(servers: Servers) -> None:
    server = servers.start()
    slow_request(server).close()
    server.wait_for_log("closed the connection before its request was complete")
    assert len(server.written()) == 1
    assert post(server).status_code == 202
    assert not any("Traceback" in line for line in server.log)


def test_a_client_is_told_of_a_refusal_before_it_has_sent_everything(servers: Servers) -> None:
    """A megabyte with a wrong token: the 401 arrives, not a broken connection."""
    server = servers.start()
    response = post(server, ndjson(METADATA) + b"x" * 5_000_000, {"Authorization": "Bearer wrong"})
    assert response.status_code == 401


def test_a_head_without_end_is_cut_off(servers: Servers) -> None:
    server = servers.start()
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.settimeout(10)
        sock.sendall(b"POST / HTTP/1.1\r\nX-Endless: ")
        sent = 0
        try:
            while sent < 50_000_000:
                sent += sock.send(b"a" * 65536)
        except OSError:
            pass
        assert sent < 5_000_000


def test_a_head_that_is_too_large_is_refused_though_it_comes_at_once(servers: Servers) -> None:
    server = servers.start()
    fields = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(70))
    response = raw(server, b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert response in (b"", b"HTTP/1.1 400 Bad Request")
    fitting = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(60))
    body = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + fitting + b"\r\n"
    assert raw(server, body) == b"HTTP/1.1 200 OK"
    assert post(server).status_code == 202


def raw(server: Server, *sent: bytes) -> bytes:
    """Send bytes; return the status line, empty if the connection was closed without one."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    response = b""
    with socket.create_connection((host, int(port))) as sock:
        sock.settimeout(10)
        try:
            for piece in sent:
                sock.sendall(piece)
            while b"\r\n\r\n" not in response and (piece := sock.recv(65536)):
                response += piece
        except ConnectionError:
            pass
    return response.partition(b"\r\n")[0]


AUTH_LINE = f"Authorization: Bearer {TOKEN}\r\n".encode()
TRAILING = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n".encode()


def test_a_trailer_is_no_credential(servers: Servers) -> None:
    server = servers.start()
    other = {"metadata": {"service": {"name": "other", "agent": {"name": "rum-js", "version": "1.0"}}}}
    request = TRAILING + b"\r\n" + chunk(ndjson(other, transaction(1)))
    trailer = f"0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    assert raw(server, request + trailer) == b"HTTP/1.1 403 Forbidden"
    assert raw(server, TRAILING + AUTH_LINE + b"\r\n" + chunk(BODY) + trailer) == b"HTTP/1.1 202 Accepted"


def test_a_trailer_says_nothing_of_the_client_or_the_coding(servers: Servers) -> None:
    server = servers.start(config(extra="tollbar.trusted_proxies: [127.0.0.1/32]\n"))
    forwarded = AUTH_LINE + b"X-Forwarded-For: 203.0.113.9\r\n\r\n"
    trailer = b"0\r\nX-Forwarded-For: 203.0.113.77\r\nContent-Encoding: gzip\r\n\r\n"
    assert raw(server, TRAILING + forwarded + chunk(BODY) + trailer) == b"HTTP/1.1 202 Accepted"
    assert [line["client"] for line in server.written()] == ["203.0.113.9"]


@pytest.mark.parametrize("piece", [b"X-Endless: 1\r\n" * 4096, b"a" * 65536], ids=["fields", "one field"])
def test_memory_stays_bounded_by_trailers_without_end(servers: Servers, piece: bytes) -> None:
    server = servers.start()
    assert post(server).status_code == 202
    before = resident(server)
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.settimeout(10)
        sock.sendall(TRAILING + AUTH_LINE + b"\r\n" + chunk(BODY) + b"0\r\nX-First: ")
        sent = 0
        try:
            while sent < 100_000_000:
                sent += sock.send(piece)
        except OSError:
            pass
    assert sent < 20_000_000
    assert resident(server) - before < 20_000_000
    assert post(server).status_code == 202


def test_a_real_flood_of_many_clients_is_really_limited(servers: Servers) -> None:
    """Clients behind a trusted proxy: each is held to its own burst and rate, by the wall clock."""
    yaml = config(event_limit=20, extra="tollbar.trusted_proxies: [127.0.0.1/32]\n")
    server = servers.start(yaml)
    clients = [f"203.0.113.{number}" for number in range(1, 9)]
    accepted = dict.fromkeys(clients, 0)
    refused = 0
    started = time.monotonic()
    with httpx.Client() as http:
        while time.monotonic() - started < 3:
            for client in clients:
                headers = {"X-Forwarded-For": client, **NDJSON}
                body = ndjson(METADATA, *map(transaction, range(4)))
                response = http.post(server.url + "/intake/v2/rum/events?verbose", content=body, headers=headers)
                assert response.status_code in (202, 429)
                refused += response.status_code == 429
                accepted[client] += response.json().get("accepted", 0)
                if time.monotonic() - started >= 3:
                    break
    elapsed = time.monotonic() - started
    assert sum(accepted.values()) == len(server.written())
    for client, events in accepted.items():
        # Each request is charged one event more than it carries; a batch may have been reserved up to 1 s ahead.
        assert 0 < events <= 60 + 20 * (elapsed + 1.1), client


def test_a_real_flood_from_one_client_gets_429(servers: Servers) -> None:
    server = servers.start(config(event_limit=20))
    with httpx.Client() as http:
        started = time.monotonic()
        statuses = []
        while time.monotonic() - started < 2:
            statuses.append(http.post(server.url + PATH, content=b"", headers=NDJSON).status_code)
        elapsed = time.monotonic() - started
    admitted = statuses.count(202)
    assert statuses.count(429) > admitted
    assert 60 + 0.8 * 20 * 2 <= admitted <= 60 + 20 * (elapsed + 0.1)


def test_memory_stays_bounded_by_a_line_without_end(servers: Servers) -> None:
    """300 MB in one line: refused, and the process has not grown by a tenth of that."""
    server = servers.start()
    assert post(server).status_code == 202
    before = resident(server)

    def body() -> Any:
        yield ndjson(METADATA) + b'{"transaction": {"a": "'
        for _ in range(300):
            yield b"x" * 1_000_000

    response = httpx.post(server.url + PATH, content=body(), headers=AUTH | NDJSON, timeout=60)
    assert response.status_code == 400
    assert "exceeded the permitted size" in response.json()["errors"][0]["message"]
    assert resident(server) - before < 30_000_000


def test_a_changed_token_file_is_taken_up(servers: Servers, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    tokens = secrets / "tokens"
    tokens.write_text("first-token\n")
    server = servers.start(f"apm-server.auth.secret_token_file: {tokens}\n")
    assert post(server, headers={"Authorization": "Bearer first-token"}).status_code == 202
    tokens.write_text("first-token\nsecond-token\n")
    server.wait_for_log("configuration 2 is in force; changed: apm-server.auth.secret_token")
    assert post(server, headers={"Authorization": "Bearer second-token"}).status_code == 202
