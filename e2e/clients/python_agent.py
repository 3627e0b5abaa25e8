"""The elastic-apm agent, as an application uses it: so many transactions with one span each, then it ends.

Run as a process of its own, so that every agent starts fresh; prints its `Outcome` as JSON:

    python -m e2e.clients.python_agent --server http://127.0.0.1:8200 --service shop --token secret --transactions 60

What the agent does on the wire (6.26): `GET /` for the server's version and, unless central configuration is off,
`POST /config/v1/agents`, then one `POST /intake/v2/events` a flush, gzip, `application/x-ndjson`, with a Content-Length. A flush
that the application asks for adds `?flushed=true`. Agent name in the metadata: `python`. After a second failure in a row it
drops what it collects without asking the server, so a refused agent is given two flushes at most. It doesn't heed Retry-After.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Mapping
from typing import Any

import elasticapm
from elasticapm.transport.exceptions import TransportException
from elasticapm.transport.http import Transport

from e2e.outcome import LIMITED, Outcome

FLUSHES = 2


class CountingTransport(Transport):
    """The agent's HTTP transport, which also keeps account of what it was told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.told = Outcome()

    def forwarded_for(self, address: str) -> None:
        """Adds what a proxy in front of the server would add to every request."""
        self._headers[b"X-Forwarded-For"] = address.encode()

    def send(self, data: Any, forced_flush: bool = False, custom_url: Any = None, custom_headers: Any = None) -> Any:
        """Sends one buffer and counts its events as accepted or refused; nothing else is changed."""
        events = len(gzip.decompress(bytes(data)).splitlines()) - 1 if data else 0
        try:
            answer = super().send(data, forced_flush, custom_url, custom_headers)  # type: ignore[no-untyped-call]
        except TransportException as refusal:
            status, body = _status_and_body(str(refusal))
            self.told.add(events, body.get("accepted", 0), status)
            raise
        self.told.add(events, events, 202)
        return answer


def _status_and_body(message: str) -> tuple[int, Mapping[str, Any]]:
    """The agent passes on a refusal as text only: `HTTP 401: {…}` or `Temporarily rate limited: {…}`."""
    head, _, text = message.partition(": ")
    numbered = re.fullmatch(r"HTTP (\d{3})", head)
    status = int(numbered[1]) if numbered else LIMITED if head == "Temporarily rate limited" else 0
    try:
        body = json.loads(text)
    except ValueError:
        return status, {}
    return status, body if isinstance(body, dict) else {}


def run(
    server: str,
    service: str,
    token: str | None,
    api_key: str | None,
    transactions: int,
    central_config: bool,
    forwarded_for: str | None,
) -> Outcome:
    """Sends `2 * transactions` events and returns what the agent was told of each."""
    client = elasticapm.Client(
        server_url=server,
        service_name=service,
        secret_token=token,
        api_key=api_key,
        central_config=central_config,
        transport_class=f"{__spec__.name if __spec__ else __name__}.CountingTransport",
        metrics_interval="0s",  # only the events made below: their number is known
        cloud_provider="none",
        api_request_time="20s",  # flushes happen when they are asked for, not by the clock
        api_request_size="5mb",
        transaction_max_spans=10,
    )
    if forwarded_for:
        client._transport.forwarded_for(forwarded_for)
    for number in range(transactions):
        client.begin_transaction("demo")
        with elasticapm.capture_span("work"):
            pass
        client.end_transaction(f"demo {number}", "success")  # type: ignore[no-untyped-call]
        if number + 1 in {transactions * part // FLUSHES for part in range(1, FLUSHES)}:
            client._transport.flush()
    client.close()
    told: Outcome = client._transport.told
    return told


def main() -> None:
    """Command line: see the top of the file."""
    parser = argparse.ArgumentParser(description="Sends events with the elastic-apm agent and prints what it was told.")
    parser.add_argument("--server", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--token")
    parser.add_argument("--api-key", metavar="CREDENTIAL", help="the base64 of id:key")
    parser.add_argument("--transactions", type=int, default=60)
    parser.add_argument("--no-central-config", dest="central_config", action="store_false")
    parser.add_argument("--forwarded-for", metavar="ADDRESS", help="behave as behind a proxy that saw this client")
    told = run(**vars(parser.parse_args()))
    print(json.dumps(told.as_json()))


if __name__ == "__main__":
    main()
