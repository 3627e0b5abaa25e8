"""Forks, subinterpreters and threads: what is shared and what is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from conftest import TOKEN, YAML
from tollbar import Engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PEER = "198.51.100.7"
KEY = "ApiKey aWQ6c2VjcmV0"
NOW = 10**12


def in_child(check: Callable[[], None]) -> None:
    """Run in a forked process, which must end well and soon."""
    child = os.fork()
    if child == 0:
        try:
            check()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child did not end")


def test_a_fork_takes_the_counters_along_and_then_counts_by_itself() -> None:
    engine = Engine.from_str(YAML)
    assert engine.check(peer=PEER, cost=1, now=NOW).remaining == 2

    def child() -> None:
        assert engine.check(peer=PEER, cost=2, now=NOW).remaining == 0
        assert not engine.check(peer=PEER, now=NOW).allowed
        assert engine.stats()["allowed"]["anonymous"] == 2

    in_child(child)
    assert engine.check(peer=PEER, cost=0, now=NOW).remaining == 2
    assert engine.check(f"Bearer {TOKEN}", peer=PEER).allowed


def test_keys_are_verified_in_a_fork_although_no_thread_was_forked() -> None:
    engine = Engine.from_str(YAML)
    engine.set_verifier(lambda _id, _key: ["event:write"])
    # Starts a thread of the engine's, which the child does not have.
    assert engine.verify(KEY, peer=PEER).decision.allowed

    def child() -> None:
        # Verdicts are not taken along: this asks again.
        assert engine.check(KEY, peer=PEER).pending
        assert engine.verify(KEY, peer=PEER, timeout=30).decision.allowed

    in_child(child)
    assert engine.check(KEY, peer=PEER).allowed


def test_a_verification_under_way_is_the_parents_alone() -> None:
    engine = Engine.from_str(YAML)
    parent = os.getpid()
    asked, release = threading.Event(), threading.Event()

    def verifier(_id: str, _key: bytes) -> list[str]:
        if os.getpid() == parent:
            asked.set()
            release.wait(60)
        return ["event:write"]

    engine.set_verifier(verifier)
    waiting = threading.Thread(target=engine.verify, args=(KEY, PEER))
    waiting.start()
    assert asked.wait(30)
    try:
        # It would wait for ever for the parent's thread.
        in_child(lambda: _assert_verified(engine))
    finally:
        release.set()
        waiting.join()
    _assert_verified(engine)


def _assert_verified(engine: Engine) -> None:
    assert engine.verify(KEY, peer=PEER, timeout=30).decision.allowed


def test_a_watcher_watches_in_a_fork_too(tmp_path: Path) -> None:
    config = tmp_path / "apm-server.yml"
    config.write_text(YAML)
    engine = Engine.from_file(config)
    watcher = engine.watch(debounce=0.01, poll=0.05)

    def child() -> None:
        config.write_text(YAML.replace(TOKEN, "another-token-than-before"))
        deadline = time.monotonic() + 30
        while not engine.check("Bearer another-token-than-before", peer=PEER).allowed:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # Waits for a thread of this process.
        watcher.stop()

    in_child(child)
    watcher.stop()
    # One that was stopped stays so.
    in_child(watcher.stop)


def test_a_reload_works_in_a_fork() -> None:
    engine = Engine.from_str(YAML)

    def child() -> None:
        assert engine.reload(YAML.replace("event_limit: 1", "event_limit: 5")) == engine.stats()["generation"]
        assert engine.check(peer=PEER, cost=15, now=NOW).allowed

    in_child(child)
    assert engine.stats()["generation"] == 1


GUNICORN_APP = """
    from tollbar import Engine
    from tollbar.wsgi import TollbarMiddleware

    engine = Engine.from_str({yaml!r})
    engine.set_verifier(lambda id, key: ["event:write"] if id == "id" else None)
    # Before the fork: a thread of the engine's runs in the master.
    assert engine.verify({key!r}, peer="198.51.100.7").decision.allowed

    def app(environ, start_response):
        start_response("200 OK", [])
        import os
        return [str(os.getpid()).encode()]

    app = TollbarMiddleware(app, engine)
"""


def test_gunicorns_workers_share_what_was_loaded_but_no_counters(tmp_path: Path) -> None:
    (tmp_path / "gated.py").write_text(textwrap.dedent(GUNICORN_APP).format(yaml=YAML, key=KEY))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--preload",
        "--workers",
        "2",
        "--bind",
        f"127.0.0.1:{port}",
        "gated:app",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}/"
            deadline = time.monotonic() + 30
            while True:
                try:
                    get(url, KEY)
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            assert get(url, "Bearer wrong")[0] == 401
            assert get(url, "ApiKey b3RoZXI6c2VjcmV0")[0] == 401
            statuses = {get(url, KEY) for _ in range(40)}
            assert {status for status, _ in statuses} == {200}
            assert str(server.pid) not in {worker for _, worker in statuses}
            # Each worker lets 3 events in, and one more each second.
            assert any(get(url, None)[0] == 429 for _ in range(1000))
        finally:
            server.terminate()
            assert server.wait(30) == 0


def get(url: str, authorization: str | None) -> tuple[int, str]:
    request = urllib.request.Request(url)
    if authorization is not None:
        request.add_header("Authorization", authorization)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_a_subinterpreter_is_told_that_it_cannot_have_the_module() -> None:
    program = """
        import sys
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import tollbar
        engine = tollbar.Engine.from_str("")
        other = interpreters.create()
        code = [
            "try: import tollbar",
            "except ImportError as error: print('ImportError', 'main interpreter' in str(error), flush=True)",
        ]
        error = interpreters.run_string(other, "\\n".join(code))
        assert error is None, error
        interpreters.destroy(other)
        # The main one goes on.
        print(engine.check(peer="198.51.100.7").allowed)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.split("\n"), done.returncode) == (["ImportError True", "True", ""], 0), done.stderr


def test_threads_share_an_engine() -> None:
    engine = Engine.from_str(YAML)
    admitted = []
    start = threading.Barrier(8)

    def flood() -> None:
        start.wait()
        admitted.append(sum(engine.check(peer=PEER, now=NOW).allowed for _ in range(500)))

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 3


@pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)(), reason="needs a free-threaded interpreter (python3.13t or later)"
)
def test_a_free_threaded_interpreter_keeps_the_gil_off() -> None:
    import tollbar

    assert tollbar.__version__
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined]
