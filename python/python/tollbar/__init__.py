"""Decides who may send telemetry, and whether there is room for them now.

`Engine` decides; everything else here is what goes into it or comes out of it. This package has no
dependencies; the reference ingestor is `tollbar.intake` and needs the extra `tollbar[intake]`.
"""

from tollbar._tollbar import (
    Client,
    ConfigError,
    Decision,
    Decisions,
    Engine,
    GeneratedKey,
    Problem,
    Question,
    Refusal,
    Watcher,
    __version__,
    generate_api_key,
    hash_api_key,
)

__all__ = [
    "Client",
    "ConfigError",
    "Decision",
    "Decisions",
    "Engine",
    "GeneratedKey",
    "Problem",
    "Question",
    "Refusal",
    "Watcher",
    "__version__",
    "generate_api_key",
    "hash_api_key",
]
