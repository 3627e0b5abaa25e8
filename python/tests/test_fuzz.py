"""Whatever is sent, the answer is one of the documented ones: no crash, no 500, and nothing accepted is lost."""

from __future__ import annotations

import asyncio
import gzip
import json
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import AUTH, CONFIG, METADATA, METADATA_V3, ingestor

if TYPE_CHECKING:
    from collections.abc import Callable

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        "metadata",
        "m",
        "transaction",
        "span",
        "error",
        "metricset",
        "log",
        "x",
        "e",
        "y",
        "me",
        "c",
        "se",
        "service",
        "context",
        "name",
        "n",
        "a",
        "agent",
        "resourceSpans",
        "scopeSpans",
        "spans",
        "traceId",
        "resource",
        "attributes",
    ]
)
DOCUMENTS = st.recursive(
    JSON_VALUES,
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=12,
)
LINES = st.one_of(
    st.binary(max_size=60),
    DOCUMENTS.map(lambda document: json.dumps(document).encode()),
    st.sampled_from([json.dumps(METADATA).encode(), json.dumps(METADATA_V3).encode(), b'{"transaction": {}}']),
)
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": bytes,
}
PATHS = [
    "/",
    "/intake/v2/events",
    "/intake/v2/rum/events",
    "/intake/v3/rum/events",
    "/config/v1/agents",
    "/config/v1/rum/agents",
    "/assets/v1/sourcemaps",
    "/v1/traces",
    "/v1/metrics",
    "/v1/logs",
]
CONTENT_TYPES = [
    "",
    "application/x-ndjson",
    "application/json",
    "application/x-protobuf",
    "multipart/form-data; boundary=b",
]
DOCUMENTED = {200, 202, 400, 401, 403, 413, 415, 429}


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None, database=None)
@given(
    lines=st.lists(LINES, max_size=5),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    content_type=st.sampled_from(CONTENT_TYPES),
    damage=st.integers(0, 40),
    authorized=st.booleans(),
    authorization=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=12),
)
def test_any_body_gets_a_documented_answer(
    path: str,
    lines: list[bytes],
    encoding: str,
    content_type: str,
    damage: int,
    authorized: bool,
    authorization: str,
) -> None:
    body = ENCODINGS[encoding](b"\n".join(lines))
    if damage:
        body = body[:-damage]
    headers = [(b"authorization", AUTH["Authorization"].encode() if authorized else authorization.encode("latin-1"))]
    headers += [(b"content-encoding", encoding.encode())] if encoding else []
    headers += [(b"content-type", content_type.encode())] if content_type else []

    async def send() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with ingestor(CONFIG, Path(directory)) as intake:
                response = await intake.http.post(path, content=body, headers=headers)
                assert response.status_code in DOCUMENTED
                if "intake" in path and response.content and "accepted" in response.json():
                    assert len(intake.written()) == response.json()["accepted"]

    asyncio.run(send())
