"""The reference ingestor: a real intake server for Elastic APM agents and OTLP/HTTP exporters, gated by the engine.

`python -m tollbar.intake --config FILE --listen ADDR --output FILE|-` starts it. `create_app` makes the ASGI
application alone. Needs the extra `tollbar[intake]`.

What every module keeps: no rule of admission lives in Python (the engine decides), memory is bounded whatever a
client sends, and what was accepted is written before the client is told so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tollbar.intake.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    """Import late: without the extra's packages, the command line can still say what is missing."""
    if name == "create_app":
        from tollbar.intake.app import create_app  # noqa: PLC0415

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
