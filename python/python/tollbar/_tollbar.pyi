"""The compiled half of the package: the Rust engine, translated. Everything here is thread-safe."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, MutableMapping, Sequence
from datetime import datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias, TypedDict, final, type_check_only

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
    "main",
]

__version__: str

_Text: TypeAlias = str | bytes
_Headers: TypeAlias = Mapping[str, _Text] | Mapping[bytes, _Text] | Iterable[tuple[_Text, _Text]]
_Action: TypeAlias = Literal["ingest", "agent_config", "sourcemap"]
_Method: TypeAlias = Literal["none", "secret_token", "api_key", "anonymous"]
# The names of privileges: "config_agent:read", "event:write", "sourcemap:write".
_Privileges: TypeAlias = Iterable[str] | None
_Verifier: TypeAlias = Callable[[str, bytes], _Privileges] | Callable[[str, bytes], Awaitable[_Privileges]]

@type_check_only
class _ArrowArray(Protocol):
    """An Arrow array of any library."""

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[object, object]: ...

@type_check_only
class _Buffer(Protocol):
    """What the buffer protocol reads: NumPy's arrays, `array.array`, `memoryview`."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...

_Peers: TypeAlias = Sequence[str] | _Buffer | _ArrowArray
_Names: TypeAlias = Sequence[str | None] | _ArrowArray
_Counts: TypeAlias = Sequence[int] | _Buffer | _ArrowArray

class _Reload(TypedDict):
    """An attempt to replace the configuration."""

    time: datetime
    generation: int
    """The number of the configuration that was in force afterwards."""
    changed: list[str] | None
    """The full names of the keys that changed; None: it was refused."""
    problems: list[Problem]
    """The first 20 of them."""
    problem_count: int

class _ApiKeys(TypedDict):
    """How the verification of API keys has gone."""

    started: int
    unavailable: int
    over_budget: int
    last_error: str | None
    valid_held: int
    invalid_held: int

class _Stats(TypedDict):
    """Totals since the engine was made, unless they say otherwise."""

    generation: int
    reload_errors: int
    reloads: list[_Reload]
    """The last 32, oldest first."""
    allowed: dict[str, int]
    refused: dict[str, int]
    refusals_not_recorded: int
    ip_limit: int
    live_counters: int
    claimed_counters: int
    displaced_clients: int
    api_keys: _ApiKeys

class ConfigError(Exception):
    """A configuration was refused. `str(error)` has a line for every problem."""

    problems: tuple[Problem, ...]

@final
class Problem:
    """One thing that is wrong with a configuration."""

    @property
    def file(self) -> str | None: ...
    @property
    def line(self) -> int | None: ...
    @property
    def column(self) -> int | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def found(self) -> str: ...
    @property
    def accepted(self) -> str: ...
    @property
    def hint(self) -> str | None: ...
    @property
    def message(self) -> str: ...

@final
class Question:
    """What `Engine.check` is asked of every request of a route, read once."""

    def __new__(
        cls,
        action: _Action = "ingest",
        agent: str | None = None,
        service: str | None = None,
        cost: int = 1,
        rum: bool = False,
    ) -> Self: ...
    def __getnewargs__(self) -> tuple[_Action, str | None, str | None, int, bool]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Engine:
    """Decides who gets in. Thread-safe and lock-free; make one and share it."""

    @staticmethod
    def from_file(path: str | PathLike[str]) -> Engine: ...
    @staticmethod
    def from_str(yaml: str) -> Engine: ...
    def reload(self, path_or_yaml: str | PathLike[str] | None = None) -> int: ...
    def check(
        self,
        authorization: _Text | None = None,
        peer: str = "203.0.113.9",
        headers: _Headers | None = None,
        action: _Action = "ingest",
        agent: str | None = None,
        service: str | None = None,
        cost: int = 1,
        now: int | None = None,
        rum: bool = False,
    ) -> Decision: ...
    def check_batch(
        self,
        peers: _Peers,
        *,
        authorization: _Text | Sequence[_Text | None] | None = None,
        headers: Sequence[_Headers | None] | None = None,
        action: _Action = "ingest",
        agent: str | _Names | None = None,
        service: str | _Names | None = None,
        cost: int | _Counts = 1,
        now: int | None = None,
        rum: bool = False,
    ) -> Decisions: ...
    def authenticate(
        self,
        authorization: _Text | None = None,
        peer: str = "203.0.113.9",
        headers: _Headers | None = None,
        now: int | None = None,
    ) -> Client: ...
    def enter(
        self,
        authorization: _Text | None = None,
        peer: str = "203.0.113.9",
        headers: _Headers | None = None,
        action: _Action = "ingest",
        agent: str | None = None,
        service: str | None = None,
        cost: int = 1,
        now: int | None = None,
        rum: bool = False,
    ) -> tuple[Client, Decision]: ...
    def enter_scope(
        self, question: Question, local_peer: str, scope: MutableMapping[str, Any]
    ) -> dict[str, Any] | tuple[Client, Decision] | None: ...
    def verify(
        self,
        authorization: _Text | None = None,
        peer: str = "203.0.113.9",
        headers: _Headers | None = None,
        timeout: float | None = None,
        now: int | None = None,
    ) -> Client: ...
    def verify_async(
        self,
        authorization: _Text | None = None,
        peer: str = "203.0.113.9",
        headers: _Headers | None = None,
        now: int | None = None,
    ) -> Future[Client]: ...
    @property
    def verification_timeout(self) -> float: ...
    def set_verifier(self, verifier: _Verifier | None, *, timeout: float = 5.0) -> None: ...
    def watch(self, debounce: float = 0.1, poll: float | None = 10.0) -> Watcher: ...
    def recent_refusals(self) -> list[Refusal]: ...
    def stats(self, now: int | None = None) -> _Stats: ...
    def prometheus(self, now: int | None = None) -> str: ...
    def allows_origin(self, origin: _Text | None) -> bool: ...
    @property
    def allow_headers(self) -> list[str]: ...
    @property
    def warnings(self) -> list[str]: ...
    @property
    def files(self) -> list[Path]: ...

@final
class Client:
    """One authenticated request. A refused client answers every call with its refusal."""

    @property
    def decision(self) -> Decision: ...
    @property
    def allowed(self) -> bool: ...
    @property
    def pending(self) -> bool: ...
    @property
    def method(self) -> _Method | None: ...
    @property
    def client(self) -> str: ...
    def check(
        self,
        action: _Action = "ingest",
        agent: str | None = None,
        service: str | None = None,
        cost: int = 1,
        now: int | None = None,
        rum: bool = False,
    ) -> Decision: ...
    def rum_route(self) -> Decision: ...
    def authorize(
        self, action: _Action = "ingest", agent: str | None = None, service: str | None = None
    ) -> Decision: ...
    def admit(self, n: int = 1, now: int | None = None) -> Decision: ...
    def reserve(self, n: int, max_wait: float = 1.0, now: int | None = None) -> Decision: ...
    def wait(self, n: int, timeout: float = 1.0, now: int | None = None) -> Coroutine[Any, Any, Decision]: ...

@final
class Decision:
    """The engine's answer. Immutable; true in a boolean context if and only if `allowed`."""

    @property
    def allowed(self) -> bool: ...
    @property
    def pending(self) -> bool: ...
    @property
    def status(self) -> int: ...
    @property
    def grpc_status(self) -> int: ...
    @property
    def method(self) -> _Method | None: ...
    @property
    def reason(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def retry_after(self) -> float | None: ...
    @property
    def retry_after_header(self) -> int | None: ...
    @property
    def remaining(self) -> int | None: ...
    @property
    def wait(self) -> float: ...
    @property
    def client(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def www_authenticate(self) -> str | None: ...
    @property
    def ratelimit_policy(self) -> str | None: ...
    @property
    def ratelimit(self) -> str | None: ...
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Decisions:
    """Many decisions: a sequence of them, and columns that NumPy and others read in place."""

    @property
    def allowed(self) -> memoryview: ...
    @property
    def status(self) -> memoryview: ...
    @property
    def remaining(self) -> memoryview: ...
    @property
    def retry_after(self) -> memoryview: ...
    @property
    def reason(self) -> list[str]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Decision: ...
    def __iter__(self) -> Iterator[Decision]: ...

@final
class Refusal:
    """A request, a stream or a batch that was refused. Names are what the client sent, at most 64 bytes of each."""

    @property
    def time(self) -> datetime: ...
    @property
    def reason(self) -> str: ...
    @property
    def action(self) -> _Action: ...
    @property
    def method(self) -> _Method | None: ...
    @property
    def client(self) -> str: ...
    @property
    def agent(self) -> str | None: ...
    @property
    def service(self) -> str | None: ...
    @property
    def credential_id(self) -> str | None: ...
    @property
    def generation(self) -> int: ...

@final
class Watcher:
    """Reloads the engine whenever a file of its configuration changes, for as long as this lives."""

    def stop(self) -> None: ...
    def __enter__(self) -> Watcher: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class GeneratedKey:
    """A fresh API key. Hand `credential` to the client, put `id` and `hash` into the configuration."""

    @property
    def id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def credential(self) -> str: ...
    @property
    def hash(self) -> str: ...

def generate_api_key(id: str | None = None) -> GeneratedKey: ...  # noqa: A002
def hash_api_key(id: str, key: bytes) -> str: ...  # noqa: A002
def main(arguments: Sequence[str]) -> tuple[int, tuple[str, list[str]] | None]:
    """Do what a command line asks for: the exit code, or a command of Python's and its arguments."""
