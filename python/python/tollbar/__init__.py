"""Decides who may send telemetry, and whether there is room for them now.

`Engine` decides; everything else here is what goes into it or comes out of it. This package has no
dependencies; the reference ingestor is `tollbar.intake` and needs the extra `tollbar[intake]`.
"""

from tollbar._tollbar import Client, ConfigError, Decision, Engine, Problem, __version__

__all__ = ["Client", "ConfigError", "Decision", "Engine", "Problem", "__version__"]
