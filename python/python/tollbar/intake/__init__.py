"""The reference ingestor: a real intake server for Elastic APM agents and OTLP/HTTP exporters, gated by the engine.

`python -m tollbar.intake --config FILE --listen ADDR --output FILE|-` starts it. `create_app` makes the ASGI
application alone. Needs the extra `tollbar[intake]`.

What every module keeps: no rule of admission lives in Python (the engine decides), memory is bounded whatever a
client sends, and what was accepted is written before the client is told so.
"""

from tollbar.intake.app import create_app

__all__ = ["create_app"]
