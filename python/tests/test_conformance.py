"""The vectors that every language runs, through the wheel. `conformance/README.md` says what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tollbar import Decision, Engine

VECTORS = Path(__file__).parents[2] / "conformance"
NANOSECONDS = 1_000_000_000


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in load(name)]


def load(name: str) -> list[dict[str, Any]]:
    document = json.loads((VECTORS / f"{name}.json").read_text())
    vectors: list[dict[str, Any]] = document["vectors"] if isinstance(document, dict) else document
    return vectors


def value(text: str | dict[str, str]) -> bytes:
    """Return a header's value: text in UTF-8, or bytes in hexadecimal."""
    return bytes.fromhex(text["hex"]) if isinstance(text, dict) else text.encode()


def found(decision: Decision, what: str) -> object:
    if what == "retry_after_ns":
        return None if decision.retry_after is None else round(decision.retry_after * NANOSECONDS)
    if what == "www_authenticate":
        return decision.www_authenticate is not None
    return getattr(decision, what)


@pytest.mark.parametrize("case", [*cases("decisions"), *cases("gcra")])
def test_decisions_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    engine = Engine.from_str(case["config"])
    for number, step in enumerate(case["steps"]):
        arguments: dict[str, Any] = {**step}
        expected = arguments.pop("expect")
        if arguments.get("authorization") is not None:
            arguments["authorization"] = value(arguments["authorization"])
        if "headers" in arguments:
            arguments["headers"] = [(name, value(text)) for name, text in arguments["headers"]]
        decision = engine.check(**arguments)
        for what, wanted in expected.items():
            got = found(decision, what)
            if what == "retry_after_ns" and isinstance(wanted, int) and wanted > 2**52:
                # Seconds in a float: exact to the nanosecond for the first 52 days only.
                assert got == pytest.approx(wanted), (number, step, what)
            else:
                assert got == wanted, (number, step, what)


@pytest.mark.parametrize("case", cases("client_ip"))
def test_clients_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    engine = Engine.from_str(
        json.dumps({"tollbar": {"trusted_proxies": case["trusted_proxies"], "ipv6_prefix": case["ipv6_prefix"]}})
    )
    headers = [(name, value(text)) for name, text in case["headers"]]
    assert engine.check(peer=case["peer"], headers=headers).client == case["client"]


@pytest.mark.parametrize("case", cases("authorization"))
def test_credentials_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    """What a header presents shows in the decision of an engine that knows no such credential."""
    engine = Engine.from_str("apm-server.auth: {secret_token: no-vector-has-this-token, anonymous.enabled: true}")
    header = case["header"]
    decision = engine.check(None if header is None else value(header), action="sourcemap")
    expected = case["expect"]
    text = expected if isinstance(expected, str) else bytes.fromhex(expected["hex"]).decode("latin-1")
    kind = text.partition(":")[0]
    assert decision.reason == {
        "none": "anonymous_not_permitted",
        "unknown": "unknown_scheme",
        "bearer": "invalid_token",
        "api_key": "api_key_not_configured",
    }.get(kind, "invalid_token")


def reads_files(case: dict[str, Any]) -> bool:
    """Say whether an engine would read files that only the core's runner makes up, or nobody has."""
    return "files" in case or "certificate: /" in case.get("yaml", "")


@pytest.mark.parametrize("case", [case for case in cases("config") if not reads_files(case.values[0])])
def test_configurations_are_accepted_or_refused_as_the_vectors_say(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tollbar import ConfigError

    for name, text in case.get("env", {}).items():
        monkeypatch.setenv(name, text)
    if "ok" in case:
        assert len(Engine.from_str(case["yaml"]).warnings) == len(case.get("warnings", []))
        return
    with pytest.raises(ConfigError) as caught:
        Engine.from_str(case["yaml"])
    problems = [
        {name: getattr(problem, name) for name in expected}
        for problem, expected in zip(caught.value.problems, case["problems"], strict=True)
    ]
    assert problems == case["problems"]
