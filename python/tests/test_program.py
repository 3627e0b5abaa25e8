"""`python -m tollbar`: the command line of the program itself, and the ingestor."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import tollbar

COMMAND = [sys.executable, "-m", "tollbar"]


def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], input=given, capture_output=True, text=True, timeout=60, check=False)


def test_a_configuration_is_checked() -> None:
    good = run("check-config", "-", given="apm-server.auth.secret_token: hunter2-hunter2")
    assert (good.returncode, good.stderr) == (0, "")
    assert "apm-server.auth.anonymous.rate_limit.event_limit: 300" in good.stdout
    assert "hunter2" not in good.stdout
    bad = run("check-config", "--format", "json", "-", given="apm-server.auth.anonymous.rate_limit.ip_limit: many")
    assert bad.returncode == 2
    assert json.loads(bad.stdout)["problems"][0]["key"] == "apm-server.auth.anonymous.rate_limit.ip_limit"


def test_keys_that_it_makes_are_accepted() -> None:
    made = json.loads(run("keygen", "--api-key", "--id", "shop", "--format", "json").stdout)
    key = {name: made[name] for name in ("id", "hash", "privileges")}
    config = {"apm-server": {"auth": {"api_key": {"enabled": True, "keys": [key]}}}}
    engine = tollbar.Engine.from_str(json.dumps(config))
    assert engine.check(f"ApiKey {made['credential']}", peer="198.51.100.7").allowed
    assert len(run("keygen").stdout.strip()) == 43


def test_the_ingestor_is_one_of_its_commands() -> None:
    assert "intake" in run("--help").stdout
    of_intake = run("intake", "--help")
    assert (of_intake.returncode, "--listen" in of_intake.stdout) == (0, True)
    assert run("intake").returncode == 2


def test_mistakes_are_named() -> None:
    wrong = run("chekc-config")
    assert wrong.returncode == 2
    assert "check-config" in wrong.stderr
    version = run("--version")
    assert (version.returncode, version.stdout) == (0, f"tollbar {tollbar.__version__}\n")


def test_what_is_printed_before_comes_before() -> None:
    program = "import tollbar.__main__ as it; print('first'); it.main(['keygen']); print('last')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    first, token, last = done.stdout.split()
    assert (first, len(token), last) == ("first", 43, "last")


def test_ctrl_c_ends_it() -> None:
    # A shell without job control, as in CI, has what it starts in the background ignore SIGINT.
    command = ["env", "--default-signal=INT", *COMMAND, "check-config", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT


def test_the_wheel_brings_the_command() -> None:
    (script,) = entry_points(group="console_scripts", name="tollbar")
    assert script.value == "tollbar.__main__:main"
