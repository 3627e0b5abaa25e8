"""Metrics: what `engine.stats()` says is what Prometheus and OpenTelemetry are told."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tollbar import Engine
from tollbar.otel import observe
from tollbar.prometheus import EngineCollector

YAML = """
apm-server.auth: {secret_token: correct-horse-battery-staple, anonymous: {enabled: true, allow_agent: []}}
"""


@pytest.fixture
def engine() -> Engine:
    engine = Engine.from_str(YAML)
    engine.check(peer="198.51.100.7")
    engine.check("Bearer wrong", peer="198.51.100.7")
    engine.check("Bearer wrong", peer="198.51.100.7")
    return engine


def test_prometheus_is_told_the_statistics(engine: Engine) -> None:
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine))
    value = registry.get_sample_value
    assert value("tollbar_allowed_total", {"method": "anonymous"}) == 1
    assert value("tollbar_refused_total", {"reason": "invalid_token"}) == 2
    assert value("tollbar_refused_total", {"reason": "rate_limited"}) == 0
    assert value("tollbar_config_generation") == 1
    assert value("tollbar_ip_limit") == 1000
    assert value("tollbar_live_counters") == 1
    assert value("tollbar_api_key_verdicts_held", {"verdict": "valid"}) == 0
    page = generate_latest(registry).decode()
    assert "# TYPE tollbar_refused_total counter" in page
    assert "# TYPE tollbar_live_counters gauge" in page
    engine.check("Bearer wrong", peer="198.51.100.7")
    assert value("tollbar_refused_total", {"reason": "invalid_token"}) == 3


def test_the_collector_tells_what_the_core_tells(engine: Engine) -> None:
    def told(page: str) -> dict[str, tuple[str, list[tuple[str, dict[str, str], float]]]]:
        families = text_string_to_metric_families(page)
        return {
            family.name: (family.type, [(sample.name, sample.labels, sample.value) for sample in family.samples])
            for family in families
        }

    registry = CollectorRegistry()
    registry.register(EngineCollector(engine))
    core = told(engine.prometheus())
    assert len(core) > 10
    assert told(generate_latest(registry).decode()) == core


def test_prometheus_tells_several_engines_apart(engine: Engine) -> None:
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine, {"engine": "a"}))
    assert registry.get_sample_value("tollbar_ip_limit", {"engine": "a"}) == 1000
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(EngineCollector(engine))


def test_opentelemetry_is_told_the_statistics(engine: Engine) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe(engine, provider, {"engine": "a"})
    data: Any = reader.get_metrics_data()
    (scope,) = data.resource_metrics[0].scope_metrics
    metrics = {metric.name: metric for metric in scope.metrics}
    refused = {
        point.attributes["reason"]: (point.value, point.attributes["engine"])
        for point in metrics["tollbar.refused"].data.data_points
    }
    assert refused["invalid_token"] == (2, "a")
    assert metrics["tollbar.refused"].data.is_monotonic
    assert [point.value for point in metrics["tollbar.ip_limit"].data.data_points] == [1000]
    provider.shutdown()


def test_both_are_told_the_same(engine: Engine) -> None:
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine))
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe(engine, provider)
    data: Any = reader.get_metrics_data()
    by_otel = {metric.name.replace(".", "_", 1) for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    assert by_otel == {family.name for family in registry.collect()}
    provider.shutdown()
