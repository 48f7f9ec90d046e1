"""The gateway's settings: environment first, then the settings file, then the default.

This is the only module that reads the environment, and the one place that knows all settings' names. A wrong value or
an unknown name stops the process with the setting's name.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from imagegateway.platform import machine, sockets
from imagegateway.platform.hosts import is_wildcard, origin

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "IMAGEGATEWAY_"
ROUTES: Final = (
    "automatic1111",
    "bfl",
    "bria",
    "bytedance",
    "cloudflare",
    "fal",
    "google",
    "ideogram",
    "local",
    "openai",
    "recraft",
    "replicate",
    "stability",
)
"""Providers' routes: each has settings of its own."""
_OF_ROUTES: Final = ("API_KEY", "BASE_URL", "CONCURRENCY")
_FURTHER: Final = frozenset({"SETTINGS", "URL", "KEY", "CONCURRENCY", "CLOUDFLARE_ACCOUNT_ID", "LOCAL_PICTURE"})
"""Settings that are no field of `Settings`: read elsewhere, or (URL, KEY) by clients of the gateway."""
_SHORTEST_KEY: Final = 20
_KEY: Final = re.compile(r"[!-~]+")
_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"", "0", "false", "no", "off"}


class SettingError(ValueError):
    """A setting is missing or malformed; the message names it, never its secret value."""


class Secret:
    """A string that does not show itself when printed or logged."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__


class Source:
    """Where values come from: `IMAGEGATEWAY_X` in the environment, else `x = …` in the settings file."""

    def __init__(self, environ: Mapping[str, str], file: Mapping[str, object] | None = None) -> None:
        self._environ = environ
        self._file = file or {}

    @classmethod
    def load(cls) -> Source:
        """Read the environment, and the TOML file that `IMAGEGATEWAY_SETTINGS` names.

        Raises SettingError for a file that can't be read or that holds a table.
        """
        name = os.environ.get(PREFIX + "SETTINGS", "")
        if not name:
            return cls(os.environ)
        try:
            file = tomllib.loads(Path(name).read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingError(f"IMAGEGATEWAY_SETTINGS: {error}") from error
        for key, value in file.items():
            if not isinstance(value, str | int | float | bool):
                raise SettingError(f"IMAGEGATEWAY_SETTINGS: {key} must be a string, a number or a boolean")
        return cls(os.environ, file)

    def names(self) -> list[tuple[str, str]]:
        """Every setting that is given: its name without prefix, and as it is written there."""
        environment = [(name.removeprefix(PREFIX), name) for name in self._environ if name.startswith(PREFIX)]
        return environment + [(name.upper(), name) for name in self._file]

    def text(self, name: str, default: str = "") -> str:
        value = self._environ.get(PREFIX + name)
        if value is None:
            value = str(self._file.get(name.lower(), default))
        return value.strip()

    def secret(self, name: str) -> Secret:
        return Secret(self.text(name))

    def number(self, name: str, default: float, low: float, high: float) -> float:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            raise SettingError(f"{PREFIX}{name} must be a number, not {text!r}") from None
        if not low <= value <= high:
            raise SettingError(f"{PREFIX}{name} must be from {low:g} to {high:g}, not {text}")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.number(name, default, low, high)
        if value != int(value):
            raise SettingError(f"{PREFIX}{name} must be a whole number, not {value:g}")
        return int(value)

    def numbers(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        text = self.text(name)
        try:
            values = tuple(float(part) for part in text.split(",")) if text else default
        except ValueError:
            raise SettingError(f"{PREFIX}{name} must be numbers with commas, not {text!r}") from None
        if any(value < 0 for value in values):
            raise SettingError(f"{PREFIX}{name} must not be negative")
        return values

    def flag(self, name: str, *, default: bool = False) -> bool:
        text = self.text(name, str(default)).lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise SettingError(f"{PREFIX}{name} must be true or false, not {text!r}")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        text = self.text(name, default).lower()
        if text not in choices:
            raise SettingError(f"{PREFIX}{name} must be one of {', '.join(choices)}, not {text!r}")
        return text


_HOST_ENTRY: Final = re.compile(r"^[a-z0-9_.-]+(:\d{1,5})?$|^\[[0-9a-f:.]+\](:\d{1,5})?$")


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process of the gateway knows; families read their own keys from `source`."""

    source: Source
    data_dir: Path
    """Data, and what the running stack needs. IMAGEGATEWAY_DATA_DIR, default `.data`."""
    host: str
    """Address that Envoy listens on. IMAGEGATEWAY_HOST, default 127.0.0.1."""
    port: int
    """Port of REST, gRPC and gRPC-Web. IMAGEGATEWAY_PORT, default 8080."""
    public_url: str
    """Start of the signed links. IMAGEGATEWAY_PUBLIC_URL, default `http://<host>:<port>`."""
    media_url: str
    """Media store: `file:///…`, `s3://bucket/prefix`, `gs://…`, `az://…`. IMAGEGATEWAY_MEDIA_URL."""
    nats_url: str
    """External NATS server or cluster, URLs with commas; empty: the stack's own. IMAGEGATEWAY_NATS_URL."""
    nats_credentials: str
    """File with a user's JWT and seed for NATS. IMAGEGATEWAY_NATS_CREDENTIALS, default none."""
    nats_ca: str
    """File with the certificates that NATS's TLS is checked against. IMAGEGATEWAY_NATS_CA, default the system's."""
    nats_replicas: int
    """Copies of streams and buckets in a NATS cluster, 1, 3 or 5. IMAGEGATEWAY_NATS_REPLICAS, default 1."""
    api_key: Secret
    """Adopted as the first key when set. IMAGEGATEWAY_API_KEY."""
    secret_key: Secret
    """Root of link signatures and encryption at rest. IMAGEGATEWAY_SECRET_KEY; else made in the data directory."""
    secret_key_previous: Secret
    """Earlier roots, separated by commas, that are still read. IMAGEGATEWAY_SECRET_KEY_PREVIOUS, default none."""
    allow_hosts: frozenset[str]
    """Hosts (`name` or `name:port`) that pass the URL guard, also over http. IMAGEGATEWAY_ALLOW_HOSTS."""
    routers: int
    """Router processes behind Envoy, 1 to 32. IMAGEGATEWAY_ROUTERS, default 1."""
    log_format: str
    """`json` or `pretty`. IMAGEGATEWAY_LOG_FORMAT, default: pretty on a terminal."""
    log_level: str
    """`debug`, `info`, `warning` or `error`. IMAGEGATEWAY_LOG_LEVEL, default info."""
    default_generate_model: str
    """IMAGEGATEWAY_DEFAULT_GENERATE_MODEL."""
    default_edit_model: str
    """IMAGEGATEWAY_DEFAULT_EDIT_MODEL."""
    default_video_model: str
    """IMAGEGATEWAY_DEFAULT_VIDEO_MODEL."""
    inline_wait: float
    """Longest that an answer is held open, in seconds. IMAGEGATEWAY_INLINE_WAIT, default 300."""
    sdk_hold: bool
    """Hold the answers of slow models for SDKs that read no jobs. IMAGEGATEWAY_SDK_HOLD, default true."""

    job_deadline: float
    """Longest that a job may take from its acceptance, in seconds. IMAGEGATEWAY_JOB_DEADLINE, default 21600 (6 h)."""
    webhook_pauses: tuple[float, ...]
    """Seconds after each failed webhook attempt. IMAGEGATEWAY_WEBHOOK_PAUSES; default: 8 attempts over a day."""
    queue_limit: int
    """Jobs that may wait on a replica before new ones are refused; then each tenant may have its share of these.
    IMAGEGATEWAY_QUEUE_LIMIT, default 20000.
    """
    jobs_max_mib: int
    """MiB that the stream of job records may take up in NATS. IMAGEGATEWAY_JOBS_MAX_MIB, default 8192."""
    tenant_jobs_mib: int
    """MiB that the records of any one tenant's jobs under way may hold. IMAGEGATEWAY_TENANT_JOBS_MIB, default 64."""
    default_concurrency: int
    """Jobs at once of any one route whose provider names no limit. IMAGEGATEWAY_CONCURRENCY, default 1000."""
    retry_seconds: float
    """Longest that one call may wait and repeat what its provider did not take. IMAGEGATEWAY_RETRY_SECONDS, default
    60."""
    connections: int
    """Client connections at once. IMAGEGATEWAY_CONNECTIONS, default 20000; fewer where the limit of open files is
    low."""
    edge_memory: int
    """MiB of heap at which Envoy sheds load. IMAGEGATEWAY_EDGE_MEMORY, default a quarter of the machine's memory, 512
    to 4096."""
    body_memory: int
    """MiB of request bodies that each router holds at once. IMAGEGATEWAY_BODY_MEMORY, default as `edge_memory`."""
    tenant_concurrency: int
    """Jobs of any one tenant at providers at once. IMAGEGATEWAY_TENANT_CONCURRENCY, default 1000."""
    decode_pixels: int
    """Pixels that a process decodes at once, 60 million at least: one input of the largest size.
    IMAGEGATEWAY_DECODE_PIXELS, default 64 million.
    """

    @property
    def local_host(self) -> str:
        """The host by which this machine reaches Envoy: `host`, unless that stands for every address."""
        if not is_wildcard(self.host):
            return self.host
        return "::1" if ":" in self.host else "127.0.0.1"

    @property
    def local_url(self) -> str:
        """The origin by which this machine reaches Envoy."""
        return origin(self.local_host, self.port)

    @property
    def run_dir(self) -> Path:
        """Rendered configuration and addresses of the running stack."""
        return self.data_dir / "run"

    @property
    def jobs_max_bytes(self) -> int:
        """`jobs_max_mib` in bytes."""
        return self.jobs_max_mib * 1024 * 1024

    def route_concurrency(self, route: str, allowed: int | None) -> int:
        """Places of a route at its provider, for each key. IMAGEGATEWAY_<ROUTE>_CONCURRENCY, default `allowed`."""
        return self.source.integer(f"{route.upper()}_CONCURRENCY", allowed or self.default_concurrency, 1, 100_000)

    def socket(self, name: str) -> Path:
        """Path of a process's UNIX socket."""
        return sockets.folder(self.run_dir) / f"{name}.sock"

    def nats_address(self) -> str:
        """URL of the NATS server, with credentials: the external one, else what the stack wrote down.

        Raises SettingError when neither is there.
        """
        if self.nats_url:
            return self.nats_url
        try:
            return (self.run_dir / "nats-url").read_text().strip()
        except FileNotFoundError:
            raise SettingError(
                f"no gateway runs in {self.data_dir} (start it with `imagegateway up`), "
                "and IMAGEGATEWAY_NATS_URL is not set"
            ) from None


def load(source: Source | None = None) -> Settings:
    """Read and check all settings: of a source, or of this process, which then may hold no unknown names.

    Raises SettingError naming the one that is wrong.
    """
    if source is None:
        source = Source.load()
        _check_names(source)
    data_dir = Path(source.text("DATA_DIR", ".data")).absolute()
    host = source.text("HOST", "127.0.0.1")
    port = source.integer("PORT", 8080, 1, 65535)
    allow_hosts = frozenset(entry for entry in source.text("ALLOW_HOSTS").lower().replace(",", " ").split() if entry)
    for entry in allow_hosts:
        if not _HOST_ENTRY.match(entry):
            raise SettingError(f"IMAGEGATEWAY_ALLOW_HOSTS: {entry!r} is not a host or host:port")
    return Settings(
        source=source,
        data_dir=data_dir,
        host=host,
        port=port,
        public_url=_public_url(source, host, port),
        media_url=source.text("MEDIA_URL") or (data_dir / "media").as_uri(),
        nats_url=source.text("NATS_URL"),
        nats_credentials=source.text("NATS_CREDENTIALS"),
        nats_ca=source.text("NATS_CA"),
        nats_replicas=source.integer("NATS_REPLICAS", 1, 1, 5),
        api_key=_api_key(source),
        secret_key=source.secret("SECRET_KEY"),
        secret_key_previous=source.secret("SECRET_KEY_PREVIOUS"),
        allow_hosts=allow_hosts,
        routers=source.integer("ROUTERS", 1, 1, 32),
        log_format=source.choice("LOG_FORMAT", "auto", ("auto", "json", "pretty")),
        log_level=source.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        default_generate_model=source.text("DEFAULT_GENERATE_MODEL", "bfl/flux-2-klein-9b"),
        default_edit_model=source.text("DEFAULT_EDIT_MODEL", "bria/fibo-edit/edit"),
        default_video_model=source.text("DEFAULT_VIDEO_MODEL", "google/veo-3.1-fast"),
        inline_wait=source.number("INLINE_WAIT", 300, 0, 3600),
        sdk_hold=source.flag("SDK_HOLD", default=True),
        job_deadline=source.number("JOB_DEADLINE", 21_600, 1, 172_800),
        webhook_pauses=source.numbers("WEBHOOK_PAUSES", (5, 30, 120, 600, 3600, 18_000, 64_800)),
        queue_limit=source.integer("QUEUE_LIMIT", 20_000, 0, 1_000_000),
        jobs_max_mib=source.integer("JOBS_MAX_MIB", 8192, 16, 1 << 24),
        tenant_jobs_mib=source.integer("TENANT_JOBS_MIB", 64, 1, 1 << 20),
        default_concurrency=source.integer("CONCURRENCY", 1000, 1, 100_000),
        retry_seconds=source.number("RETRY_SECONDS", 60, 0, 3600),
        connections=source.integer("CONNECTIONS", 20_000, 10, 1_000_000),
        edge_memory=source.integer("EDGE_MEMORY", _quarter_of_memory(), 32, 1_048_576),
        body_memory=source.integer("BODY_MEMORY", _quarter_of_memory(), 128, 1_048_576),
        tenant_concurrency=source.integer("TENANT_CONCURRENCY", 1000, 1, 100_000),
        decode_pixels=source.integer("DECODE_PIXELS", 64_000_000, 60_000_000, 100_000_000_000),
    )


def _quarter_of_memory() -> int:
    """Return a quarter of the machine's memory in MiB, from 512 to 4096."""
    return min(max(machine.memory() // 4 // 1024**2, 512), 4096)


def known_names() -> frozenset[str]:
    """Names of all settings, without prefix."""
    of_routes = (f"{route.upper()}_{suffix}" for route in ROUTES for suffix in _OF_ROUTES)
    return frozenset({*(field.name.upper() for field in fields(Settings)), *of_routes, *_FURTHER} - _NO_SETTINGS)


_NO_SETTINGS: Final = frozenset({"SOURCE", "DEFAULT_CONCURRENCY"})
"""Fields of `Settings` that have no setting of their name."""


def _check_names(source: Source) -> None:
    known = known_names()
    for name, written in source.names():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f": did you mean {PREFIX}{near[0]}?" if near else "; docs/settings.md lists them"
            raise SettingError(f"there is no setting {written}{hint}")


def _public_url(source: Source, host: str, port: int) -> str:
    url = source.text("PUBLIC_URL").rstrip("/")
    if not url:
        if is_wildcard(host):
            raise SettingError(
                f"IMAGEGATEWAY_PUBLIC_URL is needed: IMAGEGATEWAY_HOST is {host}, which is no address for links. "
                "Set it to the URL by which callers reach the gateway, such as https://images.example.com"
            )
        return origin(host, port)
    if not url.startswith(("http://", "https://")):
        raise SettingError(f"IMAGEGATEWAY_PUBLIC_URL must start with http:// or https://, not {url!r}")
    try:
        named = urlsplit(url).hostname or ""
    except ValueError:
        named = ""
    if not named or is_wildcard(named):
        raise SettingError(f"IMAGEGATEWAY_PUBLIC_URL must name a host that callers can reach, not {url!r}")
    return url


def _api_key(source: Source) -> Secret:
    key = source.secret("API_KEY")
    if key and (len(key.reveal()) < _SHORTEST_KEY or not _KEY.fullmatch(key.reveal())):
        raise SettingError(
            f"IMAGEGATEWAY_API_KEY must have at least {_SHORTEST_KEY} characters, all of them printable ASCII and no "
            "space: `openssl rand -hex 32` makes one"
        )
    return key


def environment() -> dict[str, str]:
    """A copy of the environment, to hand on to child processes."""
    return dict(os.environ)


@cache
def current() -> Settings:
    """This process's settings, read once."""
    return load()
