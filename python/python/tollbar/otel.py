"""OpenTelemetry: an engine's statistics as observable metrics.

```python
observe(engine)  # with the global meter provider
```

Invariant: a collection reads what `engine.stats()` says once, however many metrics there are.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter

import tollbar
from tollbar._metrics import METRICS, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tollbar import Engine
    from tollbar._tollbar import _Stats

__all__ = ["observe"]

_FRESH_SECONDS = 0.1
"""For this long, the metrics of one collection share what was read."""


class _Reader:
    """An engine's statistics, read once for all metrics of a collection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read: tuple[float, _Stats] | None = None

    def stats(self) -> _Stats:
        now = time.monotonic()
        if self._read is None or now - self._read[0] > _FRESH_SECONDS:
            self._read = (now, self._engine.stats())
        return self._read[1]


def observe(
    engine: Engine, meter_provider: MeterProvider | None = None, attributes: Mapping[str, str] | None = None
) -> Meter:
    """Have the metrics of an engine collected. `attributes` tell several engines apart. The meter keeps the engine."""
    meter = get_meter("tollbar", tollbar.__version__, meter_provider)
    reader = _Reader(engine)
    common = dict(attributes or {})

    def callback(metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observations(_: CallbackOptions) -> Iterable[Observation]:
            for labels, value in metric.read(reader.stats()):
                yield Observation(value, {**common, **dict(zip(metric.labels, labels, strict=True))})

        return observations

    for metric in METRICS:
        create = meter.create_observable_counter if metric.is_counter else meter.create_observable_gauge
        create(f"tollbar.{metric.name}", [callback(metric)], metric.unit, metric.description)
    return meter
