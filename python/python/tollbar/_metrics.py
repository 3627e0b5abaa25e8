"""What there is to measure of an engine, for whoever exports it.

Invariant: every value is one of `engine.stats()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tollbar._tollbar import _Stats

Sample: TypeAlias = tuple[tuple[str, ...], int]


class Metric(NamedTuple):
    """A metric: counters only grow, gauges do not."""

    name: str
    description: str
    is_counter: bool
    read: Callable[[_Stats], Iterable[Sample]]
    labels: tuple[str, ...] = ()
    unit: str = "1"


def _one(value: int) -> Iterable[Sample]:
    return (((), value),)


def _by_name(values: dict[str, int]) -> Iterable[Sample]:
    return [((name,), value) for name, value in values.items()]


def _verdicts(stats: _Stats) -> Iterable[Sample]:
    keys = stats["api_keys"]
    return ((("valid",), keys["valid_held"]), (("invalid",), keys["invalid_held"]))


METRICS = (
    Metric("allowed", "Decisions that allowed, by method", True, lambda it: _by_name(it["allowed"]), ("method",)),
    Metric("refused", "Decisions that refused, by reason", True, lambda it: _by_name(it["refused"]), ("reason",)),
    Metric(
        "refusals_not_recorded",
        "Refusals of a flood that were counted, but not recorded",
        True,
        lambda it: _one(it["refusals_not_recorded"]),
    ),
    Metric("config_generation", "The configuration in force", False, lambda it: _one(it["generation"])),
    Metric("reload_errors", "Configurations that were refused", True, lambda it: _one(it["reload_errors"])),
    Metric("ip_limit", "Counters that there may be", False, lambda it: _one(it["ip_limit"])),
    Metric("live_counters", "Counters of recent clients", False, lambda it: _one(it["live_counters"])),
    Metric("claimed_counters", "Counters handed out", True, lambda it: _one(it["claimed_counters"])),
    Metric("displaced_clients", "Clients whose counter another took", True, lambda it: _one(it["displaced_clients"])),
    Metric(
        "api_key_verifications", "Verifications of API keys started", True, lambda it: _one(it["api_keys"]["started"])
    ),
    Metric(
        "api_key_unavailable",
        "API keys that could not be verified",
        True,
        lambda it: _one(it["api_keys"]["unavailable"]),
    ),
    Metric(
        "api_key_over_budget",
        "API keys not verified since their client asked for too many",
        True,
        lambda it: _one(it["api_keys"]["over_budget"]),
    ),
    Metric("api_key_verdicts_held", "Verdicts on API keys in the cache", False, _verdicts, ("verdict",)),
)
