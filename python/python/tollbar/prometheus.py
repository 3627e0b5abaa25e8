"""Prometheus: a collector of an engine's statistics, for `prometheus_client`.

```python
REGISTRY.register(EngineCollector(engine))
```

Invariant: a scrape reads what `engine.stats()` says, and keeps nothing. After a fork, every process counts by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tollbar._metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from tollbar import Engine

__all__ = ["EngineCollector"]


class EngineCollector(Collector):
    """Collects an engine's statistics. `labels` are added to every sample: those of several engines must differ."""

    def __init__(self, engine: Engine, labels: dict[str, str] | None = None) -> None:
        self._engine = engine
        self._labels = labels or {}

    def describe(self) -> Iterator[Metric]:
        """Name the metrics, without the work of a scrape."""
        return self._families(None)

    def collect(self) -> Iterator[Metric]:
        """Read the statistics."""
        return self._families(self._engine)

    def _families(self, engine: Engine | None) -> Iterator[Metric]:
        stats = engine.stats() if engine is not None else None
        for metric in METRICS:
            family_type = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            names = [*self._labels, *metric.labels]
            family = family_type(f"tollbar_{metric.name}", metric.description, labels=names)
            for labels, value in metric.read(stats) if stats is not None else ():
                family.add_metric([*self._labels.values(), *labels], value)
            yield family
