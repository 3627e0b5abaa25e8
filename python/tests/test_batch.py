"""`Engine.check_batch`: each decision is what `check` says; columns are read in place, whatever they are made of."""

from __future__ import annotations

import array
import ipaddress
import math
import threading
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tollbar import Decisions, Engine

TOKEN = "correct-horse-battery-staple"
YAML = f"""
apm-server:
  auth:
    secret_token: {TOKEN}
    anonymous: {{enabled: true, allow_service: [shop], rate_limit: {{ip_limit: 100, event_limit: 1}}}}
tollbar.trusted_proxies: [10.0.0.0/8]
"""
PEERS = ["203.0.113.1", "203.0.113.2", "203.0.113.1"]
NUMBERS = [int(ipaddress.ip_address(peer)) for peer in PEERS]
V6 = ["2001:db8::1", "2001:db8:1::1", "2001:db8::2"]
PACKED = b"".join(ipaddress.ip_address(peer).packed for peer in V6)


@pytest.fixture
def engine() -> Engine:
    return Engine.from_str(YAML)


def reference(peers: list[str], costs: list[int], services: list[str | None]) -> list[tuple[Any, ...]]:
    engine = Engine.from_str(YAML)
    return [
        essence(engine.check(peer=peer, agent="rum-js", service=service, cost=cost, now=10**12))
        for peer, cost, service in zip(peers, costs, services, strict=True)
    ]


def essence(decision: Any) -> tuple[Any, ...]:
    return (decision.status, decision.message, decision.remaining, decision.retry_after, decision.client)


PEER_COLUMNS = {
    "list": PEERS,
    "tuple": tuple(PEERS),
    "uint32": np.array(NUMBERS, np.uint32),
    "int64": np.array(NUMBERS),
    "big-endian": np.array(NUMBERS, ">u4"),
    "strided": np.repeat(np.array(NUMBERS, np.uint32), 3)[1::3],
    "reversed": np.array(NUMBERS[::-1], np.uint32)[::-1],
    "array": array.array("L", NUMBERS),
    "memoryview": memoryview(array.array("I", NUMBERS)),
    "objects": np.array(PEERS, object),
    "numpy strings": np.array(PEERS),
    "arrow uint32": pa.array(NUMBERS, pa.uint32()),
    "arrow slice": pa.array([7, *NUMBERS, 7], pa.uint32()).slice(1, 3),
    "arrow strings": pa.array(PEERS),
    "arrow large strings": pa.array(["", *PEERS], pa.large_string()).slice(1),
}


@pytest.mark.parametrize("name", PEER_COLUMNS)
def test_every_form_of_addresses_comes_to_the_same(engine: Engine, name: str) -> None:
    column: Any = PEER_COLUMNS[name]
    decisions = engine.check_batch(column, agent="rum-js", service="shop", now=10**12)
    assert [essence(decision) for decision in decisions] == reference(PEERS, [1, 1, 1], ["shop"] * 3)


V6_COLUMNS = {
    "list": V6,
    "rows": np.frombuffer(PACKED, np.uint8).reshape(3, 16),
    "wider rows": np.hstack([np.frombuffer(PACKED, np.uint8).reshape(3, 16)] * 2)[:, :16],
    "arrow": pa.array([ipaddress.ip_address(peer).packed for peer in V6], pa.binary(16)),
}


@pytest.mark.parametrize("name", V6_COLUMNS)
def test_addresses_of_ipv6_are_sixteen_bytes_each(engine: Engine, name: str) -> None:
    column: Any = V6_COLUMNS[name]
    decisions = engine.check_batch(column, agent="rum-js", service="shop", now=10**12)
    assert [decision.client for decision in decisions] == ["2001:db8::/64", "2001:db8:1::/64", "2001:db8::/64"]
    assert [decision.remaining for decision in decisions] == [2, 2, 1]


COSTS = [2, 0, 2]
COST_COLUMNS = {
    "list": COSTS,
    "arrow nulls elsewhere": pa.array([None, *COSTS], pa.int16()).slice(1),
    **{code: np.array(COSTS, code) for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">u8")},
    **{str(kind): pa.array(COSTS, kind) for kind in (pa.int8(), pa.uint8(), pa.uint16(), pa.int32(), pa.uint64())},
}


@pytest.mark.parametrize("name", COST_COLUMNS)
def test_every_form_of_costs_comes_to_the_same(engine: Engine, name: str) -> None:
    column: Any = COST_COLUMNS[name]
    decisions = engine.check_batch(PEERS, agent="rum-js", service="shop", cost=column, now=10**12)
    assert [essence(decision) for decision in decisions] == reference(PEERS, COSTS, ["shop"] * 3)


SERVICES = ["shop", None, "theirs"]


@pytest.mark.parametrize(
    "column", [SERVICES, pa.array(SERVICES), pa.array(["x", *SERVICES], pa.large_string()).slice(1)]
)
def test_names_are_columns_too(engine: Engine, column: Any) -> None:
    decisions = engine.check_batch(PEERS, agent=["rum-js"] * 3, service=column, now=10**12)
    assert [essence(decision) for decision in decisions] == reference(PEERS, [1, 1, 1], SERVICES)
    assert "theirs" in decisions[2].message


def test_credentials_and_headers_are_one_for_each(engine: Engine) -> None:
    proxies = ["10.0.0.1"] * 3
    forwarded: Any = [{"X-Forwarded-For": "203.0.113.8"}, None, [(b"authorization", f"Bearer {TOKEN}".encode())]]
    decisions = engine.check_batch(proxies, headers=forwarded, agent="rum-js", service="shop")
    assert [(one.client, one.method) for one in decisions] == [
        ("203.0.113.8", "anonymous"),
        ("10.0.0.1", "anonymous"),
        ("10.0.0.1", "secret_token"),
    ]
    credentials = [f"Bearer {TOKEN}", b"Bearer wrong", None]
    decisions = engine.check_batch(PEERS, authorization=credentials, agent="rum-js", service="shop")
    assert decisions.reason == ["allowed", "invalid_token", "allowed"]
    assert engine.check_batch(PEERS, authorization=f"Bearer {TOKEN}").reason == ["allowed"] * 3


def test_the_answer_is_a_sequence_and_columns(engine: Engine) -> None:
    decisions = engine.check_batch(PEERS, agent="rum-js", service="shop", cost=[3, 4, 1], now=10**12)
    assert isinstance(decisions, Decisions)
    assert len(decisions) == 3
    assert decisions[-3].allowed
    for index in (3, -4):
        with pytest.raises(IndexError):
            decisions[index]
    assert [column.format for column in (decisions.allowed, decisions.status)] == ["?", "H"]
    assert decisions.allowed.tolist() == [True, False, False]
    assert decisions.status.tolist() == [202, 429, 429]
    assert decisions.remaining.tolist() == [0, 3, 0]
    exhausted = decisions.retry_after.tolist()
    assert math.isnan(exhausted[0])
    assert math.isnan(exhausted[1])
    assert exhausted[2] == 1.0
    assert repr(decisions) == "<tollbar.Decisions 1 of 3 allowed>"


def test_columns_are_read_in_place_and_outlive_the_answer(engine: Engine) -> None:
    decisions = engine.check_batch(PEERS, authorization="Bearer wrong")
    status, view = np.asarray(decisions.status), decisions.remaining
    del decisions
    assert status.dtype == np.uint16
    assert status.tolist() == [401] * 3
    assert np.asarray(view).base is not None
    assert view.tolist() == [-1] * 3
    assert view.readonly
    with pytest.raises(ValueError, match="read-only"):
        status[0] = 200
    assert pa.Array.from_buffers(pa.int64(), 3, [None, pa.py_buffer(view)]).to_pylist() == [-1] * 3


def test_an_empty_batch_decides_nothing(engine: Engine) -> None:
    columns: list[Any] = [[], np.array([], np.uint32), pa.array([], pa.string()), pa.array([], pa.uint32())]
    for empty in columns:
        decisions = engine.check_batch(empty, service=pa.array([], pa.string()))
        assert (len(decisions), decisions.status.tolist()) == (0, [])


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"peers": "203.0.113.1"}, TypeError, "peers: found a str"),
    ({"peers": 5}, TypeError, "peers: found a int"),
    ({"peers": b"1234"}, TypeError, "peers: found a buffer"),
    ({"peers": ["203.0.113.1", 5]}, TypeError, "peer: found a int"),
    ({"peers": ["203.0.113.1", "x"]}, ValueError, "peer: "),
    ({"peers": np.array([1, 2**32])}, ValueError, "peers: item 1 is not an IPv4 address"),
    ({"peers": np.array([1, -1])}, ValueError, "peers: item 1"),
    ({"peers": np.array([1.5])}, TypeError, "peer: found a float"),
    ({"peers": np.zeros((2, 4), np.uint8)}, TypeError, "the shape \\[2, 4\\]"),
    ({"peers": pa.array([1, None], pa.uint32())}, ValueError, "peers: item 1"),
    ({"peers": pa.array(["203.0.113.1", None])}, ValueError, "peers: item 1"),
    ({"peers": pa.array([1.5])}, TypeError, 'Arrow array of the format "g"'),
    ({"cost": [1]}, ValueError, "cost: found 1 items for 3 peers"),
    ({"cost": [1, 2, -3]}, ValueError, "cost: found -3"),
    ({"cost": np.array([1, 2, -3])}, ValueError, "cost: item 2"),
    ({"cost": pa.array([1, None, 3])}, ValueError, "cost: item 1"),
    ({"cost": 1.5}, TypeError, "cost"),
    ({"agent": ["a", 1, "c"]}, TypeError, "agent: found a int"),
    ({"service": np.array([1, 2, 3])}, TypeError, "service: found a buffer"),
    ({"service": pa.array([1, 2, 3])}, TypeError, "service: found a Arrow array"),
    ({"authorization": [1, 2, 3]}, TypeError, "authorization: found a int"),
    ({"headers": [5, 6, 7]}, TypeError, "headers: found a int"),
    ({"action": "x"}, ValueError, "action"),
    ({"now": -1}, ValueError, "now"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), REFUSED)
def test_what_cannot_be_read_is_refused_and_charges_nothing(
    engine: Engine, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        engine.check_batch(**{"peers": PEERS, "agent": "rum-js", "service": "shop", **arguments})
    assert engine.stats()["claimed_counters"] == 0


def test_an_arrow_array_of_another_library_is_one_too(engine: Engine) -> None:
    class Foreign:
        def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[object, object]:
            schema, array = pa.array(NUMBERS, pa.uint32()).__arrow_c_array__(requested_schema)
            return schema, array

    class Broken:
        def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[object, object]:
            schema, array = pa.array(NUMBERS).__arrow_c_array__(requested_schema)
            return array, schema

    assert len(engine.check_batch(Foreign())) == 3
    with pytest.raises(ValueError, match="PyCapsule"):
        engine.check_batch(Broken())


def test_others_run_while_a_batch_is_decided(engine: Engine) -> None:
    """With the GIL, this thread would not come to its turn before the batch is over."""
    peers = np.arange(2_000_000, dtype=np.uint32)
    done = threading.Event()

    def decide() -> None:
        while not done.is_set():
            engine.check_batch(peers, agent="rum-js", service="shop")

    thread = threading.Thread(target=decide)
    thread.start()
    turns = 0
    deadline = time.monotonic() + 30
    while turns < 50 and time.monotonic() < deadline:
        turns += 1
        time.sleep(0)
    done.set()
    thread.join()
    assert turns == 50
